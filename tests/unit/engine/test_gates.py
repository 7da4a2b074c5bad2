"""The gates on a real ledger and the real rules: who carries a mail, what stops it, and how long a lane is sent away.

No network: a reservation needs none. What connections do is in tests/store/test_engine_egress.py.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from outrider.base.vocab import Fate, Phase, Stream, WaitKind
from outrider.engine.gates import Entry
from outrider.engine.turns import Places
from outrider.net.site import Host, Site
from outrider.policy.gate import Gate
from outrider.policy.guard import SLOW_PER_MINUTE, GuardLevel
from outrider.policy.throttle import Ceiling
from outrider.store.guards import Guard
from outrider.store.lanes import Pause
from outrider.testing.clock import FakeClock, RealClock, turns
from outrider.testing.engineroom import DOMAIN, PROJECT
from outrider.testing.gateroom import OK, GateRoom, Make, lane_of, site_of
from outrider.wire.answer import Answer, Cause

ONE = {"address": "127.0.0.2"}
TWO = {"address": "127.0.0.3"}
PAUSE = "421 4.7.28 Gmail has detected an unusual rate of email originating from your IP address 192.0.2.7."
REST = "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume"
CAP = "421 - Max message per connection reached, closing transmission channel"
RECONNECT = "421 4.7.0 Try again later, closing connection. For more information, go to the postmaster page"
AGAIN = "450 4.2.1 Try again later"
GONE = (Cause.REFUSED, Phase.CONNECT)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 4, 10, tzinfo=UTC))


def pool(**members: dict[str, Any]) -> dict[str, Any]:
    """Settings of one pool with these members, each a source of that name."""
    return {
        "sources": {name: {"address": f"127.0.0.{at}"} for at, name in enumerate(members, 2)},
        "pools": {"default": members},
    }


async def used(room: GateRoom, count: int, provider: str = "gmail") -> Counter[str]:
    """Send so many; count them by source."""
    found: Counter[str] = Counter()
    for _ in range(count):
        entry = await room.entered(site=site_of(provider))
        found[entry.source] += 1
        room.answer(entry)
    return found


# Who carries it.


async def test_each_source_carries_its_share(make: Make) -> None:
    room = make(**pool(one={"weight": 3}, two={}))
    found = await used(room, 400)
    assert 260 < found["one"] < 340
    assert found.total() == 400


async def test_overflow_carries_only_what_a_warm_up_holds_back(make: Make, clock: FakeClock) -> None:
    room = make(**pool(one={}, two={"use": "overflow"}), limits={"gmail": {"connections": 1}})
    assert await used(room, 20) == {"one": 20}
    held = await room.entered()
    waiting = asyncio.create_task(room.enter())
    await turns()
    assert not waiting.done(), "another was out of connections, which is no reason"
    room.answer(held)
    room.answer(await asyncio.wait_for(waiting, 1))  # type: ignore[arg-type]
    room.bounds.ceilings["one", "gmail"] = Ceiling(clock.now().toordinal(), 4)
    found = await used(room, 20)
    assert 1 <= found["one"] <= 4
    assert found.total() == 20


async def test_fail_over_carries_only_when_all_others_rest(make: Make) -> None:
    room = make(**pool(one={}, two={}, three={"use": "failover"}))
    found = await used(room, 60, "yahoo")
    assert set(found) == {"one", "two"}
    entry = await room.entered(site=site_of("yahoo"))
    room.answer(entry, REST)
    (left,) = {"one", "two"} - {entry.source}
    assert await used(room, 20, "yahoo") == {left: 20}
    room.answer(await room.entered(site=site_of("yahoo")), REST)
    assert await used(room, 20, "yahoo") == {"three": 20}
    assert set(await used(room, 20, "gmail")) == {"one", "two"}, "they rest at yahoo alone"


SLOWER = "450 4.7.1 Throttled"


async def test_a_new_source_starts_from_what_its_pool_has_learned(tmp_path: Path, clock: FakeClock) -> None:
    with GateRoom(tmp_path, clock, sources={"one": ONE}, pools={"default": {"one": {}}}) as room:
        for _ in range(120):  # Twenty a second.
            room.answer(await room.entered())
            clock.advance(0.05)
        room.answer(await room.entered(), SLOWER)
        learned = (room.ledger.read("one|gmail") or Gate()).learned
        assert 4 < learned < 20
    with GateRoom(tmp_path, clock, **pool(two={})) as room:  # The next day's settings.
        room.answer(await room.entered())
        found = room.ledger.read("two|gmail") or Gate()
        assert (found.rate, found.learned) == (pytest.approx(learned, rel=0.3), found.rate)
        assert (room.ledger.read("two|yahoo") or Gate()).rate == 0
        room.check_nothing_held()


async def test_a_source_that_sends_is_not_slowed_by_what_another_hears(make: Make, clock: FakeClock) -> None:
    room = make(**pool(one={}, two={}))
    await used(room, 20)
    for _ in range(150):
        entry = await room.entered()
        room.answer(entry, SLOWER if entry.source == "one" else OK)
        clock.advance(0.2)
    rates = {name: (room.ledger.read(f"{name}|gmail") or Gate()).rate for name in ("one", "two")}
    assert rates["one"] > 0
    assert rates["two"] == 0


async def test_a_provider_is_known_by_all_mx_names_though_one_has_no_address_now(make: Make) -> None:
    names, hosts = ("aspmx.l.google.com", "mx.a.example"), (Host("aspmx.l.google.com", ("127.0.0.1",)),)
    places = [make().gates.place(Site("a", hosts, mx_names=some)) for some in (names, names[:1])]
    assert [one.provider for one in places] == ["", "gmail"]


async def test_members_for_a_provider_carry_its_mail(make: Make) -> None:
    room = make(**pool(one={"providers": ["gmail"]}, two={"providers": ["default"]}))
    assert await used(room, 10, "gmail") == {"one": 10}
    assert await used(room, 10, "yahoo") == {"two": 10}
    assert await used(room, 10, "small") == {"two": 10}


async def test_a_smart_host_is_counted_by_its_own_limits(make: Make) -> None:
    room = make(
        sources={"one": ONE, "relay": {"smarthost": "smarthost://relay.example:587"}},
        pools={"default": {"one": {}, "relay": {"use": "failover"}}},
    )
    relay = Site("relay.example:587", (Host("relay.example", ("127.0.0.1",)),), 587, provider="smarthost")
    room.exits.others["relay"] = relay
    room.answer(await room.entered(site=site_of("yahoo")), REST)
    entries = [await room.entered(site=site_of(name)) for name in ("yahoo", "yahoo")]
    assert {(e.source, e.place.provider, e.place.key) for e in entries} == {
        ("relay", "smarthost", "smarthost relay.example:587")
    }
    for entry in entries:
        room.answer(entry)


async def test_a_smart_host_that_is_not_found_leaves_it_to_others(make: Make) -> None:
    room = make(**pool(one={}, two={"use": "failover"}))
    room.exits.others["one"] = Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
    assert await used(room, 5) == {"two": 5}
    room.exits.others["two"] = Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
    pause = await room.paused()
    assert (pause.kind, pause.reason) == (WaitKind.REST, "gmail: the smart host of one cannot be found")


# What replies do.


async def test_a_pause_stops_every_source_of_the_pool(make: Make, clock: FakeClock) -> None:
    room = make(**pool(one={}, two={}))
    assert room.answer(await room.entered(), PAUSE).fate is Fate.DEFERRED
    pause = await room.paused()
    assert pause.kind is WaitKind.PAUSE
    assert pause.reason == (
        "gmail: '421 4.7.28 Gmail has detected an unusual rate of email orig...':"
        " paused until 10:10 UTC by rule gmail.rate"
    )
    assert timedelta(seconds=600) <= pause.until - clock.now() <= timedelta(seconds=602)
    assert (await used(room, 5, "yahoo")).total() == 5
    clock.advance(601)
    room.answer(await room.entered())


async def test_a_pause_reaches_the_other_processes_within_a_quarter_of_a_second(make: Make, clock: FakeClock) -> None:
    room, other = make(**pool(one={}, two={})), make(slot=1, **pool(one={}, two={}))
    for _ in range(4):
        other.answer(await other.entered())  # It has looked just now.
    room.answer(await room.entered(), PAUSE)
    clock.advance(0.25)
    assert (await other.paused()).kind is WaitKind.PAUSE


async def test_strange_words_are_quoted_without_harm(make: Make) -> None:
    room = make()
    room.answer(await room.entered(), "421 4.7.28 unusual rate of email\r\n\x1b[31m" + "\u00fc" * 60 + "\ud800")
    pause = await room.paused()
    assert pause.reason.startswith("gmail: '421 4.7.28 unusual rate of email / ?[31m\u00fc\u00fc")
    assert pause.reason.isprintable()


async def test_a_rest_stops_its_source_alone(make: Make) -> None:
    room = make(**pool(one={}, two={}))
    resting = await room.entered(site=site_of("yahoo"))
    room.answer(resting, REST)
    (left,) = {"one", "two"} - {resting.source}
    assert await used(room, 10, "yahoo") == {left: 10}
    room.answer(await room.entered(site=site_of("yahoo")), REST)
    pause = await room.paused(site=site_of("yahoo"))
    assert pause.kind is WaitKind.REST
    assert "yahoo.ts04" in pause.reason


async def test_a_cap_limits_what_a_connection_carries(make: Make, clock: FakeClock) -> None:
    room = make()
    bounds = []
    for _ in range(4):
        entry = await room.entered(site=site_of("yahoo"))
        bounds.append(entry.reservation.bounds.messages_per_connection)
        room.answer(entry, CAP)
        clock.advance(0.3)
    assert bounds == [20, 20, 20, 10]
    clock.advance(3601)
    entry = await room.entered(site=site_of("yahoo"))
    assert entry.reservation.bounds.messages_per_connection == 20
    room.answer(entry)


async def test_slow_cuts_the_rate_whatever_the_reason(make: Make) -> None:
    room = make()
    room.answer(await room.entered(), RECONNECT)
    gate = room.ledger.read("default|gmail")
    assert gate is not None
    assert gate.rate > 0
    assert room.journal.count("gate_reacted") == 1  # The reconnect.


# Rates.


async def test_a_domain_pays_only_for_what_goes(make: Make) -> None:
    room = make(limits={"gmail": {"connections": 1}})
    room.bounds.per_minute[DOMAIN] = 1
    key = f"from|{lane_of().project_id}/{DOMAIN}"
    held = await room.entered(lane_of(sender_domain="other.example"))
    waiting = asyncio.create_task(room.enter())
    await turns()
    assert room.ledger.read(key) is None
    room.answer(held)
    entry = await asyncio.wait_for(waiting, 1)
    assert isinstance(entry, Entry)
    room.answer(entry)
    assert room.ledger.read(key) is not None
    assert (await room.paused()).kind is WaitKind.DOMAIN_RATE


async def finish(room: GateRoom, waiting: list[asyncio.Task[Entry | Pause]]) -> None:
    """Cancel those who wait, and give back what the others have."""
    for one in waiting:
        one.cancel()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(result, Entry):
            room.give(result)


async def test_a_domain_rate_holds_and_a_change_counts_at_once(make: Make, clock: FakeClock) -> None:
    room = make()
    room.bounds.per_minute[DOMAIN] = 1
    room.answer(await room.entered())
    pause = await room.paused(site=site_of("yahoo"))
    assert pause.kind is WaitKind.DOMAIN_RATE
    assert f"{DOMAIN} may send 1/min" in pause.reason
    assert timedelta(seconds=59) < pause.until - clock.now() <= timedelta(seconds=63)
    room.answer(await room.entered(lane_of(sender_domain="other.example")))
    room.bounds.per_minute[DOMAIN] = 6000
    assert (await room.paused()).until - clock.now() <= timedelta(seconds=2), "it waits for a minute that is no more"
    clock.advance(2)
    room.answer(await room.entered())
    del room.bounds.per_minute[DOMAIN]
    assert (await used(room, 50)).total() == 50


def guard(level: GuardLevel, *, stream: Stream = Stream.MARKETING, domain: str = DOMAIN, campaign: str = "") -> Guard:
    since = datetime(2026, 3, 4, 9, tzinfo=UTC)
    return Guard(PROJECT, domain, stream, level, "Too many complaints.", since, campaign=campaign)


NEWS = lane_of(2, Stream.MARKETING)


async def test_a_guards_pause_takes_nothing_and_holds_its_stream_alone(make: Make, clock: FakeClock) -> None:
    room = make()
    room.bounds.guards.append(guard(GuardLevel.PAUSE))
    pause = await room.paused(NEWS)
    assert (pause.kind, pause.reason) == (
        WaitKind.GUARD, f"marketing mail of {DOMAIN} is paused: Too many complaints."
    )  # fmt: skip
    assert timedelta(seconds=150) <= pause.until - clock.now() <= timedelta(seconds=300)
    assert not room.gates.is_wanted(lane_of(3), site_of()), "nobody else makes room for it"
    room.answer(await room.entered())
    room.answer(await room.entered(lane_of(3, Stream.MARKETING, sender_domain="other.example")))
    assert room.gates.still_waits(NEWS, pause)
    room.bounds.guards.clear()
    assert not room.gates.still_waits(NEWS, pause)
    room.answer(await room.entered(NEWS))


async def test_a_campaigns_guards_are_of_its_lanes_alone(make: Make) -> None:
    room, spring = make(), lane_of(4, Stream.MARKETING, campaign="{spring}")
    room.bounds.guards.append(guard(GuardLevel.SLOW, domain="", campaign="{spring}"))
    while isinstance(entry := await room.enter(spring), Entry):
        room.answer(entry)
    assert "marketing mail of campaign {spring} is slowed to 20/min, next in" in entry.reason
    room.bounds.guards.append(guard(GuardLevel.PAUSE, domain="", campaign="{spring}"))
    assert (await room.paused(spring)).reason == "marketing mail of campaign {spring} is paused: Too many complaints."
    for _ in range(50):
        room.answer(await room.entered(NEWS))


async def test_mail_of_a_stopped_domain_waits_and_takes_nothing(make: Make, clock: FakeClock) -> None:
    room = make()
    room.bounds.guards.append(guard(GuardLevel.PAUSE))
    room.bounds.stopped[DOMAIN] = "shop.example is stopped"
    pause = await room.paused(NEWS)
    assert (pause.kind, pause.reason) == (WaitKind.DOMAIN, "shop.example is stopped"), "before its guards"
    assert timedelta(seconds=150) <= pause.until - clock.now() <= timedelta(seconds=300)
    assert (await room.paused()).kind is WaitKind.DOMAIN, "both streams"
    assert room.gates.still_waits(NEWS, pause)
    room.bounds.stopped.clear()
    assert not room.gates.still_waits(NEWS, pause)
    room.answer(await room.entered())


async def test_a_guard_slows_its_stream_besides_the_domains_own_rate(make: Make, clock: FakeClock) -> None:
    room = make()
    room.bounds.guards += [guard(GuardLevel.SLOW), guard(GuardLevel.WARN, stream=Stream.TRANSACTIONAL)]
    room.bounds.per_minute[DOMAIN] = 6000
    sent_count = 0
    for _ in range(120):
        while isinstance(entry := await room.enter(NEWS), Entry):
            room.answer(entry)
            sent_count += 1
        assert entry.kind is WaitKind.GUARD
        clock.advance(0.5)
    assert 15 <= sent_count <= SLOW_PER_MINUTE
    assert f"marketing mail of {DOMAIN} is slowed to 20/min, next in" in entry.reason
    assert entry.reason.endswith(": Too many complaints.")
    for _ in range(50):
        room.answer(await room.entered())
    room.bounds.per_minute[DOMAIN] = 1
    assert (await room.paused()).kind is WaitKind.DOMAIN_RATE


async def test_a_projects_guard_slows_all_its_domains_together(make: Make) -> None:
    room = make()
    room.bounds.guards.append(guard(GuardLevel.SLOW, domain=""))
    taken = 0
    for number in range(40):
        entry = await room.enter(lane_of(number, Stream.MARKETING, sender_domain=f"d{number}.example"))
        if isinstance(entry, Entry):
            room.answer(entry)
            taken += 1
    assert 0 < taken <= 4
    assert isinstance(entry, Pause)
    assert "marketing mail of the project is slowed to 20/min" in entry.reason


async def test_a_hard_rate_waits_in_the_line_then_sends_away(make: Make, clock: FakeClock) -> None:
    room = make(limits={"gmail": {"rates": "6/min"}})
    room.answer(await room.entered())
    pause = await room.paused()
    assert pause.kind is WaitKind.RATE
    assert "6/min" in pause.reason
    assert timedelta(seconds=4) < pause.until - clock.now() < timedelta(seconds=12)


@pytest.mark.slow
async def test_lanes_that_wait_for_a_token_do_not_run_in_circles(make: Make) -> None:
    """A mail that was refused must not wake the next by giving back what it never used."""
    clock = RealClock()
    room = make(clock=clock, limits={"gmail": {"rates": "4/s"}})
    room.answer(await room.entered())
    looks = 0
    reserve = room.connections.reserve

    def counted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return reserve(*given)

    room.connections.reserve = counted  # type: ignore[assignment,method-assign]
    waiting = [asyncio.create_task(room.enter(lane_of(n))) for n in range(5)]
    done, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for one in done:
        assert isinstance(one.result(), Entry)
    assert looks <= 2
    await finish(room, waiting)


# Servers that do not answer.


async def test_after_five_failures_a_source_stays_away_for_longer_each_time(make: Make, clock: FakeClock) -> None:
    room = make()
    for round_s in (60, 120, 240, 480, 900, 900):
        while isinstance(entered := await room.enter(), Entry):
            room.answer(entered, *GONE)
        assert entered.kind is WaitKind.AWAY
        assert "connections in a row from default came to nothing (refused at connect)" in entered.reason
        assert timedelta(seconds=round_s) <= entered.until - clock.now() <= timedelta(seconds=round_s + 2)
        clock.advance(round_s + 0.001)
    room.answer(await room.entered(), AGAIN)  # It spoke to us.
    for _ in range(4):
        room.answer(await room.entered(), *GONE)
    room.answer(await room.entered())
    for _ in range(4):
        room.answer(await room.entered(), *GONE)
    room.answer(await room.entered())


async def test_who_is_away_is_replaced_by_fail_over(make: Make) -> None:
    room = make(**pool(one={}, two={"use": "failover"}))
    for _ in range(5):
        room.answer(await room.entered(), *GONE)
    assert await used(room, 5) == {"two": 5}


# Warm-up.


async def test_a_ceiling_counts_domains_of_no_provider_together(make: Make, clock: FakeClock) -> None:
    room = make()
    room.bounds.ceilings["default", "default"] = Ceiling(clock.now().toordinal(), 3)
    went = 0
    for name in ("a", "b", "c", "d", "e"):
        entered = await room.enter(site=site_of(name))
        if isinstance(entered, Entry):
            room.answer(entered)
            went += 1
        else:
            assert entered.kind is WaitKind.WARMUP
            assert "warm-up:" in entered.reason
        clock.advance(9 * 3600 / 5)
    assert 1 <= went <= 3
    room.answer(await room.entered(site=site_of("gmail")))


async def test_a_simulated_provider_has_its_limits_and_counts_for_nothing_real(make: Make, clock: FakeClock) -> None:
    room = make(limits={"gmail": {"connections": 2}})
    room.bounds.ceilings["default", "gmail"] = Ceiling(clock.now().toordinal(), 1)
    hosts = (Host("mx.simulator.outrider.test", ("127.0.0.1",)),)
    site = Site("gmail.simulator.outrider.test", hosts, provider="gmail", is_simulated=True)
    entries = [await room.entered(site=site) for _ in range(2)]  # Over the ceiling of the real one.
    assert {entry.place.provider for entry in entries} == {"gmail"}
    assert all(entry.place.is_simulated and entry.place.key != "gmail" for entry in entries)
    assert {entry.reservation.bounds.tls for entry in entries} == {None}  # Gmail's would want a certificate that holds.
    assert room.answer(entries[0], PAUSE).reason == "rate.provider"
    room.give(entries[1])
    assert (await room.paused(site=site)).kind is WaitKind.PAUSE
    room.give(await room.entered(site=site_of("gmail")))


# Waiting.


async def test_connections_are_bounded_and_go_by_turns(make: Make) -> None:
    room = make(limits={"gmail": {"connections": 2}})
    held = [await room.entered() for _ in range(2)]
    order: list[str] = []

    async def wait(name: str, stream: Stream, project: int) -> None:
        entry = await room.entered(lane_of(stream=stream, project_id=UUID(int=project)))
        order.append(name)
        room.give(entry, stream)

    async with asyncio.TaskGroup() as group:
        for name, stream, project in (
            ("m1", Stream.MARKETING, 1),
            ("t1", Stream.TRANSACTIONAL, 1),
            ("t2", Stream.TRANSACTIONAL, 1),
            ("t3", Stream.TRANSACTIONAL, 2),
        ):
            group.create_task(wait(name, stream, project))
            await turns()
        room.answer(held.pop())
    assert order == ["t1", "t3", "t2", "m1"]
    room.answer(held.pop())


async def test_transactional_mail_finds_room_in_a_line_full_of_marketing(make: Make) -> None:
    room = make(limits={"gmail": {"connections": 1}})
    held = await room.entered()
    campaign = [asyncio.create_task(room.enter(lane_of(n, Stream.MARKETING))) for n in range(50)]
    await turns()
    assert sum(one.done() for one in campaign) == 18, "32 may wait"
    order = asyncio.create_task(room.enter(lane_of(99)))
    await turns()
    assert not order.done(), "it was sent away"
    room.answer(held)
    entry = await asyncio.wait_for(order, 1)
    assert isinstance(entry, Entry)
    room.answer(entry)
    for one in campaign:
        one.cancel()
    for done in await asyncio.gather(*campaign, return_exceptions=True):
        if isinstance(done, Entry):
            room.give(done, Stream.MARKETING)


@pytest.mark.slow
async def test_patience_ends_with_a_reason(make: Make) -> None:
    room = make(clock=RealClock(), limits={"gmail": {"connections": 1}})
    held = await room.entered()
    pauses = await asyncio.gather(*(room.paused(lane_of(n)) for n in range(3)))
    assert {one.kind for one in pauses} <= {WaitKind.CONNECTIONS, WaitKind.TURN}
    assert pauses[0].reason == "gmail: 1 of 1 connections in use from default"
    room.answer(held)


async def test_who_waits_for_a_place_keeps_no_connection(make: Make) -> None:
    room = make(limits={"gmail": {"connections": 1}})
    places = Places(2, marketing_max=1)
    marketing = lane_of(1, Stream.MARKETING)
    slow = await room.gates.enter(marketing, site_of("slow"), places)
    waiting = asyncio.create_task(room.gates.enter(marketing, site_of(), places))
    await turns()
    entry = await asyncio.wait_for(room.gates.enter(lane_of(2), site_of(), places), 1)
    assert isinstance(entry, Entry), "a campaign that waits for its turn kept the connection"
    room.connections.drop(entry.reservation)
    places.release(Stream.TRANSACTIONAL)
    assert isinstance(slow, Entry)
    room.connections.drop(slow.reservation)
    places.release(Stream.MARKETING)
    last = await asyncio.wait_for(waiting, 1)
    assert isinstance(last, Entry)
    room.connections.drop(last.reservation)
    places.release(Stream.MARKETING)
    assert places.free_count == 2


@pytest.mark.slow
@pytest.mark.parametrize("why", ["pause", "connections"])
async def test_ten_thousand_lanes_do_not_come_back_at_once(make: Make, clock: FakeClock, why: str) -> None:
    room = make(limits={"gmail": {"connections": 1}})
    held = await room.entered()
    waiting: list[asyncio.Task[Entry | Pause]] = []
    if why == "pause":
        room.answer(held, PAUSE)
    else:
        waiting = [asyncio.create_task(room.enter(lane_of(n, Stream.MARKETING))) for n in range(32)]
        await turns()
    until = [(await room.paused(lane_of(n, Stream.MARKETING))).until for n in range(10_000)]
    a_second = Counter(int(at.timestamp()) for at in until)
    assert max(a_second.values()) <= 600
    ahead_s = (max(until) - clock.now()).total_seconds()
    assert ahead_s <= 60.1 + (600 if why == "pause" else 0)
    assert until[:3] == sorted(until[:3])
    await finish_marketing(room, waiting)
    if why == "connections":
        room.answer(held)


async def finish_marketing(room: GateRoom, waiting: list[asyncio.Task[Entry | Pause]]) -> None:
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not any(one.done() and not one.cancelled() for one in waiting)


async def test_whoever_is_cancelled_keeps_nothing(make: Make) -> None:
    room = make(limits={"gmail": {"connections": 2}})
    held = [await room.entered() for _ in range(2)]
    for turn_count in range(6):
        waiting = [asyncio.create_task(room.enter(lane_of(n))) for n in range(4)]
        await turns()
        room.give(held.pop())
        for _ in range(turn_count):
            await asyncio.sleep(0)
        await finish(room, waiting)
        held.append(await room.entered())
    for entry in held:
        room.give(entry)


async def test_a_site_below_its_provider_has_a_bound_of_its_own(make: Make) -> None:
    room = make(limits={"microsoft365": {"connections": 4, "connections_per_site": 2}})
    site, other = site_of("microsoft365", "a"), site_of("microsoft365", "b")
    held = [await room.entered(site=site) for _ in range(2)]
    waiting = asyncio.create_task(room.enter(site=site))
    await turns()
    assert not waiting.done()
    held += [await room.entered(site=other) for _ in range(2)]
    assert {entry.place.key for entry in held} == {"microsoft365"}
    room.answer(held.pop(0))
    entry = await asyncio.wait_for(waiting, 1)
    assert isinstance(entry, Entry)
    for one in (*held, entry):
        room.answer(one)
