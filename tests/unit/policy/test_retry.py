"""When to try again."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.policy import retry
from outrider.policy.reason import Reason
from outrider.policy.settings import RetrySettings

NOW: Final = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)  # Summer time begins in half a minute: UTC does not care.
PLAIN: Final = "network"
SLOW: Final = [Reason.RECIPIENT_FULL, Reason.IP_REPUTATION, Reason.IP_PTR, Reason.SENDER_AUTH]
attempts = st.integers(0, 10_000)
ratios = st.floats(0, 1)
reasons = st.sampled_from([*Reason, "", "something new"])


def delay_s(attempt: int, jitter_ratio: float = 0.5, reason: str = PLAIN, **settings: float) -> float:
    due_at = retry.next_due_at(
        attempt=attempt, now=NOW, jitter_ratio=jitter_ratio, reason=reason, settings=RetrySettings(**settings)
    )
    assert due_at.tzinfo is UTC
    return (due_at - NOW).total_seconds()


def test_it_starts_at_a_minute_and_doubles() -> None:
    assert [round(delay_s(attempt)) for attempt in range(8)] == [60, 120, 240, 480, 960, 1920, 3840, 7680]


@given(attempt=attempts, jitter_ratio=ratios, reason=reasons)
def test_it_waits_between_most_of_a_minute_and_four_hours(attempt: int, jitter_ratio: float, reason: str) -> None:
    assert 50 <= delay_s(attempt, jitter_ratio, reason) <= limits.RETRY_DELAY_S_MAX


@given(attempt=st.integers(0, 6), earlier=ratios, later=ratios)
def test_before_the_cap_it_grows_whatever_chance_says(attempt: int, earlier: float, later: float) -> None:
    assert delay_s(attempt + 1, later) > delay_s(attempt, earlier)


@given(attempt=attempts, jitter_ratio=ratios, reason=reasons)
def test_it_never_shrinks(attempt: int, jitter_ratio: float, reason: str) -> None:
    assert delay_s(attempt + 1, jitter_ratio, reason) >= delay_s(attempt, jitter_ratio, reason)


@given(attempt=attempts, reason=reasons)
def test_chance_spreads_by_fifteen_percent_at_the_cap_too(attempt: int, reason: str) -> None:
    least, middle, most = (delay_s(attempt, ratio, reason) for ratio in (0.0, 0.5, 1.0))
    assert least / middle == pytest.approx(0.85, rel=1e-4)
    assert most / middle == pytest.approx(1.15, rel=1e-4)


@given(attempt=st.integers(0, retry.GREYLIST_ATTEMPTS_MAX - 1), jitter_ratio=ratios)
def test_greylisting_is_tried_after_five_to_fifteen_minutes(attempt: int, jitter_ratio: float) -> None:
    assert 300 - 1e-3 <= delay_s(attempt, jitter_ratio, Reason.GREYLIST) <= 900 + 1e-3


def test_endless_greylisting_is_no_greylisting() -> None:
    assert delay_s(retry.GREYLIST_ATTEMPTS_MAX, reason=Reason.GREYLIST) == delay_s(retry.GREYLIST_ATTEMPTS_MAX)


@given(attempt=attempts, jitter_ratio=ratios, reason=st.sampled_from([Reason.RATE_PROVIDER, Reason.RECIPIENT_RATE]))
def test_too_fast_waits_ten_minutes(attempt: int, jitter_ratio: float, reason: str) -> None:
    assert delay_s(attempt, jitter_ratio, reason) >= 600 - 1e-3


@pytest.mark.parametrize("reason", SLOW)
def test_what_a_person_must_mend_waits_half_an_hour(reason: Reason) -> None:
    assert delay_s(0, 0.0, reason) == pytest.approx(1800, abs=1e-3)
    assert delay_s(7, 0.0, reason) == delay_s(7, 0.0)


def test_settings_rule() -> None:
    assert delay_s(0, first_s=0.2) == pytest.approx(0.2)
    assert delay_s(50, 1.0, delay_s_max=30.0) == pytest.approx(30.0)
    assert delay_s(0, 0.0, Reason.GREYLIST, greylist_s=1.0, first_s=0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [{"first_s": 0}, {"delay_s_max": 14401}, {"rate_s": "soon"}, {"first": 1}])
def test_settings_have_bounds(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, RetrySettings)


def test_a_message_expires_its_life_after_acceptance() -> None:
    assert retry.expires_at(NOW, 72 * 3600.0) - NOW == timedelta(days=3)
