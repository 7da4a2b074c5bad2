"""How many recipients a project may have a day and a month, and has had: by the days and months of UTC.

One row a project, day and process. Who counts near an end takes the project's lock first (`lock`), so that all
together never pass it.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from uuid import UUID

from outrider.policy.quota import Quota, Used
from outrider.store.pool import Tx

_OF_PROJECT: Final = """
    SELECT quota_day, quota_month FROM project WHERE project_id = $1"""
_SET: Final = """
    UPDATE project SET quota_day = $2, quota_month = $3 WHERE project_id = $1"""
_USED: Final = """
    SELECT project_id, sum(recipients)::bigint AS month,
           COALESCE(sum(recipients) FILTER (WHERE day = $2), 0)::bigint AS day
      FROM quota_use
     WHERE project_id = ANY($1::uuid[]) AND day BETWEEN date_trunc('month', $2::date)::date AND $2
     GROUP BY project_id"""
_LOCK: Final = """
    SELECT FROM project WHERE project_id = ANY($1::uuid[]) ORDER BY project_id FOR NO KEY UPDATE"""
_COUNT: Final = """
    INSERT INTO quota_use (project_id, day, writer, recipients)
    SELECT project_id, $3, $4, recipients FROM unnest($1::uuid[], $2::bigint[]) AS given(project_id, recipients)
        ON CONFLICT (project_id, day, writer) DO UPDATE SET recipients = quota_use.recipients + EXCLUDED.recipients"""
_SWEEP: Final = """
    DELETE FROM quota_use
     WHERE (project_id, day, writer) IN (
        SELECT project_id, day, writer FROM quota_use WHERE day < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""


async def of_project(tx: Tx, project_id: UUID) -> Quota:
    """Return what the project may have."""
    row = await tx.fetch_row(_OF_PROJECT, project_id)
    return Quota() if row is None else Quota(row["quota_day"], row["quota_month"])


async def set_quota(tx: Tx, project_id: UUID, quota: Quota) -> None:
    """Let the project have so much."""
    await tx.execute(_SET, project_id, quota.day, quota.month)


async def lock(tx: Tx, project_ids: Sequence[UUID]) -> None:
    """Let nobody else count for these projects under a lock before the transaction ends."""
    await tx.fetch(_LOCK, list(project_ids))


async def used(tx: Tx, project_ids: Sequence[UUID], *, today: date) -> Mapping[UUID, Used]:
    """Return what the projects have had today and this month; one that has had nothing is absent."""
    rows = await tx.fetch(_USED, list(project_ids), today)
    return {row["project_id"]: Used(row["day"], row["month"]) for row in rows}


async def count(tx: Tx, recipients: Mapping[UUID, int], *, today: date, writer: str) -> None:
    """Add to what the projects have had today, in the rows of `writer`."""
    await tx.execute(_COUNT, list(recipients), list(recipients.values()), today, writer)


async def sweep(tx: Tx, *, before: date, count_max: int) -> bool:
    """Delete a batch of the counts of days before that; return whether there may be more."""
    return await tx.execute(_SWEEP, before, count_max) == count_max
