"""The names on the wire are the contract; a rename here breaks every client."""

import msgspec

from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    Fault,
    RecipientRow,
    SendEmailAnswer,
    SendEmailBody,
    SendStatusAnswer,
)


def wire_names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def test_wire_names() -> None:
    assert set(wire_names(SendEmailBody)) == {
        "SendEmail",
        "SenderEmail",
        "TargetEmailAddress",
        "Subject",
        "Content",
        "FromName",
    }
    assert wire_names(SendEmailAnswer) == [
        "RetCode",
        "Message",
        "SessionNo",
        "FailedTargetEmails",
        "RequestUuid",
        "SuccessCount",
        "FailContent",
        "Detail",
    ]
    assert wire_names(FailedTarget) == ["EmailAddress", "FailureReason"]
    assert wire_names(Fault) == ["RetCode", "Message", "RequestUuid", "Detail"]
    assert wire_names(SendStatusAnswer) == ["RetCode", "Message", "RequestUuid", "SessionNo", "Total", "Data"]
    assert wire_names(RecipientRow) == [
        "EmailAddress",
        "Status",
        "Reason",
        "Reply",
        "Attempts",
        "NextAttemptTime",
        "UpdateTime",
        "Events",
    ]


def test_nothing_is_required_that_uspeedo_does_not_require() -> None:
    required = [f.encode_name for f in msgspec.structs.fields(SendEmailBody) if f.required]
    assert required == ["TargetEmailAddress", "Subject", "Content"]  # The sender has two names, checked by hand.
