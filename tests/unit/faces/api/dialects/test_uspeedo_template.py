"""SendEmailTemplate's checks, and who comes back when there is no template."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.engine.submission import Rejected
from outrider.faces.api.dialects.uspeedo_template import failed, find, read, stand_in
from outrider.faces.api.dialects.uspeedo_types import FailedTarget

TARGET = {"EmailAddress": "ana@client.test", "TemplateVariableParams": ["name{##}Ana"]}
FIT: dict[str, Any] = {"SendEmail": "hello@acme.test", "TemplateId": "UET1", "EmailContent": [TARGET]}


def encoded(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (FIT | changes).items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"SendEmail": ...}, "SendEmail"),
        ({"SendEmail": None}, "SendEmail"),
        ({"TemplateId": ...}, "TemplateId"),
        ({"TemplateId": " "}, "TemplateId"),
        ({"EmailContent": []}, "EmailContent"),
        ({"EmailContent": [TARGET] * (limits.RECIPIENTS_PER_CALL_COUNT_MAX + 1)}, "EmailContent"),
        ({"EmailContent": [{**TARGET, "TemplateVariableParams": ["name=Ana"]}]}, "TemplateVariableParams"),
        ({"EmailContent": [{**TARGET, "TemplateVariableParams": ["{##}Ana"]}]}, "TemplateVariableParams"),
        ({"EmailContent": [{**TARGET, "TemplateVariableParams": [""]}]}, "TemplateVariableParams"),
        ({"Subject": 5}, "Subject"),
    ],
)
def test_the_field_at_fault_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(CallerError) as caught:
        read(encoded(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize("pairs", [None, [], ["name{##}"], ["{1}{##}John"], ["a{##}b{##}c"], ["x{##}y", "z{##}w"]])
def test_good_pairs_pass(pairs: list[str] | None) -> None:
    given = read(encoded(EmailContent=[{"EmailAddress": "a@x.example", "TemplateVariableParams": pairs}]))
    assert len(given.email_content) == 1


def test_what_is_examined_is_the_call() -> None:
    given = read(encoded(SendEmail=..., SenderEmail="old@acme.test", Subject=None, FromName="Acme"))
    submission = stand_in(given)
    assert (submission.sender, submission.recipients) == ("old@acme.test", ("ana@client.test",))
    assert submission.from_name == "Acme"
    assert submission.subject  # The template's own, which nobody knows.
    assert stand_in(read(encoded(Subject="Hi"))).subject == "Hi"


def test_everybody_comes_back_as_they_came() -> None:
    given = read(encoded(EmailContent=[TARGET, {"EmailAddress": "nope"}]))
    assert failed(given, [Rejected("nope", "invalid address: no @")]) == (
        FailedTarget("ana@client.test", "", ("name{##}Ana",)),
        FailedTarget("nope", "invalid address: no @", UNSET),
    )


def test_a_template_is_not_found_by_any_id() -> None:
    assert isinstance(find({"TemplateId": "UET1"}), NotFoundError)
    for given in ({}, {"TemplateId": ""}, {"TemplateId": 5}):
        with pytest.raises(CallerError) as caught:
            find(given)
        assert caught.value.field == "TemplateId"
