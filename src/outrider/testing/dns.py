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

from outrider.mail import look, txt
from outrider.mail.look import Look
from outrider.net.dns import Resolver
from outrider.net.dns_query import Found, Mx, Outcome
from outrider.net.settings import NetSettings
from outrider.testing.clock import FakeClock

NEGATIVE_TTL_S: Final = 60  # In the SOA record of each "no".
_CHAIN_MAX: Final = 8  # CNAMEs followed; a loop ends here.
_UDP_BYTES_MAX: Final = 512  # Without EDNS. RFC 1035 §4.2.1.
_STRING_CHARS_MAX: Final = 255
_TCP_BYTES_MAX: Final = 65_535
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
    ptr: tuple[str, ...] = ()
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
                return tuple(map(_quoted, self.txt))
            case "PTR":
                return tuple(f"{name.removesuffix('.')}." for name in self.ptr)
            case "CNAME" if self.cname:
                return (f"{self.cname.removesuffix('.')}.",)
            case _:
                return ()

    def fault_at(self, kind: str) -> Fault | None:
        """Return how a question of this kind is mistreated."""
        return self.fault if not self.fault_kinds or kind in self.fault_kinds else None


def _quoted(text: str) -> str:
    """Write a text as master files do, in strings of at most 255 (RFC 1035 §3.3.14): DKIM keys are longer."""
    cuts = range(0, max(len(text), 1), _STRING_CHARS_MAX)
    pieces = (text[at : at + _STRING_CHARS_MAX].replace("\\", r"\\").replace('"', r"\"") for at in cuts)
    return " ".join(f'"{piece}"' for piece in pieces)


Zone = Mapping[str, Node]  # Lower case, no final dot.


class _Resolved(msgspec.Struct, frozen=True):
    """Where a question leads inside a zone."""

    chain: tuple[tuple[str, str, int], ...]  # CNAMEs followed: owner, target, TTL.
    owner: str  # The name at the end of the chain.
    node: Node | None
    is_name: bool  # The name exists, if only because something is below it.

    @property
    def ttl_s(self) -> int:
        """The least TTL on the way; of a "no", the negative one."""
        own_s = self.node.ttl_s if self.node is not None else NEGATIVE_TTL_S
        return min([own_s, *(ttl_s for _, _, ttl_s in self.chain)])


def parse_zone(text: str | bytes) -> dict[str, Node]:
    """Read a zone from JSON.

    Raises:
        msgspec.ValidationError: a name has something we do not know.
    """
    nodes = msgspec.json.decode(text, type=dict[str, Node])
    return {name.lower().removesuffix("."): node for name, node in nodes.items()}


def find(zone: Zone, name: str) -> Node | None:
    """Return the node of that name, or of the nearest wildcard above it."""
    node = zone.get(name)
    while node is None and "." in name:
        name = name.partition(".")[2]
        node = zone.get(f"*.{name}")
    return node


def _resolve(zone: Zone, name: str, kind: str) -> _Resolved:
    chain: list[tuple[str, str, int]] = []
    node = find(zone, name)
    while node is not None and node.cname and kind != "CNAME" and len(chain) < _CHAIN_MAX:
        target = node.cname.lower().removesuffix(".")
        chain.append((name, target, node.ttl_s))
        name, node = target, find(zone, target)
    is_name = node is not None or any(other.endswith(f".{name}") for other in zone)
    return _Resolved(tuple(chain), name, node, is_name)


class ZoneAsker:
    """A `net.dns_query.Asker` that looks into a zone instead of asking anybody."""

    def __init__(self, zone: Zone, clock: FakeClock | None = None) -> None:
        self._zone: Final = zone
        self._clock: Final = clock or FakeClock()
        self.queries: Final[Counter[tuple[str, str]]] = Counter()  # (name, kind).

    async def mx(self, name: str) -> Found[Mx]:
        """Return the mail hosts."""
        outcome, node, ttl_s = await self._ask(name, "MX")
        pairs = node.mx if node is not None else ()
        return Found(outcome, tuple(Mx(p, host.lower().removesuffix(".")) for p, host in pairs), ttl_s)

    async def a(self, name: str) -> Found[str]:
        """Return the IPv4 addresses."""
        outcome, node, ttl_s = await self._ask(name, "A")
        return Found(outcome, node.a if node is not None else (), ttl_s)

    async def aaaa(self, name: str) -> Found[str]:
        """Return the IPv6 addresses."""
        outcome, node, ttl_s = await self._ask(name, "AAAA")
        return Found(outcome, node.aaaa if node is not None else (), ttl_s)

    async def look(self, name: str, type_: str) -> Look:
        """Return what the zone says, as `net.dns_query.NameServers.look` would."""
        outcome, node, _ = await self._ask(name, type_)
        resolved = _resolve(self._zone, name, type_)
        chain = tuple(target for _, target, _ in resolved.chain)
        if outcome is Outcome.FAILED:
            asked = find(self._zone, name)
            fault = asked.fault_at(type_) if asked is not None else None
            kind = _LOOK_OF_FAULT.get(fault, look.Outcome.FAILED) if fault is not None else look.Outcome.LOOP
            return Look(name, type_, kind, chain=chain if fault is None else ())
        if node is None:
            return Look(name, type_, look.Outcome(outcome.value), chain=chain)
        counts = tuple(len(txt.strings(text)) for text in node.txt) if type_ == "TXT" else ()
        return Look(name, type_, look.Outcome.FOUND, _values_of(node, type_), counts, chain)

    async def _ask(self, name: str, kind: str) -> tuple[Outcome, Node | None, float]:
        self.queries[name, kind] += 1
        asked = find(self._zone, name)
        match asked.fault_at(kind) if asked is not None else None:
            case Fault.NXDOMAIN:
                return Outcome.NO_NAME, None, NEGATIVE_TTL_S
            case Fault.SERVFAIL | Fault.REFUSED | Fault.SILENT | Fault.GARBAGE:
                await self._clock.sleep(0)
                return Outcome.FAILED, None, 0.0
            case Fault.SLOW if asked is not None:
                await self._clock.sleep(asked.delay_s)
            case _:  # None, and TRUNCATED: there is nothing to cut here.
                await self._clock.sleep(0)
        resolved = _resolve(self._zone, name, kind)
        if len(resolved.chain) >= _CHAIN_MAX:
            return Outcome.FAILED, None, 0.0
        if not resolved.is_name:
            return Outcome.NO_NAME, None, NEGATIVE_TTL_S
        if resolved.node is None or not resolved.node.texts(kind):
            return Outcome.EMPTY, None, NEGATIVE_TTL_S
        return Outcome.FOUND, resolved.node, float(resolved.ttl_s)


_LOOK_OF_FAULT: Final = {Fault.SILENT: look.Outcome.TIMED_OUT}


def _values_of(node: Node, type_: str) -> tuple[str, ...]:
    """Return the records of a type as `mail.look` writes them."""
    if type_ == "TXT":
        return node.txt
    return tuple(text.lower().removesuffix(".") for text in node.texts(type_))


class FakeDns(Resolver):
    """The resolver over a zone in memory: the same rules and caches, no network."""

    def __init__(
        self,
        zone: Zone,
        *,
        settings: NetSettings | None = None,
        clock: FakeClock | None = None,
        our_names: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        clock = clock or FakeClock()
        self.asker: Final = ZoneAsker(zone, clock)
        settings = settings or NetSettings(ehlo_name="out.example", allow_private_mx=True)
        super().__init__(settings, clock=clock, random=Random(seed), our_names=our_names, asker=self.asker)

    @property
    def queries(self) -> Counter[tuple[str, str]]:
        """How often each (name, kind) was asked for."""
        return self.asker.queries


class DnsServer:
    """A name server on loopback. Start it with `start` or as a context manager."""

    def __init__(self, zone: Zone) -> None:
        self.zone: Final = zone
        self.queries: Final[Counter[tuple[str, str]]] = Counter()  # (name, kind), both transports.
        self.tcp_count = 0
        self.port = 0
        self._tcp: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._closing: Final = asyncio.Event()
        self._delayed: Final[set[asyncio.TimerHandle]] = set()

    @property
    def address(self) -> str:
        """What `dns_server` in the settings wants: "127.0.0.1:PORT"."""
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on the port, 0 for any, by UDP and TCP.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        for tries_left in range(_BIND_TRIES if port == 0 else 1, 0, -1):
            self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", port)
            self.port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=("127.0.0.1", self.port)
                )
                return
            except OSError:  # Somebody has that port for UDP.
                self._tcp.close()
                await self._tcp.wait_closed()
                if tries_left == 1:
                    raise

    async def close(self) -> None:
        """Stop listening; answers still delayed are never sent. Safe twice."""
        self._closing.set()
        for timer in self._delayed:
            timer.cancel()
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def receive(self, packet: bytes, source: tuple[str, int]) -> None:
        """Answer a packet by UDP."""
        answered = self._answer(packet, is_udp=True)
        if answered is None or self._udp is None:
            return
        answer, delay_s = answered
        if delay_s:
            loop = asyncio.get_running_loop()
            self._delayed.add(loop.call_later(delay_s, self._udp.sendto, answer, source))
        else:
            self._udp.sendto(answer, source)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                answered = self._answer(await reader.readexactly(size), is_udp=False)
                if answered is None:
                    await self._closing.wait()
                    return
                answer, delay_s = answered
                await self._pass(delay_s)
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # The client has gone; so it goes.
        finally:
            writer.close()

    async def _pass(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._closing.wait()
        except TimeoutError:
            return

    def _answer(self, packet: bytes, *, is_udp: bool) -> tuple[bytes, float] | None:
        """Return the answer and how long to hold it back; None: be silent."""
        try:
            query = dns.message.from_wire(packet)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries[name, kind] += 1
        self.tcp_count += not is_udp
        response = dns.message.make_response(query, recursion_available=True)
        asked = find(self.zone, name)
        delay_s = 0.0
        match asked.fault_at(kind) if asked is not None else None:
            case Fault.SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
            case Fault.REFUSED:
                response.set_rcode(dns.rcode.REFUSED)
            case Fault.NXDOMAIN:
                response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(_soa(name))
            case Fault.SILENT:
                return None
            case Fault.GARBAGE:
                return packet[:2] + b"\xff" * 20, 0.0
            case Fault.TRUNCATED if is_udp:
                response.flags |= dns.flags.TC
            case Fault.SLOW if asked is not None:
                delay_s = asked.delay_s
                _fill(response, self.zone, name, kind)
            case _:  # None, and TRUNCATED by TCP.
                _fill(response, self.zone, name, kind)
        return _to_wire(response, query, is_udp=is_udp), delay_s


def _fill(response: dns.message.Message, zone: Zone, name: str, kind: str) -> None:
    """Write what the zone knows into the response."""
    resolved = _resolve(zone, name, kind)
    for owner, target, ttl_s in resolved.chain:
        response.answer.append(dns.rrset.from_text(f"{owner}.", ttl_s, "IN", "CNAME", f"{target}."))
    texts = resolved.node.texts(kind) if resolved.node is not None else ()
    if texts and resolved.node is not None:
        response.answer.append(dns.rrset.from_text(f"{resolved.owner}.", resolved.node.ttl_s, "IN", kind, *texts))
        return
    if not resolved.is_name:
        response.set_rcode(dns.rcode.NXDOMAIN)
    response.authority.append(_soa(resolved.owner))


def _soa(name: str) -> dns.rrset.RRset:
    zone = name.partition(".")[2] or name
    text = f"ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 {NEGATIVE_TTL_S}"
    return dns.rrset.from_text(f"{zone}.", NEGATIVE_TTL_S, "IN", "SOA", text)


def _to_wire(response: dns.message.Message, query: dns.message.Message, *, is_udp: bool) -> bytes:
    if not is_udp:
        return response.to_wire(max_size=_TCP_BYTES_MAX)
    size_max = query.payload if query.edns >= 0 else _UDP_BYTES_MAX
    try:
        return response.to_wire(max_size=size_max)
    except dns.exception.TooBig:
        cut = dns.message.make_response(query, recursion_available=True)
        cut.flags |= dns.flags.TC
        return cut.to_wire()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server: Final = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.receive(data, addr)


async def serve(zone: Zone, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Prints the address first."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = DnsServer(zone)
    await server.start(port)
    try:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await server.close()


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m outrider.testing.dns", description=serve.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--zone", type=Path, required=True, help="a JSON file: name to node")
    given = parser.parse_args()
    asyncio.run(serve(parse_zone(given.zone.read_bytes()), given.port))


if __name__ == "__main__":
    main()
