"""Templates in the store: rows, versions, pages, partials; another project's are not there."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import Stream, TemplateState, VersionState
from outrider.store import templates
from outrider.store.pool import Store
from outrider.store.templates import Partial, StoredTemplate, StoredVersion, TemplateChoice, VersionFacts
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

FIRST, SECOND = "UET26051109AAAAAA", "UET26051110BBBBBB"


class Shelf:
    """Templates of two projects."""

    def __init__(self, store: Store, clock: FakeClock, shop: UUID, other: UUID) -> None:
        self.store, self.clock, self.shop, self.other = store, clock, shop, other

    async def put(self, template_id: str = FIRST, name: str = "Welcome", **fields: Any) -> StoredTemplate:
        now = self.clock.now()
        made = StoredTemplate(
            template_id=template_id,
            project_id=self.shop,
            name=name,
            stream=Stream.TRANSACTIONAL,
            state=TemplateState.DRAFT,
            head_number=1,
            created_at=now,
            updated_at=now,
        )
        made = msgspec.structs.replace(made, **fields)
        async with self.store.transaction() as tx:
            await templates.insert(tx, made)
            await templates.update(tx, made)
        return made

    async def write(self, template: StoredTemplate, number: int, *, kept: int = 100, **facts: Any) -> StoredVersion:
        fields = {"state": VersionState.DRAFT, "subject": f"Subject {number}", "created_at": self.clock.now()}
        made = StoredVersion(
            facts=VersionFacts(number=number, **fields | facts),
            source=b"source",
            content=b"content %d" % number,
            sample=b"\x80",
        )
        async with self.store.transaction() as tx:
            await templates.insert_version(tx, template.project_id, template.template_id, made, kept_count_max=kept)
        return made

    async def page(self, project_id: UUID | None = None, **choice: Any) -> list[str]:
        wanted = TemplateChoice(**choice)
        async with self.store.transaction() as tx:
            found = await templates.page(tx, project_id or self.shop, wanted)
            total = await templates.total(tx, project_id or self.shop, wanted)
        assert total == len(found) or "count_max" in choice or "offset" in choice
        return [one.template.template_id for one in found]


@pytest.fixture
async def shelf(store: Store, clock: FakeClock, mailroom: Mailroom) -> Shelf:
    return Shelf(store, clock, await mailroom.project("shop"), await mailroom.project("other"))


async def test_a_template_is_found_by_its_id_before_its_name(shelf: Shelf) -> None:
    first = await shelf.put()
    second = await shelf.put(SECOND, name=FIRST)
    async with shelf.store.transaction() as tx:
        assert await templates.find(tx, shelf.shop, FIRST) == first
        assert await templates.find(tx, shelf.shop, "Welcome") == first
        assert await templates.find(tx, shelf.shop, SECOND) == second
        assert await templates.find(tx, shelf.shop, "welcome") is None
        assert await templates.find(tx, shelf.other, FIRST) is None
        assert await templates.lock(tx, shelf.shop, FIRST) == first
        assert await templates.lock(tx, shelf.other, FIRST) is None
        assert await templates.count(tx, shelf.shop) == 2
        assert await templates.count(tx, shelf.other) == 0


async def test_what_may_change_of_a_template_is_written(shelf: Shelf) -> None:
    made = await shelf.put()
    changed = msgspec.structs.replace(
        made,
        name="Hello",
        stream=Stream.MARKETING,
        state=TemplateState.DISABLED,
        state_reason="spam",
        is_blocked=True,
        published_number=4,
        head_number=5,
        updated_at=made.updated_at + timedelta(seconds=1),
    )
    async with shelf.store.transaction() as tx:
        await templates.update(tx, msgspec.structs.replace(changed, project_id=shelf.other))
        assert await templates.find(tx, shelf.shop, FIRST) == made
        await templates.update(tx, changed)
        assert await templates.find(tx, shelf.shop, FIRST) == changed


async def test_a_name_is_taken_once_in_a_project_and_an_id_once(shelf: Shelf) -> None:
    await shelf.put()
    with pytest.raises(ConflictError) as caught:
        await shelf.put(SECOND)
    assert caught.value.detail["constraint"] == "template_name"
    with pytest.raises(ConflictError) as caught:
        await shelf.put(project_id=shelf.other)
    assert caught.value.detail["constraint"] == "template_pkey"
    await shelf.put(SECOND, project_id=shelf.other)


async def test_a_deleted_template_is_not_there_and_its_name_is_free(shelf: Shelf) -> None:
    made = await shelf.put()
    await shelf.write(made, 1)
    async with shelf.store.transaction() as tx:
        assert not await templates.remove(tx, shelf.other, FIRST, now=shelf.clock.now())
        assert await templates.remove(tx, shelf.shop, FIRST, now=shelf.clock.now())
        assert not await templates.remove(tx, shelf.shop, FIRST, now=shelf.clock.now())
        assert await templates.find(tx, shelf.shop, "Welcome") is None
        assert await templates.lock(tx, shelf.shop, FIRST) is None
    assert await shelf.page() == []
    await shelf.put(SECOND)


async def test_a_page_has_those_that_are_chosen(shelf: Shelf) -> None:
    first = await shelf.put(state=TemplateState.APPROVED, published_number=1, head_number=2)
    await shelf.write(first, 1, subject="Hello", variables=["name"])
    await shelf.write(first, 2, subject="A draft")
    shelf.clock.advance(5)
    second = await shelf.put(SECOND, name="News 100%", stream=Stream.MARKETING)
    await shelf.write(second, 1, subject="All the news")
    assert await shelf.page() == [SECOND, FIRST]
    assert await shelf.page(is_by_update=True) == [SECOND, FIRST]
    assert await shelf.page(before=SECOND) == [FIRST]
    assert await shelf.page(count_max=1) == [SECOND]
    assert await shelf.page(count_max=1, offset=1) == [FIRST]
    assert await shelf.page(name="NEWS") == [SECOND]
    assert await shelf.page(name="0%") == [SECOND]
    assert await shelf.page(name="_") == []
    assert await shelf.page(subject="hell") == [FIRST]
    assert await shelf.page(subject="draft") == []
    assert await shelf.page(stream=Stream.MARKETING) == [SECOND]
    assert await shelf.page(states=[TemplateState.APPROVED]) == [FIRST]
    assert await shelf.page(states=[]) == []
    assert await shelf.page(template_ids=[FIRST, "UET"]) == [FIRST]
    assert await shelf.page(shelf.other) == []
    async with shelf.store.transaction() as tx:
        await templates.update(tx, msgspec.structs.replace(first, updated_at=shelf.clock.now() + timedelta(seconds=9)))
        (shown, _) = await templates.page(tx, shelf.shop, TemplateChoice(is_by_update=True))
    assert (shown.template.template_id, shown.subject, shown.variables) == (FIRST, "Hello", ["name"])


async def test_versions_are_read_moved_and_let_go_of(shelf: Shelf) -> None:
    template = await shelf.put(published_number=1, head_number=6)
    made = await shelf.write(template, 1, variables=["a", "b.c"], partials=["footer"])
    now = shelf.clock.now()
    async with shelf.store.transaction() as tx:
        assert await templates.version(tx, shelf.shop, FIRST, 1) == made
        assert await templates.version(tx, shelf.other, FIRST, 1) is None
        assert await templates.version_facts(tx, shelf.shop, FIRST, 2) is None
        assert await templates.pending(tx, shelf.shop, FIRST) is None
        await templates.set_version_state(tx, shelf.shop, FIRST, 1, VersionState.PUBLISHED, published_at=now)
        facts = await templates.version_facts(tx, shelf.shop, FIRST, 1)
        assert facts is not None
        assert (facts.state, facts.published_at) == (VersionState.PUBLISHED, now)
    for number in (2, 3, 4, 5, 6):
        state = VersionState.PENDING if number == 3 else VersionState.DRAFT
        await shelf.write(template, number, state=state, kept=2)
    async with shelf.store.transaction() as tx:
        assert await templates.last_number(tx, shelf.shop, FIRST) == 6
        assert await templates.last_number(tx, shelf.shop, SECOND) == 0
        kept = await templates.versions(tx, shelf.shop, FIRST, below=100, count_max=10)
        assert [one.number for one in kept] == [6, 5, 3, 1]  # What is sent and what waits is never let go of.
        page = await templates.versions(tx, shelf.shop, FIRST, below=5, count_max=1)
        assert [one.number for one in page] == [3]
        assert await templates.versions(tx, shelf.other, FIRST, below=100, count_max=10) == []
        waiting = await templates.pending(tx, shelf.shop, FIRST)
        assert waiting is not None
        assert waiting.number == 3
        await templates.move(tx, shelf.shop, FIRST, source=VersionState.PENDING, target=VersionState.DRAFT)
        assert await templates.pending(tx, shelf.shop, FIRST) is None


async def test_partials_are_the_projects_own(shelf: Shelf) -> None:
    now = shelf.clock.now()
    async with shelf.store.transaction() as tx:
        for name, source in (("footer", "Bye"), ("head", "Hi"), ("footer", "Bye now")):
            await templates.put_partial(tx, shelf.shop, Partial(name, source, now))
        assert await templates.partial(tx, shelf.shop, "footer") == Partial("footer", "Bye now", now)
        assert await templates.partial(tx, shelf.other, "footer") is None
        assert [one.name for one in await templates.partials(tx, shelf.shop)] == ["footer", "head"]
        assert [one.name for one in await templates.partials(tx, shelf.shop, after="footer", count_max=5)] == ["head"]
        assert await templates.partials(tx, shelf.shop, count_max=0) == []
        assert await templates.other_partials_count(tx, shelf.shop, "footer") == 1
        assert await templates.other_partials_count(tx, shelf.shop, "new") == 2
        assert not await templates.remove_partial(tx, shelf.other, "footer")
        assert await templates.remove_partial(tx, shelf.shop, "footer")
        assert not await templates.remove_partial(tx, shelf.shop, "footer")


async def test_who_uses_a_partial_is_told_by_what_is_sent_waits_or_is_edited(shelf: Shelf) -> None:
    first = await shelf.put(head_number=3)
    await shelf.write(first, 1, partials=["old"])
    await shelf.write(first, 2, partials=["footer"], state=VersionState.PUBLISHED)
    await shelf.write(first, 3, partials=["head"])
    async with shelf.store.transaction() as tx:
        for name, users in (("footer", [FIRST]), ("head", [FIRST]), ("old", []), ("foot", [])):
            found = await templates.users_of_partial(tx, shelf.shop, name)
            assert [one.template_id for one in found] == users, name
        assert await templates.users_of_partial(tx, shelf.other, "footer") == []
