"""What leased lanes wait for, told to whoever asks why, and ended by whoever may.

A lane that may not go on now is given back with its pause, unless attempts of it are under way: only the lease keeps
others from trying the same mail, so it stays ours until they have ended. Meanwhile its row says what it waits for
(`store.lanes.tell`), as that of any other lane, and a flush or an end of what it waited for is heard.

    begin --> told within a second --> end, or `forget` when the lane is given back
                  `has_ended`: somebody has ended the pause in the lane's row

A wait that is over before the next round is told nobody. Cost: two transactions a second of a process, whatever the
number of lanes, and none while no lane waits.

Failure policy: while the database is away nothing is told and nothing heard; pauses end by themselves.
"""

from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import StoreError
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.store import lanes
from outrider.store.lanes import Pause
from outrider.store.pool import Store

_EVERY_S: Final = 0.5  # As holds: a flush takes effect within 1 s (issue 3), and who waits looks four times a second.


class LaneWaits(Recurring):
    """The waits of one process's leased lanes. `run` tells them. For one event loop."""

    def __init__(self, store: Store, owner: UUID, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self._round, _EVERY_S, clock=clock, outage=Outage(logger, "waits_not_told"))
        self._store: Final = store
        self._owner: Final = owner
        self._waits: Final[dict[int, Pause | None]] = {}  # None: it goes on, and its row still says otherwise.
        self._told: Final[dict[int, Pause]] = {}  # What rows say.

    def begin(self, lane_id: int, pause: Pause) -> None:
        """The lane waits, or waits for something else now."""
        self._waits[lane_id] = pause

    def end(self, lane_id: int) -> None:
        """The lane goes on."""
        if lane_id in self._told:
            self._waits[lane_id] = None
        else:
            self._waits.pop(lane_id, None)

    def forget(self, lane_id: int) -> None:
        """The lane is given back; its row says what is to be said."""
        self._waits.pop(lane_id, None)
        self._told.pop(lane_id, None)

    def has_ended(self, lane_id: int) -> bool:
        """Whether the wait that began was ended by somebody else."""
        return lane_id not in self._waits

    async def _round(self) -> None:
        news = {lane_id: pause for lane_id, pause in self._waits.items() if self._told.get(lane_id) != pause}
        asked = [lane_id for lane_id, pause in self._waits.items() if pause is not None and lane_id in self._told]
        if not news and not asked:
            return
        told = {lane_id: pause for lane_id, pause in news.items() if pause is not None}
        self._told.update(told)  # Before it is: a lane that goes on meanwhile must take it back.
        try:
            async with self._store.transaction() as tx:
                ended = await lanes.unpaused(tx, self._owner, asked) if asked else set()
                news = {lane_id: pause for lane_id, pause in news.items() if lane_id not in ended}
                if news:
                    await lanes.tell(tx, self._owner, news, now=self._clock.now())
        except StoreError:
            for lane_id in told:
                self._told.pop(lane_id, None)
            raise
        for lane_id in ended.union(lane_id for lane_id, pause in news.items() if pause is None):
            self._told.pop(lane_id, None)
            if lane_id in ended or self._waits.get(lane_id) is None:  # Else it waits anew, as the next round tells.
                self._waits.pop(lane_id, None)
