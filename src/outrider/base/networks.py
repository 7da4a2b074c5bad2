"""Ranges of IP addresses that somebody named in CIDR notation, and which addresses are in them. Pure.

An IPv4 address that came over an IPv6 socket (`::ffff:192.0.2.7`) is the IPv4 address. Zones (`fe80::1%eth0`) are of
one machine and mean nothing in a setting. Which addresses are public is `net.guard`'s to say.

Source: RFC 4291 §2.5.5.2.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FORWARDED_COUNT_MAX: Final = 50  # Ours: hops looked at.


def parse(text: str) -> Network:
    """Return the range that `text` names: "192.0.2.7", "192.0.2.0/24", "2001:db8::/32". Bits of hosts are cut off.

    Raises:
        ValueError: it names none.
    """
    if "%" in text:
        raise ValueError("a range has no zone")
    return ipaddress.ip_network(text, strict=False)


def contain(networks: Iterable[Network], text: str) -> bool:
    """Return whether the address `text` is in one of them. What is no address is in none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def caller(peer: str, forwarded: bytes, proxies: Sequence[Network]) -> str:
    """Return who calls: from the near end on, the first that is none of our proxies.

    A proxy adds its peer at the end, so whatever stands before the first stranger was written by strangers.

    Args:
        peer: the address of the socket's other end.
        forwarded: the value of X-Forwarded-For, of several those in their order with commas.
    """
    client = peer
    for hop in reversed(forwarded.split(b",")[-_FORWARDED_COUNT_MAX:]):
        if not _is_proxy(client, tuple(proxies)):
            break
        client = hop.strip().decode("latin-1")
    return client


@lru_cache(maxsize=1024)  # Asked with every call, mostly for the same few proxies.
def _is_proxy(text: str, proxies: tuple[Network, ...]) -> bool:
    return contain(proxies, text)
