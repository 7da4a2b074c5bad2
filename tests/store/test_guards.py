"""The rows of guards: changed only by whoever sees them as they are."""

from datetime import timedelta

import msgspec

from outrider.base.vocab import Stream
from outrider.policy.guard import GuardLevel
from outrider.store import guards
from outrider.store.guards import Guard
from outrider.store.pool import Store
from outrider.testing.clock import EPOCH
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT

PAUSED = Guard(PROJECT, "a.example", Stream.MARKETING, GuardLevel.PAUSE, "Too much.", EPOCH)
WARNED = Guard(OTHER_PROJECT, "", Stream.TRANSACTIONAL, GuardLevel.WARN, "A little.", EPOCH)


async def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    released = msgspec.structs.replace(
        PAUSED,
        stream=Stream.TRANSACTIONAL,
        level=GuardLevel.OK,
        released_at=EPOCH,
        excused_sent=3,
        excused_invalid=2,
        excused_complained=1,
    )
    async with store.transaction() as tx:
        assert [await guards.begin(tx, one) for one in (PAUSED, WARNED, released)] == [True, True, True]
        assert await guards.read_all(tx) == [released, PAUSED, WARNED]
        assert await guards.in_force(tx) == [PAUSED]
        assert await guards.of_subject(tx, PROJECT, "a.example") == [released, PAUSED]
        assert await guards.of_subject(tx, PROJECT, "") == []


async def test_who_was_slower_changes_nothing(store: Store) -> None:
    slowed = msgspec.structs.replace(PAUSED, level=GuardLevel.SLOW, since=EPOCH + timedelta(hours=1))
    async with store.transaction() as tx:
        assert await guards.begin(tx, PAUSED)
        assert not await guards.begin(tx, slowed)
        assert await guards.move(tx, PAUSED, slowed)
        assert not await guards.move(tx, PAUSED, msgspec.structs.replace(PAUSED, level=GuardLevel.OK))
        assert not await guards.end(tx, PAUSED)
        assert await guards.read_all(tx) == [slowed]
        assert await guards.end(tx, slowed)
        assert await guards.read_all(tx) == []


async def test_a_campaigns_row_is_apart_from_its_projects(store: Store) -> None:
    project = Guard(PROJECT, "", Stream.MARKETING, GuardLevel.PAUSE, "Too much.", EPOCH)
    spring = msgspec.structs.replace(project, campaign="spring", level=GuardLevel.SLOW)
    async with store.transaction() as tx:
        assert [await guards.begin(tx, one) for one in (project, spring)] == [True, True]
        assert await guards.of_subject(tx, PROJECT, "", "spring") == [spring]
        assert await guards.of_subject(tx, PROJECT, "") == [project]
        assert await guards.move(tx, spring, msgspec.structs.replace(spring, level=GuardLevel.OK, excused_sent=5))
        assert not await guards.end(tx, spring)
        assert [(one.level, one.excused_sent) for one in await guards.read_all(tx)] == [("pause", 0), ("ok", 5)]
        assert await guards.end(tx, project)
        assert [one.whose for one in await guards.read_all(tx)] == ["campaign spring"]
