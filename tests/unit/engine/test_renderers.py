"""Templates made ready are kept by what they say, and no more of them than there is room for."""

from outrider.engine.renderers import Renderers
from outrider.testing.templates import template


def test_the_same_words_are_made_ready_once() -> None:
    kept = Renderers(bytes_max=1_000_000)
    first = kept.find(template("Hi {{ name }}", "<p>x</p>"))
    assert kept.find(template("Hi {{ name }}", "<p>x</p>")) is first
    assert kept.find(template("Hi {{ name }}", "<p>y</p>")) is not first


def test_what_was_used_last_stays() -> None:
    kept = Renderers(bytes_max=20_000)
    first = kept.find(template("0", "x" * 1000))
    for n in range(1, 100):
        kept.find(template(str(n), "x" * 1000))
        assert kept.find(template("0", "x" * 1000)) is first
        assert kept.kept_bytes <= 20_000 + 10_000


def test_one_that_is_too_large_is_made_all_the_same() -> None:
    kept = Renderers(bytes_max=1)
    large = template("a", "x" * 100_000)
    assert kept.find(large) is kept.find(large)
    assert kept.find(template("b", "y")).render({}).html == "y"
