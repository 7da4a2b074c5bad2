"""What became of each project's mail, counted by minute, hour and day: from the event log, no mail waits for it.

One reader at a time (`take_turn`) adds what lies behind its cursor and moves the cursor in the same transaction: every
event is counted once, whoever dies. Minutes, hours and days are UTC, by when it happened. `policy.figures` says what is
counted: a column each. A mail counts in several dimensions:

    dimension      name                    stream, domain   campaign
    ''             ''                      yes              yes
    total          ''                      yes              ''        what is asked most; small
    provider ip    its name                yes              yes
    template tag   its id, name            yes              yes       by hour and day; under each of its tags

How long mail took counts in tables of its own, by bucket: by total, provider and ip, with no campaign. Provider and ip
stand in the facts of the event: of an attempt its own; of what came afterwards, those of the latest attempt by then.

What is counted can be counted again at any time: beside the event only its message is read, which never changes, and
which leaves a row in `message_past` when it is forgotten before the last of its events (`store.retention`). While
somebody counts nothing is forgotten (`stop_counting`). `project.log_since` says from when on the log is whole.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.policy import figures
from outrider.store.events import Cursor
from outrider.store.pool import Row, Tx

CONSUMER: Final = "figures"  # Of the event log.
_FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)
TABLES: Final[Mapping[str, str]] = {"minute": "figure_minute", "hour": "figure_hour", "day": "figure_day"}
INBOXES: Final[Mapping[str, str]] = {"minute": "inbox_minute", "hour": "inbox_hour", "day": "inbox_day"}
_IN_ORDER: Final = sorted(figures.METRICS)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures are wanted; "" and None do not restrict."""

    since: datetime
    until: datetime  # Not included.
    unit: str  # "minute", "hour" or "day".
    group: str = ""  # "stream", "domain", "campaign", or the dimension; "": all together.
    dimension: str = ""  # "template", "tag", "provider" or "ip": `name` is one of its names, or "" for all.
    name: str = ""
    stream: Stream | None = None
    domain: str = ""
    campaign: str = ""


class Figure(msgspec.Struct, frozen=True):
    """How often something happened in one minute, hour or day."""

    at: datetime  # Its beginning.
    name: str  # Of the group; "" without one.
    metric: str
    count: int


class Difference(msgspec.Struct, frozen=True):
    """A figure that is not what the log says."""

    unit: str
    project_id: UUID
    at: datetime
    dimension: str
    name: str
    stream: str
    sender_domain: str
    campaign: str
    metric: str
    stored: int
    counted: int


_KEY: Final = "project_id, dimension, at, name, stream, sender_domain, campaign"
_INBOX_KEY: Final = "project_id, dimension, at, name, stream, sender_domain, bucket"
_ALL: Final = ", ".join(figures.METRICS)
_BOUNCED: Final = "kind IN ('bounced', 'bounced_late') AND fault ="


def _amounts() -> Mapping[str, str]:
    """Return of which events each metric is the sum, or the count, in SQL."""
    found = {kind.value: f"sum(n) FILTER (WHERE kind = '{kind.value}')" for kind in figures.COUNTED}
    found |= {
        "accepted": "sum(n) FILTER (WHERE is_request)",
        "bounced_hard": f"sum(n) FILTER (WHERE {_BOUNCED} 'hard')",
        "bounced_soft": f"sum(n) FILTER (WHERE {_BOUNCED} 'soft' OR kind = 'expired')",
        "blocked": f"sum(n) FILTER (WHERE {_BOUNCED} 'blocked' OR kind = 'suppressed')",
    }
    for word, kind in (("opens", "opened"), ("clicks", "clicked")):
        found |= {
            word: found[kind],
            f"{word}_human": f"sum(n) FILTER (WHERE kind = '{kind}' AND NOT is_machine)",
            f"{word}_machine": f"sum(n) FILTER (WHERE kind = '{kind}' AND is_machine)",
            f"{word}_unique": f"count(*) FILTER (WHERE kind = '{kind}' AND is_first)",
            f"{word}_human_unique": f"count(*) FILTER (WHERE kind = '{kind}' AND is_first_human)",
        }
    return {metric: found[metric] for metric in figures.METRICS}


_SUMMED: Final = ", ".join(f"sum({metric})::bigint AS {metric}" for metric in figures.METRICS)
# Grouped before it is told by dimension: of 5,000 events a few hundred rows are left.
_COUNTED: Final = f"""told AS MATERIALIZED (
        SELECT e.project_id, date_trunc('minute', e.at, 'UTC') AS at, e.kind, m.stream::text AS stream,
               m.sender_domain, m.campaign, m.template_id, m.tags,
               CASE WHEN e.reason = ANY($7) THEN 'hard' WHEN e.reason = ANY($8) THEN 'blocked' ELSE 'soft' END AS fault,
               e.facts ->> 'provider' AS provider, e.facts ->> 'source' AS source,
               CASE e.kind WHEN 'delivered' THEN width_bucket(
                   extract(epoch FROM e.at - m.began_at)::float8, $9::float8[]) END AS bucket,
               COALESCE((e.facts ->> 'first')::boolean, false) AS is_first,
               COALESCE((e.facts ->> 'first_human')::boolean, false) AS is_first_human,
               COALESCE(e.facts ->> 'machine', '') <> '' AS is_machine,
               e.kind = 'accepted' OR (e.kind = 'suppressed' AND e.recipient_id IS NULL) AS is_request,
               CASE e.kind WHEN 'accepted' THEN m.recipient_count
                    ELSE COALESCE((e.facts ->> 'count')::int, 1) END AS n
          FROM event e
          JOIN (SELECT project_id, message_id, stream, substring(sender FROM '[^@]*$') AS sender_domain, campaign,
                       template_id, tags, recipient_count, greatest(accepted_at, send_at) AS began_at,
                       'infinity'::timestamptz AS last_at
                  FROM message
                 UNION ALL
                SELECT project_id, message_id, stream, sender_domain, campaign, template_id, tags, recipient_count,
                       began_at, last_at
                  FROM message_past) AS m USING (project_id, message_id)
         WHERE (e.xid, e.event_id) > ($1::text::xid8, $2) AND (e.xid, e.event_id) <= ($3::text::xid8, $4)
           AND e.at >= $5 AND e.at < $6 AND e.at <= m.last_at AND e.kind = ANY($10)
           AND ($11::uuid[] IS NULL OR e.project_id = ANY($11))),
    grouped AS (
        SELECT project_id, at, stream, sender_domain, campaign, template_id, tags, provider, source,
               {", ".join(f"COALESCE({amount}, 0) AS {metric}" for metric, amount in _amounts().items())}
          FROM told GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9),
    figure AS MATERIALIZED (
        SELECT project_id, dimension, at, name, stream, sender_domain,
               CASE WHEN dimension = 'total' THEN '' ELSE campaign END AS campaign, {_SUMMED}
          FROM grouped
         CROSS JOIN LATERAL (
               SELECT '' AS dimension, '' AS name
                UNION ALL SELECT 'total', ''
                UNION ALL SELECT 'provider', provider WHERE provider <> ''
                UNION ALL SELECT 'ip', source WHERE source <> ''
                UNION ALL SELECT 'template', template_id WHERE template_id <> ''
                UNION ALL SELECT DISTINCT 'tag', tag FROM jsonb_array_elements_text(tags) AS tag) AS part
         GROUP BY 1, 2, 3, 4, 5, 6, 7),
    inbox AS MATERIALIZED (
        SELECT project_id, dimension, at, name, stream, sender_domain, bucket, sum(n)::bigint AS count
          FROM (SELECT project_id, at, stream, sender_domain, provider, source, bucket, sum(n) AS n
                  FROM told WHERE bucket IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7) AS taken
         CROSS JOIN LATERAL (
               SELECT 'total' AS dimension, '' AS name
                UNION ALL SELECT 'provider', provider WHERE provider <> ''
                UNION ALL SELECT 'ip', source WHERE source <> '') AS part
         GROUP BY 1, 2, 3, 4, 5, 6, 7)"""  # noqa: S608 - constants.
_IS_OF: Final = {"minute": "dimension NOT IN ('template', 'tag')", "hour": "true", "day": "true"}


def _of_unit(key: str, sums: str, table: str, unit: str) -> str:
    """Return the rows of the unit that one of the last two parts of `_COUNTED` makes."""
    keys = key.replace(", at,", f", date_trunc('{unit}', at, 'UTC') AS at,")
    return f"SELECT {keys}, {sums} FROM {table} WHERE {_IS_OF[unit]} GROUP BY 1, 2, 3, 4, 5, 6, 7"  # noqa: S608


def _figures_of(unit: str) -> str:
    return _of_unit(_KEY, _SUMMED, "figure", unit)


def _times_of(unit: str) -> str:
    return _of_unit(_INBOX_KEY, "sum(count)::bigint AS count", "inbox", unit)


_TAKE_TURN: Final = """
    SELECT pg_try_advisory_xact_lock(x'0d1de8'::int) AS is_ours"""
_WAIT_TURN: Final = """
    SELECT pg_advisory_xact_lock(x'0d1de8'::int)"""
_NOTHING_GOES: Final = """
    SELECT pg_advisory_xact_lock_shared(x'0d1de9'::int)"""
_STOP_COUNTING: Final = """
    SELECT pg_advisory_xact_lock(x'0d1de9'::int)"""
_LAST: Final = """
    SELECT xid::text::bigint AS xid, event_id, number
      FROM (SELECT xid, event_id, row_number() OVER (ORDER BY looked_at.xid, event_id) AS number
              FROM (SELECT xid, event_id, project_id FROM event
                     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       AND at >= $3
                     ORDER BY xid, event_id LIMIT $4) AS looked_at) AS numbered
     ORDER BY number DESC LIMIT 1"""
_MORE: Final = ", ".join(f"{metric} = f.{metric} + excluded.{metric}" for metric in figures.METRICS)
_ADDED: Final = ",\n    ".join(
    f"""add_{TABLES[unit]} AS (
        INSERT INTO {TABLES[unit]} AS f ({_KEY}, {_ALL}) {_figures_of(unit)}
            ON CONFLICT ({_KEY}) DO UPDATE SET {_MORE}),
    add_{INBOXES[unit]} AS (
        INSERT INTO {INBOXES[unit]} AS f ({_INBOX_KEY}, count) {_times_of(unit)}
            ON CONFLICT ({_INBOX_KEY}) DO UPDATE SET count = f.count + excluded.count)"""  # noqa: S608 - constants.
    for unit in TABLES
)
_ADD: Final = f"""
    WITH {_COUNTED}, {_ADDED}
    SELECT"""
# A project whose log has lost some of that day is passed over.
_IS_PASSED: Final = """EXISTS (
           SELECT FROM project p WHERE p.project_id = COALESCE(counted.project_id, stored.project_id)
                                   AND $5 < p.log_since)"""


def _compared(counted: str, key: str, values: str, table: str) -> str:
    """Return the comparison of what is counted with what is stored; `values` is an array."""
    return f"""
    WITH {_COUNTED},
    counted AS (SELECT {key}, {values} AS counted FROM ({counted}) AS made),
    stored AS (
        SELECT {key}, {values} AS stored FROM {table}
         WHERE at >= $5 AND at < $6 AND ($11::uuid[] IS NULL OR project_id = ANY($11)))
    SELECT {key}, stored, counted
      FROM counted FULL JOIN stored USING ({key})
     WHERE stored IS DISTINCT FROM counted AND NOT {_IS_PASSED}
     ORDER BY 1, 2, 3, 4, 5, 6, 7 LIMIT $12"""  # noqa: S608 - constants.


_DIFFERENCES: Final = {
    unit: _compared(_figures_of(unit), _KEY, f"ARRAY[{_ALL}]", table) for unit, table in TABLES.items()
}
_INBOX_DIFFERENCES: Final = {
    unit: _compared(_times_of(unit), _INBOX_KEY, "ARRAY[count]", table) for unit, table in INBOXES.items()
}
_CLEAR: Final = {
    unit: [
        f"""
    DELETE FROM {table} WHERE project_id = ANY($1) AND at >= $2 AND at < $3"""  # noqa: S608 - constants.
        for table in (TABLES[unit], INBOXES[unit])
    ]
    for unit in TABLES
}
_WHICH: Final = """project_id = $1 AND dimension = $2 AND at >= $3 AND at < $4
       AND ($5::text = '' OR stream = $5) AND ($6::text = '' OR sender_domain = $6) AND ($7::text = '' OR name = $7)"""
_READ: Final = {
    unit: f"""
    SELECT at, CASE $8 WHEN '' THEN '' WHEN 'stream' THEN stream WHEN 'domain' THEN sender_domain
                       WHEN 'campaign' THEN campaign ELSE name END AS name, {_SUMMED}
      FROM {table}
     WHERE {_WHICH} AND ($9::text = '' OR campaign = $9)
     GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $10"""  # noqa: S608 - constants.
    for unit, table in TABLES.items()
}
_READ_INBOX: Final = {
    unit: f"""
    SELECT bucket, sum(count)::bigint AS count FROM {table} WHERE {_WHICH} GROUP BY 1"""  # noqa: S608 - constants.
    for unit, table in INBOXES.items()
}
_FORGET: Final = {
    unit: [
        f"""
    DELETE FROM {table} WHERE project_id IS NOT NULL AND at < $1"""  # noqa: S608 - constants.
        for table in (TABLES[unit], INBOXES[unit])
    ]
    for unit in TABLES
}


async def take_turn(tx: Tx) -> bool:
    """Return whether this transaction is the one that counts; nobody waits for a turn."""
    row = await tx.fetch_row(_TAKE_TURN)
    is_ours = bool(row and row["is_ours"])
    if is_ours:
        await tx.fetch(_NOTHING_GOES)
    return is_ours


async def wait_turn(tx: Tx) -> None:
    """Wait until this transaction is the one that counts; the others pass their turns until it ends."""
    await tx.fetch(_WAIT_TURN)
    await tx.fetch(_NOTHING_GOES)


async def stop_counting(tx: Tx) -> None:
    """Wait until nobody counts; let nobody begin before this transaction ends. Who forgets mail or events does so.

    Else what is counted at this moment may be forgotten before anybody can see that it was.
    """
    await tx.fetch(_STOP_COUNTING)


async def count(tx: Tx, cursor: Cursor, *, since: datetime, count_max: int) -> tuple[Cursor, int]:
    """Count up to `count_max` events behind `cursor`; return where that ended and how many there were.

    Args:
        since: older events are passed over.
    """
    last = await tx.fetch_row(_LAST, str(cursor.xid), cursor.event_id, since, count_max)
    if last is None:
        return cursor, 0
    end = Cursor(last["xid"], last["event_id"])
    await tx.execute(_ADD, *_between(cursor, end, since, _FAR), None)
    return end, int(last["number"])


async def differences(
    tx: Tx, cursor: Cursor, unit: str, span: tuple[datetime, datetime], *, count_max: int
) -> Sequence[Difference]:
    """Count everything up to `cursor` of `span` again; return what is stored differently, at most so many.

    Projects whose log has lost some of it are passed over. The transaction has its turn (`wait_turn`), or the cursor
    may move between. Cost: reads the log of the span.
    """
    between = _between(Cursor(), cursor, *span)
    found: list[Difference] = []
    for sql, names in ((_DIFFERENCES[unit], figures.METRICS), (_INBOX_DIFFERENCES[unit], ())):
        for row in await tx.fetch(sql, *between, None, count_max):
            found += _told(unit, row, names)
    return found[:count_max]


async def replace(
    tx: Tx,
    cursor: Cursor,
    project_ids: Sequence[UUID],
    span: tuple[datetime, datetime],
    *,
    units: Collection[str] = tuple(TABLES),
) -> None:
    """Put what the log says in the place of these projects' figures of whole days. The transaction has its turn.

    Args:
        units: those of `TABLES` that are kept of these days; of the others nothing is left.
    """
    await _clear(tx, project_ids, span, TABLES)
    await tx.execute(_ADD, *_between(Cursor(), cursor, *span), project_ids)
    await _clear(tx, project_ids, span, TABLES.keys() - set(units))


async def read(tx: Tx, project_id: UUID, asked: Asked, *, rows_count_max: int) -> Sequence[Figure]:
    """Return the project's figures by time, name and metric; those that are 0 are left out.

    Args:
        rows_count_max: pairs of time and name, the first; all metrics of each.
    """
    dimension = asked.dimension or ("" if asked.campaign or asked.group == "campaign" else "total")
    which = _which(project_id, dimension, asked)
    rows = await tx.fetch(_READ[asked.unit], *which, asked.group, asked.campaign, rows_count_max)
    return [Figure(row["at"], row["name"], metric, row[metric]) for row in rows for metric in _IN_ORDER if row[metric]]


async def read_inbox(tx: Tx, project_id: UUID, asked: Asked) -> Mapping[str, int]:
    """Return how many mails took how long, by bucket (`policy.figures.BUCKETS`).

    `group` and `campaign` of what is asked do not count.
    """
    rows = await tx.fetch(_READ_INBOX[asked.unit], *_which(project_id, asked.dimension or "total", asked))
    return {figures.BUCKETS[row["bucket"]]: row["count"] for row in rows}


async def forget(tx: Tx, unit: str, before: datetime) -> None:
    """Delete the figures of the minutes, hours or days before that."""
    for sql in _FORGET[unit]:
        await tx.execute(sql, before)


async def _clear(tx: Tx, project_ids: Sequence[UUID], span: tuple[datetime, datetime], units: Collection[str]) -> None:
    for sql in (one for unit in units for one in _CLEAR[unit]):
        await tx.execute(sql, project_ids, *span)


def _which(project_id: UUID, dimension: str, asked: Asked) -> tuple[object, ...]:
    stream = "" if asked.stream is None else asked.stream.value
    return project_id, dimension, asked.since, asked.until, stream, asked.domain, asked.name


def _told(unit: str, row: Row, names: Sequence[str]) -> list[Difference]:
    """Return what differs in a row; without `names` it is a bucket's."""
    values = dict(row)
    stored, counted = values.pop("stored"), values.pop("counted")
    if not names:
        names = (figures.BUCKETS[values.pop("bucket")],)
        values["campaign"] = ""
    none = [0] * len(names)
    return [
        Difference(unit=unit, **values, metric=metric, stored=was, counted=is_)
        for metric, was, is_ in zip(names, stored or none, counted or none, strict=True)
        if was != is_
    ]


def _between(begin: Cursor, end: Cursor, since: datetime, until: datetime) -> tuple[object, ...]:
    """Return the first ten values of `_COUNTED`: the events after `begin` up to `end`, of these instants."""
    return (
        str(begin.xid),
        begin.event_id,
        str(end.xid),
        end.event_id,
        since,
        until,
        [reason.value for reason in figures.HARD],
        [reason.value for reason in figures.BLOCKED],
        list(figures.BOUNDS_S),
        [kind.value for kind in figures.COUNTED],
    )
