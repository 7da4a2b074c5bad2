"""Language tags, by which a template has its variants: `de`, `pt-BR`, `zh-Hant-TW`. Pure.

`pt_BR`, as programs write it, and `PT-br` are the same tag. Whether a language is registered is not asked.
Sources: RFC 5646 §2.1 for their form, RFC 4647 §3.4 for the look-up.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from outrider.base import limits

_Kept = TypeVar("_Kept")
_is_tag: Final = re.compile(r"(?:[a-z]{2,8}|[ix](?=-))(?:-[a-z0-9]{1,8})*").fullmatch


def normalise(text: str) -> str:
    """Return the one way to write a tag by which it is compared; what is none comes back as something that is none."""
    return text.casefold().replace("_", "-")


def is_tag(text: str) -> bool:
    """Tell whether a text has a tag's form."""
    return len(text) <= limits.LOCALE_CHARS_MAX and _is_tag(normalise(text)) is not None


def look_up(kept: Mapping[str, _Kept], asked: str) -> _Kept | None:
    """Return what is kept under a tag, else under it without its last part, and so on; None if there is nothing.

    Args:
        kept: by normalised tag.
        asked: any text.
    """
    tag = normalise(asked[: limits.LOCALE_CHARS_MAX + 1])  # One more than a tag has: a part cut in two is none's end.
    found = kept.get(tag)
    while found is None and tag:
        tag = tag.rpartition("-")[0]
        found = kept.get(tag) if tag else None
    return found
