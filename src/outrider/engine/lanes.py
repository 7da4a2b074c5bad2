"""Station 2: which lanes are ours, and what in them is due.

A lane is leased, renewed every third of the lease while we work on it, and given back with its next due instant. Asking
for more rows and giving back are gathered over all lanes, so that thousands of small lanes cost few round trips.

Failure policy: when the database is away nothing is lost: a lease that cannot be renewed runs out, and `is_held` tells
the lane's worker to stop; what it had in flight may then be tried by somebody else too, but not by us: until the worker
has given the lane back we do not take it anew, whatever became of its lease while we, or the clock, stood still.
"""

from collections.abc import Awaitable, Callable, Sequence, Set
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, StoreError
from outrider.base.vocab import Stream
from outrider.engine.service import Part
from outrider.engine.settings import EngineSettings
from outrider.engine.waits import LaneWaits
from outrider.obs.log import Logger
from outrider.store import lanes, queue, suppressions
from outrider.store.batch import GroupCommit
from outrider.store.lanes import GivenBack, Lane, Share
from outrider.store.pool import Store, Tx
from outrider.store.queue import Claim

_OTHERS_AFTER_S: Final = 0.2  # Ours: a process with time for its lanes takes them within milliseconds.
_GATHER_S: Final = 0.003  # Ours: lanes that drain within the same few milliseconds ask together.


class LaneKeeper:
    """The leases of one process. `run` renews them."""

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        *,
        owner: UUID,
        pools: Sequence[str],
        slot: int = 0,
        slot_count: int = 1,
        clock: Clock,
        logger: Logger,
        preload: Callable[[Tx, Set[UUID]], Awaitable[None]],
    ) -> None:
        """`preload` reads the messages of what was claimed, in the same transaction, for all lanes that ask together.

        `slot` of `slot_count` is this process among those of its node: each takes its share of the lanes first.
        """
        self._store: Final = store
        self._settings: Final = settings
        self._owner: Final = owner
        self._pools: Final = pools
        self._slot: Final = slot
        self._slot_count: Final = slot_count
        self._clock: Final = clock
        self._logger: Final = logger
        self._preload: Final = preload
        self.busy: Final[set[UUID]] = set()  # Recipients being tried right now; they are not claimed again meanwhile.
        # Until when, by our monotonic clock, whatever becomes of the database.
        self._held: Final[dict[int, float]] = {}
        self._at_work: Final[dict[int, Lane]] = {}  # Leased and not given back yet, held or not.
        self._owed: Final[dict[int, GivenBack]] = {}  # Given up, but the database was away when it was told.
        self.waits: Final = LaneWaits(store, owner, clock=clock, logger=logger)  # Of lanes that are ours.
        self._stopping = False
        gather = {"clock": clock, "wait_s": _GATHER_S, "weight_max": settings.lanes_max}
        self._claims: Final = GroupCommit[int, list[Claim]](self._claim, **gather)  # type: ignore[arg-type]
        self._releases: Final = GroupCommit[GivenBack, None](self._release, **gather)  # type: ignore[arg-type]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What must run beside `run`."""
        return self._claims, self._releases, self.waits

    @property
    def held_count(self) -> int:
        """How many lanes are ours."""
        return len(self._held)

    def is_held(self, lane_id: int) -> bool:
        """Whether the lane is still ours: leased, and the lease not run out while we were stopped or cut off."""
        until_s = self._held.get(lane_id)
        return until_s is not None and self._clock.monotonic_s() < until_s

    def is_ours_by_share(self, lane_id: int) -> bool:
        """Whether the lane falls to this process; else we hold it because its own had no time for it."""
        return lane_id % self._slot_count == self._slot

    async def lease(self, count_max: int, marketing_max: int) -> list[tuple[Lane, list[Claim]]]:
        """Lease up to `count_max` due lanes with their first due recipients, of marketing at most `marketing_max`."""
        now, until_s = self._clock.now(), self._clock.monotonic_s() + self._settings.lease_s
        lease_until = now + timedelta(seconds=self._settings.lease_s)
        async with self._store.transaction() as tx:
            leased: list[Lane] = []
            for stream in Stream:  # Transactional comes first in it.
                free_count = count_max - len(leased)
                if stream is Stream.MARKETING:
                    free_count = min(free_count, marketing_max)
                if free_count > 0:
                    leased += await lanes.lease(
                        tx,
                        stream,
                        pools=self._pools,
                        owner=self._owner,
                        now=now,
                        lease_until=lease_until,
                        count_max=free_count,
                        share=Share(self._slot_count, self._slot, now - timedelta(seconds=_OTHERS_AFTER_S)),
                        # Danger: with two workers at it, what one has read and not begun the other sends too.
                        at_work=self._at_work.keys(),
                    )
            if not leased:
                return []
            claims = await self._first_due(tx, [lane.lane_id for lane in leased])
        self._held.update((lane.lane_id, until_s) for lane in leased)
        self._at_work.update((lane.lane_id, lane) for lane in leased)
        heads = _by_lane([lane.lane_id for lane in leased], claims)
        return list(zip(leased, heads, strict=True))

    async def claim(self, lane_id: int) -> list[Claim]:
        """Return the next due recipients of a held lane, less those being tried; [] if there are none now.

        Raises:
            StoreError: the database is away.
        """
        return await self._claims.submit(lane_id)

    async def release(self, given: GivenBack) -> None:
        """Give a lane back, due when its queue and its pause say.

        If the database is away, `run` does it later or the lease ends.
        """
        self._held.pop(given.lane_id, None)
        self.waits.forget(given.lane_id)
        at_work = self._at_work.get(given.lane_id)
        try:
            await self._releases.submit(given)
        except (StoreError, BusyError) as error:
            self._owed[given.lane_id] = given
            self._logger.warning("lane_not_released", lane_id=given.lane_id, error=str(error))
        if self._at_work.get(given.lane_id) is at_work:  # Not where it is ours anew already.
            self._at_work.pop(given.lane_id, None)

    async def run(self) -> None:
        """Renew leases until `stop`."""
        pause_s = self._settings.lease_s / 3
        due_s = self._clock.monotonic_s() + pause_s
        while not self._stopping:
            await self._clock.sleep(min(0.25, pause_s))
            await self._release_owed()
            if self._clock.monotonic_s() >= due_s and self._held:
                due_s = self._clock.monotonic_s() + pause_s
                await self._renew()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True

    async def _release_owed(self) -> None:
        # Not those whose lease ran out and that are ours anew.
        owed = {lane_id: given for lane_id, given in self._owed.items() if lane_id not in self._held}
        self._owed.clear()
        if not owed:
            return
        try:
            await self._release(list(owed.values()))
        except StoreError:
            self._owed.update(owed)

    async def _renew(self) -> None:
        asked = dict(self._held)
        until_s = self._clock.monotonic_s() + self._settings.lease_s
        lease_until = self._clock.now() + timedelta(seconds=self._settings.lease_s)
        try:
            async with self._store.transaction() as tx:
                kept = await lanes.renew(tx, self._owner, list(asked), lease_until=lease_until)
        except StoreError as error:
            self._logger.warning("leases_not_renewed", lane_count=len(asked), error=str(error))
            return
        # Not those given back meanwhile, nor those given back and leased anew.
        ours = [lane_id for lane_id, before_s in asked.items() if self._held.get(lane_id) == before_s]
        self._held.update((lane_id, until_s) for lane_id in ours if lane_id in kept)
        if lost := [lane_id for lane_id in ours if lane_id not in kept]:
            for lane_id in lost:
                del self._held[lane_id]
            self._logger.warning("leases_lost", lane_count=len(lost))

    async def _claim(self, lane_ids: Sequence[int]) -> Sequence[list[Claim] | Exception]:
        async with self._store.transaction() as tx:
            claims = await self._first_due(tx, lane_ids)
        return _by_lane(lane_ids, claims)

    async def _first_due(self, tx: Tx, lane_ids: Sequence[int]) -> Sequence[Claim]:
        claims = await queue.first_due(
            tx, lane_ids, now=self._clock.now(), busy=list(self.busy), count_max=self._settings.claim_count_max
        )
        if not claims:
            return []
        await self._preload(tx, {claim.message_id for claim in claims})
        suppressed = await suppressions.among_claims(tx, claims, now=self._clock.now())
        if not suppressed:
            return claims
        return [msgspec.structs.replace(one, suppressed_for=suppressed.get(one.recipient_id, "")) for one in claims]

    async def _release(self, given: Sequence[GivenBack]) -> Sequence[None]:
        async with self._store.transaction() as tx:
            await lanes.release(tx, self._owner, given, now=self._clock.now())
        return [None] * len(given)


async def abandon(store: Store, owner: UUID, *, clock: Clock) -> int:
    """End the leases of an owner that is known to be dead, so that its lanes are due at once. Returns how many."""
    async with store.transaction() as tx:
        return await lanes.abandon(tx, owner, now=clock.now())


def _by_lane(lane_ids: Sequence[int], claims: Sequence[Claim]) -> list[list[Claim]]:
    """Deal the claims to their lanes, in the order of `lane_ids`."""
    heads: dict[int, list[Claim]] = {lane_id: [] for lane_id in lane_ids}
    for claim in claims:
        heads[claim.lane_id].append(claim)
    return [heads[lane_id] for lane_id in lane_ids]
