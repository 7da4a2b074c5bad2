"""Partials: put, used, taken over anew; never removed from under a template."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ConflictError, NotFoundError, TemplateError
from outrider.base.vocab import TemplateState
from outrider.services.templates.partials import Republished
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from outrider.testing.templateroom import TemplateRoom, source

pytestmark = pytest.mark.newest

FOOTED = source('<p>Hi {{ name }}</p>{% include "footer" %}')


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> TemplateRoom:
    made = await TemplateRoom(store, clock, mailroom).open()
    await made.partials.put(made.shop, "footer", "<p>Old {{ street }}</p>")
    return made


async def html(office: TemplateRoom, name: str = "Welcome") -> str:
    rendered = await office.trial.preview(office.shop, name, {"name": "Ann", "street": "Hill"})
    assert rendered.html is not None
    return rendered.html


async def test_a_template_holds_a_copy_until_it_is_published_again(office: TemplateRoom) -> None:
    made = await office.put(wrote=FOOTED)
    assert (list(made.version.partials), list(made.version.variables)) == (["footer"], ["name", "street"])
    assert "Old Hill" in await html(office)
    await office.partials.put(office.shop, "footer", "<p>New {{ street }}</p>")
    assert "Old Hill" in await html(office)
    assert await office.partials.republish(office.shop, "footer") == [
        Republished(made.template.template_id, "Welcome", 2)
    ]
    assert "New Hill" in await html(office)
    assert await office.sent() == 2
    assert (await office.templates.show(office.shop, "Welcome")).source == FOOTED


@pytest.mark.parametrize("was_published", [False, True])
async def test_the_newest_version_takes_the_partials_of_today_when_it_is_published(
    office: TemplateRoom, was_published: bool
) -> None:
    await office.put(wrote=FOOTED, is_published=was_published)
    await office.partials.put(office.shop, "footer", "<p>New {{ street }}</p>")
    for _ in range(2):  # Safe twice.
        published = await office.templates.publish(office.shop, "Welcome")
        assert (published.version.number, published.template.head_number, published.source) == (2, 2, FOOTED)
        assert await office.sent() == 2
    assert "New Hill" in await html(office)
    await office.templates.publish(office.shop, "Welcome", 1)
    assert await office.sent() == 1, "an old one as it was"


async def test_what_does_not_go_together_with_a_partial_is_not_published(office: TemplateRoom) -> None:
    await office.put(wrote=FOOTED, is_published=False)
    await office.partials.put(office.shop, "footer", "{% if x %}")
    with pytest.raises(TemplateError) as caught:
        await office.templates.publish(office.shop, "Welcome")
    assert caught.value.field == "partials.footer"


async def test_a_new_footer_makes_nothing_of_what_was_rejected(office: TemplateRoom) -> None:
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    await office.put(wrote=FOOTED)
    await office.templates.reject(office.shop, "Welcome", "No")
    await office.partials.put(office.shop, "footer", "<p>New</p>")
    with pytest.raises(ConflictError, match="was rejected"):
        await office.templates.publish(office.shop, "Welcome")


async def test_what_waits_for_approval_is_not_displaced(office: TemplateRoom) -> None:
    template_id = (await office.put(wrote=FOOTED)).template.template_id
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    await office.edit(template_id, "<p>2</p>", is_published=True)
    why = "Version 2 waits for approval; republish when that is decided."
    assert await office.partials.republish(office.shop, "footer") == [Republished(template_id, "Welcome", None, why)]
    await office.templates.reject(office.shop, template_id, "No")
    assert await office.partials.republish(office.shop, "footer") == [Republished(template_id, "Welcome", 3)]


async def test_what_is_being_edited_stays_what_is_edited(office: TemplateRoom) -> None:
    template_id = (await office.put(wrote=FOOTED)).template.template_id
    await office.edit(template_id, "<p>A draft</p>")
    await office.partials.republish(office.shop, "footer")
    shown = await office.templates.show(office.shop, template_id)
    assert (shown.version.number, shown.template.published_number) == (2, 3)
    assert shown.source == source("<p>A draft</p>")
    assert (await office.edit(template_id, "<p>More</p>")).version.number == 4


async def test_where_somebody_must_approve_a_new_footer_must_be_too(office: TemplateRoom) -> None:
    await office.put(wrote=FOOTED)
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    await office.partials.republish(office.shop, "footer")
    shown = await office.templates.show(office.shop, "Welcome")
    assert (shown.template.state, shown.template.published_number) == (TemplateState.APPROVED, 1)
    assert (await office.templates.approve(office.shop, "Welcome")).template.published_number == 2


async def test_only_what_is_published_is_published_again_and_a_failure_harms_no_other(office: TemplateRoom) -> None:
    await office.put("Draft", FOOTED, is_published=False)
    await office.put("Off", FOOTED)
    await office.templates.disable(office.shop, "Off")
    ids = [(await office.put(name, FOOTED)).template.template_id for name in ("One", "Two")]
    await office.partials.put(office.shop, "footer", "{% if x %}")
    found = await office.partials.republish(office.shop, "footer")
    assert sorted(one.template_id for one in found) == sorted(ids)
    assert all(one.number is None and one.why for one in found)
    assert await office.sent("One") == 1


async def test_a_partial_in_use_is_not_removed(office: TemplateRoom) -> None:
    template_id = (await office.put(wrote=FOOTED)).template.template_id
    assert [one.name for one in await office.partials.users(office.shop, "footer")] == ["Welcome"]
    with pytest.raises(ConflictError, match="used by Welcome"):
        await office.partials.remove(office.shop, "footer")
    await office.templates.remove(office.shop, template_id)
    await office.partials.remove(office.shop, "footer")
    with pytest.raises(NotFoundError):
        await office.partials.show(office.shop, "footer")
    with pytest.raises(NotFoundError):
        await office.partials.remove(office.shop, "footer")


async def test_partials_are_listed_by_name_and_anothers_are_not_there(office: TemplateRoom) -> None:
    await office.partials.put(office.shop, "head", "Hi")
    assert [one.name for one in await office.partials.list(office.shop)] == ["footer", "head"]
    assert [one.name for one in await office.partials.list(office.shop, after="footer")] == ["head"]
    assert await office.partials.list(office.other) == []
    for work in (
        office.partials.show(office.other, "footer"),
        office.partials.remove(office.other, "footer"),
        office.partials.republish(office.other, "footer"),
    ):
        with pytest.raises(NotFoundError):
            await work
    assert (await office.partials.show(office.shop, "footer")).source == "<p>Old {{ street }}</p>"


async def test_what_is_no_partial_is_refused_by_the_field(
    office: TemplateRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text, field in (
        ("a b", "x", "name"),
        ("", "x", "name"),
        ("a", "\x00", "source"),
        ("a", "\ud800", "source"),
        ("a", "é" * (limits.PARTIAL_BYTES_MAX // 2 + 1), "source"),
    ):
        with pytest.raises(CallerError) as caught:
            await office.partials.put(office.shop, name, text)
        assert caught.value.field == field
    with pytest.raises(CallerError):
        await office.partials.list(office.shop, after="\x00")
    monkeypatch.setattr(limits, "PARTIALS_STORED_COUNT_MAX", 1)
    with pytest.raises(CallerError, match="at most 1 partials"):
        await office.partials.put(office.shop, "second", "x")
    await office.partials.put(office.shop, "footer", "x")
