"""SendEmailTemplate: from its JSON to a `Submission` with each recipient's variables, and from what became of it back.

A variable is `name{##}value`, cut at the first `{##}`; its name may stand in braces as in the template, `{1}{##}Ann`.
All values are text. What a template lacks for one recipient is that recipient's failure, and it comes back as it was
sent, as does an address that is there again with other variables; what is wrong with template or sender fails all of
them, without a reason of their own.
Source: shared/uspeedo.md 1.4, 1.6, 1.8, 3.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UnsetType

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Accepted, Personal, Rejected, Submission, Templated
from outrider.faces.api.dialects import uspeedo_explain, uspeedo_send
from outrider.faces.api.dialects.uspeedo_send import choose_sender
from outrider.faces.api.dialects.uspeedo_types import (
    FailedTarget,
    SendEmailAnswer,
    SendEmailTemplateBody,
    TemplateTarget,
)
from outrider.mail import address

SEPARATOR: Final = "{##}"
TWICE: Final = "the address is there twice: send this one in a call of its own"
_NEVER_SENT: Final = "-"  # Where the template would say it.
_decode: Final = msgspec.json.Decoder(SendEmailTemplateBody).decode
_encode: Final = msgspec.json.Encoder().encode


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


def request_hash(given: SendEmailTemplateBody) -> bytes:
    """Tell this call from another with the same idempotency key, whatever its template has become meanwhile."""
    return hashlib.sha256(b"SendEmailTemplate " + _encode(given)).digest()


def submission(given: SendEmailTemplateBody, found: Templated) -> Submission:
    """Return the call as the engine takes it, with the template that it names."""
    if given.abstract:
        found = msgspec.structs.replace(found, preheader=given.abstract)
    return Submission(
        sender=choose_sender(given.send_email, given.sender_email) or "",
        recipients=tuple([target.email_address for target in given.email_content]),
        subject=given.subject or "",
        from_name=given.from_name or "",
        stream=found.stream or Stream.TRANSACTIONAL,
        templated=found,
        personal=tuple([Personal(variables(target.template_variable_params or ())) for target in given.email_content]),
    )


def variables(pairs: Sequence[str]) -> Mapping[str, str]:
    """Return what fills in the template; of a name that is there twice, the last."""
    found = {}
    for pair in pairs:
        name, _, value = pair.partition(SEPARATOR)
        name = name.strip()
        if name.startswith("{") and name.endswith("}"):
            name = name[1:-1].strip()
        found[name] = value
    return found


def stand_in(given: SendEmailTemplateBody) -> Submission:
    """Return the call with something in place of what its template would say, to be examined, not sent."""
    return Submission(
        sender=choose_sender(given.send_email, given.sender_email) or "",
        recipients=tuple([target.email_address for target in given.email_content]),
        subject=given.subject or _NEVER_SENT,
        from_name=given.from_name or "",
        text=_NEVER_SENT,
    )


def answer(
    given: SendEmailTemplateBody, accepted: Accepted, request_id: str, action: str | UnsetType
) -> SendEmailAnswer:
    """Return the answer: who failed comes back with the variables it came with."""
    told = failed(given, accepted.rejected)
    if accepted.session_id is None:
        return uspeedo_send.refused(
            told,
            request_id,
            action,
            ret_code=CallerError.ret_code,
            message="Invalid parameter [EmailContent]",
            detail="No recipient was accepted; FailedTargetEmails says why for each.",
        )
    return uspeedo_send.taken(accepted, told, request_id, action)


def failed(given: SendEmailTemplateBody, rejected: Sequence[Rejected]) -> tuple[FailedTarget, ...]:
    """Return the elements that no mail was made of as they came, each with its reason.

    An address gets one mail of a call, its first element's: one SessionNo has each address once. An element that says
    the same is that mail; one with other variables is told, or its mail would be nowhere.
    """
    reasons = {_key(one.address): one.reason for one in rejected}
    first: dict[str, Mapping[str, str]] = {}
    found = []
    for target in given.email_content:
        key, own = _key(target.email_address), variables(target.template_variable_params or ())
        if key not in first:
            first[key] = own
            if key in reasons:
                found.append(_failed(target, reasons[key]))
        elif own != first[key]:
            found.append(_failed(target, TWICE))
    return tuple(found)


def all_failed(given: SendEmailTemplateBody, rejected: Sequence[Rejected]) -> tuple[FailedTarget, ...]:
    """Return every recipient as it came, to be sent to again; with a reason where a fault is its own."""
    reasons = {_key(one.address): one.reason for one in rejected}
    return tuple([_failed(target, reasons.get(_key(target.email_address), "")) for target in given.email_content])


def _failed(target: TemplateTarget, reason: str) -> FailedTarget:
    return FailedTarget(target.email_address, reason, target.template_variable_params)


def _key(text: str) -> str:
    """The engine names an address as it wrote it down, the caller as it likes."""
    try:
        return address.parse(text).key
    except CallerError:
        return text
