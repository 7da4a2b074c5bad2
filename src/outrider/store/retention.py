"""How long each project's mail and log are kept, and the deletion of what is over: a batch a transaction.

Mail goes with its recipients, oldest first; never a message with a recipient that still waits. Days of the log are
dropped whole where no project keeps them.

Contents and files are shared by messages and have no foreign keys, and accept neither locks nor looks at one that is
there. What makes their deletion safe is that accept hashes them with the day (UTC): a content is only ever used by
messages of one day, so it is over when the project has no message of that day or before, and that day is itself over
(ADR 0044). Invariant: `_SAFE_BEFORE` is at most the beginning of the day before the oldest message, and before now.

Figures can be counted again all the same (ADR 0048): before anything goes `mark` says from which day on the log is
whole, and mail that has later events leaves a row in `message_past`: what it counts under, nothing of people.

Links to unsubscribe stay good: marketing mail that may have arrived leaves a row in `recipient_past` for each recipient
with what leaving needs (`inbound.about`) until the link's last day is over, and one in `message_past` that counts it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from outrider.base import limits
from outrider.store.pool import Tx

_LINK_LIFE: Final = timedelta(seconds=limits.RETURN_PATH_LIFE_S) + timedelta(days=1)  # To the end of its last day.
_DAYS: Final = """
    SELECT kept_days FROM project WHERE project_id = $1"""
_SET_DAYS: Final = """
    UPDATE project SET kept_days = $2 WHERE project_id = $1"""
_ALL_DAYS: Final = """
    SELECT project_id, kept_days FROM project ORDER BY project_id"""
_MARK: Final = """
    UPDATE project p SET log_since = given.since
      FROM unnest($1::uuid[], $2::timestamptz[]) AS given(project_id, since)
     WHERE p.project_id = given.project_id AND (p.log_since IS NULL OR p.log_since < given.since)"""
# A message's recipients and events are asked for one message at a time (a subquery with LIMIT or OFFSET): as a join, or
# as the last of a project's days, the planner may read all.
# Of links that are over as many go as a batch of 100 recipients a message can have made.
_FORGET_MAIL: Final = """
    WITH past AS MATERIALIZED (
        SELECT message_id, stream, sender, list_name FROM message m
         WHERE project_id = $1 AND accepted_at < $2
           AND (SELECT true FROM recipient r WHERE r.project_id = $1 AND r.message_id = m.message_id
                                               AND r.status IN ('queued', 'held') LIMIT 1) IS NULL
         ORDER BY accepted_at LIMIT $3 FOR UPDATE OF m SKIP LOCKED
    ), gone AS (
        DELETE FROM recipient
         WHERE project_id = $1 AND message_id = ANY(ARRAY(SELECT message_id FROM past))
     RETURNING recipient_id, message_id, address, status, updated_at
    ), links AS (
        INSERT INTO recipient_past (recipient_id, project_id, message_id, address, sender, list_name, good_until)
        SELECT recipient_id, $1, message_id, address, sender, list_name, updated_at + $5::interval
          FROM gone JOIN past USING (message_id)
         WHERE stream = 'marketing' AND status IN ('delivered', 'expired') AND updated_at + $5::interval > $4
     RETURNING message_id, good_until
    ), over AS (
        DELETE FROM recipient_past
         WHERE project_id = $1 AND recipient_id = ANY(ARRAY(
               SELECT recipient_id FROM recipient_past
                WHERE project_id = $1 AND good_until <= $4 ORDER BY good_until LIMIT 100 * $3))
    ), readers AS (
        DELETE FROM engagement WHERE project_id = $1 AND recipient_id = ANY(ARRAY(SELECT recipient_id FROM gone))
    ), uncounted AS (
        DELETE FROM message_past WHERE project_id = $1 AND last_at < $2
    ), told AS (
        INSERT INTO message_past (message_id, project_id, stream, sender_domain, campaign, template_id, tags,
                                  recipient_count, began_at, last_at)
        SELECT message_id, project_id, stream, substring(sender FROM '[^@]*$'), campaign, template_id, tags,
               recipient_count, greatest(accepted_at, send_at), last_at
          FROM (SELECT m.*, greatest((SELECT max(at) FROM (SELECT at FROM event e
                                                            WHERE e.project_id = $1 AND e.message_id = m.message_id
                                                              AND e.at >= $2 OFFSET 0) AS later),
                                     good_until) AS last_at
                  FROM message m
                  LEFT JOIN (SELECT message_id, max(good_until) AS good_until FROM links GROUP BY message_id) AS leaving
                       USING (message_id)
                 WHERE project_id = $1 AND message_id = ANY(ARRAY(SELECT message_id FROM past))
                ) AS heard_of
         WHERE last_at IS NOT NULL
    )
    DELETE FROM message WHERE project_id = $1 AND message_id = ANY(ARRAY(SELECT message_id FROM past))"""
_FORGET_EVENTS: Final = """
    DELETE FROM event
     WHERE project_id = $1 AND at < $2
       AND at <= coalesce((SELECT at FROM event WHERE project_id = $1 AND at < $2 ORDER BY at OFFSET $3 - 1 LIMIT 1),
                          'infinity')"""
_SAFE_BEFORE: Final = """
    SELECT least(date_trunc('day', $2::timestamptz, 'UTC'),
                 date_trunc('day', (SELECT min(accepted_at) FROM message WHERE project_id = $1), 'UTC'))
           - interval '1 day' AS safe_before, contents_daily_since + interval '2 days' AS safe_since
      FROM project WHERE project_id = $1"""
_FORGET_CONTENTS: Final = """
    DELETE FROM content WHERE project_id = $1 AND content_hash = ANY(ARRAY(
        SELECT content_hash FROM content WHERE project_id = $1 AND created_at < $2 LIMIT $3))"""
_FORGET_FILES: Final = """
    DELETE FROM attachment WHERE project_id = $1 AND content_hash = ANY(ARRAY(
        SELECT content_hash FROM attachment WHERE project_id = $1 AND created_at < $2 LIMIT $3))"""
_PARTITIONS: Final = """
    SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'event'::regclass ORDER BY relname"""
_HURRY: Final = """
    SET LOCAL lock_timeout = '500ms'"""  # Ours: all mail waits while we wait for the log's lock.
_partition: Final = re.compile(r"event_(\d{4})(\d{2})(\d{2})").fullmatch


async def days_of(tx: Tx, project_id: UUID) -> int | None:
    """Return for how many days the project wants its mail kept; None: it has said nothing."""
    row = await tx.fetch_row(_DAYS, project_id)
    days: int | None = None if row is None else row["kept_days"]
    return days


async def set_days(tx: Tx, project_id: UUID, days: int | None) -> None:
    """Keep the project's mail for so many days; None: as the installation says."""
    await tx.execute(_SET_DAYS, project_id, days)


async def all_days(tx: Tx) -> Mapping[UUID, int | None]:
    """Return what each project has said."""
    return {row["project_id"]: row["kept_days"] for row in await tx.fetch(_ALL_DAYS)}


async def mark(tx: Tx, since: Mapping[UUID, datetime]) -> None:
    """Say of each project from when on its log is whole; never earlier than was said. Nobody counts (`stats`)."""
    await tx.execute(_MARK, list(since), list(since.values()))


async def forget_mail(tx: Tx, project_id: UUID, before: datetime, *, now: datetime, count_max: int) -> int:
    """Delete up to so many of the project's messages from before then, with their recipients; return how many.

    Those with a recipient that is `queued` or `held` stay. What they count under is kept while the log has events of
    theirs from then on. What leaving needs is kept of marketing mail until its links are over, and no longer. Nobody
    counts meanwhile (`stats.stop_counting`).
    """
    return await tx.execute(_FORGET_MAIL, project_id, before, count_max, now, _LINK_LIFE)


async def forget_events(tx: Tx, project_id: UUID, before: datetime, *, count_max: int) -> int:
    """Delete about so many of the project's events from before then, oldest first; return how many."""
    return await tx.execute(_FORGET_EVENTS, project_id, before, count_max)


async def forget_contents(tx: Tx, project_id: UUID, *, now: datetime, count_max: int) -> int:
    """Delete up to so many each of the project's contents and files that no message has or can get; return how many."""
    row = await tx.fetch_row(_SAFE_BEFORE, project_id, now)
    if row is None or row["safe_before"] < row["safe_since"]:
        return 0  # Mail from before contents were of a day may share older ones.
    contents = await tx.execute(_FORGET_CONTENTS, project_id, row["safe_before"], count_max)
    return contents + await tx.execute(_FORGET_FILES, project_id, row["safe_before"], count_max)


async def days_before(tx: Tx, before: date) -> Sequence[date]:
    """Return the days before this one that the log has a partition of, oldest first."""
    matched = [_partition(row["name"]) for row in await tx.fetch(_PARTITIONS)]
    days = [date(*map(int, one.groups())) for one in matched if one is not None]
    return [day for day in days if day < before]


async def drop_day(tx: Tx, day: date) -> None:
    """Drop a day of the log. The whole log is locked for that moment.

    Raises:
        StoreError: the lock was not to be had in half a second; nothing is changed.
    """
    await tx.execute(_HURRY)
    await tx.execute(f"DROP TABLE IF EXISTS event_{day:%Y%m%d}")
