"""Delivery reports by mail: who asked for them, and those that wait to be sent. RFC 3461.

A wish is written with the recipient it is about; a report in the transaction that reads the event it speaks of, one for
each action. Of who was rejected beside others both are written at once, with the address. Both are forgotten
together, when nothing more is heard of a recipient.
"""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for one recipient."""

    project_id: UUID
    recipient_id: UUID
    message_id: UUID
    return_to: str  # An address: the envelope's sender.
    kinds: Sequence[str]  # Of "SUCCESS", "FAILURE", "DELAY".
    is_full: bool  # A failure gives the whole message back.
    envelope_id: str  # ENVID, decoded; "" for none.
    original: str  # The address of ORCPT, decoded; "" for none.
    wished_at: datetime
    address: str = ""  # Of a recipient that was rejected; else its row has it.


class NewReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report about to be written."""

    report_id: UUID
    project_id: UUID
    recipient_id: UUID
    action: str  # "failed", "delayed", "relayed". RFC 3464 §2.3.3.
    reply: str
    host: str  # Of the server that said so; "" for none.
    at: datetime


class DueReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report that waits to be sent, and who may send it."""

    report_id: UUID
    project_id: UUID
    action: str
    reply: str
    host: str
    at: datetime
    message_id: UUID
    return_to: str
    is_full: bool
    envelope_id: str
    original: str
    wished_at: datetime
    address: str  # The recipient's.
    sender: str  # An address of the project that may send transactional mail now.

    @property
    def letter_id(self) -> UUID:
        """What its mail is known by."""
        return self.report_id


_WISH: Final = """
    INSERT INTO report_wish (project_id, recipient_id, message_id, return_to, kinds, is_full, envelope_id, original,
                             wished_at, address)
    SELECT a, b, c, d, string_to_array(e, ','), f, g, h, i, j
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[],
                  $9::timestamptz[], $10::text[]) AS given(a, b, c, d, e, f, g, h, i, j)"""
_HAS_ANY: Final = """
    SELECT project_id FROM report_wish LIMIT 1"""
# An address elsewhere gets none: whoever handed in the mail may have put a stranger's there.
_WISHED: Final = """
    SELECT w.project_id, recipient_id, message_id, return_to, kinds, is_full, envelope_id, original, wished_at
      FROM report_wish w JOIN unnest($1::uuid[], $2::uuid[]) AS asked(project_id, recipient_id)
           USING (project_id, recipient_id)
     WHERE EXISTS (SELECT FROM domain d WHERE d.project_id = w.project_id AND d.verified_at IS NOT NULL
                      AND d.name = lower(split_part(w.return_to, '@', -1)))"""
_INSERT: Final = """
    INSERT INTO status_report (report_id, project_id, recipient_id, action, reply, host, at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    ON CONFLICT (project_id, recipient_id, action) DO NOTHING"""
_DUE: Final = """
    SELECT r.report_id, r.project_id, r.action, r.reply, r.host, r.at, w.message_id, w.return_to, w.is_full,
           w.envelope_id, w.original, w.wished_at, COALESCE(to_.address, w.address) AS address,
           s.address AS sender
      FROM status_report r JOIN report_wish w USING (project_id, recipient_id)
           LEFT JOIN recipient to_ USING (project_id, recipient_id) CROSS JOIN LATERAL (
        SELECT address FROM sender JOIN domain d USING (domain_id)
         WHERE sender.project_id = r.project_id AND sender.is_enabled AND d.verified_at IS NOT NULL
           AND d.stopped_at IS NULL AND (d.stream IS NULL OR d.stream = 'transactional')
         ORDER BY is_default DESC, sender.created_at LIMIT 1) AS s
     WHERE r.mailed_at IS NULL AND r.at >= $1 AND r.project_id <> ALL($2::uuid[])
       AND COALESCE(to_.address, w.address) <> '' ORDER BY r.at LIMIT $3"""
_MAILED: Final = """
    UPDATE status_report SET mailed_at = $3 WHERE project_id = $1 AND report_id = $2"""
_FORGET: Final = """
    DELETE FROM report_wish WHERE project_id IS NOT NULL AND wished_at < $1"""


async def wish(tx: Tx, wishes: Sequence[Wish]) -> None:
    """Store what was asked for these recipients, which are new."""
    columns: list[list[object]] = [list(column) for column in zip(*map(msgspec.structs.astuple, wishes), strict=True)]
    kinds_at = Wish.__struct_fields__.index("kinds")
    columns[kinds_at] = [",".join(one.kinds) for one in wishes]
    await tx.execute(_WISH, *columns)


async def has_any(tx: Tx) -> bool:
    """Whether anybody has asked for a report."""
    return await tx.fetch_row(_HAS_ANY) is not None


async def wished(tx: Tx, pairs: Sequence[tuple[UUID, UUID]]) -> dict[UUID, Wish]:
    """Return, by recipient, what was asked for these (project, recipient).

    Who wants it sent to an address that is on no proven domain of the project is missing.
    """
    rows = await tx.fetch(_WISHED, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return {row["recipient_id"]: Wish(**dict(row)) for row in rows}


async def insert(tx: Tx, reports: Sequence[NewReport]) -> None:
    """Store new reports; of one recipient and action the first stays."""
    columns = zip(*map(msgspec.structs.astuple, reports), strict=True)
    await tx.execute(_INSERT, *map(list, columns))


async def due(tx: Tx, *, since: datetime, besides: Set[UUID], count_max: int) -> Sequence[DueReport]:
    """Return the reports since then that are not sent and can be, oldest first, but those of projects `besides`."""
    return [DueReport(**dict(row)) for row in await tx.fetch(_DUE, since, list(besides), count_max)]


async def mark_mailed(tx: Tx, project_id: UUID, report_id: UUID, *, now: datetime) -> None:
    """Remember that the report went out, or never can."""
    await tx.execute(_MAILED, project_id, report_id, now)


async def forget(tx: Tx, *, before: datetime) -> int:
    """Forget wishes older than that, with their reports; return how many wishes."""
    return await tx.execute(_FORGET, before)
