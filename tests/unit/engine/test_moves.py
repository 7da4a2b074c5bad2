"""The event of a recipient that an operator moved."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind
from outrider.engine import moves
from outrider.store.waiting import Taken

NOW = datetime(2026, 5, 4, tzinfo=UTC)
TAKEN = Taken(UUID(int=1), UUID(int=2), UUID(int=3), attempt=4, lane_id=5, reason_before="greylist")


@pytest.mark.parametrize(
    ("kind", "changes", "note", "facts"),
    [
        (EventKind.HELD, {}, "", {"lane_id": 5, "reason_before": "greylist"}),
        (EventKind.CANCELLED, {"may_repeat": True}, "spam", {"lane_id": 5, "note": "spam", "may_repeat": True}),
        (EventKind.CANCELLED, {"lane_id": 0}, "", {}),
    ],
)
def test_it_says_whence_and_why(
    kind: EventKind, changes: dict[str, int], note: str, facts: dict[str, int | str | bool]
) -> None:
    told = moves.event(kind, msgspec.structs.replace(TAKEN, **changes), at=NOW, note=note)
    assert (told.kind, told.at, told.attempt, told.reason, told.facts) == (kind, NOW, 4, "operator", facts)
    assert (told.recipient_id, told.message_id, told.project_id) == (UUID(int=1), UUID(int=2), UUID(int=3))
