r"""The texts of a message that came whole, each of them written anew in its place. Pure; reading never raises.

    found = find(message)                              its first HTML and its first plain text, decoded
    rewritten(message, [(found.html, "<p>...")])       the message with that text in it, encoded as it was

All else of the message stays the same octets, and so does a text that does not change. Found is what readers show: a
leaf of multipart/mixed, alternative and related at any depth that programs write. An attachment, a part with a file
name and all inside of a message/rfc822 or of another multipart is none.

Strict, where `encode` and `parse` are lenient: a message that readers could take in two ways is not touched at all
(fields twice, a header that does not end, boundaries that are not closed or not said plainly). Nor is one that is
signed or encrypted (multipart/signed and encrypted, S/MIME, PGP, inline too), nor a text that does not come back as the
same octets when it is decoded and encoded again, that has a Content-MD5, or is over 1 MiB.

A text keeps its transfer encoding and its charset; what the charset lacks becomes a character reference in HTML. Lines
may get longer than SMTP takes: `encode.fit` sees to that. Cost: linear; no more than some passes over the message.

Sources: RFC 2045, RFC 2046 §5.1, RFC 2183, RFC 1847 (signed, encrypted), RFC 8551 §3 (S/MIME), RFC 9580 §6 (PGP).
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from outrider.mail import encode

_LEAF_BYTES_MAX: Final = 1024 * 1024  # Ours: Gmail clips at 102 KB.
_DEPTH_COUNT_MAX: Final = 10  # Ours: levels of multipart; programs write three.
_DELIMITERS_COUNT_MAX: Final = 500  # Ours: more than programs write.
_MISSES_COUNT_MAX: Final = 10_000  # Ours: lines that begin as a delimiter does and are none.
_VALUE_BYTES_MAX: Final = 16 * 1024  # Ours: as `encode` reads.

_HEADER: Final = re.compile(rb"((?:[!-9;-~]++:[^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+\r\n)*+)\r\n")
_FIELD: Final = re.compile(
    rb"^(content-(?:type|transfer-encoding|disposition|md5)):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n",
    re.IGNORECASE | re.MULTILINE,
)
_WORD: Final = rb"[!#$%&'*+.^_`{|}~0-9A-Za-z-]++"
# Values that are no tokens are common: boundary=----=_Part_1.
_PARAMETER: Final = rb';[ \t]*+(?:(%b)[ \t]*+=[ \t]*+("(?:[^"\\]|\\.)*+"|[^\s;"()<>\\]++)[ \t]*+)?+' % _WORD
_is_type: Final = re.compile(rb"[ \t]*+(%b/%b)[ \t]*+((?:%b)*+)" % (_WORD, _WORD, _PARAMETER)).fullmatch
_parameters: Final = re.compile(_PARAMETER).findall
_is_boundary: Final = re.compile(rb"[!-~](?:[ -~]{0,198}[!-~])?").fullmatch
_is_charset: Final = re.compile(
    r"utf-?8|iso-?8859-?\d{1,2}|latin-?\d|windows-?\d{3,4}|cp\d{3,4}|koi8-[rut]|gbk|gb2312|gb18030|big5|euc-(?:jp|kr)"
    r"|shift[_-]?jis|iso-2022-(?:jp|kr)|tis-620",
    re.ASCII,
).fullmatch
_ENTERED: Final = frozenset({b"multipart/mixed", b"multipart/alternative", b"multipart/related"})
_SEALED: Final = frozenset(
    {b"multipart/signed", b"multipart/encrypted"}
    | {b"application/%bpkcs7-%b" % (x, kind) for x in (b"", b"x-") for kind in (b"mime", b"signature")}
    | {b"application/pgp", b"application/pgp-encrypted", b"application/pgp-signature"}
)
_SMIME_NAMES: Final = (b".p7m", b".p7s", b".p7c")  # RFC 8551 §3.2.2: by their names alone, too.
_PGP: Final = "-----BEGIN PGP "
_AS_IT_IS: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
_QUOTED: Final = b"quoted-printable"
_BASE64: Final = b"base64"
_SPACES: Final = b" \t\r\n"


class Leaf(msgspec.Struct, frozen=True):
    """A text of a message, and how it stands there."""

    start: int  # Of its octets in the message.
    stop: int
    is_html: bool
    content: str  # Decoded. Its lines end in LF if they end in CRLF in the message.
    charset: str  # In which it is written, which may be more than it says: UTF-8 for a text that says nothing.
    encoding: bytes  # One of `_AS_IT_IS`, `_QUOTED`, `_BASE64`.
    has_crlf: bool
    boundaries: tuple[bytes, ...]  # Of what is around it: none of its lines may be one.


class Found(msgspec.Struct, frozen=True):
    """The texts of a message that may be written anew."""

    html: Leaf | None = None
    text: Leaf | None = None


NOTHING: Final = Found()


def find(message: bytes) -> Found:
    """Return the first HTML and the first plain text of a message whose lines end in CRLF."""
    try:
        return _found(message, _bodies(message))
    except _UnclearError:
        return NOTHING


def rewritten(message: bytes, changes: Sequence[tuple[Leaf, str]]) -> bytes:
    """Return the message with other texts in place of its leaves; itself if all are what they were.

    Args:
        changes: leaves of this message, each once; lines of their new content end as in `Leaf.content`.
    """
    at, pieces = 0, list[bytes]()
    for leaf, content in sorted(changes, key=lambda change: change[0].start):
        if content != leaf.content:
            pieces += (message[at : leaf.start], _written(leaf, content, message[leaf.start : leaf.stop]))
            at = leaf.stop
    return b"".join((*pieces, message[at:])) if pieces else message


class _UnclearError(Exception):
    """The message is not to be touched."""


class _Entity(NamedTuple):
    """The header of a message or a part: what of it matters here."""

    body_at: int
    kind: bytes  # Lower case.
    boundary: bytes  # Of what is entered; else b"".
    charset: bytes
    encoding: bytes
    is_shown: bool  # Neither attached nor a file, as far as the header says.


class _Body(NamedTuple):
    """A leaf that readers show."""

    entity: _Entity
    stop: int
    boundaries: tuple[bytes, ...]


class _Delimiter(NamedTuple):
    """A line between parts."""

    body_stop: int  # Of what is before it: the CRLF there belongs to it. RFC 2046 §5.1.1.
    end: int  # Behind its CRLF.
    is_last: bool


def _bodies(message: bytes) -> Iterator[_Body]:
    """Give the leaves that readers show, in order. Raises _UnclearError."""
    root = _read_entity(message, 0)
    if not root.boundary:
        yield _Body(root, len(message), ())
        return
    stack, has_parts = [root.boundary], [False]
    leaf: _Entity | None = None
    at = root.body_at
    for _ in range(_DELIMITERS_COUNT_MAX):
        found = _next_delimiter(message, at, stack)
        if leaf is not None:
            yield _Body(leaf, max(found.body_stop, leaf.body_at), tuple(stack))
            leaf = None
        at = found.end
        if found.is_last:
            stack.pop()
            if not has_parts.pop():
                raise _UnclearError
            if not stack:
                return
            continue
        has_parts[-1] = True
        part = _read_entity(message, at)
        at = part.body_at
        if not part.boundary:
            leaf = part
        elif part.boundary in stack or len(stack) >= _DEPTH_COUNT_MAX:
            raise _UnclearError
        else:
            stack.append(part.boundary)
            has_parts.append(False)
    raise _UnclearError


def _next_delimiter(message: bytes, at: int, stack: Sequence[bytes]) -> _Delimiter:
    """Return the next delimiter of the innermost multipart; `at` is the beginning of a line.

    Raises:
        _UnclearError: there is none, or one of another comes first.
    """
    inner, outer = stack[-1], stack[:-1]
    for _ in range(_MISSES_COUNT_MAX):
        line_at = message.find(b"\r\n--", at - 2)
        if line_at < 0:
            break
        end = message.find(b"\r\n", line_at + 4)
        end = len(message) if end < 0 else end
        name = message[line_at + 4 : end].rstrip(b" \t")
        at = min(end + 2, len(message))
        is_last = name == inner + b"--"
        if is_last or name == inner:
            return _Delimiter(line_at, at, is_last)
        if name.removesuffix(b"--") in outer:
            break
    raise _UnclearError


def _read_entity(message: bytes, at: int) -> _Entity:
    found = _HEADER.match(message, at)
    if found is None:
        raise _UnclearError
    fields: dict[bytes, bytes] = {}
    for field in _FIELD.finditer(message, at, found.end(1)):
        name = field[1].lower()
        if name in fields or len(field[2]) > _VALUE_BYTES_MAX:
            raise _UnclearError
        fields[name] = field[2].replace(b"\r\n", b"")
    kind, given = _read_type(fields.get(b"content-type"))
    encoding = fields.get(b"content-transfer-encoding", b"").strip().lower()
    disposition = fields.get(b"content-disposition", b"inline").strip().lower()
    boundary = b""
    if kind in _ENTERED:
        boundary = given.get(b"boundary", b"")
        if not _is_boundary(boundary) or boundary.endswith(b"--") or encoding not in _AS_IT_IS:
            raise _UnclearError
    is_shown = disposition.startswith(b"inline") and b"name" not in disposition
    return _Entity(
        body_at=found.end(),
        kind=kind,
        boundary=boundary,
        charset=given.get(b"charset", b""),
        encoding=encoding,
        is_shown=is_shown and b"content-md5" not in fields and not any(name.startswith(b"name") for name in given),
    )


def _read_type(value: bytes | None) -> tuple[bytes, dict[bytes, bytes]]:
    """Return a type and its parameters by their names, both in lower case. Raises _UnclearError: it is sealed."""
    if value is None:
        return b"text/plain", {}
    lower = value.lower()
    if any(name in lower for name in _SMIME_NAMES):
        raise _UnclearError
    found = _is_type(value)
    if found is None:
        if b"multipart" in lower or b"pkcs7" in lower or b"pgp" in lower:
            raise _UnclearError
        return b"application/octet-stream", {}  # Whatever it is, it is not for us.
    kind = found[1].lower()
    if kind in _SEALED:
        raise _UnclearError
    given: dict[bytes, bytes] = {}
    for name, octets in _parameters(found[2]):
        plain = octets[1:-1] if octets.startswith(b'"') else octets
        if name.lower() in given or name.lower().startswith((b"boundary*", b"charset*")):
            raise _UnclearError
        given[name.lower()] = plain
    return kind, given


def _found(message: bytes, bodies: Iterator[_Body]) -> Found:
    """Return what is found in them. Reads all: something behind the texts may seal them. Raises _UnclearError."""
    first: dict[bytes, Leaf | None] = {}
    for body in bodies:
        kind = body.entity.kind
        if kind in (b"text/html", b"text/plain") and body.entity.is_shown and kind not in first:
            first[kind] = _leaf_of(message, body)
    found = [leaf for leaf in first.values() if leaf is not None]
    if any(_PGP in leaf.content for leaf in found):
        raise _UnclearError
    return Found(first.get(b"text/html"), first.get(b"text/plain"))


def _leaf_of(message: bytes, body: _Body) -> Leaf | None:
    """Return the leaf with its content, None if that cannot be had without a doubt."""
    entity = body.entity
    if body.stop - entity.body_at > _LEAF_BYTES_MAX:
        return None
    octets = _decoded(message[entity.body_at : body.stop], entity.encoding)
    if octets is None or b"\0" in octets:
        return None
    said = entity.charset.decode("latin-1").lower()
    charset = "gb18030" if said in ("gb2312", "gbk") else said  # What says so often is more.
    content: str | None = None
    if charset in ("", "us-ascii", "ascii"):  # Who says so and has other octets mostly means UTF-8.
        charset = "utf-8"
        content = _text_of(octets, charset)
    elif _is_charset(charset):
        content = _text_of(octets, charset)
    if content is None:
        return None
    has_crlf = content.count("\r\n") == content.count("\r") == content.count("\n")
    if not has_crlf and entity.encoding in _AS_IT_IS:
        return None
    return Leaf(
        start=entity.body_at,
        stop=body.stop,
        is_html=entity.kind == b"text/html",
        content=content.replace("\r\n", "\n") if has_crlf else content,
        charset=charset,
        encoding=entity.encoding,
        has_crlf=has_crlf,
        boundaries=body.boundaries,
    )


def _decoded(octets: bytes, encoding: bytes) -> bytes | None:
    if encoding in _AS_IT_IS:
        return octets
    if encoding == _QUOTED:
        return binascii.a2b_qp(octets)
    if encoding != _BASE64:
        return None
    try:
        return binascii.a2b_base64(octets.translate(None, _SPACES), strict_mode=True)
    except binascii.Error:
        return None


def _text_of(octets: bytes, charset: str) -> str | None:
    """Return the text, None if it would not become the same octets again."""
    try:
        text = octets.decode(charset)
        return text if text.encode(charset) == octets else None
    except (UnicodeError, LookupError):  # LookupError: it only sounds like a charset.
        return None


def _written(leaf: Leaf, content: str, before: bytes) -> bytes:
    """Return a new content as the leaf stands in the message, where `before` was."""
    if leaf.has_crlf:
        content = content.replace("\n", "\r\n")
    octets = content.encode(leaf.charset, "xmlcharrefreplace" if leaf.is_html else "replace")
    if leaf.encoding in _AS_IT_IS:
        return octets
    if leaf.encoding == _BASE64:
        encoded = encode.base64(octets)
        return encoded if before.endswith(b"\r\n") else encoded.removesuffix(b"\r\n")
    # What does not end its lines in CRLF is no text to RFC 2045 §6.7; then each CR and LF is written as itself.
    quoted = binascii.b2a_qp(octets, istext=leaf.has_crlf)
    quoted = b"\r\n" + quoted.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for boundary in leaf.boundaries if b"\r\n--" in quoted else ():  # A soft line break may have put one there.
        quoted = quoted.replace(b"\r\n--" + boundary, b"\r\n=2D-" + boundary)
    return quoted[2:]
