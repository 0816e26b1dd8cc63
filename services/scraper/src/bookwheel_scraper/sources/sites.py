"""The site that a URL belongs to."""

import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SITE = re.compile(r"[a-z0-9._:\[\]-]{1,260}")


def site_of(url: str) -> str:
    """The lower-case host without `www.`, with the port unless it is the scheme's default: `127.0.0.1:8085`.

    A shop is the same site by http and https; two shops on different ports are two sites. Raises ValueError for a URL
    without a host.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode("ascii").rstrip(".").removeprefix("www.")
    if ":" in host:
        host = f"[{host}]"
    site = host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
    if not host or _SITE.fullmatch(site) is None:
        raise ValueError(f"{url!r} has no host")
    return site
