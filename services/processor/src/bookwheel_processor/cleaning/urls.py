"""Addresses in one canonical form, so that the same page is known again."""

import re
from functools import lru_cache
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from pydantic import JsonValue

from bookwheel_processor.cleaning.faults import Unclean, shown

LONGEST_URL = 2048
_TRACKING = re.compile(r"(?i)(?:utm_[a-z]+|fbclid|gclid|msclkid|mc_[ce]id|sessionid|phpsessid|jsessionid)=")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_url(url: str) -> str:
    """Lower-case scheme and host, no default port, no fragment, no tracking parameters. Raises Unclean."""
    return urlunsplit(_canonical(url))


def canonical_path(url: str) -> str:
    """What stands behind the host in the canonical form: the page's identity within its source."""
    parts = _canonical(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def clean_image_url(value: JsonValue, page_url: str) -> str | None:
    """The image's whole address, or None: a picture that cannot be fetched is no reason to lose a book."""
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        return canonical_url(urljoin(page_url, value.strip()))
    except ValueError:
        return None


@lru_cache(maxsize=2048)  # an item's address is asked for twice: as its offer's, and as its image's base
def _canonical(url: str) -> SplitResult:
    if len(url) > LONGEST_URL:
        raise Unclean("too_long", f"is longer than {LONGEST_URL} characters: {shown(url)}")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise Unclean("not_a_url", f"is no URL: {shown(url)}") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname or any(ord(sign) < 33 for sign in url.strip()):
        raise Unclean("not_a_url", f"is no http or https URL: {shown(url)}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _TRACKING.match(pair))
    return SplitResult(scheme, address, parts.path or "/", query, "")
