"""The sending domains that nothing leaves from, known by heart in every deliver process, a second old at most.

A domain whose records are gone for longer than the grace period is stopped (`services.verification`). New mail is
refused at station 1; what is queued waits in its lanes, explained, until its records pass again or its own time is
over. `engine.gates` asks before it lets a lane in.

When a stop ends, whoever learns of it wakes the lanes that wait for it, more than once: one that was on its way back
may arrive late. While the database is away the last known stops stand.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import WaitKind
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import domains, lanes
from outrider.store.domains import Stopped
from outrider.store.lanes import Lane
from outrider.store.pool import Store

_READ_EVERY_S: Final = 1.0  # Ours: a stop and its end hold everywhere within seconds.
_WAKE_COUNT: Final = 3  # Ours: looks; a lane on its way back has arrived by then.


class StopBook(Recurring):
    """The stopped domains, for one process. `load` before the first mail, then `run`: it reads each second."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self.load, _READ_EVERY_S, clock=clock, outage=Outage(logger, "stops_not_read"))
        self._store: Final = store
        self._known: Mapping[tuple[UUID, str], str] = {}
        self._ended: Final[dict[tuple[UUID, str], int]] = {}  # How often their lanes are to be woken yet.

    def reason_of(self, lane: Lane) -> str:
        """Say why nothing leaves from the lane's sending domain; "": something may. Cost: a look-up in memory."""
        return self._known.get((lane.project_id, lane.sender_domain), "") if self._known else ""

    async def load(self) -> None:
        """Read the stops anew. Raises StoreError; the last known ones stand then."""
        async with self._store.transaction() as tx:
            found = await domains.stopped(tx)
        before, self._known = self._known, {(one.project_id, one.name): sentence(one) for one in found}
        self._ended.update(dict.fromkeys(before.keys() - self._known.keys(), _WAKE_COUNT))
        for project_id, name in list(self._ended):
            async with self._store.transaction() as tx:
                await lanes.end_pauses(tx, project_id, name, WaitKind.DOMAIN, now=self._clock.now())
            self._ended[project_id, name] -= 1
            if not self._ended[project_id, name]:
                del self._ended[project_id, name]


def sentence(stopped: Stopped) -> str:
    """Say that the domain is stopped, since when its records fail, and what tells more."""
    since = stopped.failing_since or stopped.stopped_at
    return (
        f"{stopped.name} is stopped: its DNS records fail since {since:%Y-%m-%d %H:%M} UTC;"
        f" `outrider domain show {stopped.name}` says what to mend"
    )
