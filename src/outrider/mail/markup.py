"""HTML cut into pieces: tags, texts, comments, where a browser cuts it. Pure, in one pass and linear for any input.

It builds no tree and mends nothing. What follows a quote, a comment, a tag or a <title> that is never closed is
dropped, as a browser would swallow it. For what looks at HTML (`mail.plain`, `policy.lint`) or writes on it
(`mail.styling`, `mail.links`).

What a browser learns from its tree is guessed from names: in <svg> and <math>, <style> and <title> hold tags, and
`<![CDATA[` text; elements that cannot be there end them. What hides in <select>, frames and <template> is cut like all.
Source: HTML Living Standard §13.2.5, §13.2.6.5; held against a parser of others in tests/fuzz/test_mail_links.py.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from outrider.mail import references

VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
RAW: Final = frozenset(
    ["style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext"]
)  # What they hold is text up to their own end tag; <plaintext> has none.
_OPEN: Final = re.compile(r"<(?=[!?A-Za-z]|/.)", re.DOTALL)
_NAMED: Final = re.compile("</?[A-Za-z]")
# HTML's white space is these five; others are parts of names. All repetitions are possessive: nothing is tried twice.
# A quote that is never closed takes all that follows, so that no ">" is left and the tag is none.
_TAG: Final = re.compile(
    r"""<(/?)([A-Za-z][^\t\n\f\r />]*+)"""
    r"""((?:[\t\n\f\r /]++|[^\t\n\f\r />][^\t\n\f\r />=]*+"""
    r"""(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+"""
    r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+|(?=>)))?+)*+)>"""
)
_ATTRIBUTE: Final = re.compile(
    r"""([^\t\n\f\r /][^\t\n\f\r /=]*+)"""
    r"""(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+("[^"]*+"|'[^']*+'|[^\t\n\f\r "'][^\t\n\f\r ]*+|))?+"""
)
_COMMENT_END: Final = re.compile("--!?>")
_RAW_ENDS: Final = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII) for name in RAW}
# A script may hold "<!-- <script> </script> -->", and only then another script's end.
_SCRIPT_STEP: Final = re.compile(r"<!--(?!-*+>)|-->|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII)
_FOREIGN: Final = {  # What in them holds HTML again.
    "svg": frozenset(["foreignobject", "desc", "title"]),
    "math": frozenset(["mi", "mo", "mn", "ms", "mtext"]),
}
_BREAKS_OUT: Final = re.compile(
    "b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|embed|h[1-6]|head|hr|i|img|li|listing|menu|meta|nobr|ol|p|pre|"
    "ruby|s|small|span|strong|strike|sub|sup|table|tt|u|ul|var"
).fullmatch
_FOREIGN_DEPTH_MAX: Final = 64  # Ours: pictures in pictures; each end tag looks through them.
_WATCHED: Final = RAW | _FOREIGN.keys()


class Kind(enum.Enum):
    """What a piece is."""

    TEXT = enum.auto()
    START = enum.auto()
    END = enum.auto()
    COMMENT = enum.auto()
    OTHER = enum.auto()  # A doctype, a processing instruction, what is no markup at all.


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One piece. All of them together are the HTML, but for what is never closed."""

    kind: Kind
    start: int  # Where in the HTML; `stop` is behind it.
    stop: int
    name: str = ""  # Of a tag, in lower case.
    raw: str = ""  # Of a tag, its attributes as written; of text and comments, the text.
    is_raw: bool = False  # Text in <style> and its like: references mean nothing there.

    @property
    def attributes(self) -> Mapping[str, str]:
        """Names in lower case, values without quotes and references; the first of a name counts."""
        found: dict[str, str] = {}
        for name, value in _ATTRIBUTE.findall(self.raw):
            if value[:1] in ("'", '"'):
                value = value[1:-1]
            found.setdefault(name.lower(), references.in_attribute(value))
        return found

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Yield each attribute's name in lower case, and where in the HTML its value stands without quotes.

        Both are -1 for one without a value.
        """
        offset = self.stop - 1 - len(self.raw)
        for found in _ATTRIBUTE.finditer(self.raw):
            start, stop = found.span(2)
            if start >= 0:
                is_quoted = self.raw[start:stop][:1] in ('"', "'")
                start, stop = offset + start + is_quoted, offset + stop - is_quoted
            yield found[1].lower(), start, stop

    @property
    def text(self) -> str:
        """Text as a reader sees it."""
        return self.raw if self.is_raw else references.in_text(self.raw)


def scan(source: str) -> Iterator[Piece]:
    """Yield the pieces in order."""
    at, length = 0, len(source)
    around: list[str] = []  # <svg>, <math>, and what in them holds HTML again, from the outermost.
    opened, tag = _OPEN.search, _TAG.match
    while at < length:
        found = opened(source, at)
        start = found.start() if found else length
        if start > at:
            yield Piece(Kind.TEXT, at, start, "", source[at:start])
            if start == length:
                return
        read = tag(source, start)
        if read is None:
            piece = _no_tag(source, start, is_foreign=bool(around) and around[-1] in _FOREIGN)
            if piece is None:  # Never closed.
                return
            yield piece
            at = piece.stop
            continue
        closes, name, raw = read.groups()
        name, at = name.lower(), read.end()
        yield Piece(Kind.END if closes else Kind.START, start, at, name, raw)
        if around and _stays(around, name, raw, is_end=bool(closes)):
            continue
        if name not in _WATCHED or closes:
            continue
        if name in _FOREIGN:
            if len(around) < _FOREIGN_DEPTH_MAX and not _is_alone(raw):
                around.append(name)
            continue
        stop = _raw_end(source, name, at)
        if stop < 0:
            return
        if stop > at:
            yield Piece(Kind.TEXT, at, stop, name, source[at:stop], is_raw=True)
        at = stop


def _no_tag(source: str, start: int, *, is_foreign: bool) -> Piece | None:
    """Return the piece that begins with the "<" at `start` and is no tag, None if it is never closed."""
    if source.startswith("<!--", start):
        if source.startswith((">", "->"), start + 4):  # A comment that is empty, and closed at once.
            return Piece(Kind.COMMENT, start, source.index(">", start) + 1)
        end = _COMMENT_END.search(source, start + 4)
        return None if end is None else Piece(Kind.COMMENT, start, end.end(), "", source[start + 4 : end.start()])
    if is_foreign and source.startswith("<![CDATA[", start):
        stop = source.find("]]>", start + 9)
        return None if stop < 0 else Piece(Kind.TEXT, start, stop + 3, "", source[start + 9 : stop], is_raw=True)
    if _NAMED.match(source, start):
        return None
    stop = source.find(">", start)
    return None if stop < 0 else Piece(Kind.OTHER, start, stop + 1, "", source[start : stop + 1])


def _is_alone(raw: str) -> bool:
    """Whether a tag closes itself: its "/" belongs to no value."""
    if not raw.endswith("/"):
        return False
    *_, last = _ATTRIBUTE.finditer(raw) if raw.strip("\t\n\f\r /") else (None,)
    return last is None or last.end() < len(raw)


def _raw_end(source: str, name: str, at: int) -> int:
    """Return where the end tag of a <style> and its like stands, -1 if nowhere."""
    if name == "plaintext":
        return -1
    if name != "script":
        end = _RAW_ENDS[name].search(source, at)
        return end.start() if end else -1
    depth = 0  # 1 in "<!--", 2 in a script in it.
    for step in _SCRIPT_STEP.finditer(source, at):
        word = step[0]
        if word == "<!--":
            depth = depth or 1
        elif word == "-->":
            depth = 0
        elif step[1]:
            if depth < 2:
                return step.start()
            depth = 1
        elif depth:
            depth = 2
    return -1


def _stays(around: list[str], name: str, raw: str, *, is_end: bool) -> bool:
    """Take a tag in <svg> or <math> into account; tell whether it was one of theirs, and not HTML's."""
    is_foreign = around[-1] in _FOREIGN
    if is_end:
        if name in around and (is_foreign or name == around[-1]):
            del around[len(around) - 1 - around[::-1].index(name) :]
        elif is_foreign and _BREAKS_OUT(name):
            _break_out(around)
        return True
    if not is_foreign:
        return False
    if _BREAKS_OUT(name):
        _break_out(around)
        return False
    is_kept = len(around) < _FOREIGN_DEPTH_MAX and (name in _FOREIGN or name in _FOREIGN[around[-1]])
    if is_kept and not _is_alone(raw):
        around.append(name)
    return True


def _break_out(around: list[str]) -> None:
    while around and around[-1] in _FOREIGN:
        around.pop()
