"""What is said about a body that would not decode: the first field at fault, by its name and kind."""

import json
from typing import Any

import pytest

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.dialects.uspeedo_explain import action, send_email, send_email_template, split

FINE = b'"SendEmail":"a@x.example","TargetEmailAddress":["b@x.example"],"Subject":"s","Content":"c"'


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b"", "Body", "empty"),
        (b"hello", "Body", "not valid JSON"),
        (b"[]", "Body", "not an object"),
        (b'"x"', "Body", "not an object"),
        (b"null", "Body", "not an object"),
        (b"\xff\xfe", "Body", "not valid JSON"),
        (b"{" + FINE, "Body", "not valid JSON"),
        (b"{" + FINE + b"} x", "Body", "trailing"),
        (b'\xef\xbb\xbf{"SendEmail":"a"}', "Body", "byte 0"),
        (b'{"\xff":1,' + FINE + b"}", "Body", "UTF-8"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"," + FINE + b"}", "Body", "too deeply"),
        (b"[" * 100_000, "Body", ""),
        (b'{"Subject":1,' + FINE + b"}", "Body", "twice"),
        (b'{"SendEmail":5}', "SendEmail", "SendEmail is a number; it must be a string."),
        (b'{"SenderEmail":null}', "SendEmail", "SenderEmail is null"),
        (b'{"SendEmail":"a"}', "TargetEmailAddress", "required"),
        (b'{"SendEmail":"a","TargetEmailAddress":"b"}', "TargetEmailAddress", "is a string; it must be an array"),
        (b'{"SendEmail":"a","TargetEmailAddress":{}}', "TargetEmailAddress", "is an object"),
        (b'{"SendEmail":"a","TargetEmailAddress":["b",7]}', "TargetEmailAddress", "[1] is a number"),
        (b'{"SendEmail":"a","TargetEmailAddress":[["b"]]}', "TargetEmailAddress", "[0] is an array"),
        (b'{"SendEmail":"a","TargetEmailAddress":["b"]}', "Subject", "required"),
        (b'{"SendEmail":"a","TargetEmailAddress":["b"],"Subject":true}', "Subject", "is a boolean"),
        (b'{"SendEmail":"a","TargetEmailAddress":["b"],"Subject":"s"}', "Content", "required"),
        (b'{"SendEmail":"a","TargetEmailAddress":["b"],"Subject":"s","Content":"\xff"}', "Content", "UTF-8"),
        (b"{" + FINE + b',"FromName":5}', "FromName", "is a number"),
        (b"{" + FINE.replace(b'"s"', b"9" * 100_000) + b"}", "Subject", "is a number"),
        (b'{"TargetEmailAddress":[],"Subject":"s","Content":"c"}', "SendEmail", "required"),
    ],
)
def test_the_first_field_at_fault_is_named(body: bytes, field: str, words: str) -> None:
    error = send_email(body)
    assert error.field == field
    assert words in error.public
    assert isinstance(error, MissingFieldError) == ("required" in words)


def test_a_lone_surrogate_is_no_text() -> None:
    error = send_email(b"{" + FINE.replace(b'"s"', b'"\\ud800"') + b"}")
    assert error.field in ("Subject", "Body")
    assert "surrogate" in error.public or "escape" in error.public


def test_null_beside_the_other_name_of_the_sender_is_no_fault() -> None:
    body = b'{"SendEmail":null,"SenderEmail":"a@x.example","TargetEmailAddress":7}'
    assert send_email(body).field == "TargetEmailAddress"


TARGET = {"EmailAddress": "b@x.example"}
FIT: dict[str, Any] = {"SendEmail": "a@x.example", "TemplateId": "UET1", "EmailContent": [TARGET]}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"TemplateId": 5}, "TemplateId", "is a number"),
        ({"SendEmail": None}, "SendEmail", "is null"),
        ({"EmailContent": "b@x.example"}, "EmailContent", "must be an array of objects"),
        ({"EmailContent": ["b@x.example"]}, "EmailContent", "EmailContent[0] is a string; it must be an object"),
        ({"EmailContent": [TARGET, {}]}, "EmailAddress", "EmailContent[1].EmailAddress is required"),
        ({"EmailContent": [{"EmailAddress": 5}]}, "EmailAddress", "EmailContent[0].EmailAddress is a number"),
        (
            {"EmailContent": [{**TARGET, "TemplateVariableParams": "name{##}Ana"}]},
            "TemplateVariableParams",
            "EmailContent[0].TemplateVariableParams is a string; it must be an array of strings",
        ),
        ({"EmailContent": [{**TARGET, "TemplateVariableParams": [1]}]}, "TemplateVariableParams", "is a number"),
        ({"EmailContent": [{**TARGET, "TemplateVariableParams": None}], "Subject": 1}, "Subject", "is a number"),
        ({"Abstract": []}, "Abstract", "is an array"),
        ({"FromName": False}, "FromName", "is a boolean"),
    ],
)
def test_a_template_call_is_explained(changes: dict[str, Any], field: str, words: str) -> None:
    error = send_email_template(json.dumps(FIT | changes).encode())
    assert error.field == field
    assert words in error.public


@pytest.mark.parametrize("name", FIT)
def test_what_a_template_call_lacks_is_named(name: str) -> None:
    error = send_email_template(json.dumps({key: value for key, value in FIT.items() if key != name}).encode())
    assert isinstance(error, MissingFieldError)
    assert error.field == name


@pytest.mark.parametrize("octets", [b'{"\xff":1}', b'{"EmailAddress":"\xff"}', b'["\xff"]', b'{"a":"\\ud800"}'])
def test_broken_text_inside_is_told(octets: bytes) -> None:
    body = b'{"SendEmail":"a","TemplateId":"b","EmailContent":[' + octets + b"]}"
    assert send_email_template(body).field in ("Body", "EmailContent", "EmailAddress")


def test_an_action_of_a_wrong_kind_is_told() -> None:
    assert action(b'{"Action":["SendEmail"]}').field == "Action"
    assert action(b"[]").field == "Body"


def test_fields_are_split_and_not_decoded() -> None:
    fields = split(b'{"a": [1, {"b": "c"}], "d": null}')
    assert {name: bytes(raw) for name, raw in fields.items()} == {"a": b'[1, {"b": "c"}]', "d": b"null"}
    with pytest.raises(CallerError) as caught:
        split(b"5")
    assert caught.value.field == "Body"
