"""Which addresses the suite may connect to on somebody else's behalf (against server-side request forgery). Pure.

A check of a name is worth nothing once the name is resolved again: whoever connects must check the addresses that it
connects to.
"""

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is handed out to the internet. Python 3.11 takes `::127.0.0.1`, `fec0::1` and the NAT64 prefix for
local use, `64:ff9b:1::`, for global ones."""
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")  # IETF protocol assignments, of which Python knows a part


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet at large: not loopback, private, link-local, multicast, reserved,
    nor an IPv6 form of an IPv4 address that is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        return ip in _GLOBAL_UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS
