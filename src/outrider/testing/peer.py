"""A scripted SMTP server on loopback: it behaves, except where its `Script` says otherwise, and records what it got.

    async with Peer(Script(moves={Stage.DOT: Move(Act.DROP)})) as peer:
        attempt = await send(pool, peer.site(), envelope)
        peer.script = Script()  # From its next move on it behaves.

A move replaces the usual reply at its stage. `reached` waits until a conversation gets to a stage; `release` frees
those that HOLD. It answers each command as it reads it, pipelined or not. Leaving the block closes every conversation.
"""

import asyncio
import contextlib
import enum
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self, cast

import msgspec

from outrider.net.selfsigned import SelfSigned
from outrider.net.site import Host, Site
from outrider.wire.smtp_client import Credentials, TlsMode

ADDRESS: Final = "127.0.0.1"
HOST: Final = "mx.peer.example"
STRICT_END: Final = rb"(^|\r\n)\.\r\n"
LENIENT_END: Final = rb"(^|\r\n|\n|\r)\.(?:\r\n|\n|\r)"  # What the most careless servers take for the end.
_END_BYTES_MAX: Final = 5  # CRLF . CRLF
_BUFFER_BYTES: Final = 65536  # Of the system, for what a peer that reads nothing has yet to read.
_DRIP_S: Final = 0.02  # Between two drops, and between two sips.
_WAIT_S: Final = 5.0  # For anything a test waits for; past it the test has failed.


class Stage(enum.StrEnum):
    """Where a conversation is: what the peer is about to answer."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # The first octets of the message have come. HOLD stops reading there; SAY interrupts and closes.
    DOT = "dot"
    RSET = "rset"
    QUIT = "quit"


class Act(enum.StrEnum):
    """What the peer does instead of the usual reply."""

    SAY = "say"  # `Move.octets`, as they are.
    HOLD = "hold"  # Nothing, until `Peer.release`; then the usual reply.
    DROP = "drop"  # Close the connection.
    RESET = "reset"  # Tear it down, unsent and unread octets with it.
    DRIP = "drip"  # The usual reply, byte by byte.
    SIP = "sip"  # At BODY: read the message mouthful by mouthful.
    ENDLESS_REPLY = "endless_reply"  # Lines of a reply without a last one.
    ENDLESS_LINE = "endless_line"  # A line without an end.
    GARBAGE = "garbage"  # Something that is no SMTP.


class Move(msgspec.Struct, frozen=True):
    """One departure from the usual."""

    act: Act
    octets: bytes = b""
    times_max: int = 0  # 0: always. Counted over all conversations since the script was set.


class TlsKind(enum.StrEnum):
    """What STARTTLS leads to."""

    NONE = "none"  # Not offered.
    GOOD = "good"  # A self-signed certificate for `HOST`; `Peer.certificate` verifies it.
    BROKEN = "broken"  # Consent, then no handshake but rubbish.
    HANGUP = "hangup"  # Consent, then the connection is closed.
    SILENT = "silent"  # Consent, then nothing.
    INJECTED = "injected"  # Consent, and in the same packet a reply that somebody put there.
    INJECTED_LATE = "injected_late"  # Consent, and the reply in a packet of its own before the handshake.
    INJECTED_PART = "injected_part"  # Consent, and in the same packet the beginning of a reply.


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How a peer behaves."""

    features: tuple[str, ...] = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    moves: Mapping[Stage, Move] = {}
    refused: Mapping[str, bytes] = {}  # Recipients and the reply they get, with CRLF.
    tls: TlsKind = TlsKind.NONE
    mechanisms: tuple[str, ...] = ()  # AUTH, after TLS or without.
    end_of_data: bytes = STRICT_END  # A regular expression; its group 1 is the line end before the dot.


class Received(msgspec.Struct, frozen=True):
    """A message the peer said 250 to."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes  # As it came: dots stuffed, without the final one.
    is_encrypted: bool
    client: str = ""  # The address it came from,
    hello: str = ""  # and what that called itself.
    at_s: float = 0.0  # When; on the loop's clock.


class HungUpError(Exception):
    """This side of the conversation is over."""


class Peer:
    """A server for tests; an async context manager."""

    def __init__(self, script: Script | None = None, *, address: str = ADDRESS, port: int = 0) -> None:
        self.address: Final = address  # Another one of 127.0.0.0/8 makes a second host of one site.
        self.port = port  # 0: a free one, from the start on.
        self.received: Final[list[Received]] = []
        self.commands: Final[list[str]] = []  # All lines read outside DATA, in order, over all conversations.
        self.connection_count = 0
        self.open_max: Final[Counter[str]] = Counter()  # The most conversations there were at once, by client.
        self.certificate: Final = SelfSigned(HOST)
        self._script = script or Script()
        self._acted: Counter[Stage] = Counter()
        self._reached: Counter[Stage] = Counter()
        self._news = asyncio.Condition()
        self._released = asyncio.Event()
        self._talks: set[_Talk] = set()
        self._stack: Final = contextlib.AsyncExitStack()

    @property
    def script(self) -> Script:
        """How it behaves from its next move on."""
        return self._script

    @script.setter
    def script(self, script: Script) -> None:
        self._script = script
        self._acted.clear()
        self._reached.clear()
        self._released.clear()

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())

        def start(wire: _Wire) -> None:
            group.create_task(self._serve(_Talk(self, wire)))

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Wire(start), self.address, self.port)
        for listener in server.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._stack.callback(self._tear_down)
        self._stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _tear_down(self) -> None:
        self._released.set()
        self.tear_down()

    def site(
        self, *, tls: TlsMode = TlsMode.OPPORTUNISTIC, credentials: Credentials | None = None, host: str = HOST
    ) -> Site:
        """Return the site this peer is the only host of."""
        return Site(host, (Host(host, (self.address,)),), self.port, tls, credentials)

    def release(self) -> None:
        """Let those that hold go on."""
        self._released.set()

    def hang_up(self) -> None:
        """Close all conversations, as a server does that restarts; new ones are welcome."""
        for talk in self._talks:
            talk.wire.hang_up()

    def tear_down(self) -> None:
        """Tear all conversations down, unsent octets with them; new ones are welcome."""
        for talk in self._talks:
            talk.wire.tear_down()

    async def interject(self, octets: bytes) -> None:
        """Say something in every conversation that nobody asked for."""
        for talk in list(self._talks):
            await talk.wire.send(octets)

    async def reached(self, stage: Stage, *, count: int = 1) -> None:
        """Return when conversations have come to `stage` `count` times since the script was set."""
        await self._until(lambda: self._reached[stage] >= count)

    @property
    def open_count(self) -> int:
        """How many conversations there are now."""
        return len(self._talks)

    async def until_idle(self) -> None:
        """Return when no conversation is left."""
        await self._until(lambda: not self._talks)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(_WAIT_S), self._news:
            await self._news.wait_for(is_so)

    async def _serve(self, talk: "_Talk") -> None:
        self._talks.add(talk)
        self.connection_count += 1
        client = talk.wire.client
        self.open_max[client] = max(self.open_max[client], sum(one.wire.client == client for one in self._talks))
        try:
            with contextlib.suppress(HungUpError):
                await talk.run()
        finally:
            talk.wire.hang_up()
            self._talks.discard(talk)
            async with self._news:
                self._news.notify_all()

    async def arrive(self, stage: Stage) -> Move | None:
        """Note that a conversation is at `stage`; return the move to make there, None for the usual."""
        async with self._news:
            self._reached[stage] += 1
            self._news.notify_all()
        move = self._script.moves.get(stage)
        if move is None or (move.times_max and self._acted[stage] >= move.times_max):
            return None
        self._acted[stage] += 1
        return move

    async def held(self, wait_s: float | None = None) -> None:
        """Return when released, or after `wait_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), wait_s)


class _Wire(asyncio.Protocol):
    """One connection as bytes in and bytes out; every method raises HungUpError once it is over."""

    def __init__(self, on_made: "Callable[[_Wire], None]") -> None:
        self.unread = bytearray()
        self.is_encrypted = False
        self._on_made: Final = on_made
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._news: Final = asyncio.Event()
        self._may_write: Final = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self.unread += data
        self._news.set()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    @property
    def client(self) -> str:
        """The other side's address."""
        return str(self._transport.get_extra_info("peername")[0]) if self._transport is not None else ""

    async def read_more(self) -> None:
        """Return when `unread` has grown."""
        self._news.clear()
        if not self._is_over:
            await self._news.wait()
        self._live()

    async def send(self, octets: bytes) -> None:
        """Send, and return when the other side is not too far behind."""
        self._live().write(octets)
        await self._may_write.wait()
        self._live()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as the server."""
        try:
            transport = await asyncio.get_running_loop().start_tls(self._live(), self, context, server_side=True)
        except OSError:
            transport = None
        if transport is None:  # Closed in mid-handshake; older asyncio says so with None.
            self._end()
        self._transport = transport or self._transport
        self._live()
        self.is_encrypted = True

    def pause(self) -> None:
        """Read no more; the other side notices when all buffers are full."""
        self._live().pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._live().resume_reading()

    def hang_up(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()
        self._end()

    def tear_down(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _live(self) -> asyncio.Transport:
        if self._is_over or self._transport is None:
            raise HungUpError
        return self._transport

    def _end(self) -> None:
        self._is_over = True
        self._news.set()
        self._may_write.set()


class _Talk:
    """One conversation."""

    def __init__(self, peer: Peer, wire: _Wire) -> None:
        self.wire: Final = wire
        self._peer: Final = peer
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._client: Final = wire.client
        self._hello = ""

    async def run(self) -> None:
        await self._play(Stage.GREETING, f"220 {HOST} ESMTP\r\n")
        while True:
            line = await self._read_line()
            self._peer.commands.append(line)
            await self._answer(line)

    async def _answer(self, line: str) -> None:
        verb = line.split(" ", maxsplit=1)[0].upper()
        match verb:
            case "EHLO":
                self._hello = line.partition(" ")[2]
                await self._play(Stage.EHLO, self._offer())
            case "STARTTLS":
                await self._on_starttls()
            case "AUTH":
                await self._on_auth(line)
            case "MAIL":
                await self._on_mail(line)
            case "RCPT":
                await self._on_rcpt(line)
            case "DATA":
                await self._on_data()
            case "RSET":
                self._sender, self._recipients = None, []
                await self._play(Stage.RSET, "250 2.0.0 reset\r\n")
            case "HELO":
                await self._play(Stage.HELO, f"250 {HOST}\r\n")
            case "QUIT":
                await self._play(Stage.QUIT, "221 2.0.0 bye\r\n")
                self.wire.hang_up()
                raise HungUpError
            case _:
                await self._say(b"500 5.5.2 what?\r\n")

    def _offer(self) -> str:
        script = self._peer.script
        offered = [HOST, *script.features]
        if script.tls is not TlsKind.NONE and not self.wire.is_encrypted:
            offered.append("STARTTLS")
        if script.mechanisms:
            offered.append("AUTH " + " ".join(script.mechanisms))
        return "".join(f"250-{line}\r\n" for line in offered[:-1]) + f"250 {offered[-1]}\r\n"

    async def _on_starttls(self) -> None:
        kind = self._peer.script.tls
        consent = "220 2.0.0 go ahead\r\n"
        if kind is TlsKind.INJECTED:
            consent += "250 injected\r\n"
        elif kind is TlsKind.INJECTED_PART:
            consent += "250-inj"
        if kind is not TlsKind.NONE and not await self._play(Stage.STARTTLS, consent):
            return
        match kind:
            case TlsKind.BROKEN:
                await self.wire.read_more()  # The other side's first message.
                await self._say(b"554 5.3.0 there is no TLS here after all\r\n")
            case TlsKind.HANGUP:
                self.wire.hang_up()
                raise HungUpError
            case TlsKind.SILENT:
                await self._peer.held()
                raise HungUpError
            case TlsKind.INJECTED_LATE:
                await self.wire.read_more()  # The other side's first message: our consent has been read.
                await self._say(b"250 injected\r\n")
                await self.wire.start_tls(self._peer.certificate.context)
            case TlsKind.GOOD | TlsKind.INJECTED | TlsKind.INJECTED_PART:
                await self.wire.start_tls(self._peer.certificate.context)
            case TlsKind.NONE:
                await self._say(b"502 5.5.1 not offered\r\n")

    async def _on_auth(self, line: str) -> None:
        words = line.split(" ")
        for _ in range({"PLAIN": 1, "LOGIN": 2}[words[1].upper()] - len(words[2:])):
            await self._say(b"334 \r\n")
            self._peer.commands.append(await self._read_line())
        await self._play(Stage.AUTH, "235 2.7.0 welcome\r\n")

    async def _on_mail(self, line: str) -> None:
        if self._sender is not None:
            await self._say(b"503 5.5.1 nested MAIL command\r\n")
        elif await self._play(Stage.MAIL, "250 2.1.0 sender ok\r\n"):
            self._sender = _path(line)

    async def _on_rcpt(self, line: str) -> None:
        address = _path(line)
        refusal = self._peer.script.refused.get(address)
        if self._sender is None:
            await self._say(b"503 5.5.1 need MAIL command\r\n")
        elif refusal is not None:
            await self._say(refusal)
        elif await self._play(Stage.RCPT, "250 2.1.5 recipient ok\r\n"):
            self._recipients.append(address)

    async def _on_data(self) -> None:
        is_wanted = Stage.DATA in self._peer.script.moves or bool(self._recipients)
        if not is_wanted:
            await self._say(b"503 5.5.1 no valid recipients\r\n")
        elif await self._play(Stage.DATA, "354 go ahead\r\n"):
            content = await self._read_body()
            received = Received(
                self._sender or "",
                tuple(self._recipients),
                content,
                self.wire.is_encrypted,
                self._client,
                self._hello,
                asyncio.get_running_loop().time(),
            )
            self._sender, self._recipients = None, []
            if not received.recipients:
                await self._say(b"554 5.5.1 no valid recipients\r\n")
            elif await self._play(Stage.DOT, f"250 2.0.0 queued as {len(self._peer.received) + 1:06X}\r\n"):
                self._peer.received.append(received)

    async def _play(self, stage: Stage, usual: str) -> bool:
        """Make the scripted move, or the usual one; tell whether the reply meant the same as the usual one."""
        move = await self._peer.arrive(stage)
        if move is None:
            await self._say(usual.encode())
            return True
        match move.act:
            case Act.SAY:
                await self._say(move.octets)
                return move.octets[:1] == usual[:1].encode()
            case Act.HOLD:
                await self._peer.held()
                await self._say(usual.encode())
                return True
            case Act.DROP:
                self.wire.hang_up()
            case Act.RESET:
                self.wire.tear_down()
            case Act.DRIP:
                for octet in usual.encode():
                    await self._say(bytes([octet]))
                    await self._peer.held(_DRIP_S)
                return True
            case Act.ENDLESS_REPLY | Act.ENDLESS_LINE:
                while True:
                    await self._say(b"250-more\r\n" * 1000 if move.act is Act.ENDLESS_REPLY else b"2" * 10000)
            case Act.GARBAGE:
                await self._say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return False
            case Act.SIP:
                raise AssertionError("SIP is a move for BODY")
        raise HungUpError

    async def _say(self, octets: bytes) -> None:
        await self.wire.send(octets)

    async def _read_line(self) -> str:
        while b"\r\n" not in self.wire.unread:
            await self.wire.read_more()
        line, _, self.wire.unread = self.wire.unread.partition(b"\r\n")
        return line.decode(errors="backslashreplace")  # Of a TLS message that nobody takes, any octets.

    async def _read_body(self) -> bytes:
        if not self.wire.unread:
            await self.wire.read_more()
        is_sipping = await self._at_body()
        end, start = re.compile(self._peer.script.end_of_data), 0
        while (found := end.search(self.wire.unread, start)) is None:
            start = max(0, len(self.wire.unread) - _END_BYTES_MAX)
            if is_sipping:
                self.wire.pause()
                await self._peer.held(_DRIP_S)
                self.wire.resume()
            await self.wire.read_more()
        content = bytes(self.wire.unread[: found.end(1)])
        del self.wire.unread[: found.end()]
        return content

    async def _at_body(self) -> bool:
        """Make the scripted move; tell whether the body is to be sipped."""
        move = await self._peer.arrive(Stage.BODY)
        match move and move.act:
            case None:
                return False
            case Act.SIP:
                return True
            case Act.HOLD:
                self.wire.pause()
                await self._peer.held()
                self.wire.resume()
                return False
            case Act.RESET:
                self.wire.tear_down()
                raise HungUpError
            case _:  # SAY something, or nothing, and close.
                assert move is not None
                await self._say(move.octets)
                self.wire.hang_up()
                raise HungUpError


def _path(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]
