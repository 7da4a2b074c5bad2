r"""Body parts and what holds them together: text, files, multiparts. Pure.

    mixed                      what is attached
      related                  HTML and the images it shows (`cid:`)
        alternative            text, HTML, an invitation

Every part is 7-bit, so that any server takes it: text as it is where that is possible, else quoted-printable or base64,
whichever is shorter; a file in base64 unless it is text that may go as it is. The same parts make the same bytes: a
boundary is a hash of what it parts, or a seed that comes with it every time, and is not in it.

Sources: RFC 2045, RFC 2046, RFC 2183 (Content-Disposition), RFC 2231 (names in any script), RFC 2387 (related),
RFC 2392 (cid), RFC 6047 §2.4 (invitations by mail).
"""

import hashlib
import re
import urllib.parse
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import encode

# A type, and parameters whose values are tokens or quoted without escapes: all that such a field may hold here.
_WORD: Final = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
is_type: Final = re.compile(rf'{_WORD}/{_WORD}(?:\s*;\s*{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*').fullmatch
is_content_id: Final = re.compile(r"[!#-;=?A-Z^-~]{1,200}").fullmatch  # RFC 2392; no angle brackets, quotes, backslash.
_PLAIN_NAME: Final = re.compile(r"[ !#-\[\]-~]*").fullmatch
_NAME_LINE_CHARS: Final = 50  # A line with `filename*10*=` before it stays under 78.
_ATTR_CHARS: Final = "!#$&+-.^_`|~"  # RFC 5987 §3.2.1 attr-char, besides letters and digits.


class File(msgspec.Struct, frozen=True):
    """A file in a message. `content_id` "": attached; else shown by the HTML as `cid:content_id`."""

    name: str
    type: str
    content: bytes
    content_id: str = ""

    @property
    def is_invitation(self) -> bool:
        """A calendar object with a method: clients offer to accept it only if it is an alternative of the text."""
        kind, _, parameters = self.type.lower().partition(";")
        return kind.strip() == "text/calendar" and "method=" in parameters and not self.content_id


class Part(msgspec.Struct, frozen=True):
    """A body part, ready to be written."""

    type: str
    encoding: bytes
    content: bytes
    more: tuple[bytes, ...] = ()  # Further fields, each ending in CRLF.

    def fields(self) -> tuple[bytes, ...]:
        """Return its Content-Type, Content-Transfer-Encoding and what else it has."""
        return (
            f"Content-Type: {self.type}\r\n".encode("ascii"),
            b"Content-Transfer-Encoding: %b\r\n" % self.encoding,
            *self.more,
        )


def text_part(subtype: str, content: str) -> Part:
    """Return `content` as text/`subtype`.

    Raises:
        CallerError: field Content: it has half a character.
    """
    try:
        octets = encode.with_crlf(content.encode())
    except UnicodeEncodeError as error:
        raise CallerError("The content has half a character (a lone surrogate).", field="Content") from error
    kind = f"text/{subtype}; charset={'us-ascii' if content.isascii() else 'utf-8'}"
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    encoding, written = (b"7bit", octets) if encode.is_7bit(octets) else encode.encode(octets)
    return Part(kind, encoding, written)


def file_part(file: File) -> Part:
    """Return the file as it is attached, or shown if it has a content id. Its octets arrive as they are."""
    kind = file.type
    if kind.lower().startswith("multipart/"):  # Only what makes them may say so.
        kind = "application/octet-stream"
    if kind.lower().startswith("message/"):  # RFC 2046 §5.2.1: may not be encoded, and we encode.
        kind = "application/octet-stream"
    disposition = "inline" if file.content_id else "attachment"
    more = [f"Content-Disposition: {disposition}{_parameter('filename', file.name)}\r\n".encode("ascii")]
    if file.content_id:
        more.append(f"Content-ID: <{file.content_id}>\r\n".encode("ascii"))
    # Old clients (and Outlook) read the name here. RFC 2046 §4.5.1 knows no such parameter, all write it.
    return Part(f"{kind}{_parameter('name', file.name)}", b"base64", encode.base64(file.content), tuple(more))


def invitation_part(file: File) -> Part:
    """Return a calendar object as an alternative of the text, which is where clients look for it. RFC 6047 §2.4."""
    octets = encode.with_crlf(file.content)
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    encoding, written = (b"7bit", octets) if encode.is_7bit(octets) else (b"base64", encode.base64(octets))
    kind = file.type if "charset=" in file.type.lower() else f"{file.type}; charset=utf-8"
    return Part(kind, encoding, written)


def multipart(subtype: str, parts: Sequence[Part], parameters: str = "", *, seed: bytes = b"") -> Part:
    """Return `parts` as one. One alone stays alone. `parameters`, such as "; type=...", come after the type.

    Args:
        seed: up to 32 letters and digits, to be the boundary if no part holds it; b"": a hash of the parts is.
    """
    if len(parts) == 1:
        return parts[0]
    boundary = _choose_boundary(parts, seed)
    delimiter = b"--" + boundary
    # The CRLF before a delimiter belongs to it (RFC 2046 §5.1.1): an empty line, and a part keeps its own.
    lines = [piece for part in parts for piece in (delimiter, b"\r\n", *part.fields(), b"\r\n", part.content, b"\r\n")]
    content = b"".join((*lines, delimiter, b"--\r\n"))
    return Part(f'multipart/{subtype}{parameters};\r\n boundary="{boundary.decode("ascii")}"', b"7bit", content)


def _parameter(name: str, value: str) -> str:
    """Write a parameter of any length in any script, with a folded line of its own; "" for an empty value.

    Source: RFC 2231 §3, §4 (continuations, charset).
    """
    if not value:
        return ""
    if _PLAIN_NAME(value) and len(value) <= _NAME_LINE_CHARS:
        return f';\r\n {name}="{value}"'
    escaped = urllib.parse.quote(value, safe=_ATTR_CHARS)
    if len(escaped) <= _NAME_LINE_CHARS:
        return f";\r\n {name}*=utf-8''{escaped}"
    pieces, at = [], 0
    while at < len(escaped):
        end = at + _NAME_LINE_CHARS
        while "%" in escaped[end - 2 : end] and end < len(escaped):  # Never within %XX.
            end -= 1
        pieces.append(escaped[at:end])
        at = end
    lead = ["utf-8''"] + [""] * (len(pieces) - 1)
    return "".join(f";\r\n {name}*{n}*={lead[n]}{piece}" for n, piece in enumerate(pieces))


def _choose_boundary(parts: Sequence[Part], seed: bytes) -> bytes:
    """Return a boundary that no part holds, the same for the same parts and seed."""
    # "=_" occurs in no quoted-printable text, "_" in no base64; the look is for parts sent as they are.
    boundary = b"=_" + seed
    if seed and not any(boundary in part.content for part in parts):
        return boundary
    digest = hashlib.sha256(seed)
    for part in parts:
        digest.update(part.content)
    while True:
        boundary = b"=_" + digest.hexdigest()[:32].encode("ascii")
        if not any(boundary in part.content for part in parts):
            return boundary
        digest.update(boundary)
