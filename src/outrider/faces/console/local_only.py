"""Who may see the catch mailbox: a browser on this machine, and nobody through it.

The mailbox has no login, so three things must hold. The connection comes from loopback. The Host header names loopback,
since a page on the internet can point a name of its own at 127.0.0.1 and read through the visitor's browser (DNS
rebinding). No header says that a proxy passed the request on, since then loopback is only where the proxy runs.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

_PROXY_HEADERS: Final = frozenset(
    {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)


def refusal(peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return why this request may not see the mailbox, in a sentence; "" if it may.

    Args:
        peer: the address at the other end of the connection, without port; None if it has none.
        headers: names in lower case.
    """
    if peer is None or not _is_loopback(peer):
        return "The catch mailbox is shown to browsers on this machine only; yours is on another one."
    given = list(headers)
    found = sorted(name.decode() for name, _ in given if name in _PROXY_HEADERS)
    if found:
        return (
            f"The catch mailbox is not shown through a proxy, and the header {found[0]} says that one passed this "
            "request on. Open it directly, on this machine."
        )
    hosts = [value.decode("latin-1") for name, value in given if name == b"host"]
    if len(hosts) != 1 or not _names_loopback(hosts[0]):
        return "The catch mailbox is shown under localhost, 127.0.0.1 or [::1] only; open it by one of those names."
    return ""


def _names_loopback(host: str) -> bool:
    """Tell whether a Host header (RFC 9110 §7.2: name or address, then maybe a port) means this machine."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return bool(bracket) and (not port or port.startswith(":")) and _is_loopback(name)
    name = host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
