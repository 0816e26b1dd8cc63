"""Parses the URL of a webhook and rejects a URL that is not on the public internet. Pure.

The IP addresses of a host name are checked when a connection is made: see `addresses`.
"""

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from bookwheel_runtime.addresses import is_public

MAX_URL_LENGTH = 2000
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_DEFAULT_PORTS = {"https": 443, "http": 80}
_MIN_UNRESERVED_PORT = 1024
"""Lower ports except 80 and 443 are reserved for other protocols."""


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """`host` is a name or an IP address; IPv6 addresses have no brackets. `target` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str


def parse_webhook_url(url: str, *, private: bool = False) -> WebhookUrl:
    """Parses a URL. `private` allows http and private addresses. Raises ValueError, for example "has no valid host"."""
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"is longer than {MAX_URL_LENGTH} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("has characters that must be escaped in a URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not private):
        raise ValueError("must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("must not have a user name or password")
    if parts.fragment or "#" in url:
        raise ValueError("must not have a fragment")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port not in _DEFAULT_PORTS.values() and port < _MIN_UNRESERVED_PORT:
        raise ValueError(f"must not have the port {port}: use 80, 443 or one from {_MIN_UNRESERVED_PORT} on")
    host = _check_host(parts.hostname or "", in_brackets="[" in parts.netloc)
    address = _parse_ip_literal(host)
    if not private and (is_internal_name(host) or (address is not None and not is_public(address))):
        raise ValueError("is not on the public internet")
    return WebhookUrl(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_internal_name(host: str) -> bool:
    name = host.rstrip(".")
    return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


def _check_host(host: str, *, in_brackets: bool) -> str:
    if in_brackets:
        try:
            socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            raise ValueError("has no valid host") from None
    elif not _HOST_NAME.fullmatch(host) or len(host) > 253:
        raise ValueError("has no valid host: encode international names as xn--…")
    return host


def _parse_ip_literal(host: str) -> str | None:
    """Returns the IP address if the host is an IP literal. `2130706433`, `0x7f.1` and `127.1` are 127.0.0.1."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None
