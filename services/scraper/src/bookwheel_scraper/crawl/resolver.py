"""Keeps crawls out of private networks (server-side request forgery).

Every connection of the crawl, to a name, a literal address or a redirect's target, is made to an address that this
resolver has handed out: the address checked is the address connected to, whatever the name resolves to a moment later.
"""

from collections.abc import Sequence
from typing import Any

from bookwheel_runtime.addresses import is_public
from scrapy.resolver import CachingHostnameResolver
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer  # type: ignore[import-untyped]  # zope ships no types


@implementer(IResolutionReceiver)
class _PublicAddressFilter:
    """Passes on public addresses only."""

    def __init__(self, receiver: Any, host: str, refused_hosts: set[str]) -> None:
        self._receiver = receiver
        self._host = host
        self._refused_hosts = refused_hosts

    def resolutionBegan(self, resolution: IHostResolution) -> None:  # noqa: N802 - Twisted's interface
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802 - Twisted's interface
        if is_public(getattr(address, "host", "")):
            self._receiver.addressResolved(address)
        else:
            self._refused_hosts.add(self._host)

    def resolutionComplete(self) -> None:  # noqa: N802 - Twisted's interface
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class PublicAddressResolver:
    """Resolves names to public addresses only, and notes the hosts for which it refused one."""

    def __init__(self, resolver: CachingHostnameResolver, refused_hosts: set[str]) -> None:
        self._resolver = resolver
        self._refused_hosts = refused_hosts

    def resolveHostName(  # noqa: N802 - Twisted's interface
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _PublicAddressFilter(resolutionReceiver, hostName, self._refused_hosts)
        return self._resolver.resolveHostName(receiver, hostName, portNumber, addressTypes, transportSemantics)


def install_resolver(reactor: Any, *, refused_hosts: set[str] | None) -> None:
    """Sets the reactor's resolver: a caching one, guarded unless `refused_hosts` is None."""
    resolver = CachingHostnameResolver(reactor, cache_size=10_000)
    reactor.installNameResolver(resolver if refused_hosts is None else PublicAddressResolver(resolver, refused_hosts))
