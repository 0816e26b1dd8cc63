"""Connects to addresses of the internet only, whatever a name resolves to."""

import asyncio
import socket
from collections.abc import Iterable

import httpcore
from bookwheel_runtime.addresses import is_public


class AddressRefusedError(OSError):
    """The host has no address that may be connected to."""


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host and connects to one of the very addresses that it has checked: resolving it a second time could
    give another one. `private` allows all addresses."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressRefused, or httpcore's ConnectError for a host that is not found or not reached."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host is not found: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self._private or is_public(address)]
        if not allowed:
            raise AddressRefusedError("the host is not an address of the internet")
        for address in allowed[:-1]:
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._sockets.connect_tcp(allowed[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
