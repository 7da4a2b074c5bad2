"""The JSON of /v1/templates: from it to a source, and what an edit leaves."""

from typing import Any

import msgspec
import pytest

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.v1.template_types import NewTemplate, SourceGiven, TemplateChange
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax

OLD = Source(
    markup=Markup.MJML,
    syntax=Syntax.BRACES,
    variants=(
        SourceVariant(locale="en", subject="Hi", body="<mjml>", text="own", preheader="p"),
        SourceVariant(locale="de", subject="Moin", body="<mjml>"),
    ),
    defaults={"a": 1},
    editor="2",
    document="{}",
)


def given(**fields: Any) -> SourceGiven:
    return msgspec.convert(fields, SourceGiven)


def test_one_language_stands_at_the_top() -> None:
    made = given(subject="S", body="B", text="T", preheader="P", defaults={"x": None}, is_lenient=True).source()
    variant = SourceVariant(subject="S", body="B", text="T", preheader="P")
    assert made == Source(variants=(variant,), defaults={"x": None}, is_lenient=True)


def test_several_languages_stand_in_variants() -> None:
    variants = [{"subject": "S", "body": "B"}, {"locale": "de", "subject": "D", "body": "E", "text": None}]
    made = given(variants=variants, markup="text", syntax="braces").source()
    assert made.variants == (SourceVariant(subject="S", body="B"), SourceVariant(locale="de", subject="D", body="E"))
    assert (made.markup, made.syntax) == (Markup.TEXT, Syntax.BRACES)


@pytest.mark.parametrize(("fields", "field"), [({}, "subject"), ({"body": "B"}, "subject"), ({"subject": "S"}, "body")])
def test_what_a_template_needs_is_missed(fields: dict[str, str], field: str) -> None:
    with pytest.raises(MissingFieldError) as caught:
        given(**fields).source()
    assert caught.value.field == field


def test_both_at_once_is_refused() -> None:
    for fields in ({"subject": "S"}, {"body": "B"}, {"text": None}):
        with pytest.raises(CallerError) as caught:
            given(variants=[{"subject": "S", "body": "B"}], **fields).edited(OLD)
        assert caught.value.field == next(iter(fields))


def test_an_edit_leaves_what_it_does_not_name() -> None:
    edited = given(subject="New").edited(OLD)
    assert edited == msgspec.structs.replace(
        OLD, variants=(msgspec.structs.replace(OLD.variants[0], subject="New"), OLD.variants[1])
    )
    assert given(markup="html").edited(OLD) == msgspec.structs.replace(OLD, markup=Markup.HTML)
    assert given(variants=[{"subject": "S", "body": "B"}]).edited(OLD).document == "{}"


def test_a_new_body_lets_go_of_the_text_of_the_old_one() -> None:
    assert given(body="B").edited(OLD).variants[0].text is None
    assert given(body="B", text="T").edited(OLD).variants[0].text == "T"
    assert given(subject="S").edited(OLD).variants[0].text == "own"


def test_a_change_that_names_nothing_written_makes_no_version() -> None:
    assert msgspec.convert({"name": "x", "stream": "marketing", "publish": True}, TemplateChange).edit is None
    edit = msgspec.convert({"text": None}, TemplateChange).edit
    assert edit is not None
    assert edit(OLD).variants[0].text is None


def test_a_new_template_has_a_name() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"subject": "S", "body": "B"}, NewTemplate)
    made = msgspec.convert({"name": "N", "subject": "S", "body": "B"}, NewTemplate)
    assert (made.stream, made.publish) == ("transactional", False)
