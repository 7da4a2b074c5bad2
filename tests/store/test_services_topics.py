"""Topics by their owner: added, changed, ordered, bounded; and what is no topic."""

from typing import Any

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.services.topics import Topics
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest


async def test_one_is_added_behind_the_others_changed_and_removed(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    shop, service = await mailroom.project(), Topics(store, clock=clock)
    await service.add(shop, "weekly", title="The weekly letter")
    made = await service.add(shop, "offers", title="Offers", description="When there are any.")
    assert [one.name for one in await service.list(shop)] == ["weekly", "offers"]
    changed = await service.change(shop, "offers", position=0)
    assert (changed.title, changed.description, changed.position) == (made.title, made.description, 0)
    assert [one.name for one in await service.list(shop)] == ["offers", "weekly"]
    assert (await service.change(shop, "offers", title="Deals", description="")).description == ""
    assert (await service.show(shop, "offers")).title == "Deals"
    await service.remove(shop, "offers")
    with pytest.raises(NotFoundError):
        await service.show(shop, "offers")


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("", {}, "name"),
        (" weekly", {}, "name"),
        ("a\x00", {}, "name"),
        ("x" * (limits.LIST_NAME_CHARS_MAX + 1), {}, "name"),
        ("a", {"title": ""}, "title"),
        ("a", {"title": "x" * (limits.TOPIC_TITLE_CHARS_MAX + 1)}, "title"),
        ("a", {"title": "one\ntwo"}, "title"),
        ("a", {"description": "x" * (limits.TOPIC_DESCRIPTION_CHARS_MAX + 1)}, "description"),
        ("a", {"position": -1}, "position"),
        ("a", {"position": 2**31}, "position"),
    ],
)
async def test_what_is_no_topic_is_refused(
    store: Store, clock: FakeClock, mailroom: Mailroom, name: str, changes: dict[str, Any], field: str
) -> None:
    shop, service = await mailroom.project(), Topics(store, clock=clock)
    with pytest.raises(CallerError) as caught:
        await service.add(shop, name, **{"title": "A", **changes})
    assert caught.value.field == field
    assert await service.list(shop) == []


async def test_a_name_is_taken_once_and_there_are_so_many(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, service = await mailroom.project(), Topics(store, clock=clock)
    for number in range(limits.TOPICS_STORED_COUNT_MAX):
        await service.add(shop, f"list {number}", title="A")
    with pytest.raises(ConflictError):
        await service.add(shop, "list 7", title="B")
    with pytest.raises(CallerError, match="at most 50"):
        await service.add(shop, "more", title="B")
    for name in ("none", "a\x00", "\udcff"):
        for work in (service.show, service.remove, service.change):
            with pytest.raises(NotFoundError):
                await work(shop, name)
