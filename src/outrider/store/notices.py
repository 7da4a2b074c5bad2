"""Notices: what the people of a project should know of. The nil project's are the operator's.

A notice is written in the transaction that changes what it speaks of; it is mailed later, if it says to whom or the
project has an address for that, and stays unseen until somebody says so.
"""

from collections.abc import Sequence, Set
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind
from outrider.store.pool import Row, Tx


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice."""

    notice_id: UUID
    project_id: UUID
    kind: EventKind  # Of the event that it is about.
    subject: str
    text: str
    at: datetime
    seen_at: datetime | None = None
    mailed_at: datetime | None = None
    recipients: tuple[str, ...] = ()  # Who gets it; (): whom the project named for all notices.


class Letter(msgspec.Struct, frozen=True):
    """A notice that waits to be mailed, and who may send it to whom."""

    notice: Notice
    sender: str  # An address of the project that may send transactional mail now.
    recipients: tuple[str, ...]

    @property
    def letter_id(self) -> UUID:
        """What its mail is known by."""
        return self.notice.notice_id

    @property
    def project_id(self) -> UUID:
        """Whose it is."""
        return self.notice.project_id


END: Final = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0))
_INSERT: Final = """
    INSERT INTO notice (notice_id, project_id, kind, subject, text, at, recipients)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_TOLD: Final = """
    SELECT FROM notice WHERE project_id = $1 AND kind = $2 AND seen_at IS NULL AND at > $3 LIMIT 1"""
_OF_PROJECT: Final = """
    SELECT n.notice_id, n.project_id, n.kind, n.subject, n.text, n.at, n.seen_at, n.mailed_at, n.recipients
      FROM notice n
     WHERE project_id = $1 AND (seen_at IS NULL OR $2) AND (at, notice_id) < ($4, $5)
     ORDER BY at DESC, notice_id DESC LIMIT $3"""
_SEE: Final = """
    UPDATE notice SET seen_at = $2 WHERE project_id = $1 AND seen_at IS NULL AND notice_id = $3"""
_SEE_ALL: Final = """
    UPDATE notice SET seen_at = $2 WHERE project_id = $1 AND seen_at IS NULL"""
_IS_KNOWN: Final = """
    SELECT FROM notice WHERE project_id = $1 AND notice_id = $2"""
_UNMAILED: Final = """
    SELECT n.notice_id, n.project_id, n.kind, n.subject, n.text, n.at, n.seen_at, n.mailed_at, n.recipients,
           s.address AS sender, p.notice_address
      FROM notice n JOIN project p USING (project_id) CROSS JOIN LATERAL (
        SELECT address FROM sender JOIN domain d USING (domain_id)
         WHERE sender.project_id = n.project_id AND sender.is_enabled AND d.verified_at IS NOT NULL
           AND d.stopped_at IS NULL AND (d.stream IS NULL OR d.stream = 'transactional')
         ORDER BY is_default DESC, sender.created_at LIMIT 1) AS s
     WHERE n.mailed_at IS NULL AND n.at >= $1 AND n.project_id <> ALL($2::uuid[])
       AND (p.notice_address <> '' OR n.recipients <> '{}')
     ORDER BY n.at LIMIT $3"""
_MAILED: Final = """
    UPDATE notice SET mailed_at = $3 WHERE project_id = $1 AND notice_id = $2"""
_ADDRESS: Final = """
    SELECT notice_address FROM project WHERE project_id = $1"""
_SET_ADDRESS: Final = """
    UPDATE project SET notice_address = $2 WHERE project_id = $1"""


async def insert(tx: Tx, notice: Notice) -> None:
    """Store a new notice."""
    await tx.execute(
        _INSERT,
        notice.notice_id,
        notice.project_id,
        notice.kind,
        notice.subject,
        notice.text,
        notice.at,
        list(notice.recipients),
    )


async def is_told(tx: Tx, project_id: UUID, kind: EventKind, *, since: datetime) -> bool:
    """Whether the project has a notice of that kind since then that nobody has seen."""
    return await tx.fetch_row(_TOLD, project_id, kind, since) is not None


async def of_project(
    tx: Tx, project_id: UUID, *, with_seen: bool, count_max: int, before: tuple[datetime, UUID] = END
) -> Sequence[Notice]:
    """Return the project's notices, newest first; those that were seen too if asked for."""
    return [_notice(row) for row in await tx.fetch(_OF_PROJECT, project_id, with_seen, count_max, *before)]


async def see(tx: Tx, project_id: UUID, notice_id: UUID, *, now: datetime) -> bool:
    """Mark a notice as seen; False if the project has no such notice. Safe twice."""
    await tx.execute(_SEE, project_id, now, notice_id)
    return await tx.fetch_row(_IS_KNOWN, project_id, notice_id) is not None


async def see_all(tx: Tx, project_id: UUID, *, now: datetime) -> int:
    """Mark all of the project's as seen; return how many were not."""
    return await tx.execute(_SEE_ALL, project_id, now)


async def unmailed(tx: Tx, *, since: datetime, besides: Set[UUID], count_max: int) -> Sequence[Letter]:
    """Return the notices since then that are not mailed and can be, oldest first, but those of projects `besides`."""
    letters = []
    for row in await tx.fetch(_UNMAILED, since, list(besides), count_max):
        values = dict(row)
        sender, address = values.pop("sender"), values.pop("notice_address")
        notice = _notice(values)
        letters.append(Letter(notice, sender, notice.recipients or (address,)))
    return letters


async def mark_mailed(tx: Tx, project_id: UUID, notice_id: UUID, *, now: datetime) -> None:
    """Remember that the notice went out, or never can."""
    await tx.execute(_MAILED, project_id, notice_id, now)


async def address_of(tx: Tx, project_id: UUID) -> str:
    """Return where the project's notices are mailed, "" for nowhere."""
    row = await tx.fetch_row(_ADDRESS, project_id)
    return "" if row is None else str(row["notice_address"])


async def set_address(tx: Tx, project_id: UUID, address: str) -> None:
    """Mail the project's notices there from now on; "" for nowhere."""
    await tx.execute(_SET_ADDRESS, project_id, address)


def _notice(row: Row) -> Notice:
    values = dict(row)
    return Notice(**values | {"kind": EventKind(values["kind"]), "recipients": tuple(values["recipients"])})
