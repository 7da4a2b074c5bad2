"""A caught message cut into what a page shows: header fields, a text, an HTML part, what is attached.

It may be anything that somebody fed to an SMTP port, so nothing here raises for what a message holds: what cannot be
read is shown as far as it can, and the source is always there. Nothing is made safe here: templates escape, and the
HTML part goes into a frame that may run and fetch nothing (`mailbox`).
"""

import email.message
import email.parser
import email.policy
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from outrider.base import limits
from outrider.services.catch import decode_text, header_fields

PARTS_COUNT_MAX: Final = 200  # Ours: more parts than this are not looked at.
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")


class Attachment(msgspec.Struct, frozen=True):
    """A part that is neither the text nor the HTML of the message."""

    name: str  # "" if it has none.
    content_type: str
    size_bytes: int


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows of one message."""

    fields: tuple[tuple[str, str], ...]  # In order, names in lower case, values decoded.
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    is_cut: bool = False  # The text was longer than a page shows.
    is_whole: bool = True  # False: the structure could not be read; only the fields are shown.

    def first(self, name: str) -> str:
        """Return the first field of that lower-case name, "" if there is none."""
        return next((value for key, value in self.fields if key == name), "")


def view(message: bytes) -> MessageView:
    """Return what a page shows of `message`. Cost: parses all of it; a large one deserves a thread."""
    end = _END_OF_HEAD.search(message)
    fields = tuple(header_fields(message[: min(end.start() if end else len(message), limits.CAUGHT_HEADER_BYTES_MAX)]))
    try:
        # compat32 hands out what it finds; the newer policies raise on some malformed fields.
        root = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(message)
        return _cut_up(root, fields)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # What the library trips over.
        return MessageView(fields=fields, text=None, html=None, attachments=(), is_whole=False)


def _cut_up(root: "email.message.Message[str, str]", fields: tuple[tuple[str, str], ...]) -> MessageView:
    text: str | None = None
    html: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(root):
        kind = part.get_content_type()
        is_inline = part.get_content_disposition() != "attachment" and not part.get_filename()
        if kind == "text/plain" and is_inline and text is None:
            text = _text_of(part)
        elif kind == "text/html" and is_inline and html is None:
            html = _text_of(part)
        else:
            attachments.append(Attachment(_name_of(part), kind, len(_octets_of(part))))
    shown_chars_max = limits.CAUGHT_SHOWN_CHARS_MAX
    is_cut = text is not None and len(text) > shown_chars_max
    shown = text[:shown_chars_max] if text is not None else None
    return MessageView(fields=fields, text=shown, html=html, attachments=tuple(attachments), is_cut=is_cut)


def _leaves(root: "email.message.Message[str, str]") -> "Iterator[email.message.Message[str, str]]":
    """Give the parts that hold content, in order; a message inside the message is one part."""
    waiting = [root]
    for _ in range(PARTS_COUNT_MAX):
        if not waiting:
            return
        part = waiting.pop()
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting.extend(inner for inner in reversed(payload) if isinstance(inner, email.message.Message))
        else:
            yield part


def _octets_of(part: "email.message.Message[str, str]") -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return b"".join(inner.as_bytes() for inner in part.get_payload() if isinstance(inner, email.message.Message))


def _text_of(part: "email.message.Message[str, str]") -> str:
    return decode_text(_octets_of(part), part.get_content_charset() or "utf-8").replace("\r\n", "\n")


def _name_of(part: "email.message.Message[str, str]") -> str:
    name = part.get_filename() or ""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(name))[:200]
