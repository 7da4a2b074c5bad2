"""The network of a virtual loop, and the mail hosts on it: what connects is the real client, what answers is here.

    net = SimNet(loop, random.Random(seed))
    net.add(SimPeer("10.0.0.1", "gmail", Manners(limiter=SlidingWindow(10, 1.0)), random.Random(3)))
    loop.network = net

A peer speaks SMTP (PIPELINING, STARTTLS if it likes) over octets that take `delay_s` each way and keep their order. Its
`Manners` say what it does to mail; a chance of each kind is drawn for each mail. What it takes is in `taken`; how many
connections there were at once from each source, in `SimNet.most`.

A process is a label in the context (`PROCESS`), so that its connections can be cut with it (`cut`): what it wrote
before still arrives, as after a kill.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.testing.limiter import Limiter
from outrider.testing.virtual_loop import VirtualLoop

PROCESS: Final[ContextVar[str]] = ContextVar("simulated_process", default="")
_END: Final = b"\r\n.\r\n"
_MESSAGE_ID: Final = re.compile(rb"^Message-ID:\s*<([0-9a-f]{32})@", re.MULTILINE | re.IGNORECASE)
_PATH: Final = re.compile(rb"(?:MAIL FROM|RCPT TO):<([^>]*)>", re.IGNORECASE)
_CLOSE: Final = b""  # In a queue of octets: the other side hung up.


class Manners(msgspec.Struct, kw_only=True):
    """How a peer treats mail. Ratios are chances for each mail."""

    delay_s: float = 0.02  # Of octets, one way, with up to a half more or less.
    dot_s: float = 0.05  # What it takes to think about a message.
    stall_ratio: float = 0.0  # Silence after the dot, message taken.
    limiter: Limiter | None = None  # Refuses MAIL with 421 4.7.28 above its limit.
    connections_max: int = 0  # From one source; more are greeted with 421. 0: no bound.
    greylist_s: float = 0.0  # 0: none.
    refuse_ratio: float = 0.0  # 550 at RCPT.
    defer_ratio: float = 0.0  # 451 at RCPT.
    drop_in_data_ratio: float = 0.0
    drop_after_dot_ratio: float = 0.0  # Message taken, no word.
    hang_up_ratio: float = 0.0  # 421 after a message, as busy servers do.
    tls: str = ""  # "works", "refuses" (454), "breaks" (in the handshake); "" is none.
    away: str = ""  # "refused", "silent"; "" is there.


class Taken(msgspec.Struct, frozen=True):
    """A message that a peer took."""

    at_s: float
    recipient_id: UUID
    address: str
    source: str
    peer: str


class SimPeer:
    """One mail host."""

    def __init__(self, ip: str, key: str, manners: Manners, chance: Random) -> None:
        self.ip: Final = ip
        self.key: Final = key  # What its connections are counted by.
        self.manners = manners
        self.chance: Final = chance
        self.taken: Final[list[Taken]] = []
        self.open: Final[Counter[str]] = Counter()  # By source.
        self.first_seen_s: Final[dict[str, float]] = {}  # By recipient, for greylisting.

    def draws(self, ratio: float) -> bool:
        """Whether something that happens with that chance happens now."""
        return ratio > 0 and self.chance.random() < ratio


class SimNet:
    """All of it. A `virtual_loop.Network`."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self.loop: Final = loop
        self.chance: Final = chance
        self.peers: Final[dict[str, SimPeer]] = {}
        self.open: Final[Counter[tuple[str, str]]] = Counter()  # Connections by source and key.
        self.most: Final[Counter[tuple[str, str]]] = Counter()
        self._ends: Final[dict[str, set[ClientEnd]]] = {}  # By process.

    def add(self, peer: SimPeer) -> SimPeer:
        """Let a peer be found at its address."""
        self.peers[peer.ip] = peer
        return peer

    @property
    def taken(self) -> list[Taken]:
        """All messages that were taken, by whomever, in the order of time."""
        return sorted((one for peer in self.peers.values() for one in peer.taken), key=lambda one: one.at_s)

    def cut(self, process: str) -> None:
        """End all connections of a process that died. What it wrote before arrives."""
        for end in sorted(self._ends.pop(process, ()), key=lambda end: end.number):
            end.abort()

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], ip: str, port: int, source: str
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to the peer at `ip`."""
        del port
        peer = self.peers.get(ip)
        if peer is None or peer.manners.away == "silent":
            await self.loop.create_future()
        assert peer is not None
        await self.loop.pass_s(self.delay_of(peer))
        if peer.manners.away:
            raise ConnectionRefusedError("nobody listens there")
        protocol = factory()
        process = PROCESS.get()
        ends = self._ends.setdefault(process, set())
        end = ClientEnd(self, peer, source, protocol, on_end=ends.discard)
        ends.add(end)
        return end, protocol

    async def start_tls(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        """Shake hands, or not."""
        assert isinstance(transport, ClientEnd)
        await self.loop.pass_s(2 * self.delay_of(transport.peer))
        if transport.peer.manners.tls == "breaks" or transport.is_closing():
            transport.abort()
            raise ConnectionResetError("the handshake broke")
        transport.resume_reading()
        return transport

    def delay_of(self, peer: SimPeer) -> float:
        """How long octets take now."""
        return peer.manners.delay_s * self.chance.uniform(0.5, 1.5)

    def count(self, peer: SimPeer, source: str, change: int) -> None:
        """Count connections."""
        peer.open[source] += change
        key = (source, peer.key)
        self.open[key] += change
        self.most[key] = max(self.most[key], self.open[key])


class _Pipe:
    """One direction: what goes in comes out later, in order."""

    def __init__(self, loop: VirtualLoop, sink: Callable[[bytes], None]) -> None:
        self._loop: Final = loop
        self._sink: Final = sink
        self._waiting: Final[deque[bytes]] = deque()
        self._last_at = 0.0

    def put(self, octets: bytes, delay_s: float) -> None:
        self._last_at = max(self._last_at, self._loop.time() + delay_s)
        self._waiting.append(octets)
        self._loop.call_at(self._last_at, self._give)

    def _give(self) -> None:
        self._sink(self._waiting.popleft())


class _Tls:
    """What an encrypted connection says about itself."""

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def getpeercert(self, binary_form: bool = False) -> bytes:
        del binary_form
        return b""


class ClientEnd(asyncio.Transport):
    """Our side of a connection."""

    _made_count = 0

    def __init__(
        self,
        net: SimNet,
        peer: SimPeer,
        source: str,
        protocol: asyncio.BaseProtocol,
        *,
        on_end: Callable[["ClientEnd"], None],
    ) -> None:
        super().__init__({"sockname": (source, 40000), "ssl_object": _Tls()})
        ClientEnd._made_count += 1
        self.number: Final = ClientEnd._made_count
        self.peer: Final = peer
        self.source: Final = source
        self._net: Final = net
        self._protocol: Final[Any] = protocol
        self._on_end: Final = on_end
        self._is_closed = False
        self._is_paused = False
        self._held: Final[list[bytes]] = []
        self._talk: Final = _Talk(net, peer, source, self)
        self._to_peer: Final = _Pipe(net.loop, self._talk.hear)
        self.to_us: Final = _Pipe(net.loop, self._receive)
        net.count(peer, source, 1)
        protocol.connection_made(self)
        net.loop.call_soon(self._talk.greet)

    def write(self, data: Any) -> None:
        """Send."""
        if not self._is_closed:
            self._to_peer.put(bytes(data), self._net.delay_of(self.peer))

    def get_write_buffer_size(self) -> int:
        """Return 0: this network takes all at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing to do: nothing waits."""

    def pause_reading(self) -> None:
        """Keep what comes."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Go on."""
        self._is_paused = False
        held, self._held[:] = list(self._held), []
        for octets in held:
            self._receive(octets)

    def is_closing(self) -> bool:
        """Whether it is over."""
        return self._is_closed

    def close(self) -> None:
        """Close; what was written is sent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._net.count(self.peer, self.source, -1)
        self._to_peer.put(_CLOSE, self._net.delay_of(self.peer))
        self._on_end(self)
        self._net.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close at once."""
        self.close()

    def _receive(self, octets: bytes) -> None:
        if self._is_closed:
            return
        if self._is_paused:
            self._held.append(octets)
        elif octets == _CLOSE:
            self._protocol.eof_received()
            self.close()
        else:
            self._protocol.data_received(octets)


class _Talk:
    """The peer's side: SMTP, with manners."""

    def __init__(self, net: SimNet, peer: SimPeer, source: str, end: ClientEnd) -> None:
        self._net: Final = net
        self._peer: Final = peer
        self._source: Final = source
        self._end: Final = end
        self._pending = b""
        self._in_body = False
        self._has_tls = False
        self._to: list[str] = []
        self._is_over = False

    def greet(self) -> None:
        """Say hello, or that there are too many."""
        bound = self._peer.manners.connections_max
        if bound and self._peer.open[self._source] > bound:
            self._say("421 4.7.0 Too many connections from your address")
            self._hang_up()
        else:
            self._say("220 peer.example ESMTP")

    def hear(self, octets: bytes) -> None:
        """Take what came."""
        if octets == _CLOSE:
            self._is_over = True
        self._pending += octets
        while self._step():
            pass

    def _step(self) -> bool:
        """Take one command or one body; False: there is none, or nobody listens any more."""
        if self._is_over:
            return False
        if self._in_body:
            head, found, rest = self._pending.partition(_END)
            if not found:
                return False
            self._pending, self._in_body = rest, False
            self._on_body(head)
            return True
        line, found, rest = self._pending.partition(b"\r\n")
        if not found:
            return False
        self._pending = rest
        self._on_command(line)
        return True

    def _on_command(self, line: bytes) -> None:
        match line[:4].upper():
            case b"EHLO":
                offer = ["STARTTLS"] if self._peer.manners.tls and not self._has_tls else []
                words = ["peer.example", "PIPELINING", "8BITMIME", *offer, "ENHANCEDSTATUSCODES"]
                self._say("\r\n".join([*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}"]))
            case b"STAR":
                if self._peer.manners.tls == "refuses":
                    self._say("454 4.7.0 TLS not available")
                else:
                    self._has_tls = True
                    self._say("220 2.0.0 Go ahead")
            case b"MAIL":
                self._on_mail()
            case b"RCPT":
                self._on_rcpt(line)
            case b"DATA":
                self._on_data()
            case b"RSET":
                self._to = []
                self._say("250 2.0.0 Ok")
            case b"QUIT":
                self._say("221 2.0.0 Bye")
                self._hang_up()
            case _:
                self._say("500 5.5.2 What?")

    def _on_mail(self) -> None:
        self._to = []
        limiter = self._peer.manners.limiter
        if limiter is not None and not limiter.takes(self._net.loop.time()):
            self._say("421 4.7.28 Too fast, slow down")
            self._hang_up()
            return
        self._say("250 2.1.0 Ok")

    def _on_rcpt(self, line: bytes) -> None:
        manners, now_s = self._peer.manners, self._net.loop.time()
        found = _PATH.match(line)
        address = found[1].decode() if found else ""
        if address.startswith("nobody") or self._peer.draws(manners.refuse_ratio):
            self._say("550 5.1.1 No such user")
        elif manners.greylist_s and now_s - self._peer.first_seen_s.setdefault(address, now_s) < manners.greylist_s:
            self._say("450 4.7.1 Greylisted, try again later")
        elif self._peer.draws(manners.defer_ratio):
            self._say("451 4.3.0 Temporary failure")
        else:
            self._to.append(address)
            self._say("250 2.1.5 Ok")

    def _on_data(self) -> None:
        if not self._to:
            self._say("503 5.5.1 No valid recipients")
            return
        if self._peer.draws(self._peer.manners.drop_in_data_ratio):
            self._hang_up()
            return
        self._in_body = True
        self._say("354 Go ahead")

    def _on_body(self, body: bytes) -> None:
        found, manners = _MESSAGE_ID.search(body), self._peer.manners
        assert found is not None, f"a message without our id: {body[:200]!r}"
        at_s = self._net.loop.time()
        for address in self._to:
            taken = Taken(at_s, UUID(found[1].decode()), address, self._source, self._peer.ip)
            self._peer.taken.append(taken)
        self._to = []
        if self._peer.draws(manners.stall_ratio):
            self._is_over = True
        elif self._peer.draws(manners.drop_after_dot_ratio):
            self._hang_up()
        else:
            self._say("250 2.0.0 Taken", manners.dot_s * self._peer.chance.uniform(0.5, 1.5))
            if self._peer.draws(manners.hang_up_ratio):
                self._say("421 4.3.2 Closing, busy", manners.dot_s)
                self._hang_up()

    def _say(self, words: str, think_s: float = 0.0) -> None:
        self._end.to_us.put(words.encode() + b"\r\n", think_s + self._net.delay_of(self._peer))

    def _hang_up(self) -> None:
        self._is_over = True
        self._end.to_us.put(_CLOSE, self._net.delay_of(self._peer))
