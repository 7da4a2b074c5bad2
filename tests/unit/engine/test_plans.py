"""Plans kept: found again by content and by what is done to it, and bounded."""

import pytest

from outrider.engine.plans import Cut, Plans, make
from outrider.mail.links import Rewriting

CUT = Cut(Rewriting(clicks=True))
HTML = '<a href="https://a.example">x</a>'


def test_the_same_content_has_one_plan() -> None:
    plans = Plans()
    first = plans.find(HTML, CUT)
    assert first == make(HTML, CUT)
    assert plans.find("".join(HTML), Cut(Rewriting(clicks=True))) is first


@pytest.mark.parametrize(
    "other",
    [
        Cut(Rewriting(clicks=True, pixel=True)),
        Cut(Rewriting(clicks=True, excluded_hosts=("a.example",))),
        Cut(Rewriting(clicks=True, utm=(("utm_source", "x"),))),
        Cut(Rewriting(clicks=True), has_footer=True),
        Cut(Rewriting(clicks=True), is_html=False),
        Cut(Rewriting(clicks=True), is_html=False, has_footer=True),
    ],
)
def test_what_is_done_to_it_makes_another(other: Cut) -> None:
    plans = Plans()
    plans.find(HTML, CUT)
    assert plans.find(HTML, other) == make(HTML, other) != make(HTML, CUT)


def test_what_was_used_last_stays_within_the_bound() -> None:
    contents = [f"{HTML}{number}{'x' * 10_000}" for number in range(4)]
    plans = Plans(bytes_max=50_000)
    kept = [plans.find(content, CUT) for content in contents[:2]]
    assert plans.find(contents[0], CUT) is kept[0]
    plans.find(contents[2], CUT)
    assert plans.kept_bytes <= 50_000
    assert plans.find(contents[0], CUT) is kept[0]
    assert plans.find(contents[1], CUT) is not kept[1]


def test_one_that_is_larger_than_the_bound_is_kept_alone() -> None:
    plans = Plans(bytes_max=10)
    assert plans.find(HTML, CUT) is plans.find(HTML, CUT)


def test_half_a_character_is_no_obstacle() -> None:
    assert Plans().find("\ud800", CUT).literals == ("\ud800",)
