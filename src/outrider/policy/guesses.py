"""Who guesses passwords: how long it waits for its answer, and when it is not listened to any more. Pure.

A program with an old password tries the same pair for ever; somebody who guesses tries others. So each wrong answer
waits a little longer than the last, and a client is banned by the number of *different* pairs it has tried. An IPv6
client is its /64: who has one has them all. Bounded: the client longest known is forgotten. A right answer forgives.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

import msgspec

DELAY_FIRST_S: Final = 0.5  # Ours: nobody who has typed a password notices.
DELAY_S_MAX: Final = 8.0  # Ours: most clients wait 30 s or more.
TRIES_COUNT_MAX: Final = 10  # Ours: different pairs within `WINDOW_S`; as most lock-outs.
WINDOW_S: Final = 600.0  # Ours: how long a try counts.
BAN_S: Final = 900.0  # Ours: 10 guesses in 15 minutes find no random secret.
_CLIENTS_COUNT_MAX: Final = 10_000  # Ours: about 4 MB.
_DIGEST_BYTES: Final = 8  # Ours: enough to tell some pairs apart.


class _Known(msgspec.Struct):
    since_s: float
    tried: set[bytes]
    failed_count: int = 0
    banned_until_s: float = 0.0


class Guesses:
    """What is known of clients. Instants are of a monotonic clock."""

    def __init__(self) -> None:
        self._known: Final[OrderedDict[str, _Known]] = OrderedDict()

    def ban_s(self, address: str, now_s: float) -> float:
        """Return for how long the client at that address is not listened to; 0: it is."""
        known = self._known.get(client_of(address))
        return max(0.0, known.banned_until_s - now_s) if known else 0.0

    def failed(self, address: str, digest: bytes, now_s: float) -> float:
        """Count a wrong answer; return how long to wait before saying so.

        Args:
            digest: of what was tried.
        """
        client = client_of(address)
        known = self._known.get(client)
        if known is None or now_s - known.since_s > WINDOW_S:
            known = self._known[client] = _Known(now_s, set(), 0, known.banned_until_s if known else 0.0)
            self._known.move_to_end(client)
            if len(self._known) > _CLIENTS_COUNT_MAX:
                self._known.popitem(last=False)
        known.failed_count += 1
        known.tried.add(digest[:_DIGEST_BYTES])
        if len(known.tried) >= TRIES_COUNT_MAX:
            known.banned_until_s = now_s + BAN_S
            known.tried.clear()
        return min(DELAY_S_MAX, DELAY_FIRST_S * 2.0 ** min(known.failed_count - 1, 10))

    def succeeded(self, address: str) -> None:
        """Forgive what came before."""
        self._known.pop(client_of(address), None)


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, the /64 of an IPv6 one; what is neither stays."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False))
