"""The text part of a mail whose author wrote HTML alone. Pure.

Links become "text (address)", pictures their alternative text, items of a list get a dash or a number, cells of a row
stand beside each other. What is hidden (`display:none`, `<style>`, `<head>`) is left out. Comments are left out too,
unless `keeps` says that one is more: `mail.styling` puts the tags of a template into comments. One that it calls True
is kept in hidden parts as well, so that what it opens is closed.
"""

import re
from collections.abc import Callable
from typing import Final

from outrider.mail.markup import VOID, Kind, Piece, scan

_HIDDEN: Final = frozenset(["head", "style", "script", "title", "template", "noscript", "object", "iframe", "svg"])
_LINES: Final = frozenset(
    ["div", "tr", "section", "article", "header", "footer", "address", "dt", "dd", "center", "body"]
)
_PARAGRAPHS: Final = frozenset(
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "hr", "dl", "figure"]
)
_SPACE: Final = re.compile(r"[ \t\r\n\f]+")
_UNSEEN: Final = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_GLUE: Final = re.compile("[\u200b-\u200d\u2060\u00ad\ufeff\u034f]")  # What preheaders are stuffed with.


def to_text(source: str, *, keeps: Callable[[str], bool | None] = lambda _: None) -> str:
    """Return the text of some HTML; lines end in LF, the last as well unless there is none."""
    maker = _Maker(keeps)
    for piece in scan(source):
        maker.take(piece)
    return maker.finish()


class _Maker:
    def __init__(self, keeps: Callable[[str], bool | None]) -> None:
        self._keeps: Final = keeps
        self._made: Final[list[str]] = []
        self._breaks = 2  # Line breaks that stand at the end of what was made; the start of a text counts as two.
        self._space = False
        self._hidden: list[str] = []  # Open tags from the first that hides.
        self._links: list[tuple[str, int]] = []
        self._lists: list[int | None] = []  # The next number of each open <ol>; None for <ul>.
        self._is_pre = 0

    def take(self, piece: Piece) -> None:
        """Take the next piece."""
        match piece.kind:
            case Kind.START:
                self._start(piece)
            case Kind.END:
                self._end(piece.name)
            case Kind.TEXT if not self._hidden and not (piece.is_raw and piece.name in _HIDDEN):
                self._text(piece.text)
            case Kind.COMMENT:
                kept = self._keeps(piece.raw)
                if kept or (kept is not None and not self._hidden):
                    self._put(piece.raw)
            case _:
                pass

    def finish(self) -> str:
        """Return all of it."""
        text = "".join(self._made).strip(" \n")
        return re.sub(r"\n{3,}", "\n\n", text) + "\n" if text else ""

    def _start(self, piece: Piece) -> None:
        if self._hides(piece):
            return
        self._break_for(piece.name)
        match piece.name:
            case "br":
                self._line(1, again=True)
            case "hr":
                self._put("---")
                self._line(2)
            case "img":
                self._text(piece.attributes.get("alt", ""))
            case "a":
                self._links.append((piece.attributes.get("href", "").strip(), len(self._made)))
            case "ul" | "ol":
                self._lists.append(1 if piece.name == "ol" else None)
            case "li":
                self._bullet()
            case "td" | "th":
                self._space = True
            case "pre":
                self._is_pre += 1
            case _:
                pass

    def _hides(self, piece: Piece) -> bool:
        """Return whether the piece is hidden, or hides what is in it."""
        name, is_alone = piece.name, piece.name in VOID or piece.raw.endswith("/")
        if self._hidden:
            if name == self._hidden[0] and not is_alone:
                self._hidden.append(name)
            return True
        if name not in _HIDDEN and not ("style" in piece.raw and _UNSEEN.search(piece.attributes.get("style", ""))):
            return False
        if not is_alone:
            self._hidden.append(name)
        return True

    def _end(self, name: str) -> None:
        if self._hidden:
            if name == self._hidden[0]:
                self._hidden.pop()
            return
        match name:
            case "a" if self._links:
                self._close_link()
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "pre":
                self._is_pre = max(0, self._is_pre - 1)
            case _:
                pass
        self._break_for(name)

    def _break_for(self, name: str) -> None:
        if name in _PARAGRAPHS and not (self._lists and name in ("ul", "ol", "p")):
            self._line(2)
        elif name in _LINES or name in _PARAGRAPHS:
            self._line(1)

    def _bullet(self) -> None:
        self._line(1)
        number = self._lists[-1] if self._lists else None
        self._put("  " * max(0, len(self._lists) - 1) + ("- " if number is None else f"{number}. "))
        self._space = False
        if number is not None:
            self._lists[-1] = number + 1

    def _close_link(self) -> None:
        target, since = self._links.pop()
        shown = "".join(self._made[since:]).strip()
        if target and not target.startswith("#") and target.removeprefix("mailto:") != shown:
            self._put(f" ({target})" if shown else target)

    def _text(self, text: str) -> None:
        if self._is_pre:
            self._put(text)
            return
        for part in _SPACE.split(_GLUE.sub("", text.replace("\xa0", " "))):
            if part:
                self._put(part)
            self._space = True
        if text and not text[-1].isspace():
            self._space = False

    def _put(self, text: str) -> None:
        if self._space and not self._breaks:
            self._made.append(" ")
        self._space = False
        self._made.append(text)
        self._breaks = 0

    def _line(self, count: int, *, again: bool = False) -> None:
        needed = count if again else max(0, count - self._breaks)
        self._made.append("\n" * needed)
        self._breaks += needed
        self._space = False
