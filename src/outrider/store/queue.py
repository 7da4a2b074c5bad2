"""The queue: one narrow row per recipient that is not finished.

Nothing is written to claim a row: whoever holds its lane's lease may try it. `attempt` counts finished attempts and is
the fencing token: a settle that names another number, or no row at all, has lost its lane meanwhile and writes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Claim(msgspec.Struct, frozen=True):
    """A due recipient of a lane we hold."""

    recipient_id: UUID
    lane_id: int
    message_id: UUID
    project_id: UUID
    address: str
    due_at: datetime
    attempt: int  # Finished attempts so far.
    expires_at: datetime
    personal: bytes | None = None  # What its mail is filled in with, as `NewRecipient` has it.
    suppressed_for: str = ""  # A `policy.reason.Reason`: why its address gets no mail any more; "" if it does.


class PutBack(msgspec.Struct, frozen=True):
    """A claim that goes back into the queue, due at `due_at`."""

    recipient_id: UUID
    attempt: int  # Of the claim; the row gets one more.
    due_at: datetime


# LATERAL: an index scan of each lane's head, so the cost follows what is read, never the backlog.
_FIRST_DUE: Final = """
    SELECT head.recipient_id, head.lane_id, message_id, project_id, address, head.due_at, head.attempt, head.expires_at,
           personal
      FROM unnest($1::bigint[]) AS held(lane_id)
     CROSS JOIN LATERAL (
               SELECT recipient_id, lane_id, due_at, attempt, expires_at FROM queue q
                WHERE q.lane_id = held.lane_id AND q.due_at <= $2 AND q.recipient_id <> ALL($3::uuid[])
                ORDER BY q.due_at, q.recipient_id LIMIT $4) AS head
      JOIN recipient r ON r.recipient_id = head.recipient_id
     ORDER BY head.due_at, head.recipient_id"""
# Both rows are locked, so nobody leases the lane before the commit and tries what is ended here; SKIP LOCKED: who has
# one of them in hand is not waited for. By `queue_expiry`, so the cost follows what is over: nothing of a million takes
# under 1 ms, 500 of a million 20 ms, a million that others' leases keep 1 s (2026-11).
_EXPIRED: Final = """
    SELECT q.recipient_id, q.lane_id, r.message_id, r.project_id, r.address, q.due_at, q.attempt, q.expires_at,
           COALESCE(q.due_at <= l.taken_over_at, false) AS is_taken_over
      FROM queue q JOIN lane l USING (lane_id)
      JOIN recipient r ON r.recipient_id = q.recipient_id AND r.project_id = l.project_id
     WHERE q.expires_at <= $1 AND l.owner IS NULL
     ORDER BY q.expires_at LIMIT $2 FOR UPDATE OF q SKIP LOCKED FOR SHARE OF l SKIP LOCKED"""
_FINISH: Final = """
    DELETE FROM queue q USING unnest($1::uuid[], $2::int[]) AS done(recipient_id, attempt)
     WHERE q.recipient_id = done.recipient_id AND q.attempt = done.attempt
 RETURNING q.recipient_id"""
_PUT_BACK: Final = """
    UPDATE queue q SET due_at = back.due_at, attempt = q.attempt + 1
      FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS back(recipient_id, attempt, due_at)
     WHERE q.recipient_id = back.recipient_id AND q.attempt = back.attempt
 RETURNING q.recipient_id"""


async def first_due(
    tx: Tx, lane_ids: Sequence[int], *, now: datetime, busy: Sequence[UUID], count_max: int
) -> list[Claim]:
    """Read up to `count_max` due recipients of each of these lanes, longest due first.

    Args:
        lane_ids: lanes whose lease the caller holds.
        busy: recipients the caller is trying right now; they are left out.
    """
    rows = await tx.fetch(_FIRST_DUE, lane_ids, now, busy, count_max)
    return [Claim(*row.values()) for row in rows]


async def expired(tx: Tx, *, now: datetime, count_max: int) -> list[tuple[Claim, bool]]:
    """Return up to `count_max` recipients whose time is over in lanes that nobody holds, longest over first.

    They and their lanes are locked until the end of the transaction; those that others have locked are left out.

    Returns: with each whether its lane's last owner died and may have delivered it (`Lane.taken_over_at`).
    """
    return [(Claim(*list(row.values())[:-1]), row["is_taken_over"]) for row in await tx.fetch(_EXPIRED, now, count_max)]


async def finish(tx: Tx, claims: Sequence[tuple[UUID, int]]) -> set[UUID]:
    """End these (recipient, attempt) claims' time in the queue.

    Returns: those that were still ours. For one that is missing, write nothing: it has its truth from somebody else.
    """
    rows = await tx.fetch(_FINISH, [c[0] for c in claims], [c[1] for c in claims])
    return {row["recipient_id"] for row in rows}


async def put_back(tx: Tx, backs: Sequence[PutBack]) -> set[UUID]:
    """Let these wait for their next attempt. Returns those that were still ours, as `finish`."""
    columns = [b.recipient_id for b in backs], [b.attempt for b in backs], [b.due_at for b in backs]
    rows = await tx.fetch(_PUT_BACK, *columns)
    return {row["recipient_id"] for row in rows}
