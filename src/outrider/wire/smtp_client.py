"""Our side of one SMTP connection that carries many messages, without I/O.

Feed `receive` what the peer sent and send what it returns; `begin` a message when `state` is READY; when it is READY
again, or OVER, `answers` has one `Answer` per recipient. `wait_s` is how long the peer may take for its next whole
reply. The driver is `net.smtp_talk`; what an answer means is `policy.classify`.

    GREETING → EHLO (→ HELO) → STARTTLS → TLS → EHLO → AUTH → READY
    READY → (RSET) → MAIL → RCPT, once each → DATA → BODY → DOT → READY
    any → OVER;  READY → QUIT → OVER

With PIPELINING the commands up to DATA are one write and the body with its dot another; without, each waits for its
reply. Either way replies come in order, so one machine reads both. From BODY to DOT the driver says when the last byte
is out (`body_sent`): before that the peer cannot have seen the dot, and silence is not ambiguous.

Invariants: a recipient is answered once; 421 ends the session wherever it comes; a reply to something not yet sent ends
it too (RemoteProtocolError), for a wrong answer is worse than none; where replies and commands prove to be out of step,
no recipient keeps a reply, for it may be another's; nothing a peer said before TLS is kept.
Source: RFC 5321, RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3207 (STARTTLS),
RFC 4954 (AUTH), RFC 2034.
"""

import base64
import enum
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from outrider.base import limits
from outrider.base.errors import LocalProtocolError, RemoteProtocolError
from outrider.base.vocab import Phase
from outrider.wire import smtp_data
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply, ReplyReader


class TlsMode(enum.StrEnum):
    """Whether a session is to be encrypted by STARTTLS."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"  # If the server offers it; certificates are not checked. RFC 7435.
    REQUIRED = "required"  # Or no mail at all; the certificate is checked, unless the settings say otherwise.
    REQUIRED_UNVERIFIED = "required_unverified"  # Or no mail at all; whoever is there.

    @property
    def is_required(self) -> bool:
        """Nothing is sent in the clear."""
        return self in (TlsMode.REQUIRED, TlsMode.REQUIRED_UNVERIFIED)


class Credentials(msgspec.Struct, frozen=True):
    """What AUTH proves us by. The password never shows in `repr`."""

    username: str
    password: str
    may_go_plain: bool = False  # Without TLS, where the server offers none; else the session fails before AUTH.

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


class Envelope(msgspec.Struct, frozen=True):
    """One message on its way: who sends it, who gets it, and its octets."""

    sender: str  # The return path; "" is the null sender.
    recipients: tuple[str, ...]  # At least one, no duplicates, all of one site.
    content: bytes  # Header and body with CRLF line ends, not dot-stuffed.
    needs_smtputf8: bool = False
    is_8bit: bool = False


class Features(msgspec.Struct, frozen=True):
    """What a server said it can do."""

    has_pipelining: bool = False
    has_8bitmime: bool = False
    has_smtputf8: bool = False
    has_starttls: bool = False
    has_size: bool = False
    size_bytes_max: int = 0  # 0: it has a limit but does not say which, or none.
    auth: frozenset[str] = frozenset()  # Mechanisms, upper case.


class Waits(msgspec.Struct, frozen=True):
    """How long a peer may take for one whole reply, by what was asked; seconds."""

    greeting_s: float = limits.GREETING_WAIT_S
    command_s: float = limits.COMMAND_WAIT_S
    tls_s: float = limits.TLS_HANDSHAKE_WAIT_S
    data_start_s: float = limits.DATA_START_WAIT_S
    data_block_s: float = limits.DATA_BLOCK_WAIT_S
    data_end_s: float = limits.DATA_END_WAIT_S
    quit_s: float = limits.QUIT_WAIT_S


class State(enum.StrEnum):
    """Where a session is: what we last asked, or that it is our turn."""

    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    TLS = "tls"  # The driver shakes hands; then `tls_started` or `connection_lost(Cause.TLS)`.
    AUTH = "auth"
    READY = "ready"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # The body is on its way; then `body_sent`.
    DOT = "dot"
    QUIT = "quit"
    OVER = "over"


_PHASE: Final[Mapping[State, Phase]] = {
    State.GREETING: Phase.GREETING,
    State.EHLO: Phase.EHLO,
    State.HELO: Phase.EHLO,
    State.STARTTLS: Phase.STARTTLS,
    State.TLS: Phase.STARTTLS,
    State.AUTH: Phase.AUTH,
    State.RSET: Phase.MAIL,
    State.MAIL: Phase.MAIL,
    State.RCPT: Phase.RCPT,
    State.DATA: Phase.DATA,
    State.BODY: Phase.DATA,
    State.DOT: Phase.DOT,
}
_SETTING_UP: Final = frozenset({
    State.GREETING, State.EHLO, State.HELO, State.STARTTLS, State.TLS, State.AUTH,
})  # fmt: skip
_TALKING: Final = frozenset({State.RSET, State.MAIL, State.RCPT, State.DATA, State.BODY, State.DOT})
_CLOSING: Final = 421  # "Service closing transmission channel", at any moment. RFC 5321 §3.8.


def parse_features(reply: Reply) -> Features:
    """Read the reply to EHLO; keywords we do not use, and nonsense, are passed over. RFC 5321 §4.1.1.1."""
    offered: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        keyword, *words = line.upper().replace("=", " ", 1).split() or [""]  # Old servers write "AUTH=LOGIN".
        offered.setdefault(keyword, []).extend(words)
    size = offered.get("SIZE", [])
    return Features(
        has_pipelining="PIPELINING" in offered,
        has_8bitmime="8BITMIME" in offered,
        has_smtputf8="SMTPUTF8" in offered,
        has_starttls="STARTTLS" in offered,
        has_size="SIZE" in offered,
        size_bytes_max=int(size[0]) if size and size[0].isascii() and size[0].isdigit() and len(size[0]) < 20 else 0,
        auth=frozenset(offered.get("AUTH", [])),
    )


class Session:
    """Our side of the dialogue; see the module. One per connection, used by one conversation at a time.

    `failure` says why it never became READY, or what ended it at rest; `answers` belongs to the last envelope begun.
    `heard` is what the peer said since `begin`, before that while setting up: for `wire.dialogue`.
    """

    __slots__ = (
        "_accepted", "_credentials", "_envelope", "_index", "_needs_reset", "_reader", "_secrets", "_tls", "_unsent",
        "_wait_s", "answers", "ehlo_name", "failure", "features", "heard",
        "is_encrypted", "is_mail_answered", "parameters", "state", "turn", "waits",
    )  # fmt: skip

    def __init__(
        self,
        ehlo_name: str,
        *,
        tls: TlsMode = TlsMode.OPPORTUNISTIC,
        credentials: Credentials | None = None,
        waits: Waits | None = None,
    ) -> None:
        self.state = State.GREETING
        self.turn = 0  # Replies seen so far.
        self.features = Features()
        self.failure: Answer | None = None
        self.answers: dict[str, Answer] = {}
        self.heard: list[tuple[State, Reply | Cause | None]] = []  # And in which state; None: no reply was due.
        self.parameters = ""  # What MAIL said besides the sender, of the last envelope begun.
        self.is_encrypted = False
        self.is_mail_answered = False  # Since `begin`. False: the peer has said nothing about this envelope.
        self.waits: Final = Waits() if waits is None else waits
        self._wait_s: Final = {  # All others are commands, any new one too. RFC 5321 §4.5.3.2.
            State.GREETING: self.waits.greeting_s,
            State.TLS: self.waits.tls_s,
            State.DATA: self.waits.data_start_s,
            State.BODY: self.waits.data_block_s,
            State.DOT: self.waits.data_end_s,
            State.QUIT: self.waits.quit_s,
        }
        self.ehlo_name: Final = ehlo_name
        self._tls: Final = tls
        self._credentials: Final = credentials
        self._reader = ReplyReader()
        self._secrets: list[bytes] = []  # What AUTH has yet to say.
        self._needs_reset = False  # The server still holds a transaction we gave up.
        self._envelope = Envelope("", (), b"")
        self._unsent: list[bytes] = []  # Commands of this message that wait for a reply, the next one last.
        self._index = 0  # Of the recipient whose reply comes next.
        self._accepted: list[str] = []

    @property
    def wait_s(self) -> float:
        """How long the peer may take for its next whole reply; in BODY, to take another part of the body."""
        return self._wait_s.get(self.state, self.waits.command_s)

    @property
    def is_over(self) -> bool:
        """Nothing more will be sent or understood; close the connection."""
        return self.state is State.OVER

    def begin(self, envelope: Envelope) -> bytes:
        """Start a message and return what to send: all of it up to DATA, or the first command.

        Returns:
            b"" if this server cannot take it: still READY, and `answers` says why.

        Raises:
            LocalProtocolError: not READY, or an address would break out of its command.
        """
        if self.state is not State.READY:
            raise LocalProtocolError("a message was begun out of turn", state=self.state)
        parameters = _parameters(envelope, self.features)
        commands = _commands(envelope, parameters)
        self._envelope = envelope
        self.parameters = parameters
        self.answers = {}
        self.heard = []
        self.is_mail_answered = False
        refusal = self._cannot_take(envelope, commands)
        if refusal is not None:
            self.answers = dict.fromkeys(envelope.recipients, refusal)
            self.heard.append((State.MAIL, refusal.cause))
            return b""
        self._index = 0
        self._accepted = []
        self.state = State.MAIL
        if self._needs_reset:
            self.state = State.RSET
            commands = b"RSET\r\n" + commands
        if self.features.has_pipelining:
            return commands
        self._unsent = commands.splitlines(keepends=True)[::-1]
        return self._unsent.pop()

    def receive(self, data: bytes) -> bytes:
        """Take what the peer sent, return what to send: b"" while a reply is incomplete.

        In state TLS pass nothing on, the bytes are the driver's; when OVER, nothing at all.

        Raises:
            RemoteProtocolError: the peer's bytes are no SMTP, or out of turn; call `connection_lost`.
        """
        out = b""
        reader = self._reader
        for reply in reader.feed(data):
            if self.is_over:
                break
            # `out` is not sent yet: whatever this replies to, it is not that.
            if out and reply.code != _CLOSING and self.state is not State.BODY:
                raise RemoteProtocolError("the server answered before it was asked", state=self.state)
            self.turn += 1
            self.heard.append((self.state, reply))
            out = self._on_closing(reply) if reply.code == _CLOSING else self._ON_REPLY[self.state](self, reply)
        if reader.is_broken and not self.is_over:
            reader.feed(b"")  # Raises.
        if self.state is State.TLS and reader.is_mid_reply:
            raise RemoteProtocolError("plain text came after the consent to TLS")
        return out

    def tls_started(self) -> bytes:
        """TLS is up: forget everything said in the clear and return what to send. RFC 3207 §4.2."""
        if self.state is not State.TLS:
            raise LocalProtocolError("TLS was started out of turn", state=self.state)
        self.heard.append((State.TLS, None))
        self.is_encrypted = True
        self.features = Features()
        self._reader = ReplyReader()
        return self._greet()

    def body_sent(self) -> None:
        """Every byte of the body and its dot has left us: from here on silence is ambiguous."""
        if self.state is State.BODY:
            self.state = State.DOT

    def quit(self) -> bytes:
        """Take leave and return what to send; only when READY."""
        if self.state is not State.READY:
            raise LocalProtocolError("QUIT is only for a session at rest", state=self.state)
        self.state = State.QUIT
        return b"QUIT\r\n"

    def connection_lost(self, cause: Cause) -> None:
        """Everyone without an answer gets `cause`; in DOT that is ambiguous. Safe to call again."""
        if self.state is not State.OVER:
            if cause is Cause.PROTOCOL or (cause is Cause.TIMEOUT and self.features.has_pipelining):
                self._doubt(cause)
            self._end(None, cause)

    # Setting up. Each method takes one reply in the state of its name.

    def _greet(self) -> bytes:
        self.state = State.EHLO
        return f"EHLO {self.ehlo_name}\r\n".encode()

    def _on_greeting(self, reply: Reply) -> bytes:
        return self._greet() if _is_yes(reply) else self._give_up(reply)

    def _on_ehlo(self, reply: Reply) -> bytes:
        if reply.severity == 5:  # A server of the eighties, or a mail filter that plays one. RFC 5321 §3.2.
            self.state = State.HELO
            return f"HELO {self.ehlo_name}\r\n".encode()
        if not _is_yes(reply):
            return self._give_up(reply)
        self.features = parse_features(reply)
        return self._after_hello()

    def _on_helo(self, reply: Reply) -> bytes:
        return self._after_hello() if _is_yes(reply) else self._give_up(reply)

    def _after_hello(self) -> bytes:
        if self.is_encrypted or self._tls is TlsMode.NEVER:
            return self._authenticate()
        if self.features.has_starttls:
            self.state = State.STARTTLS
            return b"STARTTLS\r\n"
        if self._tls.is_required:
            return self._fail(Answer(Phase.STARTTLS, None, Cause.TLS))
        return self._authenticate()

    def _on_starttls(self, reply: Reply) -> bytes:
        if _is_yes(reply):
            if self._reader.is_mid_reply:
                raise RemoteProtocolError("plain text came after the consent to TLS")
            self.state = State.TLS
            return b""
        return self._give_up(reply) if self._tls.is_required else self._authenticate()

    def _on_tls(self, reply: Reply) -> bytes:
        # A command smuggled in by somebody on the way; the classic STARTTLS injection.
        raise RemoteProtocolError("plain text came after the consent to TLS", code=reply.code)

    def _authenticate(self) -> bytes:
        if self._credentials is None:
            self.state = State.READY
            return b""
        if not self.is_encrypted and not self._credentials.may_go_plain:
            return self._fail(Answer(Phase.STARTTLS, None, Cause.TLS))
        name, word = self._credentials.username.encode(), self._credentials.password.encode()
        self.state = State.AUTH
        if "PLAIN" in self.features.auth:
            token = base64.b64encode(b"\0" + name + b"\0" + word)
            self._secrets = [token]  # For servers that ignore the initial response.
            return b"AUTH PLAIN " + token + b"\r\n"
        if "LOGIN" in self.features.auth:
            self._secrets = [base64.b64encode(name), base64.b64encode(word)]
            return b"AUTH LOGIN\r\n"
        return self._fail(Answer(Phase.AUTH, None, Cause.UNSUPPORTED))

    def _on_auth(self, reply: Reply) -> bytes:
        if reply.severity == 3 and self._secrets:
            return self._secrets.pop(0) + b"\r\n"
        self._secrets = []
        if not _is_yes(reply):
            return self._give_up(reply)
        self.state = State.READY
        return b""

    # A message. Replies come in the order of the commands, whether those were pipelined or not.

    def _cannot_take(self, envelope: Envelope, commands: bytes) -> Answer | None:
        features = self.features
        if 0 < features.size_bytes_max < len(envelope.content):
            return Answer(Phase.MAIL, None, Cause.TOO_LARGE)
        if not features.has_smtputf8 and (envelope.needs_smtputf8 or not commands.isascii()):
            return Answer(Phase.MAIL, None, Cause.UNSUPPORTED)
        return None

    def _on_rset(self, reply: Reply) -> bytes:
        if reply.severity != 2:
            raise RemoteProtocolError("the server refused RSET", code=reply.code)
        self._needs_reset = False
        self.state = State.MAIL
        return self._next_command()

    def _on_mail(self, reply: Reply) -> bytes:
        is_taken = _is_yes(reply)
        self.is_mail_answered = True
        if is_taken:
            self._needs_reset = True
        else:
            self.answers = dict.fromkeys(self._envelope.recipients, Answer(Phase.MAIL, reply))
            if not self.features.has_pipelining:
                self.state = State.READY
                return b""
        self.state = State.RCPT
        return self._next_command()

    def _on_rcpt(self, reply: Reply) -> bytes:
        recipients = self._envelope.recipients
        recipient = recipients[self._index]
        if not _is_yes(reply):
            self.answers.setdefault(recipient, Answer(Phase.RCPT, reply))
        elif recipient not in self.answers:
            self._accepted.append(recipient)
        self._index += 1
        if self._index < len(recipients):
            return self._next_command()
        if not self._accepted and not self.features.has_pipelining:
            self.state = State.READY
            return b""
        self.state = State.DATA
        return self._next_command()

    def _on_data(self, reply: Reply) -> bytes:
        if reply.severity == 2:
            raise RemoteProtocolError("the server took DATA for done", code=reply.code)
        if reply.severity == 3:
            self.state = State.BODY
            # Refused all, and yet wants a body: an empty one, which it must refuse. RFC 2920 §3.1.
            return smtp_data.stuff(self._envelope.content) if self._accepted else smtp_data.END_OF_DATA
        self._settle(Answer(Phase.DATA, reply))
        self.state = State.READY
        return b""

    def _on_body(self, reply: Reply) -> bytes:
        # A refusal cannot wait for the rest of the body; nor can we go on, for both sides are out of step.
        if reply.severity < 4:
            raise RemoteProtocolError("the server answered before the end of the body", code=reply.code)
        self._end(reply, None)
        return b""

    def _on_dot(self, reply: Reply) -> bytes:
        _is_yes(reply)
        self._needs_reset = False
        self._settle(Answer(Phase.DOT, reply))
        self.state = State.READY
        return b""

    def _next_command(self) -> bytes:
        """Return the next command of the message, b"" if it was sent with the others."""
        return b"" if self.features.has_pipelining else self._unsent.pop()

    # Endings.

    def _on_unasked(self, reply: Reply) -> bytes:
        raise RemoteProtocolError("the server spoke out of turn", code=reply.code)

    def _on_closing(self, reply: Reply) -> bytes:
        self._end(reply, None)
        return b""

    def _on_quit(self, _reply: Reply) -> bytes:
        self.state = State.OVER
        return b""

    def _give_up(self, reply: Reply) -> bytes:
        return self._fail(Answer(_PHASE[self.state], reply))

    def _fail(self, answer: Answer) -> bytes:
        self.failure = answer
        if answer.cause is not None:  # Ours: a reply was heard already.
            self.heard.append((State(answer.phase.value), answer.cause))
        self.state = State.OVER
        return b"QUIT\r\n"

    def _settle(self, answer: Answer) -> None:
        for recipient in self._accepted:
            self.answers[recipient] = answer

    def _doubt(self, cause: Cause) -> None:
        """A reply was missing or one too many: those to RCPT and DATA may be somebody else's. Take them back."""
        if self.state not in (State.RCPT, State.DATA, State.READY):
            return  # Before RCPT none is taken for one recipient's; the 354 to DATA proves the count right.
        answers = self.answers
        if any(answer.phase is Phase.DOT for answer in answers.values()):
            return
        doubtful = [name for name, answer in answers.items() if answer.phase in (Phase.RCPT, Phase.DATA)]
        # A new mapping: the driver may have handed out the old one.
        self.answers = {**answers, **dict.fromkeys(doubtful, Answer(Phase.RCPT, None, cause))}

    def _end(self, reply: Reply | None, cause: Cause | None) -> None:
        if cause is not None and self.state in _PHASE:
            self.heard.append((self.state, cause))
        if self.state in _SETTING_UP:
            self.failure = Answer(_PHASE[self.state], reply, cause)
        elif self.state is State.READY:
            self.failure = Answer(Phase.MAIL, reply, cause)
        elif self.state in _TALKING:
            last = Answer(_PHASE[self.state], reply, cause)
            for recipient in self._envelope.recipients:
                self.answers.setdefault(recipient, last)
        self.state = State.OVER

    _ON_REPLY: ClassVar[Mapping[State, Callable[[Any, Reply], bytes]]] = {  # The one place that leaves each state.
        State.GREETING: _on_greeting,
        State.EHLO: _on_ehlo,
        State.HELO: _on_helo,
        State.STARTTLS: _on_starttls,
        State.TLS: _on_tls,
        State.AUTH: _on_auth,
        State.READY: _on_unasked,
        State.RSET: _on_rset,
        State.MAIL: _on_mail,
        State.RCPT: _on_rcpt,
        State.DATA: _on_data,
        State.BODY: _on_body,
        State.DOT: _on_dot,
        State.QUIT: _on_quit,
    }


def _is_yes(reply: Reply) -> bool:
    """Tell done from refused; "go on" is neither, for nothing of that kind was asked."""
    severity = reply.code // 100
    if severity == 3:
        raise RemoteProtocolError("the server asks for more where there is no more", code=reply.code)
    return severity == 2


def _parameters(envelope: Envelope, features: Features) -> str:
    """Return what MAIL says besides the sender."""
    words = []
    if features.has_size:
        words.append(f"SIZE={len(envelope.content)}")
    if envelope.is_8bit and features.has_8bitmime:
        words.append("BODY=8BITMIME")
    if features.has_smtputf8 and (
        envelope.needs_smtputf8 or not (envelope.sender.isascii() and all(map(str.isascii, envelope.recipients)))
    ):
        words.append("SMTPUTF8")
    return " ".join(words)


def _commands(envelope: Envelope, parameters: str) -> bytes:
    """Return MAIL, each RCPT and DATA, one a line."""
    assert envelope.recipients
    recipients = ">\r\nRCPT TO:<".join(envelope.recipients)
    space = " " if parameters else ""
    text = f"MAIL FROM:<{envelope.sender}>{space}{parameters}\r\nRCPT TO:<{recipients}>\r\nDATA\r\n"
    # The last wall against a line break in an address: it would be a command of the attacker's.
    command_count = len(envelope.recipients) + 2
    if text.count("\r") != command_count or text.count("\n") != command_count or "\0" in text:
        raise LocalProtocolError("an address holds a control character")
    return text.encode()
