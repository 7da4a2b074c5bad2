"""Drives the pure SMTP session over a socket. All delivery I/O is here; what to say and how long to wait is `Session`.

`Connection.open` dials, greets, upgrades to TLS and authenticates; `deliver` carries one message and `dialogue` tells
how; `quit`, `stop` and `abort` end it, politely, when its conversation allows, or at once. Nothing that a peer or the
network did is raised.

A protocol, not streams: a mail is two writes, two reads and one future. One timer serves all deadlines of a connection:
a reply only moves `_deadline_s`, the timer looks at it when it fires. It fires at least every `_tick_s`, the shortest
wait, so no new deadline can lie before it. A deadline is for a whole reply: dripping bytes buys nothing. While the
body is going out it is for progress: a peer that takes nothing for that long is gone.

Silence is ambiguous only once all of the body has left us: when nothing waits in the buffers, TLS's and the socket's.
Their limit is 0, so they call whenever that may have come true.
Works on asyncio's loop and on uvloop.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self, cast

import msgspec

from outrider.base.errors import RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.net import certificate
from outrider.net.dial import dial
from outrider.wire import dialogue
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope, Session, State

_LOST: Final = Answer(Phase.MAIL, None, Cause.RESET)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to connect."""

    ip: str
    port: int
    host: str  # The name that TLS asks for and checks.
    context: ssl.SSLContext
    connect_wait_s: float
    source: str = ""  # Our address; "" lets the system choose.


class Connection(asyncio.Protocol):
    """One SMTP connection. Carries one message at a time, many in a row.

    Invariant: someone waits on `_waiter` exactly while a peer's move is awaited, and it is resolved when the session
    is READY, OVER, or at TLS.
    """

    __slots__ = (
        "_asked_at_s",
        "_backlog_bytes",
        "_cipher",
        "_deadline_s",
        "_head",
        "_heard_ms",
        "_loop",
        "_on_gone",
        "_raw",
        "_setup",
        "_source",
        "_tick_s",
        "_timer",
        "_transport",
        "_waiter",
        "certificate",
        "endpoint",
        "failure",
        "has_place",
        "holds_slot",
        "is_gone",
        "message_count",
        "rested_at_s",
        "session",
        "setup_s",
        "tls_version",
    )

    def __init__(self, session: Session, endpoint: Endpoint, tried: Sequence[str] = ()) -> None:
        self.session: Final = session
        self.endpoint: Final = endpoint
        self.failure: Answer | None = None  # Why it was not set up.
        self.message_count = 0  # Begun on this connection.
        self.rested_at_s = 0.0  # The pool's note: since when it is idle.
        self.holds_slot = False  # The pool's note: nobody talks on it, it answers for its slot itself.
        self.has_place = True  # The pool's note: it counts towards what this process may have open.
        self.tls_version = ""  # "TLSv1.3"; "" is plain text.
        self.certificate = ""  # Whom the peer's certificate names, checked or not.
        self.setup_s = 0.0  # How long that took, or failing to.
        self._cipher = ""
        self._source = ""  # Our address.
        self._setup: Final[list[str]] = list(tried)  # How it came to be; told with its first message.
        self._head = ""  # Of the dialogue of every later message.
        self._asked_at_s = 0.0  # When we wrote last.
        self._heard_ms: Final[list[str]] = []  # From then to what was heard; in step with `session.heard`.
        self._loop: Final = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._raw: asyncio.Transport | None = None  # Below TLS; the same without.
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = math.inf
        self._backlog_bytes = 0  # Bytes that waited for the peer to take them at the last look.
        self.is_gone = False  # The socket is closed.
        self._on_gone: Callable[[Connection], None] | None = None
        waits = session.waits
        self._tick_s: Final = min(
            waits.greeting_s, waits.command_s, waits.data_start_s, waits.data_block_s, waits.data_end_s
        )

    @classmethod
    async def open(cls, session: Session, endpoint: Endpoint, tried: Sequence[str] = ()) -> Self:
        """Return a connection whose session is READY, or one that is over and whose `failure` says why.

        Args:
            tried: lines of `dialogue.tried`, of the hosts before it.

        Safe: cancellable; nothing stays open.
        """
        connection = cls(session, endpoint, tried)
        try:
            connection.failure = await connection._set_up()
        except BaseException:
            connection.abort()
            raise
        return connection

    @property
    def dialogue(self) -> str:
        """What was said about the message begun last, before the first also how the connection was set up.

        Cost: 5 us, and what it is made from as much again while the mail is under way (2026-11).
        """
        session = self.session
        number = self.message_count
        if number <= 1:
            head = dialogue.head(self._source, self._cipher, session.ehlo_name)
            lines = [f"{number} {head} {session.parameters}", *self._setup]
        else:
            lines = [f"{number} {self._head} {session.parameters}"]
        lines += self._lines()
        return dialogue.join(lines)

    @property
    def is_over(self) -> bool:
        """It carries no more messages."""
        return self.session.state in (State.OVER, State.QUIT)

    def watch(self, on_gone: Callable[["Connection"], None]) -> None:
        """Call `on_gone` once, when the socket is closed; at once if it is."""
        self._on_gone = on_gone
        if self.is_gone:
            on_gone(self)

    async def deliver(self, envelope: Envelope) -> Mapping[str, Answer]:
        """Carry one message; return an answer for each recipient.

        Raises:
            LocalProtocolError: another message is on its way, or an address holds a control character.

        Safe: cancellable, which aborts the connection.
        """
        if self.is_over:
            return dict.fromkeys(envelope.recipients, self.session.failure or _LOST)
        session = self.session
        commands = session.begin(envelope)
        self._heard_ms.clear()
        self.message_count += 1
        if commands:
            self._write(commands)
            self._arm()
            await self._turn()
        else:
            self._asked_at_s = self._loop.time()  # Nobody was asked.
        return session.answers

    def quit(self) -> None:
        """Say QUIT and close when the peer has answered, or soon after."""
        self._write(self.session.quit())
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self.session.waits.quit_s, self.abort)

    def stop(self) -> None:
        """End as soon as is safe: QUIT at rest, let a conversation past the final dot go on, abort any other."""
        match self.session.state:
            case State.READY:
                self.quit()
            case State.DOT | State.QUIT:
                pass
            case _:  # A new state is one before the dot: aborting it loses nothing.
                self.abort()

    def abort(self) -> None:
        """Close now. Whoever waits gets RESET. Safe to call again."""
        self._lose(Cause.RESET)
        if self._transport is None:
            self._leave()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the greeting."""
        self._raw = self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._asked_at_s = self._loop.time()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Pass on what the peer said and send what the session says to it."""
        session = self.session
        if session.is_over:
            return
        turn = session.turn
        try:
            reply = session.receive(data)
        except RemoteProtocolError:
            self._lose(Cause.PROTOCOL)
            return
        if session.turn != turn:
            self._note_heard()
        if reply:
            self._write(reply)
            self._look_at_body()
        state = session.state
        if state is State.READY or state is State.OVER or state is State.TLS:
            self._rest(state)
        elif session.turn != turn:  # A whole reply came, so the next one has its whole time.
            self._deadline_s = self._loop.time() + session.wait_s

    def pause_writing(self) -> None:
        """See whether all of the body has left us: with a limit of 0, TLS says "pause" and "resume" by turns."""
        self._look_at_body()

    def resume_writing(self) -> None:
        """See whether all of the body has left us."""
        self._look_at_body()

    def eof_received(self) -> None:
        """Hang up too: SMTP knows no half-closed sessions."""
        self._lose(Cause.RESET)

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell whoever waits, and the owner."""
        self._lose(Cause.RESET)
        self._leave()

    # Setting up.

    async def _set_up(self) -> Answer | None:
        started_s = self._loop.time()
        failure = await self._connect()
        if failure is None:
            await self._turn()
            if self.session.state is State.TLS:
                await self._start_tls()
                await self._turn()
            failure = self.session.failure
            self._setup.extend(self._lines())
        self._head = dialogue.head(self._source, self._cipher, "")
        self.setup_s = self._loop.time() - started_s
        self.session.heard.clear()
        return failure

    async def _connect(self) -> Answer | None:
        to = self.endpoint
        started_s = self._loop.time()
        made = await dial(lambda: self, to.ip, to.port, wait_s=to.connect_wait_s, source=to.source)
        failure = made if isinstance(made, Answer) else None
        cause = None if failure is None else failure.cause
        connect_ms = dialogue.ms(self._loop.time() - started_s)
        self._setup.extend(dialogue.lines([(dialogue.CONNECT, cause)], [connect_ms]))
        if failure is not None:
            self.abort()
            return failure
        assert self._raw is not None
        self._source = (self._raw.get_extra_info("sockname") or ("",))[0]
        return None

    async def _start_tls(self) -> None:
        waits = self.session.waits
        assert self._raw is not None
        self._asked_at_s = self._loop.time()
        try:
            transport = await self._loop.start_tls(
                self._raw,
                self,
                self.endpoint.context,
                server_hostname=self.endpoint.host or self.endpoint.ip,
                ssl_handshake_timeout=waits.tls_s,
                ssl_shutdown_timeout=waits.quit_s,
            )
        except (OSError, ValueError):  # Any failure to agree; ValueError: a host name no certificate could hold.
            transport = None
        if transport is None or self.session.state is State.OVER:
            self._lose(Cause.TLS)
            self._leave()
            return
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._note_tls(transport.get_extra_info("ssl_object"))
        hello = self.session.tls_started()
        self._note_heard()
        self._write(hello)
        self._arm()

    def _note_tls(self, tls: ssl.SSLObject) -> None:
        self.tls_version = tls.version() or ""
        cipher = tls.cipher()
        self._cipher = cipher[0] if cipher else ""
        der = tls.getpeercert(binary_form=True)
        self.certificate = certificate.name_of(der) if der else ""

    # What was heard, and when.

    def _note_heard(self) -> None:
        """Give what the session has heard just now its time."""
        times = self._heard_ms
        count = len(self.session.heard) - len(times)
        if count > 0:
            times += [dialogue.ms(self._loop.time() - self._asked_at_s)] * count

    def _lines(self) -> list[str]:
        """Return a line for each thing heard since `begin`, before that since the connection was made."""
        self._note_heard()  # What is left was not waited for.
        return dialogue.lines(self.session.heard, self._heard_ms)

    # Waiting.

    async def _turn(self) -> None:
        """Return when the peer has made its move: the session is READY, OVER or at TLS."""
        if self.session.state in (State.READY, State.OVER, State.TLS):
            return
        assert self._waiter is None
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.abort()
            raise

    def _rest(self, state: State) -> None:
        """Our move, or nobody's: stop the clock and wake whoever waits."""
        self._deadline_s = math.inf
        if state is State.TLS:
            assert self._raw is not None
            self._raw.pause_reading()  # What comes next is for TLS alone.
        elif state is State.OVER:
            self._close()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _arm(self) -> None:
        self._deadline_s = self._loop.time() + self.session.wait_s
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_s, self._on_tick)

    def _on_tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now >= self._deadline_s:
            if not self._has_progressed():
                self._lose(Cause.TIMEOUT)
                return
            self._deadline_s = now + self.session.wait_s
        if self._deadline_s != math.inf:  # Else nobody waits; the next `_arm` starts again.
            self._timer = self._loop.call_at(min(self._deadline_s, now + self._tick_s), self._on_tick)

    def _has_progressed(self) -> bool:
        """Tell whether the peer has taken part of the body since the last look."""
        if self.session.state is not State.BODY:
            return False
        before, self._backlog_bytes = self._backlog_bytes, self._count_backlog()
        return self._backlog_bytes < before

    def _count_backlog(self) -> int:
        raw, transport = self._raw, self._transport
        if raw is None or transport is None:
            return 0
        # Danger: TLS hands all on at once, so its own buffer is empty while the socket's is full.
        waiting_bytes = raw.get_write_buffer_size()
        return waiting_bytes if transport is raw else waiting_bytes + transport.get_write_buffer_size()

    # Writing and closing.

    def _write(self, octets: bytes) -> None:
        assert self._transport is not None
        self._asked_at_s = self._loop.time()
        self._transport.write(octets)
        self._backlog_bytes = self._count_backlog()

    def _look_at_body(self) -> None:
        """Tell the session if all of the body has left us; not if writing it failed."""
        if self.session.state is State.BODY and self._count_backlog() == 0:
            assert self._raw is not None
            if not self._raw.is_closing():
                self.session.body_sent()
                self._deadline_s = self._loop.time() + self.session.wait_s

    def _lose(self, cause: Cause) -> None:
        if self.session.state is State.OVER:
            return
        self.session.connection_lost(cause)
        self._note_heard()
        if self._transport is not None:
            self._transport.abort()
        self._rest(State.OVER)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is None:
            return
        if self._count_backlog():  # Nobody takes what is left; `close` would wait for ever to flush it.
            self._transport.abort()
        else:
            self._transport.close()

    def _leave(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        if self._on_gone is not None:
            self._on_gone(self)
