"""SendEmail: from its JSON to a `Submission`, and from what became of it to the answer.

The hottest path of the face: a good body is decoded once, straight into its record. What is wrong with a bad one is
`uspeedo_explain`'s to say. Limits and addresses are not looked at; they are the engine's.
Source: shared/uspeedo.md 1.3, 1.8, 1.10.
"""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from outrider.base.errors import CallerError
from outrider.engine.submission import Accepted, Submission
from outrider.faces.api import markup
from outrider.faces.api.dialects import uspeedo_explain
from outrider.faces.api.dialects.uspeedo_types import FailedTarget, SendEmailAnswer, SendEmailBody

_INVALID: Final = CallerError.ret_code
_decode: Final = msgspec.json.Decoder(SendEmailBody).decode


def read(body: bytes) -> Submission:
    """Return what SendEmail is to send. Raises CallerError, MissingFieldError for the first field at fault."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise uspeedo_explain.send_email(body) from None
    sender = choose_sender(given.send_email, given.sender_email)
    if sender is None:
        raise uspeedo_explain.send_email(body)
    is_html = markup.looks_like_html(given.content)
    return Submission(
        sender=sender,
        recipients=given.target_email_address,
        subject=given.subject,
        from_name=given.from_name or "",
        text=None if is_html else given.content,
        html=given.content if is_html else None,
    )


def choose_sender(send_email: str | UnsetType | None, sender_email: str | UnsetType | None) -> str | None:
    """Return the sender of the two names that it has, the newer one first; None if neither holds one."""
    if isinstance(send_email, str):
        return send_email
    return sender_email if isinstance(sender_email, str) else None


def answer(accepted: Accepted, request_id: str, action: str | UnsetType) -> SendEmailAnswer:
    """Return the answer; in the Action API, which `action` tells, a success has no message."""
    failed = tuple([FailedTarget(rejected.address, rejected.reason) for rejected in accepted.rejected])
    if accepted.session_id is None:
        return refused(
            failed,
            request_id,
            action,
            ret_code=_INVALID,
            message="Invalid parameter [TargetEmailAddress]",
            detail="No recipient was accepted; FailedTargetEmails says why for each.",
        )
    return taken(accepted, failed, request_id, action)


def taken(
    accepted: Accepted, failed: tuple[FailedTarget, ...], request_id: str, action: str | UnsetType
) -> SendEmailAnswer:
    """Return the answer to a call of which something was accepted."""
    return SendEmailAnswer(
        action=action,
        ret_code=0,
        message="success" if action is UNSET else "",
        session_no=str(accepted.session_id),
        failed_target_emails=failed,
        request_uuid=request_id,
        success_count=accepted.recipient_count,
        fail_content=failed,
    )


def refused(
    failed: tuple[FailedTarget, ...],
    request_id: str,
    action: str | UnsetType,
    *,
    ret_code: int,
    message: str,
    detail: str,
) -> SendEmailAnswer:
    """Return the answer to a call of which nothing was accepted, with the recipients to send to again."""
    return SendEmailAnswer(
        action=action,
        ret_code=ret_code,
        message=message,
        session_no=UNSET,
        failed_target_emails=failed,
        request_uuid=request_id,
        success_count=0,
        fail_content=failed,
        detail=detail,
    )
