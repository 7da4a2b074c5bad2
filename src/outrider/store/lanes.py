"""Lanes: whose turn it is. A node leases a lane, reads its due rows, gives it back.

A lane is one (pool, route, stream, shard). Invariants:
- A lane with an `owner` has a `lease_until`; past it, anyone may take it. Without one, it is when it was given back.
- `next_due_at` is never later than the earliest `due_at` of its queue rows. `touch` lowers it in the transaction that
  adds rows, `release` raises it; both lock the lane's row first, and `release` looks at the queue in a second
  statement, whose snapshot is younger than the lock. So a wake-up cannot be lost (test_lanes_race.py).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.store.pool import Row, Tx

WAKE_CHANNEL: Final = "outrider_wake"


class LaneKey(msgspec.Struct, frozen=True):
    """What makes a lane."""

    pool: str
    route: str  # The recipient's domain, lower-case A-label.
    stream: Stream
    shard: int = 0


class Lane(msgspec.Struct, frozen=True):
    """A lease on one lane."""

    lane_id: int
    pool: str
    route: str
    stream: Stream
    taken_over_at: datetime | None
    """When it was last taken from an owner that never gave it back; what was due then may have been delivered. None:
    all that was due then has been tried since."""


class Share(msgspec.Struct, frozen=True):
    """The lanes that one of several processes takes first: those whose id leaves `number` when divided by `count`.

    Without it the process that wakes first takes everything, and the others idle.
    """

    count: int
    number: int
    others_due_at: datetime
    """A lane due and free since then is anybody's: whose share it is has no time for it, or is dead."""


_ENSURE: Final = """
    INSERT INTO lane (pool, route, stream, shard)
    SELECT pool, route, stream, shard
      FROM unnest($1::text[], $2::text[], $3::stream[], $4::smallint[]) AS given(pool, route, stream, shard)
     ORDER BY pool, route, stream, shard
    ON CONFLICT DO NOTHING"""
_FIND: Final = """
    SELECT lane_id, pool, route, stream, shard
      FROM lane JOIN unnest($1::text[], $2::text[], $3::stream[], $4::smallint[])
        AS asked(pool, route, stream, shard) USING (pool, route, stream, shard)"""
# KEY SHARE: acceptors do not wait for each other, nor a lease for them; only `release` (FOR UPDATE) and they exclude
# each other. Danger: a weaker lock in `release`, or none here, loses wake-ups.
_LOOK: Final = """
    SELECT lane_id, next_due_at > $2 AS is_asleep FROM lane
     WHERE lane_id = ANY($1::bigint[]) ORDER BY lane_id FOR KEY SHARE"""
# In id order, so that two acceptors that wake the same lanes cannot deadlock; the second finds them awake and writes
# nothing. Each needless new version of a lane is one more that a lease may have to wait for, SKIP LOCKED or not.
_LOCK: Final = """
    SELECT lane_id FROM lane
     WHERE lane_id = ANY($1::bigint[]) AND next_due_at > $2 ORDER BY lane_id FOR NO KEY UPDATE"""
_WAKE: Final = """
    UPDATE lane SET next_due_at = $2 WHERE lane_id = ANY($1::bigint[])"""
_NOTIFY: Final = """
    SELECT pg_notify($1, $2)"""
# SKIP LOCKED: nodes asking at the same moment step over each other's rows instead of waiting. One branch per stream,
# so that the index gives each in order of due time and transactional mail comes first whatever marketing has waiting.
# Keep the WITHs: a bare IN (SELECT ... LIMIT) may be run more than once and lock too much. Keep it apart from the
# UPDATE: in one statement the planner reads the whole table to join it (20,000 lanes: 2.5 ms a lease), and a row that
# changed meanwhile makes PostgreSQL run the WITHs again.
_DUE: Final = """
    WITH first AS (
        SELECT lane_id, pool, route, stream, owner, taken_over_at, next_due_at FROM lane
         WHERE stream = 'transactional' AND next_due_at <= $2 AND pool = ANY($1::text[])
           AND (owner IS NULL OR lease_until < $2) AND (paused_until IS NULL OR paused_until <= $2)
           AND (lane_id % $4 = $5 OR (next_due_at <= $6 AND (lease_until IS NULL OR lease_until <= $6)))
         ORDER BY next_due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED),
    second AS (
        SELECT lane_id, pool, route, stream, owner, taken_over_at, next_due_at FROM lane
         WHERE stream = 'marketing' AND next_due_at <= $2 AND pool = ANY($1::text[])
           AND (owner IS NULL OR lease_until < $2) AND (paused_until IS NULL OR paused_until <= $2)
           AND (lane_id % $4 = $5 OR (next_due_at <= $6 AND (lease_until IS NULL OR lease_until <= $6)))
         ORDER BY next_due_at LIMIT $3 - (SELECT count(*) FROM first) FOR NO KEY UPDATE SKIP LOCKED)
    SELECT * FROM first UNION ALL SELECT * FROM second"""
_TAKE: Final = """
    UPDATE lane SET owner = $2, lease_until = $3,
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
# What was due at a take-over and is not tried yet keeps the mark, whoever holds the lane meanwhile.
_RELEASE: Final = """
    UPDATE lane SET owner = NULL, lease_until = $2, next_due_at = head.due_at,
           taken_over_at = CASE WHEN head.due_at <= taken_over_at THEN taken_over_at END
      FROM (SELECT lane_id, COALESCE(
                       (SELECT due_at FROM queue q WHERE q.lane_id = given.lane_id ORDER BY due_at LIMIT 1),
                       'infinity') AS due_at
              FROM unnest($1::bigint[]) AS given(lane_id)) AS head
     WHERE lane.lane_id = head.lane_id
 RETURNING next_due_at"""
_LOCK_OWNERS: Final = """
    SELECT lane_id FROM lane WHERE owner = $1 ORDER BY lane_id FOR NO KEY UPDATE"""


async def ensure(tx: Tx, keys: Sequence[LaneKey]) -> dict[LaneKey, int]:
    """Return the id of each lane, making those that are missing. A lane, once made, stays."""
    columns = [k.pool for k in keys], [k.route for k in keys], [k.stream for k in keys], [k.shard for k in keys]
    await tx.execute(_ENSURE, *columns)
    rows = await tx.fetch(_FIND, *columns)
    return {LaneKey(row["pool"], row["route"], Stream(row["stream"]), row["shard"]): row["lane_id"] for row in rows}


async def touch(tx: Tx, lane_ids: Sequence[int], *, due_at: datetime) -> None:
    """Rows due at `due_at` were added to these lanes in this transaction: wake those that sleep.

    Call it last: lanes cannot be given back before the commit.
    """
    asleep = [row["lane_id"] for row in await tx.fetch(_LOOK, lane_ids, due_at) if row["is_asleep"]]
    if asleep:
        asleep = [row["lane_id"] for row in await tx.fetch(_LOCK, asleep, due_at)]
    if asleep:
        await tx.execute(_WAKE, asleep, due_at)
        await tx.execute(_NOTIFY, WAKE_CHANNEL, "")


async def lease(
    tx: Tx,
    *,
    pools: Sequence[str],
    owner: UUID,
    now: datetime,
    lease_until: datetime,
    count_max: int,
    share: Share | None = None,
) -> list[Lane]:
    """Lease up to `count_max` due lanes, transactional first, then longest due; [] if none is due.

    Args:
        share: take only these at once, others when they have been due for a while; None takes all.
    """
    assert now < lease_until
    share = share or Share(1, 0, now)
    rows = await tx.fetch(_DUE, pools, now, count_max, share.count, share.number, share.others_due_at)
    if rows:
        await tx.execute(_TAKE, [row["lane_id"] for row in rows], owner, lease_until, now)
    return [_lane(row, now) for row in rows]


async def renew(tx: Tx, owner: UUID, lane_ids: Sequence[int], *, lease_until: datetime) -> set[int]:
    """Keep these lanes until `lease_until`. One that is missing from the answer is no longer ours."""
    ours = [row["lane_id"] for row in await tx.fetch(_LOCK_HELD, owner, lane_ids)]
    await tx.execute(_RENEW, ours, lease_until)
    return set(ours)


async def release(tx: Tx, owner: UUID, lane_ids: Sequence[int], *, now: datetime) -> datetime | None:
    """Give these lanes back, due when their queue says. Those no longer ours are left alone.

    Whoever's share a lane is gets a moment before others may take it, and is woken if there is mail in it.

    Returns: the earliest instant at which one of them is due again; None if all are empty.
    """
    ours = [row["lane_id"] for row in await tx.fetch(_LOCK_OWNED, owner, lane_ids)]
    rows = await tx.fetch(_RELEASE, ours, now) if ours else ()
    due = [row["next_due_at"] for row in rows if row["next_due_at"].year < 9999]  # Not 'infinity'.
    if due and min(due) <= now:
        await tx.execute(_NOTIFY, WAKE_CHANNEL, "")
    return min(due, default=None)


async def abandon(tx: Tx, owner: UUID, *, now: datetime) -> int:
    """End the leases of an owner that is known to be dead, at once. Its lanes count as taken over. Returns how many."""
    theirs = [row["lane_id"] for row in await tx.fetch(_LOCK_OWNERS, owner)]
    return await tx.execute(_RENEW, theirs, now)


def _lane(row: Row, now: datetime) -> Lane:
    taken_over_at = row["taken_over_at"] if row["owner"] is None else now
    return Lane(row["lane_id"], row["pool"], row["route"], Stream(row["stream"]), taken_over_at)
