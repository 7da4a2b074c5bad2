"""Lists of mailboxes as header fields have them: `Ann <ann@a.example>, "Lee, Bo" <bo@b.example>`. Pure.

    read(text)    every mailbox of From, To and their like, and whether the text was written plainly

Readers of mail differ where a field is odd, and what one shows and another checks may not be the same. So a list is
plain only if it is names, quoted strings and addresses in angle brackets; whoever needs to be sure writes a list that
is not plain anew (`headers.mailboxes`). Comments are dropped, groups (`undisclosed:;`) opened. What cannot be read is
refused, never guessed at.

Source: RFC 5322 §3.4, §4.4 (comments); RFC 2047 §5 (encoded words in a name).
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import address, headers, parse
from outrider.mail.mailbox import Mailbox

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|<[^<>]*+>|[(),:;]|[^"<>(),:;\\]++')
_ESCAPED: Final = re.compile(r"\\(.)")


class Roll(msgspec.Struct, frozen=True):
    """What a field holds."""

    boxes: Sequence[Mailbox]  # In order; none for an empty group.
    is_plain: bool  # Nobody can read it otherwise.


def read(text: str, *, field: str) -> Roll:
    """Return the mailboxes of a field's value, unfolded.

    Raises:
        CallerError: it cannot be read, for `field`.
    """
    boxes: list[Mailbox] = []
    is_plain = True
    piece: list[str] = []
    in_group = False
    for token in _tokens(text, field):
        match token:
            case "(":
                is_plain = False  # A comment, left out by `_tokens`.
            case ":" if not in_group and piece and not any("@" in part for part in piece):
                piece, in_group, is_plain = [], True, False
            case ";" if in_group:
                _finish(piece, boxes, field)
                piece, in_group = [], False
            case ",":
                _finish(piece, boxes, field)
                piece = []
            case ":" | ";":
                raise CallerError(f"{field} has {token!r} at a place where it means nothing.", field=field)
            case _:
                piece.append(token)
    _finish(piece, boxes, field)
    return Roll(boxes, is_plain)


def _tokens(text: str, field: str) -> list[str]:
    """Cut at commas and their like outside of quotes and brackets; a comment is one "("."""
    found: list[str] = []
    at, depth = 0, 0
    while at < len(text):
        if depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 2 if text[at] == "\\" else 1
            continue
        token = _TOKEN.match(text, at)
        if token is None or token[0] == ")":
            raise CallerError(f"{field} cannot be read; a bracket or quote is missing.", field=field)
        at = token.end()
        depth += token[0] == "("
        found.append(token[0])
    if depth:
        raise CallerError(f"{field} has a comment without end.", field=field)
    return found


def _finish(piece: Sequence[str], boxes: list[Mailbox], field: str) -> None:
    """Read what stands between two commas; nothing is fine (RFC 5322 §4.4)."""
    parts = [part for part in piece if part.strip()]
    if not parts:
        return
    name, bare = "", "".join(parts).strip()
    if parts[-1].startswith("<"):
        name, bare = _name_of(parts[:-1], field), parts[-1][1:-1].strip()
    try:
        parsed = address.parse(bare)
        headers.check_display_name(name, field=field)
    except CallerError as error:
        raise CallerError(f"{field}: {error.public}", field=field) from error
    boxes.append(Mailbox(name, parsed))


def _name_of(parts: Sequence[str], field: str) -> str:
    words: list[str] = []
    for part in parts:
        if part.startswith("<"):
            raise CallerError(f"{field} has two addresses without a comma between them.", field=field)
        words.append(_ESCAPED.sub(r"\1", part[1:-1]) if part.startswith('"') else part.strip())
    return " ".join(parse.decode_words(" ".join(words)).split())
