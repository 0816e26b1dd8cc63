"""Reads the URL that somebody wants to be called at, and refuses what is no place of the internet. Pure.

What a name resolves to is checked by whoever connects: see `addresses`.
"""

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from bookwheel_runtime.addresses import is_public

MAX_URL_LENGTH = 2000
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_OPEN_FROM = 1024
"""Ports below are those of other protocols, but for the two of HTTP."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host` is a name or a literal address, an IPv6 one without brackets; `target` the path with the query."""

    scheme: str
    host: str
    port: int
    target: str


def parse_endpoint(url: str, *, private: bool = False) -> Endpoint:
    """Raises ValueError, whose text tells what is wrong. `private` allows http and addresses that are not public."""
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"is longer than {MAX_URL_LENGTH} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("holds characters that must be escaped in a URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not private):
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if parts.fragment or "#" in url:
        raise ValueError("must not hold a fragment")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port not in _DEFAULT_PORTS.values() and port < _OPEN_FROM:
        raise ValueError(f"must not name the port {port}: 80, 443, or one from {_OPEN_FROM} on")
    host = _host(parts.hostname or "", in_brackets="[" in parts.netloc)
    address = _literal(host)
    if not private and (is_internal_name(host) or (address is not None and not is_public(address))):
        raise ValueError("is not an address of the internet")
    return Endpoint(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_internal_name(host: str) -> bool:
    name = host.rstrip(".")
    return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


def _host(host: str, *, in_brackets: bool) -> str:
    if in_brackets:
        try:
            socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            raise ValueError("has no valid host") from None
    elif not _NAME.fullmatch(host) or len(host) > 253:
        raise ValueError("has no valid host; names of other alphabets are written as xn--…")
    return host


def _literal(host: str) -> str | None:
    """The address, where the host is one in whatever notation: `2130706433`, `0x7f.1` and `127.1` are 127.0.0.1."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None
