"""What is wrong with a body that would not decode, in a sentence that names the first field at fault.

Only asked when the fast way has failed, so it takes its time: it looks at each field by itself, in the order in which
callers know them.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.dialects.uspeedo_faults import BODY, missing

_Fields = dict[str, msgspec.Raw]
_Check = Callable[[_Fields], CallerError | None]

_split: Final = msgspec.json.Decoder(_Fields).decode


def send_email(body: bytes) -> CallerError:
    """Return what is wrong with a SendEmail."""
    return _explain(body, (_sender_fault, _recipients_fault, _subject_fault, _content_fault, _from_name_fault))


def send_email_template(body: bytes) -> CallerError:
    """Return what is wrong with a SendEmailTemplate."""
    optional = (_subject_or_none_fault, _abstract_fault, _from_name_fault)
    return _explain(body, (_sender_fault, _template_fault, _targets_fault, *optional))


def action(body: bytes) -> CallerError:
    """Return what is wrong with a body that should have an `Action`."""
    return _explain(body, (lambda fields: _optional_fault(fields, "Action"),))


def split(body: bytes) -> _Fields:
    """Return the fields of a JSON object, undecoded. Raises CallerError: field "Body"; it is none."""
    if not body:
        raise CallerError("The body is empty; send a JSON object.", field=BODY)
    try:
        return _split(body)
    except msgspec.ValidationError:
        raise CallerError('The body is JSON but not an object; send {"SendEmail": ...}.', field=BODY) from None
    except RecursionError:
        raise CallerError("The body is nested too deeply.", field=BODY) from None
    except msgspec.DecodeError as error:
        raise CallerError(f"The body is not valid JSON: {_bare(error)}.", field=BODY) from None
    except UnicodeDecodeError:
        raise CallerError("The body is not valid UTF-8.", field=BODY) from None


def _explain(body: bytes, checks: Sequence[_Check]) -> CallerError:
    try:
        fields = split(body)
    except CallerError as error:
        return error
    try:
        fault = next((fault for check in checks if (fault := check(fields)) is not None), None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # Deeper inside than the checks look.
        return CallerError("There is text in it that is not valid UTF-8 or JSON.", field=BODY)
    return fault or CallerError("A field is given twice, once with a wrong value.", field=BODY)


def _sender_fault(fields: _Fields) -> CallerError | None:
    """SendEmail has an older name, SenderEmail; either will do, and null is as good as absent beside the other."""
    named = [name for name in ("SendEmail", "SenderEmail") if name in fields]
    told = [name for name in named if _kind(fields[name]) != "null"] or named
    if not told:
        return missing("SendEmail")
    return next((fault for name in told if (fault := _string_fault(fields[name], name, reported="SendEmail"))), None)


def _recipients_fault(fields: _Fields) -> CallerError | None:
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


def _subject_fault(fields: _Fields) -> CallerError | None:
    return _text_fault(fields, "Subject")


def _content_fault(fields: _Fields) -> CallerError | None:
    return _text_fault(fields, "Content")


def _from_name_fault(fields: _Fields) -> CallerError | None:
    return _optional_fault(fields, "FromName")


def _template_fault(fields: _Fields) -> CallerError | None:
    return _text_fault(fields, "TemplateId")


def _targets_fault(fields: _Fields) -> CallerError | None:
    name = "EmailContent"
    if name not in fields:
        return missing(name)
    found = _kind(fields[name])
    if found != "an array":
        return CallerError(f"{name} is {found}; it must be an array of objects.", field=name)
    elements = msgspec.json.decode(fields[name], type=list[msgspec.Raw])
    return next((fault for at, raw in enumerate(elements) if (fault := _target_fault(raw, f"{name}[{at}]"))), None)


def _target_fault(raw: msgspec.Raw, shown: str) -> CallerError | None:
    found = _kind(raw)
    if found != "an object":
        return CallerError(f"{shown} is {found}; it must be an object.", field="EmailContent")
    fields = _split(raw)
    if "EmailAddress" not in fields:
        return MissingFieldError(f"{shown}.EmailAddress is required.", field="EmailAddress")
    fault = _string_fault(fields["EmailAddress"], f"{shown}.EmailAddress", reported="EmailAddress")
    name = "TemplateVariableParams"
    if fault is not None or name not in fields or _kind(fields[name]) == "null":
        return fault
    found = _kind(fields[name])
    if found != "an array":
        return CallerError(f"{shown}.{name} is {found}; it must be an array of strings.", field=name)
    pairs = msgspec.json.decode(fields[name], type=list[msgspec.Raw])
    return next((fault for each in pairs if (fault := _string_fault(each, f"{shown}.{name}", reported=name))), None)


def _optional_fault(fields: _Fields, name: str) -> CallerError | None:
    if name not in fields or _kind(fields[name]) == "null":
        return None
    return _text_fault(fields, name)


def _subject_or_none_fault(fields: _Fields) -> CallerError | None:
    return _optional_fault(fields, "Subject")


def _abstract_fault(fields: _Fields) -> CallerError | None:
    return _optional_fault(fields, "Abstract")


def _text_fault(fields: _Fields, name: str) -> CallerError | None:
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
