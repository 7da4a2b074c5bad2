"""Mail that came in and was answered 250: kept until it is read, then gone.

A row is claimed by moving its `due_at` on (`take`), further each time: who dies with it leaves it to the next look.
`attempt` counts claims, so that a report that breaks its reader is put aside (`due_at` NULL: nobody takes it) instead
of coming round for ever. What is aside is kept for somebody to look at, until others come a month later.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecipientStatus
from outrider.mail.verp import Purpose
from outrider.store.pool import Tx
from outrider.store.tracking import IS_PRIVATE


class Inbound(msgspec.Struct, frozen=True):
    """One mail that came in, for one return path."""

    inbound_id: UUID
    recipient_id: UUID  # Whose delivery it is about, as its token says.
    purpose: Purpose
    sender: str  # MAIL FROM; "" is the null sender.
    client: str  # The address it came from.
    content: bytes
    received_at: datetime
    attempt: int = 0


class About(msgspec.Struct, frozen=True):
    """What is known of the recipient that a report is about."""

    recipient_id: UUID
    project_id: UUID
    message_id: UUID
    address: str
    attempt: int
    status: RecipientStatus | None  # None: the mail is past its retention; what leaving needs is all there is.
    sender: str
    list_name: str = ""  # Of the mail; "" for none.
    is_private: bool = False  # Addresses of its readers are not stored.


_INSERT: Final = """
    INSERT INTO inbound (inbound_id, recipient_id, purpose, sender, client, content, received_at, due_at)
    SELECT *, received_at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[])
        AS given(inbound_id, recipient_id, purpose, sender, client, content, received_at)"""
_TAKE: Final = """
    UPDATE inbound SET due_at = $1::timestamptz + $2::interval * (attempt + 1), attempt = attempt + 1
     WHERE inbound_id IN (
        SELECT inbound_id FROM inbound WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
 RETURNING inbound_id, recipient_id, purpose, sender, client, content, received_at, attempt"""
_DELETE: Final = """
    DELETE FROM inbound WHERE inbound_id = ANY($1) RETURNING inbound_id"""
_PUT_BACK: Final = """
    UPDATE inbound SET due_at = $2 WHERE inbound_id = ANY($1)"""
_PUT_ASIDE: Final = """
    UPDATE inbound SET due_at = NULL WHERE inbound_id = ANY($1)"""
_FORGET_ASIDE: Final = """
    DELETE FROM inbound WHERE due_at IS NULL AND received_at < $1"""
_ABOUT: Final = f"""
    SELECT known.*, {IS_PRIVATE} AS is_private
      FROM (SELECT recipient_id, r.project_id, message_id, address, r.attempt, status, m.sender, m.list_name
              FROM recipient r JOIN message m USING (message_id) WHERE recipient_id = ANY($1)
             UNION ALL
            SELECT recipient_id, project_id, message_id, address, 0, NULL, sender, list_name
              FROM recipient_past WHERE recipient_id = ANY($1)) AS known
      LEFT JOIN project p USING (project_id)
      LEFT JOIN domain d ON d.project_id = known.project_id AND d.name = lower(split_part(sender, '@', 2))
      /* tidy: project-scope the signed return path names the recipient */"""  # noqa: S608 - constants.


async def insert(tx: Tx, mails: Sequence[Inbound]) -> None:
    """Keep these until they are read."""
    columns = [
        [getattr(mail, field) for mail in mails]
        for field in ("inbound_id", "recipient_id", "purpose", "sender", "client", "content", "received_at")
    ]
    await tx.execute(_INSERT, *columns)


async def take(tx: Tx, *, now: datetime, claim: timedelta, count_max: int) -> list[Inbound]:
    """Claim up to `count_max` that wait, the oldest first; for `claim`, twice that the second time, and so on."""
    rows = await tx.fetch(_TAKE, now, claim, count_max)
    return [Inbound(**dict(row) | {"purpose": Purpose(row["purpose"])}) for row in rows]


async def delete(tx: Tx, inbound_ids: Sequence[UUID]) -> set[UUID]:
    """Forget those that were read. Returns those that were still there: what is missing, somebody else has read."""
    return {row["inbound_id"] for row in await tx.fetch(_DELETE, inbound_ids)}


async def put_back(tx: Tx, inbound_ids: Sequence[UUID], *, due_at: datetime) -> None:
    """Let these be taken again, not before `due_at`."""
    await tx.execute(_PUT_BACK, inbound_ids, due_at)


async def put_aside(tx: Tx, inbound_ids: Sequence[UUID], *, forget_before: datetime) -> None:
    """Let nobody take these any more; forget those that were put aside and came before `forget_before`."""
    await tx.execute(_FORGET_ASIDE, forget_before)
    await tx.execute(_PUT_ASIDE, inbound_ids)


async def about(tx: Tx, recipient_ids: Sequence[UUID]) -> dict[UUID, About]:
    """Return what is known of these recipients; one that is past its retention is missing, unless its link is good."""
    rows = await tx.fetch(_ABOUT, recipient_ids)
    return {row["recipient_id"]: About(**dict(row) | {"status": _status(row["status"])}) for row in rows}


def _status(text: str | None) -> RecipientStatus | None:
    return None if text is None else RecipientStatus(text)
