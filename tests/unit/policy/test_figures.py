"""Rates and percentiles: of nothing there is none, and a percentile lies in its bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import figures
from outrider.policy.reason import Reason, Scope, scope_of


def test_rates_of_nothing_are_none() -> None:
    assert figures.delivery({}).delivered_ratio is None
    assert figures.tracking({"opens_unique": 1}).opens_unique_ratio is None
    assert figures.inbox({}) == figures.Inbox(deliveries=0)


def test_uspeedos_example() -> None:
    counts = {"accepted": 7, "delivered": 7, "opens": 3, "opens_unique": 2, "clicks_unique": 1, "bounced_soft": 1}
    shown = figures.tracking(counts)
    assert figures.delivery(counts).delivered_ratio == 1.0
    assert figures.delivery(counts).bounced == 1
    assert (shown.opens, shown.clicks_unique_ratio, shown.reading_conversion_ratio) == (3, 0.142857, 0.5)


@pytest.mark.parametrize("dimension", ["provider", "ip"])
def test_rates_of_a_provider_or_source_are_of_what_came_to_an_end_there(dimension: str) -> None:
    counts = {"delivered": 25, "bounced": 3, "bounced_hard": 2, "bounced_late": 1, "blocked": 2, "expired": 2}
    shown = figures.delivery(counts, dimension)
    assert (shown.requests, shown.delivered_ratio) == (30, round(25 / 30, 6))
    assert figures.delivery({"accepted": 50, **counts}, "template").delivered_ratio == 0.5


def test_no_reason_is_of_two_classes_and_the_address_is_never_blocked() -> None:
    assert set(figures.HARD).isdisjoint(figures.BLOCKED)
    assert {scope_of(one) for one in figures.HARD} == {Scope.RECIPIENT, Scope.UNKNOWN}
    for one in Reason:
        if scope_of(one) in (Scope.SENDER, Scope.NETWORK):
            assert (one in figures.BLOCKED) == (scope_of(one) is Scope.SENDER), one


@pytest.mark.parametrize(("bucket", "p50"), [(0, 0.05), (1, (0.1 + 0.1 * 2**0.5) / 2), (46, figures.BOUNDS_S[-1])])
def test_a_bucket_is_interpolated(bucket: int, p50: float) -> None:
    assert figures.inbox({f"inbox_{bucket:02}": 10}).p50_s == pytest.approx(p50, abs=0.001)


@given(st.lists(st.integers(0, 1000), min_size=47, max_size=47))
def test_percentiles_rise(sizes: list[int]) -> None:
    found = [figures.percentile_s(sizes, share) for share in figures.SHARES.values()]
    known = [one for one in found if one is not None]
    assert known == sorted(known)
    assert len(known) == (len(found) if sum(sizes) else 0)
