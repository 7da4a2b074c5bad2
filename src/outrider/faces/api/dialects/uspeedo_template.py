"""SendEmailTemplate and its companions, as far as they go without stored templates: every call finds none.

All else about a call is checked first, so that a program written for templates learns what is wrong with its calls. The
answer lists every recipient as not accepted. Source: shared/uspeedo.md 1.4, 1.6, 1.8, 3.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.engine.submission import Rejected, Submission
from outrider.faces.api.dialects import uspeedo_explain, uspeedo_faults
from outrider.faces.api.dialects.uspeedo_send import choose_sender
from outrider.faces.api.dialects.uspeedo_types import FailedTarget, SendEmailTemplateBody, TemplateTarget

SEPARATOR: Final = "{##}"
NOT_FOUND: Final = "There is no such template: none can be stored here yet. Send the finished text with SendEmail."
_NEVER_SENT: Final = "-"  # Where the template would say it.
_decode: Final = msgspec.json.Decoder(SendEmailTemplateBody).decode


def read(body: bytes) -> SendEmailTemplateBody:
    """Return the call. Raises CallerError, MissingFieldError for the first field at fault."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise uspeedo_explain.send_email_template(body) from None
    if choose_sender(given.send_email, given.sender_email) is None:
        raise uspeedo_explain.send_email_template(body)
    if not given.template_id.strip():
        raise CallerError("TemplateId is empty.", field="TemplateId")
    if not 1 <= len(given.email_content) <= limits.RECIPIENTS_PER_CALL_COUNT_MAX:
        raise CallerError(
            f"EmailContent has {len(given.email_content)} elements; 1 to {limits.RECIPIENTS_PER_CALL_COUNT_MAX} are"
            " allowed in one call.",
            field="EmailContent",
        )
    for at, target in enumerate(given.email_content):
        for pair in target.template_variable_params or ():
            if not pair.partition(SEPARATOR)[0] or SEPARATOR not in pair:
                raise CallerError(
                    f"EmailContent[{at}].TemplateVariableParams: each element is NAME{SEPARATOR}VALUE.",
                    field="TemplateVariableParams",
                )
    return given


def stand_in(given: SendEmailTemplateBody) -> Submission:
    """Return the call with something in place of what its template would say, to be examined, not sent."""
    return Submission(
        sender=choose_sender(given.send_email, given.sender_email) or "",
        recipients=tuple([target.email_address for target in given.email_content]),
        subject=given.subject or _NEVER_SENT,
        from_name=given.from_name or "",
        text=_NEVER_SENT,
    )


def failed(given: SendEmailTemplateBody, rejected: Sequence[Rejected]) -> tuple[FailedTarget, ...]:
    """Return every recipient as it came, to be sent to again; with a reason where the fault is its own."""
    reasons = {each.address: each.reason for each in rejected}
    return tuple([_failed(target, reasons) for target in given.email_content])


def _failed(target: TemplateTarget, reasons: Mapping[str, str]) -> FailedTarget:
    reason = reasons.get(target.email_address, "")
    return FailedTarget(target.email_address, reason, target.template_variable_params)


def find(given: Mapping[str, object]) -> NotFoundError:
    """Return what comes of looking for the template that TemplateId names. Raises CallerError, MissingFieldError."""
    if "TemplateId" not in given:
        raise uspeedo_faults.missing("TemplateId")
    if not isinstance(given["TemplateId"], str) or not given["TemplateId"].strip():
        raise CallerError("TemplateId must be the id of a template.", field="TemplateId")
    return NotFoundError(NOT_FOUND, field="TemplateId")
