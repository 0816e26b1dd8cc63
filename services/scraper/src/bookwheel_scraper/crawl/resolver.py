"""Keeps crawls out of private networks (server-side request forgery).

Every connection of a crawl uses an IP address from this resolver: for names, literal addresses and redirect targets. So
the crawl connects to the checked address even if the name resolves to another address later.
"""

from collections.abc import Sequence
from typing import Any

from bookwheel_runtime.addresses import is_public
from scrapy.resolver import CachingHostnameResolver
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer  # type: ignore[import-untyped]  # zope ships no types


@implementer(IResolutionReceiver)
class _PublicAddressFilter:
    """Forwards only public addresses; adds hosts with other addresses to `blocked_hosts`."""

    def __init__(self, receiver: Any, host: str, blocked_hosts: set[str]) -> None:
        self._receiver = receiver
        self._host = host
        self._blocked_hosts = blocked_hosts

    def resolutionBegan(self, resolution: IHostResolution) -> None:  # noqa: N802 - Twisted's interface
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802 - Twisted's interface
        if is_public(getattr(address, "host", "")):
            self._receiver.addressResolved(address)
        else:
            self._blocked_hosts.add(self._host)

    def resolutionComplete(self) -> None:  # noqa: N802 - Twisted's interface
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class PublicAddressResolver:
    """Resolves names to public addresses only; adds hosts with other addresses to `blocked_hosts`."""

    def __init__(self, resolver: CachingHostnameResolver, blocked_hosts: set[str]) -> None:
        self._resolver = resolver
        self._blocked_hosts = blocked_hosts

    def resolveHostName(  # noqa: N802 - Twisted's interface
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _PublicAddressFilter(resolutionReceiver, hostName, self._blocked_hosts)
        return self._resolver.resolveHostName(receiver, hostName, portNumber, addressTypes, transportSemantics)


def install_resolver(reactor: Any, *, blocked_hosts: set[str] | None) -> None:
    """Installs a caching resolver. It blocks private addresses unless `blocked_hosts` is None."""
    resolver = CachingHostnameResolver(reactor, cache_size=10_000)
    reactor.installNameResolver(resolver if blocked_hosts is None else PublicAddressResolver(resolver, blocked_hosts))
