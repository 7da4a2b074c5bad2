"""Quotas: changed by people, counted at accept, never passed, whatever comes at once."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from outrider.base.errors import CallerError, ForbiddenError, LimitReachedError
from outrider.engine.accept import Acceptor
from outrider.engine.submission import Accepted, Submission
from outrider.policy.quota import Quota
from outrider.services.quotas import Quotas, QuotaView
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, SENDER, EngineRoom, running

pytestmark = pytest.mark.newest


@pytest.fixture
async def quotas(store: Store, clock: FakeClock) -> Quotas:
    async with store.transaction() as tx:  # The engine's room has mail of projects, and no projects.
        await projects.ensure(tx, Project(PROJECT, "one"), now=clock.now())
    return Quotas(store, clock=clock)


def mail(count: int, name: str = "to") -> Submission:
    to = tuple(f"{name}{number}@partner.example" for number in range(count))
    return Submission(sender=SENDER, recipients=to, subject="Hi", text="Hello")


async def counted(store: Store, sql: str) -> int:
    async with store.transaction() as tx:
        row = await tx.fetch_row(sql)
    assert row is not None
    return int(row["count"])


async def test_a_quota_is_set_shown_and_taken_away(quotas: Quotas, room: EngineRoom, clock: FakeClock) -> None:
    assert await quotas.view(PROJECT) == QuotaView(None, 0, None, 0)
    assert await quotas.quota_for(PROJECT) is None
    assert await quotas.change(PROJECT, Quota(10, 100)) == QuotaView(10, 0, 100, 0)
    assert await quotas.quota_for(PROJECT) is None  # For half a second yet.
    clock.advance(0.5)
    assert await quotas.quota_for(PROJECT) == Quota(10, 100)
    for name, wrong in (("day", Quota(day=-1)), ("month", Quota(month=10**12 + 1))):
        with pytest.raises(CallerError) as caught:
            await quotas.change(PROJECT, wrong)
        assert caught.value.field == name


async def test_a_project_has_its_quota_and_no_more(
    room: EngineRoom, store: Store, clock: FakeClock, quotas: Quotas
) -> None:
    await quotas.change(PROJECT, Quota(day=10))
    accept = room.acceptor(quotas=quotas)
    async with running(accept):
        assert (await accept(PROJECT, mail(7))).recipient_count == 7
        with pytest.raises(LimitReachedError) as caught:
            await accept(PROJECT, mail(4), idempotency_key="k")
        error = caught.value
        assert (error.field, error.retry_after_s) == ("recipients", 86400.0)
        assert error.public == (
            "The project's quota is 10 recipients a day; 3 are left and this call has 4."
            " The next day begins at 2026-01-02T00:00:00Z."
        )
        assert (await accept(PROJECT, mail(3, "b"))).recipient_count == 3
        assert await quotas.view(PROJECT) == QuotaView(10, 10, None, 10)
        await accept(OTHER_PROJECT, mail(50, "c"))
        clock.advance(86400)
        assert (await accept(PROJECT, mail(4), idempotency_key="k")).recipient_count == 4  # The key is free again.
    assert await counted(store, "SELECT count(*) FROM recipient") == 64
    assert await counted(store, "SELECT count(*) FROM quota_use") == 2  # None for a project without a quota.


async def test_what_was_accepted_before_gets_its_answer_though_the_quota_is_used_up(
    room: EngineRoom, clock: FakeClock, quotas: Quotas
) -> None:
    await quotas.change(PROJECT, Quota(month=5))
    accept = room.acceptor(quotas=quotas)
    async with running(accept):
        first = await accept(PROJECT, mail(5), idempotency_key="k")
        again = await accept(PROJECT, mail(5), idempotency_key="k")
        assert again == msgspec.structs.replace(first, is_repeat=True)
        with pytest.raises(LimitReachedError, match=r"a month; 0 are left .* 2026-02-01T00:00:00Z"):
            await accept(PROJECT, mail(1))
    assert (await quotas.view(PROJECT)).month_used == 5


async def test_refused_twice_at_once_under_one_key_is_refused_twice(room: EngineRoom, quotas: Quotas) -> None:
    await quotas.change(PROJECT, Quota(day=5))
    accept = room.acceptor(quotas=quotas)
    async with running(accept):
        calls = [accept(PROJECT, mail(6), idempotency_key="k") for _ in range(5)]
        results = await asyncio.gather(*calls, accept(PROJECT, mail(5, "b")), return_exceptions=True)
        assert [type(result) for result in results] == [LimitReachedError] * 5 + [Accepted]


@pytest.mark.parametrize("sizes", [(1,), (1, 3, 7)])
async def test_processes_together_never_pass_it(
    room: EngineRoom, store: Store, clock: FakeClock, quotas: Quotas, sizes: Sequence[int]
) -> None:
    """Four, each with its own group commit, at once; near its end they take turns."""
    books = [quotas, *(Quotas(store, clock=clock) for _ in range(3))]
    await books[0].change(PROJECT, Quota(day=200))
    async with contextlib.AsyncExitStack() as stack:
        accepts: list[Acceptor] = []
        for book in books:
            accepts.append(room.acceptor(quotas=book))
            await stack.enter_async_context(running(accepts[-1]))
        calls = [accept(PROJECT, mail(sizes[n % len(sizes)], f"n{n}-")) for n in range(100) for accept in accepts]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {Accepted, LimitReachedError}
    accepted = sum(result.recipient_count for result in results if isinstance(result, Accepted))
    assert accepted == await counted(store, "SELECT count(*) FROM recipient") == (await books[0].view(PROJECT)).day_used
    assert 200 - max(sizes) < accepted <= 200


async def test_a_month_is_the_calendars(room: EngineRoom, clock: FakeClock, quotas: Quotas) -> None:
    await quotas.change(PROJECT, Quota(month=3))
    accept = room.acceptor(quotas=quotas)
    clock.advance((datetime(2026, 1, 5, 23, 59, 59, tzinfo=UTC) - clock.now()).total_seconds())
    async with running(accept):
        await accept(PROJECT, mail(2))
        clock.advance(2)
        with pytest.raises(LimitReachedError, match="1 are left"):
            await accept(PROJECT, mail(2))
        assert await quotas.view(PROJECT) == QuotaView(None, 0, 3, 2)


async def test_a_key_of_some_domains_sends_from_these_alone(room: EngineRoom, store: Store) -> None:
    domain = SENDER.rpartition("@")[2]
    for domains in ({"other.example"}, {f"sub.{domain}"}, {domain.upper()}):
        with pytest.raises(ForbiddenError) as caught:
            await room.accept(PROJECT, mail(1), domains=domains)
        assert caught.value.field == "sender"
    assert await counted(store, "SELECT count(*) FROM recipient") == 0
    for domains in ({"other.example", domain}, set()):
        await room.accept(PROJECT, mail(1), domains=domains)
