"""Replies that say the same, told as one: what differs from mail to mail is masked. Pure.

    550 5.1.1 <ann@a.example> unknown [4b1zxq99]     ->  550 5.1.1 <@> unknown [*]
    550 5.1.1 <bob@b.example> unknown [4b1zxr02]     ->  the same

Addresses become `@`, ids (eight characters or more with a digit among them) `*`, other digits `#`; letters are lower
case, spaces single. For people who look for what a new rule should say; no verdict rests on it.
"""

import re
from typing import Final

_CHARS_MAX: Final = 200  # Ours: what follows differs by links and explanations only.
_ADDRESS: Final = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
_WORD_WITH_DIGIT: Final = re.compile(r"[a-z_=+/-]*[0-9][a-z0-9_=+/-]*")
_DIGITS: Final = re.compile(r"[0-9]+")
_ID_CHARS_MIN: Final = 8


def mask(text: str) -> str:
    """Return the text without what differs from mail to mail; of what is masked already, the same. Total."""
    text = _ADDRESS.sub("@", text.lower())
    text = _WORD_WITH_DIGIT.sub(lambda found: _masked_word(found[0]), text)
    return " ".join(text.split())[:_CHARS_MAX].rstrip()


def _masked_word(word: str) -> str:
    return "*" if len(word) >= _ID_CHARS_MIN else _DIGITS.sub("#", word)
