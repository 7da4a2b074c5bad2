"""Sums of the figures of some time, for alerts and reputation: of one project, or of several together.

Figures are counted beside the mail, by minute, hour and day. Minutes answer for up to six hours, hours for up
to a week and days beyond that; the first minute, hour or day is counted whole. `are_late` tells whether the counter has
kept up: sums without it are not what happened.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.instants import EPOCH
from outrider.base.vocab import Stream
from outrider.policy import figures
from outrider.store import events, stats
from outrider.store.events import Cursor
from outrider.store.pool import Row, Tx

CONSUMER: Final = stats.CONSUMER
_MINUTES_MAX: Final = timedelta(hours=6)  # Ours: 360 rows of each kind.
_HOURS_MAX: Final = timedelta(days=8)  # Ours: 192.
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures; "" and None do not restrict."""

    since: datetime
    until: datetime  # Included.
    dimension: str = ""  # "", "provider", "ip": with `name` the figures of that one.
    name: str = ""
    stream: Stream | None = None
    domain: str = ""  # The sending domain.
    campaign: str = ""


_SUMMED: Final = ", ".join(f"sum({metric})::bigint AS {metric}" for metric in figures.METRICS)
_SUMS: Final = {
    unit: f"""
    SELECT {_SUMMED} FROM {table}
     WHERE project_id = ANY($1) AND dimension = $2 AND at >= $3 AND at <= $4 AND name = $5
       AND ($6::text = '' OR stream = $6) AND ($7::text = '' OR sender_domain = $7)
       AND ($8::text = '' OR campaign = $8)"""  # noqa: S608 - constants.
    for unit, table in stats.TABLES.items()
}
_INBOX: Final = {
    unit: f"""
    SELECT bucket, sum(count)::bigint AS count FROM {table}
     WHERE project_id = $1 AND dimension = $2 AND at >= $3 AND at <= $4 AND name = $5
       AND ($6::text = '' OR stream = $6) AND ($7::text = '' OR sender_domain = $7)
     GROUP BY bucket"""  # noqa: S608 - constants.
    for unit, table in stats.INBOXES.items()
}
_BY_NAME: Final = {
    unit: f"""
    SELECT name, {_SUMMED} FROM {table}
     WHERE project_id = ANY($1) AND dimension = $2 AND at >= $3 AND at <= $4
     GROUP BY name ORDER BY name"""  # noqa: S608 - constants.
    for unit, table in stats.TABLES.items()
}


async def sums(tx: Tx, project_ids: Sequence[UUID], metrics: Sequence[str], which: Which) -> Mapping[str, int]:
    """Return the sum of each of these metrics, by its name; those that are 0 are left out."""
    unit, since = _unit(which.since, which.until)
    rows = await tx.fetch(
        _SUMS[unit],
        project_ids,
        which.dimension,
        since,
        which.until,
        which.name,
        "" if which.stream is None else which.stream.value,
        which.domain,
        which.campaign,
    )
    return _told(rows[0], metrics)


async def inbox(tx: Tx, project_id: UUID, which: Which) -> Mapping[str, int]:
    """Return how many mails took how long, by bucket, as `policy.figures.inbox` takes them; never by campaign."""
    assert not which.campaign
    unit, since = _unit(which.since, which.until)
    rows = await tx.fetch(
        _INBOX[unit],
        project_id,
        which.dimension or "total",
        since,
        which.until,
        which.name,
        "" if which.stream is None else which.stream.value,
        which.domain,
    )
    return {figures.BUCKETS[row["bucket"]]: row["count"] for row in rows}


async def by_name(
    tx: Tx, project_ids: Sequence[UUID], metrics: Sequence[str], which: Which
) -> Mapping[str, Mapping[str, int]]:
    """Return the sums of each part of the dimension, by its name; of `which` the dimension and the time count."""
    assert which.dimension
    unit, since = _unit(which.since, which.until)
    rows = await tx.fetch(_BY_NAME[unit], project_ids, which.dimension, since, which.until)
    return {row["name"]: told for row in rows if (told := _told(row, metrics))}


async def are_late(tx: Tx, before: datetime) -> bool:
    """Return whether something from before that is not counted yet, of any project; so it is until anything ever was.

    The first that waits is looked at: they are counted in the order in which they were written.
    """
    cursor = await events.read_cursor(tx, CONSUMER)
    if cursor == Cursor():
        return True
    return any(first.at < before for first in await events.after(tx, cursor, count_max=1))


def _told(row: Row, metrics: Sequence[str]) -> dict[str, int]:
    return {metric: row[metric] for metric in metrics if row[metric]}


def _unit(since: datetime, until: datetime) -> tuple[str, datetime]:
    length = until - since
    if length <= _MINUTES_MAX:
        return "minute", _floor(since, _MINUTE)
    if length <= _HOURS_MAX:
        return "hour", _floor(since, _HOUR)
    return "day", _floor(since, _DAY)


def _floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step
