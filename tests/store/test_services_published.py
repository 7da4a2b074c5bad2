"""What is sent of a template: from memory, and never more than a moment old."""

import pytest

from outrider.base.errors import CallerError, NotFoundError, StoreCorruptError
from outrider.base.vocab import Stream
from outrider.mail.render import Renderer
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from outrider.testing.templateroom import TemplateRoom, source

pytestmark = pytest.mark.newest


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> TemplateRoom:
    return await TemplateRoom(store, clock, mailroom).open()


async def test_it_is_found_by_id_and_by_name_with_what_is_sent(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    found = await office.published.find(office.shop, template_id)
    assert (found.template_id, found.number, found.stream) == (template_id, 1, Stream.TRANSACTIONAL)
    assert Renderer(found.template).render({"name": "Ann"}).subject == "Hello Ann"
    assert (await office.published.find(office.shop, "Welcome")).template is found.template  # One for all calls.


async def test_what_was_changed_counts_within_a_second_and_before_costs_no_query(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    assert await office.sent() == 1
    await office.edit(template_id, "<p>New {{ name }}</p>", is_published=True)
    await office.published.find(office.shop, "Welcome")
    assert await office.sent() == 2
    await office.published.find(office.shop, "Welcome")
    await office.templates.disable(office.shop, template_id)
    assert (await office.published.find(office.shop, "Welcome")).number == 2  # For a moment more.
    assert "is disabled" in str(await office.sent())


async def test_none_is_refused_for_what_was_so_a_moment_ago(office: TemplateRoom) -> None:
    with pytest.raises(NotFoundError):
        await office.published.find(office.shop, "Welcome")
    await office.templates.create(office.shop, "Welcome", Stream.MARKETING, source(), is_published=False)
    with pytest.raises(CallerError, match="has no published version"):
        await office.published.find(office.shop, "Welcome")
    await office.templates.publish(office.shop, "Welcome")
    assert (await office.published.find(office.shop, "Welcome")).number == 1


@pytest.mark.parametrize("name", ["nothing", "", "\x00", "\ud800", "x" * 500])
async def test_what_is_not_there_is_not_found(office: TemplateRoom, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        await office.published.find(office.shop, name)
    assert caught.value.field == "template"
    assert "\x00" not in caught.value.public
    caught.value.public.encode()


async def test_one_that_may_not_be_sent_says_why(office: TemplateRoom) -> None:
    await office.put(is_published=False)
    with pytest.raises(CallerError) as caught:
        await office.published.find(office.shop, "Welcome")
    assert (caught.value.field, caught.value.code) == ("template", "bad_request")


async def test_a_content_that_cannot_be_read_is_ours_to_mend(office: TemplateRoom) -> None:
    await office.put()
    async with office.store.transaction() as tx:
        await tx.execute("UPDATE template_version SET content = 'x'")
    with pytest.raises(StoreCorruptError):
        await office.published.find(office.shop, "Welcome")
