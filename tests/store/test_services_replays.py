"""First answers of calls with many parts: kept once, given to everybody, told apart by their request."""

import asyncio
from datetime import timedelta

import pytest

from outrider.base import limits
from outrider.base.errors import ConflictError
from outrider.engine import upkeep
from outrider.services.replays import Replays, part_key
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

HASH, OTHER_HASH = b"1" * 32, b"2" * 32


async def test_the_first_answer_is_everybodys(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    replays, project_id, other_id = Replays(store, clock=clock), await mailroom.project(), await mailroom.project("b")
    assert await replays.begin(project_id, "once", HASH) is None
    assert await replays.begin(project_id, "once", HASH) is None, "nobody has an answer yet"
    assert await replays.finish(project_id, "once", b"first") == b"first"
    assert await replays.finish(project_id, "once", b"second") == b"first"
    assert await replays.begin(project_id, "once", HASH) == b"first"
    assert await replays.begin(other_id, "once", OTHER_HASH) is None
    for given in (OTHER_HASH, b""):
        with pytest.raises(ConflictError) as caught:
            await replays.begin(project_id, "once", given)
        assert caught.value.field == "idempotency_key"


async def test_of_many_at_once_one_answer_counts(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    replays, project_id = Replays(store, clock=clock), await mailroom.project()
    await asyncio.gather(*(replays.begin(project_id, "once", HASH) for _ in range(8)))
    answers = await asyncio.gather(*(replays.finish(project_id, "once", b"%d" % n) for n in range(8)))
    assert len(set(answers)) == 1


async def test_a_key_is_forgotten_after_a_day(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    replays, project_id = Replays(store, clock=clock), await mailroom.project()
    await replays.begin(project_id, "once", HASH)
    await replays.finish(project_id, "once", b"first")
    clock.advance(limits.IDEMPOTENCY_KEY_LIFE_S - 1)
    assert not await upkeep.sweep_idempotency(store, clock)
    assert await replays.begin(project_id, "once", HASH) == b"first"
    clock.advance(timedelta(seconds=2).total_seconds())
    assert not await upkeep.sweep_idempotency(store, clock)
    assert await replays.begin(project_id, "once", OTHER_HASH) is None
    await replays.begin(project_id, "young", HASH)
    assert await replays.finish(project_id, "gone", b"late") == b"late", "whoever forgot it, the answer goes out"


def test_the_keys_of_parts_differ_and_are_no_callers() -> None:
    keys = {part_key(key, position) for key in ("a", "b", "ä") for position in range(3)}
    assert len(keys) == 9
    assert all(" " in key and len(key) <= limits.IDEMPOTENCY_KEY_CHARS_MAX for key in keys)
