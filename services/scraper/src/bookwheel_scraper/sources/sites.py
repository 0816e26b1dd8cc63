"""Which site an address belongs to."""

import re
from urllib.parse import urlsplit

_USUAL_PORTS = {"http": 80, "https": 443}
_SITE = re.compile(r"[a-z0-9._:\[\]-]{1,260}")


def site_of(url: str) -> str:
    """The host, lower-case and without `www.`, and the port where it is not the scheme's usual one: `127.0.0.1:8085`.

    So a shop stays one site by http and https, and two shops on one machine are two. Raises ValueError for an address
    that names no host.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode("ascii").rstrip(".").removeprefix("www.")
    if ":" in host:
        host = f"[{host}]"
    site = host if parts.port in (None, _USUAL_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
    if not host or _SITE.fullmatch(site) is None:
        raise ValueError(f"{url!r} names no host")
    return site
