"""Looks at a simulation while it runs: does everything that waits have a reason, and does everybody get a turn?

Each second of its time it asks of every queued recipient why it waits, and of every (project, stream, provider) with
mail that is ready since when nobody of it was let in while others of the same stream were, or marketing before it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import Stream, WaitKind
from outrider.engine.lanes import LaneKeeper
from outrider.policy.route import Egress
from outrider.policy.shaping import Place
from outrider.testing.simdatabase import LaneRow, QueueRow, SimDatabase
from outrider.testing.simplan import Plan
from outrider.testing.simstory import Story

EVERY_S: Final = 1.0
FREE_S_MAX: Final = 45.0  # Ours: a due lane that nobody has, while somebody who serves its pool has room for it.
STARVED_S_MAX: Final = {Stream.TRANSACTIONAL: 45.0, Stream.MARKETING: 150.0}  # Ours: twice a pause, and a lost lease.
PASSED_COUNT_MAX: Final = 5  # Ours: where a token comes every ten seconds, three of another are half a minute.
# Kinds of a pause that are about turns; the others are a word of the provider, the customer or the operator.
_IN_TURN: Final = frozenset({None, WaitKind.RATE, WaitKind.THROTTLE, WaitKind.CONNECTIONS, WaitKind.TURN})
_Group = tuple[str, UUID, str, str]  # Pool, project, stream, key.


class Worker(Protocol):
    """A process that may lease lanes."""

    is_alive: bool
    keeper: LaneKeeper

    @property
    def egress(self) -> Egress:
        """What it serves."""


class Watched(Protocol):
    """A simulation that runs."""

    @property
    def clock(self) -> Clock:
        """Its time."""

    @property
    def plan(self) -> Plan:
        """What it plays."""

    @property
    def database(self) -> SimDatabase:
        """Its tables."""

    @property
    def story(self) -> Story:
        """What happened so far."""

    @property
    def processes(self) -> Sequence[Worker]:
        """Who works."""

    def place_of(self, domain: str) -> Place:
        """Return whose limits hold for a domain."""


class Watch:
    """See the module."""

    def __init__(self, world: Watched) -> None:
        self._world: Final = world
        self._free_since_s: Final[dict[int, float]] = {}
        self._ready_since_s: Final[dict[_Group, float]] = {}
        self._seen_count = 0  # Of admissions.
        self._passed_at_s: Final[dict[_Group, list[float]]] = {}  # When others were let in while it was ready.

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._world.clock.sleep(EVERY_S)
            self.look()

    def finish(self) -> None:
        """Look for the last time."""
        self.look()

    def look(self) -> None:
        """Look once."""
        now = self._world.clock.now()
        waiting = list(self._lanes())
        ids = {lane.lane_id for lane, _ in waiting}
        for lane_id in [lane_id for lane_id in self._free_since_s if lane_id not in ids]:
            del self._free_since_s[lane_id]
        for lane, rows in waiting:
            self._look_at_lane(lane, rows, now)
            for row in rows:
                if not self.reason_of(lane, row, now):
                    self._complain(f"{row.recipient_id} in lane {lane.lane_id} waits without a reason")
        self._look_at_turns(now)

    def reason_of(self, lane: LaneRow, row: QueueRow, now: datetime) -> str:
        """Say why a recipient waits; "": nobody knows."""
        if lane.paused_until is not None and lane.paused_until > now:
            return f"{lane.pause_kind}: {lane.pause_reason}" if lane.pause_kind and lane.pause_reason else ""
        if row.due_at > now:
            who = self._world.database.recipients[row.recipient_id]
            return f"deferred: {who.reason}" if row.attempt == 0 or who.reason else ""
        if lane.owner is not None:
            return "leased"
        # Due and free; for how long is `_look_at_lane`. A wall clock that stepped back makes what was now the future.
        is_asleep = lane.next_due_at > now + timedelta(seconds=self._stepped_back_s)
        return "" if is_asleep else "due"

    @property
    def _stepped_back_s(self) -> float:
        return -sum(min(delta_s, 0.0) for _, delta_s in self._world.story.steps)

    def _lanes(self) -> Iterator[tuple[LaneRow, list[QueueRow]]]:
        database = self._world.database
        for lane_id, rows in database.of_lane.items():
            if rows:
                yield database.lanes[lane_id], list(rows.values())

    def _look_at_lane(self, lane: LaneRow, rows: list[QueueRow], now: datetime) -> None:
        world, now_s = self._world, self._world.clock.monotonic_s()
        is_free = lane.owner is None or (lane.lease_until is not None and lane.lease_until < now)
        is_due = lane.next_due_at <= now and any(row.due_at <= now for row in rows)
        if not (is_free and is_due and self._has_room(lane)) or world.database.is_away:
            self._free_since_s.pop(lane.lane_id, None)
            return
        waited_s = now_s - self._free_since_s.setdefault(lane.lane_id, now_s)
        self._note_longest("due and free", waited_s)
        if waited_s > FREE_S_MAX:
            self._complain(f"lane {lane.lane_id} was due and free for {waited_s:.0f} s")

    def _has_room(self, lane: LaneRow) -> bool:
        """Whether a process that serves the lane's pool lives and may lease one more of its stream."""
        engine = self._world.plan.engine
        lanes_max = engine.lanes_max
        if lane.stream == Stream.MARKETING:
            lanes_max = max(1, int(lanes_max * engine.marketing_ratio_max))
        return any(
            process.is_alive and lane.pool in process.egress.pools_served and process.keeper.held_count < lanes_max
            for process in self._world.processes
        )

    def _look_at_turns(self, now: datetime) -> None:
        world, now_s = self._world, self._world.clock.monotonic_s()
        ready = {
            (lane.pool, lane.project_id, str(lane.stream), world.place_of(lane.route).key)
            for lane, rows in self._lanes()
            if self._is_ready(lane, rows, now)
        }
        for group in [group for group in self._ready_since_s if group not in ready]:
            del self._ready_since_s[group]
        fresh = world.story.admissions[self._seen_count :]
        self._seen_count += len(fresh)
        for group in ready:
            self._ready_since_s.setdefault(group, now_s)
            pool, project_id, stream, key = group
            passed = self._passed_at_s.setdefault(group, [])
            here = [one for one in fresh if (one.pool, one.key) == (pool, key)]
            rivals = [one for one in here if stream in (str(one.stream), Stream.TRANSACTIONAL)]
            if any(one.project_id == project_id and str(one.stream) == stream for one in rivals):
                self._ready_since_s[group] = now_s
                passed.clear()
                continue
            passed += [one.at_s for one in rivals]
            waited_s = now_s - self._ready_since_s[group]
            late = [at_s for at_s in passed if at_s > self._ready_since_s[group] + waited_s / 2]
            if len(late) > 1:
                self._note_longest(f"passed over, {stream}", waited_s)
                if waited_s > STARVED_S_MAX[Stream(stream)] and len(passed) > PASSED_COUNT_MAX:
                    self._complain(f"{group} was passed over for {waited_s:.0f} s, {len(passed)} times")

    def _is_ready(self, lane: LaneRow, rows: list[QueueRow], now: datetime) -> bool:
        is_kept = lane.paused_until is not None and lane.paused_until > now and lane.pause_kind not in _IN_TURN
        is_due = lane.hold_id is None and any(row.due_at <= now for row in rows)
        return is_due and not is_kept and (lane.owner is not None or self._has_room(lane))

    def _note_longest(self, what: str, waited_s: float) -> None:
        longest = self._world.story.longest_s
        longest[what] = max(longest.get(what, 0.0), waited_s)

    def _complain(self, text: str) -> None:
        complaints = self._world.story.complaints
        if len(complaints) < 20:
            complaints.append(f"at {self._world.clock.monotonic_s():.1f} s {text}")
