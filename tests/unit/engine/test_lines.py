"""Who waits, whose turn it is, who is sent away: with an attempt that says what a test wants it to.

With real gates and connections: the tests of `engine.gates`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from random import Random
from uuid import UUID

import pytest

from outrider.base.vocab import Stream, WaitKind
from outrider.engine.lines import Lines
from outrider.policy.throttle import Blocked
from outrider.store.lanes import Pause
from outrider.testing.clock import FakeClock, turns
from outrider.testing.gateroom import lane_of

GATE = ("one", "gmail")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lines(clock: FakeClock) -> Lines:
    return Lines(clock=clock, random=Random(1))


def refused(clock: FakeClock, kind: WaitKind, wait_s: float = 0.0) -> Callable[[], Awaitable[Blocked]]:
    async def attempt() -> Blocked:
        return Blocked(clock.now().timestamp() + wait_s, kind, "", "no")

    return attempt


async def enter(lines: Lines, attempt: Callable[[], Awaitable[str | Blocked]], number: int = 1) -> str | Pause:
    return await lines.enter(lane_of(number), "gmail", attempt, said_of="gmail")


async def test_who_may_go_goes_and_leaves_nothing_behind(lines: Lines) -> None:
    async def attempt() -> str:
        return "leave"

    assert await enter(lines, attempt) == "leave"
    assert len(lines) == 0
    assert not lines.is_wanted(lane_of(2), "gmail")


async def test_a_long_wait_is_spent_away_and_has_its_reason(lines: Lines, clock: FakeClock) -> None:
    pause = await enter(lines, refused(clock, WaitKind.PAUSE, 600))
    assert isinstance(pause, Pause)
    assert (pause.kind, pause.reason) == (WaitKind.PAUSE, "gmail: no")
    assert timedelta(seconds=600) < pause.until - clock.now() < timedelta(seconds=601)
    assert lines.is_wanted(lane_of(2), "gmail"), "its turn is to come"
    assert not lines.is_wanted(lane_of(2), "yahoo")


async def test_a_lane_that_comes_back_soon_does_not_make_room_for_itself(lines: Lines, clock: FakeClock) -> None:
    attempt = refused(clock, WaitKind.PAUSE, 600)
    for _ in range(2):
        await enter(lines, attempt)
        assert not lines.is_wanted(lane_of(1), "gmail")
    await enter(lines, attempt, 2)
    assert lines.is_wanted(lane_of(1), "gmail")
    assert lines.is_wanted(lane_of(2), "gmail"), "the first has its turn before"


async def test_a_free_connection_is_for_the_line_whose_transactional_mail_waits(lines: Lines) -> None:
    is_free = False
    order: list[str] = []

    async def wait(name: str, stream: Stream, pool: str, number: int) -> None:
        async def attempt() -> str | Blocked:
            nonlocal is_free
            if not is_free:
                lines.ask(GATE, (pool, "gmail"))
                return Blocked(0.0, WaitKind.CONNECTIONS, "", "all in use")
            is_free = False
            return name

        lane = lane_of(number, stream, pool=pool, project_id=UUID(int=number))
        found = await lines.enter(lane, "gmail", attempt, said_of="gmail")
        assert isinstance(found, str)
        order.append(found)

    async with asyncio.TaskGroup() as group:
        group.create_task(wait("campaign", Stream.MARKETING, "bulk", 1))
        await turns()
        group.create_task(wait("order", Stream.TRANSACTIONAL, "default", 2))
        await turns()
        assert len(lines) == 2
        for _ in range(2):
            is_free = True
            lines.on_free(*GATE)
            await turns()
    assert order == ["order", "campaign"]


async def test_a_full_line_sends_away_who_comes_then(lines: Lines, clock: FakeClock) -> None:
    waiting = [asyncio.create_task(enter(lines, refused(clock, WaitKind.CONNECTIONS), n)) for n in range(40)]
    await turns()
    assert len(lines) == 32
    (*_, last) = [one.result() for one in waiting if one.done()]
    assert isinstance(last, Pause)
    assert (last.kind, last.reason) == (WaitKind.TURN, "gmail: others are before it")
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(lines) == 0


@pytest.mark.parametrize("kind", [WaitKind.DOMAIN_RATE, WaitKind.GUARD])
async def test_lanes_of_a_slow_domain_come_back_as_far_apart_as_its_tokens(
    lines: Lines, clock: FakeClock, kind: WaitKind
) -> None:
    lane, attempt = lane_of(stream=Stream.MARKETING), refused(clock, kind)
    for _ in range(50):
        lines.note_turn_of_domain(lane, kind)
        clock.advance(1)
    until = []
    for site in ("gmail", "yahoo", "gmail"):  # A domain's mail waits in one row, wherever it goes.
        pause = await lines.enter(lane, site, attempt, said_of=site)
        assert isinstance(pause, Pause)
        until.append(pause.until)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(until)]
    assert gaps == [pytest.approx(1, rel=0.05)] * 2
