"""Lanes: whose turn it is. A node leases a lane, reads its due rows, gives it back.

A lane is one (pool, route, stream, project, sending domain, campaign, shard): all that can make mail wait is the
lane's, so a wait is written to one row, never to its mails. Invariants:
- A lane with an `owner` has a `lease_until`; past it, anyone may take it. Without one, it is when it was given back.
- `next_due_at` is the latest of three: the earliest `due_at` of its queue rows, the end of its pause, and when it was
  last given back. `touch` lowers it in the transaction that adds rows, `release` raises it; both lock the lane's row
  first, and `release` looks at the queue in a second statement, whose snapshot is younger than the lock. So a wake-up
  cannot be lost (test_lanes_race.py).
- A pause says why and since when (the constraint lane_pause_explained). A leased lane has one while its owner waits to
  go on with it (`tell`); it keeps nobody from taking the lane when the lease has run out.
- A lane, once made, stays, but for a campaign's: there is always another campaign. `sweep` deletes one that has been
  empty for long, alone with its row; `touch` refuses mail for one that is gone.

Turns: transactional lanes first; inside a stream the projects take turns, and inside a project the lanes, since one
that is given back goes to the end of the line. So nobody's million starves another's hundred.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream, WaitKind
from outrider.store.pool import Row, StoreValueError, Tx

WAKE_CHANNEL: Final = "outrider_wake"


class LaneKey(msgspec.Struct, frozen=True):
    """What makes a lane."""

    pool: str
    route: str  # The recipient's domain, lower-case A-label.
    stream: Stream
    project_id: UUID
    sender_domain: str  # Of the From address, lower-case A-label.
    shard: int = 0
    campaign: str = ""  # "": of none.


class Lane(msgspec.Struct, frozen=True):
    """A lease on one lane."""

    lane_id: int
    pool: str
    route: str
    stream: Stream
    project_id: UUID
    sender_domain: str
    taken_over_at: datetime | None
    """When it was last taken from an owner that never gave it back; what was due then may have been delivered. None:
    all that was due then has been tried since."""
    campaign: str = ""


class Pause(msgspec.Struct, frozen=True):
    """Why nothing of a lane may start before `until`; until then one that is given back is not leased."""

    until: datetime
    kind: WaitKind
    reason: str  # A sentence for people: "gmail: 5 of 5 connections in use from mta1".
    hold_id: UUID | None = None  # Of an operator's hold: it ends with it, whatever `until` says.


class LaneGoneError(StoreValueError):
    """A lane that mail was put into exists no more; nothing was kept. Find it anew (`ensure`)."""


class GivenBack(msgspec.Struct, frozen=True):
    """A lane that its owner is done with for now."""

    lane_id: int
    provider: str = ""  # What limits it is counted by, as far as we know; "" leaves what is known.
    pause: Pause | None = None


class Share(msgspec.Struct, frozen=True):
    """The lanes that one of several processes takes first: those whose id leaves `number` when divided by `count`.

    Without it the process that wakes first takes everything, and the others idle.
    """

    count: int
    number: int
    others_due_at: datetime
    """A lane due and free since then is anybody's: whose share it is has no time for it, or is dead."""


_ENSURE: Final = """
    INSERT INTO lane (pool, route, stream, project_id, sender_domain, shard, campaign)
    SELECT pool, route, stream, project_id, sender_domain, shard, campaign
      FROM unnest($1::text[], $2::text[], $3::stream[], $4::uuid[], $5::text[], $6::smallint[], $7::text[])
        AS given(pool, route, stream, project_id, sender_domain, shard, campaign)
     ORDER BY pool, route, stream, project_id, sender_domain, shard, campaign
    ON CONFLICT DO NOTHING"""
_FIND: Final = """
    SELECT lane_id, pool, route, stream, project_id, sender_domain, shard, campaign
      FROM lane JOIN unnest($1::text[], $2::text[], $3::stream[], $4::uuid[], $5::text[], $6::smallint[], $7::text[])
        AS asked(pool, route, stream, project_id, sender_domain, shard, campaign)
     USING (pool, route, stream, project_id, sender_domain, shard, campaign)"""
# KEY SHARE: acceptors do not wait for each other, nor a lease for them; only `release` (FOR UPDATE) and they exclude
# each other. Danger: a weaker lock in `release`, or none here, loses wake-ups.
_LOOK: Final = """
    SELECT lane_id, next_due_at > greatest($2, paused_until) AS is_asleep FROM lane
     WHERE lane_id = ANY($1::bigint[]) ORDER BY lane_id FOR KEY SHARE"""
# In id order, so that two acceptors that wake the same lanes cannot deadlock; the second finds them awake and writes
# nothing. Each needless new version of a lane is one more that a lease may have to wait for, SKIP LOCKED or not.
_LOCK: Final = """
    SELECT lane_id FROM lane
     WHERE lane_id = ANY($1::bigint[]) AND next_due_at > greatest($2, paused_until)
     ORDER BY lane_id FOR NO KEY UPDATE"""
_WAKE: Final = """
    UPDATE lane SET next_due_at = greatest($2, paused_until) WHERE lane_id = ANY($1::bigint[])"""
_NOTIFY: Final = """
    SELECT pg_notify($1, $2)"""
# SKIP LOCKED: nodes asking at the same moment step over each other's rows instead of waiting. Each project that has
# mail is found by one probe of the index (a loose index scan), then gives its first few due lanes; the projects come
# in random order, so that with more of them than places each has its turn. A lane that sleeps or is paused is past
# `next_due_at`, so the cost follows the projects that wait and the lanes that are due, never the backlog.
# Keep it apart from the UPDATE: in one statement the planner reads the whole table to join it (20,000 lanes: 2.5 ms a
# lease), and a row that changed meanwhile makes PostgreSQL run the WITH again.
_DUE: Final = """
    WITH RECURSIVE waiting(project_id) AS (
        (SELECT project_id FROM lane WHERE stream = $4 AND next_due_at < 'infinity' ORDER BY project_id LIMIT 1)
        UNION ALL
        SELECT (SELECT l.project_id FROM lane l
                 WHERE l.stream = $4 AND l.next_due_at < 'infinity' AND l.project_id > waiting.project_id
                 ORDER BY l.project_id LIMIT 1)
          FROM waiting WHERE waiting.project_id IS NOT NULL),
    turn AS (SELECT project_id FROM waiting WHERE project_id IS NOT NULL ORDER BY random())
    SELECT due.* FROM turn CROSS JOIN LATERAL (
        SELECT lane_id, pool, route, stream, project_id, sender_domain, campaign, owner, taken_over_at FROM lane
         WHERE stream = $4 AND lane.project_id = turn.project_id AND next_due_at <= $2 AND pool = ANY($1::text[])
           AND (owner IS NULL OR lease_until < $2)
           AND (lane_id % $5 = $6 OR (next_due_at <= $7 AND (lease_until IS NULL OR lease_until <= $7)))
         ORDER BY next_due_at LIMIT ceil($3::float8 / (SELECT count(*) FROM turn)) FOR NO KEY UPDATE SKIP LOCKED) AS due
     LIMIT $3"""
# The end of a pause that a dead owner told is not its next one's; what it was for and since when is, if it lasts.
_TAKE: Final = """
    UPDATE lane SET owner = $2, lease_until = $3, paused_until = NULL,
           taken_over_at = CASE WHEN owner IS NULL THEN taken_over_at ELSE $4 END
     WHERE lane_id = ANY($1::bigint[])"""
# Whoever locks several lanes and may have to wait does it in id order, so that no two can deadlock. NO KEY UPDATE where
# acceptors need not wait.
_LOCK_HELD: Final = """
    SELECT lane_id FROM lane WHERE owner = $1 AND lane_id = ANY($2::bigint[]) ORDER BY lane_id FOR NO KEY UPDATE"""
_RENEW: Final = """
    UPDATE lane SET lease_until = $2 WHERE lane_id = ANY($1::bigint[])"""
_LOCK_OWNED: Final = """
    SELECT lane_id FROM lane WHERE owner = $1 AND lane_id = ANY($2::bigint[]) ORDER BY lane_id FOR UPDATE"""
_TELL: Final = """
    UPDATE lane SET paused_until = told.until, pause_kind = told.kind, pause_reason = told.reason,
           paused_since = CASE WHEN told.until IS NULL THEN NULL
                               WHEN lane.pause_kind = told.kind THEN lane.paused_since ELSE $5 END
      FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[]) AS told(lane_id, until, kind, reason)
     WHERE lane.lane_id = told.lane_id"""
_UNPAUSED: Final = """
    SELECT lane_id FROM lane WHERE owner = $1 AND lane_id = ANY($2::bigint[]) AND paused_until IS NULL"""
# A hold that is being lifted: whoever lifts it waits for us and then finds our lanes, or we find it gone.
_LOCK_HOLDS: Final = """
    SELECT hold_id FROM hold WHERE hold_id = ANY($1::uuid[]) ORDER BY hold_id FOR KEY SHARE"""
# What was due at a take-over and is not tried yet keeps the mark, whoever holds the lane meanwhile. MATERIALIZED: else
# the look at the queue is made again wherever its answer is named.
_RELEASE: Final = """
    WITH head AS MATERIALIZED (
        SELECT lane_id, provider, pause_kind, pause_reason, hold_id,
               CASE WHEN hold_id IS NULL THEN until ELSE 'infinity' END AS paused_until,
               COALESCE((SELECT due_at FROM queue q WHERE q.lane_id = given.lane_id ORDER BY due_at LIMIT 1),
                        'infinity') AS due_at
          FROM unnest($1::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[])
            AS given(lane_id, provider, until, pause_kind, pause_reason, hold_id))
    UPDATE lane SET owner = NULL, lease_until = $2,
           next_due_at = greatest(head.due_at, head.paused_until, CASE WHEN head.due_at < $2 THEN $2 END),
           taken_over_at = CASE WHEN head.due_at <= taken_over_at THEN taken_over_at END,
           provider = CASE WHEN head.provider = '' THEN lane.provider ELSE head.provider END,
           paused_until = head.paused_until, pause_kind = head.pause_kind, pause_reason = head.pause_reason,
           hold_id = head.hold_id,
           paused_since = CASE WHEN head.paused_until IS NULL THEN NULL
                               WHEN lane.pause_kind = head.pause_kind THEN lane.paused_since ELSE $2 END
      FROM head
     WHERE lane.lane_id = head.lane_id
 RETURNING next_due_at"""
_LOCK_OF_DOMAIN: Final = """
    SELECT lane_id FROM lane
     WHERE project_id = $1 AND (sender_domain = $2 OR $2 = '') AND (campaign = $4 OR $4 = '') AND pause_kind = $3
       AND paused_until IS NOT NULL
     ORDER BY lane_id FOR UPDATE"""
_LOCK_OF_POOLS: Final = """
    SELECT lane_id FROM lane
     WHERE pool = ANY($1::text[]) AND pause_kind = $2 AND paused_until IS NOT NULL
     ORDER BY lane_id FOR UPDATE"""
# Looked at by whoever has it next, who pauses it again if it must still wait. The queue's head is looked at then, too.
_UNPAUSE: Final = """
    UPDATE lane SET paused_until = NULL, pause_kind = NULL, pause_reason = NULL, paused_since = NULL, next_due_at = $2
     WHERE lane_id = ANY($1::bigint[])"""
_RESUME: Final = """
    UPDATE lane SET paused_until = NULL, pause_kind = NULL, pause_reason = NULL, paused_since = NULL, hold_id = NULL,
           next_due_at = COALESCE(
               (SELECT due_at FROM queue q WHERE q.lane_id = lane.lane_id ORDER BY due_at LIMIT 1), 'infinity')
     WHERE lane_id = ANY($1::bigint[])"""
# Two statements: the second sees what whoever had the row before us has put into the queue. SKIP LOCKED: a lane that an
# accept is touching is not idle.
_LOCK_IDLE: Final = """
    SELECT lane_id FROM lane
     WHERE project_id IS NOT NULL AND campaign <> '' AND next_due_at = 'infinity' AND owner IS NULL AND hold_id IS NULL
       AND (lease_until IS NULL OR lease_until < $1) LIMIT $2 FOR UPDATE SKIP LOCKED"""
_DELETE_IDLE: Final = """
    DELETE FROM lane WHERE lane_id = ANY($1::bigint[])
       AND NOT EXISTS (SELECT FROM queue q WHERE q.lane_id = lane.lane_id)"""
_LOCK_OWNERS: Final = """
    SELECT lane_id FROM lane WHERE owner = $1 ORDER BY lane_id FOR NO KEY UPDATE"""


async def ensure(tx: Tx, keys: Sequence[LaneKey]) -> dict[LaneKey, int]:
    """Return the id of each lane, making those that are missing."""
    columns = (
        [k.pool for k in keys],
        [k.route for k in keys],
        [k.stream for k in keys],
        [k.project_id for k in keys],
        [k.sender_domain for k in keys],
        [k.shard for k in keys],
        [k.campaign for k in keys],
    )
    await tx.execute(_ENSURE, *columns)
    rows = await tx.fetch(_FIND, *columns)
    return {_key(row): row["lane_id"] for row in rows}


async def touch(tx: Tx, lane_ids: Sequence[int], *, due_at: datetime) -> None:
    """Rows due at `due_at` were added to these lanes in this transaction: wake those that sleep and are not paused.

    Call it last: lanes cannot be given back before the commit.

    Raises:
        LaneGoneError: one of them does not exist; the transaction must not be committed.
    """
    seen = await tx.fetch(_LOOK, lane_ids, due_at)
    if len(seen) < len(set(lane_ids)):
        raise LaneGoneError("A part of the queue is gone.", lane_ids=list(lane_ids))
    asleep = [row["lane_id"] for row in seen if row["is_asleep"]]
    if asleep:
        asleep = [row["lane_id"] for row in await tx.fetch(_LOCK, asleep, due_at)]
    if asleep:
        await tx.execute(_WAKE, asleep, due_at)
        await wake(tx)


async def wake(tx: Tx) -> None:
    """Let all deliver processes look for due lanes as soon as this transaction is committed."""
    await tx.execute(_NOTIFY, WAKE_CHANNEL, "")


async def lease(
    tx: Tx,
    stream: Stream,
    *,
    pools: Sequence[str],
    owner: UUID,
    now: datetime,
    lease_until: datetime,
    count_max: int,
    share: Share | None = None,
    at_work: Collection[int] = (),
) -> list[Lane]:
    """Lease up to `count_max` due lanes of `stream`, a few of each project, longest due first; [] if none is due.

    Args:
        share: take only these at once, others when they have been due for a while; None takes all.
        at_work: the lanes that `owner` is still at: not taken anew from itself, though their lease ran out.
    """
    assert now < lease_until
    share = share or Share(1, 0, now)
    rows = await tx.fetch(_DUE, pools, now, count_max, stream, share.count, share.number, share.others_due_at)
    rows = [row for row in rows if row["owner"] != owner or row["lane_id"] not in at_work]
    if rows:
        await tx.execute(_TAKE, [row["lane_id"] for row in rows], owner, lease_until, now)
    return [_lane(row, now) for row in rows]


async def renew(tx: Tx, owner: UUID, lane_ids: Sequence[int], *, lease_until: datetime) -> set[int]:
    """Keep these lanes until `lease_until`. One that is missing from the answer is no longer ours."""
    ours = [row["lane_id"] for row in await tx.fetch(_LOCK_HELD, owner, lane_ids)]
    await tx.execute(_RENEW, ours, lease_until)
    return set(ours)


async def tell(tx: Tx, owner: UUID, pauses: Mapping[int, Pause | None], *, now: datetime) -> None:
    """Say in each of these leased lanes why its owner waits to go on with it; None: it does not. For people to read.

    Those no longer ours are left alone. Not for holds: they are told by their own rows.
    """
    assert not any(pause and pause.hold_id for pause in pauses.values())
    ours = [row["lane_id"] for row in await tx.fetch(_LOCK_HELD, owner, list(pauses))]
    told = [pauses[lane_id] for lane_id in ours]
    columns = (
        [pause and pause.until for pause in told],
        [pause and pause.kind for pause in told],
        [pause and pause.reason for pause in told],
    )
    if ours:
        await tx.execute(_TELL, ours, *columns, now)


async def unpaused(tx: Tx, owner: UUID, lane_ids: Sequence[int]) -> set[int]:
    """Return those of these lanes that are ours and in no pause: where one was told, somebody has ended it."""
    return {row["lane_id"] for row in await tx.fetch(_UNPAUSED, owner, lane_ids)}


async def release(tx: Tx, owner: UUID, given: Sequence[GivenBack], *, now: datetime) -> datetime | None:
    """Give these lanes back, due when their queue and their pause say. Those no longer ours are left alone.

    Whoever's share a lane is gets a moment before others may take it, and is woken if there is mail in it. A pause by a
    hold that was lifted meanwhile is none.

    Returns: the earliest instant at which one of them is due again; None if all are empty.
    """
    by_id = {one.lane_id: one for one in given}
    ours = [by_id[row["lane_id"]] for row in await tx.fetch(_LOCK_OWNED, owner, list(by_id))]
    hold_ids = {one.pause.hold_id for one in ours if one.pause and one.pause.hold_id}
    held = {row["hold_id"] for row in await tx.fetch(_LOCK_HOLDS, list(hold_ids))} if hold_ids else set()
    pauses = [
        one.pause if one.pause and (one.pause.hold_id is None or one.pause.hold_id in held) else None for one in ours
    ]
    columns = (
        [one.provider for one in ours],
        [pause and pause.until for pause in pauses],
        [pause and pause.kind for pause in pauses],
        [pause and pause.reason for pause in pauses],
        [pause and pause.hold_id for pause in pauses],
    )
    rows = await tx.fetch(_RELEASE, [one.lane_id for one in ours], now, *columns) if ours else ()
    due = [row["next_due_at"] for row in rows if row["next_due_at"].year < 9999]  # Not 'infinity'.
    if due and min(due) <= now:
        await wake(tx)
    return min(due, default=None)


async def end_pauses(
    tx: Tx, project_id: UUID, sender_domain: str, kind: WaitKind, *, campaign: str = "", now: datetime
) -> int:
    """Let the lanes of the project's domain, of all its domains with "", that wait for this reason be looked at now.

    Leased ones too, where their owner told it. Returns how many.

    Args:
        campaign: only those of that campaign; "" for all.
    """
    return await _unpause(tx, await tx.fetch(_LOCK_OF_DOMAIN, project_id, sender_domain, kind, campaign), now)


async def end_pauses_of_pools(tx: Tx, pools: Sequence[str], kind: WaitKind, *, now: datetime) -> int:
    """As `end_pauses`, for the lanes of these pools, whoever sends and receives."""
    return await _unpause(tx, await tx.fetch(_LOCK_OF_POOLS, pools, kind), now)


async def _unpause(tx: Tx, rows: Sequence[Row], now: datetime) -> int:
    if rows:
        await tx.execute(_UNPAUSE, [row["lane_id"] for row in rows], now)
        await wake(tx)
    return len(rows)


async def resume(tx: Tx, lane_ids: Sequence[int]) -> None:
    """End the pauses of these lanes, those by holds too; each is due when its queue says.

    Danger: the caller has locked them FOR UPDATE, in a statement before: an accept that found one of them asleep has
    committed by then, and none that comes later finds it asleep.
    """
    await tx.execute(_RESUME, lane_ids)
    await wake(tx)


async def sweep(tx: Tx, *, idle_before: datetime, count_max: int) -> bool:
    """Delete lanes of campaigns that are empty and were given back before, or never leased; up to so many.

    Returns whether there may be more. Safe concurrently, with acceptors too (`touch`).
    """
    idle = [row["lane_id"] for row in await tx.fetch(_LOCK_IDLE, idle_before, count_max)]
    if idle:
        await tx.execute(_DELETE_IDLE, idle)
    return len(idle) == count_max


async def abandon(tx: Tx, owner: UUID, *, now: datetime) -> int:
    """End the leases of an owner that is known to be dead, at once. Its lanes count as taken over. Returns how many."""
    theirs = [row["lane_id"] for row in await tx.fetch(_LOCK_OWNERS, owner)]
    return await tx.execute(_RENEW, theirs, now)


def _key(row: Row) -> LaneKey:
    return LaneKey(
        row["pool"],
        row["route"],
        Stream(row["stream"]),
        row["project_id"],
        row["sender_domain"],
        row["shard"],
        row["campaign"],
    )


def _lane(row: Row, now: datetime) -> Lane:
    taken_over_at = row["taken_over_at"] if row["owner"] is None else now
    return Lane(
        row["lane_id"],
        row["pool"],
        row["route"],
        Stream(row["stream"]),
        row["project_id"],
        row["sender_domain"],
        taken_over_at,
        row["campaign"],
    )
