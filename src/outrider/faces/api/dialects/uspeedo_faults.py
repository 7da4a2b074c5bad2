"""From what went wrong to uSpeedo's RetCode and Message, plus a sentence of ours that helps.

    RetCode  HTTP  Message
    215392   200   Invalid parameter [Field]       wrong type, length, characters; [Body]: not a JSON object at all
    215393   200   Authentication failed
    215394   200   Signature check failed
    215395   200   Timestamp expired
    215396   200   NotFound parameter [Field]
    215397   200   Missing parameter [Field]
    215398   200   Token could not be parsed
    215399   200   Token invalid
    215400   200   Server error                    a bug of ours; the log has the request's id
    215400   429   Limit reached                   with Retry-After
    215400   503   Service busy                    with Retry-After; nothing was kept

Their SDKs throw the body away when the status is 400 or more, so only answers worth repeating get such a status.
The engine names fields of `Submission`; callers read the names of their JSON. Sources: shared/uspeedo.md 1.9.
"""

import math
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from outrider.base.errors import CallerError, LimitReachedError, MissingFieldError, OutriderError
from outrider.faces.api.dialects.uspeedo_types import Fault

RETRY_AFTER_S: Final = 5  # Ours: a restart of the database takes about as long.
SERVER_ERROR: Final = "Something went wrong on our side. Give the RequestUuid to whoever runs this server."
BODY: Final = "Body"
_FIELD_NAMES: Final = {
    "sender": "SendEmail",
    "recipients": "TargetEmailAddress",
    "subject": "Subject",
    "from_name": "FromName",
    "content": "Content",
    "text": "Content",
    "html": "Content",
    "variables": "TemplateVariableParams",
    "idempotency_key": "Idempotency-Key",
    "session_id": "SessionNo",
    "words": "FuzzySearch",
    "template": "TemplateId",
    "name": "Name",
    "stream": "TriggerType",
    "body": "HtmlContent",
    "preheader": "Abstract",
    "document": "JsonContent",
}
_RESTATED_STATUSES: Final = frozenset({429, 503})


class Rendered(msgspec.Struct, frozen=True):
    """An error as this dialect says it."""

    status: int
    fault: Fault
    headers: tuple[tuple[bytes, bytes], ...] = ()


def render(error: OutriderError, request_id: str, action: str | UnsetType = UNSET) -> Rendered:
    """Return the answer to a call that failed with `error`; `action` is what the Action API repeats."""
    if error.status in _RESTATED_STATUSES:
        limit = isinstance(error, LimitReachedError)
        wait_s = max(1, math.ceil(error.retry_after_s)) if isinstance(error, LimitReachedError) else RETRY_AFTER_S
        message = "Limit reached" if limit else "Service busy"
        headers = ((b"retry-after", b"%d" % wait_s),)
        return Rendered(error.status, fault(error.ret_code, message, request_id, error.public, action=action), headers)
    if not isinstance(error, CallerError):
        return Rendered(200, fault(error.ret_code, "Server error", request_id, SERVER_ERROR, action=action))
    message = message_of(error)
    return Rendered(200, fault(error.ret_code, message, request_id, error.public, action=action))


def fault(ret_code: int, message: str, request_id: str, detail: str, *, action: str | UnsetType = UNSET) -> Fault:
    """Return the envelope of what went wrong."""
    return Fault(action=action, ret_code=ret_code, message=message, request_uuid=request_id, detail=detail)


def message_of(error: CallerError) -> str:
    """Return uSpeedo's words for it."""
    return _message(error.ret_code, error.field)


def _message(ret_code: int, field: str) -> str:
    name = _FIELD_NAMES.get(field, field) or BODY
    match ret_code:
        case 215393:
            return "Authentication failed"
        case 215394:
            return "Signature check failed"
        case 215395:
            return "Timestamp expired"
        case 215398:
            return "Token could not be parsed"
        case 215399:
            return "Token invalid"
        case 215396:
            return f"NotFound parameter [{name}]"
        case 215397:
            return f"Missing parameter [{name}]"
        case 215392:
            return f"Invalid parameter [{name}]"
        case _:  # A code added later: true, if not helpful.
            return "Request failed"


def missing(name: str) -> MissingFieldError:
    """Return the error of a required field that is not there."""
    return MissingFieldError(f"{name} is required.", field=name)
