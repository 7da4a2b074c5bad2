"""Which texts are tags, and what is found under one."""

from time import process_time

import pytest

from outrider.base import limits
from outrider.mail import language_tag


@pytest.mark.parametrize(
    "text", ["de", "DE", "pt-BR", "pt_BR", "zh-Hant-TW", "es-419", "sl-rozaj-biske-1994", "x-ours", "i-klingon"]
)
def test_a_tag_is_one(text: str) -> None:
    assert language_tag.is_tag(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "<<>>", "d", "x", "-", "de-", "-de", "de--at", "de at", "de.UTF-8", "ü", "deutschland", "12", "de\n"),
        "de" + "-a" * limits.LOCALE_CHARS_MAX,
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert not language_tag.is_tag(text)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("zh-Hant-TW", 1),
        ("ZH_hant", 1),
        ("zh-Hans", 2),
        ("zh-Hantt", 2),
        ("zh", 2),
        ("pt_BR", 3),
        ("pt", None),
        ("", None),
        ("zhh", None),
        ("zh-" + "x" * limits.LOCALE_CHARS_MAX, 2),
    ],
)
def test_parts_are_dropped_from_the_end_until_something_is_found(asked: str, found: int | None) -> None:
    assert language_tag.look_up({"zh-hant": 1, "zh": 2, "pt-br": 3}, asked) == found


def test_what_has_no_language_is_found_by_none_alone() -> None:
    assert language_tag.look_up({"": 1}, "") == 1
    assert language_tag.look_up({"": 1}, "de") is None


def test_a_hostile_locale_is_looked_up_in_linear_time() -> None:
    started_s = process_time()
    assert language_tag.look_up({"de": 1}, "a-" * 500_000) is None
    assert process_time() - started_s < 0.1
