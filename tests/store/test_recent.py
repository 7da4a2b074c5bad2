"""Reads that may be a moment old: fresh for a while, asked once by many, never older than promised."""

import asyncio

from outrider.base.errors import StoreUnavailableError
from outrider.store.recent import Recent
from outrider.testing.clock import FakeClock, turns


class Source:
    def __init__(self) -> None:
        self.value, self.asked_count = "a", 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: str) -> str:
        self.asked_count += 1
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return self.value + key


async def test_a_value_is_asked_for_once_while_it_is_fresh() -> None:
    source, clock = Source(), FakeClock()
    recent = Recent(source, clock=clock, fresh_s=0.5)
    assert await recent.get("k") == "ak"
    source.value = "b"
    clock.advance(0.4)
    assert await recent.get("k") == "ak"
    clock.advance(0.2)
    assert await recent.get("k") == "bk"
    assert source.asked_count == 2


async def test_many_askers_share_one_question() -> None:
    source = Source()
    recent = Recent(source, clock=FakeClock(), fresh_s=0.5)
    assert set(await asyncio.gather(*(recent.get("k") for _ in range(20)))) == {"ak"}
    assert source.asked_count == 1


async def test_a_failure_reaches_every_asker_and_is_not_remembered() -> None:
    source = Source()
    source.failure = StoreUnavailableError("The database is not available.")
    recent = Recent(source, clock=FakeClock(), fresh_s=0.5)
    results = await asyncio.gather(*(recent.get("k") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailableError) for result in results)
    source.failure = None
    assert await recent.get("k") == "ak"


async def test_what_is_forgotten_is_asked_for_anew_and_nothing_else_is() -> None:
    source = Source()
    recent = Recent(source, clock=FakeClock(), fresh_s=0.5)
    for key in "kl":
        await recent.get(key)
    source.value = "b"
    recent.forget("k")
    recent.forget("never asked for")
    assert [await recent.get(key) for key in "kl"] == ["bk", "al"]


async def test_it_is_bounded() -> None:
    source = Source()
    recent = Recent(source, clock=FakeClock(), fresh_s=60, count_max=3)
    for key in "abcdefgh":
        await recent.get(key)
    assert len(recent._known) <= 3


async def test_when_the_asker_dies_another_asks() -> None:
    source = Source()
    source.gate.clear()
    recent = Recent(source, clock=FakeClock(), fresh_s=0.5)
    asker, *others = (asyncio.ensure_future(recent.get("k")) for _ in range(4))
    await turns()
    asker.cancel()
    source.gate.set()
    assert await asyncio.gather(*others) == ["ak"] * 3
    assert asker.cancelled()
    assert source.asked_count == 2


async def test_a_waiter_that_dies_harms_nobody() -> None:
    source = Source()
    source.gate.clear()
    recent = Recent(source, clock=FakeClock(), fresh_s=0.5)
    asker, waiter, other = (asyncio.ensure_future(recent.get("k")) for _ in range(3))
    await turns()
    waiter.cancel()
    source.gate.set()
    assert await asyncio.gather(asker, other) == ["ak", "ak"]
    assert source.asked_count == 1
