"""uSpeedo's template calls: what they take, what they store, what they answer, and what is wrong with what."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from outrider.base.errors import CallerError, ConflictError, MissingFieldError, StoreUnavailableError
from outrider.base.vocab import KeyScope, Stream, TemplateState, VersionState
from outrider.faces.api.dialects import uspeedo_action
from outrider.faces.api.dialects.uspeedo_template_store import (
    Made,
    read_change,
    read_id,
    read_new,
    read_query,
    row,
    whole,
)
from outrider.mail.guard import TemplateError
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax
from outrider.services.templates.templates import (
    ListedTemplate,
    StoredTemplate,
    TemplateChoice,
    TemplateDetails,
    VersionFacts,
)
from outrider.testing.engine import TEMPLATE_ID
from tests.unit.faces.conftest import KEY_ID, PROJECT_ID, ApiFace, assert_envelope, assert_fault

FIT: dict[str, Any] = {
    "Name": "Welcome",
    "Subject": "Hi {name}",
    "Abstract": "First steps",
    "TriggerType": 1,
    "Editor": 1,
    "HtmlContent": "<h1>Hi {name}</h1><p>Your code is {code}</p>",
}
NOON = datetime(2026, 5, 11, 12, tzinfo=UTC)
JINJA = Source(
    markup=Markup.MJML,
    variants=(
        SourceVariant(locale="en", subject="Hi", body="<mjml>", text="own"),
        SourceVariant(locale="de", subject="Moin", body="<mjml>"),
    ),
)


def fields(**changes: object) -> Any:
    """Return the call's fields as its JSON is read; ... leaves one out."""
    given = {name: value for name, value in {**FIT, **changes}.items() if value is not ...}
    return uspeedo_action.fields(msgspec.json.encode(given))


# What they say.


def test_a_new_template_is_html_with_braces() -> None:
    made = read_new(fields(Name=" Welcome "))
    variant = SourceVariant(subject="Hi {name}", preheader="First steps", body=FIT["HtmlContent"])
    source = Source(markup=Markup.HTML, syntax=Syntax.BRACES, variants=(variant,), editor="1")
    assert made == Made("Welcome", Stream.TRANSACTIONAL, source)


def test_what_is_optional_may_be_left_out_null_or_unused() -> None:
    for absent in (..., None):
        made = read_new(fields(Abstract=absent, Editor=absent, JsonContent=absent, InTask=absent, TriggerType=2))
        assert (made.source.editor, made.source.variants[0].preheader, made.stream) == ("1", "", Stream.MARKETING)
    dropped = read_new(fields(Editor=2, JsonContent='{"root": {}}', MaterialMD5=["a"], VariableAttr="x", InTask=False))
    assert (dropped.source.editor, dropped.source.document) == ("2", '{"root": {}}')


@pytest.mark.parametrize("name", ["Name", "Subject", "TriggerType", "HtmlContent"])
def test_what_is_required_is_missed_by_name(name: str) -> None:
    for absent in (..., None):
        with pytest.raises(MissingFieldError) as caught:
            read_new(fields(**{name: absent}))
        assert caught.value.field == name
    with pytest.raises(MissingFieldError) as caught:
        read_new(fields(Editor=2))
    assert caught.value.field == "JsonContent"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Name", [1, " ", [], {}, "a\x00b"]),
        ("Subject", [True, "", ["x"]]),
        ("Abstract", [1, {}, "\x00"]),
        ("TriggerType", [0, 3, "x", 1.5, True, [1], -1, 10**30]),
        ("Editor", [0, 3, "two", 1.0, {}]),
        ("HtmlContent", [5, "\n", ["x"]]),
        ("JsonContent", [5, {"root": 1}]),
        ("MaterialMD5", ["x", [1], {"a": 1}, 5]),
        ("VariableAttr", [5, ["x"]]),
        ("InTask", ["false", 0, []]),
    ],
)
def test_what_is_wrong_is_named(name: str, values: list[object]) -> None:
    for value in values:
        for read in (read_new, lambda given: read_change({**given, "TemplateId": TEMPLATE_ID})):
            with pytest.raises(CallerError) as caught:
                read(fields(**{name: value}))
            assert caught.value.field == name, value


def test_a_change_leaves_what_it_does_not_name() -> None:
    change = read_change({"TemplateId": TEMPLATE_ID, "Subject": "New"})
    assert change.edit is not None
    edited = change.edit(JINJA)
    assert (edited.variants[0].subject, edited.variants[0].text, edited.markup) == ("New", "own", Markup.MJML)
    assert edited.variants[1] == JINJA.variants[1]
    assert (change.name, change.stream) == (None, None)
    named = read_change({"TemplateId": TEMPLATE_ID, "Name": "New", "TriggerType": 2})
    assert (named.name, named.stream, named.edit) == ("New", Stream.MARKETING, None)


def test_new_html_is_theirs_again() -> None:
    change = read_change({"TemplateId": TEMPLATE_ID, "HtmlContent": "<p>{1}", "Editor": 2, "JsonContent": "{}"})
    assert change.edit is not None
    edited = change.edit(JINJA)
    assert (edited.markup, edited.syntax, edited.editor, edited.document) == (Markup.HTML, Syntax.BRACES, "2", "{}")
    assert (edited.variants[0].body, edited.variants[0].text) == ("<p>{1}", None)


def test_an_id_is_a_text() -> None:
    assert read_id({"TemplateId": f" {TEMPLATE_ID} "}) == TEMPLATE_ID
    for absent in ({}, {"TemplateId": None}):
        with pytest.raises(MissingFieldError):
            read_id(absent)
    for wrong in (5, " ", True):
        with pytest.raises(CallerError) as caught:
            read_id({"TemplateId": wrong})
        assert caught.value.field == "TemplateId"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {}),
        ({"Page": "2", "NumPerPage": "10"}, {"offset": 20, "count_max": 10}),
        ({"Page": "", "NumPerPage": None, "Status": "", "TemplateId": ""}, {}),
        ({"Status": "0"}, {"states": [TemplateState.DRAFT, TemplateState.PENDING]}),
        ({"Status": 2}, {"states": [TemplateState.APPROVED]}),
        ({"TriggerType": "2"}, {"stream": Stream.MARKETING}),
        ({"Name": " wel ", "Subject": "hi"}, {"name": "wel", "subject": "hi"}),
        ({"TemplateId": "UET1, UET2"}, {"template_ids": ["UET1", "UET2"]}),
        ({"TemplateId": msgspec.Raw(b'["UET1"]')}, {"template_ids": ["UET1"]}),
        ({"TemplateId": msgspec.Raw(b"[]")}, {}),
    ],
)
def test_a_query_chooses(given: dict[str, object], wanted: dict[str, object]) -> None:
    assert read_query(given) == TemplateChoice(**{"is_by_update": True, **wanted})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Page", "-1"),
        ("NumPerPage", 0),
        ("NumPerPage", "201"),
        ("Status", 5),
        ("TriggerType", "x"),
        ("Name", 5),
        ("Name", "x" * 101),
        ("Subject", "\x00"),
        ("TemplateId", 7),
        ("TemplateId", msgspec.Raw(b"[1]")),
        ("TemplateId", msgspec.Raw(b'{"a": 1}')),
        ("TemplateId", ",".join(["x"] * 101)),
        ("TemplateId", "x" * 101),
    ],
)
def test_a_wrong_query_is_named(name: str, value: object) -> None:
    with pytest.raises(CallerError) as caught:
        read_query({name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("state", "status"),
    [("draft", 0), ("pending", 0), ("reviewing", 1), ("approved", 2), ("rejected", 3), ("disabled", 4)],
)
def test_a_template_is_shown_in_their_words(state: str, status: int) -> None:
    template = StoredTemplate(
        template_id=TEMPLATE_ID,
        project_id=PROJECT_ID,
        name="Welcome",
        stream=Stream.MARKETING,
        state=TemplateState(state),
        state_reason="too loud",
        head_number=2,
        created_at=NOON,
        updated_at=NOON,
    )
    shown = msgspec.to_builtins(row(ListedTemplate(template, "Hi", ["a", "b"])))
    noon = int(NOON.timestamp())
    assert shown == {
        "TemplateId": TEMPLATE_ID,
        "Name": "Welcome",
        "Subject": "Hi",
        "TriggerType": 2,
        "TagCount": 2,
        "Status": status,
        "ErrDesc": "too loud",
        "CreateTime": noon,
        "UpdateTime": noon,
    }
    facts = VersionFacts(number=2, state=VersionState.DRAFT, subject="Hi", variables=["a"], created_at=NOON)
    details = msgspec.to_builtins(whole(TemplateDetails(template, facts, JINJA)))
    assert details == shown | {
        "TagCount": 1,
        "Abstract": "",
        "Editor": 1,
        "HtmlContent": "<mjml>",
        "JsonContent": "",
        "Variables": ["a"],
    }


# Over HTTP, in both generations.


async def test_a_template_lives_its_life_by_rest(face: ApiFace) -> None:
    made = await face.rest("POST", "EmailTemplate", FIT)
    assert_envelope(made)
    assert made.json == {
        "RetCode": 0,
        "Message": "success",
        "RequestUuid": made.headers["x-speedo-request-uuid"],
        "TemplateId": TEMPLATE_ID,
        "Status": 2,
    }
    listed = (await face.rest("GET", "EmailTemplate?Name=wel&Status=2&NumPerPage=5")).json
    assert (listed["Action"], listed["Total"]) == ("QueryEmailTemplateResponse", 1)
    assert [one["TemplateId"] for one in listed["Data"]] == [TEMPLATE_ID]
    assert face.templates.choices[0].states == [TemplateState.APPROVED]
    put = await face.rest("PUT", f"EmailTemplate/{TEMPLATE_ID}", {"Subject": "New {name}", "TemplateId": "another"})
    assert (put.json["RetCode"], put.json["TemplateId"]) == (0, TEMPLATE_ID)
    shown = (await face.rest("GET", f"EmailTemplate/{TEMPLATE_ID}")).json["Data"]
    assert (shown["Subject"], shown["HtmlContent"]) == ("New {name}", FIT["HtmlContent"])
    assert face.templates.published == [True, True]
    gone = await face.rest("DELETE", f"EmailTemplate/{TEMPLATE_ID}")
    assert (gone.json["RetCode"], gone.json["Message"]) == (0, "success")
    for method in ("GET", "PUT", "DELETE"):
        heard = await face.rest(method, f"EmailTemplate/{TEMPLATE_ID}", {} if method == "PUT" else b"")
        assert_fault(heard, 215396, "NotFound parameter [TemplateId]")


async def test_a_template_lives_its_life_by_action(face: ApiFace) -> None:
    made = (await face.act({**FIT, "Action": "CreateEmailTemplate", "AccountId": 10001})).json
    assert (made["Action"], made["RetCode"], made["Message"]) == ("CreateEmailTemplateResponse", 0, "")
    named = {"TemplateId": made["TemplateId"]}
    listed = (await face.act({"Action": "QueryEmailTemplate", "TemplateId": [made["TemplateId"]]})).json
    assert (listed["Total"], listed["Data"][0]["Status"]) == (1, 2)
    assert face.templates.choices[0].template_ids == [TEMPLATE_ID]
    assert (await face.act({**named, "Action": "UpdateEmailTemplate", "Name": "Hello"})).json["RetCode"] == 0
    shown = (await face.act({**named, "Action": "GetEmailTemplate"})).json["Data"]
    assert (shown["Name"], shown["Variables"]) == ("Hello", [])
    gone = (await face.act({**named, "Action": "DeleteEmailTemplate"})).json
    assert (gone["RetCode"], gone["Action"]) == (0, "DeleteEmailTemplateResponse")
    for action in ("GetEmailTemplate", "UpdateEmailTemplate", "DeleteEmailTemplate"):
        heard = await face.act({**named, "Action": action})
        assert_fault(heard, 215396, "NotFound parameter [TemplateId]")
        assert heard.json["Action"] == f"{action}Response"
        assert_fault(await face.act({"Action": action}), 215397, "Missing parameter [TemplateId]")
    assert_fault(await face.act({"Action": "CreateEmailTemplate"}), 215397, "Missing parameter [Name]")


@pytest.mark.parametrize(
    ("field", "shown"),
    [("body", "HtmlContent"), ("subject", "Subject"), ("preheader", "Abstract"), ("name", "Name")],
)
async def test_what_the_services_refuse_is_named_as_they_know_it(face: ApiFace, field: str, shown: str) -> None:
    for error in (TemplateError("It is wrong.", field=field), ConflictError("It is taken.", field=field)):
        face.templates.error = error
        heard = await face.rest("POST", "EmailTemplate", FIT)
        assert_fault(heard, 215392, f"Invalid parameter [{shown}]")
        assert heard.json["Detail"] == error.public


async def test_a_database_that_is_away_is_told(face: ApiFace) -> None:
    face.templates.error = StoreUnavailableError("The database is away.")
    assert_fault(await face.rest("POST", "EmailTemplate", FIT), 215400, "Service busy", 503)


async def test_a_key_needs_its_scope(face: ApiFace) -> None:
    face.keys.terms[KEY_ID] = {"scopes": frozenset({KeyScope.READ})}
    assert (await face.rest("GET", "EmailTemplate")).json["RetCode"] == 0
    assert_fault(await face.rest("POST", "EmailTemplate", FIT), 215393, "Authentication failed")
    assert_fault(await face.rest("PUT", "EmailTemplate/UET1", {}), 215393, "Authentication failed")
    face.keys.terms[KEY_ID] = {"scopes": frozenset({KeyScope.MANAGE})}
    assert_fault(await face.rest("GET", "EmailTemplate"), 215393, "Authentication failed")
    assert_fault(await face.rest("GET", "EmailTemplate/UET1"), 215393, "Authentication failed")
