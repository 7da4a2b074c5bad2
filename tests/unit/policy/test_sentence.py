"""Numbers as people read them."""

import pytest

from outrider.policy import sentence
from outrider.policy.shaping import Rate


@pytest.mark.parametrize(
    ("rate", "text"), [(Rate(10, 60.0), "10/min"), (Rate(5, 1.0), "5/s"), (Rate(3, 90.0), "3 in 90 s")]
)
def test_a_rate_is_said_as_it_is_written(rate: Rate, text: str) -> None:
    assert sentence.rate_of(rate) == text


@pytest.mark.parametrize(("speed", "text"), [(4.8123, "4.81/s"), (0.2, "12/min"), (120.0, "120/s")])
def test_a_speed_is_said_in_the_unit_that_reads_best(speed: float, text: str) -> None:
    assert sentence.speed_of(speed) == text


@pytest.mark.parametrize(
    ("span_s", "text"),
    [(0.0, "0.1 s"), (0.11, "0.2 s"), (5.2, "6 s"), (119.5, "120 s"), (700.0, "12 min"), (9000.0, "3 h")],
)
def test_a_span_is_never_said_shorter_than_it_is(span_s: float, text: str) -> None:
    assert sentence.span_of(span_s) == text


def test_an_instant_has_its_date_only_on_another_day() -> None:
    now_s = 1_800_000_000.0  # 2027-01-15 08:00 UTC.
    assert sentence.clock_of(now_s + 299, now_s) == "08:05 UTC"
    assert sentence.clock_of(now_s + 86400, now_s) == "2027-01-16 08:00 UTC"
