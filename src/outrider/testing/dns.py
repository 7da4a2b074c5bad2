"""Name servers for tests: a zone, the server that serves it over UDP and TCP, and a resolver that needs no network.

    zone = {"shop.example": Node(mx=((10, "mx.shop.example"),)), "mx.shop.example": Node(a=("127.0.0.1",))}
    async with DnsServer(zone) as server:   # server.address is "127.0.0.1:PORT"
    FakeDns(zone)                           # a `net.dns.Resolver` over the same zone, in memory

A name "*.sink.example" answers for every name below it that is not listed. A node may misbehave (`Fault`), for all
questions or for some kinds only; the mapping may be changed at any time. Both count questions in `queries`.

As a program, for tests and benchmarks with processes; it prints its address and runs until SIGTERM:

    python -m outrider.testing.dns --port 5353 --zone FILE.json
    {"shop.example": {"mx": [[10, "mx.shop.example"]], "ttl_s": 60}, "mx.shop.example": {"a": ["127.0.0.1"]}}
"""

import argparse
import asyncio
import enum
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec

from outrider.net.dns import Resolver
from outrider.net.dns_query import Found, Mx, Outcome
from outrider.net.settings import NetSettings
from outrider.testing.clock import FakeClock

NEGATIVE_TTL_S: Final = 60  # In the SOA record of each "no".
_CHAIN_MAX: Final = 8  # CNAMEs followed; a loop ends here.
_UDP_BYTES_MAX: Final = 512  # Without EDNS. RFC 1035 §4.2.1.
_BIND_TRIES: Final = 50  # For a port that is free for both UDP and TCP.


class Fault(enum.StrEnum):
    """How a name misbehaves."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    SILENT = "silent"  # No answer at all.
    NXDOMAIN = "nxdomain"
    TRUNCATED = "truncated"  # Nothing by UDP; all of it by TCP.
    SLOW = "slow"  # After `delay_s`.
    GARBAGE = "garbage"  # Bytes that are no DNS.


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a name has, and how it misbehaves."""

    mx: tuple[tuple[int, str], ...] = ()  # (10, "mx.shop.example"); "." is the null MX.
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    txt: tuple[str, ...] = ()
    cname: str = ""
    ttl_s: int = 300
    fault: Fault | None = None
    fault_kinds: tuple[str, ...] = ()  # ("AAAA",); empty: all.
    delay_s: float = 0.2  # Of `Fault.SLOW`.

    def texts(self, kind: str) -> tuple[str, ...]:
        """Return the records of a kind ("MX") as master files write them."""
        match kind:
            case "MX":
                return tuple(f"{preference} {host.removesuffix('.')}." for preference, host in self.mx)
            case "A":
                return self.a
            case "AAAA":
                return self.aaaa
            case "TXT":
                return tuple(f'"{text}"' for text in self.txt)
            case _:
                return ()

    def fault_at(self, kind: str) -> Fault | None:
        """Return how a question of this kind is mistreated."""
        return self.fault if not self.fault_kinds or kind in self.fault_kinds else None


Zone = Mapping[str, Node]  # Lower case, no final dot.


class Found_(msgspec.Struct, frozen=True):  # noqa: N801
    """Placeholder."""
