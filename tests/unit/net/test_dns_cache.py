"""Answers kept for their time, asked for once, bounded, and served on while servers fail."""

import asyncio
from collections.abc import Callable

import pytest

from outrider.base import limits
from outrider.net.dns_cache import AnswerCache, Kept
from outrider.testing.clock import FakeClock, turn

GOOD = Kept("good", 60.0, is_good=True)
FAILED = Kept("failed", limits.DNS_FAILURE_TTL_S, is_failure=True)


class Source:
    """Answers with what the test set, and counts."""

    def __init__(self, kept: Kept[str] = GOOD) -> None:
        self.kept = kept
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, name: str) -> Kept[str]:
        self.asked.append(name)
        await self.gate.wait()
        return self.kept


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(clock: FakeClock) -> Callable[..., AnswerCache[str]]:
    return lambda count_max=100: AnswerCache(clock, count_max)


async def test_an_answer_is_asked_for_once_while_it_counts(
    clock: FakeClock, make: Callable[..., AnswerCache[str]]
) -> None:
    cache, source = make(), Source()
    assert [await cache.get("a", source.ask) for _ in range(3)] == ["good"] * 3
    clock.advance(59.9)
    await cache.get("a", source.ask)
    assert len(source.asked) == 1
    clock.advance(0.1)
    await cache.get("a", source.ask)
    assert len(source.asked) == 2


async def test_a_ttl_of_nothing_still_counts_for_seconds(
    clock: FakeClock, make: Callable[..., AnswerCache[str]]
) -> None:
    cache, source = make(), Source(Kept("x", 0.0))
    await cache.get("a", source.ask)
    clock.advance(limits.DNS_TTL_S_MIN - 0.1)
    await cache.get("a", source.ask)
    assert len(source.asked) == 1


async def test_many_who_want_it_at_once_ask_once(make: Callable[..., AnswerCache[str]]) -> None:
    cache, source = make(), Source()
    source.gate.clear()
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(cache.get("a", source.ask)) for _ in range(50)]
        await turn()
        source.gate.set()
    assert {caller.result() for caller in callers} == {"good"}
    assert source.asked == ["a"]


async def test_names_do_not_wait_for_each_other(make: Callable[..., AnswerCache[str]]) -> None:
    cache, slow, quick = make(), Source(), Source()
    slow.gate.clear()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(cache.get("slow", slow.ask))
        await turn()
        assert await cache.get("quick", quick.ask) == "good"
        assert not waiting.done()
        slow.gate.set()


async def test_when_who_asks_is_cancelled_the_next_one_asks(make: Callable[..., AnswerCache[str]]) -> None:
    cache, source = make(), Source()
    source.gate.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(cache.get("a", source.ask))
        second = group.create_task(cache.get("a", source.ask))
        await turn()
        first.cancel()
        await asyncio.wait([first])
        source.gate.set()
        assert await second == "good"
    assert source.asked == ["a", "a"]


async def test_a_bug_in_asking_reaches_the_caller_and_locks_nobody_out(make: Callable[..., AnswerCache[str]]) -> None:
    cache = make()

    async def broken(name: str) -> Kept[str]:
        raise ZeroDivisionError(name)

    with pytest.raises(ZeroDivisionError):
        await cache.get("a", broken)
    assert await cache.get("a", Source().ask) == "good"


async def test_it_never_holds_more_than_its_bound_and_drops_the_least_used(
    make: Callable[..., AnswerCache[str]],
) -> None:
    cache, source = make(3), Source()
    for name in ("a", "b", "c", "a", "d"):
        await cache.get(name, source.ask)
    assert len(cache) == 3
    source.asked.clear()
    for name in ("a", "c", "d", "b"):
        await cache.get(name, source.ask)
    assert source.asked == ["b"]


async def test_a_good_answer_serves_on_while_asking_fails(
    clock: FakeClock, make: Callable[..., AnswerCache[str]]
) -> None:
    cache, source = make(), Source()
    await cache.get("a", source.ask)
    source.kept = FAILED
    clock.advance(61)
    assert await cache.get("a", source.ask) == "good"
    await cache.get("a", source.ask)
    assert len(source.asked) == 2  # Not again at once.
    clock.advance(limits.DNS_STALE_TTL_S)
    assert await cache.get("a", source.ask) == "good"
    assert len(source.asked) == 3
    clock.advance(limits.DNS_STALE_S_MAX)
    assert await cache.get("a", source.ask) == "failed"


async def test_a_stale_answer_gives_way_to_a_new_one(clock: FakeClock, make: Callable[..., AnswerCache[str]]) -> None:
    cache, source = make(), Source()
    await cache.get("a", source.ask)
    clock.advance(61)
    source.kept = FAILED
    await cache.get("a", source.ask)
    source.kept = Kept("none", 60.0)
    clock.advance(limits.DNS_STALE_TTL_S)
    assert await cache.get("a", source.ask) == "none"


async def test_a_no_does_not_serve_past_its_time(clock: FakeClock, make: Callable[..., AnswerCache[str]]) -> None:
    cache, source = make(), Source(Kept("no", 60.0))
    await cache.get("a", source.ask)
    source.kept = FAILED
    clock.advance(61)
    assert await cache.get("a", source.ask) == "failed"


async def test_the_wall_clock_does_not_matter(clock: FakeClock, make: Callable[..., AnswerCache[str]]) -> None:
    cache, source = make(), Source()
    await cache.get("a", source.ask)
    clock.step_wall(-86400)
    clock.step_wall(2 * 86400)
    await cache.get("a", source.ask)
    assert len(source.asked) == 1
