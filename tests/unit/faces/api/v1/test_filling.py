"""/v1/emails with a template: what the engine gets, whose variables count, what is refused."""

from typing import Any

import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Accepted, Personal, Submission, Templated
from outrider.mail.render import literal
from outrider.testing.engine import SESSION_ID
from outrider.testing.templates import templated
from tests.unit.faces.conftest import PROJECT_ID, ApiFace

STORED: dict[str, Any] = {"from": "noreply@shop.example", "to": "ann@a.example", "template": "welcome"}
INLINE: dict[str, Any] = {
    "from": "noreply@shop.example",
    "to": ["ann@a.example", "Bob <Bob@B.example>"],
    "subject": "Hi {{ name }}",
    "html": "<p>{{ code }}</p>",
}


@pytest.fixture(autouse=True)
def known(face: ApiFace) -> None:
    face.published.known[PROJECT_ID, "welcome"] = templated()


async def handed(face: ApiFace, given: dict[str, Any]) -> Submission:
    heard = await face.call("POST", "/emails", given)
    assert heard.status == 202, heard.text
    return face.engine.submissions[-1]


async def test_a_stored_template_needs_no_subject_and_no_text(face: ApiFace) -> None:
    made = await handed(face, STORED)
    assert (made.templated, made.personal, made.subject) == (templated(), (), "")
    made = await handed(face, STORED | {"subject": "Mine", "preheader": "First", "variables": {"name": "Ann"}})
    assert (made.subject, made.personal) == ("Mine", (Personal({"name": "Ann"}),))
    assert made.templated is not None
    assert made.templated.preheader == "First"


async def test_the_stream_is_the_templates_unless_the_call_says_one(face: ApiFace) -> None:
    given = templated()
    face.published.known[PROJECT_ID, "news"] = Templated(template=given.template, stream=Stream.MARKETING)
    assert (await handed(face, STORED | {"template": "news"})).stream is Stream.MARKETING
    assert (await handed(face, STORED | {"template": "news", "stream": "transactional"})).stream is Stream.TRANSACTIONAL
    assert (await handed(face, STORED)).stream is Stream.TRANSACTIONAL


async def test_a_recipients_own_variables_go_over_those_of_all_and_nobody_sees_the_others(face: ApiFace) -> None:
    own = {"BOB@b.example": {"name": "Bob"}, "ann@a.example": {}}
    made = await handed(
        face,
        INLINE
        | {"variables": {"name": "you", "code": 7}, "recipient_variables": own, "locale": "de"}
        | {"recipient_locales": {"ann@a.example": "fr"}},
    )
    assert made.personal == (
        Personal({"name": "you", "code": 7}, "fr"),
        Personal({"name": "Bob", "code": 7}, "de"),
    )
    assert (made.shown_to, made.recipients) == ((), ("ann@a.example", "Bob@b.example"))


async def test_a_call_may_be_its_own_template(face: ApiFace) -> None:
    made = await handed(face, INLINE | {"variables": {"name": "Ann", "code": 7}})
    assert face.published.inline == [("Hi {{ name }}", "<p>{{ code }}</p>", None)]
    assert made.templated == Templated(template=literal("Hi {{ name }}", "<p>{{ code }}</p>", None))
    assert (made.subject, made.html, made.text) == ("", None, None)
    assert len(made.shown_to) == 2, "with the same variables for all, all may see all"


async def test_braces_without_variables_are_text(face: ApiFace) -> None:
    made = await handed(face, INLINE)
    assert (made.templated, made.subject, face.published.inline) == (None, "Hi {{ name }}", [])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template": "other"}, "template"),
        ({"recipient_variables": {"eve@e.example": {}}}, "recipient_variables"),
        ({"recipient_locales": {"eve@e.example": "de"}}, "recipient_locales"),
        ({"recipient_variables": {"ann@a.example": {"n": 1}, "Ann@A.example": {"n": 2}}}, "recipient_variables"),
        ({"recipient_locales": {"ann@a.example": "de", "ANN@a.example": "fr"}}, "recipient_locales"),
        ({"template": "", "variables": {"a": 1}}, "variables"),
        ({"template": "", "subject": "x", "text": "x", "locale": "de"}, "locale"),
        ({"template": "", "subject": "x", "html": "<p>x</p>", "preheader": "X"}, "preheader"),
        ({"variables": {"a": 1}, "cc": "bob@b.example", "recipient_variables": {"ann@a.example": {}}}, "separate"),
    ],
)
async def test_what_cannot_be_filled_in_is_refused(face: ApiFace, changes: dict[str, Any], field: str) -> None:
    heard = await face.call("POST", "/emails", STORED | changes)
    assert heard.status in (400, 404, 422), heard.text
    assert heard.json["field"] == field
    assert face.engine.calls == []


async def test_the_same_said_twice_of_one_mailbox_is_said_once(face: ApiFace) -> None:
    made = await handed(face, STORED | {"recipient_variables": {"ann@a.example": {"n": 1}, "ANN@a.example": {"n": 1}}})
    assert made.personal[0].variables == {"n": 1}


async def test_html_that_is_no_template_is_the_htmls_fault(face: ApiFace) -> None:
    face.published.error = CallerError("Line 1: what is {{ for?", field="body")
    heard = await face.call("POST", "/emails", INLINE | {"variables": {"a": 1}})
    assert heard.json["field"] == "html"


async def test_in_a_batch_each_has_its_own_template(face: ApiFace) -> None:
    heard = await face.call("POST", "/emails/batch", {"emails": [STORED, STORED | {"template": "other"}]})
    assert [("id" in one, "error" in one) for one in heard.json["results"]] == [(True, False), (False, True)]


async def test_a_repeat_is_answered_though_its_template_is_gone(face: ApiFace) -> None:
    face.engine.first = Accepted(SESSION_ID, 1)
    heard = await face.call("POST", "/emails", STORED | {"template": "gone"}, headers={"idempotency-key": "k"})
    assert (heard.status, heard.json["id"]) == (202, str(SESSION_ID))
    assert face.engine.calls == []
