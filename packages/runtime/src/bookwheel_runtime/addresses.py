"""Checks that an IP address is public, to prevent server-side request forgery. Pure.

Check the address of the connection itself, because a host name may resolve to another address the next time.
"""

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All IPv6 addresses assigned to the internet. Python 3.11 reports `::127.0.0.1`, `fec0::1` and the NAT64 prefix for
local use, `64:ff9b:1::`, as global."""
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")  # IETF protocol assignments; Python excludes only some


def is_public(address: str) -> bool:
    """Returns whether an IP address is on the public internet.

    Loopback, private, link-local, multicast and reserved addresses are not public. The same holds for IPv4 addresses
    embedded in IPv6.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(str(embedded))
        return ip in _GLOBAL_UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS
