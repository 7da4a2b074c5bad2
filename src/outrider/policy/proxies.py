"""Whose addresses are a proxy's: a CNAME behind one cannot be seen, only what the proxy answers with.

Cloudflare is the one that hides CNAMEs at a click (the orange cloud). Its networks change rarely and are published.
Source: https://www.cloudflare.com/ips-v4 and /ips-v6, as of 2023-09.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NETWORKS: Final[Mapping[str, tuple[Network, ...]]] = {
    "Cloudflare": tuple(
        map(
            ipaddress.ip_network,
            (
                "173.245.48.0/20",
                "103.21.244.0/22",
                "103.22.200.0/22",
                "103.31.4.0/22",
                "141.101.64.0/18",
                "108.162.192.0/18",
                "190.93.240.0/20",
                "188.114.96.0/20",
                "197.234.240.0/22",
                "198.41.128.0/17",
                "162.158.0.0/15",
                "104.16.0.0/13",
                "104.24.0.0/14",
                "172.64.0.0/13",
                "131.0.72.0/22",
                "2400:cb00::/32",
                "2606:4700::/32",
                "2803:f800::/32",
                "2405:b500::/32",
                "2405:8100::/32",
                "2a06:98c0::/29",
                "2c0f:f248::/32",
            ),
        )
    ),
}


def name_of(address: str) -> str:
    """Return whose proxy has this IP address, "" if it is nobody's that we know."""
    ip = ipaddress.ip_address(address)
    return next((name for name, networks in _NETWORKS.items() if any(ip in network for network in networks)), "")
