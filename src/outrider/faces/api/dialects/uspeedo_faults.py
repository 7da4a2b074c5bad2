"""From what went wrong to uSpeedo's RetCode and Message, plus a sentence of ours that helps.

    RetCode  HTTP  Message
    215392   200   Invalid parameter [Field]       wrong type, length, characters; [Body]: not a JSON object at all
    215393   200   Authentication failed
    215396   200   NotFound parameter [Field]
    215397   200   Missing parameter [Field]
    215400   200   Server error                    a bug of ours; the log has the request's id
    215400   429   Limit reached                   with Retry-After
    215400   503   Service busy                    with Retry-After; nothing was kept

Their SDKs throw the body away when the status is 400 or more, so only answers worth repeating get such a status.
The engine names fields of `Submission`; callers read the names of their JSON. Sources: shared/uspeedo.md 1.9.
"""

import math
from typing import Final

import msgspec

from outrider.base.errors import CallerError, LimitReachedError, MissingFieldError, OutriderError
from outrider.faces.api.dialects.uspeedo_types import Fault

RETRY_AFTER_S: Final = 5  # Ours: a restart of the database takes about as long.
SERVER_ERROR: Final = "Something went wrong on our side. Give the RequestUuid to whoever runs this server."
_BODY: Final = "Body"
_FIELD_NAMES: Final = {
    "sender": "SendEmail",
    "recipients": "TargetEmailAddress",
    "subject": "Subject",
    "from_name": "FromName",
    "content": "Content",
    "text": "Content",
    "html": "Content",
    "idempotency_key": "Idempotency-Key",
    "session_id": "SessionNo",
}
_RESTATED_STATUSES: Final = frozenset({429, 503})

_split: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Rendered(msgspec.Struct, frozen=True):
    """An error as this dialect says it."""

    status: int
    fault: Fault
    headers: tuple[tuple[bytes, bytes], ...] = ()


def render(error: OutriderError, request_id: str) -> Rendered:
    """Return the answer to a call that failed with `error`."""
    if error.status in _RESTATED_STATUSES:
        limit = isinstance(error, LimitReachedError)
        wait_s = max(1, math.ceil(error.retry_after_s)) if isinstance(error, LimitReachedError) else RETRY_AFTER_S
        message = "Limit reached" if limit else "Service busy"
        fault = Fault(error.ret_code, message, request_id, error.public)
        return Rendered(error.status, fault, ((b"retry-after", b"%d" % wait_s),))
    if not isinstance(error, CallerError):
        return Rendered(200, Fault(error.ret_code, "Server error", request_id, SERVER_ERROR))
    return Rendered(200, Fault(error.ret_code, _message(error.ret_code, error.field), request_id, error.public))


def _message(ret_code: int, field: str) -> str:
    name = _FIELD_NAMES.get(field, field) or _BODY
    match ret_code:
        case 215393:
            return "Authentication failed"
        case 215396:
            return f"NotFound parameter [{name}]"
        case 215397:
            return f"Missing parameter [{name}]"
        case 215392:
            return f"Invalid parameter [{name}]"
        case _:  # A code added later: true, if not helpful.
            return "Request failed"


def explain(body: bytes) -> CallerError:
    """Return what is wrong with a SendEmail body that would not decode, naming the first field at fault."""
    if not body:
        return CallerError("The body is empty; send a JSON object.", field=_BODY)
    try:
        fields = _split(body)
    except msgspec.ValidationError:
        return CallerError('The body is JSON but not an object; send {"SendEmail": ...}.', field=_BODY)
    except RecursionError:
        return CallerError("The body is nested too deeply.", field=_BODY)
    except msgspec.DecodeError as error:
        return CallerError(f"The body is not valid JSON: {_bare(error)}.", field=_BODY)
    except UnicodeDecodeError:
        return CallerError("The body is not valid UTF-8.", field=_BODY)
    for check in (_sender_fault, _recipients_fault, _subject_fault, _content_fault, _from_name_fault):
        fault = check(fields)
        if fault is not None:
            return fault
    return CallerError("A field is given twice, once with a wrong value.", field=_BODY)


def _sender_fault(fields: dict[str, msgspec.Raw]) -> CallerError | None:
    """SendEmail has an older name, SenderEmail; either will do, and null is as good as absent beside the other."""
    named = [name for name in ("SendEmail", "SenderEmail") if name in fields]
    told = [name for name in named if _kind(fields[name]) != "null"] or named
    if not told:
        return missing("SendEmail")
    return next((fault for name in told if (fault := _string_fault(fields[name], name, reported="SendEmail"))), None)


def _recipients_fault(fields: dict[str, msgspec.Raw]) -> CallerError | None:
    name = "TargetEmailAddress"
    if name not in fields:
        return missing(name)
    found = _kind(fields[name])
    if found != "an array":
        return CallerError(f"{name} is {found}; it must be an array of strings.", field=name)
    elements = msgspec.json.decode(fields[name], type=list[msgspec.Raw])
    for position, element in enumerate(elements):
        fault = _string_fault(element, f"{name}[{position}]", reported=name)
        if fault is not None:
            return fault
    return None


def _subject_fault(fields: dict[str, msgspec.Raw]) -> CallerError | None:
    return _text_fault(fields, "Subject")


def _content_fault(fields: dict[str, msgspec.Raw]) -> CallerError | None:
    return _text_fault(fields, "Content")


def _from_name_fault(fields: dict[str, msgspec.Raw]) -> CallerError | None:
    if "FromName" not in fields or _kind(fields["FromName"]) == "null":
        return None
    return _text_fault(fields, "FromName")


def _text_fault(fields: dict[str, msgspec.Raw], name: str) -> CallerError | None:
    return _string_fault(fields[name], name, reported=name) if name in fields else missing(name)


def _string_fault(raw: msgspec.Raw, shown: str, *, reported: str) -> CallerError | None:
    found = _kind(raw)
    if found != "a string":
        return CallerError(f"{shown} is {found}; it must be a string.", field=reported)
    try:
        msgspec.json.decode(raw, type=str)
    except UnicodeDecodeError:
        return CallerError(f"{shown} is not valid UTF-8.", field=reported)
    except msgspec.DecodeError as error:
        return CallerError(f"{shown} is not a valid JSON string: {_bare(error)}.", field=reported)
    return None


def _kind(raw: msgspec.Raw) -> str:
    """Return what kind of JSON value this is, with its article; its first byte says it."""
    first = bytes(raw)[:1]
    kinds = {b'"': "a string", b"[": "an array", b"{": "an object", b"t": "a boolean", b"f": "a boolean", b"n": "null"}
    return kinds.get(first, "a number")


def _bare(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ").lower()


def missing(name: str) -> MissingFieldError:
    """Return the error of a required field that is not there."""
    return MissingFieldError(f"{name} is required.", field=name)
