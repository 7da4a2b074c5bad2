"""The tables `sending_hour` and `guard` of a simulated database; part of `simdatabase`, which see.

One method a statement of `store.sending` and `store.guards` that a simulation runs, and of pauses in
`store.lanes`: `end_pauses`, `tell`, `unpaused`.
Read each beside its SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.store import guards, lanes, sending
from outrider.store.guards import Guard

Rows = list[dict[str, Any]]
_IN_FORCE: Final = ("slow", "pause")


class SimGuards:
    """The rows of both tables."""

    def __init__(self, lanes: Mapping[int, Any]) -> None:
        self._lanes: Final = lanes
        self.guards: Final[dict[tuple[Any, ...], Guard]] = {}  # By its key.
        self.sendings: Final[dict[tuple[Any, ...], list[int]]] = {}  # Sent, invalid, complained.

    def add(self, writer: str, *columns: Sequence[Any]) -> Rows:
        """Count what was sent."""
        for *key, sent, invalid, complained, campaign in zip(*columns, strict=True):
            counts = self.sendings.setdefault((*key, campaign, writer), [0, 0, 0])
            counts[:] = [old + new for old, new in zip(counts, (sent, invalid, complained), strict=True)]
        return []

    def of_hour(self, hour: datetime, project_id: UUID, sender_domain: str, stream: str, campaign: str) -> Rows:
        """Sum up an hour."""
        total = [0, 0, 0]
        for (at, project, domain, of_stream, of_campaign, _), counts in self.sendings.items():
            is_asked = sender_domain in ("", domain) and campaign in ("", of_campaign)
            if (at, project, of_stream) == (hour, project_id, stream) and is_asked:
                total = [old + new for old, new in zip(total, counts, strict=True)]
        return [dict(zip(("sent", "invalid", "complained"), total, strict=True))]

    def in_force(self) -> Rows:
        """Read what slows or pauses."""
        return [_row(guard) for _, guard in sorted(self.guards.items()) if guard.level in _IN_FORCE]

    def of_subject(self, project_id: UUID, sender_domain: str, campaign: str) -> Rows:
        """Read the guards of a domain or campaign."""
        asked = (project_id, sender_domain, campaign)
        return [_row(guard) for key, guard in sorted(self.guards.items()) if (*key[:2], key[3]) == asked]

    def begin(self, *values: Any) -> Rows:
        """Write a first row."""
        guard = Guard(*values)
        if _key(guard) in self.guards:
            return []
        self.guards[_key(guard)] = guard
        return [{}]

    def move(self, *values: Any) -> Rows:
        """Change a row that is as it was seen."""
        key, seen, changed = values[:4], values[4:6], values[6:]
        guard = self.guards.get(key)
        if guard is None or (guard.level, guard.since) != seen:
            return []
        names = Guard.__struct_fields__[3:-1]
        self.guards[key] = msgspec.structs.replace(guard, **dict(zip(names, changed, strict=True)))
        return [{}]

    def waiting_of_domain(self, project_id: UUID, sender_domain: str, kind: str, campaign: str) -> Rows:
        """Find lanes of a domain, or of a project, that wait for one reason."""
        return [
            {"lane_id": lane_id}
            for lane_id, lane in sorted(self._lanes.items())
            if (lane.project_id, lane.pause_kind) == (project_id, kind)
            and lane.paused_until is not None
            and sender_domain in ("", lane.sender_domain)
            and campaign in ("", lane.campaign)
        ]

    def unpause(self, lane_ids: Sequence[int], now: datetime) -> Rows:
        """Let lanes be looked at."""
        for lane in (self._lanes[lane_id] for lane_id in lane_ids):
            lane.paused_until = lane.pause_kind = lane.pause_reason = lane.paused_since = None
            lane.next_due_at = now
        return [{} for _ in lane_ids]

    def tell(self, lane_ids: Sequence[int], *given: Any) -> Rows:
        """Say why the owners of lanes wait."""
        *columns, now = given
        for lane_id, until, kind, reason in zip(lane_ids, *columns, strict=True):
            lane = self._lanes[lane_id]
            if until is None:
                lane.paused_since = None
            elif lane.pause_kind is None or lane.pause_kind != kind:
                lane.paused_since = now
            lane.paused_until, lane.pause_kind, lane.pause_reason = until, kind, reason
        return [{} for _ in lane_ids]

    def unpaused(self, owner: UUID, lane_ids: Sequence[int]) -> Rows:
        """Find lanes of an owner that are in no pause."""
        found = [lane_id for lane_id in lane_ids if self._lanes[lane_id].owner == owner]
        return [{"lane_id": lane_id} for lane_id in found if self._lanes[lane_id].paused_until is None]


STATEMENTS: Final[Mapping[str, Callable[..., Rows]]] = {
    sending._ADD: SimGuards.add,
    sending._OF_HOUR: SimGuards.of_hour,
    guards._IN_FORCE: SimGuards.in_force,
    guards._OF: SimGuards.of_subject,
    guards._BEGIN: SimGuards.begin,
    guards._MOVE: SimGuards.move,
    lanes._LOCK_OF_DOMAIN: SimGuards.waiting_of_domain,
    lanes._UNPAUSE: SimGuards.unpause,
    lanes._TELL: SimGuards.tell,
    lanes._UNPAUSED: SimGuards.unpaused,
}


def _key(guard: Guard) -> tuple[Any, ...]:
    return guard.project_id, guard.sender_domain, guard.stream, guard.campaign


def _row(guard: Guard) -> dict[str, Any]:
    values = msgspec.structs.asdict(guard)
    return {("state" if name == "level" else name): value for name, value in values.items()}
