"""Previews and tests: filled in with samples, sent to few, as finished text."""

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import Stream
from outrider.mail.guard import TemplateError
from outrider.mail.templating import SourceVariant
from outrider.services.templates.trial import TEST_MARK, with_samples
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from outrider.testing.templateroom import TemplateRoom, source

pytestmark = pytest.mark.newest


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> TemplateRoom:
    return await TemplateRoom(store, clock, mailroom).open()


async def test_a_preview_fills_in_what_is_given_and_samples_for_the_rest(office: TemplateRoom) -> None:
    await office.put(wrote=source("<p>{{ user.name }}, {{ code }}</p>", "Hi {{ user.name }}"))
    shown = await office.trial.preview(office.shop, "Welcome", {"code": "<7>"})
    assert (shown.subject, shown.html) == ("Hi [name]", "<p>[name], &lt;7&gt;</p>")
    assert shown.text is not None
    assert "[name], <7>" in shown.text
    given = await office.trial.preview(office.shop, "Welcome", {"user": {"name": "Ann"}, "code": 1})
    assert given.subject == "Hi Ann"


async def test_a_preview_is_of_the_version_and_language_asked_for(office: TemplateRoom) -> None:
    template_id = (await office.put()).template.template_id
    await office.edit(template_id, "<p>Second</p>")
    assert (await office.trial.preview(office.shop, template_id, {})).html == "<p>Second</p>"
    assert (await office.trial.preview(office.shop, template_id, {}, number=1)).html == "<p>Hi [name]</p>"
    with pytest.raises(NotFoundError) as caught:
        await office.trial.preview(office.shop, template_id, {}, number=2**40)
    assert caught.value.field == "number"
    wrote = source()
    both = (SourceVariant(locale="en", subject="Hi", body="en"), SourceVariant(locale="de", subject="Moin", body="de"))
    shown = await office.trial.preview_source(office.shop, type(wrote)(variants=both), {}, locale="de-AT")
    assert shown.subject == "Moin"


async def test_a_source_is_looked_at_before_it_is_stored(office: TemplateRoom) -> None:
    await office.partials.put(office.shop, "footer", "<p>Bye</p>")
    shown = await office.trial.preview_source(office.shop, source('{% include "footer" %}'), {"name": "Ann"})
    assert (shown.subject, shown.html) == ("Hello Ann", "<p>Bye</p>")
    with pytest.raises(TemplateError) as caught:
        await office.trial.preview_source(office.shop, source("{{ name"), {})
    assert caught.value.field == "body"


async def test_a_test_goes_out_as_finished_text_with_its_mark(office: TemplateRoom) -> None:
    await office.mailroom.sender(office.shop, "news@shop.example")
    await office.put(wrote=source('<a href="{{ unsubscribe_link }}">{{ name }}</a>'))
    await office.trial.test(office.shop, "Welcome", ["a@x.example", "b@x.example"], {"name": "Ann"})
    (submission,) = office.engine.submissions
    assert (submission.sender, submission.stream) == ("news@shop.example", Stream.TRANSACTIONAL)
    assert submission.recipients == ("a@x.example", "b@x.example")
    assert submission.subject == f"{TEST_MARK}Hello Ann"
    assert submission.html == '<a href="%%user_defined_unsubscribe_link%%">Ann</a>'
    assert submission.templated is None
    await office.trial.test(office.shop, "Welcome", ["a@x.example"], {"name": "x" * 194}, sender="me@shop.example")
    assert len(office.engine.submissions[1].subject) <= limits.SUBJECT_CHARS_MAX
    assert office.engine.submissions[1].sender == "me@shop.example"


async def test_a_test_to_nobody_to_many_or_from_nobody_is_refused(office: TemplateRoom) -> None:
    await office.put()
    for recipients, field in (([], "recipients"), (["a@x.example"] * 11, "recipients"), (["a@x.example"], "sender")):
        with pytest.raises(CallerError) as caught:
            await office.trial.test(office.shop, "Welcome", recipients, {})
        assert caught.value.field == field
    assert office.engine.calls == []


def test_samples_fill_the_gaps_within_mappings_too() -> None:
    sample = {"a": "[a]", "user": {"name": "[name]", "age": 1}, "rows": ["[x]"]}
    assert with_samples(sample, {"user": {"name": "Ann"}, "b": 2}) == {
        "a": "[a]",
        "user": {"name": "Ann", "age": 1},
        "rows": ["[x]"],
        "b": 2,
    }
    assert with_samples(sample, {"user": "Ann"})["user"] == "Ann"
    assert with_samples(sample, {})["user"] == sample["user"]
