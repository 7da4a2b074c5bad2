"""Cut any message into what a page shows of it: header fields, a text, an HTML part, what is attached. Pure.

    read_header   the fields alone, of the first 64 KiB: for a list of many messages
    parse         all of it: for one message

For looking at mail, not for judging or passing it on: values are decoded for people, and what cannot be read is left
out or shown with replacement characters. Nothing is made safe for a browser here; templates escape, and HTML belongs
into a sandboxed frame. Signatures are `dkim_verify`'s.

Never raises, whatever the octets are: at worst `is_whole` is False and only the header fields are there. All texts can
be written as UTF-8. Bounded by `limits.CAUGHT_*`; the time and memory of `parse` follow the size of the message, which
is the caller's to limit. The structure is read by the standard library, fields and encoded words are read here (RFC
5322, RFC 2047).
"""

import binascii
import email.errors
import email.message
import email.parser
import email.policy
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from outrider.base import limits

_BOUNDARY: Final = re.compile(rb"boundary[*0-9 \t]*=", re.IGNORECASE)
_END_OF_HEADER: Final = re.compile(rb"(?:\A|\n)\r?\n")
_FIELD: Final = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)  # RFC 5322 §2.2, §4.5.
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_WORD: Final = re.compile(r"=\?([^?\s]{1,60})\?([bq])\?", re.IGNORECASE)  # Its beginning. RFC 2047 §2.
# Python knows more codecs than people write in; some of those (punycode, unicode_escape) are slow, warn or are no text.
# ASCII is not here: who says so and has other octets mostly means UTF-8.
_CHARSET: Final = re.compile(
    r"utf-?(?:16|32)(?:-?[lb]e)?|(?:iso|latin|windows|cp|koi8|gb|big5|euc|shift|ks|mac|tis)[\w-]*",
    re.ASCII | re.IGNORECASE,
)
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


class _AsItIs(email.policy.Compat32):
    """Hands out fields as they came: compat32 itself spoils plain UTF-8, the newer policies raise on odd fields."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the library's signature.
        return value


_PARSER: Final = email.parser.BytesParser(policy=_AsItIs())


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The header fields of a message, decoded for people: without control characters and white space around."""

    fields: tuple[tuple[str, str], ...]  # In order; names in lower case.

    def first(self, name: str) -> str:
        """Return the first field of that lower-case name, "" if there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def every(self, name: str) -> tuple[str, ...]:
        """Return all fields of that lower-case name, in order."""
        return tuple(value for key, value in self.fields if key == name)

    @property
    def subject(self) -> str:
        """The Subject field."""
        return self.first("subject")

    @property
    def sender(self) -> str:
        """The From field."""
        return self.first("from")

    @property
    def to(self) -> str:
        """The To field."""
        return self.first("to")

    @property
    def message_id(self) -> str:
        """The Message-ID field, with its angle brackets."""
        return self.first("message-id")

    @property
    def date(self) -> str:
        """The Date field as it is written: it may be nonsense."""
        return self.first("date")


class Attachment(msgspec.Struct, frozen=True):
    """A part that is neither the text nor the HTML."""

    name: str  # "" if it has none. Without control characters and their like: it may be written to a terminal.
    type: str  # "image/png"
    size_bytes: int  # Decoded.


class Parsed(Header, frozen=True, kw_only=True):
    """What a page shows of a message."""

    text: str | None  # Lines end in LF.
    html: str | None  # Never cut: half a page is none.
    attachments: tuple[Attachment, ...]
    is_cut: bool = False  # The text was longer than what is here.
    is_whole: bool = True  # False: the structure could not be read, so there are fields only.


def parse(message: bytes) -> Parsed:
    """Return what a page shows of `message`. Cost: reads all of it; a large one deserves a thread."""
    fields = read_header(message).fields
    if len(_BOUNDARY.findall(message)) > limits.CAUGHT_BOUNDARIES_COUNT_MAX:
        return Parsed(fields=fields, text=None, html=None, attachments=(), is_whole=False)
    try:
        root = _PARSER.parsebytes(message)
        text, html, attachments = _bodies(root)
    except _TRIPS:
        return Parsed(fields=fields, text=None, html=None, attachments=(), is_whole=False)
    chars_max = limits.CAUGHT_SHOWN_CHARS_MAX
    is_cut = text is not None and len(text) > chars_max
    shown = text[:chars_max] if text is not None else None
    return Parsed(fields=fields, text=shown, html=html, attachments=attachments, is_cut=is_cut)


def read_header(message: bytes) -> Header:
    """Return the header fields of a message, which may be cut anywhere; a line that is no field is passed over.

    Cost: linear in the first `limits.CAUGHT_HEADER_BYTES_MAX`; the rest is not looked at.
    """
    head = message[: limits.CAUGHT_HEADER_BYTES_MAX]
    end = _END_OF_HEADER.search(head)
    found = _FIELD.finditer(head, 0, end.start() if end else len(head))
    return Header(
        fields=tuple(
            (field[1].decode("ascii").lower(), _decoded(field[2]))
            for _, field in zip(range(limits.CAUGHT_FIELDS_COUNT_MAX), found, strict=False)
        )
    )


def decode_text(octets: bytes | bytearray, charset: str) -> str:
    """Decode `octets` whatever they hold; as UTF-8 if `charset` is not one in which people write."""
    name = charset if _CHARSET.fullmatch(charset) else "utf-8"
    try:
        return octets.decode(name, "replace")
    except LookupError:  # It only sounds like one.
        return octets.decode("utf-8", "replace")


def decode_words(text: str) -> str:
    """Return `text` with its encoded words decoded. Total; what cannot be decoded stays as it is."""
    return _decode_words(text) if "=?" in text else text


def _decoded(value: bytes) -> str:
    """Decode a header value for people: encoded words, else UTF-8, else as much as can be read."""
    text = _FOLD.sub(b"", value).decode("utf-8", "replace")
    if "=?" in text:
        text = _decode_words(text)
    return _CONTROL.sub(" ", text).strip()[: limits.CAUGHT_FIELD_CHARS_MAX]


def _decode_words(text: str) -> str:
    """Decode RFC 2047 words wherever they stand, of any length and with blanks in them: many programs write so.

    Danger: the library's search is quadratic and spoils UTF-8 between the words; this one passes over the text once.
    """
    pieces: list[tuple[str, bytearray]] = []  # Charset ("" between words) and octets.
    at = 0
    while word := _WORD.search(text, at):
        end = text.find("?=", word.end())
        if end < 0:
            break  # No word ends behind here.
        octets = _octets_of_word(word[2], text[word.end() : end])
        between = text[at : word.start()]
        at = end + 2
        if octets is None:
            pieces.append(("", bytearray((between + text[word.start() : at]).encode())))
            continue
        if between and not (pieces and pieces[-1][0] and between.isspace()):
            pieces.append(("", bytearray(between.encode())))
        charset = word[1].partition("*")[0].lower()  # Without the language of RFC 2231 §5.
        if pieces and pieces[-1][0] == charset:
            pieces[-1][1].extend(octets)  # One character may stand in two words.
        else:
            pieces.append((charset, bytearray(octets)))
    return "".join(decode_text(octets, charset) for charset, octets in pieces) + text[at:]


def _octets_of_word(encoding: str, text: str) -> bytes | None:
    """Return what an encoded word holds, None if that cannot be told."""
    if encoding in "qQ":
        return binascii.a2b_qp(text.encode(), header=True)
    try:
        return binascii.a2b_base64(text.encode() + b"===")  # Padding over what is needed is passed over.
    except ValueError:
        return None


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
            attachments.append(Attachment(name, _decoded(_raw(kind)), len(_octets_of(part))))
    return text, html, tuple(attachments)


def _leaves(root: "_Message[str, str]") -> "Iterator[_Message[str, str]]":
    """Give the parts that hold content, in order; a message inside the message is one part."""
    waiting = [root]
    for _ in range(limits.CAUGHT_PARTS_COUNT_MAX):
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
    return decode_text(_octets_of(part), part.get_content_charset() or "").replace("\r\n", "\n")


def _name_of(part: "_Message[str, str]") -> str:
    name = _decoded(_raw(str(part.get_filename() or "")))[: limits.CAUGHT_NAME_CHARS_MAX]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)


def _raw(text: str) -> bytes:
    """Return the octets that the library made a text of."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # Half a character that was not an octet: some charset of a file name made it.
        return text.encode("utf-8", "replace")
