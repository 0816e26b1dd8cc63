"""Parse an Elasticsearch URL: the server, the credentials and the prefix of the index names."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bookwheel_stores.search.fields import ELASTICSEARCH_INDEX

SCHEMES = {"elasticsearch": "http", "elasticsearch+https": "https"}
EXAMPLE = "elasticsearch://user:password@search:9200/prefix"
_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class ElasticAddress:
    """A server, the credentials, and the prefix of the index names."""

    server: str
    credentials: tuple[str, str] | None
    prefix: str

    @property
    def alias(self) -> str:
        """The alias of the serving index, which readers and writers use."""
        return f"{self.prefix}{ELASTICSEARCH_INDEX}"


def parse_address(url: str) -> ElasticAddress:
    """Parse `elasticsearch[+https]://[user:password@]host:port[/prefix]`. Raises ValueError without the password."""
    parts = urlsplit(url)
    prefix = unquote(parts.path.strip("/"))
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in SCHEMES or not parts.hostname or port is None or parts.query or parts.fragment:
        raise ValueError(f"the search URL is invalid: it must have a host and a port, as in {EXAMPLE}")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"the search URL is invalid: its prefix {prefix!r} must be a lower-case name, as in {EXAMPLE}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return ElasticAddress(f"{SCHEMES[parts.scheme]}://{host}:{port}", credentials, prefix)
