"""What left us: figures by UTC day, source and provider (the key that limits are counted by).

Counted in the transaction that settles the attempts, so figures and history agree. A row belongs to one writer as well,
a deliver process: two that settle at the same moment never wait for each other's row. Readers sum over the writers.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from outrider.policy.warmup import Figures
from outrider.store.pool import Tx

Pair = tuple[str, str]  # Source and provider.


class Egress(msgspec.Struct, frozen=True, gc=False):
    """The figures of one source at one provider."""

    source: str
    provider: str
    figures: Figures


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """The days of one source at one provider, from `since` on."""

    source: str
    provider: str
    since: date


# GROUP BY: a row that comes twice would fail. ORDER BY: transactions of one writer take their rows in one order.
_ADD: Final = """
    INSERT INTO egress_day AS e (day, source, provider, writer,
                                 attempted, delivered, deferred, bounced, throttled, complained)
    SELECT day, source, provider, $1, sum(a), sum(d), sum(f), sum(b), sum(t), sum(c)
      FROM unnest($2::date[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                  $9::bigint[], $10::bigint[]) AS more(day, source, provider, a, d, f, b, t, c)
     GROUP BY day, source, provider ORDER BY day, source, provider
        ON CONFLICT (day, source, provider, writer) DO UPDATE
       SET attempted = e.attempted + excluded.attempted, delivered = e.delivered + excluded.delivered,
           deferred = e.deferred + excluded.deferred, bounced = e.bounced + excluded.bounced,
           throttled = e.throttled + excluded.throttled, complained = e.complained + excluded.complained"""
_FIGURES: Final = """
    SELECT day, source, provider, sum(attempted)::bigint AS attempted, sum(delivered)::bigint AS delivered,
           sum(deferred)::bigint AS deferred, sum(bounced)::bigint AS bounced,
           sum(throttled)::bigint AS throttled, sum(complained)::bigint AS complained"""
_OF_DAY: Final = f"""
    {_FIGURES}
      FROM egress_day WHERE day = $1 GROUP BY day, source, provider ORDER BY source, provider"""
_OF_STRETCHES: Final = f"""
    {_FIGURES}
      FROM unnest($1::text[], $2::text[], $3::date[]) AS asked(source, provider, since)
      JOIN egress_day USING (source, provider)
     WHERE day >= since AND day BETWEEN $4 AND $5
     GROUP BY day, source, provider ORDER BY source, provider, day"""


async def add(tx: Tx, writer: str, counts: Sequence[Egress]) -> None:
    """Add `counts` to the figures of `writer`. The same pair and day may come several times.

    Cost: one round trip; call it last in its transaction, since the rows stay locked until the commit.
    """
    if not counts:
        return
    figures = [one.figures for one in counts]
    await tx.execute(
        _ADD,
        writer,
        [one.day for one in figures],
        [one.source for one in counts],
        [one.provider for one in counts],
        [one.attempted for one in figures],
        [one.delivered for one in figures],
        [one.deferred for one in figures],
        [one.bounced for one in figures],
        [one.throttled for one in figures],
        [one.complained for one in figures],
    )


async def of_day(tx: Tx, day: date) -> Sequence[Egress]:
    """Return what every source did at every provider on `day`, by source and provider."""
    return [_egress(**row) for row in await tx.fetch(_OF_DAY, day)]


async def of_stretches(tx: Tx, stretches: Sequence[Stretch], first: date, last: date) -> Mapping[Pair, list[Figures]]:
    """Return the figures of each stretch, day by day, from `first` to `last` at most. Days without any are left out."""
    rows = await tx.fetch(
        _OF_STRETCHES,
        [one.source for one in stretches],
        [one.provider for one in stretches],
        [one.since for one in stretches],
        first,
        last,
    )
    found: dict[Pair, list[Figures]] = {(one.source, one.provider): [] for one in stretches}
    for row in rows:
        egress = _egress(**row)
        found[egress.source, egress.provider].append(egress.figures)
    return found


def _egress(source: str, provider: str, **counts: int) -> Egress:
    return Egress(source, provider, msgspec.convert(counts, Figures))
