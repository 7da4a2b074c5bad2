"""The page's languages: each says all, the reader's own is found, and what strangers wrote stays what it is."""

import string

import msgspec
import pytest

from outrider.faces.console import words
from outrider.faces.console.words import Books, Sentences

BOOKS = Books()


def parts(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("lang", BOOKS.all)
def test_a_language_names_what_the_first_one_names(lang: str) -> None:
    first, say = next(iter(BOOKS.all.values())).say, BOOKS.all[lang].say
    assert say.dir in ("ltr", "rtl")
    for name, sentence in msgspec.structs.asdict(say).items():
        assert sentence.strip() == sentence != "", name
        assert parts(sentence) == parts(getattr(first, name)), name
        assert "<" not in sentence, name


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.5, DE;q=0.6", "de"),
        ("zh-Hant-TW", "zh"),
        ("xx, es ; q=0.1", "es"),
        ("de;q=0", "en"),
        ("de;q=nan, es;q=2, zh;q=x", "en"),
        ("*", "en"),
        ("," * 10_000 + "de", "en"),
        (";;;==q", "en"),
    ],
)
def test_the_readers_language_is_found(header: str, lang: str) -> None:
    assert BOOKS.choose(header).lang == lang


def test_what_stands_in_a_sentence_is_escaped_and_isolated() -> None:
    said = words.fill("<{list}> of {sender}", list="<b>{sender}</b>", sender="a&b", address="x")
    assert said == "<<bdi>&lt;b&gt;{sender}&lt;/b&gt;</bdi>> of <bdi>a&amp;b</bdi>"


def test_a_language_lacks_nothing() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.convert({"dir": "ltr"}, Sentences)
