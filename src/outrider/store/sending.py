"""What was sent and what came of it: figures by hour, project, sending domain, stream and campaign, for the guards.

    settle          sent, invalid        the hour in which the attempt ended
    reports         invalid, complained  the hour in which the report was read; the mail was counted as sent before

Counted in the transaction that writes the outcome, so figures and history agree. A row belongs to one writer as well,
as in `store.egress`: two that settle at the same moment never wait for each other's row. Readers sum over the writers.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.store.pool import Tx

REPORTS: Final = "reports"  # The writer of all who read reports: they are few.


class Sending(msgspec.Struct, frozen=True, gc=False):
    """The figures of one stream of a project's sending domain, and in it of one campaign or of none, in one hour."""

    hour: datetime
    project_id: UUID
    sender_domain: str
    stream: Stream
    sent: int = 0
    invalid: int = 0
    complained: int = 0
    campaign: str = ""


class Told(msgspec.Struct, frozen=True, gc=False):
    """What a report says about one mail."""

    project_id: UUID
    message_id: UUID
    address_key: str
    sender_domain: str
    is_complaint: bool  # Else there is no such address.


class Sums(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one subject of a guard sent lately."""

    project_id: UUID
    sender_domain: str  # "" is the whole project, or what a campaign sent from all domains.
    stream: Stream
    campaign: str  # "" for the domain or project.
    sent: int
    invalid: int
    complained: int
    recent_sent: int  # This and the next two: of the recent hours alone.
    recent_invalid: int
    recent_complained: int


# GROUP BY: a row that comes twice would fail. ORDER BY: transactions of one writer take their rows in one order.
_ADD: Final = """
    INSERT INTO sending_hour AS s (hour, project_id, sender_domain, stream, campaign, writer, sent, invalid, complained)
    SELECT hour, project_id, sender_domain, stream, campaign, $1, sum(n), sum(i), sum(c)
      FROM unnest($2::timestamptz[], $3::uuid[], $4::text[], $5::stream[], $6::bigint[], $7::bigint[], $8::bigint[],
                  $9::text[])
        AS more(hour, project_id, sender_domain, stream, n, i, c, campaign)
     GROUP BY hour, project_id, sender_domain, stream, campaign
     ORDER BY hour, project_id, sender_domain, stream, campaign
        ON CONFLICT (hour, project_id, sender_domain, stream, campaign, writer) DO UPDATE
       SET sent = s.sent + excluded.sent, invalid = s.invalid + excluded.invalid,
           complained = s.complained + excluded.complained"""
# Each reader counts once: who sends eight complaints about one mail is not eight readers. So an address that gets no
# mail any more (of that kind) is passed over.
_ADD_TOLD: Final = """
    INSERT INTO sending_hour AS s (hour, project_id, sender_domain, stream, campaign, writer, invalid, complained)
    SELECT $1, project_id, told.sender_domain, m.stream, m.campaign, $2,
           count(DISTINCT told.address_key) FILTER (WHERE NOT is_complaint),
           count(DISTINCT told.address_key) FILTER (WHERE is_complaint)
      FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bool[])
        AS told(project_id, message_id, address_key, sender_domain, is_complaint)
      JOIN message m USING (project_id, message_id)
     WHERE NOT EXISTS (SELECT FROM suppression p
                        WHERE p.address_key = told.address_key AND p.project_id = told.project_id
                          AND (p.scope = 'all' OR told.is_complaint))
     GROUP BY project_id, told.sender_domain, m.stream, m.campaign
     ORDER BY project_id, told.sender_domain, m.stream, m.campaign
        ON CONFLICT (hour, project_id, sender_domain, stream, campaign, writer) DO UPDATE
       SET invalid = s.invalid + excluded.invalid, complained = s.complained + excluded.complained"""
# What was sent before a release does not count: of its hour the guard knows how much that was, and it is taken away.
# A project is a subject of its own where several domains sent; else it would say the same twice.
_SUMS: Final = """
    WITH hourly AS (
        SELECT project_id, sender_domain, stream, hour,
               sum(sent) AS sent, sum(invalid) AS invalid, sum(complained) AS complained
          FROM sending_hour WHERE hour >= $1
         GROUP BY project_id, sender_domain, stream, hour),
    several AS (
        SELECT project_id, stream FROM hourly
         GROUP BY project_id, stream HAVING count(DISTINCT sender_domain) > 1),
    counted AS (
        SELECT project_id, sender_domain, stream, '' AS campaign, hour, sent, invalid, complained FROM hourly
        UNION ALL
        SELECT project_id, '', stream, '', hour, sum(sent), sum(invalid), sum(complained)
          FROM hourly JOIN several USING (project_id, stream) GROUP BY project_id, stream, hour
        UNION ALL
        SELECT project_id, '', stream, campaign, hour, sent, invalid, complained
          FROM sending_hour WHERE hour >= $1 AND campaign <> ''
        UNION ALL
        SELECT project_id, sender_domain, stream, campaign, date_trunc('hour', released_at, 'UTC'),
               -excused_sent, -excused_invalid, -excused_complained
          FROM guard WHERE released_at >= $1)
    SELECT project_id, sender_domain, stream, campaign,
           sum(sent)::bigint AS sent, sum(invalid)::bigint AS invalid, sum(complained)::bigint AS complained,
           COALESCE(sum(sent) FILTER (WHERE hour >= $2), 0)::bigint AS recent_sent,
           COALESCE(sum(invalid) FILTER (WHERE hour >= $2), 0)::bigint AS recent_invalid,
           COALESCE(sum(complained) FILTER (WHERE hour >= $2), 0)::bigint AS recent_complained
      FROM counted LEFT JOIN guard USING (project_id, sender_domain, stream, campaign)
     WHERE guard.released_at IS NULL OR hour >= date_trunc('hour', guard.released_at, 'UTC')
     GROUP BY project_id, sender_domain, stream, campaign
    HAVING sum(sent) >= $3 OR bool_or(guard.state IS NOT NULL)
     ORDER BY project_id, sender_domain, stream, campaign"""
_OF_HOUR: Final = """
    SELECT COALESCE(sum(sent), 0)::bigint AS sent, COALESCE(sum(invalid), 0)::bigint AS invalid,
           COALESCE(sum(complained), 0)::bigint AS complained
      FROM sending_hour
     WHERE hour = $1 AND project_id = $2 AND (sender_domain = $3 OR $3 = '') AND stream = $4
       AND (campaign = $5 OR $5 = '')"""
_FORGET: Final = """
    DELETE FROM sending_hour WHERE project_id IS NOT NULL AND hour < $1"""


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the UTC hour."""
    return at.replace(minute=0, second=0, microsecond=0)


async def add(tx: Tx, writer: str, counts: Sequence[Sending]) -> None:
    """Add `counts` to the figures of `writer`. The same hour, domain, stream and campaign may come several times.

    Cost: one round trip; call it last in its transaction, since the rows stay locked until the commit.
    """
    columns = [[getattr(one, field) for one in counts] for field in Sending.__struct_fields__]
    await tx.execute(_ADD, writer, *columns)


async def add_told(tx: Tx, hour: datetime, told: Sequence[Told]) -> None:
    """Count what reports say, once for each address. Call it before the addresses are suppressed for it."""
    columns = [[getattr(one, field) for one in told] for field in Told.__struct_fields__]
    await tx.execute(_ADD_TOLD, hour, REPORTS, *columns)


async def sums(tx: Tx, since: datetime, *, recent_since: datetime, sent_min: int) -> list[Sums]:
    """Return what was sent since `since` (an hour's beginning) by whoever sent at least `sent_min` or has a guard.

    What an operator has excused is left out. By project, domain, stream and campaign; a project with one domain has no
    row of its own.
    """
    rows = await tx.fetch(_SUMS, since, recent_since, sent_min)
    return [Sums(**dict(row) | {"stream": Stream(row["stream"])}) for row in rows]


async def of_hour(
    tx: Tx, hour: datetime, project_id: UUID, sender_domain: str, stream: Stream, *, campaign: str = ""
) -> Sending:
    """Return what the domain, with "" the whole project, sent in that hour: of that campaign, with "" of all."""
    row = await tx.fetch_row(_OF_HOUR, hour, project_id, sender_domain, stream, campaign)
    assert row is not None
    return Sending(hour, project_id, sender_domain, stream, **row, campaign=campaign)


async def forget(tx: Tx, before: datetime) -> int:
    """Delete the figures of the hours before. Returns how many rows."""
    return await tx.execute(_FORGET, before)
