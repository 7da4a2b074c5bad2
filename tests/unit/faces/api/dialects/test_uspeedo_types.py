"""The names on the wire are the contract; a rename here breaks every client."""

import msgspec

from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    Fault,
    RecipientRow,
    SendEmailAnswer,
    SendEmailBody,
    SendEmailTemplateBody,
    SenderListAnswer,
    SenderRow,
    SendStatusAnswer,
    TemplateTarget,
)


def wire_names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def test_wire_names_of_what_is_read() -> None:
    assert set(wire_names(SendEmailBody)) == {
        "SendEmail",
        "SenderEmail",
        "TargetEmailAddress",
        "Subject",
        "Content",
        "FromName",
    }
    assert set(wire_names(SendEmailTemplateBody)) == {
        "SendEmail",
        "SenderEmail",
        "TemplateId",
        "EmailContent",
        "Subject",
        "Abstract",
        "FromName",
    }
    assert wire_names(TemplateTarget) == ["EmailAddress", "TemplateVariableParams"]


def test_wire_names_of_answers() -> None:
    assert wire_names(SendEmailAnswer) == [
        "Action",
        "RetCode",
        "Message",
        "SessionNo",
        "FailedTargetEmails",
        "RequestUuid",
        "SuccessCount",
        "FailContent",
        "Detail",
    ]
    assert wire_names(FailedTarget) == ["EmailAddress", "FailureReason", "TemplateVariableParams"]
    assert wire_names(Fault) == ["Action", "RetCode", "Message", "RequestUuid", "Detail"]
    assert wire_names(SendStatusAnswer) == [
        "Action",
        "RetCode",
        "Message",
        "RequestUuid",
        "SessionNo",
        "Total",
        "Data",
    ]
    assert wire_names(SenderListAnswer) == ["Action", "RetCode", "Message", "RequestUuid", "Total", "Data"]
    assert wire_names(SenderRow) == [
        "SenderId",
        "SenderType",
        "Domain",
        "TriggerType",
        "Email",
        "Alias",
        "AccountId",
        "IsDefault",
        "Status",
        "CreateTime",
        "UpdateTime",
    ]
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
    def required(kind: type[msgspec.Struct]) -> list[str]:
        return [field.encode_name for field in msgspec.structs.fields(kind) if field.required]

    # The sender has two names, checked by hand.
    assert required(SendEmailBody) == ["TargetEmailAddress", "Subject", "Content"]
    assert required(SendEmailTemplateBody) == ["TemplateId", "EmailContent"]
    assert required(TemplateTarget) == ["EmailAddress"]
