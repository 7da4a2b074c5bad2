"""The event of a recipient that an operator's word took out of the queue, or put back into it."""

from datetime import datetime

from outrider.base.vocab import EventKind
from outrider.store.events import NewEvent
from outrider.store.waiting import OPERATOR, Taken


def event(kind: EventKind, taken: Taken, *, at: datetime, note: str) -> NewEvent:
    """Return it. `note` is the operator's, "" for none."""
    facts: dict[str, str | int | float | bool] = {}
    if taken.lane_id:
        facts["lane_id"] = taken.lane_id
    if kind is EventKind.HELD and taken.reason_before:
        facts["reason_before"] = taken.reason_before
    if note:
        facts["note"] = note
    if taken.may_repeat:
        facts["may_repeat"] = True
    return NewEvent(
        at=at,
        project_id=taken.project_id,
        message_id=taken.message_id,
        recipient_id=taken.recipient_id,
        kind=kind,
        attempt=taken.attempt,
        reason=OPERATOR,
        facts=facts,
    )
