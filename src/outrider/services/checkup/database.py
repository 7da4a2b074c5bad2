"""Looks at the database: the server, its tables, its clock against ours, and the queue in it.

    server      version, room for connections, transactions that are open for long
    clock       ours against the server's, as exactly as a question tells
    partitions  days for which the event log has room
    queue       the oldest that could go, who delivers, holds, guards

What the figures mean is judged by `policy.checkup_node`. Each look is one short transaction; whatever the database does
not let us see (others' transactions, without the right to) is not there. Raises StoreError, which `run` turns into a
check.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.engine.nodes import SEEN_S
from outrider.policy import checkup_node
from outrider.policy.checkup import Check
from outrider.policy.checkup_node import QueueFigures, ServerFigures
from outrider.services.checkup.run import Probe
from outrider.store import guards, health, holds, nodes
from outrider.store.pool import Store

_TOLD_COUNT_MAX: Final = 5  # Ours: holds and guards named one by one.


class DatabaseCheckup:
    """Looks at one database."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def migrations(self) -> tuple[Check, bool]:
        """Return whether the tables are those of this program, and may be read. Raises StoreError."""
        async with self._store.transaction() as tx:
            version = await health.version(tx)
        return checkup_node.judge_migrations(version, health.HEAD), version == health.HEAD

    def probes(self, *, has_tables: bool) -> list[Probe]:
        """Return what there is to look at; without tables of ours, the server and its clock."""
        always = [Probe("database.server", self._server), Probe("clock.database", self._clocks)]
        if not has_tables:
            return always
        return [*always, Probe("database.partitions", self._partitions), Probe("queue.due", self._queue)]

    async def _server(self) -> Sequence[Check]:
        async with self._store.transaction() as tx:
            seen = await health.server(tx)
        figures = msgspec.convert(seen, ServerFigures, from_attributes=True)
        return [
            checkup_node.judge_version(figures),
            checkup_node.judge_connections(figures),
            checkup_node.judge_transactions(figures),
        ]

    async def _clocks(self) -> Sequence[Check]:
        async with self._store.transaction() as tx:
            await health.now(tx)  # The first statement of a connection is the slow one.
            started_s, ours = self._clock.monotonic_s(), self._clock.now()
            theirs = await health.now(tx)
            trip_s = self._clock.monotonic_s() - started_s
        offset_s = (ours - theirs).total_seconds() + trip_s / 2
        return [checkup_node.judge_clock(offset_s, trip_s)]

    async def _partitions(self) -> Sequence[Check]:
        async with self._store.transaction() as tx:
            count = await health.days_ahead(tx, self._clock.now().date())
        return [checkup_node.judge_partitions(count)]

    async def _queue(self) -> Sequence[Check]:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            seen = await health.queue(tx, now=now, count_max=limits.CHECKUP_QUEUE_COUNT_MAX)
            held = await holds.all(tx)
            guarded = await guards.in_force(tx)
            alive = await nodes.live(tx, alive_since=now - timedelta(seconds=SEEN_S))
        notes = [f"{one.scope} {one.subject}{f' ({one.note})' if one.note else ''}" for one in held]
        figures = QueueFigures(
            count=seen.count,
            is_capped=seen.count >= limits.CHECKUP_QUEUE_COUNT_MAX,
            due_for_s=None if seen.due_at is None else max(0.0, (now - seen.due_at).total_seconds()),
            paused_count=seen.paused_count,
            held_count=seen.held_count,
            hold_notes=_some(notes),
            guard_sentences=_some([one.sentence for one in guarded]),
            nodes=[one.name for one in alive],
        )
        return checkup_node.judge_queue(figures)


def _some(texts: Sequence[str]) -> Sequence[str]:
    """Return the first, and how many more there are."""
    rest_count = len(texts) - _TOLD_COUNT_MAX
    return [*texts[:_TOLD_COUNT_MAX], f"and {rest_count} more"] if rest_count > 0 else texts
