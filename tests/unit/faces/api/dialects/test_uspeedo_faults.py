"""From errors to RetCode and Message."""

import inspect

import msgspec
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
    SignatureError,
    StoreCorruptError,
    StoreUnavailableError,
    TimestampError,
    TokenInvalidError,
    TokenUnreadableError,
    TooLargeError,
    UnauthenticatedError,
)
from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_faults import render


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
        (SignatureError("x"), 200, 215394, "Signature check failed"),
        (TimestampError("x"), 200, 215395, "Timestamp expired"),
        (TokenUnreadableError("x"), 200, 215398, "Token could not be parsed"),
        (TokenInvalidError("x"), 200, 215399, "Token invalid"),
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


def test_only_an_answer_of_the_action_api_names_its_action() -> None:
    assert b"Action" not in msgspec.json.encode(render(BusyError("x"), "id").fault)
    for error in (BusyError("x"), CallerError("x"), StoreCorruptError("x")):
        assert render(error, "id", "SendEmailResponse").fault.action == "SendEmailResponse"
