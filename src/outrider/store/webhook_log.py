"""How the calls of webhooks went: one row an attempt, newest last, kept for some days.

`events` are the ids of what was told, so that it can be told again from the event log; the payload is not kept twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Row, Tx


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt about to be stored."""

    webhook_id: UUID
    project_id: UUID
    name: str  # Its webhook-id.
    events: Sequence[str]  # The ids of what it told.
    kind: str  # Of the event; "batch" of several.
    attempt: int  # 0: none was made, its time was over.
    at: datetime  # When it began.
    outcome: WebhookOutcome
    status: int = 0  # 0: no answer.
    error: str = ""
    duration_s: float = 0.0
    excerpt: str = ""
    retry_at: datetime | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as it was stored."""

    delivery_id: int
    webhook_id: UUID
    project_id: UUID
    name: str
    events: Sequence[str]
    kind: str
    attempt: int
    at: datetime
    outcome: WebhookOutcome
    status: int
    error: str
    duration_s: float
    excerpt: str
    retry_at: datetime | None


ID_MAX: Final = 2**63 - 1
_COLUMNS: Final = """
    SELECT delivery_id, webhook_id, project_id, name, events, kind, attempt, at, outcome, status, error, duration_s,
           excerpt, retry_at
      FROM webhook_delivery"""
# Lists of events do not fit into unnest: it would flatten them. None has a line break in it.
_INSERT: Final = """
    INSERT INTO webhook_delivery (webhook_id, project_id, name, events, kind, attempt, at, outcome, status, error,
                                  duration_s, excerpt, retry_at)
    SELECT webhook_id, project_id, name, string_to_array(events, E'\\n'), kind, attempt, at, outcome, status, error,
           duration_s, excerpt, retry_at
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::timestamptz[], $8::text[],
                  $9::int[], $10::text[], $11::float8[], $12::text[], $13::timestamptz[])
        AS n(webhook_id, project_id, name, events, kind, attempt, at, outcome, status, error, duration_s, excerpt,
             retry_at)"""
_PAGE: Final = f"""{_COLUMNS}
     WHERE project_id = $1 AND webhook_id = $2 AND delivery_id < $3
       AND (cardinality($4::text[]) = 0 OR outcome = ANY($4))
     ORDER BY delivery_id DESC LIMIT $5"""
_FIND: Final = f"""{_COLUMNS}
     WHERE project_id = $1 AND webhook_id = $2 AND delivery_id = $3"""
_SWEEP: Final = """
    DELETE FROM webhook_delivery
     WHERE (project_id, webhook_id, delivery_id) IN (
       SELECT project_id, webhook_id, delivery_id FROM webhook_delivery WHERE at < $1 LIMIT $2)"""


async def insert(tx: Tx, rows: Sequence[NewDelivery]) -> None:
    """Store attempts, in order."""
    columns = (
        [one.webhook_id for one in rows],
        [one.project_id for one in rows],
        [one.name for one in rows],
        ["\n".join(one.events) for one in rows],
        [one.kind for one in rows],
        [one.attempt for one in rows],
        [one.at for one in rows],
        [one.outcome for one in rows],
        [one.status for one in rows],
        [one.error for one in rows],
        [one.duration_s for one in rows],
        [one.excerpt for one in rows],
        [one.retry_at for one in rows],
    )
    await tx.execute(_INSERT, *columns)


async def page(
    tx: Tx,
    project_id: UUID,
    webhook_id: UUID,
    *,
    before: int = ID_MAX,
    outcomes: Sequence[WebhookOutcome] = (),
    count_max: int,
) -> Sequence[Delivery]:
    """Return the webhook's attempts, newest first, before that of the id `before`; only those outcomes, () for all."""
    words = [one.value for one in outcomes]
    return [_delivery(row) for row in await tx.fetch(_PAGE, project_id, webhook_id, before, words, count_max)]


async def find(tx: Tx, project_id: UUID, webhook_id: UUID, delivery_id: int) -> Delivery | None:
    """Return the attempt, None if the project's webhook has no such."""
    row = await tx.fetch_row(_FIND, project_id, webhook_id, delivery_id)
    return None if row is None else _delivery(row)


async def sweep(tx: Tx, *, before: datetime, count_max: int) -> bool:
    """Forget attempts of before then, up to so many; return whether there may be more."""
    return await tx.execute(_SWEEP, before, count_max) == count_max


def _delivery(row: Row) -> Delivery:
    values = dict(row)
    values["outcome"] = WebhookOutcome(values["outcome"])
    return Delivery(**values)
