"""A place in a list that is read page by page, as one word that a caller takes and hands back.

when-whose      the instant in microseconds since 1970, in hex, and what tells apart what came at the same instant
"""

import re
from datetime import datetime
from typing import Final

from outrider.base import instants
from outrider.base.errors import CallerError

_place: Final = re.compile(r"([0-9a-f]{1,14})-([0-9a-f]{32})").fullmatch


def text(at: datetime, hex_id: str) -> str:
    """Return the word for what came at that instant and has that id: 32 hex digits."""
    return f"{instants.micros(at):x}-{hex_id}"


def parse(word: str) -> tuple[datetime, str]:
    """Return instant and id. Raises CallerError: it is no such word; `field` is "after"."""
    matched = _place(word)
    number = int(matched[1], 16) if matched else 0
    if matched is None or number > instants.MICROS_MAX:
        raise no_cursor()
    return instants.of_micros(number), matched[2]


def no_cursor() -> CallerError:
    """Return what to raise for a word that is no place in the list; `field` is "after"."""
    return CallerError("That is no cursor of this list; take `next` of a page as it is.", field="after")
