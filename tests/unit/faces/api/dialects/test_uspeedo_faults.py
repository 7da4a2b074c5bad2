"""From errors to RetCode and Message; and what is said about a body that would not decode."""

import inspect

import pytest

from outrider.base import errors
from outrider.base.errors import (
    BusyError,
    CallerError,
    ConflictError,
    ForbiddenError,
    LimitReachedError,
    LocalProtocolError,
    MissingFieldError,
    NotFoundError,
    OutriderError,
    StoreCorruptError,
    StoreUnavailableError,
    TooLargeError,
    UnauthenticatedError,
)
from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_faults import explain, render


@pytest.mark.parametrize(
    ("error", "status", "ret_code", "message"),
    [
        (CallerError("x", field="subject"), 200, 215392, "Invalid parameter [Subject]"),
        (CallerError("x", field="sender"), 200, 215392, "Invalid parameter [SendEmail]"),
        (CallerError("x", field="recipients"), 200, 215392, "Invalid parameter [TargetEmailAddress]"),
        (CallerError("x", field="from_name"), 200, 215392, "Invalid parameter [FromName]"),
        (CallerError("x", field="content"), 200, 215392, "Invalid parameter [Content]"),
        (CallerError("x", field="html"), 200, 215392, "Invalid parameter [Content]"),
        (CallerError("x"), 200, 215392, "Invalid parameter [Body]"),
        (TooLargeError("x", field="content"), 200, 215392, "Invalid parameter [Content]"),
        (TooLargeError("x"), 200, 215392, "Invalid parameter [Body]"),
        (ConflictError("x", field="idempotency_key"), 200, 215392, "Invalid parameter [Idempotency-Key]"),
        (MissingFieldError("x", field="Subject"), 200, 215397, "Missing parameter [Subject]"),
        (NotFoundError("x", field="sender"), 200, 215396, "NotFound parameter [SendEmail]"),
        (NotFoundError("x", field="session_id"), 200, 215396, "NotFound parameter [SessionNo]"),
        (UnauthenticatedError("x"), 200, 215393, "Authentication failed"),
        (ForbiddenError("x"), 200, 215393, "Authentication failed"),
        (LimitReachedError("x", retry_after_s=9.2), 429, 215400, "Limit reached"),
        (BusyError("x"), 503, 215400, "Service busy"),
        (StoreUnavailableError("x"), 503, 215400, "Service busy"),
        (StoreCorruptError("x"), 200, 215400, "Server error"),
        (LocalProtocolError("x"), 200, 215400, "Server error"),
    ],
)
def test_each_error_has_its_answer(error: OutriderError, status: int, ret_code: int, message: str) -> None:
    rendered = render(error, "id")
    assert (rendered.status, rendered.fault.ret_code, rendered.fault.message) == (status, ret_code, message)
    assert rendered.fault.request_uuid == "id"
    assert bool(rendered.headers) == (status != 200)


def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    for wait_s, expected in ((9.2, b"10"), (0.0, b"1")):
        assert render(LimitReachedError("x", retry_after_s=wait_s), "").headers == ((b"retry-after", expected),)
    assert render(BusyError("x"), "").headers == ((b"retry-after", b"%d" % uspeedo_faults.RETRY_AFTER_S),)


def test_an_error_of_ours_says_nothing_of_itself() -> None:
    fault = render(StoreCorruptError("row 7 of key table", path="/var/x"), "id").fault
    assert "row" not in fault.detail
    assert "RequestUuid" in fault.detail


def test_every_error_class_renders() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, OutriderError)]
    assert len(kinds) > 10
    for kind in kinds:
        error = kind("x", retry_after_s=1.0) if kind is LimitReachedError else kind("x")
        assert render(error, "").fault.message


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
    error = explain(body)
    assert error.field == field
    assert words in error.public
    assert isinstance(error, MissingFieldError) == ("required" in words)


def test_a_lone_surrogate_is_no_text() -> None:
    error = explain(b"{" + FINE.replace(b'"s"', b'"\\ud800"') + b"}")
    assert error.field in ("Subject", "Body")
    assert "surrogate" in error.public or "escape" in error.public


def test_null_beside_the_other_name_of_the_sender_is_no_fault() -> None:
    body = b'{"SendEmail":null,"SenderEmail":"a@x.example","TargetEmailAddress":7}'
    assert explain(body).field == "TargetEmailAddress"
