"""Stations 2 to 6 in one loop: lease lanes, and for each due recipient prepare, talk, judge, settle.

    lease loop --> a worker per lane --> an attempt per recipient: prepare --> pool.deliver --> judge --> settle
       ^   woken by NOTIFY, else every poll_s        |  at most lane_in_flight_max a lane, in_flight_max in all
       +------------- lane drained, given back ------+

Failure policy: an attempt never raises for what a peer, the network or DNS did: those are answers. An unexpected
exception defers the recipient with reason `internal`; the third for the same message parks it as `held`. A database
that is away pauses the loop, and attempts that it kept from being made are not counted; nothing is forgotten.

Stopping: no new lanes, no new attempts; conversations past the final dot may finish within stop_wait_s, the others are
cut off and their recipients stay queued; outcomes are written, lanes given back.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final, Protocol
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, NotFoundError, StoreCorruptError, StoreError
from outrider.base.vocab import Fate, Phase, RecipientStatus
from outrider.engine.lanes import LaneKeeper
from outrider.engine.prepare import Composed, Preparer
from outrider.engine.service import Part
from outrider.engine.settings import EngineSettings
from outrider.engine.settle import Outcome, Settler
from outrider.net.pool import Attempt, ConnectionPool
from outrider.net.site import Site
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import retry
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.settings import RetrySettings
from outrider.store.lanes import WAKE_CHANNEL, Lane
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.wire.answer import Answer, Cause

_LOOK_AGAIN_S: Final = 0.005  # Ours: how soon an empty lane is looked at again; each time twice as late, up to ...
_LOOK_AGAIN_S_MAX: Final = 0.04  # ... this: mail leaves within 50 ms.
_LINGER_S: Final = 0.2  # Ours: keeping an idle lane that long costs less than giving it back and leasing it again.
_LINGER_LANES_MAX: Final = 64  # Ours: with more lanes each is looked at too rarely to find anything.
_TURN_S: Final = 2.0  # Ours: how long we work on a lane of another process's share before we offer it back.
_TURN_END_S: Final = 0.5  # Ours: how long we then wait for its attempts; if they take longer we keep it.
_LEASE_COUNT_MAX: Final = 64  # Ours: lanes in one look, each with its first claims; more follow at once.
_AWAY_PAUSE_S: Final = 0.5  # Ours: between tries while the database is away.
_INTERNAL_MAX_COUNT: Final = 3  # STYLE.md: the third unexpected exception parks the message.
_INTERNAL: Final = "internal"


class Router(Protocol):
    """Which site takes mail for a domain: DNS, or one fixed way out."""

    async def route(self, domain: str) -> Site | Answer:
        """Return the site, or why there is none (phase `route`)."""


class Deliverer:
    """The delivery side of one process. Owns the lanes it leases and every attempt on them."""

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        *,
        owner: UUID,
        pools: Sequence[str],
        slot: int = 0,
        slot_count: int = 1,
        router: Router,
        connections: ConnectionPool,
        preparer: Preparer,
        classifier: Classifier,
        retries: RetrySettings,
        clock: Clock,
        random: Random,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._store: Final = store
        self._settings: Final = settings
        self._router: Final = router
        self._connections: Final = connections
        self._preparer: Final = preparer
        self._classifier: Final = classifier
        self._retries: Final = retries
        self._clock: Final = clock
        self._random: Final = random
        self._logger: Final = logger
        self._metrics: Final = metrics
        self._in_flight: Final[set[UUID]] = set()
        self._places: Final = asyncio.Semaphore(settings.in_flight_max)
        self._internal_counts: Final[Counter[UUID]] = Counter()
        self._routing: Final[set[asyncio.Timeout]] = set()
        self._woken: Final = asyncio.Event()
        self._workers = 0
        self._stopping = False
        self._settler: Final = Settler(store, settings, clock=clock, logger=logger, metrics=metrics)
        self._keeper: Final = LaneKeeper(
            store,
            settings,
            owner=owner,
            pools=pools,
            slot=slot,
            slot_count=slot_count,
            clock=clock,
            logger=logger,
            busy=lambda: list(self._in_flight),
            preload=preparer.load,
        )

    async def run(self) -> None:
        """Deliver until `stop`; then finish what must be finished and give the lanes back."""
        async with asyncio.TaskGroup() as below:
            # Started in this order, stopped in the reverse: lanes are given back after the last outcome is written.
            parts: list[Part] = [self._keeper, *self._keeper.parts, self._settler]
            keeping, *_ = [below.create_task(part.run()) for part in parts]
            async with asyncio.TaskGroup() as workers:
                listening = workers.create_task(self._listen())
                await self._lease_until_stopped(workers)
                listening.cancel()  # It only sleeps, and so does the keeper below.
                for guard in self._routing:
                    guard.reschedule(0)
                await self._connections.close(wait_s=self._settings.stop_wait_s)
            for part in reversed(parts):
                part.stop()
            keeping.cancel()

    def stop(self) -> None:
        """Ask `run` to return; it takes at most about stop_wait_s."""
        self._stopping = True
        self._settler.hurry(self._settings.stop_wait_s)
        self._woken.set()

    async def _lease_until_stopped(self, workers: asyncio.TaskGroup) -> None:
        while not self._stopping:
            self._woken.clear()
            free_count = min(self._settings.lanes_max - self._workers, _LEASE_COUNT_MAX)
            try:
                leased = await self._keeper.lease(free_count) if free_count > 0 else []
            except StoreError as error:
                self._logger.warning("lease_delayed", error=str(error), **error.detail)
                await self._clock.sleep(_AWAY_PAUSE_S)
                continue
            for lane, claims in leased:
                self._workers += 1
                workers.create_task(self._work_lane(lane, claims))
            self._metrics.lanes_held.set(self._keeper.held_count)
            self._metrics.connections.set(self._connections.stats.open_count)
            if not leased:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for a notification, a stop, or the next poll."""
        try:
            async with asyncio.timeout(self._settings.poll_s):
                await self._woken.wait()
        except TimeoutError:
            return  # The poll is the truth; the notification was only a hint.

    async def _listen(self) -> None:
        while not self._stopping:
            try:
                async with self._store.listening(WAKE_CHANNEL, lambda _: self._woken.set()) as is_alive:
                    self._woken.set()  # What was notified while nobody listened.
                    while is_alive() and not self._stopping:
                        await self._clock.sleep(_AWAY_PAUSE_S / 2)
            except StoreError as error:
                self._logger.warning("listen_lost", error=str(error))
                await self._clock.sleep(_AWAY_PAUSE_S)

    async def _work_lane(self, lane: Lane, claims: list[Claim]) -> None:
        """Work through a lane until it is drained, lost, or we stop; then give it back."""
        if lane.taken_over_at is not None:
            self._logger.warning("lane_taken_over", lane_id=lane.lane_id, route=lane.route)
        async with asyncio.TaskGroup() as group:
            places = asyncio.Semaphore(self._settings.lane_in_flight_max)
            work = _LaneWork(lane, group, places)
            try:
                await self._drain(work, claims)
            except (StoreError, BusyError) as error:  # Caught inside the group: what is in flight goes on to its end.
                self._logger.warning("lane_work_interrupted", lane_id=lane.lane_id, error=str(error))
        if work.is_interrupted:
            await self._clock.sleep(_AWAY_PAUSE_S)
        self._workers -= 1
        await self._keeper.release(lane.lane_id)
        self._woken.set()  # There is room for another lane.

    async def _drain(self, work: "_LaneWork", claims: list[Claim]) -> None:
        """Start what is due, again and again; return when the lane has been empty and idle for a moment.

        An accept does not announce mail for a lane that is being worked on, so we look for it, at growing intervals.
        """
        pause_s, idle_s = _LOOK_AGAIN_S, 0.0
        lane_id = work.lane.lane_id
        turn_s = math.inf if self._keeper.is_ours_by_share(lane_id) else self._clock.monotonic_s() + _TURN_S
        while not self._stopping and not work.is_interrupted and self._keeper.is_held(lane_id):
            if self._clock.monotonic_s() >= turn_s:
                if await work.is_idle_within(_TURN_END_S):
                    return  # Its own process may have time for it by now.
                turn_s += _TURN_S  # Not while an attempt takes long: the lane's other mail would wait for it.
            if claims:
                await self._start(work, claims)
                pause_s, idle_s = _LOOK_AGAIN_S, 0.0
            elif work.attempts or (idle_s < _LINGER_S and self._workers <= _LINGER_LANES_MAX):
                await self._clock.sleep(pause_s)
                idle_s = 0.0 if work.attempts else idle_s + pause_s
                pause_s = min(pause_s * 2, _LOOK_AGAIN_S_MAX)
            else:
                return
            claims = await self._keeper.claim(lane_id)

    async def _start(self, work: "_LaneWork", claims: Sequence[Claim]) -> None:
        """Start an attempt for each claim as places get free; returns when the last one is started."""
        self._in_flight.update(claim.recipient_id for claim in claims)
        started_count = 0
        try:
            site = await self._route(work.lane.route)
            composed = await self._compose(list({claim.message_id for claim in claims}))
            for claim in claims:
                await work.places.acquire()
                await self._places.acquire()
                if self._stopping or not self._keeper.is_held(work.lane.lane_id):
                    work.places.release()
                    self._places.release()
                    return
                work.begin(self._attempt(work, claim, site, composed.get(claim.message_id)), self._places)
                started_count += 1
        finally:
            self._in_flight.difference_update(claim.recipient_id for claim in claims[started_count:])

    async def _route(self, domain: str) -> Site | Answer:
        """Ask the router; a failure of it is an answer, and a stop does not wait for it."""
        try:
            async with asyncio.timeout(None) as guard:
                self._routing.add(guard)
                try:
                    return await self._router.route(domain)
                finally:
                    self._routing.discard(guard)
        except Exception as error:
            if self._stopping and isinstance(error, TimeoutError):  # The guard: we are to go.
                return Answer(Phase.ROUTE, None, Cause.RESET)
            self._logger.exception("route_failed", route=domain)
            self._metrics.internal.labels(place="deliver").inc()
            return Answer(Phase.ROUTE, None, Cause.INTERNAL)

    async def _compose(self, message_ids: Sequence[UUID]) -> dict[UUID, Composed]:
        """Compose these messages. One that cannot be is missing from the answer, so its attempts fail alone."""
        try:
            return await self._preparer.compose(set(message_ids))
        except Exception as error:
            if _is_about_the_database(error):
                raise
            if len(message_ids) == 1:
                self._logger.exception("message_not_composed", message_id=str(message_ids[0]))
                return {}
        middle = len(message_ids) // 2
        return await self._compose(message_ids[:middle]) | await self._compose(message_ids[middle:])

    async def _attempt(self, work: "_LaneWork", claim: Claim, site: Site | Answer, composed: Composed | None) -> None:
        """Try one recipient once and record what became of it."""
        self._metrics.in_flight.inc()
        try:
            await self._try_once(work, claim, site, composed)
        finally:
            self._in_flight.discard(claim.recipient_id)
            self._metrics.in_flight.dec()

    async def _try_once(self, work: "_LaneWork", claim: Claim, site: Site | Answer, composed: Composed | None) -> None:
        started_s = self._clock.monotonic_s()
        taken_over_at = work.lane.taken_over_at
        is_taken_over = taken_over_at is not None and claim.due_at <= taken_over_at
        try:
            attempt = await self._talk(claim, site, composed)
        except Exception as error:
            if _is_about_the_database(error):
                self._logger.warning("attempt_interrupted", recipient_id=str(claim.recipient_id), error=str(error))
                work.is_interrupted = True
                return
            self._logger.exception("attempt_failed", recipient_id=str(claim.recipient_id))
            self._metrics.internal.labels(place="deliver").inc()
            self._internal_counts[claim.message_id] += 1
            attempt = _unanswered(claim, Answer(Phase.CONNECT, None, Cause.INTERNAL), started_s, self._clock)
        outcome = self._judge(claim, composed, attempt, is_taken_over=is_taken_over)
        if outcome is not None and await self._settler.settle(outcome):
            self._observe(outcome, composed)

    async def _talk(self, claim: Claim, site: Site | Answer, composed: Composed | None) -> Attempt:
        started_s = self._clock.monotonic_s()
        if isinstance(site, Answer):
            return _unanswered(claim, site, started_s, self._clock)
        if composed is None:
            raise NotFoundError("The message of a queued recipient is gone.", message_id=str(claim.message_id))
        envelope = await self._preparer.envelope(composed, claim)
        return await self._connections.deliver(site, envelope)

    def _judge(
        self, claim: Claim, composed: Composed | None, attempt: Attempt, *, is_taken_over: bool
    ) -> Outcome | None:
        """Decide what the attempt means. None: we cut it off ourselves before the dot; there is nothing to record."""
        (answer,) = attempt.answers.values()
        if self._stopping and answer.cause is Cause.RESET and not answer.is_ambiguous:
            return None
        now = self._clock.now()
        accepted_at = composed.message.accepted_at if composed else now
        age_s = (now - accepted_at).total_seconds()
        verdict = self._classifier.judge(answer, attempt=claim.attempt, age_s=age_s)
        if answer.cause is Cause.INTERNAL:
            verdict = Verdict(Fate.DEFERRED, _INTERNAL, "")
        status, retry_at = self._next(claim, verdict, now)
        return Outcome(
            claim=claim,
            project_id=claim.project_id,
            status=status,
            verdict=verdict,
            answer=answer,
            attempt=attempt,
            ended_at=now,
            retry_at=retry_at,
            is_taken_over=is_taken_over,
        )

    def _next(self, claim: Claim, verdict: Verdict, now: datetime) -> tuple[RecipientStatus, datetime | None]:
        """The recipient's next state, and its next attempt if it stays queued."""
        match verdict.fate:
            case Fate.DELIVERED:
                return RecipientStatus.DELIVERED, None
            case Fate.BOUNCED:
                return RecipientStatus.BOUNCED, None
            case Fate.DEFERRED:
                if verdict.reason == _INTERNAL and self._internal_counts[claim.message_id] >= _INTERNAL_MAX_COUNT:
                    return RecipientStatus.HELD, None
                jitter_ratio = self._random.random()
                retry_at = retry.next_due_at(
                    attempt=claim.attempt,
                    now=now,
                    jitter_ratio=jitter_ratio,
                    reason=verdict.reason,
                    settings=self._retries,
                )
                if retry_at >= claim.expires_at:
                    return RecipientStatus.EXPIRED, None
                return RecipientStatus.QUEUED, retry_at

    def _observe(self, outcome: Outcome, composed: Composed | None) -> None:
        if outcome.status is RecipientStatus.DELIVERED and composed is not None:
            waited: timedelta = outcome.ended_at - composed.message.accepted_at
            self._metrics.queue_time.observe(max(0.0, waited.total_seconds()))  # The clock may have stepped back.
        if outcome.status is not RecipientStatus.QUEUED and outcome.verdict.reason != _INTERNAL:
            self._internal_counts.pop(outcome.claim.message_id, None)


class _LaneWork:
    """A lane being worked on: its attempts under way and its places for more."""

    def __init__(self, lane: Lane, group: asyncio.TaskGroup, places: asyncio.Semaphore) -> None:
        self.lane: Final = lane
        self.places: Final = places
        self.attempts: Final[set[asyncio.Task[None]]] = set()
        self.is_interrupted = False  # An attempt could not be made because the database was away; nothing was written.
        self._group: Final = group

    async def is_idle_within(self, wait_s: float) -> bool:
        """Whether all attempts under way end within `wait_s`; none is disturbed."""
        return not self.attempts or not (await asyncio.wait(self.attempts, timeout=wait_s))[1]

    def begin(self, attempt: Coroutine[None, None, None], all_places: asyncio.Semaphore) -> None:
        """Run `attempt`; give both its places back when it ends."""
        running = self._group.create_task(attempt)
        self.attempts.add(running)
        running.add_done_callback(self.attempts.discard)
        running.add_done_callback(lambda _: self.places.release())
        running.add_done_callback(lambda _: all_places.release())


def _is_about_the_database(error: Exception) -> bool:
    """Whether it says nothing about the message: the database is away, and what waits in it may go on waiting."""
    return isinstance(error, StoreError | BusyError) and not isinstance(error, StoreCorruptError)


def _unanswered(claim: Claim, answer: Answer, started_s: float, clock: Clock) -> Attempt:
    """An attempt that ended before anybody was asked."""
    return Attempt(answers={claim.address: answer}, duration_s=clock.monotonic_s() - started_s)
