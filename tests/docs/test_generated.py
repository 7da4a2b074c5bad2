"""The pages about errors, events, limits, metrics, providers and the simulator are what the code says."""

import enum

import pytest

from tests.docs.pages import ROOT, assert_fresh, generator


@pytest.mark.parametrize(
    "name",
    [
        "errors.md",
        "events.md",
        "limits.md",
        "metrics.md",
        "openapi.json",
        "providers.md",
        "reasons.md",
        "simulator.md",
        "v1.md",
    ],
)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert_fresh(name)


def test_every_error_is_on_the_page() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text("utf-8")
    names = [error.__name__ for error in generator().error_classes()]
    assert {"OutriderError", "CallerError", "RemoteProtocolError"} <= set(names)
    assert [name for name in names if f"(`{name}`)" not in page] == []


def test_a_stale_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(generator().PAGES, "limits.md", lambda: "# Limits\n\nnew words\n")
    with pytest.raises(pytest.fail.Exception, match="run `make docs`"):
        assert_fresh("limits.md")


def test_comments_beside_members_are_found() -> None:
    assert generator().member_words(Sample) == {"ONE": "The first.", "TWO": ""}


class Sample(enum.StrEnum):
    """Words to read."""

    ONE = "one"  # The first.
    TWO = "two"
