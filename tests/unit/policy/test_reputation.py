"""How mail is seen: bounds are where they say, few mails say nothing, one complaint is chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import reputation
from outrider.policy.alerts import Measure
from outrider.policy.reputation import BOUNDS, METRICS, Level


def level(measure: Measure, **sums: int) -> Level:
    return next(one.level for one in reputation.judge(sums) if one.measure is measure)


@pytest.mark.parametrize(
    ("delivered", "complained", "wanted"),
    [
        (499, 400, "unknown"),
        (10_000, 9, "good"),
        (10_000, 10, "watch"),  # 0.1 % is too much already.
        (10_000, 29, "watch"),
        (10_000, 30, "bad"),  # "Never 0.3 %."
        (500, 0, "good"),
        (500, 1, "watch"),  # 0.2 %.
        (333 + 167, 2, "bad"),
    ],
)
def test_complaints(delivered: int, complained: int, wanted: str) -> None:
    assert level(Measure.COMPLAINT_RATE, delivered=delivered, complained=complained) == wanted


@pytest.mark.parametrize(("hard", "wanted"), [(0, "good"), (20, "good"), (21, "watch"), (50, "watch"), (51, "bad")])
def test_hard_bounces(hard: int, wanted: str) -> None:
    assert level(Measure.HARD_BOUNCE_RATE, delivered=1000 - hard, bounced_hard=hard) == wanted


def test_deferrals_and_unsubscribes() -> None:
    assert level(Measure.DEFERRAL_RATE, delivered=95, deferred=5) == "good"
    assert level(Measure.DEFERRAL_RATE, delivered=79, deferred=21) == "bad"
    assert level(Measure.DEFERRAL_RATE, deferred=100) == "bad"
    assert level(Measure.UNSUBSCRIBE_RATE, delivered=1000, unsubscribed=6) == "watch"
    assert level(Measure.UNSUBSCRIBE_RATE, delivered=1000, unsubscribed=11) == "bad"


def test_a_whole_is_as_bad_as_its_worst() -> None:
    assert reputation.worst(reputation.judge({})) is Level.UNKNOWN
    assert reputation.worst([]) is Level.UNKNOWN
    assert reputation.worst(reputation.judge({"delivered": 1000})) is Level.GOOD
    assert reputation.worst(reputation.judge({"delivered": 1000, "bounced_hard": 100})) is Level.BAD


@given(st.dictionaries(st.sampled_from(METRICS), st.integers(0, 100_000)))
def test_every_sum_is_judged_in_words(sums: dict[str, int]) -> None:
    judged = reputation.judge(sums)
    assert [one.measure for one in judged] == [bounds.measure for bounds in BOUNDS]
    assert all(one.sentence.endswith(".") for one in judged)
    for one, bounds in zip(judged, BOUNDS, strict=True):
        assert (one.level is Level.UNKNOWN) == (one.mail_count < bounds.mails_min)


def test_bounds_have_sources() -> None:
    assert all(0 < one.watch < one.bad < 1 and one.source for one in BOUNDS)
