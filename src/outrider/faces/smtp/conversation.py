"""One SMTP conversation of a receiver that may misbehave: reads commands and bodies as cheaply as it can, and answers.

Who uses it says in a subclass which rule acts (`choose`) and what becomes of a message (`taken`): the simulator, and
the sink of tests and benchmarks. It keeps the header of a message and no body, and relays nothing.

    commands --DATA--> body --CRLF.CRLF--> commands          each read: steps until one finds nothing to do, one write

Without rules (`stages` empty) a pipelined MAIL, RCPT and DATA is one match of one regular expression, and a body is
searched for its end and nothing else, also when the end lies across two reads. Any cut of the stream gives the same
result. Bounded: a line, the header that is kept, and what a peer may send while it waits for us.
Source: RFC 5321, RFC 2920 (pipelining), RFC 3207 (STARTTLS; whatever was pipelined behind it is thrown away).
"""

import asyncio
import re
import ssl
from collections.abc import Sequence
from typing import Final, cast

from outrider.policy.behaviour import Action, Rule, Stage
from outrider.wire.smtp_data import EndFinder

SIZE_BYTES_MAX: Final = 64 * 1024 * 1024  # Ours: what we advertise as SIZE.
_LINE_BYTES_MAX: Final = 4096  # Ours: RFC 5321 §4.5.3.1.4 says 512, extensions add.
_HEAD_BYTES_MAX: Final = 16 * 1024  # Ours: what is kept of a message, give or take one read.
_PENDING_BYTES_MAX: Final = 256 * 1024  # Ours: what may come while we say nothing; then we stop reading.

_PIPELINED: Final = re.compile(
    rb"MAIL FROM:<([^>\r\n]*)>[^\r\n]*\r\nRCPT TO:<([^>\r\n]+)>[^\r\n]*\r\nDATA\r\n", re.IGNORECASE
)
_PATH: Final = re.compile(rb"(?:FROM|TO):[ ]?<([^>]*)>", re.IGNORECASE)

_OK_MAIL: Final = b"250 2.1.0 Ok\r\n"
_OK_RCPT: Final = b"250 2.1.5 Ok\r\n"
_OK_DATA: Final = b"354 Go ahead\r\n"
_OK_PIPELINED: Final = _OK_MAIL + _OK_RCPT + _OK_DATA
_OK_DOT: Final = b"250 2.0.0 Taken\r\n"
_GARBAGE: Final = b"\x16\x03\x01 what? \xff\xfe\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n"
_OUT_OF_TURN: Final = b"503 5.5.1 Out of turn\r\n"


class Conversation(asyncio.Protocol):
    """One connection. `_pending` holds what was read and not yet understood.

    While `_is_held` (a delay, a hang, a TLS handshake) nothing is read from `_pending`.
    """

    host_name = b"sink.example"

    def __init__(self, upgrades: asyncio.TaskGroup, tls: ssl.SSLContext | None) -> None:
        """`upgrades` runs the TLS handshakes; `tls` None: STARTTLS is not offered."""
        self._upgrades: Final = upgrades
        self._tls: Final = tls
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._replies: list[bytes] = []
        self._is_held = False
        self._is_paused = False
        self._waited: Stage | None = None  # The stage whose delay is over.
        self._has_tls = False
        self._greeted = False
        self._sender: bytes | None = None
        self._recipients: list[bytes] = []
        self._in_body = False
        self._end = EndFinder()  # Of the body.
        self._head = b""
        self._octets = 0

    # -- What a subclass decides.

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages at which a rule may act; the fewer, the quicker."""
        return frozenset()

    def choose(self, stage: Stage, subjects: Sequence[str]) -> Rule | None:  # noqa: ARG002 - for subclasses.
        """Return the rule that acts now, None to behave. Subjects: see `policy.behaviour`."""
        return None

    def taken(self, head: bytes, octets: int) -> None:
        """Hear of a message that is answered 2xx; sender and recipients are still its own.

        Args:
            head: its first octets, the header at least if that is not huge; dots stuffed.
            octets: of the whole.
        """

    def refused(self) -> None:
        """Hear of a reply that is neither 2xx nor 3xx."""

    def secured(self) -> None:
        """Hear that TLS is on."""

    # -- What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own are no subclass of it.
        self._run()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget everything."""
        self._transport = None
        self._is_held = True

    def data_received(self, data: bytes) -> None:
        """Take what was read as far as it goes."""
        self._pending = self._pending + data if self._pending else data
        if not self._is_held:
            self._run()
        if self._is_held and self._transport and len(self._pending) > _PENDING_BYTES_MAX and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def abort(self) -> None:
        """Close without a word."""
        self._is_held = True
        if self._transport:
            self._transport.abort()

    # -- The pump: steps until one finds nothing to do, then one write.

    def _run(self) -> None:
        while not self._is_held and self._step():
            pass
        if self._replies and self._transport:
            self._transport.write(self._replies[0] if len(self._replies) == 1 else b"".join(self._replies))
            self._replies.clear()

    def _step(self) -> bool:
        """Do one thing; False when more must be read first."""
        if not self._greeted:
            return self._greet()
        if not self._pending:
            return False
        if self._in_body:
            return self._read_body()
        if self._sender is None and not self.stages:
            found = _PIPELINED.match(self._pending)
            if found:
                self._pending = self._pending[found.end() :]
                self._sender = found[1]
                self._recipients = [found[2]]
                self._replies.append(_OK_PIPELINED)
                self._begin_body()
                return True
        return self._read_command()

    def _greet(self) -> bool:
        if self._misbehaves(Stage.CONNECT, ""):
            return False
        self._greeted = True
        self._replies.append(b"220 %b ESMTP\r\n" % self.host_name)
        return True

    def _read_command(self) -> bool:
        end = self._pending.find(b"\r\n")
        if end < 0:
            if len(self._pending) > _LINE_BYTES_MAX:
                self._say(b"500 5.5.2 Line too long\r\n")
                self._close()
            return False
        line = self._pending[:end]
        if self._command(line):
            self._pending = self._pending[end + 2 :]
        return True

    def _command(self, line: bytes) -> bool:
        """Obey one command; False when it is put off and must be read again."""
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"MAIL":
                return self._on_mail(rest)
            case b"RCPT":
                return self._on_rcpt(rest)
            case b"DATA":
                return self._on_data()
            case b"EHLO" | b"HELO":
                return self._on_hello(verb.upper() == b"EHLO", rest)
            case b"STARTTLS":
                return self._on_starttls()
            case b"RSET":
                self._forget()
                self._say(b"250 2.0.0 Ok\r\n")
            case b"NOOP":
                self._say(b"250 2.0.0 Ok\r\n")
            case b"QUIT":
                self._say(b"221 2.0.0 Bye\r\n")
                self._close()
            case _:
                self._say(b"500 5.5.2 What?\r\n")
        return True

    def _on_hello(self, is_extended: bool, name: bytes) -> bool:
        if self._misbehaves(Stage.EHLO, _text(name)):
            return not self._is_held
        self._forget()
        if not is_extended:
            self._say(b"250 %b\r\n" % self.host_name)
            return True
        lines = [self.host_name, b"PIPELINING", b"SIZE %d" % SIZE_BYTES_MAX, b"8BITMIME", b"SMTPUTF8"]
        if self._tls and not self._has_tls:
            lines.append(b"STARTTLS")
        self._say(b"".join(b"250-%b\r\n" % line for line in lines) + b"250 ENHANCEDSTATUSCODES\r\n")
        return True

    def _on_starttls(self) -> bool:
        if self._misbehaves(Stage.STARTTLS, ""):
            return not self._is_held
        if not self._tls or self._has_tls:
            self._say(b"502 5.5.1 Not now\r\n")
            return True
        assert self._transport is not None
        self._transport.write(b"".join(self._replies) + b"220 2.0.0 Go ahead\r\n")
        self._replies.clear()
        self._forget()
        self._is_held = True
        self._upgrades.create_task(self._upgrade(self._transport, self._tls))
        return True

    async def _upgrade(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        self._pending = b""  # RFC 3207 §6: nothing said in the clear counts any more.
        try:
            secured = await loop.start_tls(transport, self, context, server_side=True, ssl_handshake_timeout=10.0)
        except (OSError, ssl.SSLError):
            transport.abort()
            return
        if secured is None or self._transport is None:
            transport.abort()
            return
        self._transport = secured
        self._has_tls = True
        self.secured()
        self._is_held = False
        self._run()

    def _on_mail(self, rest: bytes) -> bool:
        found = _PATH.match(rest)
        if found is None or self._sender is not None:
            self._say(_OUT_OF_TURN if found else b"501 5.5.4 No address\r\n")
            return True
        if self._misbehaves(Stage.MAIL, _text(found[1])):
            return not self._is_held
        self._sender = found[1]
        self._replies.append(_OK_MAIL)
        return True

    def _on_rcpt(self, rest: bytes) -> bool:
        found = _PATH.match(rest)
        if found is None or self._sender is None:
            self._say(_OUT_OF_TURN if found else b"501 5.5.4 No address\r\n")
            return True
        if self._misbehaves(Stage.RCPT, _text(found[1])):
            return not self._is_held
        self._recipients.append(found[1])
        self._replies.append(_OK_RCPT)
        return True

    def _on_data(self) -> bool:
        if not self._recipients:
            self._say(_OUT_OF_TURN if self._sender is None else b"554 5.5.1 No valid recipients\r\n")
            return True
        if self._misbehaves(Stage.DATA, *map(_text, self._recipients)):
            return not self._is_held
        self._replies.append(_OK_DATA)
        self._begin_body()
        return True

    # -- The body.

    def _begin_body(self) -> None:
        self._in_body = True
        self._end = EndFinder()
        self._head = b""
        self._octets = 0

    def _read_body(self) -> bool:
        stages = self.stages
        if Stage.BODY in stages and not self._octets and self._misbehaves(Stage.BODY, *map(_text, self._recipients)):
            return False
        pending = self._pending
        end = self._end.find(pending)
        if end < 0:
            self._keep(pending)
            self._pending = b""
            return False
        if Stage.DOT in stages and self._misbehaves(Stage.DOT, *map(_text, self._recipients)):
            return not self._is_held
        self._keep(pending[:end])
        self._pending = pending[end:]
        self._end_body(_OK_DOT)
        return True

    def _keep(self, part: bytes) -> None:
        if len(self._head) < _HEAD_BYTES_MAX:
            self._head = self._head + part if self._head else part
        self._octets += len(part)

    def _end_body(self, reply: bytes) -> None:
        octets = self._octets - 3  # Without the dot and its CRLF.
        if octets > SIZE_BYTES_MAX:
            reply = b"552 5.3.4 Too large\r\n"
        if reply.startswith(b"2"):
            self.taken(self._head, octets)
            self._replies.append(reply)
        else:
            self._say(reply)
        self._in_body = False
        self._head = b""
        self._forget()

    # -- Misbehaviour.

    def _misbehaves(self, stage: Stage, *subjects: str) -> bool:
        """Act by the first rule that matches; False: behave as usual."""
        if stage not in self.stages:
            return False
        if self._waited is stage:
            self._waited = None
            return False
        rule = self.choose(stage, subjects)
        if rule is None:
            return False
        match rule.action:
            case Action.REPLY:
                self._reply_by_rule(stage, rule.argument.encode() + b"\r\n")
            case Action.GARBAGE:
                self._say(_GARBAGE)
                self._close()
            case Action.DROP:
                self._close()
            case Action.SWALLOW:
                self._cut_body()
                self._end_body(_OK_DOT)
                self._replies.pop()  # The 250 is never said.
                self._close()
            case Action.HANG:
                self._is_held = True
            case Action.DELAY:
                self._is_held = True
                asyncio.get_running_loop().call_later(rule.delay_s, self._resume, stage)
        return True

    def _reply_by_rule(self, stage: Stage, reply: bytes) -> None:
        if stage is Stage.DOT:
            self._cut_body()
            self._end_body(reply)
            if reply.startswith(b"421"):
                self._close()
            return
        self._say(reply)
        if stage in (Stage.CONNECT, Stage.BODY) or reply.startswith(b"421"):
            self._close()

    def _cut_body(self) -> None:
        """Take the body off `_pending`; its end is known to be there."""
        end = self._end.find(self._pending)
        self._keep(self._pending[:end])
        self._pending = self._pending[end:]

    def _resume(self, stage: Stage) -> None:
        if self._transport is None:
            return
        self._is_held = False
        self._waited = stage
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._run()

    # -- Small steps.

    def _say(self, reply: bytes) -> None:
        if reply[:1] not in (b"2", b"3"):
            self.refused()
        self._replies.append(reply)

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    def _close(self) -> None:
        """Close after what is said so far."""
        self._is_held = True
        if self._transport:
            if self._replies:
                self._transport.write(b"".join(self._replies))
                self._replies.clear()
            self._transport.close()


def _text(subject: bytes) -> str:
    return subject.decode("utf-8", "replace")
