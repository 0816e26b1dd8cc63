"""Normalizes URLs, so that each page has one."""

import re
from urllib.parse import urljoin, urlsplit

from pydantic import JsonValue

from bookwheel_processor.cleaning.errors import InvalidValueError, quote_value

MAX_URL_LENGTH = 2048
_TRACKING = re.compile(r"(?i)(?:utm_[a-z]+|fbclid|gclid|msclkid|mc_[ce]id|sessionid|phpsessid|jsessionid)=")
_BLANK = re.compile(r"[\x00-\x20]")
# Most URLs are already canonical and match this pattern. Matching is seven times faster than parsing.
_CANONICAL = re.compile(r"(https?://[a-z0-9.-]+(?::(?!80/|443/)(?:[1-9][0-9]{1,3}|[1-5][0-9]{4}))?)(/[!-\"$->@-~]*)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_url(url: str) -> str:
    """Return the URL with lower-case scheme and host, without default port, fragment and tracking parameters.

    Raises InvalidValueError.
    """
    return "".join(_canonical(url))


def canonical_path(url: str) -> str:
    """Return path and query of the canonical URL. They identify the page within its source."""
    return _canonical(url)[1]


def clean_image_url(value: JsonValue, page_url: str) -> str | None:
    """Return the image's absolute URL. None if it is invalid, because that does not make the item invalid."""
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        is_absolute = value.startswith(("http://", "https://"))
        return canonical_url(value if is_absolute else urljoin(page_url, value.strip()))
    except ValueError:
        return None


def _canonical(url: str) -> tuple[str, str]:
    """Return scheme with host, and path with query."""
    if len(url) > MAX_URL_LENGTH:
        raise InvalidValueError("too_long", f"is longer than {MAX_URL_LENGTH} characters: {quote_value(url)}")
    match = _CANONICAL.fullmatch(url)
    if match:
        return match[1], match[2]
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidValueError("not_a_url", f"is not a URL: {quote_value(url)}") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or _BLANK.search(url.strip()):
        raise InvalidValueError("not_a_url", f"is not an http or https URL: {quote_value(url)}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _TRACKING.match(pair))
    return f"{parts.scheme}://{address}", (parts.path or "/") + (f"?{query}" if query else "")
