"""What waits and what it waits for, read for people: the read side of `lanes`, `holds` and `waiting`.

Every count is bounded: a million rows cost no more than the bound, and `is_capped` says that there are more. Instants
that PostgreSQL calls 'infinity' are None here, with a bool beside them where that matters. What operators see goes over
all projects; what names a recipient is read by project.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecipientStatus, Stream, WaitKind
from outrider.store.pool import Row, Tx

COUNT_MAX: Final = 100_000  # Ours: an index-only scan of so many rows takes 10 ms.
_SEARCH_COUNT_MAX: Final = 100_000  # Ours: recipients looked at for an address, which has no index of its own.
_LATE_COUNT_MAX: Final = 10_000  # Ours: deferred rows whose reasons are read; each is a look at the record.


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient as it stands, with its place in the queue if it has one."""

    recipient_id: UUID
    message_id: UUID
    address: str
    status: RecipientStatus
    reason: str
    reply: str
    attempt: int
    updated_at: datetime
    sender: str
    subject: str
    campaign: str
    list_name: str
    accepted_at: datetime
    expires_at: datetime
    lane_id: int | None
    due_at: datetime | None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Recipients for which the same is to be said. `lane_id` and `due_at` (the earliest) None: not in the queue."""

    status: RecipientStatus
    message_id: UUID | None = None  # The session, where all are of one.
    reason: str = ""
    reply: str = ""  # One of theirs.
    attempt: int = 0  # The highest.
    lane_id: int | None = None
    is_due: bool = False
    due_at: datetime | None = None
    count: int = 1
    is_capped: bool = False
    first_at: datetime | None = None  # When the first and the last of them came to this state.
    last_at: datetime | None = None


class LaneSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A lane with all that may keep its mail waiting."""

    lane_id: int
    project_id: UUID
    project: str
    pool: str
    route: str
    stream: Stream
    sender_domain: str
    campaign: str
    shard: int
    provider: str
    is_asleep: bool  # Nobody is to look at it now: `next_due_at` is in the future.
    owner: UUID | None
    is_leased: bool  # It has an owner whose lease runs.
    lease_until: datetime | None
    is_paused: bool
    paused_until: datetime | None  # None though paused: until further notice.
    pause_kind: WaitKind | None
    pause_reason: str
    paused_since: datetime | None
    hold_id: UUID | None


class Depth(msgspec.Struct, frozen=True):
    """A lane and what is in it."""

    lane: LaneSeen
    count: int
    is_capped: bool
    oldest_due_at: datetime | None
    oldest_attempt: int  # Finished attempts of the one that is due first; 0 if nothing is in it.


class NodeSeen(msgspec.Struct, frozen=True):
    """A node that delivers, or did."""

    node_id: UUID
    name: str
    pools: Sequence[str]
    seen_at: datetime


class GateSeen(msgspec.Struct, frozen=True):
    """The limits of one source at one provider on one node. `state` is a `policy.throttle.GateView`."""

    node: str
    source: str
    provider: str
    state: Mapping[str, Any]
    updated_at: datetime


_LANE: Final = """
    SELECT l.lane_id, l.project_id, COALESCE(p.name, '') AS project, l.pool, l.route, l.stream, l.sender_domain,
    l.campaign, l.shard, l.provider, l.next_due_at > $1 AS is_asleep, l.owner,
    COALESCE(l.owner IS NOT NULL AND l.lease_until > $1, false) AS is_leased,
    NULLIF(l.lease_until, 'infinity') AS lease_until, COALESCE(l.paused_until > $1, false) AS is_paused,
    NULLIF(l.paused_until, 'infinity') AS paused_until, l.pause_kind, COALESCE(l.pause_reason, '') AS pause_reason,
    l.paused_since, l.hold_id"""
_LANES: Final = f"""{_LANE}
      FROM lane l LEFT JOIN project p USING (project_id) WHERE l.lane_id = ANY($2::bigint[])"""
_OF_ROUTE: Final = """
    SELECT lane_id FROM lane WHERE route = $1 ORDER BY next_due_at, lane_id LIMIT $2"""
_DUE: Final = """
    SELECT given.lane_id, due.count, due.due_at
      FROM unnest($1::bigint[]) AS given(lane_id)
     CROSS JOIN LATERAL (
               SELECT count(*) AS count, min(due_at) AS due_at
                 FROM (SELECT due_at FROM queue q WHERE q.lane_id = given.lane_id AND q.due_at <= $2
                        ORDER BY q.due_at LIMIT $3) AS head) AS due
     WHERE due.count > 0"""
_LATER: Final = """
    SELECT late.lane_id, r.reason, count(*) AS count, min(late.due_at) AS due_at, max(r.attempt) AS attempt,
           min(r.reply) AS reply, min(r.updated_at) AS first_at, max(r.updated_at) AS last_at
      FROM (SELECT head.* FROM unnest($1::bigint[]) AS given(lane_id)
             CROSS JOIN LATERAL (
                       SELECT recipient_id, lane_id, due_at FROM queue q
                        WHERE q.lane_id = given.lane_id AND q.due_at > $2
                        ORDER BY q.due_at LIMIT $3) AS head LIMIT $3) AS late
      JOIN lane l ON l.lane_id = late.lane_id
      JOIN recipient r ON r.recipient_id = late.recipient_id AND r.project_id = l.project_id
     GROUP BY late.lane_id, r.reason"""
_BEFORE: Final = """
    SELECT count(*) AS count
      FROM (SELECT FROM queue WHERE lane_id = $1 AND (due_at, recipient_id) < ($2, $3) LIMIT $4) AS before"""
_DEEPEST: Final = """
    SELECT l.lane_id, depth.count, depth.oldest_due_at,
           COALESCE((SELECT attempt FROM queue q WHERE q.lane_id = l.lane_id ORDER BY q.due_at, q.recipient_id LIMIT 1),
                    0) AS oldest_attempt,
           count(*) OVER () AS lane_count, (sum(depth.count) OVER ())::bigint AS total_count
      FROM lane l
     CROSS JOIN LATERAL (
               SELECT count(*) AS count, min(due_at) AS oldest_due_at
                 FROM (SELECT due_at FROM queue q WHERE q.lane_id = l.lane_id ORDER BY q.due_at LIMIT $3) AS head)
            AS depth
     WHERE (depth.count > 0 OR l.hold_id IS NOT NULL)
       AND ($4::uuid IS NULL OR l.project_id = $4) AND ($5 = '' OR l.provider = $5) AND ($6 = '' OR l.route = $6)
       AND (NOT $7 OR l.paused_until > $1)
     ORDER BY depth.count DESC, l.lane_id LIMIT $2"""
_SEEN: Final = """
    SELECT r.recipient_id, r.message_id, r.address, r.status, r.reason, r.reply, r.attempt, r.updated_at,
    m.sender, m.subject, m.campaign, m.list_name, m.accepted_at, m.expires_at, q.lane_id, q.due_at"""
_BY_IDS: Final = f"""{_SEEN}
      FROM recipient r JOIN message m USING (project_id, message_id) LEFT JOIN queue q USING (recipient_id)
     WHERE r.project_id = $1 AND r.recipient_id = ANY($2::uuid[]) ORDER BY r.recipient_id DESC"""
# OFFSET 0 keeps the planner from turning it into a join of whole tables: it ends after so many rows.
_FIND: Final = """
    WITH latest AS (
        SELECT one.recipient_id, one.address
          FROM (SELECT message_id FROM message WHERE project_id = $1 ORDER BY accepted_at DESC) AS newest
         CROSS JOIN LATERAL (
                   SELECT recipient_id, address FROM recipient r
                    WHERE r.message_id = newest.message_id AND r.project_id = $1 OFFSET 0) AS one
         LIMIT $4),
    waiting AS (
        SELECT one.recipient_id, one.address
          FROM (SELECT q.recipient_id FROM lane JOIN queue q USING (lane_id)
                 WHERE lane.project_id = $1 AND lane.route = $3 LIMIT $4) AS queued
         CROSS JOIN LATERAL (
                   SELECT recipient_id, address FROM recipient r
                    WHERE r.recipient_id = queued.recipient_id AND r.project_id = $1 OFFSET 0) AS one)
    SELECT recipient_id FROM latest WHERE lower(address) = $2
     UNION SELECT recipient_id FROM waiting WHERE lower(address) = $2
     ORDER BY recipient_id DESC LIMIT $5"""
_SESSION: Final = """
    SELECT r.status, r.reason, q.lane_id, COALESCE(q.due_at <= $3, false) AS is_due, count(*) AS count,
           min(q.due_at) AS due_at, max(r.attempt) AS attempt, min(r.reply) AS reply,
           min(r.updated_at) AS first_at, max(r.updated_at) AS last_at
      FROM (SELECT * FROM recipient WHERE project_id = $1 AND message_id = $2 LIMIT $4) AS r
      LEFT JOIN queue q USING (recipient_id)
     GROUP BY r.status, r.reason, q.lane_id, is_due"""
_NODES: Final = """
    SELECT node_id, name, pools, seen_at FROM node ORDER BY name, node_id"""
_GATES: Final = """
    SELECT COALESCE(node.name, '') AS node, source, provider, state::text AS state, updated_at
      FROM gate LEFT JOIN node USING (node_id)
     WHERE provider = ANY($1::text[]) AND updated_at >= $2 ORDER BY provider, source, node"""


async def lanes(tx: Tx, lane_ids: Sequence[int], *, now: datetime) -> dict[int, LaneSeen]:
    """Return these lanes; those that do not exist are missing from the answer."""
    return {row["lane_id"]: _lane(row) for row in await tx.fetch(_LANES, now, lane_ids)}


async def lanes_of_route(tx: Tx, route: str, *, count_max: int) -> list[int]:
    """Return the lanes to a domain, those that are due first first."""
    return [row["lane_id"] for row in await tx.fetch(_OF_ROUTE, route, count_max)]


async def groups_of_lanes(tx: Tx, lane_ids: Sequence[int], *, now: datetime) -> list[Group]:
    """Return what is in these lanes: what is due, and what comes later by its reason. Bounded by `COUNT_MAX` in all."""
    each_max = max(100, COUNT_MAX // max(1, len(lane_ids)))
    due = [
        Group(
            status=RecipientStatus.QUEUED,
            lane_id=row["lane_id"],
            is_due=True,
            due_at=row["due_at"],
            count=row["count"],
            is_capped=row["count"] >= each_max,
        )
        for row in await tx.fetch(_DUE, lane_ids, now, each_max)
    ]
    rows = await tx.fetch(_LATER, lane_ids, now, _LATE_COUNT_MAX)
    is_capped = sum(row["count"] for row in rows) >= _LATE_COUNT_MAX
    return due + [Group(**row, status=RecipientStatus.QUEUED, is_capped=is_capped) for row in rows]


async def due_before(tx: Tx, lane_id: int, due_at: datetime, recipient_id: UUID) -> int:
    """Return how many of the lane are before this one, `COUNT_MAX` at most."""
    row = await tx.fetch_row(_BEFORE, lane_id, due_at, recipient_id, COUNT_MAX)
    assert row is not None
    return int(row["count"])


async def deepest(
    tx: Tx, *, now: datetime, project_id: UUID | None, provider: str, route: str, is_paused_only: bool, count_max: int
) -> tuple[list[Depth], int, int]:
    """Return the lanes with the most mail (None and "" do not restrict), how many there are, and all their mail.

    A lane's mail is counted up to `COUNT_MAX`; lanes without mail are left out unless they are in a hold.
    """
    rows = await tx.fetch(_DEEPEST, now, count_max, COUNT_MAX, project_id, provider, route, is_paused_only)
    seen = await lanes(tx, [row["lane_id"] for row in rows], now=now)
    found = [
        Depth(
            seen[row["lane_id"]],
            row["count"],
            row["count"] >= COUNT_MAX,
            row["oldest_due_at"],
            row["oldest_attempt"],
        )
        for row in rows
        if row["lane_id"] in seen
    ]
    return (found, rows[0]["lane_count"], rows[0]["total_count"]) if rows else ([], 0, 0)


async def recipient(tx: Tx, project_id: UUID, recipient_id: UUID) -> Seen | None:
    """Return the project's recipient, None if it has none of that id."""
    row = await tx.fetch_row(_BY_IDS, project_id, [recipient_id])
    return None if row is None else _seen(row)


async def recipients(tx: Tx, project_id: UUID, address: str, route: str, *, count_max: int) -> list[Seen]:
    """Return the project's newest recipients with this address, newest first.

    Looks at the project's newest recipients and at those waiting for the route, 100,000 of each: there is no index by
    address, which would cost every accept something. Older ones are found by id.

    Args:
        address: in lower case.
    """
    rows = await tx.fetch(_FIND, project_id, address, route, _SEARCH_COUNT_MAX, count_max)
    found = await tx.fetch(_BY_IDS, project_id, [row["recipient_id"] for row in rows]) if rows else ()
    return [_seen(row) for row in found]


async def groups_of_session(tx: Tx, project_id: UUID, message_id: UUID, *, now: datetime) -> list[Group]:
    """Return the session's recipients by state, reason and lane; [] if the project has no such session."""
    rows = await tx.fetch(_SESSION, project_id, message_id, now, COUNT_MAX)
    is_capped = sum(row["count"] for row in rows) >= COUNT_MAX
    fixed = {"message_id": message_id, "is_capped": is_capped}
    return [Group(**dict(row) | fixed | {"status": RecipientStatus(row["status"])}) for row in rows]


async def nodes(tx: Tx) -> list[NodeSeen]:
    """Return every node that was ever seen."""
    return [NodeSeen(**row) for row in await tx.fetch(_NODES)]


async def gates(tx: Tx, providers: Sequence[str], *, since: datetime) -> list[GateSeen]:
    """Return the limits at these providers as nodes told them since `since`."""
    rows = await tx.fetch(_GATES, providers, since)
    return [GateSeen(**dict(row) | {"state": msgspec.json.decode(row["state"])}) for row in rows]


def _lane(row: Row) -> LaneSeen:
    values = {name: row[name] for name in LaneSeen.__struct_fields__}
    kind = WaitKind(row["pause_kind"]) if row["pause_kind"] is not None else None
    return LaneSeen(**values | {"stream": Stream(row["stream"]), "pause_kind": kind})


def _seen(row: Row) -> Seen:
    return Seen(**dict(row) | {"status": RecipientStatus(row["status"])})
