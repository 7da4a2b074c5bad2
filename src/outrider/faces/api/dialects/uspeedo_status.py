"""SendStatus: from the session asked for to its life as uSpeedo's JSON would say it."""

from collections.abc import Mapping
from uuid import UUID

from outrider.base.errors import CallerError
from outrider.faces.api.dialects import uspeedo_faults
from outrider.faces.api.dialects.uspeedo_types import RecipientRow
from outrider.services.reports import EventView, RecipientView, SessionView


def read(given: Mapping[str, object]) -> UUID:
    """Return the session that SessionNo names. Raises CallerError, MissingFieldError."""
    if "SessionNo" not in given:
        raise uspeedo_faults.missing("SessionNo")
    text = given["SessionNo"]
    try:
        session_id = UUID(text) if isinstance(text, str) else None
    except ValueError:
        session_id = None
    if session_id is None or str(session_id) != str(text).lower():  # UUID() also takes braces, underscores and more.
        raise CallerError("SessionNo must look like 3b6c8a0e-4d1f-4a53-9b0f-2f6f0f0c7a11.", field="SessionNo")
    return session_id


def rows(view: SessionView) -> list[RecipientRow]:
    """Return the recipients, in the caller's order."""
    return [_row(recipient) for recipient in view.recipients]


def _row(view: RecipientView) -> RecipientRow:
    next_at = view.next_attempt_at
    return RecipientRow(
        email_address=view.address,
        status=view.status.value,
        reason=view.reason,
        reply=view.reply,
        attempts=view.attempt_count,
        next_attempt_time=None if next_at is None else int(next_at.timestamp()),
        update_time=int(view.updated_at.timestamp()),
        events=[_event(event) for event in view.events],
    )


def _event(view: EventView) -> dict[str, str | int | float | bool]:
    facts = {_camel(name): value for name, value in view.facts.items()}
    said = {"Event": view.kind.value, "Time": int(view.at.timestamp()), "Reason": view.reason, "Reply": view.reply}
    return said | {name: value for name, value in facts.items() if name not in said}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
