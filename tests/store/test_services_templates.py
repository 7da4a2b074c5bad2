"""Templates through their life: written, published, approved or not, switched off, deleted, and whose they are."""

import re

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import Stream, TemplateState, VersionState
from outrider.mail.guard import TemplateError
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax
from outrider.services.templates import templates as module
from outrider.services.templates.templates import TemplateChoice, TemplateDetails
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from outrider.testing.templateroom import TemplateRoom, source
from tests.store.racing import held_up

pytestmark = pytest.mark.newest


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> TemplateRoom:
    return await TemplateRoom(store, clock, mailroom).open()


async def numbers(office: TemplateRoom, template_id: str) -> dict[int, str]:
    found = await office.templates.list_versions(office.shop, template_id)
    return {one.number: one.state.value for one in found}


async def subject_beside_draft(office: TemplateRoom, subject: str) -> TemplateDetails:
    def edit(before: Source) -> Source:
        return source(before.variants[0].body, subject)

    return await office.templates.change(office.shop, "Welcome", edit, is_published=True, beside_draft=True)


async def test_a_new_template_is_a_draft_that_is_not_sent(office: TemplateRoom) -> None:
    made = await office.put(is_published=False)
    assert re.fullmatch(r"UET[0-9]{8}[0-9A-Z]{6}", made.template.template_id)
    assert made.template.template_id[3:11] == f"{office.clock.now():%y%m%d%H}"
    assert (made.template.state, made.template.published_number) == (TemplateState.DRAFT, None)
    assert (made.version.number, made.version.state, made.version.subject) == (
        1,
        VersionState.DRAFT,
        "Hello {{ name }}",
    )
    assert list(made.version.variables) == ["name"]
    assert made.source == source()
    assert await office.templates.show(office.shop, "Welcome") == made
    assert await office.templates.show(office.shop, made.template.template_id) == made
    assert await office.sent() == f"The template {made.template.template_id} has no published version."


async def test_what_is_published_is_sent_until_the_next_is(office: TemplateRoom) -> None:
    made = await office.put()
    template_id = made.template.template_id
    assert (made.template.state, made.version.state) == (TemplateState.APPROVED, VersionState.PUBLISHED)
    assert await office.sent() == 1
    draft = await office.edit(template_id, "<p>Second {{ name }}</p>")
    assert (draft.version.number, draft.version.state, draft.template.head_number) == (2, VersionState.DRAFT, 2)
    assert await office.sent() == 1
    for _ in range(2):  # Safe twice.
        published = await office.templates.publish(office.shop, template_id)
        assert (published.version.number, published.version.state) == (2, VersionState.PUBLISHED)
    assert await office.sent() == 2
    assert await numbers(office, template_id) == {2: "published", 1: "replaced"}
    back = await office.templates.publish(office.shop, template_id, 1)
    assert (back.template.published_number, back.template.head_number) == (1, 2)
    assert await office.sent() == 1
    assert await numbers(office, template_id) == {2: "replaced", 1: "published"}


async def test_a_change_beside_a_draft_goes_on_from_what_is_sent_and_leaves_the_draft(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    await office.edit(template_id, "<p>A draft</p>")
    assert (await office.templates.handed_in(office.shop, template_id)).source == source()
    changed = await subject_beside_draft(office, "New")
    assert (changed.version.number, changed.version.state) == (3, VersionState.PUBLISHED)
    assert changed.source == source(subject="New")
    assert await office.templates.handed_in(office.shop, template_id) == changed
    assert await office.sent() == 3
    draft = await office.templates.show(office.shop, template_id)
    assert (draft.version.number, draft.source) == (2, source("<p>A draft</p>"))


async def test_a_change_beside_a_draft_goes_on_from_the_draft_where_nothing_was_published(
    office: TemplateRoom,
) -> None:
    await office.put(is_published=False)
    changed = await subject_beside_draft(office, "New")
    assert (changed.source, changed.template.head_number) == (source(subject="New"), 2)
    assert await office.sent() == 2


async def test_a_change_beside_a_draft_goes_on_from_what_was_handed_in_or_rejected(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    await office.edit(template_id, "<p>2</p>", is_published=True)
    await office.edit(template_id, "<p>A draft</p>")
    assert (await subject_beside_draft(office, "4")).source == source("<p>2</p>", "4")
    assert await numbers(office, template_id) == {4: "pending", 3: "draft", 2: "draft", 1: "published"}
    await office.templates.reject(office.shop, template_id, "No")
    assert (await subject_beside_draft(office, "5")).source == source(subject="5")
    await office.edit(template_id, "<p>6</p>", is_published=True)
    await office.templates.reject(office.shop, template_id, "No")
    assert (await subject_beside_draft(office, "7")).source == source("<p>6</p>", "7")


async def test_an_old_version_becomes_the_newest_draft(office: TemplateRoom) -> None:
    made = await office.put()
    await office.edit(made.template.template_id, "<p>Second</p>", is_published=True)
    restored = await office.templates.restore(office.shop, "Welcome", 1)
    assert (restored.version.number, restored.source) == (3, source())
    assert restored.template.published_number == 2
    with pytest.raises(NotFoundError) as caught:
        await office.templates.restore(office.shop, "Welcome", 9)
    assert caught.value.field == "number"


async def test_a_name_and_a_stream_change_without_a_version(office: TemplateRoom) -> None:
    made = await office.put()
    changed = await office.templates.change(office.shop, "Welcome", name="Hello", stream=Stream.MARKETING)
    assert (changed.template.name, changed.template.stream, changed.version.number) == ("Hello", Stream.MARKETING, 1)
    office.clock.advance(1.0)
    assert (await office.published.find(office.shop, "Hello")).stream is Stream.MARKETING
    assert "no template 'Welcome'" in str(await office.sent())
    await office.put("Other")
    with pytest.raises(ConflictError) as caught:
        await office.templates.change(office.shop, made.template.template_id, name="Other")
    assert caught.value.field == "name"
    with pytest.raises(ConflictError) as caught:
        await office.put("Other")
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\x00b", "half\ud800", "x" * 101])
async def test_a_name_that_is_none_is_refused(office: TemplateRoom, name: str) -> None:
    with pytest.raises(CallerError) as caught:
        await office.put(name)
    assert caught.value.field == "name"
    await office.put()
    with pytest.raises(CallerError) as caught:
        await office.templates.change(office.shop, "Welcome", name=name)
    assert caught.value.field == "name"
    with pytest.raises(NotFoundError):
        await office.templates.show(office.shop, name)


async def test_a_source_that_is_wrong_is_refused_by_the_part_at_fault(office: TemplateRoom) -> None:
    made = await office.put()
    for wrong, field in (
        (source("<p>{{ name </p>"), "body"),
        (source(subject="{% if x %}"), "subject"),
        (source('{% include "footer" %}'), "body"),
        (source("a\x00b"), "body"),
        (source(subject="half\ud800"), "subject"),
        (source(document="\x00"), "document"),
        (source(defaults={"a": "\x00"}), "defaults"),
        (source(document="x" * (limits.TEMPLATE_DOCUMENT_CHARS_MAX + 1)), "document"),
        (msgspec.structs.replace(source(), variants=()), "variants"),
    ):
        with pytest.raises(CallerError) as caught:
            await office.put("New", wrong)
        assert caught.value.field == field, wrong
        with pytest.raises(CallerError):
            await office.templates.change(office.shop, "Welcome", lambda _, wrong=wrong: wrong)  # type: ignore[misc]
    assert await office.templates.show(office.shop, "Welcome") == made
    assert issubclass(TemplateError, CallerError)


async def test_of_two_who_edit_at_once_one_is_told(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id

    async def edit(word: str) -> str:
        try:
            await office.edit(template_id, f"<p>{word}</p>")
        except ConflictError as error:
            return error.public.partition(" ")[0]
        return word

    found = await held_up(office.store, "template_version", [edit("one"), edit("two")])
    assert "Somebody" in found
    assert len(await numbers(office, template_id)) == 2


async def test_where_somebody_must_approve_what_was_approved_is_sent_meanwhile(office: TemplateRoom) -> None:
    assert not await office.templates.needs_approval(office.shop)
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    assert await office.templates.needs_approval(office.shop)
    assert not await office.templates.needs_approval(office.other)
    made = await office.put()
    template_id = made.template.template_id
    assert (made.template.state, made.version.state) == (TemplateState.PENDING, VersionState.PENDING)
    assert await office.sent() == f"The template {template_id} waits for approval."
    assert (await office.templates.review(office.shop, template_id)).template.state is TemplateState.REVIEWING
    assert await office.sent() == f"The template {template_id} is being reviewed."
    approved = await office.templates.approve(office.shop, template_id)
    assert (approved.template.state, approved.version.state) == (TemplateState.APPROVED, VersionState.PUBLISHED)
    assert await office.sent() == 1

    second = await office.edit(template_id, "<p>2</p>", is_published=True)
    assert (second.template.state, second.version.state) == (TemplateState.APPROVED, VersionState.PENDING)
    third = await office.edit(template_id, "<p>3</p>", is_published=True)
    assert third.version.state is VersionState.PENDING
    assert await numbers(office, template_id) == {3: "pending", 2: "draft", 1: "published"}
    rejected = await office.templates.reject(office.shop, template_id, "Too loud.")
    assert (rejected.template.state, rejected.template.state_reason) == (TemplateState.APPROVED, "Too loud.")
    assert rejected.version.state is VersionState.REJECTED
    assert await office.sent() == 1
    with pytest.raises(ConflictError, match=r"was rejected: Too loud; change it\."):
        await office.templates.publish(office.shop, template_id)
    with pytest.raises(ConflictError) as caught:
        await office.templates.change(office.shop, template_id, stream=Stream.MARKETING)
    assert caught.value.field == "stream"
    for work in (office.templates.approve, office.templates.review):
        with pytest.raises(ConflictError):
            await work(office.shop, template_id)


async def test_a_first_version_that_is_rejected_is_not_sent(office: TemplateRoom) -> None:
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    template_id = (await office.put()).template.template_id
    for reason in ("", " ", "a\nb", "x" * 501):
        with pytest.raises(CallerError) as caught:
            await office.templates.reject(office.shop, template_id, reason)
        assert caught.value.field == "reason"
    rejected = await office.templates.reject(office.shop, template_id, "Phishing")
    assert rejected.template.state is TemplateState.REJECTED
    assert await office.sent() == f"The template {template_id} was rejected: Phishing."
    again = await office.edit(template_id, "<p>Better</p>", is_published=True)
    assert (again.template.state, again.template.state_reason) == (TemplateState.PENDING, "")


async def test_what_its_owner_disables_its_owner_enables(office: TemplateRoom) -> None:
    made = await office.put()
    template_id = made.template.template_id
    for _ in range(2):  # Safe twice.
        off = await office.templates.disable(office.shop, template_id, reason="A mistake")
        assert off.template.state is TemplateState.DISABLED
    assert await office.sent() == f"The template {template_id} is disabled: A mistake."
    with pytest.raises(ConflictError, match="enable it first"):
        await office.templates.publish(office.shop, template_id)
    for _ in range(2):
        on = await office.templates.enable(office.shop, template_id)
        assert (on.template.state, on.template.state_reason) == (TemplateState.APPROVED, "")
    assert await office.sent() == 1


async def test_what_an_operator_disables_only_an_operator_enables(office: TemplateRoom) -> None:
    made = await office.put(is_published=False)
    template_id = made.template.template_id
    await office.templates.disable(office.shop, template_id, reason="Spam", by_operator=True)
    with pytest.raises(ForbiddenError, match="An operator has disabled it: Spam"):
        await office.templates.enable(office.shop, template_id)
    await office.templates.disable(office.shop, template_id)  # Its owner's word changes nothing.
    with pytest.raises(ForbiddenError):
        await office.templates.enable(office.shop, template_id)
    on = await office.templates.enable(office.shop, template_id, by_operator=True)
    assert (on.template.state, on.template.is_blocked) == (TemplateState.DRAFT, False)


async def test_a_disabled_template_goes_back_to_where_it_was(office: TemplateRoom) -> None:
    await office.templates.set_needs_approval(office.shop, is_needed=True)
    waiting = (await office.put("Waiting")).template.template_id
    refused = (await office.put("Refused")).template.template_id
    await office.templates.reject(office.shop, refused, "No")
    for template_id, state in ((waiting, TemplateState.PENDING), (refused, TemplateState.REJECTED)):
        await office.templates.disable(office.shop, template_id)
        assert (await office.templates.enable(office.shop, template_id)).template.state is state


async def test_a_deleted_template_is_gone_within_a_second_and_its_name_is_free(office: TemplateRoom) -> None:
    made = await office.put()
    assert await office.sent() == 1
    await office.templates.remove(office.shop, "Welcome")
    assert "There is no template 'Welcome'" in str(await office.sent())
    with pytest.raises(NotFoundError):
        await office.templates.remove(office.shop, made.template.template_id)
    await office.put()


async def test_the_templates_of_another_project_are_not_there(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    office.clock.advance(1.0)
    services, other = office.templates, office.other
    for work in (
        services.show(other, template_id),
        services.version(other, template_id, 1),
        services.list_versions(other, template_id),
        services.change(other, template_id, name="Mine"),
        services.publish(other, template_id),
        services.restore(other, template_id, 1),
        services.review(other, template_id),
        services.approve(other, template_id),
        services.reject(other, template_id, "x"),
        services.disable(other, template_id),
        services.enable(other, template_id),
        services.remove(other, template_id),
        office.trial.preview(other, template_id, {}),
        office.trial.test(other, template_id, ["a@x.example"], {}),
        office.published.find(other, template_id),
    ):
        with pytest.raises(NotFoundError):
            await work
    assert await services.page(other, TemplateChoice()) == []
    assert await office.sent() == 1


async def test_pages_show_what_is_chosen(office: TemplateRoom) -> None:
    first, second = await office.put("First"), await office.put("Second", is_published=False)
    found = await office.templates.page(office.shop, TemplateChoice(is_by_update=True))
    assert [one.template for one in found] == [second.template, first.template]
    assert (found[0].subject, list(found[0].variables)) == ("Hello {{ name }}", ["name"])
    assert await office.templates.total(office.shop, TemplateChoice(states=[TemplateState.DRAFT])) == 1
    for wrong in (TemplateChoice(name="\x00"), TemplateChoice(subject="\ud800"), TemplateChoice(template_ids=["\x00"])):
        with pytest.raises(CallerError):
            await office.templates.page(office.shop, wrong)


async def test_a_project_has_so_many_templates(office: TemplateRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TEMPLATES_COUNT_MAX", 1)
    await office.put()
    with pytest.raises(CallerError, match="at most 1 templates"):
        await office.put("Second")


async def test_an_id_that_is_taken_is_drawn_again(office: TemplateRoom) -> None:
    drawn = [7, 7, 8]
    office.templates._random_bits = lambda _: drawn.pop(0)  # type: ignore[method-assign, misc]
    first, second = await office.put("First"), await office.put("Second")
    assert first.template.template_id != second.template.template_id
    drawn[:] = [7] * module._ID_TRIES
    with pytest.raises(ConflictError, match="No id was free"):
        await office.put("Third")


async def test_mjml_braces_and_languages_are_kept_as_written(office: TemplateRoom) -> None:
    wrote = source(markup=Markup.MJML, body="<mjml><mj-body></mj-body></mjml>", editor="2", document="{}")
    assert (await office.put("Mjml", wrote)).source == wrote
    both = msgspec.structs.replace(
        source("<p>{name} {{x}}</p>", "Hi {name}", syntax=Syntax.BRACES),
        variants=(
            SourceVariant(locale="en", subject="Hi {name}", body="<p>{name}</p>"),
            SourceVariant(locale="de", subject="Moin {name}", body="<p>{stadt}</p>"),
        ),
    )
    made = await office.put("Both", both)
    assert (made.source, list(made.version.variables)) == (both, ["name", "stadt"])
