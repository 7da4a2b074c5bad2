"""Figures by the hour: counted by many writers, summed for windows; what was excused is left out."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from outrider.base.vocab import Stream, SuppressionOrigin, SuppressionScope
from outrider.policy.guard import GuardLevel
from outrider.store import guards, intake, sending, suppressions
from outrider.store.guards import Guard
from outrider.store.intake import NewMail
from outrider.store.messages import Message
from outrider.store.pool import Store
from outrider.store.sending import Sending, Sums, Told
from outrider.store.suppressions import Suppression
from outrider.testing.clock import EPOCH, FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT
from outrider.testing.mailroom import WAIT_S

HOUR = timedelta(hours=1)
NEWS = Stream.MARKETING


def count(
    domain: str = "a.example", *, ago: int = 0, stream: Stream = NEWS, project_id: UUID = PROJECT, **n: int
) -> Any:
    return Sending(EPOCH - ago * HOUR, project_id, domain, stream, **n)


async def add(store: Store, *counts: Sending, writer: str = "w") -> None:
    async with store.transaction() as tx:
        await sending.add(tx, writer, counts)


async def sums(store: Store, *, sent_min: int = 1) -> list[Sums]:
    async with store.transaction() as tx:
        return await sending.sums(tx, EPOCH - 23 * HOUR, recent_since=EPOCH - HOUR, sent_min=sent_min)


def figures(one: Sums) -> tuple[int, ...]:
    return one.sent, one.invalid, one.complained, one.recent_sent, one.recent_invalid, one.recent_complained


async def told(store: Store, *reports: Told) -> Sending:
    async with store.transaction() as tx:
        await sending.add_told(tx, EPOCH, reports)
        return await sending.of_hour(tx, EPOCH, PROJECT, "a.example", NEWS)


def report(address_key: str, *, number: int = 1, is_complaint: bool = True) -> Told:
    return Told(PROJECT, UUID(int=number), address_key, "a.example", is_complaint)


async def message(store: Store, number: int = 1, stream: Stream = NEWS, campaign: str = "") -> None:
    until = EPOCH + timedelta(days=1)
    one = Message(UUID(int=number), PROJECT, stream, "news@a.example", "", "Hi", b"h", 1, EPOCH, until, campaign)
    async with store.transaction() as tx:
        await intake.insert(tx, [NewMail(one, b"{}", ())], now=EPOCH)


async def test_windows_sum_over_writers_and_hours(store: Store) -> None:
    await add(store, count(sent=100, invalid=1), count(ago=1, sent=10, complained=2), count(ago=23, sent=1000))
    await add(store, count(sent=5), count(sent=5, complained=1), writer="other")
    await add(store, count(ago=24, sent=9999))
    (one,) = await sums(store)
    assert figures(one) == (1120, 1, 3, 120, 1, 3)
    assert (one.project_id, one.sender_domain, one.stream) == (PROJECT, "a.example", NEWS)


async def test_a_project_is_summed_where_several_domains_sent_and_streams_stay_apart(store: Store) -> None:
    await add(store, count(sent=10), count("b.example", ago=5, sent=1, invalid=1))
    await add(store, count(sent=7, stream=Stream.TRANSACTIONAL), count(sent=3, project_id=OTHER_PROJECT))
    found = {(s.project_id, s.sender_domain, s.stream): s.sent for s in await sums(store)}
    assert found == {
        (PROJECT, "", NEWS): 11,
        (PROJECT, "a.example", NEWS): 10,
        (PROJECT, "b.example", NEWS): 1,
        (PROJECT, "a.example", Stream.TRANSACTIONAL): 7,
        (OTHER_PROJECT, "a.example", NEWS): 3,
    }
    assert {s.sent for s in await sums(store, sent_min=10)} == {11, 10}


async def test_a_campaign_is_summed_over_domains_and_counts_in_them_too(store: Store) -> None:
    await add(store, count(sent=10), count(sent=20, invalid=2, campaign="spring"), count(sent=1, campaign="autumn"))
    await add(store, count("b.example", ago=3, sent=5, campaign="spring"), writer="other")
    await add(store, count(sent=7, campaign="spring", stream=Stream.TRANSACTIONAL))
    found = {(s.sender_domain, s.stream, s.campaign): figures(s) for s in await sums(store)}
    assert found == {
        ("", NEWS, ""): (36, 2, 0, 31, 2, 0),
        ("", NEWS, "autumn"): (1, 0, 0, 1, 0, 0),
        ("", NEWS, "spring"): (25, 2, 0, 20, 2, 0),
        ("", Stream.TRANSACTIONAL, "spring"): (7, 0, 0, 7, 0, 0),
        ("a.example", NEWS, ""): (31, 2, 0, 31, 2, 0),
        ("b.example", NEWS, ""): (5, 0, 0, 0, 0, 0),
        ("a.example", Stream.TRANSACTIONAL, ""): (7, 0, 0, 7, 0, 0),
    }
    async with store.transaction() as tx:
        assert (await sending.of_hour(tx, EPOCH, PROJECT, "", NEWS, campaign="spring")).sent == 20
        assert (await sending.of_hour(tx, EPOCH, PROJECT, "", NEWS)).sent == 31


async def test_a_campaigns_release_leaves_out_its_own_figures_alone(store: Store) -> None:
    await add(store, count(sent=500, invalid=50, campaign="spring"), count(sent=500, campaign="autumn"))
    at = EPOCH + timedelta(minutes=30)
    released = Guard(PROJECT, "", NEWS, GuardLevel.OK, "", at, at, 400, 40, 0, campaign="spring")
    async with store.transaction() as tx:
        assert await guards.begin(tx, released)
    found = {s.campaign: figures(s)[:2] for s in await sums(store)}
    assert found == {"spring": (100, 10), "autumn": (500, 0), "": (1000, 50)}


async def test_what_was_sent_before_a_release_is_left_out(store: Store) -> None:
    await add(store, count(ago=2, sent=500, invalid=50), count(ago=1, sent=300, invalid=30))
    released = Guard(PROJECT, "a.example", NEWS, GuardLevel.OK, "", EPOCH, EPOCH - timedelta(minutes=30), 280, 29, 0)
    async with store.transaction() as tx:
        assert await guards.begin(tx, released)
    await add(store, count(sent=4))
    (one,) = await sums(store, sent_min=500)
    assert figures(one) == (24, 1, 0, 24, 1, 0), "it has a guard, so it is told of, however little it sent"


async def test_each_reader_counts_once(store: Store) -> None:
    await message(store)
    first = await told(store, report("ann@x.example"), report("ann@x.example"), report("bob@x.example"))
    assert (first.sent, first.invalid, first.complained) == (0, 0, 2)
    entry = Suppression(
        project_id=PROJECT,
        address_key="ann@x.example",
        scope=SuppressionScope.STREAM,
        subject=NEWS,
        reason="complaint",
        origin=SuppressionOrigin.REQUEST,
        created_at=EPOCH,
    )
    async with store.transaction() as tx:
        await suppressions.put(tx, [entry])
    again = await told(store, report("ann@x.example"), report("ann@x.example", is_complaint=False))
    assert (again.invalid, again.complained) == (1, 2), "her complaint was counted; that she is gone is news"


async def test_a_report_counts_in_the_stream_and_campaign_of_its_mail(store: Store) -> None:
    await message(store, 1)
    await message(store, 2, Stream.TRANSACTIONAL)
    await message(store, 4, campaign="spring")
    assert (await told(store, report("ann@x.example"), report("bob@x.example", number=2))).complained == 1
    assert (await told(store, report("dan@x.example", number=4))).complained == 2
    async with store.transaction() as tx:
        assert (await sending.of_hour(tx, EPOCH, PROJECT, "", NEWS, campaign="spring")).complained == 1
    assert (await told(store, report("eve@x.example", number=3))).complained == 2, "a mail that nobody knows"


async def test_writers_do_not_wait_for_each_other_and_nothing_is_lost(store: Store) -> None:
    domains = ["a.example", "b.example", "c.example"]

    async def settle(writer: str, turn: int) -> None:
        ordered = domains if turn % 2 else domains[::-1]
        await add(store, *(count(name, sent=1) for name in ordered), writer=writer)

    async with asyncio.timeout(WAIT_S), store.transaction() as held:
        await sending.add(held, "held", [count(sent=1)])
        await asyncio.gather(*(settle(writer, turn) for turn in range(20) for writer in ("a", "b")))
    assert [s.sent for s in await sums(store)] == [121, 41, 40, 40]


async def test_old_figures_are_forgotten(store: Store, clock: FakeClock) -> None:
    await add(store, count(ago=3, sent=1), count(ago=2, sent=1), count(sent=1))
    async with store.transaction() as tx:
        assert await sending.forget(tx, EPOCH - 2 * HOUR) == 1
    assert [s.sent for s in await sums(store)] == [2]
    assert sending.hour_of(clock.now() + timedelta(minutes=59, seconds=3, microseconds=1)) == EPOCH
