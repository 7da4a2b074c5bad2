"""How a project's mail is seen, or that of all: judged rates, by provider and by source address, and why mail waits.

The figures come from the counters, a few seconds late; the reasons for deferrals from the latest events of the log.
`policy.reputation` has the thresholds. A project sees its own figures alone.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.policy import reputation as policy
from outrider.policy.reputation import Judged, Level
from outrider.store import figure_sums, projects, reputation
from outrider.store.figure_sums import Which
from outrider.store.pool import Store, Tx
from outrider.store.reputation import Cause

__all__ = ["Cause", "Part", "Reputation", "ReputationView"]  # With the record a caller meets.

DAYS: Final = (1, 7, 30)
_LOOK_MAX: Final = 20_000  # Ours: events of the log; some 50 ms.
_LOOK_ALL_MAX: Final = 2_000  # Ours: of each project, where it is about all of them.
_CAUSES_MAX: Final = 10  # Ours: what anybody reads.
_PARTS_MAX: Final = 50  # Ours: the same; those that got most.


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A provider, a source address or a project, and how mail fares there."""

    name: str
    level: Level
    mail_count: int  # Delivered or bounced.
    judged: Sequence[Judged]


class ReputationView(msgspec.Struct, frozen=True, kw_only=True):
    """How mail of some days is seen."""

    days: int
    level: Level  # The worst of `judged`.
    judged: Sequence[Judged]
    providers: Sequence[Part]  # Most mail first, as are the next two.
    ips: Sequence[Part]
    projects: Sequence[Part]  # Where it is about all of them; else ().
    causes: Sequence[Cause]  # Of deferrals, most first, among the latest events.
    looked_at_max: int  # So many of the latest events of a project were looked at for them.


class Reputation:
    """Reads it. Keeps nothing."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def view(self, project_id: UUID, *, days: int = 7) -> ReputationView:
        """Return how the project's mail of the last 1, 7 or 30 days is seen. Raises CallerError: field "days"."""
        _check(days)
        async with self._store.transaction() as tx:
            return await self._view(tx, [project_id], days, look_max=_LOOK_MAX)

    async def view_all(self, *, days: int = 7) -> ReputationView:
        """Return the same of all projects together, and of each, for the operator. Raises CallerError."""
        _check(days)
        async with self._store.transaction() as tx:
            names = await projects.names(tx)
            found = await self._view(tx, list(names), days, look_max=_LOOK_ALL_MAX)
            which = self._which(days)
            sums = {name: await figure_sums.sums(tx, [one], policy.METRICS, which) for one, name in names.items()}
        return msgspec.structs.replace(found, projects=_parts(sums))

    async def _view(self, tx: Tx, project_ids: Sequence[UUID], days: int, *, look_max: int) -> ReputationView:
        which = self._which(days)
        sums = await figure_sums.sums(tx, project_ids, policy.METRICS, which)
        parts = {
            dimension: await figure_sums.by_name(
                tx, project_ids, policy.METRICS, msgspec.structs.replace(which, dimension=dimension)
            )
            for dimension in ("provider", "ip")
        }
        causes = await reputation.causes(
            tx, project_ids, since=which.since, until=which.until, look_max=look_max, count_max=_CAUSES_MAX
        )
        judged = policy.judge(sums)
        return ReputationView(
            days=days,
            level=policy.worst(judged),
            judged=judged,
            providers=_parts(parts["provider"]),
            ips=_parts(parts["ip"]),
            projects=(),
            causes=causes,
            looked_at_max=look_max,
        )

    def _which(self, days: int) -> Which:
        now = self._clock.now()
        return Which(since=now - timedelta(days=days), until=now)


def _parts(found: Mapping[str, Mapping[str, int]]) -> Sequence[Part]:
    parts = []
    for name, sums in found.items():
        judged = policy.judge(sums)
        count = sum(sums.get(metric, 0) for metric in ("delivered", "bounced_hard", "bounced_soft"))
        parts.append(Part(name=name, level=policy.worst(judged), mail_count=count, judged=judged))
    return sorted(parts, key=lambda one: (-one.mail_count, one.name))[:_PARTS_MAX]


def _check(days: int) -> None:
    if days not in DAYS:
        raise CallerError("One day, 7 or 30.", field="days")
