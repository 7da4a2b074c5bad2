"""Recipients: one address of one message, the unit of queue, retry and quota. The record, until retention.

    state      | what it means                       | leaves to                | after a crash
    -----------|-------------------------------------|--------------------------|-------------------------------
    queued     | waits for an attempt, or is in one  | any of the others        | the lane's lease ends, another tries
    held       | parked by a rule or an operator     | queued cancelled expired | stays held
    delivered  | a server took responsibility (250)  | bounced                  | final, but for a late bounce
    bounced    | refused for good                    | -                        | final
    expired    | its time was over before an answer  | -                        | final
    suppressed | never tried: the address is blocked | -                        | final
    cancelled  | withdrawn before it was delivered   | -                        | final

A `queued` recipient has a row in `queue`; the others have none. The row and the state move in one transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecipientStatus
from outrider.store.pool import Tx

MOVES: Final[Mapping[RecipientStatus, frozenset[RecipientStatus]]] = {
    RecipientStatus.QUEUED: frozenset(RecipientStatus) - {RecipientStatus.QUEUED},
    RecipientStatus.HELD: frozenset({RecipientStatus.QUEUED, RecipientStatus.CANCELLED, RecipientStatus.EXPIRED}),
    RecipientStatus.DELIVERED: frozenset({RecipientStatus.BOUNCED}),
    RecipientStatus.BOUNCED: frozenset(),
    RecipientStatus.EXPIRED: frozenset(),
    RecipientStatus.SUPPRESSED: frozenset(),
    RecipientStatus.CANCELLED: frozenset(),
}


class Record(msgspec.Struct, frozen=True):
    """What became of a recipient in its latest attempt."""

    recipient_id: UUID
    status: RecipientStatus
    reason: str
    reply: str
    attempt: int
    provider: str = ""  # This and the next: to whom it went, from where; "" for an attempt that got nowhere.
    source: str = ""


class LateBounce(msgspec.Struct, frozen=True):
    """A report that a mail did not arrive after all."""

    recipient_id: UUID
    project_id: UUID
    reason: str
    reply: str


class Recipient(msgspec.Struct, frozen=True):
    """A recipient as customers read it. `due_at` is its next attempt, None when there is none."""

    recipient_id: UUID
    address: str
    status: RecipientStatus
    reason: str
    reply: str
    attempt: int
    updated_at: datetime
    due_at: datetime | None


# By recipient, whose lane we hold: the queue has told us whose it is.
_RECORD: Final = """
    UPDATE recipient r /* tidy: project-scope rows are named by ids that the queue gave us */
       SET status = made.status, reason = made.reason, reply = made.reply, attempt = made.attempt, updated_at = $6,
           provider = made.provider, source = made.source
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $7::text[], $8::text[])
        AS made(recipient_id, status, reason, reply, attempt, provider, source)
     WHERE r.recipient_id = made.recipient_id"""
_BOUNCE_LATE: Final = """
    UPDATE recipient r SET status = 'bounced', reason = made.reason, reply = made.reply, updated_at = $5
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS made(recipient_id, project_id, reason, reply)
     WHERE r.recipient_id = made.recipient_id AND r.project_id = made.project_id AND r.status = 'delivered'"""
_OF_MESSAGE: Final = """
    SELECT recipient_id, address, status, reason, reply, r.attempt, updated_at, q.due_at
      FROM recipient r LEFT JOIN queue q USING (recipient_id)
     WHERE r.project_id = $1 AND message_id = $2 ORDER BY recipient_id"""

_PERSONAL: Final = """
    SELECT address, personal FROM recipient WHERE project_id = $1 AND message_id = $2 ORDER BY recipient_id"""


async def record(tx: Tx, records: Sequence[Record], *, now: datetime) -> None:
    """Write what became of these recipients. The caller has made sure that they are still ours (`queue.finish`)."""
    columns = (
        [r.recipient_id for r in records],
        [r.status for r in records],
        [r.reason for r in records],
        [r.reply for r in records],
        [r.attempt for r in records],
    )
    await tx.execute(_RECORD, *columns, now, [r.provider for r in records], [r.source for r in records])


async def bounce_late(tx: Tx, bounces: Sequence[LateBounce], *, now: datetime) -> None:
    """Let `delivered` recipients be `bounced`; others stay as they are."""
    if not bounces:
        return
    columns = [[getattr(one, field) for one in bounces] for field in LateBounce.__struct_fields__]
    await tx.execute(_BOUNCE_LATE, *columns, now)


async def of_message(tx: Tx, project_id: UUID, message_id: UUID) -> Sequence[Recipient]:
    """Return the recipients of the project's message in the order they were given; [] if it has no such message."""
    rows = await tx.fetch(_OF_MESSAGE, project_id, message_id)
    return [Recipient(**dict(row) | {"status": RecipientStatus(row["status"])}) for row in rows]


async def personal(tx: Tx, project_id: UUID, message_id: UUID) -> dict[str, bytes | None]:
    """Return what the mail of each recipient of the project's message is filled in with, by address, in order."""
    return {row["address"]: row["personal"] for row in await tx.fetch(_PERSONAL, project_id, message_id)}
