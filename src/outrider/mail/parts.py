r"""The parts of a report somebody sent us: a flat list, bounded in all it looks at. Pure; never raises.

    cut(message)        [Part("text/plain", ...), Part("message/delivery-status", ...), Part("message/rfc822", ...)]
    part.text()         its words, decoded, for a person: of HTML what a browser would show, roughly
    part.inner()        what is behind its transfer encoding: the header of a message returned to us

`parse` shows whole messages to people through the standard library; this one reads those of strangers, thousands a
minute, and looks for little, so it does little: at most `REPORT_BYTES_MAX` of the message, of them
`REPORT_PARTS_COUNT_MAX` parts, `REPORT_DEPTH_COUNT_MAX` levels of multipart deep. Work is therefore at most those bytes
times those levels, whatever they are. What is not text or a report is never decoded, so an archive stays shut. A
message inside the message is one part; nobody needs what is in it but its header.

Lenient where real reports are wrong: a boundary that is never closed, that is not the one announced, or announced
nowhere; a missing Content-Type; base64 with a broken end; a charset that is a lie.

Sources: RFC 2045, RFC 2046 §5.1, RFC 6522 (multipart/report).
"""

import binascii
import html
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from outrider.base import limits
from outrider.mail import parse
from outrider.mail.parse import Header

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_PARAMETER: Final = r"""(?:^|[;\s]){name}\*?=\s*(?:"([^"]*)"|'([^']*)'(?=\s*(?:;|$))|([^\s;"]+))"""
_BOUNDARY: Final = re.compile(_PARAMETER.format(name="boundary"), re.IGNORECASE)
_CHARSET: Final = re.compile(_PARAMETER.format(name="charset"), re.IGNORECASE)
_REPORT_TYPE: Final = re.compile(_PARAMETER.format(name="report-type"), re.IGNORECASE)
_GUESS: Final = re.compile(
    rb"^--([^\s-][^\r\n]{0,68}?|[^\r\n]{1,69}[^\r\n\s-])[ \t]*\r?\n(?=(?i:content-))", re.MULTILINE
)
_MESSAGES: Final = (
    "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers", "text/rfc822",
    "message/rfc822-headers",
)  # fmt: skip
_KIND: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)

_BREAK: Final = re.compile(r"<(?:br|/p|/div|/tr|/h[1-6]|/li|/table|/pre|p|hr)\b[^<>]*>", re.IGNORECASE)
_TAG: Final = re.compile(r"<(?![^<>\s]*@)[A-Za-z/!?][^<>]*>")  # But not an address in angle brackets.
_LONG_NUMBER: Final = re.compile(r"&#[0-9]{8,}+;?")  # No character; the library raises on thousands of digits.
_BLANKS: Final = re.compile(r"[^\S\n]+")
_BASE64_LINES: Final = re.compile(rb"(?:[A-Za-z0-9+/]{40,}={0,2}\s+){2,}")


class Part(msgspec.Struct, frozen=True):
    """One leaf of the tree of parts: anything but a multipart."""

    kind: str  # "text/plain", in lower case; what a part without a type is.
    header: Header
    body: bytes  # As it came, transfer-encoded.

    @property
    def is_message(self) -> bool:
        """It is a message somebody returns, or its header."""
        return self.kind in _MESSAGES

    @property
    def is_text(self) -> bool:
        """People may read it."""
        return self.kind.startswith("text/") and not self.is_message

    def inner(self) -> bytes:
        """Return the octets of the part, without transfer encoding, at most `REPORT_TEXT_CHARS_MAX` of them."""
        octets = self.body[: limits.REPORT_TEXT_CHARS_MAX * 2]  # What base64 and its line ends make of them, at most.
        match self.header.first("content-transfer-encoding").lower().partition(" ")[0].strip(";\"'"):
            case "base64":
                octets = _from_base64(octets)
            case "quoted-printable":
                octets = binascii.a2b_qp(octets)
            case _:
                pass
        return octets[: limits.REPORT_TEXT_CHARS_MAX]

    def text(self) -> str:
        """Return the words of the part, lines ending in LF; "" if it has none. Can be written as UTF-8."""
        octets = self.inner()
        text = _decode(octets, parameter_of(_CHARSET, self.header.first("content-type")))
        if self.kind == "text/html":
            text = text_of_html(text)
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def cut(message: bytes) -> list[Part]:
    """Return the parts of `message` in order, at least one. Never raises; bounded, see above."""
    found: list[Part] = []
    header, body = _split(message[: limits.REPORT_BYTES_MAX])
    waiting: list[Iterator[bytes]] = []
    looked_at = 0
    while True:
        inner = _parts_of(header, body, is_root=not looked_at) if len(waiting) < limits.REPORT_DEPTH_COUNT_MAX else None
        looked_at += 1
        if inner is None:
            found.append(Part(_kind_of(header), header, body))
        else:
            waiting.append(inner)
        octets = _next(waiting)
        if octets is None or looked_at >= limits.REPORT_PARTS_COUNT_MAX:
            return found or [Part("text/plain", header, body)]
        header, body = _split(octets)


def report_type(header: Header) -> str:
    """Return the report-type of a multipart/report, in lower case; "" if it is none. RFC 6522 §3."""
    content_type = header.first("content-type")
    return parameter_of(_REPORT_TYPE, content_type).lower() if "report" in content_type.lower() else ""


def parameter_of(pattern: re.Pattern[str], value: str) -> str:
    """Return the first group of `pattern` that is in a field's value, "" if none is."""
    match = pattern.search(value)
    return "" if match is None else next((group for group in match.groups() if group), "").strip()


def text_of_html(text: str) -> str:
    """Return roughly what a browser would show of `text`, which may be cut anywhere. Cost: a few passes."""
    for name in ("style", "script", "head"):
        text = _without_element(text, name)
    text = _BREAK.sub("\n", _BLANKS.sub(" ", text.replace("\r", "").replace("\n", " ")))
    text = html.unescape(_LONG_NUMBER.sub("", _TAG.sub("", text))).replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(line.strip() for line in text.split("\n"))


def _next(waiting: list[Iterator[bytes]]) -> bytes | None:
    """Return the next part of the innermost multipart that has one."""
    while waiting:
        octets = next(waiting[-1], None)
        if octets is not None:
            return octets
        waiting.pop()
    return None


def _split(octets: bytes) -> tuple[Header, bytes]:
    """Cut a message or part into its header and its body. Without any field, all of it is the body."""
    head = octets[: limits.CAUGHT_HEADER_BYTES_MAX]
    header = parse.read_header(head.removeprefix(b"\r\n") if head[:1] in b"\r\n" and head[2:3].isalpha() else head)
    end = _END_OF_HEADER.search(head)
    if end is not None:
        return header, octets[end.end() :]
    return header, b"" if header.fields else octets


def _kind_of(header: Header) -> str:
    """Return the type of a leaf. A multipart that cannot be cut, or not any deeper, is read as text."""
    match = _KIND.match(header.first("content-type"))
    kind = match[0].lower() if match else "text/plain"
    return "text/plain" if kind.startswith("multipart/") else kind


def _parts_of(header: Header, body: bytes, *, is_root: bool) -> Iterator[bytes] | None:
    """Return the parts of a multipart, None if it is not one."""
    content_type = header.first("content-type")
    if content_type.lower().startswith("multipart/"):
        boundary = parameter_of(_BOUNDARY, content_type).encode("utf-8", "replace")
        if boundary and b"--" + boundary in body:
            return _between(body, b"--" + boundary)
    elif not (is_root and b"Content-Type: message/" in body and not header.first("content-transfer-encoding")):
        return None
    guess = _GUESS.search(body[: limits.REPORT_TEXT_CHARS_MAX])
    return None if guess is None else _between(body, b"--" + guess[1])


def _between(body: bytes, mark: bytes) -> Iterator[bytes]:
    """Give what stands between lines that begin with `mark`, what is before the first one not included."""
    start = -1
    for line in re.finditer(rb"^" + re.escape(mark) + rb"(?:(--)|(?=\s)|\Z)[^\n]*\n?", body, re.MULTILINE):
        if start >= 0:
            yield body[start : line.start()].removesuffix(b"\n").removesuffix(b"\r")
        if line[1]:
            return
        start = line.end()
    if start >= 0:
        yield body[start:]


def _from_base64(octets: bytes) -> bytes:
    """Decode as much as can be: an end cut off, or a footer in plain text behind it, is usual."""
    lines = _BASE64_LINES.match(octets.lstrip() + b"\n")
    for text in (octets, octets + b"==", octets + b"=", lines[0] if lines else b""):
        try:
            return binascii.a2b_base64(text)
        except binascii.Error:
            continue
    return b""


def _decode(octets: bytes, charset: str) -> str:
    """Decode text that may say a wrong charset, or none."""
    charset = charset.partition("'")[0].lower()
    if b"\x1b$" in octets or b"\x1b(J" in octets:
        charset = "iso-2022-jp"  # Nothing else has these, and it is often not said.
    elif charset in ("gb2312", "gbk", "gb_2312-80", "x-gbk"):
        charset = "gb18030"  # Which holds both; what is said to be GB 2312 often is more.
    elif charset in ("", "us-ascii", "ascii", "unknown-8bit", "utf-8"):
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            charset = charset if charset == "utf-8" else "iso-8859-1"
    return parse.decode_text(octets, charset).encode("utf-8", "replace").decode("utf-8")


def _without_element(text: str, name: str) -> str:
    """Drop what is between <name> and </name>. One pass: nothing is searched for twice."""
    lower = text.lower()
    if len(lower) != len(text):
        return text  # Some letters change their number; a few lines of style sheet are then read, too.
    kept: list[str] = []
    at = 0
    while True:
        start = lower.find(f"<{name}", at)
        end = lower.find(f"</{name}", start) if start >= 0 else -1
        if end < 0:
            kept.append(text[at:])
            return "".join(kept)
        kept.append(text[at:start])
        at = end
