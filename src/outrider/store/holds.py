"""Holds: an operator's word that a lane, a provider, a project or a session waits until further notice.

    operator --put--> [hold] <--all, every 0.5 s-- deliver processes (engine.holds)
                        ^ FOR KEY SHARE
    free lanes <--------+-- pause_lanes          leased lanes: their owner does the same when it gives them back

Invariants:
- A lane is paused for a hold only in a transaction that has locked the hold's row: who resumes at the same moment
  (`remove` needs the row alone) either comes later and finds the lane paused, or came first and nothing is paused.
- A lane paused for a hold has `hold_id`, and `paused_until` and `next_due_at` are 'infinity': nobody leases it, and
  mail that is accepted meanwhile does not wake it.
- A hold whose lanes are many is resumed in several transactions. Lanes that name a hold that is gone are `orphans`:
  whoever was resuming them died; anybody may wake them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import HoldScope, WaitKind
from outrider.store import lanes
from outrider.store.pool import Row, Tx

DROPPING: Final = "being dropped"  # The note of a hold that a drop has put for itself.


class Hold(msgspec.Struct, frozen=True):
    """One thing that an operator holds. `subject`: a lane's id, a provider's key, a project's or a session's UUID."""

    hold_id: UUID
    scope: HoldScope
    subject: str
    note: str
    created_at: datetime


_ALL: Final = """
    SELECT hold_id, scope, subject, note, created_at FROM hold ORDER BY created_at, hold_id"""
_FIND: Final = """
    SELECT hold_id, scope, subject, note, created_at FROM hold WHERE scope = $1 AND subject = $2"""
# The first word stands: who holds a thing twice may only say more about it. But a drop's goes with the drop, so an
# operator's, however short, takes its place, and it takes no other's.
_PUT: Final = """
    INSERT INTO hold (hold_id, scope, subject, note, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ON CONSTRAINT hold_taken
       DO UPDATE SET note = CASE WHEN EXCLUDED.note = $6 OR (EXCLUDED.note = '' AND hold.note <> $6) THEN hold.note
                                 ELSE EXCLUDED.note END
 RETURNING hold_id, scope, subject, note, created_at"""
_REMOVE: Final = """
    DELETE FROM hold WHERE hold_id = $1"""
_REMOVE_DROPS: Final = """
    DELETE FROM hold WHERE hold_id = $1 AND note = $2"""
# Danger: without this lock a lane, or a session, may be paused for a hold that was removed meanwhile, and stay so
# (test_holds.py).
_PIN: Final = """
    SELECT FROM hold WHERE hold_id = $1 FOR KEY SHARE"""
# In id order, as everybody who locks several lanes and may have to wait. A leased lane is its owner's to pause.
_LOCK_FREE: Final = """
    SELECT lane_id FROM lane
     WHERE lane_id = ANY($1::bigint[]) AND owner IS NULL AND hold_id IS NULL ORDER BY lane_id FOR NO KEY UPDATE"""
_PAUSE: Final = """
    UPDATE lane SET paused_until = 'infinity', next_due_at = 'infinity', pause_kind = $2, pause_reason = $3,
           paused_since = $4, hold_id = $5
     WHERE lane_id = ANY($1::bigint[])"""
_LOCK_HELD: Final = """
    SELECT lane_id FROM lane WHERE hold_id = $1 ORDER BY lane_id LIMIT $2 FOR UPDATE"""
_ORPHANS: Final = """
    SELECT DISTINCT hold_id FROM lane WHERE hold_id IS NOT NULL
    EXCEPT SELECT hold_id FROM hold"""


async def all(tx: Tx) -> list[Hold]:  # noqa: A001 - read as `holds.all`.
    """Return every hold, oldest first."""
    return [_hold(row) for row in await tx.fetch(_ALL)]


async def find(tx: Tx, scope: HoldScope, subject: str) -> Hold | None:
    """Return the hold on this very thing, None if there is none."""
    row = await tx.fetch_row(_FIND, scope, subject)
    return None if row is None else _hold(row)


async def put(tx: Tx, hold: Hold) -> Hold:
    """Store the hold, or keep the one that is there, with the new note if that says anything. Return what is stored.

    Of a drop's hold and an operator's the operator's is kept, whoever came first.
    """
    row = await tx.fetch_row(_PUT, hold.hold_id, hold.scope, hold.subject, hold.note, hold.created_at, DROPPING)
    assert row is not None
    return _hold(row)


async def remove(tx: Tx, hold_id: UUID) -> bool:
    """Delete the hold; its lanes stay paused until they are woken. Returns whether it was there.

    Waits for those who are pausing a lane for it.
    """
    return await tx.execute(_REMOVE, hold_id) > 0


async def remove_drops(tx: Tx, hold_id: UUID) -> bool:
    """As `remove`, if the hold is still only that of a drop, and no operator has put his own in its place."""
    return await tx.execute(_REMOVE_DROPS, hold_id, DROPPING) > 0


async def pin(tx: Tx, hold_id: UUID) -> bool:
    """Keep the hold until this transaction ends: who resumes it comes later. False: it is gone."""
    return await tx.fetch_row(_PIN, hold_id) is not None


async def pause_lanes(
    tx: Tx, hold_id: UUID, lane_ids: Sequence[int], *, reason: str, since: datetime
) -> frozenset[int]:
    """Pause those of these lanes that are free and in no hold, if the hold still exists.

    Args:
        reason: one sentence for people; it outlives the hold's row in whatever reads the lane alone.
        since: when the wait began.

    Returns: which lanes are paused now by this call; empty if the hold is gone.
    """
    if not await pin(tx, hold_id):
        return frozenset()
    free = [row["lane_id"] for row in await tx.fetch(_LOCK_FREE, lane_ids)]
    if free:
        await tx.execute(_PAUSE, free, WaitKind.HOLD, reason, since, hold_id)
    return frozenset(free)


async def wake(tx: Tx, hold_id: UUID, *, lane_count_max: int = 1000) -> int:
    """End the pause of lanes in a hold that is removed; each is due when its queue says. Returns how many."""
    theirs = [row["lane_id"] for row in await tx.fetch(_LOCK_HELD, hold_id, lane_count_max)]
    if theirs:
        await lanes.resume(tx, theirs)
    return len(theirs)


async def orphan_ids(tx: Tx) -> list[UUID]:
    """Return the holds that lanes name and that are gone."""
    return [row["hold_id"] for row in await tx.fetch(_ORPHANS)]


def _hold(row: Row) -> Hold:
    return Hold(**dict(row) | {"scope": HoldScope(row["scope"])})
