"""The other side of SMTP: a server that takes mail from its own users, without I/O.

Feed `receive` what the client sent, then ask `step` until it returns None: each `Asked` is something that somebody else
must decide, and waits for its `answer`, a reply as it goes out ("250 2.1.0 Ok"); one that begins with 2 takes it. All
that can be told from the octets alone the machine says itself. `take_replies` is what goes to the client.

    greet → EHLO → (StartTls → EHLO) → Auth → Mail → Rcpt, up to `recipients_count_max` → DATA → Message → Mail ...
    any → is_over: hang up once the replies are out

Invariants: a line ends in CRLF, a message at CRLF.CRLF and nowhere else, so no two readers can disagree on where the
next one begins; nothing that was said before TLS counts behind it; nobody is asked about mail, or about a password,
before `may_auth` and `needs_auth` allow it. Any cut of the stream gives the same result. Bounded: a line, a message
(what is over is read and thrown away), recipients, commands without any mail, errors.

Source: RFC 5321, RFC 6409 (submission), RFC 4954 (AUTH), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8),
RFC 3461 (DSN), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 2034 (ENHANCEDSTATUSCODES).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from outrider.base import digits, limits
from outrider.wire.smtp_data import EndFinder

_PATH: Final = r"<(?P<path>(?:\"(?:[^\"\\]|\\.)*+\"|[^\"<>])*+)>|(?P<bare>[^\s<>\"]+)"
_mail: Final = re.compile(rf"FROM:[ ]*(?:{_PATH})(?:[ ]+(?P<more>.*))?", re.IGNORECASE).fullmatch
_rcpt: Final = re.compile(rf"TO:[ ]*(?:{_PATH})(?:[ ]+(?P<more>.*))?", re.IGNORECASE).fullmatch
_parameter: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?").fullmatch  # RFC 5321 §4.1.2.
_xtext: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*").fullmatch  # RFC 3461 §4.
_XTEXT: Final = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9-]+;(.*)")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})
# What browsers say when a page makes them talk to us: nobody who speaks SMTP does.
_HTTP: Final = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"CONNECT ", b"OPTIONS ", b"HOST:", b"USER-AGENT:")

_OK: Final = b"250 2.0.0 Ok"
# What leads to no mail and is answered the same by all. VRFY never says who is there.
_FIXED: Final[Mapping[bytes, bytes]] = {
    b"NOOP": _OK,
    b"VRFY": b"252 2.0.0 Send it, and see",
    b"HELP": b"214 2.0.0 RFC 5321, and docs/howto/smtp-relay.md",
}
_OUT_OF_TURN: Final = b"503 5.5.1 Out of turn"
_SYNTAX: Final = b"501 5.5.4 Syntax: "


class Auth(msgspec.Struct, frozen=True):
    """Somebody says who it is. `repr` shows no password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Auth({self.username!r}, ***)"


class StartTls(msgspec.Struct, frozen=True):
    """The client wants TLS: answer, send what `take_replies` has, shake hands, then `tls_started`."""


class Mail(msgspec.Struct, frozen=True):
    """A transaction begins."""

    sender: str  # The reverse path, printable; "" is the null sender. Whether it is an address is not looked at.
    size_bytes: int = 0  # As the client says; 0: it does not.
    is_8bit: bool = False
    is_utf8: bool = False  # SMTPUTF8.
    ret: str = ""  # "FULL" or "HDRS". RFC 3461 §4.3.
    envid: str = ""  # Decoded. RFC 3461 §4.4.


class Rcpt(msgspec.Struct, frozen=True):
    """One more recipient."""

    address: str
    notify: frozenset[str] = frozenset()  # "NEVER", or of "SUCCESS", "FAILURE", "DELAY"; empty: not said.
    original: str = ""  # The address of ORCPT, decoded. RFC 3461 §4.2.


class Message(msgspec.Struct, frozen=True):
    """The message of the transaction, all of it, dots unstuffed."""

    content: bytes
    has_bare_line_end: bool  # A CR or LF that is no CRLF is in it.


Asked = Auth | StartTls | Mail | Rcpt | Message


class Reception:
    """One connection. What decides on it sets the public attributes; they are read whenever they matter."""

    __slots__ = (
        "_asked", "_auth", "_body", "_body_bytes", "_end", "_error_count", "_has_mail", "_hello", "_host_name",
        "_idle_count", "_in_body", "_pending", "_recipient_count", "_recipients_count_max", "_replies",
        "_size_bytes_max", "_utf8", "has_tls", "is_authenticated", "is_over", "may_auth", "needs_auth", "offers_tls",
    )  # fmt: skip

    def __init__(self, host_name: str, *, size_bytes_max: int, recipients_count_max: int) -> None:
        self._host_name: Final = host_name.encode("ascii")
        self._size_bytes_max: Final = size_bytes_max
        self._recipients_count_max: Final = recipients_count_max
        self.offers_tls = False
        self.has_tls = False
        self.may_auth = False  # AUTH is offered and taken.
        self.needs_auth = True  # Before any mail.
        self.is_authenticated = False
        self.is_over = False  # Nothing more is read; hang up.
        self._pending = b""  # Read and not yet understood.
        self._replies: list[bytes] = []
        self._asked: Asked | None = None
        self._hello = ""  # What the client called itself; "": nothing yet.
        self._auth: tuple[str, str] | None = None  # AUTH under way: the mechanism, and the name for LOGIN.
        self._has_mail = False
        self._utf8 = False
        self._recipient_count = 0  # Taken, of this transaction.
        self._in_body = False
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._end = EndFinder()  # Of the body.
        self._error_count = 0
        self._idle_count = 0  # Commands since the last mail that did not lead to one.

    # -- What the driver calls.

    @property
    def hello(self) -> str:
        """What the client called itself, "" before EHLO."""
        return self._hello

    @property
    def needs_place(self) -> bool:
        """Whether what is kept of a message that is not over yet is large."""
        is_kept = self._in_body and self._body_bytes <= self._size_bytes_max
        return is_kept and self._body_bytes > limits.SUBMISSION_SMALL_BYTES_MAX

    @property
    def is_in_message(self) -> bool:
        """Whether the client owes us the rest of a message, not a command."""
        return self._in_body

    @property
    def pending_bytes(self) -> int:
        """How much was read that waits for an answer."""
        return len(self._pending)

    def greet(self) -> None:
        """Say the first words."""
        self._say(b"220 %b ESMTP Outrider" % self._host_name)

    def receive(self, octets: bytes) -> None:
        """Take what was read."""
        if not self.is_over:
            self._pending = self._pending + octets if self._pending else octets

    def step(self) -> Asked | None:
        """Return what must be answered next; None: more must be read first, or the last answer is due, or it is over.

        Raises nothing, whatever came.
        """
        while self._asked is None and not self.is_over:
            if self._in_body:
                if not self._read_body():
                    return None
            else:
                line = self._take_line()
                if line is None:
                    return None
                self._asked = self._obey(line)
        asked, is_over = self._asked, self.is_over
        return None if is_over else asked

    def answer(self, reply: str) -> None:
        """Answer what `step` returned last; lines are split at LF."""
        asked, self._asked = self._asked, None
        is_taken = reply.startswith("2")
        match asked:
            case Auth() if is_taken:
                self.is_authenticated = True
            case Mail() if is_taken:
                self._has_mail, self._utf8 = True, asked.is_utf8
            case Rcpt() if is_taken:
                self._recipient_count += 1
            case Message():
                self._forget()
                self._idle_count = 0 if is_taken else self._idle_count
            case _:
                pass
        self._say_lines(reply)
        if reply.startswith("421"):
            self.is_over = True

    def tls_started(self) -> None:
        """Hear that all that follows is encrypted. What came before counts no more. RFC 3207 §4.2."""
        self._pending = b""
        self._hello = ""
        self._auth = None
        self._forget()
        self.has_tls, self.offers_tls = True, False
        self.is_authenticated = False

    def close(self, reply: str) -> None:
        """Say a last word and be over."""
        if not self.is_over:
            self._say_lines(reply)
            self.is_over = True

    def take_replies(self) -> bytes:
        """Return what is to be sent, and forget it."""
        replies = b"".join(self._replies)
        self._replies.clear()
        return replies

    # -- Commands.

    def _take_line(self) -> bytes | None:
        end = self._pending.find(b"\r\n")
        if (end if end >= 0 else len(self._pending)) > limits.SUBMISSION_LINE_BYTES_MAX:
            self.close("500 5.5.6 Line too long")
            return None
        line = self._pending if end < 0 else self._pending[:end]
        if b"\n" in line or (end >= 0 and (b"\r" in line or b"\0" in line)):
            self.close("500 5.5.2 Lines end in CRLF, and hold neither CR nor LF")
            return None
        if end < 0:
            return None
        self._pending = self._pending[end + 2 :]
        return line

    def _obey(self, line: bytes) -> Asked | None:
        if self._auth is not None:
            return self._on_auth_line(line)
        verb, _, rest = line.partition(b" ")
        try:
            text = rest.decode("utf-8").rstrip(" ")
        except UnicodeDecodeError:
            self._complain(b"501 5.5.2 Neither ASCII nor UTF-8")
            return None
        match verb.upper():
            case b"MAIL":
                return self._on_mail(text)
            case b"RCPT":
                return self._on_rcpt(text)
            case b"DATA":
                self._on_data(text)
            case b"EHLO" | b"HELO" as hello:
                self._on_hello(text, is_extended=hello == b"EHLO")
            case b"AUTH":
                return self._on_auth(text)
            case b"STARTTLS":
                return self._on_starttls(text)
            case b"RSET":
                self._forget()
                self._idle(_OK)
            case b"QUIT":
                self.close("221 2.0.0 Bye")
            case other:
                self._on_other(other, line)
        return None

    def _on_other(self, verb: bytes, line: bytes) -> None:
        if verb in _FIXED:
            self._idle(_FIXED[verb])
        elif line.upper().startswith(_HTTP):
            self.close("500 5.5.1 This is SMTP")
        else:
            self._complain(b"502 5.5.1 Not here")

    def _on_hello(self, name: str, *, is_extended: bool) -> None:
        if not name:
            self._complain(_SYNTAX + b"EHLO name")
            return
        self._hello = name
        self._forget()
        if not is_extended:
            self._idle(b"250 %b" % self._host_name)
            return
        lines = [self._host_name, b"PIPELINING", b"SIZE %d" % self._size_bytes_max, b"8BITMIME", b"SMTPUTF8", b"DSN"]
        if self.offers_tls:
            lines.append(b"STARTTLS")
        if self.may_auth:
            lines.append(b"AUTH PLAIN LOGIN")
        self._idle(b"".join(b"250-%b\r\n" % line for line in lines) + b"250 ENHANCEDSTATUSCODES")

    def _on_starttls(self, rest: str) -> StartTls | None:
        if rest:
            self._complain(b"501 5.5.4 STARTTLS takes nothing")
        elif not self.offers_tls:
            self._complain(b"503 5.5.1 TLS is on" if self.has_tls else b"454 4.7.0 No TLS here")
        else:
            return StartTls()
        return None

    def _on_mail(self, rest: str) -> Mail | None:
        if not self._hello or self._has_mail:
            self._complain(_OUT_OF_TURN if self._hello else b"503 5.5.1 EHLO first")
        elif self.needs_auth and not self.is_authenticated:
            is_tls_first = self.offers_tls and not self.may_auth
            self._complain(b"530 5.7.0 STARTTLS first" if is_tls_first else b"530 5.7.0 AUTH first")
        elif (found := _mail(rest)) is None:
            self._complain(_SYNTAX + b"MAIL FROM:<address>")
        elif (given := _parameters(found["more"])) is None:
            self._complain(_SYNTAX + b"parameters")
        else:
            return self._read_mail(found["path"] if found["bare"] is None else found["bare"], given)
        return None

    def _read_mail(self, sender: str, given: dict[str, str]) -> Mail | None:
        size_bytes = digits.parse(given.pop("SIZE", "0"), most=10**18)
        body, is_utf8 = given.pop("BODY", "7BIT").upper(), given.pop("SMTPUTF8", None) is not None
        ret, envid = given.pop("RET", "").upper(), given.pop("ENVID", "")
        given.pop("AUTH", "")  # RFC 4954 §5: who wrote it first; we know who hands it in.
        if given:
            self._complain(b"555 5.5.4 Unknown parameter")
        elif size_bytes is None or body not in ("7BIT", "8BITMIME") or ret not in ("", "FULL", "HDRS"):
            self._complain(b"501 5.5.4 A parameter has a value that it cannot have")
        elif not _xtext(envid) or len(envid) > limits.ENVID_CHARS_MAX:
            self._complain(_SYNTAX + b"ENVID=xtext")
        elif size_bytes > self._size_bytes_max:
            self._say(b"552 5.3.4 Over %d octets" % self._size_bytes_max)
        elif not sender.isascii() and not is_utf8:
            self._complain(b"553 5.6.7 That address needs SMTPUTF8")
        elif not sender.isprintable() or len(sender.encode()) > limits.ADDRESS_BYTES_MAX:
            self._complain(b"553 5.1.7 That sender is too long, or has a character that nobody sees")
        else:
            return Mail(sender, size_bytes, body == "8BITMIME", is_utf8, ret, _from_xtext(envid))
        return None

    def _on_rcpt(self, rest: str) -> Rcpt | None:
        if not self._has_mail:
            self._complain(_OUT_OF_TURN)
        elif self._recipient_count >= self._recipients_count_max:
            self._say(b"452 4.5.3 Over %d recipients; send the others in another transaction" % self._recipient_count)
        elif (found := _rcpt(rest)) is None:
            self._complain(_SYNTAX + b"RCPT TO:<address>")
        elif (given := _parameters(found["more"])) is None:
            self._complain(_SYNTAX + b"parameters")
        else:
            return self._read_rcpt(found["path"] if found["bare"] is None else found["bare"], given)
        return None

    def _read_rcpt(self, to: str, given: dict[str, str]) -> Rcpt | None:
        notify = frozenset(given.pop("NOTIFY", "").upper().split(",")) - {""}
        original = given.pop("ORCPT", "")
        found = _ADDRESS_TYPE.fullmatch(original)
        if given:
            self._complain(b"555 5.5.4 Unknown parameter")
        elif notify != {"NEVER"} and not notify <= _NOTIFY:
            self._complain(_SYNTAX + b"NOTIFY=NEVER, or of SUCCESS,FAILURE,DELAY")
        elif original and (found is None or not _xtext(found[1]) or len(original) > limits.ORCPT_CHARS_MAX):
            self._complain(_SYNTAX + b"ORCPT=type;xtext")
        elif not to.isascii() and not self._utf8:
            self._complain(b"553 5.6.7 That address needs SMTPUTF8")
        else:
            return Rcpt(to, notify, _from_xtext(found[1]) if found else "")
        return None

    def _on_data(self, rest: str) -> None:
        if rest or not self._has_mail:
            self._complain(_OUT_OF_TURN if not rest else b"501 5.5.4 DATA takes nothing")
        elif not self._recipient_count:
            self._complain(b"554 5.5.1 No valid recipients")
        else:
            self._say(b"354 Go ahead; end with CRLF.CRLF")
            self._in_body = True
            self._end = EndFinder()

    # -- AUTH.

    def _on_auth(self, rest: str) -> Auth | None:
        mechanism, _, initial = rest.partition(" ")
        if not self._hello or self._has_mail or self.is_authenticated:
            self._complain(_OUT_OF_TURN if self._hello else b"503 5.5.1 EHLO first")
        elif not self.may_auth:
            is_tls_first = self.offers_tls
            self._complain(b"538 5.7.11 STARTTLS first" if is_tls_first else b"502 5.5.1 No AUTH here")
        elif mechanism.upper() not in ("PLAIN", "LOGIN"):
            self._complain(b"504 5.5.4 PLAIN or LOGIN")
        else:
            self._auth = (mechanism.upper(), "")
            if initial:
                return self._on_auth_line(b"" if initial == "=" else initial.encode())  # RFC 4954 §4.
            self._say(b"334 " if mechanism.upper() == "PLAIN" else b"334 VXNlcm5hbWU6")  # "Username:"
        return None

    def _on_auth_line(self, line: bytes) -> Auth | None:
        assert self._auth is not None
        (mechanism, username), self._auth = self._auth, None
        if line == b"*":
            self._complain(b"501 5.7.0 Cancelled")
            return None
        try:
            shown = base64.b64decode(line, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            self._complain(b"501 5.5.2 Not base64 of UTF-8")
            return None
        if mechanism == "LOGIN":
            if username:
                return Auth(username, shown)
            if not shown:
                self._complain(b"501 5.5.2 No name")
                return None
            self._auth = (mechanism, shown)
            self._say(b"334 UGFzc3dvcmQ6")  # "Password:"
            return None
        parts = shown.split("\0")
        if len(parts) != 3 or not parts[1] or parts[0] not in ("", parts[1]):  # RFC 4616 §2: nobody acts for others.
            self._complain(b"501 5.5.2 Not NUL name NUL password")
            return None
        return Auth(parts[1], parts[2])

    # -- The body.

    def _read_body(self) -> bool:
        """Take what came of the body; False when its end has not come yet."""
        pending = self._pending
        end = self._end.find(pending)
        if end < 0:
            self._keep(pending)
            self._pending = b""
            return False
        self._keep(pending[:end])
        self._pending = pending[end:]
        size_bytes = self._body_bytes - len(b".\r\n")
        content = b"".join(self._body)[:-3]
        self._in_body, self._body, self._body_bytes = False, [], 0
        if size_bytes > self._size_bytes_max:
            self._forget()
            self._complain(b"552 5.3.4 Over %d octets" % self._size_bytes_max)
            return True
        content = content.removeprefix(b".")  # RFC 5321 §4.5.2.
        if b"\r\n." in content:
            content = content.replace(b"\r\n.", b"\r\n")
        self._asked = Message(content, has_bare_line_end=_has_bare(content))
        return True

    def _keep(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if self._body_bytes > self._size_bytes_max + len(b".\r\n"):
            self._body.clear()
        else:
            self._body.append(part)

    # -- Small steps.

    def _forget(self) -> None:
        self._has_mail = self._utf8 = False
        self._recipient_count = 0

    def _say(self, reply: bytes) -> None:
        self._replies.append(reply + b"\r\n")

    def _say_lines(self, reply: str) -> None:
        lines = reply.encode("ascii", "replace").split(b"\n")
        code = lines[0][:4]
        first = [lines[0], *[code + line for line in lines[1:]]]
        self._replies += [line[:3] + b"-" + line[4:] + b"\r\n" for line in first[:-1]]
        self._replies.append(first[-1] + b"\r\n")

    def _idle(self, reply: bytes) -> None:
        """Answer a command that leads to no mail; hang up on who does nothing else."""
        self._say(reply)
        self._idle_count += 1
        if self._idle_count > limits.SUBMISSION_IDLE_COMMANDS_COUNT_MAX:
            self.close("421 4.7.0 Too many commands without mail")

    def _complain(self, reply: bytes) -> None:
        """Refuse what is wrong by itself; hang up on who is wrong again and again."""
        self._say(reply)
        self._error_count += 1
        if self._error_count > limits.SUBMISSION_ERRORS_COUNT_MAX:
            self.close("421 4.7.0 Too many errors")


def _has_bare(content: bytes) -> bool:
    return not content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")


def _parameters(text: str | None) -> dict[str, str] | None:
    """Read the parameters of MAIL or RCPT, by their names in upper case; None: they cannot be read."""
    given: dict[str, str] = {}
    for word in (text or "").split():
        found = _parameter(word) if word.isascii() else None
        if found is None or found[1].upper() in given:
            return None
        given[found[1].upper()] = found[2] or ""
    return given


def _from_xtext(text: str) -> str:
    return _XTEXT.sub(lambda code: chr(int(code[1], 16)), text)
