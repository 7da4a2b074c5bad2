"""The tables of a simulated database, and what each statement of `store` does to them. Used through `simstore`.

One method a statement, found by the statement's text (`_STATEMENTS`), so that a new or changed one cannot be forgotten.
Read each beside its SQL; those about addresses are in `simaddresses`, about guards in `simguards`. Rows are in
dictionaries and small mutable records; nothing is locked, since nothing waits.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, HoldScope, RecipientStatus
from outrider.store import egress, events, holds, intake, lanes, messages, pool, projects, queue, recipients, waiting
from outrider.store.events import NewEvent
from outrider.testing import simaddresses, simguards
from outrider.testing.simaddresses import SimAddresses
from outrider.testing.simguards import SimGuards
from outrider.testing.virtual_loop import VirtualLoop

INFINITY: Final = datetime.max.replace(tzinfo=UTC)  # The driver reads PostgreSQL's without a zone: `_as_read`.
Rows = list[dict[str, Any]]
Statement = Callable[..., Rows]


class LaneRow(msgspec.Struct):
    """A row of `lane`."""

    lane_id: int
    pool: str
    route: str
    stream: str
    project_id: UUID
    sender_domain: str
    shard: int
    campaign: str
    provider: str = ""
    next_due_at: datetime = INFINITY
    owner: UUID | None = None
    lease_until: datetime | None = None
    taken_over_at: datetime | None = None
    paused_until: datetime | None = None
    pause_kind: str | None = None
    pause_reason: str | None = None
    paused_since: datetime | None = None
    hold_id: UUID | None = None


class QueueRow(msgspec.Struct):
    """A row of `queue`."""

    recipient_id: UUID
    lane_id: int
    due_at: datetime
    expires_at: datetime
    attempt: int = 0


class RecipientRow(msgspec.Struct):
    """A row of `recipient`."""

    recipient_id: UUID
    message_id: UUID
    project_id: UUID
    address: str
    updated_at: datetime
    status: RecipientStatus = RecipientStatus.QUEUED
    reason: str = ""
    reply: str = ""
    attempt: int = 0
    personal: bytes | None = None


class SimDatabase:
    """The tables, and the weather."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self.loop: Final = loop
        self.chance: Final = chance
        self.lanes: Final[dict[int, LaneRow]] = {}
        self.queue: Final[dict[UUID, QueueRow]] = {}
        self.of_lane: Final[dict[int, dict[UUID, QueueRow]]] = {}
        self.lane_of: Final[dict[UUID, int]] = {}  # Of every recipient that ever was in the queue.
        self.recipients: Final[dict[UUID, RecipientRow]] = {}
        self.messages: Final[dict[UUID, dict[str, Any]]] = {}
        self.contents: Final[dict[tuple[UUID, bytes], bytes]] = {}
        self.events: Final[list[NewEvent]] = []
        self.holds: Final[dict[UUID, dict[str, Any]]] = {}
        self.addresses: Final = SimAddresses(self.lanes, self.messages)
        self.guards: Final = SimGuards(self.lanes)
        self.figures: Final[dict[tuple[Any, ...], int]] = {}  # Attempts by day, source, provider and writer.
        self.listeners: Final[list[Callable[[str], None]]] = []
        self.taken_over: Final[list[int]] = []  # Lanes, as often as they were taken from an owner.
        self.write_count = 0
        self.is_notified = False  # By the transaction that runs.
        self.is_away = False
        self.delay_s = 0.001  # Of each half of a transaction, with up to a half more or less.
        self.lost_answer_ratio = 0.0  # Commits that nobody hears of.
        self.lost_notification_ratio = 0.0
        self._lane_ids: Final[dict[tuple[Any, ...], int]] = {}
        self._last_lane_id = 0

    def run(self, sql: str, arguments: Sequence[Any]) -> Rows:
        """Do one statement."""
        for statements, part in ((simaddresses.STATEMENTS, self.addresses), (simguards.STATEMENTS, self.guards)):
            if sql in statements:
                return statements[sql](part, *arguments)
        statement = _STATEMENTS.get(sql)
        assert statement is not None, f"no model of this statement; write one in testing/simstore.py:{sql}"
        return statement(self, *arguments)

    def ping(self) -> Rows:
        """Do nothing."""
        return [{}]

    # Lanes.

    def ensure_lanes(self, *columns: Sequence[Any]) -> Rows:
        """Make the lanes that are missing."""
        for key in sorted(_rows(columns)):
            self._last_lane_id += 1  # A sequence moves on, whether the row is new or not.
            if key not in self._lane_ids:
                self._lane_ids[key] = self._last_lane_id
                self.lanes[self._last_lane_id] = LaneRow(self._last_lane_id, *key)
                self.write_count += 1
        return []

    def find_lanes(self, *columns: Sequence[Any]) -> Rows:
        """Find lanes by their keys."""
        names = lanes.LaneKey.__struct_fields__
        found = [key for key in _rows(columns) if key in self._lane_ids]
        return [{"lane_id": self._lane_ids[key], **dict(zip(names, key, strict=True))} for key in found]

    def look(self, lane_ids: Sequence[int], due_at: datetime) -> Rows:
        """Tell which lanes sleep."""
        found = self._lanes(lane_ids)
        return [
            {"lane_id": lane.lane_id, "is_asleep": lane.next_due_at > _greatest(due_at, lane.paused_until)}
            for lane in found
        ]

    def lock_asleep(self, lane_ids: Sequence[int], due_at: datetime) -> Rows:
        """Find those of these lanes that sleep."""
        return _ids(lane for lane in self._lanes(lane_ids) if lane.next_due_at > _greatest(due_at, lane.paused_until))

    def wake_lanes(self, lane_ids: Sequence[int], due_at: datetime) -> Rows:
        """Let these be due."""
        for lane in self._write(lane_ids):
            lane.next_due_at = _greatest(due_at, lane.paused_until)
        return _ids(self._lanes(lane_ids))

    def notify(self, _channel: str, _payload: str = "") -> Rows:
        """Let who listens be told after the commit."""
        self.is_notified = True
        return [{}]

    def due_lanes(self, *given: Any) -> Rows:
        """Find due lanes, each project's in turn."""
        pools, now, count_max, stream, share_count, share, others_due_at = given
        waiting_ids = sorted({o.project_id for o in self.lanes.values() if o.stream == stream and _sleeps_not(o)})
        self.chance.shuffle(waiting_ids)
        each_max = math.ceil(count_max / len(waiting_ids)) if waiting_ids else 0
        found: list[LaneRow] = []
        for project_id in waiting_ids:
            due = [
                lane
                for lane in self.lanes.values()
                if lane.stream == stream
                and lane.project_id == project_id
                and lane.next_due_at <= now
                and lane.pool in pools
                and (lane.owner is None or (lane.lease_until is not None and lane.lease_until < now))
                and (
                    lane.lane_id % share_count == share
                    or (
                        lane.next_due_at <= others_due_at
                        and (lane.lease_until is None or lane.lease_until <= others_due_at)
                    )
                )
            ]
            found += sorted(due, key=lambda lane: lane.next_due_at)[:each_max]
        names = (*lanes.Lane.__struct_fields__, "owner")
        return [{name: getattr(lane, name) for name in names} for lane in found[:count_max]]

    def take_lanes(self, lane_ids: Sequence[int], owner: UUID, lease_until: datetime, now: datetime) -> Rows:
        """Give lanes to an owner."""
        for lane in self._write(lane_ids):
            if lane.owner is not None:
                lane.taken_over_at = now
                self.taken_over.append(lane.lane_id)
            lane.owner, lane.lease_until, lane.paused_until = owner, lease_until, None
        return _ids(self._lanes(lane_ids))

    def lock_owned(self, owner: UUID, lane_ids: Sequence[int]) -> Rows:
        """Find those of these lanes that are the owner's."""
        return _ids(lane for lane in self._lanes(lane_ids) if lane.owner == owner)

    def lock_owners(self, owner: UUID) -> Rows:
        """Find all lanes of an owner."""
        return _ids(lane for lane in self._lanes(self.lanes) if lane.owner == owner)

    def renew_lanes(self, lane_ids: Sequence[int], lease_until: datetime) -> Rows:
        """Move the end of leases."""
        for lane in self._write(lane_ids):
            lane.lease_until = lease_until
        return _ids(self._lanes(lane_ids))

    def lock_holds(self, hold_ids: Sequence[UUID]) -> Rows:
        """Find those of these holds that exist."""
        return [{"hold_id": hold_id} for hold_id in sorted(hold_ids) if hold_id in self.holds]

    def release_lanes(self, lane_ids: Sequence[int], now: datetime, *columns: Sequence[Any]) -> Rows:
        """Give lanes back."""
        found: Rows = []
        for lane, provider, until, kind, reason, hold_id in zip(self._write(lane_ids), *columns, strict=True):
            paused_until = until if hold_id is None else INFINITY
            due_at = self._head(lane.lane_id)
            lane.owner, lane.lease_until = None, now
            lane.next_due_at = _greatest(due_at, paused_until, now if due_at < now else None)
            if lane.taken_over_at is not None and not due_at <= lane.taken_over_at:
                lane.taken_over_at = None
            lane.provider = provider or lane.provider
            is_same_pause = lane.pause_kind is not None and lane.pause_kind == kind
            if paused_until is None:
                lane.paused_since = None
            elif not is_same_pause:
                lane.paused_since = now
            lane.paused_until, lane.pause_kind, lane.pause_reason = paused_until, kind, reason
            lane.hold_id = hold_id
            found.append({"next_due_at": _as_read(lane.next_due_at)})
        return found

    # The queue.

    def first_due(self, lane_ids: Sequence[int], now: datetime, busy: Sequence[UUID], count_max: int) -> Rows:
        """Read the heads of lanes."""
        found: list[QueueRow] = []
        tried = set(busy)
        for lane_id in lane_ids:
            due = [r for r in self._rows_of(lane_id) if r.due_at <= now and r.recipient_id not in tried]
            found += due[:count_max]
        rows = []
        for row in sorted(found, key=_by_due):
            who = self.recipients[row.recipient_id]
            rows.append(
                {
                    "recipient_id": row.recipient_id,
                    "lane_id": row.lane_id,
                    "message_id": who.message_id,
                    "project_id": who.project_id,
                    "address": who.address,
                    "due_at": row.due_at,
                    "attempt": row.attempt,
                    "expires_at": row.expires_at,
                    "personal": who.personal,
                }
            )
        return rows

    def finish(self, recipient_ids: Sequence[UUID], attempts: Sequence[int]) -> Rows:
        """Take rows out that are still the caller's."""
        ours = self._ours(recipient_ids, attempts)
        for recipient_id in ours:
            self._dequeue(recipient_id)
        return [{"recipient_id": recipient_id} for recipient_id in ours]

    def put_back(self, recipient_ids: Sequence[UUID], attempts: Sequence[int], due_ats: Sequence[datetime]) -> Rows:
        """Let rows wait that are still the caller's."""
        due = dict(zip(recipient_ids, due_ats, strict=True))
        ours = self._ours(recipient_ids, attempts)
        for recipient_id in ours:
            row = self.queue[recipient_id]
            row.due_at, row.attempt = due[recipient_id], row.attempt + 1
            self.write_count += 1
        return [{"recipient_id": recipient_id} for recipient_id in ours]

    # Messages, recipients, history.

    def insert_mail(self, now: datetime, *columns: Sequence[Any]) -> Rows:
        """Store what was accepted: contents, recipients with their places in the queue, messages with their event."""
        for project_id, content_hash, body in _rows(columns[:3]):
            self.contents.setdefault((project_id, content_hash), body)
        for recipient_id, message_id, project_id, address, *place, personal in _rows(columns[3:11]):
            to = RecipientRow(recipient_id, message_id, project_id, address, now, personal=personal)
            self.recipients[recipient_id] = to
            self._enqueue(QueueRow(recipient_id, *place))
            self.write_count += 1
        names = messages.Message.__struct_fields__
        for facts, *values in _rows(columns[11:]):
            row = dict(zip(names, values, strict=True))
            self.messages[row["message_id"]] = row
            at, project_id, message_id = row["accepted_at"], row["project_id"], row["message_id"]
            told = msgspec.json.decode(facts)
            self.events.append(NewEvent(at, project_id, message_id, None, EventKind.ACCEPTED, facts=told))
            self.write_count += 2
            if row["send_at"] is not None and row["send_at"] > at:
                later = {"send_at": row["send_at"].isoformat()}
                self.events.append(NewEvent(at, project_id, message_id, None, EventKind.SCHEDULED, facts=later))
        return []

    def load_messages(self, message_ids: Sequence[UUID]) -> Rows:
        """Read messages with their bodies."""
        found = [self.messages[message_id] for message_id in message_ids if message_id in self.messages]
        return [m | {"body": self.contents[m["project_id"], m["content_hash"]]} for m in found]

    def record(self, *given: Any) -> Rows:
        """Write what became of recipients."""
        for recipient_id, status, reason, reply, attempt in _rows(given[:5]):
            row = self.recipients[recipient_id]
            row.status, row.reason, row.reply, row.attempt = RecipientStatus(status), reason, reply, attempt
            row.updated_at = given[5]
            self.write_count += 1
        return []

    def append_events(self, *columns: Sequence[Any]) -> Rows:
        """Write history."""
        names = NewEvent.__struct_fields__
        for values in _rows(columns):
            told = dict(zip(names, values, strict=True))
            self.events.append(NewEvent(**told | {"facts": msgspec.json.decode(told["facts"])}))
            self.write_count += 1
        return []

    def add_figures(self, writer: str, *columns: Sequence[Any]) -> Rows:
        """Count attempts."""
        for day, source, provider, attempted, *_ in _rows(columns):
            key = (day, source, provider, writer)
            self.figures[key] = self.figures.get(key, 0) + attempted
        return []

    # Holds and what operators do.

    def all_holds(self) -> Rows:
        """Read all holds."""
        return sorted(self.holds.values(), key=lambda hold: (hold["created_at"], hold["hold_id"]))

    def find_hold(self, scope: str, subject: str) -> Rows:
        """Read the hold on one thing."""
        return [hold for hold in self.holds.values() if hold["scope"] == scope and hold["subject"] == subject]

    def put_hold(self, *given: Any) -> Rows:
        """Store a hold, or keep the one there is."""
        hold_id, scope, subject, note, created_at, dropping = given
        self.write_count += 1
        if before := self.find_hold(scope, subject):
            if note != dropping and (note or before[0]["note"] == dropping):
                before[0]["note"] = note
            return before
        names = ("hold_id", "scope", "subject", "note", "created_at")
        self.holds[hold_id] = dict(zip(names, (hold_id, scope, subject, note, created_at), strict=True))
        return [self.holds[hold_id]]

    def remove_hold(self, hold_id: UUID) -> Rows:
        """Delete a hold."""
        self.write_count += 1
        return [{}] if self.holds.pop(hold_id, None) else []

    def remove_drops_hold(self, hold_id: UUID, dropping: str) -> Rows:
        """Delete a drop's hold."""
        hold = self.holds.get(hold_id)
        return self.remove_hold(hold_id) if hold is not None and hold["note"] == dropping else []

    def pin_hold(self, hold_id: UUID) -> Rows:
        """Tell whether a hold exists."""
        return [{}] if hold_id in self.holds else []

    def lock_free(self, lane_ids: Sequence[int]) -> Rows:
        """Find those of these lanes that are nobody's."""
        return _ids(lane for lane in self._lanes(lane_ids) if lane.owner is None and lane.hold_id is None)

    def pause_for_hold(self, lane_ids: Sequence[int], kind: str, reason: str, since: datetime, hold_id: UUID) -> Rows:
        """Pause lanes for a hold."""
        for lane in self._write(lane_ids):
            lane.paused_until = lane.next_due_at = INFINITY
            lane.pause_kind, lane.pause_reason, lane.paused_since, lane.hold_id = kind, reason, since, hold_id
        return _ids(self._lanes(lane_ids))

    def lock_held(self, hold_id: UUID, count_max: int) -> Rows:
        """Find lanes in a hold."""
        return _ids(lane for lane in self._lanes(self.lanes) if lane.hold_id == hold_id)[:count_max]

    def end_pauses(self, lane_ids: Sequence[int]) -> Rows:
        """End the pauses of lanes."""
        for lane in self._write(lane_ids):
            lane.paused_until = lane.pause_kind = lane.pause_reason = lane.paused_since = lane.hold_id = None
            lane.next_due_at = self._head(lane.lane_id)
        return _ids(self._lanes(lane_ids))

    def orphaned_holds(self) -> Rows:
        """Find holds that lanes name and that are gone."""
        named = {lane.hold_id for lane in self.lanes.values() if lane.hold_id is not None}
        return [{"hold_id": hold_id} for hold_id in sorted(named - self.holds.keys())]

    def is_provider_known(self, provider: str) -> Rows:
        """Tell whether a lane has this provider."""
        return [{}] if any(lane.provider == provider for lane in self.lanes.values()) else []

    def name_of_project(self, project_id: UUID) -> Rows:
        """Find a project; here it is known by its lanes."""
        return [{"name": "sim"}] if any(lane.project_id == project_id for lane in self.lanes.values()) else []

    def lanes_in(self, scope: HoldScope, subject: str, after_id: int, count_max: int) -> Rows:
        """Find lanes of a scope."""
        return _ids(lane for lane in self._in_scope(scope, subject) if lane.lane_id > after_id)[:count_max]

    def free_lanes_in(self, scope: HoldScope, subject: str, count_max: int) -> Rows:
        """Find free lanes of a scope."""
        found = self._in_scope(scope, subject)
        return _ids(lane for lane in found if lane.owner is None and lane.hold_id is None)[:count_max]

    def count_leased_in(self, scope: HoldScope, subject: str, now: datetime) -> Rows:
        """Count leased lanes of a scope."""
        found = self._in_scope(scope, subject)
        return [{"count": sum(lane.owner is not None and _greatest(lane.lease_until) > now for lane in found)}]

    def flush(self, lane_ids: Sequence[int], now: datetime, count_max: int) -> Rows:
        """Make deferred rows due."""
        rows = (row for lane_id in lane_ids for row in self._rows_of(lane_id))
        late = [row for row in rows if row.due_at > now and row.attempt > 0][:count_max]
        for row in late:
            row.due_at = now
            self.write_count += 1
        return [{"lane_id": row.lane_id} for row in late]

    def lock_flushed(self, lane_ids: Sequence[int], flushed_ids: Sequence[int]) -> Rows:
        """Find lanes to wake after a flush."""
        flushed = set(flushed_ids)
        return _ids(
            lane
            for lane in self._lanes(lane_ids)
            if lane.hold_id is None and (lane.lane_id in flushed or lane.paused_until is not None)
        )

    def heads(
        self,
        lane_ids: Sequence[int],
        after_ats: Sequence[datetime],
        after_ids: Sequence[UUID],
        count_max: int,
        now: datetime,
    ) -> Rows:
        """Read rows behind places."""
        found: Rows = []
        for lane_id, after_at, after_id in zip(lane_ids, after_ats, after_ids, strict=True):
            lane = self.lanes[lane_id]
            is_leased = lane.owner is not None and lane.lease_until is not None and lane.lease_until > now
            behind = [row for row in self._rows_of(lane_id) if _by_due(row) > (after_at, after_id)][:count_max]
            found += [
                {
                    "recipient_id": row.recipient_id,
                    "lane_id": lane_id,
                    "due_at": row.due_at,
                    "may_repeat": row.due_at <= now and is_leased,
                }
                for row in behind
            ]
        return found[:count_max]

    def delete_queue(self, recipient_ids: Sequence[UUID]) -> Rows:
        """Take rows out."""
        for recipient_id in recipient_ids:
            self._dequeue(recipient_id)
        return []

    def move(self, recipient_ids: Sequence[UUID], status: str, reason: str, now: datetime) -> Rows:
        """Give recipients another state."""
        found: Rows = []
        for recipient_id in recipient_ids:
            row = self.recipients[recipient_id]
            names = ("recipient_id", "message_id", "project_id", "attempt")
            found.append({name: getattr(row, name) for name in names} | {"reason_before": row.reason})
            row.status, row.reason, row.updated_at = RecipientStatus(status), reason, now
            self.write_count += 1
        return found

    # Small steps.

    def _in_scope(self, scope: HoldScope, subject: str) -> list[LaneRow]:
        found = self._lanes(self.lanes)
        match scope:
            case HoldScope.LANE:
                return [lane for lane in found if lane.lane_id == int(subject)]
            case HoldScope.PROVIDER:
                return [lane for lane in found if lane.provider and lane.provider == subject]
            case HoldScope.PROJECT:
                return [lane for lane in found if str(lane.project_id) == subject]
            case HoldScope.SESSION:
                raise AssertionError("a session is no set of lanes")

    def _lanes(self, lane_ids: Any) -> list[LaneRow]:
        return [self.lanes[lane_id] for lane_id in sorted(lane_ids) if lane_id in self.lanes]

    def _write(self, lane_ids: Sequence[int]) -> list[LaneRow]:
        self.write_count += len(lane_ids)
        return [self.lanes[lane_id] for lane_id in lane_ids]

    def _rows_of(self, lane_id: int) -> list[QueueRow]:
        return sorted(self.of_lane.get(lane_id, {}).values(), key=_by_due)

    def _head(self, lane_id: int) -> datetime:
        return min((row.due_at for row in self.of_lane.get(lane_id, {}).values()), default=INFINITY)

    def _ours(self, recipient_ids: Sequence[UUID], attempts: Sequence[int]) -> list[UUID]:
        pairs = zip(recipient_ids, attempts, strict=True)
        return [
            recipient_id
            for recipient_id, attempt in pairs
            if (row := self.queue.get(recipient_id)) is not None and row.attempt == attempt
        ]

    def _enqueue(self, row: QueueRow) -> None:
        self.queue[row.recipient_id] = row
        self.lane_of[row.recipient_id] = row.lane_id
        self.of_lane.setdefault(row.lane_id, {})[row.recipient_id] = row
        self.write_count += 1

    def _dequeue(self, recipient_id: UUID) -> None:
        row = self.queue.pop(recipient_id)
        del self.of_lane[row.lane_id][recipient_id]
        self.write_count += 1


def _rows(columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True))


def _ids(found: Any) -> Rows:
    return [{"lane_id": lane.lane_id} for lane in found]


def _by_due(row: QueueRow) -> tuple[datetime, UUID]:
    return row.due_at, row.recipient_id


def _sleeps_not(lane: LaneRow) -> bool:
    return lane.next_due_at < INFINITY


def _as_read(instant: datetime) -> datetime:
    return datetime.max if instant == INFINITY else instant  # noqa: DTZ901 - as the driver does.


def _greatest(*instants: datetime | None) -> datetime:
    return max(instant for instant in instants if instant is not None)


def _scoped(statement: Statement, scope: HoldScope) -> Statement:
    return lambda database, *arguments: statement(database, scope, *arguments)


_STATEMENTS: Final[Mapping[str, Statement]] = {
    pool._PING: SimDatabase.ping,
    lanes._ENSURE: SimDatabase.ensure_lanes,
    lanes._FIND: SimDatabase.find_lanes,
    lanes._LOOK: SimDatabase.look,
    lanes._LOCK: SimDatabase.lock_asleep,
    lanes._WAKE: SimDatabase.wake_lanes,
    lanes._NOTIFY: SimDatabase.notify,
    lanes._DUE: SimDatabase.due_lanes,
    lanes._TAKE: SimDatabase.take_lanes,
    lanes._LOCK_HELD: SimDatabase.lock_owned,
    lanes._LOCK_OWNED: SimDatabase.lock_owned,
    lanes._LOCK_OWNERS: SimDatabase.lock_owners,
    lanes._LOCK_HOLDS: SimDatabase.lock_holds,
    lanes._RENEW: SimDatabase.renew_lanes,
    lanes._RELEASE: SimDatabase.release_lanes,
    lanes._RESUME: SimDatabase.end_pauses,
    queue._FIRST_DUE: SimDatabase.first_due,
    queue._FINISH: SimDatabase.finish,
    queue._PUT_BACK: SimDatabase.put_back,
    intake._INSERT: SimDatabase.insert_mail,
    messages._BY_IDS: SimDatabase.load_messages,
    recipients._RECORD: SimDatabase.record,
    events._APPEND: SimDatabase.append_events,
    egress._ADD: SimDatabase.add_figures,
    holds._ALL: SimDatabase.all_holds,
    holds._FIND: SimDatabase.find_hold,
    holds._PUT: SimDatabase.put_hold,
    holds._REMOVE: SimDatabase.remove_hold,
    holds._REMOVE_DROPS: SimDatabase.remove_drops_hold,
    holds._PIN: SimDatabase.pin_hold,
    holds._LOCK_FREE: SimDatabase.lock_free,
    holds._PAUSE: SimDatabase.pause_for_hold,
    holds._LOCK_HELD: SimDatabase.lock_held,
    holds._ORPHANS: SimDatabase.orphaned_holds,
    waiting._KNOWN: SimDatabase.is_provider_known,
    projects._NAME: SimDatabase.name_of_project,
    waiting._FLUSH: SimDatabase.flush,
    waiting._LOCK_FLUSHED: SimDatabase.lock_flushed,
    waiting._HEADS: SimDatabase.heads,
    waiting._DELETE: SimDatabase.delete_queue,
    waiting._MOVE: SimDatabase.move,
    **{waiting._LANES[scope]: _scoped(SimDatabase.lanes_in, scope) for scope in waiting._LANES},
    **{waiting._FREE[scope]: _scoped(SimDatabase.free_lanes_in, scope) for scope in waiting._FREE},
    **{waiting._LEASED[scope]: _scoped(SimDatabase.count_leased_in, scope) for scope in waiting._LEASED},
}
