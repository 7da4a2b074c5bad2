"""What a guard does to mail: counted as it settles, held in its lane with its reason, let go within seconds."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from outrider.base.vocab import Phase, Stream, WaitKind
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardBook, GuardJudge, release
from outrider.obs.metrics import Metrics
from outrider.policy.guard import SENT_COUNT_MIN, SLOW_PER_MINUTE, GuardLevel
from outrider.store import guards, sending
from outrider.store.guards import Guard
from outrider.store.pool import Store
from outrider.store.sending import Sending
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import DOMAIN, PROJECT, WAIT_S, EngineRoom, OneWay, running
from outrider.testing.peer import Peer, Script
from outrider.wire.answer import Answer, Cause

pytestmark = pytest.mark.newest
NEWS, ORDERS = Stream.MARKETING, Stream.TRANSACTIONAL
GONE = b"550 5.1.1 no such user\r\n"
SPAM = b"554 5.7.1 Message rejected as spam\r\n"
LATER = b"451 4.3.0 try later\r\n"
SENTENCE = "40 of 600 mails in the last two hours went to addresses that do not exist: 6.7 %, over 5 %."
LANES = "SELECT stream, pause_kind, pause_reason FROM lane WHERE paused_until IS NOT NULL"


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
async def guarded(room: EngineRoom) -> AsyncIterator[EngineRoom]:
    """The room; deliverers in it go by the guards in the database."""
    room.guards = GuardBook(room.store, clock=room.clock, logger=room.journal.logger)
    async with running(room.guards):
        yield room


async def put(room: EngineRoom, level: GuardLevel = GuardLevel.PAUSE, domain: str = DOMAIN, campaign: str = "") -> None:
    """Write a guard of marketing, and wait until this node knows it."""
    one = Guard(PROJECT, domain, NEWS, level, SENTENCE, room.clock.now(), campaign=campaign)
    async with room.store.transaction() as tx:
        assert await guards.begin(tx, one)
    assert room.guards is not None
    await room.guards.load()


async def paused(room: EngineRoom) -> list[tuple[str, str, str]]:
    async with room.store.transaction() as tx:
        return [tuple(row.values()) for row in await tx.fetch(LANES)]


async def until_paused(room: EngineRoom) -> tuple[str, str, str]:
    async with asyncio.timeout(WAIT_S):
        while not (found := await paused(room)):
            await room.clock.sleep(0.01)
    (one,) = found
    return one


async def figures(store: Store) -> dict[tuple[str, str], tuple[int, int]]:
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT sender_domain, stream, sum(sent), sum(invalid) FROM sending_hour GROUP BY 1, 2")
    return {(domain, stream): (int(sent), int(invalid)) for domain, stream, sent, invalid in rows}


async def test_what_a_receiver_answered_for_good_is_counted_by_domain_and_stream(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(refused={"gone@a.example": GONE, "spam@a.example": SPAM, "late@a.example": LATER})
    router = OneWay(peer.site(), nowhere=Answer(Phase.ROUTE, None, Cause.DNS_NULL_MX))
    async with running(room.deliverer(router)):
        orders = await room.send("ann@a.example", "gone@a.example", "spam@a.example", "ann@nowhere.example")
        news = await room.send("bob@a.example", "late@a.example", stream=NEWS)
        await room.until_settled(orders)
        await room.until_tried(news)
    assert await figures(room.store) == {(DOMAIN, "transactional"): (4, 2), (DOMAIN, "marketing"): (1, 0)}


async def test_simulated_mail_is_not_counted(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(refused={"gone@a.example": GONE})
    site = msgspec.structs.replace(peer.site(), provider="gmail", is_simulated=True)
    async with running(room.deliverer(OneWay(site))):
        await room.until_settled(await room.send("ann@a.example", "gone@a.example"))
    assert await figures(room.store) == {}


@pytest.mark.parametrize("domain", [DOMAIN, ""])
async def test_paused_mail_waits_explained_and_goes_on_when_released(
    guarded: EngineRoom, peer: Peer, domain: str
) -> None:
    room = guarded
    await put(room, domain=domain)
    async with running(room.deliverer(OneWay(peer.site()))):
        news = await room.send("bob@b.example", stream=NEWS)
        assert await until_paused(room) == (
            "marketing",
            WaitKind.GUARD,
            f"marketing mail of {domain or 'the project'} is paused: {SENTENCE}",
        )
        await room.until_settled(await room.send("ann@b.example"))
        assert [mail.recipients for mail in peer.received] == [("ann@b.example",)], "the receipt went"
        explainer = Explainer(room.store, clock=room.clock)
        ((line,),) = [told.lines for told in await explainer.why("bob@b.example", project_id=PROJECT)]
        assert line.state == "wait"
        assert SENTENCE in line.sentence
        assert line.sentence.startswith("1 wait: marketing mail of")
        await release(room.store, PROJECT, domain, clock=room.clock)
        begun_s = room.clock.monotonic_s()
        await room.until_settled(news)
        assert room.clock.monotonic_s() - begun_s < 5.0
    assert len(peer.received) == 2


async def test_a_guard_that_begins_stops_what_is_going_on_within_seconds(guarded: EngineRoom, peer: Peer) -> None:
    room = guarded
    hour = sending.hour_of(room.clock.now())
    async with running(room.deliverer(OneWay(peer.site()))):
        await room.until_settled(await room.send("ann@b.example", stream=NEWS))
        async with room.store.transaction() as tx:
            await sending.add(tx, "w", [Sending(hour, PROJECT, DOMAIN, NEWS, SENT_COUNT_MIN, invalid=100)])
        judge = GuardJudge(room.store, clock=room.clock, logger=room.journal.logger, metrics=Metrics())
        assert [one.level for one in await judge.judge()] == [GuardLevel.PAUSE]
        asked_s = room.clock.monotonic_s()
        async with asyncio.timeout(WAIT_S):
            while not await paused(room):
                await room.send("ann@b.example", stream=NEWS)
                await room.clock.sleep(0.05)
        assert room.clock.monotonic_s() - asked_s < 3.0


async def test_slowed_mail_leaves_at_the_guards_rate_and_the_other_stream_is_free(
    guarded: EngineRoom, peer: Peer
) -> None:
    room = guarded
    await put(room, GuardLevel.SLOW)
    async with running(room.deliverer(OneWay(peer.site()))):
        news = await room.send(*(f"u{n}@b.example" for n in range(20)), stream=NEWS)
        stream, kind, reason = await until_paused(room)
        assert (stream, kind) == ("marketing", WaitKind.GUARD)
        assert f"marketing mail of {DOMAIN} is slowed to {SLOW_PER_MINUTE}/min" in reason
        assert SENTENCE in reason
        await room.until_settled(await room.send(*(f"o{n}@b.example" for n in range(40))))
        sent = [one.status for one in (await room.recipients(news)).values()].count("delivered")
        assert 0 < sent < 10
        await release(room.store, PROJECT, DOMAIN, clock=room.clock)
        await room.until_settled(news)


async def test_what_ends_is_counted_by_campaign(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(refused={"gone@a.example": GONE})
    async with running(room.deliverer(OneWay(peer.site()))):
        for campaign in ("spring", "", "autumn"):
            to = ("gone@a.example", "ann@a.example") if campaign == "spring" else ("ann@a.example",)
            await room.until_settled(await room.send(*to, stream=NEWS, campaign=campaign))
    async with room.store.transaction() as tx:
        rows = await tx.fetch(
            "SELECT campaign, sum(sent)::int, sum(invalid)::int FROM sending_hour GROUP BY 1 ORDER BY 1"
        )
    assert [tuple(row.values()) for row in rows] == [("", 1, 0), ("autumn", 1, 0), ("spring", 2, 1)]


@pytest.mark.parametrize("level", [GuardLevel.PAUSE, GuardLevel.SLOW])
async def test_a_held_campaign_waits_alone_and_explained_and_goes_on_when_released(
    guarded: EngineRoom, peer: Peer, level: GuardLevel
) -> None:
    room, name = guarded, "{} \u2600 {0.x}"  # As people call things.
    await put(room, level, "", name)
    async with running(room.deliverer(OneWay(peer.site()))):
        spring = await room.send(*(f"s{n}@b.example" for n in range(20)), stream=NEWS, campaign=name)
        stream, kind, reason = await until_paused(room)
        assert (stream, kind) == ("marketing", WaitKind.GUARD)
        done = "paused" if level is GuardLevel.PAUSE else f"slowed to {SLOW_PER_MINUTE}/min"
        assert f"marketing mail of campaign {name} is {done}" in reason
        assert SENTENCE in reason
        others = [
            await room.send(*(f"n{n}@b.example" for n in range(40)), stream=NEWS, campaign="autumn"),
            await room.send(*(f"n{n}@b.example" for n in range(40)), stream=NEWS),
            await room.send(*(f"o{n}@b.example" for n in range(40)), campaign=name),
        ]
        for session in others:
            await room.until_settled(session)
        sent = [one.status for one in (await room.recipients(spring)).values()].count("delivered")
        assert sent == 0 if level is GuardLevel.PAUSE else 0 < sent < 10
        explainer = Explainer(room.store, clock=room.clock)
        (told,) = await explainer.why(str(spring), project_id=PROJECT)
        assert any(f"marketing mail of campaign {name} is {done}" in line.text for line in told.lines)
        shown = await explainer.show("s19@b.example", project_id=PROJECT)
        assert (shown.recipient.campaign, shown.recipient.list_name) == (name, "")
        assert {row.campaign for row in (await explainer.queue()).lanes} == {name}
        await release(room.store, PROJECT, "", campaign=name, clock=room.clock)
        await room.until_settled(spring)
