"""The records of uSpeedo's JSON. Source: shared/uspeedo.md 1.3 to 1.8, 1.10.

Fields are written as in Python and renamed on the wire: `ret_code` is `RetCode`. Order here is order there. `action` is
there in answers of the Action API alone ("SendEmailResponse"), as `Action`.
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


class TemplateTarget(msgspec.Struct, frozen=True, rename="pascal"):
    """A recipient of SendEmailTemplate, with what is put into the template for it."""

    email_address: str
    template_variable_params: tuple[str, ...] | UnsetType | None = UNSET  # "name{##}value", one a variable.


class SendEmailTemplateBody(msgspec.Struct, frozen=True, rename="pascal"):
    """What SendEmailTemplate reads; the rest is ignored, as with SendEmail."""

    template_id: str
    email_content: tuple[TemplateTarget, ...]
    send_email: str | UnsetType | None = UNSET
    sender_email: str | UnsetType | None = UNSET  # The older name of SendEmail.
    subject: str | None = None  # Instead of the template's own.
    abstract: str | None = None
    from_name: str | None = None


class FailedTarget(msgspec.Struct, frozen=True, rename="pascal", gc=False):
    """A recipient that was not accepted."""

    email_address: str
    failure_reason: str
    template_variable_params: tuple[str, ...] | UnsetType | None = UNSET  # As they came.


class SendEmailAnswer(msgspec.Struct, frozen=True, rename="pascal", gc=False, kw_only=True):
    """The answer to SendEmail, good or bad; a fault before the recipients were looked at is a `Fault`."""

    action: str | UnsetType = UNSET
    ret_code: int
    message: str
    session_no: str | UnsetType
    failed_target_emails: tuple[FailedTarget, ...]
    request_uuid: str
    success_count: int
    fail_content: tuple[FailedTarget, ...]  # The older name of FailedTargetEmails.
    detail: str | UnsetType = UNSET


class Fault(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The envelope of everything that went wrong."""

    action: str | UnsetType = UNSET
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


class SendStatusAnswer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The answer to SendStatus."""

    action: str | UnsetType = UNSET
    ret_code: int
    message: str
    request_uuid: str
    session_no: str
    total: int
    recipients: list[RecipientRow] = msgspec.field(name="Data")


class SenderRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One element of GetSenderList's Data. Times are Unix seconds."""

    sender_id: str
    sender_type: int  # 0: the default sender; 1: any other.
    domain: str
    trigger_type: int  # 1: transactional or any mail; 2: marketing alone.
    address: str = msgspec.field(name="Email")
    alias: str
    account_id: int
    is_default: int
    status: int  # 1: it may send now.
    create_time: int
    update_time: int


class SenderListAnswer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The answer to GetSenderList, which names its action in the REST generation too."""

    action: str
    ret_code: int
    message: str
    request_uuid: str
    total: int
    senders: list[SenderRow] = msgspec.field(name="Data")


class TemplateMadeAnswer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The answer to CreateEmailTemplate, UpdateEmailTemplate and DeleteEmailTemplate."""

    action: str | UnsetType = UNSET
    ret_code: int
    message: str
    request_uuid: str
    template_id: str
    status: int | UnsetType = UNSET  # Not of one that was deleted.


class TemplateRow(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """One element of QueryEmailTemplate's Data. Times are Unix seconds."""

    template_id: str
    name: str
    subject: str
    trigger_type: int  # 1: transactional; 2: marketing.
    tag_count: int  # Variables.
    status: int  # 0: pending review; 1: under review; 2: approved; 3: rejected; 4: disabled.
    err_desc: str
    create_time: int
    update_time: int


class TemplateWhole(TemplateRow, frozen=True, rename="pascal", kw_only=True):
    """GetEmailTemplate's Data: the version that an update changes."""

    abstract: str
    editor: int
    html_content: str
    json_content: str
    variables: list[str]


class TemplateListAnswer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The answer to QueryEmailTemplate, which names its action in the REST generation too, as GetSenderList does."""

    action: str
    ret_code: int
    message: str
    request_uuid: str
    total: int
    templates: list[TemplateRow] = msgspec.field(name="Data")


class TemplateAnswer(msgspec.Struct, frozen=True, rename="pascal", kw_only=True):
    """The answer to GetEmailTemplate."""

    action: str
    ret_code: int
    message: str
    request_uuid: str
    template: TemplateWhole = msgspec.field(name="Data")
