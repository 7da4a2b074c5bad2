"""Words that customers and their programs rely on never change: error codes and the values of string enums.

`frozen_words.json` holds them. `make docs` adds new ones; nothing but a hand, with an ADR, takes one out.
"""

import json
from typing import Any

import pytest

from tests.docs.pages import ROOT, generator, refuse

Words = dict[str, dict[str, Any]]


def changed(stored: Words, now: Words) -> list[str]:
    """Return each stored word that is gone or says something else now."""
    return [
        f"{group}: {name}.{key} was {value!r}, is {now[group].get(name, {}).get(key)!r}"
        for group, names in stored.items()
        for name, words in names.items()
        for key, value in words.items()
        if now[group].get(name, {}).get(key) != value
    ]


def reused(now: Words) -> list[str]:
    """Return each value that two members of one enum share."""
    return [
        name
        for name, words in now["enums"].items()
        if len(set(words.values())) != len(words) or any(value != value.lower() for value in words.values())
    ]


def test_no_word_was_changed_or_taken_back() -> None:
    stored = json.loads((ROOT / "tests/docs/frozen_words.json").read_text("utf-8"))
    now = generator().frozen_words()
    refuse(changed(stored, now))
    assert stored == generator().grown(stored, now), "new words: run `make docs` to freeze them"


def test_words_are_lower_case_and_used_once() -> None:
    assert reused(generator().frozen_words()) == []


STORED: Words = {"errors": {"BusyError": {"code": "busy"}}, "enums": {"base.vocab.Fate": {"DELIVERED": "delivered"}}}


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("errors", "BusyError", {"code": "overloaded"}),
        ("errors", "BusyError", {}),
        ("enums", "base.vocab.Fate", {"DELIVERED": "sent"}),
    ],
)
def test_a_change_is_seen(group: str, name: str, words: dict[str, str]) -> None:
    now: Words = {**STORED, group: {name: words}}
    assert len(changed(STORED, now)) == 1
    assert changed(STORED, STORED) == []


def test_growing_keeps_what_was_frozen() -> None:
    now: Words = {"errors": {"BusyError": {"code": "late", "status": 503}}, "enums": {}}
    assert generator().grown(STORED, now) == {
        "errors": {"BusyError": {"code": "busy", "status": 503}},
        "enums": STORED["enums"],
    }
