"""The glossary gives each word one meaning: no word is there twice."""

from collections import Counter
from collections.abc import Sequence

from tests.docs.pages import ROOT, refuse, table


def repeated_words(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the words of the first column that are there more than once; two in one row ("hard, soft") count each."""
    words = Counter(word.strip() for row in rows for word in row[0].split(","))
    return [word for word, count in words.items() if count > 1]


def test_no_word_has_two_meanings() -> None:
    rows = list(table((ROOT / "docs/glossary.md").read_text("utf-8"), "word"))
    assert len(rows) > 20
    refuse(repeated_words(rows))


def test_a_repeated_word_is_seen() -> None:
    assert repeated_words([["source", "a"], ["node", "b"], ["hard, source", "c"]]) == ["source"]
