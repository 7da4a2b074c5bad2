"""Templates stored by uSpeedo's calls: from their JSON to a source, and from what is stored to JSON.

    CreateEmailTemplate  UpdateEmailTemplate     publish what they say at once, or hand it in for approval
    QueryEmailTemplate   GetEmailTemplate        a page of them; one with its content
    DeleteEmailTemplate

Theirs are HTML with `{name}` or `{1}`, in one language. Of a template that was made otherwise an update changes what it
gives and leaves the rest; new HTML is theirs again. `MaterialMD5`, `VariableAttr`, `InTask` are checked and not kept.
Source: shared/uspeedo.md 1.5, 1.6, 1.8, 1.10, 5.4; QueryUSMSTemplate is the model for what has no page of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from outrider.base import digits, limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream, TemplateState
from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_senders import PER_PAGE_COUNT, PER_PAGE_COUNT_MAX
from outrider.faces.api.dialects.uspeedo_types import TemplateRow, TemplateWhole
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax
from outrider.services.templates.templates import ListedTemplate, StoredTemplate, TemplateChoice, TemplateDetails

_TRANSACTIONAL, _MARKETING = 1, 2  # Their TriggerType.
_RICH_TEXT, _DRAG_AND_DROP = 1, 2  # Their Editor.
_STATUSES: Final[Mapping[TemplateState, int]] = {
    TemplateState.DRAFT: 0,
    TemplateState.PENDING: 0,
    TemplateState.REVIEWING: 1,
    TemplateState.APPROVED: 2,
    TemplateState.REJECTED: 3,
    TemplateState.DISABLED: 4,
}
_IDS_COUNT_MAX: Final = 100  # Ours: as SessionNoSet of their SMS twin.
_ID_CHARS_MAX: Final = 100  # Ours: theirs have 17.
_PAGE_MAX: Final = 2**31 - 1
_TEXT_CHARS_MAX: Final = 2**31  # What the engine bounds by itself, in bytes.


class Made(msgspec.Struct, frozen=True):
    """A template to be stored."""

    name: str
    stream: Stream
    source: Source


class Edited(msgspec.Struct, frozen=True):
    """What to change of a template; None: it stays."""

    template_id: str
    name: str | None
    stream: Stream | None
    edit: Callable[[Source], Source] | None


def read_new(given: Mapping[str, object]) -> Made:
    """Return the template that CreateEmailTemplate describes. Raises CallerError, MissingFieldError for the field."""
    name = _required(given, "Name")
    subject = _required(given, "Subject")
    preheader = _text(given, "Abstract") or ""
    stream = _stream(given)
    if stream is None:
        raise uspeedo_faults.missing("TriggerType")
    editor = _number(given, "Editor", least=_RICH_TEXT, most=_DRAG_AND_DROP) or _RICH_TEXT
    body = _required(given, "HtmlContent")
    document = _document(given, editor)
    _check_unused(given)
    return Made(
        name.strip(),
        stream,
        Source(
            markup=Markup.HTML,
            syntax=Syntax.BRACES,
            variants=(SourceVariant(subject=subject, preheader=preheader, body=body),),
            editor=str(editor),
            document=document,
        ),
    )


def read_change(given: Mapping[str, object]) -> Edited:
    """Return what UpdateEmailTemplate changes. Raises CallerError, MissingFieldError for the field at fault."""
    template_id = read_id(given)
    name, stream = _text(given, "Name"), _stream(given)
    subject, preheader, body = (_text(given, field) for field in ("Subject", "Abstract", "HtmlContent"))
    for field, text in (("Name", name), ("Subject", subject), ("HtmlContent", body)):
        if text is not None and not text.strip():
            raise CallerError(f"{field} is empty.", field=field)
    editor = _number(given, "Editor", least=_RICH_TEXT, most=_DRAG_AND_DROP)
    document = _document(given, editor) if editor is not None else _text(given, "JsonContent")
    _check_unused(given)
    texts = {"subject": subject, "preheader": preheader, "body": body}
    new: dict[str, object] = {name: value for name, value in texts.items() if value is not None}
    changes: dict[str, object] = {}
    if body is not None:
        new["text"] = None  # It was made from the old one.
        changes |= {"markup": Markup.HTML, "syntax": Syntax.BRACES}
    if editor is not None:
        changes["editor"] = str(editor)
    if document is not None:
        changes["document"] = document

    def edit(source: Source) -> Source:
        first, *others = source.variants
        return msgspec.structs.replace(source, variants=(msgspec.structs.replace(first, **new), *others), **changes)

    return Edited(template_id, None if name is None else name.strip(), stream, edit if new or changes else None)


def read_id(given: Mapping[str, object]) -> str:
    """Return the template that TemplateId names. Raises CallerError, MissingFieldError."""
    if given.get("TemplateId") is None:
        raise uspeedo_faults.missing("TemplateId")
    text = given["TemplateId"]
    if not isinstance(text, str) or not text.strip():
        raise CallerError("TemplateId must be the id of a template.", field="TemplateId")
    return text.strip()


def read_query(given: Mapping[str, object]) -> TemplateChoice:
    """Return which templates QueryEmailTemplate asks for; what is null or "" is as good as absent.

    Args:
        given: strings from a query string, or the values of a JSON object.

    Raises:
        CallerError: for the parameter at fault.
    """
    count = _number(given, "NumPerPage", least=1, most=PER_PAGE_COUNT_MAX) or PER_PAGE_COUNT
    at = _number(given, "Page", least=0, most=_PAGE_MAX) or 0
    status = _number(given, "Status", least=0, most=max(_STATUSES.values()))
    return TemplateChoice(
        template_ids=_ids(given),
        name=(_text(given, "Name", chars_max=limits.TEMPLATE_NAME_CHARS_MAX) or "").strip(),
        subject=(_text(given, "Subject", chars_max=limits.SUBJECT_CHARS_MAX) or "").strip(),
        stream=_stream(given),
        states=None if status is None else [state for state, number in _STATUSES.items() if number == status],
        is_by_update=True,
        offset=at * count,
        count_max=count,
    )


def row(listed: ListedTemplate) -> TemplateRow:
    """Return a template of a list."""
    return TemplateRow(**_facts(listed.template, listed.subject, len(listed.variables)))


def whole(details: TemplateDetails) -> TemplateWhole:
    """Return a template with what an update would change; of several languages the first."""
    source, first = details.source, details.source.variants[0]
    names = list(details.version.variables)
    return TemplateWhole(
        **_facts(details.template, first.subject, len(names)),
        abstract=first.preheader,
        editor=_DRAG_AND_DROP if source.editor == str(_DRAG_AND_DROP) else _RICH_TEXT,
        html_content=first.body,
        json_content=source.document,
        variables=names,
    )


def status_of(template: StoredTemplate) -> int:
    """Return the number by which they know the template's state."""
    return _STATUSES[template.state]


def _facts(template: StoredTemplate, subject: str, variable_count: int) -> dict[str, Any]:
    return {
        "template_id": template.template_id,
        "name": template.name,
        "subject": subject,
        "trigger_type": _MARKETING if template.stream is Stream.MARKETING else _TRANSACTIONAL,
        "tag_count": variable_count,
        "status": status_of(template),
        "err_desc": template.state_reason,
        "create_time": int(template.created_at.timestamp()),
        "update_time": int(template.updated_at.timestamp()),
    }


def _required(given: Mapping[str, object], name: str) -> str:
    text = _text(given, name)
    if text is None:
        raise uspeedo_faults.missing(name)
    if not text.strip():
        raise CallerError(f"{name} is empty.", field=name)
    return text


def _text(given: Mapping[str, object], name: str, *, chars_max: int = _TEXT_CHARS_MAX) -> str | None:
    """Return a text, None if it is not there. Raises CallerError."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise CallerError(f"{name} must be a string.", field=name)
    if "\x00" in value or len(value) > chars_max:
        raise CallerError(f"{name} is too long, or has a character in it that no text has.", field=name)
    return value


def _number(given: Mapping[str, object], name: str, *, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    number = digits.parse(value, most=most) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise CallerError(f"{name} is a whole number from {least} to {most}.", field=name)
    return number


def _stream(given: Mapping[str, object]) -> Stream | None:
    kind = _number(given, "TriggerType", least=_TRANSACTIONAL, most=_MARKETING)
    if kind is None:
        return None
    return Stream.MARKETING if kind == _MARKETING else Stream.TRANSACTIONAL


def _document(given: Mapping[str, object], editor: int) -> str:
    """Return the drag-and-drop editor's own document; the other editor has none. Raises CallerError."""
    text = _text(given, "JsonContent") or ""
    if editor == _DRAG_AND_DROP and not text.strip():
        raise uspeedo_faults.missing("JsonContent")
    return text


def _check_unused(given: Mapping[str, object]) -> None:
    """Raise CallerError if a field that counts for nothing here is not what it should be."""
    _strings(given, "MaterialMD5")
    _text(given, "VariableAttr")
    if not isinstance(given.get("InTask"), bool | None):
        raise CallerError("InTask must be true or false.", field="InTask")


def _ids(given: Mapping[str, object]) -> list[str] | None:
    """Return the ids asked for, None for all: one, or a list, with commas in a query string."""
    value = given.get("TemplateId")
    found = [one.strip() for one in value.split(",")] if isinstance(value, str) else _strings(given, "TemplateId")
    found = [one for one in found or () if one]
    if len(found) > _IDS_COUNT_MAX or any(len(one) > _ID_CHARS_MAX or "\x00" in one for one in found):
        raise CallerError(f"TemplateId is at most {_IDS_COUNT_MAX} ids.", field="TemplateId")
    return found or None


def _strings(given: Mapping[str, object], name: str) -> list[str] | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=list[str]) if isinstance(value, msgspec.Raw) else _no_strings(name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _no_strings(name)


def _no_strings(name: str) -> list[str]:
    raise CallerError(f"{name} must be an array of strings.", field=name)
