"""When an alert is raised and ends: thresholds are exact, a swing tells nobody twice, silence ends it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError
from outrider.policy import alerts
from outrider.policy.alerts import AlertRule, Measure, Reading, Side

COMPLAINTS = AlertRule(measure=Measure.COMPLAINT_RATE, threshold=0.001, mails_min=1000)
FEW = AlertRule(measure=Measure.DELIVERED, threshold=10, side=Side.BELOW)
readings = st.builds(Reading, st.none() | st.floats(0, 1), st.integers(0, 10_000))
rules = st.builds(
    AlertRule,
    measure=st.sampled_from(Measure),
    threshold=st.floats(0.01, 1),
    side=st.sampled_from(Side),
    mails_min=st.integers(1, 5000),
)


def is_raised(
    rule: AlertRule, value: float | None, mails: int = 1000, *, before: bool = False, whole: bool = True
) -> bool:
    return alerts.decide(rule, Reading(value, mails), is_raised=before, is_whole=whole)


@pytest.mark.parametrize(
    ("before", "value", "mails", "after"),
    [
        (False, 0.001, 1000, False),  # Exactly the threshold is not more.
        (False, 0.0011, 1000, True),
        (False, 0.5, 999, False),
        (False, None, 0, False),
        (True, 0.001, 1000, True),
        (True, 0.00095, 1000, True),  # Not yet a tenth below.
        (True, 0.0009, 1000, False),
        (True, 0.0, 999, True),  # Too few to say that it is over.
        (True, None, 0, False),  # Nobody is left who could say anything.
    ],
)
def test_a_rate(before: bool, value: float | None, mails: int, after: bool) -> None:
    assert is_raised(COMPLAINTS, value, mails, before=before) is after


@pytest.mark.parametrize(
    ("before", "value", "whole", "after"),
    [
        (False, 9, True, True),
        (False, 9, False, False),  # It has not been watched for a window.
        (False, 10, True, False),
        (True, 10, True, True),
        (True, 11, True, False),
        (True, 0, True, True),
    ],
)
def test_fewer_than(before: bool, value: float, whole: bool, after: bool) -> None:
    assert is_raised(FEW, value, int(value), before=before, whole=whole) is after


def test_a_delivery_rate_that_may_be_no_lower_than_all_can_end() -> None:
    rule = AlertRule(measure=Measure.DELIVERY_RATE, threshold=1.0, side=Side.BELOW, mails_min=1)
    assert is_raised(rule, 0.99)
    assert not is_raised(rule, 1.0, before=True)


def test_what_must_not_happen_at_all_ends_at_zero() -> None:
    rule = AlertRule(measure=Measure.COMPLAINED, threshold=0)
    assert is_raised(rule, 1)
    assert is_raised(rule, 1, before=True)
    assert not is_raised(rule, 0, before=True)


@given(rules, readings)
def test_what_has_just_been_decided_stays(rule: AlertRule, reading: Reading) -> None:
    for before in (False, True):
        once = alerts.decide(rule, reading, is_raised=before, is_whole=True)
        assert alerts.decide(rule, reading, is_raised=once, is_whole=True) == once


sums_of_some = st.dictionaries(st.sampled_from(["delivered", "complained", "deferred"]), st.integers(0, 9))


@given(st.sampled_from(Measure), sums_of_some)
def test_a_rate_is_a_share(measure: Measure, sums: dict[str, int]) -> None:
    reading = alerts.read(measure, sums)
    assert reading.value is None or not alerts.is_rate(measure) or 0 <= reading.value <= 1
    assert set(alerts.metrics(measure))


def test_rates_are_of_what_they_say() -> None:
    sums = {"delivered": 90, "bounced_hard": 6, "bounced_soft": 4, "deferred": 100, "complained": 9, "unsubscribed": 45}
    said = {measure: alerts.read(measure, sums) for measure in Measure}
    assert said[Measure.COMPLAINT_RATE] == Reading(0.1, 90)
    assert said[Measure.HARD_BOUNCE_RATE] == Reading(0.06, 100)
    assert said[Measure.BOUNCE_RATE] == Reading(0.1, 100)
    assert said[Measure.DEFERRAL_RATE] == Reading(0.5, 200)
    assert said[Measure.DELIVERY_RATE] == Reading(0.9, 100)
    assert said[Measure.UNSUBSCRIBE_RATE] == Reading(0.5, 90)
    assert said[Measure.BOUNCED] == Reading(10.0, 10)
    assert alerts.read(Measure.OPEN_RATE, {}) == Reading(None, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"threshold": 1.1}, "threshold"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": 0.0, "side": Side.BELOW}, "threshold"),
        ({"window_s": 299}, "window_s"),
        ({"window_s": 7 * 86_400 + 1}, "window_s"),
        ({"mails_min": 0}, "mails_min"),
        ({"provider": "gmail", "ip": "192.0.2.1"}, "ip"),
        ({"measure": Measure.ACCEPTED, "threshold": 5, "provider": "gmail"}, "measure"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(changes: dict[str, Any], field: str) -> None:
    chosen = {"measure": Measure.COMPLAINT_RATE, "threshold": 0.1} | changes
    with pytest.raises(CallerError) as caught:
        alerts.check(AlertRule(**chosen))
    assert caught.value.field == field


def test_the_defaults_make_sense() -> None:
    for one in alerts.DEFAULTS:
        alerts.check(one.rule)
    assert len({one.name for one in alerts.DEFAULTS}) == len(alerts.DEFAULTS)


def test_people_read_what_happened() -> None:
    rule = AlertRule(measure=Measure.COMPLAINT_RATE, threshold=0.001, window_s=86_400, domain="shop.example")
    assert alerts.sentence(rule, Reading(0.0025, 4000)) == (
        "Complaint rate: 0.25 % of 4,000 mails in the last day (domain shop.example);"
        " more than 0.1 % raises this alert."
    )
    assert alerts.sentence(FEW, Reading(3.0, 3)) == "Delivered: 3 in the last hour; less than 10 raises this alert."
    assert [alerts.span(s) for s in (300, 3600, 5400, 604_800, 301)] == [
        "5 minutes",
        "1 hour",
        "90 minutes",
        "7 days",
        "301 seconds",
    ]


def test_a_time_is_the_percentile_of_the_buckets_and_needs_mails() -> None:
    sums = {"inbox_00": 90, "inbox_10": 10}
    reading = alerts.read(Measure.TIME_TO_INBOX_P95, sums)
    assert reading.mail_count == 100
    assert reading.value is not None
    assert 2 < reading.value < 3.3
    rule = AlertRule(measure=Measure.TIME_TO_INBOX_P95, threshold=2, mails_min=100, provider="gmail")
    alerts.check(rule)
    assert alerts.decide(rule, reading, is_raised=False, is_whole=True)
    assert not alerts.decide(rule, Reading(reading.value, 99), is_raised=False, is_whole=True)
    assert alerts.decide(rule, Reading(1.9, 100), is_raised=True, is_whole=True)
    assert not alerts.decide(rule, Reading(1.8, 100), is_raised=True, is_whole=True)
    assert alerts.sentence(rule, reading).startswith("Time to inbox p95: 2.")
    assert " s of 100 mails" in alerts.sentence(rule, reading)
    assert alerts.read(Measure.TIME_TO_INBOX_P95, {}) == Reading(None, 0)


@pytest.mark.parametrize(
    ("changes", "field"), [({"threshold": 700_000}, "threshold"), ({"campaign": "spring"}, "campaign")]
)
def test_a_time_has_bounds(changes: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {"measure": Measure.TIME_TO_INBOX_P95, "threshold": 60}
    with pytest.raises(CallerError) as caught:
        alerts.check(AlertRule(**given | changes))
    assert caught.value.field == field
