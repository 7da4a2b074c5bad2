r"""Header fields as bytes: folded, encoded, ending in CRLF. Pure.

    unstructured("Subject", "Grüße")             b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    mailbox("From", "Shop, Inc.", address)       b'From: "Shop, Inc." <noreply@shop.example>\r\n'

Every value passes `check_value` on its way in, so no header can be injected: no line break and no other control
character of a caller ever reaches a field. Lines are folded at 78 characters where there is a space to fold at and
never exceed 998; what cannot be folded under 998 is encoded, which can. ASCII text is written as it is, unless a
reader would take it for an encoded word or could not give back its spaces; then, and whenever it is not ASCII, the
whole value becomes encoded words, Q or B, whichever is shorter, cut between characters.

Sources: RFC 5322 §2.2.3 and §3.2, RFC 2047, RFC 6532 (UTF-8 in an address, unencoded).
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail.address import Address

_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029\\ud800-\\udfff]")
_BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ADDRESS_IN_NAME: Final = re.compile(r"<[^<>]*@[^<>]*>")
_name_of_field: Final = re.compile(r"[!-9;-~]{1,76}").fullmatch  # RFC 5322 §3.6.8; short enough for any first line.
_atoms: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*").fullmatch
_message_id: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}@[A-Za-z0-9.-]{1,253}").fullmatch
_TO_ESCAPE: Final = re.compile(r'(["\\])')
_FOLD_POINT: Final = re.compile(" (?=[^ ])")

_WORD_START_CHARS: Final = len("=?utf-8?q?")
_WORD_CHARS_MAX: Final = limits.ENCODED_WORD_CHARS_MAX - _WORD_START_CHARS - len("?=")
_WORD_LINE_CHARS_MAX: Final = 76  # A line with an encoded word. RFC 2047 §2.
# What Q may leave as it is even in a display name: RFC 2047 §5 (3).
_Q_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def check_value(value: str, *, field: str) -> None:
    """Refuse what may not be in a header: line breaks, NUL and other control characters, half characters.

    Raises:
        CallerError: for `field`.
    """
    if not value.isprintable() and _CONTROL.search(value):
        raise CallerError("A header value has a line break or another control character.", field=field)


def check_display_name(name: str, *, field: str) -> None:
    """Refuse a display name that shows something other than it is.

    That is: characters that turn the direction of what follows, an address of its own in angle brackets, and all
    that `check_value` refuses. Quotes, commas and the like are harmless: they are quoted when written.

    Raises:
        CallerError: for `field`.
    """
    check_value(name, field=field)
    if _BIDI.search(name):
        raise CallerError("A display name has a character that changes the direction of text.", field=field)
    if "@" in name and _ADDRESS_IN_NAME.search(name):
        raise CallerError("A display name has an address in angle brackets.", field=field)


def unstructured(name: str, value: str, *, field: str = "") -> bytes:
    """Write a field of free text, such as Subject. Spaces at both ends are dropped.

    Args:
        field: what to call the value in an error; the field's name if "".

    Raises:
        CallerError: the name or the value cannot be in a header.
    """
    _check_name(name)
    check_value(value, field=field or name)
    value = value.strip(" ")
    if value.isascii() and "=?" not in value:
        if len(name) + 2 + len(value) <= limits.LINE_FOLD_BYTES:
            return f"{name}: {value}\r\n".encode("ascii") if value else f"{name}:\r\n".encode("ascii")
        words = _FOLD_POINT.split(value)
        if len(name) + 2 + max(map(len, words)) <= limits.LINE_BYTES_MAX:
            return _fold(name, words).encode("ascii")
    return _fold(name, _encoded_words(value, len(name) + 2)).encode("ascii")


def mailbox(name: str, display_name: str, address: Address, *, field: str = "") -> bytes:
    """Write a field of one mailbox, such as From. An empty display name leaves the bare address.

    Args:
        field: what to call the display name in an error; the field's name if "".

    Raises:
        CallerError: the name or the display name cannot be in a header.
    """
    _check_name(name)
    check_display_name(display_name, field=field or name)
    display_name = display_name.strip(" ")
    if not display_name:
        return f"{name}: {address.text}\r\n".encode()
    words = [*_phrase(display_name, len(name) + 2), f"<{address.text}>"]
    return _fold(name, words).encode()


def mailboxes(name: str, boxes: Sequence[tuple[str, Address]]) -> bytes:
    """Write a field of several mailboxes, such as Cc: display names ("" for none) with their addresses, at least one.

    Raises:
        CallerError: the name or a display name cannot be in a header; `field` is the field's name.
    """
    _check_name(name)
    words: list[str] = []
    for display_name, address in boxes:
        check_display_name(display_name, field=name)
        stripped = display_name.strip(" ")
        words += [*_phrase(stripped, len(name) + 2), f"<{address.text}>,"] if stripped else [f"{address.text},"]
    words[-1] = words[-1].removesuffix(",")
    return _fold(name, words).encode()


def message_id(value: str) -> bytes:
    """Write the Message-ID field; `value` is without angle brackets.

    Raises:
        CallerError: not of the form dot-atom@domain.
    """
    if not _message_id(value) or ".." in value:
        raise CallerError("That is not a message id.", field="Message-ID")
    return f"Message-ID: <{value}>\r\n".encode("ascii")


def _check_name(name: str) -> None:
    if not _name_of_field(name):
        raise CallerError("That is not a name for a header field.", field=name if name.isprintable() else "")


def _quote(text: str) -> str:
    escaped = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{escaped}"'


def _phrase(text: str, used_chars: int) -> list[str]:
    """Cut a display name into the words to fold between: atoms, a quoted string, or encoded words."""
    if text.isascii() and "=?" not in text and "  " not in text:
        words = (text if _atoms(text) else _quote(text)).split(" ")
        if used_chars + max(map(len, words)) <= limits.LINE_BYTES_MAX:
            return words
    return _encoded_words(text, used_chars)


def _fold(name: str, words: Sequence[str]) -> str:
    """Join words by spaces, breaking the line before one that would pass 78 characters."""
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        is_encoded = word.startswith("=?") or lines[-1].endswith("?=")
        if len(lines[-1]) + 1 + len(word) <= (_WORD_LINE_CHARS_MAX if is_encoded else limits.LINE_FOLD_BYTES):
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines) + "\r\n"


def _encoded_words(text: str, used_chars: int) -> list[str]:
    """Encode text as words of at most 75 characters; a reader joins them again without the spaces between.

    Args:
        used_chars: what the first line holds already.
    """
    octets = text.encode()
    q_chars = [char if char in _Q_PLAIN else "_" if char == " " else _hex(char) for char in text]
    room = min(_WORD_CHARS_MAX, _WORD_LINE_CHARS_MAX - used_chars - _WORD_START_CHARS - len("?="))
    if room < len("=F0=9F=8D=8E"):  # Not a character fits behind so long a name: pass 76 rather than 998.
        room = _WORD_CHARS_MAX
    if sum(map(len, q_chars)) <= (len(octets) + 2) // 3 * 4:
        return [f"=?utf-8?q?{piece}?=" for piece in _packed(q_chars, room, _WORD_CHARS_MAX)]
    pieces = _cut(octets, room // 4 * 3, _WORD_CHARS_MAX // 4 * 3)
    return [f"=?utf-8?b?{binascii.b2a_base64(piece, newline=False).decode('ascii')}?=" for piece in pieces]


def _hex(char: str) -> str:
    return "".join(f"={octet:02X}" for octet in char.encode())


def _packed(pieces: Sequence[str], first_max: int, other_max: int) -> Iterator[str]:
    """Join the pieces, none of which may be cut, to strings of at most so many characters."""
    packed: list[str] = []
    room = first_max
    for piece in pieces:
        if len(piece) > room:
            yield "".join(packed)
            packed, room = [], other_max
        packed.append(piece)
        room -= len(piece)
    yield "".join(packed)


def _cut(octets: bytes, first_max: int, other_max: int) -> Iterator[bytes]:
    """Cut UTF-8 into parts of at most so many bytes, never inside a character."""
    start, end = 0, first_max
    while end < len(octets):
        while octets[end] & 0xC0 == 0x80:
            end -= 1
        yield octets[start:end]
        start, end = end, end + other_max
    yield octets[start:]
