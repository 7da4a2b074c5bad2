"""Quotas: who of those that come at once still gets in, and what the others are told."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import quota
from outrider.policy.quota import NEAR_COUNT, Quota, Used, Wanted

NOW = datetime(2026, 1, 31, 23, 0, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)


def call(number: int, count: int, most: Quota, project_id: UUID = ONE) -> Wanted:
    return Wanted(UUID(int=100 + number), project_id, count, most)


def test_they_come_in_their_order_and_a_smaller_one_fits_behind_a_larger() -> None:
    most = Quota(day=10)
    wanted = [call(0, 6, most), call(1, 5, most), call(2, 4, most), call(3, 1, most), call(4, 99, Quota(), TWO)]
    taken, refused = quota.judge(wanted, {}, NOW)
    assert taken == {ONE: 10, TWO: 99}
    assert list(refused) == [UUID(int=101), UUID(int=103)]
    assert "4 are left and this call has 5" in refused[UUID(int=101)].public
    assert "0 are left and this call has 1" in refused[UUID(int=103)].public


@pytest.mark.parametrize(
    ("most", "used", "span", "wait_s"),
    [
        (Quota(day=5), Used(5, 5), "day", 3600),
        (Quota(month=5), Used(0, 5), "month", 3600),
        (Quota(day=5, month=5), Used(5, 5), "month", 3600),
        (Quota(day=0), Used(), "day", 3600),
        (Quota(day=5), Used(9, 9), "day", 3600),  # It was lowered.
    ],
)
def test_the_refusal_says_which_and_until_when(most: Quota, used: Used, span: str, wait_s: int) -> None:
    _, refused = quota.judge([call(0, 1, most)], {ONE: used}, NOW)
    (error,) = refused.values()
    assert f"a {span}; 0 are left" in error.public
    assert "begins at 2026-02-01T00:00:00Z" in error.public
    assert error.retry_after_s == wait_s


def test_days_and_months_end_by_utc() -> None:
    assert quota.ends_at("day", datetime(2026, 12, 31, 0, 0, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert quota.ends_at("month", datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert quota.ends_at("month", datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)) == datetime(
        2028, 3, 1, tzinfo=UTC
    )


def test_near_its_end_is_where_others_could_end_it_meanwhile() -> None:
    far, near = Quota(day=NEAR_COUNT), Quota(day=NEAR_COUNT - 1)
    assert not quota.is_near([call(0, 1, far)], {})
    assert quota.is_near([call(0, 1, near)], {})
    assert quota.is_near([call(0, 1, far)], {ONE: Used(1, 1)})
    assert quota.is_near([call(0, 1, Quota(month=NEAR_COUNT))], {ONE: Used(0, 1)})
    assert not quota.is_near([call(0, 1, Quota(), TWO), call(1, 1, far)], {TWO: Used(10**9, 10**9)})


@given(
    st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=30),
    st.integers(0, 500) | st.none(),
    st.integers(0, 500) | st.none(),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_nobody_passes_a_quota(
    calls: list[tuple[int, bool]], day: int | None, month: int | None, day_used: int, before: int
) -> None:
    most, had = Quota(day, month), Used(day_used, day_used + before)
    wanted = [call(n, count, most, ONE if is_first else TWO) for n, (count, is_first) in enumerate(calls)]
    taken, refused = quota.judge(wanted, {ONE: had}, NOW)
    for project_id, used in ((ONE, had), (TWO, Used())):
        kept = [one for one in wanted if one.project_id == project_id and one.message_id not in refused]
        assert taken.get(project_id, 0) == sum(one.recipient_count for one in kept)
        if kept and day is not None:
            assert used.day + taken[project_id] <= day
        if kept and month is not None:
            assert used.month + taken[project_id] <= month
