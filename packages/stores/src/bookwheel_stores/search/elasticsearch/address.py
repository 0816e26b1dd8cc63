"""From a search URL to an Elasticsearch client and the names of the indices."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bookwheel_stores.search.elasticsearch.mapping import MAPPING

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

SCHEMES = {"elasticsearch": "http", "elasticsearch+https": "https"}
EXAMPLE = "elasticsearch://user:password@search:9200/prefix"
_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class ElasticAddress:
    """A server, who asks, and what the names of the indices begin with."""

    server: str
    login: tuple[str, str] | None
    prefix: str

    @property
    def alias(self) -> str:
        """What readers and writers address: the index that serves now. Another mapping is another alias."""
        return f"{self.prefix}{MAPPING}"

    def connect(self, *, timeout: float) -> "Elasticsearch":
        """A client that asks once: whoever uses it knows what may be asked again, and when. Connects on first use."""
        from elasticsearch import Elasticsearch, OrjsonSerializer  # noqa: PLC0415 - see `opening`

        return Elasticsearch(
            self.server,
            basic_auth=self.login,
            serializer=OrjsonSerializer(),
            request_timeout=timeout,
            max_retries=0,
            retry_on_timeout=False,
            connections_per_node=_CONNECTIONS,
            http_compress=False,
        )


def parse_address(url: str) -> ElasticAddress:
    """`elasticsearch[+https]://[user:password@]host:port[/prefix]`. Raises ValueError, without the password in it."""
    parts = urlsplit(url)
    prefix = unquote(parts.path.strip("/"))
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in SCHEMES or not parts.hostname or port is None or parts.query or parts.fragment:
        raise ValueError(f"not a search URL such as {EXAMPLE}: it needs a host and a port")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"not a search URL such as {EXAMPLE}: the prefix {prefix!r} is no lower-case name")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return ElasticAddress(f"{SCHEMES[parts.scheme]}://{host}:{port}", login, prefix)
