"""Cut any message into what a page shows of it: a few header fields, a text, an HTML part, what is attached. Pure.

For looking at mail, not for judging or passing it on: values are decoded for people, and what cannot be read is left
out or shown with replacement characters. Nothing is made safe for a browser here; templates escape, and HTML belongs
into a sandboxed frame. Signatures are `dkim_verify`'s.

Never raises, whatever the bytes are: at worst `is_whole` is False and only the header fields are there. Bounded: at
most `_PARTS_COUNT_MAX` parts are looked at, a field gives at most `_FIELD_CHARS_MAX` characters and a body
`limits.CAUGHT_SHOWN_CHARS_MAX`; time and memory follow the size of the message, which is the caller's to limit.
"""

import email.errors
import email.header
import email.message
import email.parser
import email.policy
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from outrider.base import limits

_PARTS_COUNT_MAX: Final = 200  # Ours: more than any program makes; the rest is not shown.
_FIELD_CHARS_MAX: Final = 2000  # Ours: enough to recognise a field; decoding costs more than the length.
_FIELDS_COUNT_MAX: Final = 1000  # Ours: more are not looked at.
_BOUNDARIES_COUNT_MAX: Final = 100  # Ours: each nested multipart makes every line of it dearer.
_BOUNDARY: Final = re.compile(rb"boundary[*0-9 \t]*=", re.IGNORECASE)
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
# What the library lets through on malformed messages; deep nesting ends in RecursionError, a RuntimeError.
_TRIPS: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
    email.errors.MessageError,
)

_Message = email.message.Message


class Attachment(msgspec.Struct, frozen=True):
    """A part that is neither the text nor the HTML."""

    name: str  # "" if it has none.
    type: str  # "image/png"
    size_bytes: int  # Decoded.


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows of a message. A field that is missing is ""; of one that is there twice, the first."""

    subject: str
    sender: str  # The From field.
    to: str
    date: str  # As it is written: it may be nonsense.
    message_id: str
    text: str | None  # Lines end in LF.
    html: str | None
    attachments: tuple[Attachment, ...]
    is_cut: bool = False  # The text or the HTML was longer than what is here.
    is_whole: bool = True  # False: the body could not be read.


def parse(message: bytes) -> Parsed:
    """Return what a page shows of `message`. Cost: reads all of it; a large one deserves a thread."""
    if len(_BOUNDARY.findall(message)) <= _BOUNDARIES_COUNT_MAX:
        try:
            # compat32 hands out what it finds; the newer policies raise on some malformed fields.
            root = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(message)
            text, html, attachments = _bodies(root)
            return _shown(_fields_of(root), text, html, attachments, is_whole=True)
        except _TRIPS:
            return _fields_only(message)
    return _fields_only(message)


def _fields_only(message: bytes) -> Parsed:
    end = _END_OF_HEADER.search(message)
    header = message[: end.start()] if end else message
    try:
        fields = _fields_of(email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(header))
    except _TRIPS:
        fields = {}
    return _shown(fields, None, None, (), is_whole=False)


def _shown(
    fields: dict[str, str], text: str | None, html: str | None, attachments: tuple[Attachment, ...], *, is_whole: bool
) -> Parsed:
    chars_max = limits.CAUGHT_SHOWN_CHARS_MAX
    return Parsed(
        subject=fields.get("subject", ""),
        sender=fields.get("from", ""),
        to=fields.get("to", ""),
        date=fields.get("date", ""),
        message_id=fields.get("message-id", ""),
        text=text[:chars_max] if text is not None else None,
        html=html[:chars_max] if html is not None else None,
        attachments=attachments,
        is_cut=max(len(text or ""), len(html or "")) > chars_max,
        is_whole=is_whole,
    )


def _fields_of(root: "_Message[str, str]") -> dict[str, str]:
    fields: dict[str, str] = {}
    for _, (name, value) in zip(range(_FIELDS_COUNT_MAX), root.raw_items(), strict=False):
        fields.setdefault(str(name).lower(), _decoded(str(value)))
    return fields


def _decoded(raw: str) -> str:
    """Decode a field for people: encoded words, else UTF-8, else as much as can be read; no control characters."""
    raw = raw[:_FIELD_CHARS_MAX]
    try:
        text = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # Half a character that was not an octet: some charset of a file name made it.
        text = raw
    text = re.sub(r"\r?\n(?=[ \t])", "", text)
    if "=?" in text:
        try:
            text = str(email.header.make_header(email.header.decode_header(text)))
        except _TRIPS:
            return _printable(text)
    return _printable(text)


def _printable(text: str) -> str:
    return _CONTROL.sub(" ", text.encode("utf-8", "replace").decode("utf-8")).strip()


def _bodies(root: "_Message[str, str]") -> tuple[str | None, str | None, tuple[Attachment, ...]]:
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(root):
        kind = part.get_content_type()
        name = _name_of(part)
        is_shown = not name and part.get_content_disposition() != "attachment"
        if is_shown and kind == "text/plain" and text is None:
            text = _text_of(part)
        elif is_shown and kind == "text/html" and html is None:
            html = _text_of(part)
        else:
            attachments.append(Attachment(name, _printable(kind), len(_octets_of(part))))
    return text, html, tuple(attachments)


def _leaves(root: "_Message[str, str]") -> "Iterator[_Message[str, str]]":
    """Give the parts that hold content, in order; a message inside the message is one part."""
    waiting = [root]
    for _ in range(_PARTS_COUNT_MAX):
        if not waiting:
            return
        part = waiting.pop()
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting.extend(inner for inner in reversed(payload) if isinstance(inner, _Message))
        else:
            yield part


def _octets_of(part: "_Message[str, str]") -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, _Message))


def _text_of(part: "_Message[str, str]") -> str:
    octets = _octets_of(part)
    try:
        text = octets.decode(part.get_content_charset() or "utf-8", "replace")
    except _TRIPS:  # Not a charset, or not one for text.
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")


def _name_of(part: "_Message[str, str]") -> str:
    return _decoded(str(part.get_filename() or ""))[:255]
