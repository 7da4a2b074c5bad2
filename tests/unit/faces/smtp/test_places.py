"""Places for large messages: bounded in all and for one project, nobody before his turn, nothing lost."""

import asyncio
from uuid import UUID

import pytest

from outrider.faces.smtp.places import Places
from outrider.testing.clock import turns

ONE, TWO = UUID(int=1), UUID(int=2)


async def test_one_project_leaves_places_to_others() -> None:
    places = Places(3, of_one_count=2)
    await places.acquire(ONE)
    await places.acquire(ONE)
    third = asyncio.get_running_loop().create_task(places.acquire(ONE))
    await turns()
    assert not third.done()
    await places.acquire(TWO)
    assert places.taken_count == 3
    places.release(ONE)
    await third
    assert places.taken_count == 3


async def test_all_places_are_bounded() -> None:
    places = Places(2, of_one_count=2)
    await places.acquire(ONE)
    await places.acquire(ONE)
    other = asyncio.get_running_loop().create_task(places.acquire(TWO))
    await turns()
    assert not other.done()
    places.release(ONE)
    await other


@pytest.mark.parametrize("project_id", [ONE, TWO])
async def test_who_is_cancelled_holds_nothing(project_id: UUID) -> None:
    places = Places(1, of_one_count=1)
    await places.acquire(ONE)
    waiting = asyncio.get_running_loop().create_task(places.acquire(project_id))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    places.release(ONE)
    for one in (ONE, TWO):
        await places.acquire(one)
        places.release(one)
    assert places.taken_count == 0
