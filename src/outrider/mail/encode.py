r"""Octets in 7 bits (`is_7bit`, `encode`), and a message made to fit the server that is to take it (`fit`). Pure.

    fit(content, has_8bitmime=False)   7-bit: each leaf with 8-bit octets becomes quoted-printable or base64
    fit(content, has_8bitmime=True)    only what no server takes by RFC 5321: NUL, and lines over 998 octets

`fit` is for mail as others hand it in by SMTP (`engine.handed`). `build` asks for encodings, and what it composes fits
every server.

Fields, boundaries and leaves that fit stay the same octets. A leaf that does not is written in the shorter encoding and
decodes to what it was. A message/rfc822 may not be encoded (RFC 2045 §6.4, RFC 6152 §3), so what is inside it is;
"8bit" around 7-bit content becomes "7bit". Total and linear (tests/fuzz/test_mail_encode.py). Sign what comes out
(`dkim.split`). Where MIME leaves no good choice:

    bare CR, bare LF             CRLF, everywhere, as `wire.smtp_data` would do after the signature
    raw 8-bit in a field         stays, and `needs_smtputf8` says so: only a server with SMTPUTF8 may take it (RFC 6532)
    NUL in a field               dropped
    a field line over 998        folded at white space, else cut by a fold
    text outside of all parts    no reader shows it (RFC 2046 §5.1.1); 8-bit octets become "?", long lines are cut
    no MIME, and 8-bit           text/plain in utf-8 if it is that, else in unknown-8bit (RFC 1428)
    multipart without its parts  text/plain, in base64: everything is kept, as text
    encoded, and 8-bit all the same   decoded as readers do, then encoded
    an encoding nobody knows     the octets as they are, encoded (RFC 2045 §6.4)

A signature inside (multipart/signed) over 8-bit content breaks: RFC 1847 §2.1 forbids such content for this reason.
"""

import binascii
import re
from typing import Final, NamedTuple

import msgspec

from outrider.base import limits

_PLAIN_OCTETS: Final = bytes((0x09, 0x0A, 0x0D, *range(0x20, 0x7F)))
_BASE64_OCTETS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NO_BASE64_OCTETS: Final = bytes(set(range(256)) - set(_BASE64_OCTETS))
_8BIT_TO_MARK: Final = bytes(octet if octet < 0x80 else ord("?") for octet in range(256))
_BASE64_LINE_CHARS: Final = 76  # RFC 2045 §6.8.
_LINE_WITH_END_BYTES: Final = limits.LINE_BYTES_MAX + 2
_BOUNDARY_CHARS_MAX: Final = 200  # Ours: RFC 2046 §5.1.1 says 70; readers take a few more.
_VALUE_BYTES_MAX: Final = 16 * 1024  # Ours: a longer Content-Type is an attack; what it says is not read.

# As most readers take it: up to a line that is no field. One that begins with "--" may be a delimiter. A name that does
# not fit into a line is none.
_FIELDS: Final = re.compile(rb"(?:(?!--)(?:[ \t]|[!-9;-~]{0,900}:|From )[^\r]*+(?:\r\n|\Z))*+")
_is_field: Final = re.compile(rb"[!-9;-~]{0,900}:").match
_FIELD: Final = re.compile(
    rb"^(content-type|content-transfer-encoding|mime-version)[ \t]*:[^\r]*+(?:\r\n[ \t][^\r]*+)*+(?:\r\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_TYPE: Final = re.compile(rb"\s*([^\s/;()\"]+)\s*/\s*([^\s;()\"]+)")
_TOKEN: Final = re.compile(rb"\s*\"?([^\s;()\"]*)")
_PARAMETER: Final = re.compile(rb";\s*([^\s=;\"]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;]*))", re.DOTALL)
_BOUNDARY: Final = re.compile(rb"boundary(?:\*(\d{1,3})?)?(\*)?", re.IGNORECASE)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_is_boundary: Final = re.compile(rb"[ -~]{1,%d}(?<! )" % _BOUNDARY_CHARS_MAX).fullmatch


class Fitted(msgspec.Struct, frozen=True):
    """A message as a server can take it. Lines end in CRLF and have at most 998 octets."""

    content: bytes
    is_8bit: bool  # To be announced as BODY=8BITMIME. RFC 6152 §3.
    needs_smtputf8: bool  # A field, of a part too, has raw 8-bit octets; they are still in `content`.


def fit(content: bytes, *, has_8bitmime: bool) -> Fitted:
    """Return `content`, a whole message, as a server with or without 8BITMIME can take it.

    Safe: again; what fits is not touched. Sign what this returns, not what it was given.
    """
    content = with_crlf(content)
    if content.isascii() and b"\0" not in content and not has_long_line(content):
        return Fitted(content, is_8bit=False, needs_smtputf8=False)
    walk = _Walk(content, is_8bit_taken=has_8bitmime)
    walk.run()
    content = b"".join(walk.pieces)
    return Fitted(content, is_8bit=not content.isascii(), needs_smtputf8=walk.has_8bit_field)


def to_7bit(content: bytes) -> bytes:
    """Return `content` for a server without 8BITMIME; raw 8-bit in its fields alone is left."""
    return fit(content, has_8bitmime=False).content


def is_7bit(octets: bytes) -> bool:
    """Tell whether `octets`, whose lines end in CRLF, may go as they are: text in ASCII, no line over 998 octets."""
    return not octets.translate(None, _PLAIN_OCTETS) and not has_long_line(octets)


def encode(octets: bytes) -> tuple[bytes, bytes]:
    """Return the shorter encoding of `octets`, whose lines end in CRLF, and what they are in it.

    Quoted-printable or base64; whether they could go as they are is `is_7bit`'s question. Source: RFC 2045 §6.7, §6.8.
    """
    base64_bytes = (len(octets) + 2) // 3 * 4
    base64_bytes += 2 * -(-base64_bytes // _BASE64_LINE_CHARS)
    odd_count = len(octets.translate(None, _PLAIN_OCTETS))
    if len(octets) + 2 * odd_count <= base64_bytes:
        quoted = binascii.b2a_qp(octets, istext=True)
        if b"\n" not in octets:  # Else it has seen what a line end is here.
            quoted = quoted.replace(b"\n", b"\r\n")
        # A soft line break may have put what looks like a delimiter at the beginning of a line.
        if len(quoted) <= base64_bytes and b"=\r\n--" not in quoted:
            return b"quoted-printable", quoted
    return b"base64", base64(octets)


def base64(octets: bytes) -> bytes:
    """Return `octets` in base64, in lines. RFC 2045 §6.8."""
    return _in_lines(binascii.b2a_base64(octets, newline=False))


def with_crlf(octets: bytes) -> bytes:
    """Make every CR, LF and CRLF a CRLF. RFC 5321 §2.3.8."""
    if b"\r" not in octets:  # As most callers of the API write; 4 us a message less than counting.
        return octets.replace(b"\n", b"\r\n")
    if octets.count(b"\r\n") == octets.count(b"\r") == octets.count(b"\n"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def has_long_line(octets: bytes) -> bool:
    """Tell whether a line has over 998 octets; lines end in CRLF. Cost: looks at about 1000 octets a step."""
    at, size = 0, len(octets)
    while size - at > limits.LINE_BYTES_MAX:
        end = octets.rfind(b"\r\n", at, at + _LINE_WITH_END_BYTES)
        if end < 0:
            return True
        at = end + 2
    return False


class _Header(NamedTuple):
    """The header of an entity: where it is, and what of it matters here."""

    start: int
    end: int  # Of the fields.
    body_at: int  # The same without an empty line between: something that is no field, or a delimiter, came first.
    type: bytes  # "text/plain", lower case; "" if it has none that can be read.
    boundary: bytes  # "" is none.
    encoding: bytes  # Lower case.
    type_fields: tuple[tuple[int, int], ...]
    encoding_fields: tuple[tuple[int, int], ...]
    has_mime_version: bool


class _Delimiter(NamedTuple):
    """A line that ends a part."""

    body_end: int  # Of what is before it: the CRLF there belongs to the delimiter. RFC 2046 §5.1.1.
    end: int  # Behind its CRLF.
    depth: int  # Of the multipart it belongs to; -1 is the end of the message.
    is_last: bool


class _Multipart:
    """A multipart whose last delimiter has not come yet."""

    __slots__ = ("boundary", "has_parts", "header", "is_message", "piece_count", "shadowed")

    def __init__(self, header: _Header, shadowed: int | None, piece_count: int, *, is_message: bool) -> None:
        self.header: Final = header
        self.boundary: Final = header.boundary
        self.shadowed: Final = shadowed  # The depth of an outer one with the same boundary.
        self.piece_count: Final = piece_count  # Of the output before it.
        self.is_message: Final = is_message
        self.has_parts = False


class _Walk:
    """One pass over a message, without recursion: entity after entity, from delimiter to delimiter."""

    def __init__(self, content: bytes, *, is_8bit_taken: bool) -> None:
        self.pieces: Final[list[bytes]] = []
        self.has_8bit_field = False
        self._content: Final = content
        self._is_8bit_taken: Final = is_8bit_taken
        self._stack: Final[list[_Multipart]] = []
        self._depths: Final[dict[bytes, int]] = {}  # Of the boundaries of `_stack`, the innermost if two are the same.

    def run(self) -> None:
        """Write all of the message to `pieces`."""
        at, default, is_message = 0, b"text/plain", True
        while True:
            header = self._read_header(at)
            kind = header.type or default
            if kind == b"message/rfc822":
                self._write_composite(header, must_end=True)  # Or the inner fields would be the outer header's.
                at, default, is_message = header.body_at, b"text/plain", True
                continue
            if header.boundary and kind.startswith(b"multipart/"):
                self._enter(header, is_message=is_message)
                found = self._find(header.body_at)
            else:
                found = self._find(header.body_at)
                self._write_leaf(header, found.body_end, is_message=is_message)
            at = self._leave(found, header.body_at)
            if at < 0:
                return
            kind = self._stack[-1].header.type
            default = b"message/rfc822" if kind == b"multipart/digest" else b"text/plain"
            is_message = False

    # Structure.

    def _enter(self, header: _Header, *, is_message: bool) -> None:
        shadowed = self._depths.get(header.boundary)
        self._depths[header.boundary] = len(self._stack)
        self._stack.append(_Multipart(header, shadowed, len(self.pieces), is_message=is_message))
        self._write_composite(header)

    def _leave(self, found: _Delimiter, text_at: int) -> int:
        """Write what is between parts, the delimiter too; return where the next part begins, -1 at the end.

        Args:
            text_at: where the preamble begins if the multipart on top has no part yet.
        """
        while True:
            if self._stack and not self._stack[-1].has_parts:
                if found.depth == len(self._stack) - 1:
                    self._write_aside(text_at, found.body_end)
                else:  # Its parts never came.
                    self._write_as_text(self._stack[-1], found.body_end)
            while len(self._stack) - 1 > found.depth:
                self._pop()
            if found.depth < 0:
                return -1
            self._write_delimiter(found)
            self._stack[-1].has_parts = True
            if not found.is_last:
                return found.end
            self._pop()
            text_at = found.end
            found = self._find(text_at)
            self._write_aside(text_at, found.body_end)

    def _pop(self) -> None:
        one = self._stack.pop()
        if one.shadowed is None:
            del self._depths[one.boundary]
        else:
            self._depths[one.boundary] = one.shadowed

    def _find(self, at: int) -> _Delimiter:
        """Return the first delimiter at or behind `at`, which is the beginning of a line."""
        content = self._content
        if self._depths:
            if content.startswith(b"--", at) and (found := self._delimiter_at(at)) is not None:
                return found
            line_at = content.find(b"\r\n--", at)
            while line_at >= 0:
                if (found := self._delimiter_at(line_at + 2)) is not None:
                    return found._replace(body_end=line_at)
                line_at = content.find(b"\r\n--", line_at + 2)
        return _Delimiter(len(content), len(content), -1, is_last=True)

    def _delimiter_at(self, at: int) -> _Delimiter | None:
        """Return the delimiter that the line at `at`, which begins with "--", is."""
        content = self._content
        end = content.find(b"\r\n", at)
        end = len(content) if end < 0 else end
        name = content[at + 2 : end].rstrip(b" \t")
        depth, is_last = self._depths.get(name), False
        if depth is None and name.endswith(b"--"):
            depth, is_last = self._depths.get(name[:-2]), True
            if depth is not None and not self._stack[depth].has_parts:
                return None  # The end of what never began.
        return None if depth is None else _Delimiter(at, min(end + 2, len(content)), depth, is_last)

    def _read_header(self, at: int) -> _Header:
        content, start = self._content, at
        at = _skip_fields(content, at)
        while content.startswith(b"--", at) and _is_field(content, at) and self._delimiter_at(at) is None:
            end = content.find(b"\r\n", at)
            at = _skip_fields(content, len(content) if end < 0 else end + 2)
        fields: dict[bytes, list[tuple[int, int]]] = {}
        for found in _FIELD.finditer(content, start, at):
            fields.setdefault(found[1].lower(), []).append(found.span())
        types = fields.get(b"content-type", [])
        encodings = fields.get(b"content-transfer-encoding", [])
        kind, boundary = _read_type(self._value(types))
        token = _TOKEN.match(self._value(encodings))
        return _Header(
            start=start,
            end=at,
            body_at=at + 2 if content.startswith(b"\r\n", at) else at,
            type=kind,
            boundary=boundary,
            encoding=token[1].lower() if token else b"",
            type_fields=tuple(types),
            encoding_fields=tuple(encodings),
            has_mime_version=b"mime-version" in fields,
        )

    def _value(self, spans: list[tuple[int, int]]) -> bytes:
        """Return the unfolded value of the first of these fields: it is the one that readers take."""
        if not spans or spans[0][1] - spans[0][0] > _VALUE_BYTES_MAX:
            return b""
        return self._content[slice(*spans[0])].partition(b":")[2].replace(b"\r\n", b"")

    # Output.

    def _write_header(
        self, header: _Header, *, encoding: bytes = b"", kind: bytes = b"", more: bytes = b"", must_end: bool = False
    ) -> None:
        """Write a header with, where given, another encoding and type (`kind`), and `more` fields.

        Args:
            must_end: write the empty line behind it, even if none is there.
        """
        content = self._content
        changes: dict[tuple[int, int], bytes] = {}
        for name, value, spans in (
            (b"Content-Type", kind, header.type_fields),
            (b"Content-Transfer-Encoding", encoding, header.encoding_fields),
        ):
            if value:
                field = b"%b: %b\r\n" % (name, value)
                changes.update(dict.fromkeys(spans, b""))
                if spans:
                    changes[spans[0]] = field
                else:
                    more += field
        at, pieces = header.start, list[bytes]()
        for (start, end), field in sorted(changes.items()):
            pieces += (content[at:start], field)
            at = end
        pieces.append(content[at : header.end])
        octets = b"".join(pieces)
        if more and octets and not octets.endswith(b"\r\n"):
            octets += b"\r\n"
        octets = _clean_fields(octets + more)
        self.has_8bit_field = self.has_8bit_field or not octets.isascii()
        self.pieces.append(octets)
        if header.body_at > header.end or encoding or must_end:
            self.pieces.append(b"\r\n")

    def _write_composite(self, header: _Header, *, must_end: bool = False) -> None:
        is_marked = not self._is_8bit_taken and header.encoding in (b"8bit", b"binary")
        self._write_header(header, encoding=b"7bit" if is_marked else b"", must_end=must_end)

    def _write_leaf(self, header: _Header, end: int, *, is_message: bool) -> None:
        octets = self._content[header.body_at : end]
        if not self._must_encode(octets):
            self._write_composite(header)
            self.pieces.append(octets)
            return
        if header.encoding == b"base64":  # Readers pass over what is not of its alphabet. RFC 2045 §6.8.
            encoding, written = header.encoding, _in_lines(octets.translate(None, _NO_BASE64_OCTETS))
        else:
            if header.encoding == b"quoted-printable":
                octets = binascii.a2b_qp(octets)
            encoding, written = encode(octets)
        is_plain = is_message and not header.type_fields
        self._write_header(
            header,
            encoding=encoding,
            kind=_text_type(octets) if is_plain else b"",
            more=b"MIME-Version: 1.0\r\n" if is_message and not header.has_mime_version else b"",
        )
        self.pieces.append(written)

    def _write_as_text(self, one: _Multipart, end: int) -> None:
        """Write a multipart that has no parts as what it is: some text."""
        octets = self._content[one.header.body_at : end]
        if not self._must_encode(octets):
            self.pieces.append(octets)
            return
        del self.pieces[one.piece_count :]
        # Never quoted-printable: its last delimiter, or what a reader takes for one, might be in there.
        self._write_header(one.header, encoding=b"base64", kind=_text_type(octets))
        self.pieces.append(base64(octets))

    def _write_aside(self, start: int, end: int) -> None:
        """Write a preamble or an epilogue."""
        octets = self._content[start:end]
        if self._must_encode(octets):
            if not self._is_8bit_taken:
                octets = octets.translate(_8BIT_TO_MARK)
            # No change here may make a delimiter.
            lines = (b"\r\n" + octets.replace(b"\0", b"")).replace(b"\r\n--", b"\r\n --")[2:].split(b"\r\n")
            octets = b"\r\n".join([_cut_line(line) for line in lines])
        self.pieces.append(octets)

    def _write_delimiter(self, found: _Delimiter) -> None:
        octets = self._content[found.body_end : found.end]
        if len(octets) > _LINE_WITH_END_BYTES:  # White space behind it.
            octets = octets.rstrip(b" \t\r\n") + b"\r\n"
        self.pieces.append(octets)

    def _must_encode(self, octets: bytes) -> bool:
        return b"\0" in octets or not (self._is_8bit_taken or octets.isascii()) or has_long_line(octets)


def _skip_fields(content: bytes, at: int) -> int:
    found = _FIELDS.match(content, at)
    return at if found is None else found.end()


def _read_type(value: bytes) -> tuple[bytes, bytes]:
    """Return type and boundary of a Content-Type value. RFC 2045 §5.1, RFC 2231."""
    found = _TYPE.match(value)
    if found is None:
        return b"", b""
    kind = b"%b/%b" % (found[1].lower(), found[2].lower())
    if not kind.startswith(b"multipart/"):
        return kind, b""
    pieces: dict[int, bytes] = {}
    for name, quoted, token in _PARAMETER.findall(value, found.end()):
        form = _BOUNDARY.fullmatch(name)
        if form is None:
            continue
        piece = _ESCAPED.sub(rb"\1", quoted) or token.strip()
        if name.endswith(b"*"):
            if form[1] is None or int(form[1]) == 0:
                piece = piece.rpartition(b"'")[2]  # Behind charset and language.
            piece = _PERCENT.sub(lambda code: bytes([int(code[1], 16)]), piece)
        pieces.setdefault(-1 if form[1] is None else int(form[1]), piece)
    boundary = pieces[-1] if -1 in pieces else b"".join(piece for _, piece in sorted(pieces.items()))
    boundary = boundary.rstrip()
    return kind, boundary if _is_boundary(boundary) else b""


def _in_lines(text: bytes) -> bytes:
    starts = range(0, len(text), _BASE64_LINE_CHARS)
    return b"".join([text[at : at + _BASE64_LINE_CHARS] + b"\r\n" for at in starts])


def _text_type(octets: bytes) -> bytes:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return b"text/plain; charset=unknown-8bit"
    return b"text/plain; charset=utf-8"


def _clean_fields(octets: bytes) -> bytes:
    """Drop NUL and fold what is too long."""
    octets = octets.replace(b"\0", b"")
    if not has_long_line(octets):
        return octets
    return b"\r\n".join([_cut_line(line) for line in octets.split(b"\r\n")])


def _cut_line(line: bytes) -> bytes:
    """Fold a line that is too long: at white space, else anywhere but inside a character of UTF-8.

    A line of nothing but white space, which some readers take for the end of a header, is not made.
    """
    if len(line) <= limits.LINE_BYTES_MAX:
        return line
    line = line.rstrip(b" \t") or b" "
    lines, at, lead = [], 0, b""
    while at < len(line):
        end = at + limits.LINE_BYTES_MAX - len(lead)
        if end < len(line):
            space = max(line.rfind(b" ", at + 1, end), line.rfind(b"\t", at + 1, end))
            if space > at and line[at:space].strip(b" \t"):
                end = space
            else:
                first = end
                while end > first - 4 and line[end] & 0xC0 == 0x80:
                    end -= 1
        piece = line[at:end]
        if piece.strip(b" \t") or len(line) == 1:
            lines.append(lead + piece)
        at = end
        lead = b"" if line[at : at + 1] in (b" ", b"\t") or not lines else b" "
    return b"\r\n".join(lines)
