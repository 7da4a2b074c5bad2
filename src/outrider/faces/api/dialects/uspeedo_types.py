"""The records of uSpeedo's JSON, REST generation. Source: shared/uspeedo.md 1.3, 1.7, 1.10.

Fields are written as in Python and renamed on the wire: `ret_code` is `RetCode`. Order here is order there.
"""

import msgspec
from msgspec import UNSET, UnsetType


class SendEmailBody(msgspec.Struct, frozen=True, rename="pascal", gc=False):
    """What SendEmail reads. `AccountId` and fields nobody documented are ignored, whatever they hold."""

    target_email_address: tuple[str, ...]
    subject: str
    content: str
    send_email: str | UnsetType | None = UNSET
    sender_email: str | UnsetType | None = UNSET  # The older name of SendEmail.
    from_name: str | None = None


class FailedTarget(msgspec.Struct, frozen=True, rename="pascal", gc=False):
    """A recipient that was not accepted."""

    email_address: str
    failure_reason: str


class SendEmailAnswer(msgspec.Struct, frozen=True, rename="pascal", gc=False):
    """The answer to SendEmail, good or bad; a fault before the recipients were looked at is a `Fault`."""

    ret_code: int
    message: str
    session_no: str | UnsetType
    failed_target_emails: tuple[FailedTarget, ...]
    request_uuid: str
    success_count: int
    fail_content: tuple[FailedTarget, ...]  # The older name of FailedTargetEmails.
    detail: str | UnsetType = UNSET


class Fault(msgspec.Struct, frozen=True, rename="pascal"):
    """The envelope of everything that went wrong."""

    ret_code: int
    message: str
    request_uuid: str
    detail: str


class RecipientRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One element of SendStatus's Data. Times are Unix seconds."""

    email_address: str
    status: str
    reason: str
    reply: str
    attempts: int
    next_attempt_time: int | None
    update_time: int
    events: list[dict[str, str | int | float | bool]]  # Event, Time, Reason, Reply and the facts of its kind.


class SendStatusAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer to SendStatus."""

    ret_code: int
    message: str
    request_uuid: str
    session_no: str
    total: int
    recipients: list[RecipientRow] = msgspec.field(name="Data")
