"""Topics: kept by name within a project, read in the order in which readers see them."""

from typing import Any

from outrider.store import topics
from outrider.store.pool import Store
from outrider.store.topics import Topic
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


def topic(clock: FakeClock, name: str, **changes: Any) -> Topic:
    values: dict[str, Any] = {"name": name, "title": name.title(), "created_at": clock.now()}
    return Topic(**values | changes)


async def test_they_are_read_as_readers_see_them(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project(), await mailroom.project("other")
    made = [topic(clock, "b", position=1), topic(clock, "a", position=1), topic(clock, "c", description="Each May.")]
    async with store.transaction() as tx:
        for one in made:
            assert await topics.insert(tx, shop, one)
        assert await topics.all_of(tx, shop) == [made[2], made[1], made[0]]
        assert await topics.all_of(tx, other) == []
        assert await topics.by_name(tx, shop, "c") == made[2]
        assert await topics.by_name(tx, other, "c") is None


async def test_one_of_a_name_stays_until_it_is_changed_or_removed(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    shop, other = await mailroom.project(), await mailroom.project("other")
    async with store.transaction() as tx:
        for project_id in (shop, other):
            assert await topics.insert(tx, project_id, topic(clock, "a"))
        assert not await topics.insert(tx, shop, topic(clock, "a", title="Second"))
        await topics.update(tx, shop, topic(clock, "a", title="Third", description="x", position=7))
        assert await topics.all_of(tx, shop) == [topic(clock, "a", title="Third", description="x", position=7)]
        assert await topics.remove(tx, shop, "a")
        assert not await topics.remove(tx, shop, "a")
        assert await topics.all_of(tx, other) == [topic(clock, "a")]
