"""SendEmailTemplate: its checks, what the engine gets, and who comes back."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Personal, Rejected
from outrider.faces.api.dialects.uspeedo_template import (
    TWICE,
    all_failed,
    failed,
    read,
    request_hash,
    stand_in,
    submission,
    variables,
)
from outrider.faces.api.dialects.uspeedo_types import FailedTarget
from outrider.testing.templates import templated

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
    assert all_failed(given, [Rejected("nope", "invalid address: no @")]) == (
        FailedTarget("ana@client.test", "", ("name{##}Ana",)),
        FailedTarget("nope", "invalid address: no @", UNSET),
    )


def test_only_who_was_rejected_comes_back_however_the_engine_spells_it() -> None:
    given = read(encoded(EmailContent=[TARGET, {"EmailAddress": "Ben@CLIENT.test"}]))
    assert failed(given, []) == ()
    assert failed(given, [Rejected("Ben@client.test", "recipient suppressed")]) == (
        FailedTarget("Ben@CLIENT.test", "recipient suppressed", UNSET),
    )


def test_an_address_that_is_there_again_with_other_variables_comes_back() -> None:
    again = {"EmailAddress": "ANA@Client.test", "TemplateVariableParams": ["name{##}Second"]}
    given = read(encoded(EmailContent=[TARGET, again, {"EmailAddress": "ben@client.test"}]))
    second = FailedTarget("ANA@Client.test", TWICE, ("name{##}Second",))
    assert failed(given, []) == (second,)
    first = FailedTarget("ana@client.test", "no value for code.", ("name{##}Ana",))
    assert failed(given, [Rejected("ana@client.test", "no value for code.")]) == (first, second)


def test_the_same_mail_twice_is_one() -> None:
    same = {"EmailAddress": "ANA@Client.test", "TemplateVariableParams": ["{name}{##}Ana"]}
    given = read(encoded(EmailContent=[TARGET, same, TARGET]))
    assert failed(given, []) == ()
    assert failed(given, [Rejected("ana@client.test", "recipient suppressed")]) == (
        FailedTarget("ana@client.test", "recipient suppressed", ("name{##}Ana",)),
    )


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        (["name{##}Ana", "code{##}"], {"name": "Ana", "code": ""}),
        (["{1}{##}John", " { name } {##} x "], {"1": "John", "name": " x "}),
        (["a{##}b{##}c"], {"a": "b{##}c"}),
        (["a{##}1", "a{##}2"], {"a": "2"}),
    ],
)
def test_a_variable_is_cut_at_the_first_separator(pairs: list[str], expected: dict[str, str]) -> None:
    assert variables(pairs) == expected


def test_the_engine_gets_each_recipients_variables_and_the_calls_own_lines() -> None:
    found = msgspec.structs.replace(templated(), stream=Stream.MARKETING)
    made = submission(read(encoded(Subject="Hi {name}", Abstract="First", FromName="Acme")), found)
    assert (made.subject, made.from_name, made.stream) == ("Hi {name}", "Acme", Stream.MARKETING)
    assert (made.text, made.html) == (None, None)
    assert made.templated == msgspec.structs.replace(found, preheader="First")
    assert made.personal == (Personal({"name": "Ana"}),)
    made = submission(read(encoded(Subject="", Abstract="")), templated())
    assert (made.subject, made.stream, made.templated) == ("", Stream.TRANSACTIONAL, templated())


def test_a_hash_tells_calls_apart() -> None:
    other = [{**TARGET, "TemplateVariableParams": ["name{##}Bob"]}]
    assert request_hash(read(encoded())) == request_hash(read(encoded(Unknown=1)))
    assert request_hash(read(encoded())) != request_hash(read(encoded(EmailContent=other)))
