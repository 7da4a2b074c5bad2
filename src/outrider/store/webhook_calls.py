"""Calls that wait to be made, and whose turn it is: a webhook is leased by one process at a time, as lanes are.

    insert, wake     whoever makes calls: rows, then, last in its transaction, the turn is due no later than they are
    lease, due       whoever sends them
    settle           what came of them; release gives the turn back, due when its calls say

Danger: `wake` comes after `insert` and takes the turn's row; `release` takes that row first and reads the calls in a
second statement. So a release either sees the calls, or is over before they wake. Rows are locked in the order of ids.
A pause lies in the turn: no call is due before it is over. In a webhook with an order, calls with one key wait for the
first of them: `settle` moves the others behind it, and `due` leaves out those whose turn that has not come to.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class NewCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call about to be stored."""

    webhook_id: UUID
    project_id: UUID
    event: str  # The id of its event, a cursor; what it is named to the other side.
    kind: str
    ordering_key: str  # "": it waits for no other.
    payload: bytes
    due_at: datetime
    created_at: datetime


class WaitingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is due."""

    call_id: int
    webhook_id: UUID
    project_id: UUID
    event: str
    kind: str
    ordering_key: str
    batch: str  # Those with the same word travel together, as they did before; "": free.
    payload: bytes
    attempt: int  # How many there have been.
    due_at: datetime
    created_at: datetime


class Wanted(msgspec.Struct, frozen=True):
    """Of which webhook so many calls are wanted, those that are due until then."""

    webhook_id: UUID
    count: int
    until: datetime


class PutOff(msgspec.Struct, frozen=True):
    """A call that is tried again."""

    call_id: int
    attempt: int  # How many there have been by now.
    due_at: datetime
    batch: str = ""


class Backlog(msgspec.Struct, frozen=True):
    """What waits for a webhook."""

    count: int  # At most as many as were counted.
    oldest_at: datetime | None


_INSERT: Final = """
    INSERT INTO webhook_call (webhook_id, project_id, event, kind, ordering_key, payload, due_at, created_at)
    SELECT w.webhook_id, w.project_id, w.event, w.kind, w.ordering_key, w.payload,
           CASE WHEN w.ordering_key = '' THEN w.due_at
                ELSE GREATEST(w.due_at, (SELECT max(c.due_at) FROM webhook_call c
                                          WHERE c.webhook_id = w.webhook_id AND c.ordering_key = w.ordering_key
                                            AND c.ordering_key <> '')) END, w.created_at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
                  $8::timestamptz[]) WITH ORDINALITY
        AS w(webhook_id, project_id, event, kind, ordering_key, payload, due_at, created_at, number)
      JOIN webhook USING (webhook_id)  -- One that was removed meanwhile is told nothing.
     ORDER BY w.number"""
_LOCK: Final = """
    SELECT webhook_id FROM webhook_turn
     WHERE webhook_id = ANY($1::uuid[]) ORDER BY webhook_id FOR UPDATE"""
_WAKE: Final = """
    UPDATE webhook_turn t
       SET next_due_at = LEAST(t.next_due_at, GREATEST(w.due_at, t.paused_until))
      FROM unnest($1::uuid[], $2::timestamptz[]) AS w(webhook_id, due_at) WHERE t.webhook_id = w.webhook_id"""
_DUE_TURNS: Final = """
    SELECT webhook_id FROM webhook_turn
     WHERE next_due_at <= $1 AND next_due_at < 'infinity' AND (owner IS NULL OR lease_until <= $1)
     ORDER BY next_due_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
_LEASE: Final = """
    UPDATE webhook_turn
       SET owner = $2, lease_until = $3 WHERE webhook_id = ANY($1::uuid[])"""
_RENEW: Final = """
    UPDATE webhook_turn SET lease_until = $3
     WHERE owner = $1 AND webhook_id = ANY($2::uuid[]) RETURNING webhook_id"""
_LOCK_OWNED: Final = """
    SELECT webhook_id FROM webhook_turn
     WHERE owner = $1 AND webhook_id = ANY($2::uuid[]) ORDER BY webhook_id FOR UPDATE"""
_RELEASE: Final = """
    UPDATE webhook_turn t
       SET owner = NULL, lease_until = NULL,
           next_due_at = GREATEST(t.paused_until, COALESCE(
             (SELECT min(c.due_at) FROM webhook_call c WHERE c.webhook_id = t.webhook_id), 'infinity'))
     WHERE webhook_id = ANY($1::uuid[])"""
_HOLD: Final = """
    UPDATE webhook_turn SET paused_until = $3, next_due_at = GREATEST(next_due_at, $3)
     WHERE project_id = $1 AND webhook_id = $2"""
_LET_GO: Final = """
    UPDATE webhook_turn t
       SET paused_until = '-infinity',
           next_due_at = CASE WHEN EXISTS (SELECT 1 FROM webhook_call c WHERE c.webhook_id = t.webhook_id)
                              THEN $3::timestamptz ELSE 'infinity' END
     WHERE t.project_id = $1 AND t.webhook_id = $2"""
_HASTEN: Final = """
    UPDATE webhook_call SET due_at = $3 WHERE project_id = $1 AND webhook_id = $2 AND due_at > $3"""
_DUE: Final = """
    SELECT c.call_id, c.webhook_id, c.project_id, c.event, c.kind, c.ordering_key, c.batch, c.payload, c.attempt,
           c.due_at, c.created_at
      FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS w(webhook_id, wanted, until)
     CROSS JOIN LATERAL (
       SELECT * FROM webhook_call a
        WHERE a.webhook_id = w.webhook_id AND a.due_at <= w.until AND a.call_id <> ALL($4::bigint[])
          AND (a.ordering_key = '' OR NOT EXISTS (
                SELECT 1 FROM webhook_call b WHERE b.webhook_id = a.webhook_id AND b.ordering_key = a.ordering_key
                   AND b.ordering_key <> '' AND b.call_id < a.call_id AND b.due_at > w.until))
        ORDER BY a.due_at, a.call_id LIMIT w.wanted) AS c"""
_TAKEN: Final = """
    DELETE FROM webhook_call
     WHERE call_id = ANY($1::bigint[])"""
_PUT_OFF: Final = """
    UPDATE webhook_call c
       SET attempt = p.attempt, due_at = p.due_at, batch = p.batch
      FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::text[]) AS p(call_id, attempt, due_at, batch)
     WHERE c.call_id = p.call_id AND c.attempt < p.attempt"""
_PUT_BEHIND: Final = """
    UPDATE webhook_call c
       SET due_at = h.due_at
      FROM webhook_call h
     WHERE h.call_id = ANY($1::bigint[]) AND h.ordering_key <> '' AND c.webhook_id = h.webhook_id
       AND c.ordering_key = h.ordering_key AND c.ordering_key <> '' AND c.call_id > h.call_id AND c.due_at < h.due_at"""
_EXPIRED: Final = """
    SELECT call_id, webhook_id, project_id, event, kind, ordering_key, batch, ''::bytea AS payload, attempt, due_at,
           created_at
      FROM (SELECT * FROM webhook_call ORDER BY call_id LIMIT $2) AS oldest WHERE created_at < $1"""
_BACKLOG: Final = """
    SELECT count(*) AS count, min(created_at) AS oldest_at
      FROM (SELECT created_at FROM webhook_call WHERE project_id = $1 AND webhook_id = $2 LIMIT $3) AS c"""


async def insert(tx: Tx, calls: Sequence[NewCall]) -> None:
    """Store calls, in order; those whose webhook is gone are not. `wake` their webhooks last in the transaction."""
    columns = (
        [one.webhook_id for one in calls],
        [one.project_id for one in calls],
        [one.event for one in calls],
        [one.kind for one in calls],
        [one.ordering_key for one in calls],
        [one.payload for one in calls],
        [one.due_at for one in calls],
        [one.created_at for one in calls],
    )
    await tx.execute(_INSERT, *columns)


async def wake(tx: Tx, due: Mapping[UUID, datetime]) -> None:
    """Let these webhooks be due no later than that, or than their pause is over."""
    await tx.fetch(_LOCK, list(due))
    await tx.execute(_WAKE, list(due), list(due.values()))


async def lease(tx: Tx, owner: UUID, *, now: datetime, lease_until: datetime, count_max: int) -> Sequence[UUID]:
    """Lease up to `count_max` webhooks that are due, longest due first; [] if none is."""
    found = [row["webhook_id"] for row in await tx.fetch(_DUE_TURNS, now, count_max)]
    if found:
        await tx.execute(_LEASE, found, owner, lease_until)
    return found


async def renew(tx: Tx, owner: UUID, webhook_ids: Sequence[UUID], *, lease_until: datetime) -> frozenset[UUID]:
    """Keep these webhooks until then. One that is missing from the answer is no longer ours."""
    return frozenset(row["webhook_id"] for row in await tx.fetch(_RENEW, owner, webhook_ids, lease_until))


async def release(tx: Tx, owner: UUID, webhook_ids: Sequence[UUID]) -> None:
    """Give these webhooks back, due when their calls and their pause say. Those no longer ours are left alone."""
    ours = [row["webhook_id"] for row in await tx.fetch(_LOCK_OWNED, owner, webhook_ids)]
    if ours:
        await tx.execute(_RELEASE, ours)


async def hold(tx: Tx, project_id: UUID, webhook_id: UUID, *, until: datetime) -> None:
    """Let a webhook get no calls before then."""
    await tx.execute(_HOLD, project_id, webhook_id, until)


async def let_go(tx: Tx, project_id: UUID, webhook_id: UUID, *, now: datetime) -> None:
    """End a webhook's pause: all its calls are due now."""
    await tx.execute(_HASTEN, project_id, webhook_id, now)
    await tx.execute(_LET_GO, project_id, webhook_id, now)


async def due(tx: Tx, wanted: Sequence[Wanted], *, but: Sequence[int]) -> Sequence[WaitingCall]:
    """Return calls that are due, those `but` left out; of each webhook in the order in which they are to be made."""
    columns = [one.webhook_id for one in wanted], [one.count for one in wanted], [one.until for one in wanted]
    return [WaitingCall(**row) for row in await tx.fetch(_DUE, *columns, but)]


async def settle(tx: Tx, *, over: Sequence[int], put_off: Sequence[PutOff]) -> None:
    """Forget calls that were taken or given up, and put off the others with those that must wait for them."""
    if over:
        await tx.execute(_TAKEN, over)
    if put_off:
        columns = (
            [one.call_id for one in put_off],
            [one.attempt for one in put_off],
            [one.due_at for one in put_off],
            [one.batch for one in put_off],
        )
        await tx.execute(_PUT_OFF, *columns)
        await tx.execute(_PUT_BEHIND, columns[0])


async def expired(tx: Tx, *, created_before: datetime, count_max: int) -> Sequence[WaitingCall]:
    """Return calls that came into being before then, without their payloads, among the oldest `count_max`."""
    return [WaitingCall(**row) for row in await tx.fetch(_EXPIRED, created_before, count_max)]


async def backlog(tx: Tx, project_id: UUID, webhook_id: UUID, *, count_max: int) -> Backlog:
    """Return what waits for the project's webhook; up to `count_max` calls are counted."""
    row = await tx.fetch_row(_BACKLOG, project_id, webhook_id, count_max)
    assert row is not None
    return Backlog(row["count"], row["oldest_at"])
