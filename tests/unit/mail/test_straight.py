"""Which parts need no minijinja, what they become, and when it is asked all the same."""

from typing import Any

import pytest

from outrider.mail import straight
from outrider.mail.templating import Source, SourceVariant, compile_source

LINK = {"unsubscribe_link": "https://x.example/u?a=1&b=2"}


def letter(body: str, **more: Any) -> straight.Letter | None:
    given = {"subject": "Hi {{ name }}", "body": body, **more}
    variant = compile_source(Source(variants=(SourceVariant(**given),)), {}).template.variants[0]
    return straight.read_letter(variant.subject, variant.preheader, variant.html, variant.text)


def filled(body: str, variables: dict[str, object], **more: Any) -> straight.Filled | None:
    found = letter(body, **more)
    assert found is not None
    return found.fill(variables, LINK, preheader="preheader")


def test_values_are_escaped_in_html_alone() -> None:
    made = filled("<p>{{ name }}</p>", {"name": "<Ann> & 'Bob'"}, text="{{ name }}")
    assert made is not None
    assert made.subject == "Hi <Ann> & 'Bob'"
    assert made.html is not None
    assert "<p>&lt;Ann&gt; &amp; &#x27;Bob&#x27;</p>" in made.html
    assert made.text == "<Ann> & 'Bob'"


@pytest.mark.parametrize(("preheader", "is_shown"), [("First {{ name }}", True), ("", False)])
def test_a_preheader_has_its_place_only_if_there_is_one(preheader: str, is_shown: bool) -> None:
    made = filled("<p>x</p>", {"name": "Ann"}, preheader=preheader)
    assert made is not None
    assert ("First Ann" in (made.html or ""), "display:none" in (made.html or "")) == (is_shown, is_shown)


def test_names_are_their_authors_and_ours_go_over_them() -> None:
    made = filled("<p>{{ items }} {{ unsubscribe_link }}</p>", {"name": "A", "items": "3", "unsubscribe_link": "no"})
    assert made is not None
    assert "3 https://x.example/u?a=1&amp;b=2" in (made.html or "")


@pytest.mark.parametrize(
    "body",
    ["{% if a %}x{% endif %}", "{{ a|upper }}", "{{ a.b }}", "{{ a[0] }}", "{{ 1 }}", "{{ a ~ b }}", "{{ true }}"],
)
def test_whatever_is_more_is_left_to_minijinja(body: str) -> None:
    assert letter(f"<p>{body}</p>") is None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"name": 7, "code": "1"},
        {"name": None, "code": "1"},
        {"name": "A", "code": "1", "other": ["x"]},
        {"name": "A", "code": "\ud800"},
        {"name": "A", "code": "x" * 20_000},
        {"name": "A", "code": "1", **{f"v{n}": "" for n in range(600)}},
    ],
)
def test_values_that_could_differ_are_left_to_minijinja(variables: dict[str, object]) -> None:
    assert filled("<p>{{ code }}</p>", variables) is None


def test_a_result_that_may_be_too_long_is_left_to_minijinja() -> None:
    body = "<p>" + "{{ name }} " * 20 + "</p>"
    assert filled(body, {"name": "x" * 10}) is not None
    assert filled(body, {"name": "x" * 14_000}) is None
