"""Connects only to public addresses, so that a webhook's URL cannot reach the suite's own network (SSRF)."""

import asyncio
import socket
from collections.abc import Iterable

import httpcore
from bookwheel_runtime.addresses import is_public


class AddressRejectedError(OSError):
    """The host has no public address."""


class PublicNetworkBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host once and connects to one of the addresses that it has checked.

    A second resolution could return another address (DNS rebinding). `allow_private` turns the check off.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a checked address.

        Raises AddressRejectedError, or httpcore's ConnectError if the host is not found or not reachable.
        """
        try:
            resolved = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host is not found: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in resolved))
        allowed = [address for address in addresses if self._allow_private or is_public(address)]
        if not allowed:
            raise AddressRejectedError("the host has no public address")
        for address in allowed[:-1]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(allowed[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
