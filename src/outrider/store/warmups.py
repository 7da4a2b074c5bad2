"""Where each warm-up stands: one row per warming source and provider. The rules are `policy.warmup`'s.

A row is changed only by whoever still sees it as it is (`move`), so of several workers that judge at once one moves it.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import msgspec

from outrider.policy.warmup import Step
from outrider.store.egress import Stretch
from outrider.store.pool import Tx


class Warmup(msgspec.Struct, frozen=True):
    """One row."""

    source: str
    provider: str
    plan: str
    stage: int  # From 0; the number of the plan's stages means warm.
    stage_since: date  # The first day whose figures count.
    changed_at: datetime
    note: str  # Why it is where it is.

    @property
    def step(self) -> Step:
        """What `policy.warmup.judge` wants to know of it."""
        return Step(self.stage, self.stage_since)


_ALL: Final = """
    SELECT source, provider, plan, stage, stage_since, changed_at, note FROM warmup ORDER BY source, provider"""
_OF_SOURCES: Final = """
    SELECT source, provider, plan, stage, stage_since, changed_at, note
      FROM warmup WHERE source = ANY($1::text[]) ORDER BY source, provider"""
_PUT: Final = """
    INSERT INTO warmup (source, provider, plan, stage, stage_since, changed_at, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (source, provider) DO UPDATE
       SET plan = excluded.plan, stage = excluded.stage, stage_since = excluded.stage_since,
           changed_at = excluded.changed_at, note = excluded.note"""
_MOVE: Final = """
    UPDATE warmup SET plan = $6, stage = $7, stage_since = $8, changed_at = $9, note = $10
     WHERE source = $1 AND provider = $2 AND plan = $3 AND stage = $4 AND stage_since = $5"""
_NEWCOMERS: Final = """
    SELECT source, provider, min(day) AS since
      FROM egress_day e
     WHERE source = ANY($1::text[]) AND day >= $2
       AND NOT EXISTS (SELECT FROM warmup w WHERE w.source = e.source AND w.provider = e.provider)
     GROUP BY source, provider HAVING sum(attempted) >= $3
     ORDER BY source, provider"""
_BEGIN: Final = """
    INSERT INTO warmup (source, provider, plan, stage, stage_since, changed_at, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING"""


async def read_all(tx: Tx) -> Sequence[Warmup]:
    """Return every row, by source and provider."""
    return [Warmup(**row) for row in await tx.fetch(_ALL)]


async def of_sources(tx: Tx, sources: Sequence[str]) -> Sequence[Warmup]:
    """Return the rows of these sources, by source and provider."""
    return [Warmup(**row) for row in await tx.fetch(_OF_SOURCES, sources)]


async def put(tx: Tx, warmup: Warmup) -> None:
    """Write a row, whatever was there."""
    await tx.execute(_PUT, *msgspec.structs.astuple(warmup))


async def move(tx: Tx, old: Warmup, new: Warmup) -> bool:
    """Write `new` in the place of `old`; False, and nothing is written, if somebody has changed it meanwhile."""
    assert (old.source, old.provider) == (new.source, new.provider)
    count = await tx.execute(
        _MOVE,
        old.source,
        old.provider,
        old.plan,
        old.stage,
        old.stage_since,
        new.plan,
        new.stage,
        new.stage_since,
        new.changed_at,
        new.note,
    )
    return count == 1


async def newcomers(tx: Tx, sources: Sequence[str], since: date, *, attempted_min: int) -> Sequence[Stretch]:
    """Return where these sources sent at least `attempted_min` mails since that day and have no row yet.

    Each with the first of those days, by source and provider.
    """
    return [Stretch(**row) for row in await tx.fetch(_NEWCOMERS, sources, since, attempted_min)]


async def begin(tx: Tx, warmup: Warmup) -> bool:
    """Write a first row; False, and nothing is written, if there is one already."""
    return await tx.execute(_BEGIN, *msgspec.structs.astuple(warmup)) == 1
