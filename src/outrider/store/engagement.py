"""What readers did with each mail: how often it was opened and its links followed, by people and by machines.

A row for each recipient that was heard of. The counts say which hit was the first: whoever's addition makes a count
what was added had it, and a row is locked while it changes, so across all processes exactly one batch has it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecipientStatus
from outrider.store.pool import Tx
from outrider.store.tracking import IS_PRIVATE


class Tracked(msgspec.Struct, frozen=True):
    """What is known of a recipient whose mail was opened."""

    recipient_id: UUID
    project_id: UUID
    message_id: UUID
    attempt: int
    status: RecipientStatus
    updated_at: datetime
    is_private: bool  # Neither addresses nor agents of its readers are stored.


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to one recipient's row: how often, and when a person first did; None: no person."""

    recipient_id: UUID
    project_id: UUID
    opens: int = 0  # Of people and machines.
    clicks: int = 0
    machine_opens: int = 0
    machine_clicks: int = 0
    opened_at: datetime | None = None  # The first of these, whoever it was.
    clicked_at: datetime | None = None
    human_opened_at: datetime | None = None
    human_clicked_at: datetime | None = None
    last_clicked_at: datetime | None = None


class Firsts(msgspec.Struct, frozen=True):
    """Which of what was added was the recipient's first."""

    is_open: bool
    is_click: bool
    is_human_open: bool
    is_human_click: bool


_STATUSES: Final = {str(one): one for one in RecipientStatus}
# By recipient: the sealed token names it, and says nothing of the project.
_ABOUT: Final = f"""
    SELECT recipient_id, r.project_id, r.message_id, r.attempt, r.status, r.updated_at,
           {IS_PRIVATE} AS is_private
      FROM recipient r
      JOIN message m USING (message_id)
      JOIN project p ON p.project_id = r.project_id
      LEFT JOIN domain d ON d.project_id = r.project_id AND d.name = lower(split_part(m.sender, '@', 2))
     WHERE recipient_id = ANY($1)"""  # noqa: S608 - constants.


async def about(tx: Tx, recipient_ids: Sequence[UUID]) -> dict[UUID, Tracked]:
    """Return what is known of these recipients; one that is past its retention is missing."""
    rows = await tx.fetch(_ABOUT, recipient_ids)
    return {row["recipient_id"]: _tracked(*row.values()) for row in rows}


def _tracked(recipient_id: UUID, project_id: UUID, message_id: UUID, attempt: int, status: str, *rest: Any) -> Tracked:
    return Tracked(recipient_id, project_id, message_id, attempt, _STATUSES[status], *rest)


_ADD: Final = """
    INSERT INTO engagement AS e (
           recipient_id, project_id, opens, clicks, machine_opens, machine_clicks, first_opened_at, first_clicked_at,
           human_opened_at, human_clicked_at, last_clicked_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::int[], $7::timestamptz[],
                         $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
    ON CONFLICT (recipient_id) DO UPDATE
       SET opens = e.opens + EXCLUDED.opens, clicks = e.clicks + EXCLUDED.clicks,
           machine_opens = e.machine_opens + EXCLUDED.machine_opens,
           machine_clicks = e.machine_clicks + EXCLUDED.machine_clicks,
           first_opened_at = LEAST(e.first_opened_at, EXCLUDED.first_opened_at),
           first_clicked_at = LEAST(e.first_clicked_at, EXCLUDED.first_clicked_at),
           human_opened_at = LEAST(e.human_opened_at, EXCLUDED.human_opened_at),
           human_clicked_at = LEAST(e.human_clicked_at, EXCLUDED.human_clicked_at),
           last_clicked_at = GREATEST(e.last_clicked_at, EXCLUDED.last_clicked_at)
     WHERE e.project_id = EXCLUDED.project_id
 RETURNING recipient_id, opens, clicks, machine_opens, machine_clicks"""


async def add(tx: Tx, counted: Sequence[Counted]) -> dict[UUID, Firsts]:
    """Add to the rows of these recipients, each named once; return which of it was the first.

    Rows are taken in the order of their ids, so that two processes that add at once do not wait for each other.
    """
    ordered = sorted(counted, key=lambda one: one.recipient_id)
    names = Counted.__struct_fields__
    rows = await tx.fetch(_ADD, *[[getattr(one, name) for one in ordered] for name in names])
    given = {one.recipient_id: one for one in ordered}
    return {row["recipient_id"]: _firsts(given[row["recipient_id"]], row) for row in rows}


def _firsts(given: Counted, now: Mapping[str, int]) -> Firsts:
    human_opens, human_clicks = given.opens - given.machine_opens, given.clicks - given.machine_clicks
    return Firsts(
        is_open=0 < given.opens == now["opens"],
        is_click=0 < given.clicks == now["clicks"],
        is_human_open=0 < human_opens == now["opens"] - now["machine_opens"],
        is_human_click=0 < human_clicks == now["clicks"] - now["machine_clicks"],
    )
