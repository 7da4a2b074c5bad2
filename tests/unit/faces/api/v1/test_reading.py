"""Bodies and query strings: what is wrong is named as the caller wrote it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.v1 import reading
from outrider.faces.api.v1.message_types import ListQuery, NewMessage

GOOD: dict[str, Any] = {"from": "a@shop.example", "to": "b@x.example", "subject": "s", "text": "t"}
decode = msgspec.json.Decoder(NewMessage).decode


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (without("to"), "to", "The field to is missing."),
        (GOOD | {"attachments": [{"name": "a", "content": "aGk="}, {"nome": 1}]}, "attachments[1].nome", "no field"),
        (GOOD | {"Subject": "s"}, "Subject", "no field"),
        (GOOD | {"x" * 500: 1}, "x" * 60, "no field"),
        (GOOD | {"a\r\nb": 1}, "a\\r\\nb", "no field"),
        (GOOD | {"to": ["a@x.example", 7]}, "to[1]", "Expected `string`, got `integer`."),
        (GOOD | {"to": {}}, "to", "got `object`."),
        (GOOD | {"subject": None}, "subject", "Expected `string`, got `null`."),
        (GOOD | {"separate": "yes"}, "separate", "Expected `boolean`, got `string`."),
        (GOOD | {"metadata": {"a": 1}}, "metadata[...]", "Expected `string`, got `integer`."),
        (GOOD | {"stream": "spam"}, "stream", "Invalid enum value 'spam'."),
        (GOOD | {"send_at": "tomorrow"}, "send_at", "Invalid RFC3339 encoded datetime."),
        (GOOD | {"expires_s": "60"}, "expires_s", "Expected `number | null`, got `string`."),
        ([GOOD], "", "Expected `object`, got `array`."),
        (7, "", "got `integer`."),
    ],
)
def test_what_is_wrong_in_a_body_is_named(given: object, field: str, words: str) -> None:
    with pytest.raises(CallerError) as caught:
        reading.body(msgspec.json.encode(given), decode)
    assert caught.value.field == field
    assert words in caught.value.public
    assert isinstance(caught.value, MissingFieldError) == ("is missing" in words)


@pytest.mark.parametrize(
    "octets",
    [b"{", b"\xff\xfe", b'{"from": "\\ud800"}', b"nope", b"<xml/>", b'{"subject": "\x00"}', b"\x00"],
)
def test_what_is_no_json_is_refused(octets: bytes) -> None:
    with pytest.raises(CallerError, match="not JSON") as caught:
        reading.body(octets, decode)
    assert caught.value.public.isprintable()


def test_no_body_is_told_apart() -> None:
    with pytest.raises(CallerError, match="is empty"):
        reading.body(b"", decode)


def test_a_query_is_read() -> None:
    given = b"status=queued&status=held&to=ann%2Bx%40a.example&subject=null&limit=7&since=2026-01-02T03:04:05%2B00:00"
    found = reading.query(given, ListQuery)
    assert (found.status, found.to, found.subject, found.limit) == (["queued", "held"], "ann+x@a.example", "null", 7)
    assert found.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert reading.query(b"", ListQuery) == ListQuery()


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        (b"limit=0", "limit"),
        (b"limit=101", "limit"),
        (b"limit=1.5", "limit"),
        (b"limit=", "limit"),
        (b"limit=1&limit=2", "limit"),
        (b"statuses=queued", "statuses"),
        (b"status=gone", "status[0]"),
        (b"since=yesterday", "since"),
        (b"since=2026-01-02T03:04:05", "since"),
        (b"since=null", "since"),
        (b"since=0.5", "since"),
        (b"since=1767225600", "since"),
        (b"limit=null", "limit"),
        (b"stream=NULL", "stream"),
        (b"subject=" + b"x" * 201, "subject"),
        (b"to=%ff", ""),
        (b"\xff", ""),
        (b"&".join(b"status=queued" for _ in range(101)), ""),
    ],
)
def test_what_is_wrong_in_a_query_is_named(octets: bytes, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        reading.query(octets, ListQuery)
    assert caught.value.field == field
