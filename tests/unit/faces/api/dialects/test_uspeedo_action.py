"""Which action a call is about, and what else its body says."""

import json

import msgspec
import pytest

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.dialects.uspeedo_action import fields, parse_query, read


@pytest.mark.parametrize(
    ("body", "query", "name"),
    [
        (b'{"Action":"SendEmail"}', {}, "SendEmail"),
        (b'{"Action":"Anything at all"}', {"Action": "SendEmail"}, "Anything at all"),
        (b'{"Action":null}', {"Action": "SendEmail"}, "SendEmail"),
        (b"", {"Action": "SendEmail"}, "SendEmail"),
        (b' {"x":[{"Action":"No"}]} ', {"Action": "SendEmail"}, "SendEmail"),
    ],
)
def test_the_body_says_it_or_else_the_query(body: bytes, query: dict[str, str], name: str) -> None:
    assert read(body, query) == name


def test_a_call_without_an_action_is_told_so() -> None:
    for body in (b"", b"{}", b'{"Action":""}', b'{"action":"SendEmail"}'):
        with pytest.raises(MissingFieldError) as caught:
            read(body, {})
        assert caught.value.field == "Action"


@pytest.mark.parametrize(("body", "field"), [(b"x", "Body"), (b"[]", "Body"), (b'{"Action":{}}', "Action")])
def test_what_is_no_action_is_told(body: bytes, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        read(body, {"Action": "SendEmail"})
    assert caught.value.field == field


def test_fields_are_read_as_deep_as_parameters_go() -> None:
    given = {"Page": 1, "Email": "é", "Ratio": 0.5, "On": True, "None": None, "List": [1], "Deep": {"a": 1}}
    found = fields(json.dumps(given).encode())
    assert {name: found[name] for name in ("Page", "Email", "Ratio", "On", "None")} == {
        name: given[name] for name in ("Page", "Email", "Ratio", "On", "None")
    }
    assert isinstance(found["List"], msgspec.Raw)
    assert isinstance(found["Deep"], msgspec.Raw)
    assert fields(b"") == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"[]", "Body"), (b"{", "Body"), (b'{"Email":"\xff"}', "Email"), (b'{"Email":"\\ud800"}', "Email")],
)
def test_a_body_without_fields_is_told(body: bytes, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        fields(body)
    assert caught.value.field in (field, "Body")


@pytest.mark.parametrize(
    ("query_string", "parsed"),
    [
        (b"", {}),
        (b"a=1&b=&a=2", {"a": "1", "b": ""}),
        (b"Email=a%2Bb%40x.example", {"Email": "a+b@x.example"}),
        (b"a=%ff&\xff=1&&=;", {"a": "\ufffd", "\xff": "1", "": ";"}),
    ],
)
def test_a_query_string_is_parsed(query_string: bytes, parsed: dict[str, str]) -> None:
    assert parse_query(query_string) == parsed
