"""Stations 2 to 6 in one loop: lease lanes, and for each due recipient enter, prepare, talk, judge, settle.

    lease loop --> a worker per lane --> gates.enter, a place --> attempt: prepare --> talk --> judge --> settle
       ^   woken by NOTIFY, else every poll_s     |  Pause, hold, drained, or the turn is over
       +------------- lane given back ------------+

An attempt begins when it has a connection, so what is in flight follows the connections, never the queue. A lane whose
mail may not go now is given back with the reason and the instant; what waits has no other place than its lane. While
attempts of it are under way it is kept, since only its lease keeps others from trying the same mail, and goes on as
soon as it may (`engine.waits`).

Failure policy: an attempt never raises for what a peer, the network or DNS did: those are answers. An unexpected
exception defers the recipient with reason `internal` (`engine.judge`). A database that is away pauses the loop, and
attempts that it kept from being made are not counted; nothing is forgotten.

Stopping: no new lanes, no new attempts; conversations past the final dot may finish within stop_wait_s, the others are
cut off and their recipients stay queued; outcomes are written, lanes given back.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, NotFoundError, StoreCorruptError, StoreError
from outrider.base.vocab import Fate, Phase, RecipientStatus, Stream, WaitKind
from outrider.engine import sentences
from outrider.engine.gates import Entry, Gates
from outrider.engine.holds import Hold, HoldBook
from outrider.engine.judge import Judge
from outrider.engine.lanes import LaneKeeper
from outrider.engine.lanework import LaneWork
from outrider.engine.prepare import Preparer, Ready
from outrider.engine.service import Part
from outrider.engine.settings import EngineSettings
from outrider.engine.settle import Outcome, Settler
from outrider.engine.turns import Places
from outrider.net.pool import Attempt, ConnectionPool
from outrider.net.site import Site
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Verdict
from outrider.policy.shaping import DEFAULT
from outrider.store.lanes import WAKE_CHANNEL, GivenBack, Lane, Pause
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.wire.answer import Answer, Cause

_LOOK_AGAIN_S: Final = 0.005  # Ours: how soon an empty lane is looked at again; each time twice as late, up to ...
_LOOK_AGAIN_S_MAX: Final = 0.04  # ... this: mail leaves within 50 ms.
_LINGER_S: Final = 0.2  # Ours: keeping an idle lane that long costs less than giving it back and leasing it again.
_LINGER_LANES_MAX: Final = 64  # Ours: with more lanes each is looked at too rarely to find anything.
_TURN_S: Final = 2.0  # Ours: how long we work on a lane that others may want, or want the connections of.
_TURN_END_S: Final = 0.5  # Ours: how long we then wait for its attempts; if they take longer we keep it.
_LEASE_COUNT_MAX: Final = 64  # Ours: lanes in one look, each with its first claims; more follow at once.
_WAIT_LOOK_S: Final = 0.25  # Ours: how often a lane that waits looks whether it may go on; in memory.
_PARKED_COUNT_MAX: Final = 500  # Ours: mails of held sessions that a lane reads past; as many as are in flight.
_PARKED_PAUSE_S: Final = 2.0  # Ours: how long a lane with nothing else is left to who moves them out of it.
_AWAY_PAUSE_S: Final = 0.5  # Ours: between tries while the database is away.
_SETTLE_FIRST_S: Final = 1.0  # Ours: twice what a settler waits before it offers its outcomes again.
_FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)  # A hold ends when it is lifted, at no instant we know.


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
        keeper: LaneKeeper,
        router: Router,
        connections: ConnectionPool,
        gates: Gates,
        holds: HoldBook,
        preparer: Preparer,
        judge: Judge,
        settler: Settler,
        clock: Clock,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._store: Final = store
        self._settings: Final = settings
        self._keeper: Final = keeper
        self._router: Final = router
        self._connections: Final = connections
        self._gates: Final = gates
        self._holds: Final = holds
        self._preparer: Final = preparer
        self._judge: Final = judge
        self._settler: Final = settler
        self._clock: Final = clock
        self._logger: Final = logger
        self._metrics: Final = metrics
        self._in_flight: Final = keeper.busy
        marketing_ratio = settings.marketing_ratio_max
        self._places: Final = Places(
            settings.in_flight_max, marketing_max=max(1, int(settings.in_flight_max * marketing_ratio))
        )
        self._marketing_lanes_max: Final = max(1, int(settings.lanes_max * marketing_ratio))
        self._workers: Final = dict.fromkeys(Stream, 0)
        self._routing: Final[set[asyncio.Timeout]] = set()
        self._woken: Final = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Deliver until `stop`; then finish what must be finished and give the lanes back."""
        async with asyncio.TaskGroup() as below:
            # Started in this order, stopped in the reverse: lanes are given back after the last outcome is written.
            parts: list[Part] = [self._holds, self._keeper, *self._keeper.parts, self._settler]
            _, keeping, *_ = [below.create_task(part.run()) for part in parts]
            async with asyncio.TaskGroup() as workers:
                listening = workers.create_task(self._listen())
                await self._lease_until_stopped(workers)
                listening.cancel()  # It only sleeps, and so does the keeper below.
                for guard in self._routing:
                    guard.reschedule(0)
                await self._connections.close(wait_s=self._settings.stop_wait_s)
            self._measure()
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
            free_count = min(self._settings.lanes_max - self._worker_count, _LEASE_COUNT_MAX)
            marketing_free_count = self._marketing_lanes_max - self._workers[Stream.MARKETING]
            try:
                if not self._holds.is_known:  # No lane of a held project, however soon after a start.
                    await self._holds.load()
                leased = await self._keeper.lease(free_count, marketing_free_count) if free_count > 0 else []
            except StoreError as error:
                self._logger.warning("lease_delayed", error=str(error), **error.detail)
                await self._until_back()
                continue
            for lane, claims in leased:
                self._workers[lane.stream] += 1
                workers.create_task(self._work_lane(lane, claims))
            self._measure()
            if not leased:
                await self._rest()

    def _measure(self) -> None:
        self._metrics.lanes_held.set(self._keeper.held_count)
        self._metrics.in_flight.set(self._settings.in_flight_max - self._places.free_count)
        self._metrics.connections.set(self._connections.stats.open_count)

    async def _until_back(self) -> None:
        """Return when the database is back, and everybody has had time to store what ended meanwhile.

        Danger: after an outage longer than a lease every lane is anybody's. Who takes one before its old owner has
        stored what became of its mail sends that mail again.
        """
        while not self._stopping:
            await self._clock.sleep(_AWAY_PAUSE_S)
            if await self._store.is_ready():
                await self._clock.sleep(_SETTLE_FIRST_S)
                return

    @property
    def _worker_count(self) -> int:
        return sum(self._workers.values())

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

    # A lane.

    async def _work_lane(self, lane: Lane, claims: list[Claim]) -> None:
        """Work through a lane until it is drained, lost, must wait, or we stop; then give it back."""
        if lane.taken_over_at is not None:
            self._logger.warning("lane_taken_over", lane_id=lane.lane_id, route=lane.route)
        async with asyncio.TaskGroup() as group:
            work = LaneWork(lane, group, lane_in_flight_max=self._settings.lane_in_flight_max)
            try:
                await self._drain(work, claims)
            except (StoreError, BusyError) as error:  # Caught inside the group: what is in flight goes on to its end.
                self._logger.warning("lane_work_interrupted", lane_id=lane.lane_id, error=str(error))
        if work.is_interrupted:
            await self._clock.sleep(_AWAY_PAUSE_S)
        self._workers[lane.stream] -= 1
        for recipient_ids in work.parked.values():
            self._in_flight.difference_update(recipient_ids)
        pause = work.pause if work.pause is not None and self._gates.still_waits(lane, work.pause) else None
        await self._keeper.release(GivenBack(lane.lane_id, work.provider, pause))
        self._woken.set()  # There is room for another lane.

    async def _drain(self, work: LaneWork, claims: list[Claim]) -> None:
        """Start what is due, again and again; return when the lane has been empty and idle for a moment, or must wait.

        An accept does not announce mail for a lane that is being worked on, so we look for it, at growing intervals.
        """
        pause_s, idle_s = _LOOK_AGAIN_S, 0.0
        lane_id = work.lane.lane_id
        turn_s = self._clock.monotonic_s() + _TURN_S
        while not self._stopping and not work.is_interrupted and self._keeper.is_held(lane_id):
            if self._clock.monotonic_s() >= turn_s:
                if self._is_wanted(work) and await work.is_idle_within(_TURN_END_S):
                    return  # Others may have time for it, or wait for what it uses.
                # Not while an attempt takes long: the lane's other mail would wait for it.
                turn_s = self._clock.monotonic_s() + _TURN_S
            if claims:
                await self._start(work, claims)
                pause_s, idle_s = _LOOK_AGAIN_S, 0.0
                if work.pause is not None and not await self._wait_out(work, work.pause):
                    return
            elif work.attempts or (idle_s < _LINGER_S and self._worker_count <= _LINGER_LANES_MAX):
                await self._clock.sleep(pause_s)
                idle_s = 0.0 if work.attempts else idle_s + pause_s
                pause_s = min(pause_s * 2, _LOOK_AGAIN_S_MAX)
            else:
                held = [hold for one in work.parked if (hold := self._holds.find_session(one)) is not None]
                work.pause = self._until_moved(held[0]) if held else None
                return
            self._unpark(work)
            claims = await self._keeper.claim(lane_id)

    async def _wait_out(self, work: LaneWork, pause: Pause) -> bool:
        """Wait until a lane that must wait may go on. False: it is to be given back, all its attempts have ended."""
        lane_id = work.lane.lane_id
        if pause.hold_id is None:  # Else the hold's own row says it.
            self._keeper.waits.begin(lane_id, pause)
        while work.attempts and not self._stopping and not work.is_interrupted and self._keeper.is_held(lane_id):
            has_ended = await work.has_end_within(_WAIT_LOOK_S)
            if (has_ended and pause.kind is WaitKind.CONNECTIONS) or not self._waits(work, pause):
                self._keeper.waits.end(lane_id)
                work.pause = None
                return True
        return False

    def _waits(self, work: LaneWork, pause: Pause) -> bool:
        """Whether what keeps the lane waiting holds yet."""
        if pause.hold_id is not None:
            return self._held(work) is not None
        if self._clock.now() >= pause.until or self._keeper.waits.has_ended(work.lane.lane_id):
            return False
        return self._gates.still_waits(work.lane, pause)

    def _is_wanted(self, work: LaneWork) -> bool:
        """Whether somebody else has more right to this lane, or to the places and connections it takes, than it has."""
        if not self._keeper.is_ours_by_share(work.lane.lane_id):
            return True
        is_full = self._worker_count >= self._settings.lanes_max
        is_full |= self._workers[Stream.MARKETING] >= self._marketing_lanes_max
        return is_full or (work.site is not None and self._gates.is_wanted(work.lane, work.site))

    async def _start(self, work: LaneWork, claims: Sequence[Claim]) -> None:
        """Start an attempt for each claim as it may go; returns when the last one is started, or the lane must wait."""
        self._in_flight.update(claim.recipient_id for claim in claims)
        started_count = 0
        now = self._clock.now()
        if any(claim.suppressed_for or claim.expires_at <= now for claim in claims):
            # First, whatever the rest must wait for: mail that may never go must not wait in a lane that may not now.
            claims = sorted(claims, key=lambda claim: not claim.suppressed_for and claim.expires_at > now)
        try:
            site = await self._route(work.lane.route)
            if isinstance(site, Site):
                work.site, work.place = site, self._gates.place(site)
            composed = await self._compose(list({claim.message_id for claim in claims}))
            for claim in claims:
                if not await self._start_one(work, claim, site, composed.get(claim.message_id)):
                    return
                started_count += 1
        finally:
            self._in_flight.difference_update(claim.recipient_id for claim in claims[started_count:])

    async def _start_one(self, work: LaneWork, claim: Claim, site: Site | Answer, composed: Ready | None) -> bool:
        """Start one attempt; False: it does not start, because we stop, the lane is lost, or it must wait."""
        if (hold := self._holds.find_session(claim.message_id)) is not None:
            return self._park(work, claim, hold)
        await work.places.acquire()
        if claim.suppressed_for:
            site = Answer(Phase.ROUTE, None, Cause.SUPPRESSED)
        elif claim.expires_at <= self._clock.now():
            site = Answer(Phase.ROUTE, None, Cause.EXPIRED)
        entered: Entry | Pause | None = None if isinstance(site, Answer) else self._held(work)
        if entered is None and isinstance(site, Site) and composed is not None:
            entered = await self._gates.enter(work.lane, site, self._places)
        if isinstance(entered, Pause):
            if not self._stopping:  # Then it was refused because we stop.
                work.pause = entered
            work.places.release()
            return False
        if entered is None:
            await self._places.acquire(work.lane.stream, work.lane.project_id)
        if self._stopping or not self._keeper.is_held(work.lane.lane_id):
            work.places.release()
            self._places.release(work.lane.stream)
            if entered is not None:
                self._connections.drop(entered.reservation)
            return False
        work.begin(
            self._attempt(work, claim, site if isinstance(site, Answer) else entered, composed),
            lambda: self._ended(work.lane, entered),
        )
        return True

    def _ended(self, lane: Lane, entry: Entry | None) -> None:
        """Give back what an attempt had, even if it was cancelled before it began."""
        self._places.release(lane.stream)
        if entry is not None:
            self._connections.drop(entry.reservation)

    def _park(self, work: LaneWork, claim: Claim, hold: Hold) -> bool:
        """Let the lane read past mail of a session in a hold. False: it has had too much of it, and must wait.

        The mail is being moved to `held`, row by row. It stays `busy` while it is parked, and is not claimed again.
        """
        self._holds.note_left(claim.project_id, claim.message_id)
        if sum(map(len, work.parked.values())) >= _PARKED_COUNT_MAX:
            work.pause = self._until_moved(hold)
            return False
        work.parked.setdefault(claim.message_id, []).append(claim.recipient_id)
        return True

    def _unpark(self, work: LaneWork) -> None:
        """Let mail be claimed again whose session is in no hold any more."""
        for message_id in [one for one in work.parked if self._holds.find_session(one) is None]:
            self._in_flight.difference_update(work.parked.pop(message_id))

    def _until_moved(self, hold: Hold) -> Pause:
        until = self._clock.now() + timedelta(seconds=_PARKED_PAUSE_S)
        return Pause(until, WaitKind.HOLD, f"behind mail that is {sentences.of_hold(hold)}")

    def _held(self, work: LaneWork) -> Pause | None:
        """Return the pause of an operator's hold on this lane's mail, None if there is none."""
        lane = work.lane
        hold = self._holds.find(lane_id=lane.lane_id, provider=work.provider, project_id=lane.project_id)
        if hold is None:
            return None
        return Pause(_FOREVER, WaitKind.HOLD, sentences.of_hold(hold), hold.hold_id)

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

    async def _compose(self, message_ids: Sequence[UUID]) -> dict[UUID, Ready]:
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

    # An attempt.

    async def _attempt(self, work: LaneWork, claim: Claim, way: Entry | Answer | None, composed: Ready | None) -> None:
        """Try one recipient once and record what became of it. `way` an answer: there is none, and why."""
        try:
            await self._try_once(work, claim, way, composed)
        finally:
            self._in_flight.discard(claim.recipient_id)

    async def _try_once(self, work: LaneWork, claim: Claim, way: Entry | Answer | None, composed: Ready | None) -> None:
        started_s = self._clock.monotonic_s()
        try:
            attempt = await self._talk(claim, way, composed)
        except Exception as error:
            if _is_about_the_database(error):
                self._logger.warning("attempt_interrupted", recipient_id=str(claim.recipient_id), error=str(error))
                work.is_interrupted = True
                return
            self._logger.exception("attempt_failed", recipient_id=str(claim.recipient_id))
            self._judge.failed(claim)
            attempt = self._unanswered(claim, Answer(Phase.CONNECT, None, Cause.INTERNAL), started_s)
        outcome = self._conclude(work, claim, way, composed, attempt)
        if outcome is not None:
            await self._settler.settle(outcome)

    async def _talk(self, claim: Claim, way: Entry | Answer | None, composed: Ready | None) -> Attempt:
        started_s = self._clock.monotonic_s()
        if isinstance(way, Answer):
            return self._unanswered(claim, way, started_s)
        if composed is None or way is None:
            raise NotFoundError("The message of a queued recipient is gone.", message_id=str(claim.message_id))
        try:
            make = await self._preparer.maker(composed, claim)
        except BaseException:
            self._connections.drop(way.reservation)
            raise
        return await self._connections.deliver(way.reservation, make, (claim.address,))

    def _conclude(
        self, work: LaneWork, claim: Claim, way: Entry | Answer | None, composed: Ready | None, attempt: Attempt
    ) -> Outcome | None:
        """Decide what the attempt means. None: we cut it off ourselves before the dot; there is nothing to record."""
        (answer,) = attempt.answers.values()
        if self._stopping and answer.cause is Cause.RESET and not answer.is_ambiguous:
            return None
        now = self._clock.now()
        entry = way if isinstance(way, Entry) else None
        accepted_at = composed.message.accepted_at if composed else None
        provider = entry.place.provider if entry else None
        judged = self._judge.verdict(claim, answer, provider=provider, accepted_at=accepted_at)
        if entry is not None:
            self._gates.answered(entry, answer, attempt, judged)
        verdict, status, retry_at = judged.verdict, RecipientStatus.SUPPRESSED, None
        if claim.suppressed_for:
            verdict = Verdict(Fate.BOUNCED, claim.suppressed_for)
        else:
            status, retry_at = self._judge.next(claim, verdict, now)
        taken_over_at = work.lane.taken_over_at
        return Outcome(
            claim=claim,
            project_id=claim.project_id,
            status=status,
            verdict=verdict,
            answer=answer,
            attempt=attempt,
            ended_at=now,
            accepted_at=accepted_at,
            stream=work.lane.stream,
            sender_domain=work.lane.sender_domain,
            campaign=work.lane.campaign,
            source=entry.source if entry else "",
            provider=_counted_as(entry),
            retry_at=retry_at,
            is_taken_over=taken_over_at is not None and claim.due_at <= taken_over_at,
        )

    def _unanswered(self, claim: Claim, answer: Answer, started_s: float) -> Attempt:
        """An attempt that ended before anybody was asked."""
        return Attempt(answers={claim.address: answer}, duration_s=self._clock.monotonic_s() - started_s)


def _counted_as(entry: Entry | None) -> str:
    """Return whose figures the attempt counts in; "" for none: nobody was asked, or only the simulator."""
    if entry is None or entry.place.is_simulated:
        return ""
    return entry.place.provider or DEFAULT


def _is_about_the_database(error: Exception) -> bool:
    """Whether it says nothing about the message: the database is away, and what waits in it may go on waiting."""
    return isinstance(error, StoreError | BusyError) and not isinstance(error, StoreCorruptError)
