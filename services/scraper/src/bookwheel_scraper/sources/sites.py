"""Derives the site of a URL."""

import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SITE = re.compile(r"[a-z0-9._:\[\]-]{1,260}")


def get_site(url: str) -> str:
    """Returns the host in lower case without `www.`; a port is added unless it is the scheme's default.

    Example: `127.0.0.1:8085`. The scheme is not part of the site. Raises ValueError for a URL without a host.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode("ascii").rstrip(".").removeprefix("www.")
    if ":" in host:
        host = f"[{host}]"
    site = host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
    if not host or _SITE.fullmatch(site) is None:
        raise ValueError(f"{url!r} has no host")
    return site
