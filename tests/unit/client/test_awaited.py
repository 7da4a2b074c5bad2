import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from outrider.client.awaited import AsyncOutrider, AsyncSystemTimer
from outrider.testing.http_peer import HttpPeer, hang
from tests.unit.client.conformance import KEY, MAIL, OK, Hurried, Suite, options_of


class HurriedTimer(Hurried):
    async def sleep(self, delay_s: float) -> None:
        self.pauses.append(delay_s)


class TestAwaited(Suite):
    def get(self, url: str, call: Callable[[Any], Any], **options: Any) -> tuple[Any, list[float]]:
        timer = HurriedTimer()

        async def run() -> Any:
            async with AsyncOutrider(**options_of(url, timer, options)) as outrider:
                made = call(outrider)
                return [await one for one in made] if isinstance(made, list) else await made

        return asyncio.run(run()), timer.pauses

    def go(self, url: str, call: Callable[[Any], Any], count_max: int, **options: Any) -> tuple[list[Any], list[float]]:
        timer = HurriedTimer()

        async def run() -> list[Any]:
            found: list[Any] = []
            async with AsyncOutrider(**options_of(url, timer, options)) as outrider:
                going = call(outrider)
                async for one in going:
                    found.append(one)
                    if len(found) == count_max:
                        break
                await going.aclose()
            return found

        return asyncio.run(run()), timer.pauses


async def test_many_calls_at_once() -> None:
    with HttpPeer([OK]) as peer:
        async with AsyncOutrider(peer.url, KEY) as outrider, asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(outrider.send(MAIL))
    assert len({heard.headers["idempotency-key"] for heard in peer.heard}) == 100


async def test_a_call_can_be_cancelled_and_leaves_nothing_open() -> None:
    with HttpPeer([hang(), OK]) as peer:
        async with AsyncOutrider(peer.url, KEY) as outrider:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await outrider.send(MAIL)
            assert (await outrider.send(MAIL)).accepted_count == 1


async def test_the_real_time_goes_on() -> None:
    timer = AsyncSystemTimer()
    first = timer.monotonic_s()
    await timer.sleep(0.001)
    assert timer.monotonic_s() > first
