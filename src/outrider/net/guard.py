"""Which addresses are out there, and which reach into our own network.

Strangers choose MX records and web addresses; what they choose must not make us talk to ourselves, our neighbours or a
cloud's metadata service.

An address is public if the registries say so (`ipaddress`) and so is every IPv4 address that is packed into it: mapped,
6to4, Teredo and NAT64 addresses are a way around a guard that looks at the outside only.
Sources: RFC 6890 and the IANA special-purpose registries; RFC 4291 §2.5.5.2, RFC 3056 §2, RFC 4380 §4, RFC 6052 §2.1.
"""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")  # Its local-use sister 64:ff9b:1::/48 is not global anyway.
_V4_MASK: Final = 0xFFFFFFFF


def is_public(address: str) -> bool:
    """Tell whether strangers may make us connect there. Not an IP address at all: no."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        packed = list(_packed(ip))
        if packed and not all(map(_is_global, packed)):
            return False
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return True  # Only another way to write, or to reach, the packed one.
    return _is_global(ip)


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _packed(ip: IPv6Address) -> Iterator[IPv4Address]:
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    if ip in _NAT64:
        yield IPv4Address(int(ip) & _V4_MASK)
