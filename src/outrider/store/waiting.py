"""What waits, changed by an operator: flushed, held, released, cancelled. Bounded steps for transactions of their own.

The deliver side is never waited for and never made to wait long: rows that a settle has locked are skipped (SKIP
LOCKED) and seen by the next pass. Whoever takes a row out of the queue while its lane is leased may meet an attempt
under way: that attempt's result is dropped at settle, so the server may have the mail. Such rows say `may_repeat`.

Locks: queue rows first, then lanes in id order, as accept does. A change of due instants locks its lanes before the
commit, so that a release either sees it or is overwritten by it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import HoldScope, RecipientStatus
from outrider.store import lanes
from outrider.store.pool import Row, Tx

OPERATOR: Final = "operator"  # The reason of what an operator held or cancelled.
CONTENT: Final = "content"  # Of what was held for its content when it was accepted.
INTERNAL: Final = "internal"  # Of what was parked after repeated errors of ours.
PARKED: Final = (CONTENT, INTERNAL)  # What a rule holds, and no operator: somebody looks at it and releases it.


class Place(msgspec.Struct, frozen=True):
    """How far a pass over a lane has come: everything up to and including this row is behind it."""

    lane_id: int
    after_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    after_id: UUID = UUID(int=0)


class Taken(msgspec.Struct, frozen=True):
    """A recipient that was taken out of the queue, or put back into it."""

    recipient_id: UUID
    message_id: UUID
    project_id: UUID
    attempt: int
    lane_id: int
    reason_before: str
    may_repeat: bool = False  # An attempt may have been under way; what it brings is not recorded.


# What is in a scope, as a condition on `lane`; its parameter is the subject as text.
_IN_SCOPE: Final[Mapping[HoldScope, str]] = {
    HoldScope.LANE: "lane_id = $1::text::bigint",
    HoldScope.PROVIDER: "provider = $1::text AND provider <> ''",
    HoldScope.PROJECT: "project_id = $1::text::uuid",
}
_PICK: Final = "SELECT lane_id FROM lane WHERE"
_COUNT: Final = "SELECT count(*) AS count FROM lane WHERE"
_LANES: Final[Mapping[HoldScope, str]] = {
    scope: f"{_PICK} {condition} AND lane_id > $2 ORDER BY lane_id LIMIT $3" for scope, condition in _IN_SCOPE.items()
}
_FREE: Final[Mapping[HoldScope, str]] = {
    scope: f"{_PICK} {condition} AND owner IS NULL AND hold_id IS NULL LIMIT $2"
    for scope, condition in _IN_SCOPE.items()
}
_LEASED: Final[Mapping[HoldScope, str]] = {
    scope: f"{_COUNT} owner IS NOT NULL AND lease_until > $2 AND {condition}" for scope, condition in _IN_SCOPE.items()
}
_KNOWN: Final = """
    SELECT FROM lane WHERE provider = $1 UNION ALL SELECT FROM gate WHERE provider = $1 LIMIT 1"""
# LATERAL: an index scan of each lane, so the cost follows what is to come later, never what is due. What was never
# tried and is due later was scheduled (`send_at`); that is its sender's word, and no flush is to break it.
_FLUSH: Final = """
    WITH late AS (
        SELECT head.recipient_id
          FROM unnest($1::bigint[]) AS given(lane_id)
         CROSS JOIN LATERAL (
                   SELECT recipient_id FROM queue q WHERE q.lane_id = given.lane_id AND q.due_at > $2 AND q.attempt > 0
                    ORDER BY q.due_at LIMIT $3 FOR UPDATE SKIP LOCKED) AS head LIMIT $3)
    UPDATE queue q SET due_at = $2 FROM late WHERE q.recipient_id = late.recipient_id
 RETURNING q.lane_id"""
_LOCK_FLUSHED: Final = """
    SELECT lane_id FROM lane
     WHERE lane_id = ANY($1::bigint[]) AND hold_id IS NULL
       AND (lane_id = ANY($2::bigint[]) OR paused_until IS NOT NULL) ORDER BY lane_id FOR UPDATE"""
_FLUSH_SESSION: Final = """
    WITH late AS (
        SELECT q.recipient_id FROM recipient r JOIN queue q USING (recipient_id)
         WHERE r.project_id = $1 AND r.message_id = $2 AND q.due_at > $3 AND q.attempt > 0
         LIMIT $4 FOR UPDATE OF q SKIP LOCKED)
    UPDATE queue q SET due_at = $3 FROM late WHERE q.recipient_id = late.recipient_id
 RETURNING q.lane_id"""
# By place and not from the front: rows deleted before are still in the index, and each step would read them again.
_HEADS: Final = """
    SELECT head.recipient_id, head.lane_id, head.due_at,
           head.due_at <= $5 AND (SELECT COALESCE(owner IS NOT NULL AND lease_until > $5, false)
                                    FROM lane WHERE lane.lane_id = head.lane_id) AS may_repeat
      FROM unnest($1::bigint[], $2::timestamptz[], $3::uuid[]) AS place(lane_id, after_at, after_id)
     CROSS JOIN LATERAL (
               SELECT recipient_id, lane_id, due_at FROM queue q
                WHERE q.lane_id = place.lane_id AND (q.due_at, q.recipient_id) > (place.after_at, place.after_id)
                ORDER BY q.due_at, q.recipient_id LIMIT $4 FOR UPDATE SKIP LOCKED) AS head LIMIT $4"""
# SHARE: nobody leases these lanes before the commit, so nobody begins what is being taken out.
_LOCK_SESSION: Final = """
    SELECT lane_id, owner IS NOT NULL AND lease_until > $3 AS is_leased FROM lane
     WHERE lane_id IN (SELECT q.lane_id FROM recipient r JOIN queue q USING (recipient_id)
                        WHERE r.project_id = $1 AND r.message_id = $2)
     ORDER BY lane_id FOR SHARE"""
_OF_SESSION: Final = """
    SELECT q.recipient_id, q.lane_id, q.due_at, q.due_at <= $4 AND q.lane_id = ANY($3::bigint[]) AS may_repeat
      FROM recipient r JOIN queue q USING (recipient_id)
     WHERE r.project_id = $1 AND r.message_id = $2
       AND ($5 OR NOT (q.due_at <= $4 AND q.lane_id = ANY($3::bigint[])))
     ORDER BY q.recipient_id LIMIT $6 FOR UPDATE OF q SKIP LOCKED"""
_LEFT_OF_SESSION: Final = """
    SELECT FROM recipient r JOIN queue q USING (recipient_id)
     WHERE r.project_id = $1 AND r.message_id = $2 LIMIT 1"""
_COUNT_OF_DOMAIN: Final = """
    SELECT count(*) AS count
      FROM (SELECT FROM lane JOIN queue USING (lane_id)
             WHERE lane.project_id = $1 AND lane.sender_domain = $2 LIMIT $3) AS found"""
_LANES_OF_DOMAIN: Final = """
    SELECT lane_id FROM lane
     WHERE project_id = $1 AND sender_domain = $2 AND lane_id > $3
       AND EXISTS (SELECT FROM queue q WHERE q.lane_id = lane.lane_id) ORDER BY lane_id LIMIT $4"""
_DELETE: Final = """
    DELETE FROM queue WHERE recipient_id = ANY($1::uuid[])"""
_MOVE: Final = """
    WITH before AS (SELECT recipient_id, reason FROM recipient WHERE recipient_id = ANY($1::uuid[]) FOR UPDATE)
    UPDATE recipient r SET status = $2, reason = $3, updated_at = $4
      FROM before WHERE r.recipient_id = before.recipient_id
 RETURNING r.recipient_id, r.message_id, r.project_id, r.attempt, before.reason AS reason_before"""
_HELD: Final = """
    SELECT recipient_id FROM recipient
     WHERE project_id = $1 AND message_id = $2 AND status = 'held'
     ORDER BY recipient_id LIMIT $3 FOR UPDATE SKIP LOCKED"""
# Back into the lane it came from, which its last `held` event names; one like it, should that be gone.
_RELEASABLE: Final = """
    WITH held AS (
        SELECT recipient_id, address, reason FROM recipient
         WHERE project_id = $1 AND message_id = $2 AND status = 'held' AND reason = ANY($4::text[])
         ORDER BY recipient_id LIMIT $3 FOR UPDATE SKIP LOCKED),
    told AS (
        SELECT DISTINCT ON (recipient_id) recipient_id, facts->>'lane_id' AS lane_id,
               facts->>'reason_before' AS reason_before
          FROM event WHERE project_id = $1 AND message_id = $2 AND kind = 'held'
         ORDER BY recipient_id, at DESC, event_id DESC)
    SELECT recipient_id, held.reason, COALESCE(reason_before, '') AS reason_before,
           COALESCE((SELECT l.lane_id FROM lane l WHERE l.lane_id = told.lane_id::bigint),
                    (SELECT l.lane_id FROM lane l
                      WHERE l.project_id = m.project_id AND l.stream = m.stream
                        AND l.route = lower(split_part(held.address, '@', -1))
                        AND l.sender_domain = lower(split_part(m.sender, '@', -1))
                      ORDER BY l.campaign <> m.campaign, l.campaign, l.lane_id LIMIT 1)) AS lane_id
      FROM held JOIN message m ON m.project_id = $1 AND m.message_id = $2 LEFT JOIN told USING (recipient_id)
     ORDER BY recipient_id"""
_RELEASE: Final = """
    UPDATE recipient r SET status = 'queued', reason = given.reason, updated_at = $3
      FROM unnest($1::uuid[], $2::text[]) AS given(recipient_id, reason)
     WHERE r.recipient_id = given.recipient_id
 RETURNING r.recipient_id, r.message_id, r.project_id, r.attempt"""
_ENQUEUE: Final = """
    INSERT INTO queue (recipient_id, lane_id, due_at, attempt, expires_at)
    SELECT r.recipient_id, given.lane_id, greatest($3, m.send_at), r.attempt, m.expires_at
      FROM unnest($1::uuid[], $2::bigint[]) AS given(recipient_id, lane_id)
      JOIN recipient r USING (recipient_id) JOIN message m USING (project_id, message_id)
 RETURNING due_at"""


async def lane_ids(tx: Tx, scope: HoldScope, subject: str, *, after_id: int, count_max: int) -> list[int]:
    """Return the lanes of a scope (not of a session) behind `after_id`, in id order."""
    return [row["lane_id"] for row in await tx.fetch(_LANES[scope], subject, after_id, count_max)]


async def free_lane_ids(tx: Tx, scope: HoldScope, subject: str, *, count_max: int) -> list[int]:
    """Return lanes of the scope that nobody holds: neither a process nor an operator."""
    return [row["lane_id"] for row in await tx.fetch(_FREE[scope], subject, count_max)]


async def leased_count(tx: Tx, scope: HoldScope, subject: str, *, now: datetime) -> int:
    """Return how many lanes of the scope a process is working on."""
    row = await tx.fetch_row(_LEASED[scope], subject, now)
    assert row is not None
    return int(row["count"])


async def is_provider_known(tx: Tx, provider: str) -> bool:
    """Whether any mail has gone, or is to go, to this provider."""
    return await tx.fetch_row(_KNOWN, provider) is not None


async def flush(tx: Tx, page: Sequence[int], *, now: datetime, count_max: int) -> int:
    """Make up to `count_max` deferred rows of these lanes due now, and end the lanes' pauses, but not their holds.

    Returns how many rows; fewer than `count_max`: none is left, but for those a settle has in its hands.
    """
    rows = await tx.fetch(_FLUSH, page, now, count_max)
    ready = [row["lane_id"] for row in await tx.fetch(_LOCK_FLUSHED, page, [row["lane_id"] for row in rows])]
    if ready:
        await lanes.resume(tx, ready)
    return len(rows)


async def flush_session(tx: Tx, project_id: UUID, message_id: UUID, *, now: datetime, count_max: int) -> int:
    """As `flush`, for one session; its lanes' pauses stand, since others' mail is in them too."""
    rows = await tx.fetch(_FLUSH_SESSION, project_id, message_id, now, count_max)
    if rows:
        await lanes.touch(tx, sorted({row["lane_id"] for row in rows}), due_at=now)
    return len(rows)


async def cancel(tx: Tx, places: Sequence[Place], *, now: datetime, count_max: int) -> tuple[list[Taken], list[Place]]:
    """Cancel up to `count_max` rows behind these places. The caller sees to it that their lanes are in a hold.

    Returns: what was cancelled, and the places behind it. Fewer than `count_max`: this pass is over.
    """
    columns = [p.lane_id for p in places], [p.after_at for p in places], [p.after_id for p in places]
    heads = await tx.fetch(_HEADS, *columns, count_max, now)
    reached = {place.lane_id: place for place in places}
    for row in sorted(heads, key=lambda row: (row["due_at"], row["recipient_id"])):
        reached[row["lane_id"]] = Place(row["lane_id"], row["due_at"], row["recipient_id"])
    return await _take(tx, heads, RecipientStatus.CANCELLED, now), list(reached.values())


async def take_session(
    tx: Tx,
    project_id: UUID,
    message_id: UUID,
    status: RecipientStatus,
    *,
    now: datetime,
    is_patient: bool,
    count_max: int,
) -> list[Taken]:
    """Take up to `count_max` recipients of the session out of the queue and give them `status`.

    Args:
        is_patient: leave alone what may be under way now, in a leased lane; the caller comes again.
    """
    found = await tx.fetch(_LOCK_SESSION, project_id, message_id, now)
    leased = [row["lane_id"] for row in found if row["is_leased"]]
    rows = await tx.fetch(_OF_SESSION, project_id, message_id, leased, now, not is_patient, count_max)
    return await _take(tx, rows, status, now)


async def is_session_queued(tx: Tx, project_id: UUID, message_id: UUID) -> bool:
    """Whether any recipient of the session is in the queue."""
    return await tx.fetch_row(_LEFT_OF_SESSION, project_id, message_id) is not None


async def cancel_held(tx: Tx, project_id: UUID, message_id: UUID, *, now: datetime, count_max: int) -> list[Taken]:
    """Cancel up to `count_max` recipients of the session that are `held`, by whomever."""
    held = [row["recipient_id"] for row in await tx.fetch(_HELD, project_id, message_id, count_max)]
    moved = await tx.fetch(_MOVE, held, RecipientStatus.CANCELLED, OPERATOR, now) if held else ()
    return [Taken(**row, lane_id=0) for row in moved]


async def release_session(
    tx: Tx, project_id: UUID, message_id: UUID, reasons: Sequence[str], *, now: datetime, count_max: int
) -> list[Taken]:
    """Put up to `count_max` recipients that are held for one of these reasons back into their lanes, due now.

    Those of a message with a later `send_at` are due then. Wakes the lanes. Attempts made so far count on, and a
    recipient expires when its message does.
    """
    rows = await tx.fetch(_RELEASABLE, project_id, message_id, count_max, reasons)
    places = {row["recipient_id"]: row["lane_id"] for row in rows if row["lane_id"] is not None}
    if not places:
        return []
    held_for = {row["recipient_id"]: row["reason"] for row in rows}
    before = [row["reason_before"] for row in rows if row["recipient_id"] in places]
    moved = await tx.fetch(_RELEASE, list(places), before, now)
    queued = await tx.fetch(_ENQUEUE, list(places), list(places.values()), now)
    due_at = min(row["due_at"] for row in queued)  # All alike: they are of one message.
    await lanes.touch(tx, sorted(set(places.values())), due_at=due_at)
    return [
        Taken(**row, lane_id=places[row["recipient_id"]], reason_before=held_for[row["recipient_id"]]) for row in moved
    ]


async def _take(tx: Tx, rows: Sequence[Row], status: RecipientStatus, now: datetime) -> list[Taken]:
    """Move recipients whose queue rows are locked: out of the queue, into `status`."""
    if not rows:
        return []
    by_id = {row["recipient_id"]: row for row in rows}
    await tx.execute(_DELETE, list(by_id))
    moved = await tx.fetch(_MOVE, list(by_id), status, OPERATOR, now)
    return [
        Taken(**row, lane_id=by_id[row["recipient_id"]]["lane_id"], may_repeat=by_id[row["recipient_id"]]["may_repeat"])
        for row in moved
    ]


async def count_of_domain(tx: Tx, project_id: UUID, sender_domain: str, *, count_max: int) -> int:
    """Return how many recipients of mail from the project's domain are queued, `count_max` at most."""
    row = await tx.fetch_row(_COUNT_OF_DOMAIN, project_id, sender_domain, count_max)
    assert row is not None
    return int(row["count"])


async def lanes_of_domain(tx: Tx, project_id: UUID, sender_domain: str, *, after: int, count_max: int) -> Sequence[int]:
    """Return the lanes above `after` with mail from the project's domain in them, in id order."""
    rows = await tx.fetch(_LANES_OF_DOMAIN, project_id, sender_domain, after, count_max)
    return [row["lane_id"] for row in rows]
