"""Between a lane and the network: which source carries the next mail, whether it may now, and if not, why and how long.

    enter(lane, site, places)  Entry: a source, its tokens taken, a connection reserved, one of the process's places.
                               Make the attempt, then call `answered` and `reached`.
                               Pause: give the lane back with it. Nobody looks at it before `until`; `why` reads it.

A gate is one (source, key): the key is the provider, or for domains of no provider we know the site. Its limits are
data (`policy.shaping`), its state lives in the node's ledger (`net.ledger`), what happens to it is `policy.throttle`.
Here they meet: the members of the lane's pool are asked in the order of `policy.route`; a member that is resting or
out of tokens leaves it to the next; overflow members only carry what a warm-up ceiling keeps, fail-over members only
what nobody else may carry.

Waiting: a short wait (a connection that is about to come free, a token in a moment) is spent in the gate's line, in
the order of turns (`engine.turns`). A longer one, or a line that is long already, gives the lane back with a pause, so
memory and leases follow what is being sent, not what waits. A lane sent away gets the instant at which its turn
probably comes, so ten thousand lanes of one slow provider cost ten thousand looks a round, not a round a second.

A turn comes from a connection that came free, from the one before if he was lucky, or from a clock that ticks while
anybody waits: what another process gives back nobody tells us. Only the first in the line looks; the others wait.
A place is taken before a connection, never the other way round: a campaign that waits for places must not keep the
connections that transactional mail could use.
"""

import asyncio
from datetime import UTC, datetime
from random import Random
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, Phase, Stream, WaitKind
from outrider.engine.slots import BELOW, NodeSlots, gate_key, pool_name, slot_key
from outrider.engine.tally import Tally
from outrider.engine.turns import Absence, Line, Places
from outrider.net.ledger import Ledger
from outrider.net.pool import Attempt, Bounds, ConnectionPool, Reservation
from outrider.net.site import Site, Way
from outrider.obs.log import Logger
from outrider.policy import adapt, classify, throttle
from outrider.policy.classify import Verdict
from outrider.policy.gate import Gate
from outrider.policy.reason import Reason
from outrider.policy.route import Egress, Source
from outrider.policy.settings import Encryption, Use
from outrider.policy.shaping import Act, Limits, Place, Rate, Reaction, Shaping
from outrider.policy.throttle import Blocked, Ceiling
from outrider.store.lanes import Lane, Pause
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

_PATIENCE_S: Final = 1.0  # Ours: how long a lane may wait in a line; then others have its lease.
_LINE_COUNT_MAX: Final = 32  # Ours: lanes of a stream in one line, shared by its projects; more are sent away.
_POLL_S: Final = 0.05  # Ours: a slot that another process gives back is not announced to us.
_SHORT_S: Final = 0.5  # Ours: a wait up to this is cheaper spent here than by giving the lane back.
_PAUSE_S_MIN: Final = 0.25
_PAUSE_S_MAX: Final = {Stream.TRANSACTIONAL: 2.0, Stream.MARKETING: 60.0}  # By when a lane looks again.
_SPACING_S: Final = 0.05  # Ours: between two lanes' turns at a gate, until we have seen some.
_SPACING_S_MAX: Final = 5.0
_SEEN_S: Final = 0.25  # Ours: how old what we know of a pool's pause may be; below the second promised for a hold.
_SPACING_WEIGHT: Final = 0.1
_SEEN_COUNT_MAX: Final = 10_000
OTHERS: Final = "default"  # What domains of no provider we know are called where they are counted together.
_UNLIMITED: Final = Limits(rates=())
_FAILURES_MAX: Final = 5  # KumoMTA: "delay after 5 failed connections" (shared/providers.md 1.3).
_AWAY_S: Final = 60.0  # Ours: as `policy.retry`, doubling.
_AWAY_S_MAX: Final = 900.0  # Ours: a server that comes back should not wait for long.
_QUEUES_KNOWN_MAX: Final = 10_000
_BEFORE_MAIL: Final = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})
_ABOUT_RATE: Final = frozenset({WaitKind.RATE, WaitKind.THROTTLE})
_IN_TURN: Final = _ABOUT_RATE | {WaitKind.CONNECTIONS, WaitKind.TURN}
_BACK_S: Final = 1.5  # Ours: within this a lane is back after its pause; a process polls every second.
_RESTING: Final = frozenset({WaitKind.PAUSE, WaitKind.REST, WaitKind.AWAY})
_THROTTLED: Final = frozenset({Reason.RATE_PROVIDER})
_TLS: Final = {
    Encryption.OPPORTUNISTIC: None,
    Encryption.REQUIRED: TlsMode.REQUIRED,
    Encryption.REQUIRED_UNVERIFIED: TlsMode.REQUIRED_UNVERIFIED,
}


class Ceilings(Protocol):
    """The warm-up of this node's sources (`engine.warmup`)."""

    def ceiling(self, source: str, provider: str) -> Ceiling | None:
        """Return how much may go today, None if there is no ceiling."""


class DomainRates(Protocol):
    """How fast a sending domain may send (`services.identity`)."""

    async def rate_of(self, project_id: UUID, domain: str) -> int | None:
        """Return mails a minute, None if it has no rate of its own."""


class Exits(Protocol):
    """Where a source hands its mail: to the recipient's site, or to its own smart host (`app`)."""

    async def of(self, source: Source, site: Site) -> Site | Answer:
        """Return the site that `source` talks to for mail to `site`."""


class Entry(msgspec.Struct, frozen=True):
    """Leave to make one attempt."""

    reservation: Reservation
    source: str
    pool: str
    place: Place
    is_counted: bool  # At the gate, one by one; else in the tally.


class _Reach(msgspec.Struct):
    """How it goes to get through to those behind one key."""

    failure_count: int = 0  # Connections in a row that came to nothing.
    round_count: int = 0  # Pauses in a row for that.
    until_s: float = 0.0
    sentence: str = ""


class _Seen(msgspec.Struct, frozen=True):
    """What we know of a gate without asking again for a moment."""

    at_s: float
    stopped: Blocked | None  # A pause or a rest, of the source or of its whole pool.
    messages_per_connection: int
    is_counting: bool  # Each mail counts: it has rates, a cap, or replies have slowed it down.


class _Queue(msgspec.Struct):
    """What this process knows of the lanes of one pool that wait at one key, or of one sending domain's."""

    line: Line
    tail_s: float = 0.0  # When the last lane that was sent away has its turn; monotonic.
    spacing_s: float = _SPACING_S  # Between two lanes' turns, as lately seen.
    turn_at_s: float = 0.0
    is_generous: bool = False  # Whoever is lucky gives the turn on: it came with time, and may be worth more than one.
    tick: asyncio.TimerHandle | None = None  # Gives the next turn if nothing else does.
    absence: Absence = msgspec.field(default_factory=Absence)


class Gates:
    """All gates, as one deliver process uses them."""

    def __init__(
        self,
        egress: Egress,
        shaping: Shaping,
        ledger: Ledger,
        connections: ConnectionPool,
        slots: NodeSlots,
        *,
        exits: Exits,
        ceilings: Ceilings,
        rates: DomainRates,
        clock: Clock,
        random: Random,
        logger: Logger,
    ) -> None:
        self._egress: Final = egress
        self._shaping: Final = shaping
        self._ledger: Final = ledger
        self._tally: Final = Tally(ledger)
        self._connections: Final = connections
        self._slots: Final = slots
        self._exits: Final = exits
        self._ceilings: Final = ceilings
        self._rates: Final = rates
        self._clock: Final = clock
        self._random: Final = random
        self._logger: Final = logger
        self._queues: Final[dict[tuple[str, str], _Queue]] = {}  # By pool and key.
        self._askers: Final[dict[tuple[str, str], dict[tuple[str, str], None]]] = {}  # Lines that found a gate full.
        self._places: Final[dict[str, Place]] = {}  # By the site's name, which is made of its hosts.
        self._reaches: Final[dict[tuple[str, str], _Reach]] = {}  # By source and key.
        self._seen: Final[dict[tuple[str, str, str], _Seen]] = {}
        connections.on_free = self._on_free

    def place(self, site: Site) -> Place:
        """Say by whose limits mail to `site` is counted."""
        place = self._places.get(site.name)
        if place is None:
            if site.provider:  # Not found by MX patterns: a smart host, catch mode's mailbox, the simulator.
                place = Place(site.provider, f"{site.provider} {site.name}", site.is_simulated)
            else:
                place = self._shaping.place([host.name for host in site.hosts], site.name)
            if len(self._places) >= _SEEN_COUNT_MAX:
                self._places.clear()
            self._places[site.name] = place
        return place

    def is_wanted(self, pool: str, site: Site) -> bool:
        """Whether other lanes wait in this process for what a lane of `pool` uses at `site`."""
        queue = self._queues.get((pool, self._line_key(pool, site)))
        return queue is not None and (len(queue.line) > 0 or queue.tail_s > self._clock.monotonic_s())

    async def enter(self, lane: Lane, site: Site, places: Places) -> Entry | Pause:
        """Return leave to send one mail of `lane` to `site`, or why and how long not.

        With an entry comes one of `places`, to be released when the attempt is over.

        Safe: cancellable; concurrent.
        """
        place = self.place(site)
        queue = self._queue(lane.pool, self._line_key(lane.pool, site))
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        has_turn = not queue.line.count_before(lane.stream)
        is_again = False
        blocked: Blocked | None = None
        queue.absence.came_back(lane.stream, lane.project_id, lane.lane_id)
        while True:
            if has_turn:
                if queue.absence.is_before(lane.stream, lane.project_id, now_s=self._clock.monotonic_s()):
                    if is_again:
                        queue.line.next()
                    return self._pause(lane, place, queue, None)
                entered = await self._try_in_place(lane, site, place, places)
                if isinstance(entered, Entry):
                    queue.absence.let_in(lane.stream, lane.project_id)
                    self._note_turn(queue)
                    return entered
                blocked = entered
                queue.is_generous = blocked.kind in _ABOUT_RATE
                if not _is_short(blocked, self._now_s()):
                    if is_again:
                        queue.line.next()  # The turn was of no use to this lane; it may be to another.
                    return self._pause(lane, place, queue, blocked)
            left_s = until_s - self._clock.monotonic_s()
            is_full = not is_again and queue.line.is_full_for(lane.stream, lane.project_id, _LINE_COUNT_MAX)
            if left_s <= 0 or is_full or (is_again and not has_turn):
                return self._pause(lane, place, queue, blocked)
            has_turn = await self._wait(queue, lane, blocked, left_s, is_again=is_again)
            is_again = True

    def reached(self, entry: Entry, answer: Answer) -> None:
        """Note whether we got through. After a few failures in a row the source rests there, longer each time.

        Otherwise a million mails to a dead server would each cost a connection, a time-out and an attempt.
        """
        key = (entry.source, entry.place.key)
        if answer.phase not in _BEFORE_MAIL:
            self._reaches.pop(key, None)
            return
        if len(self._reaches) >= _SEEN_COUNT_MAX and key not in self._reaches:
            self._reaches.clear()
        reach = self._reaches.setdefault(key, _Reach())
        reach.failure_count += 1
        if reach.failure_count < _FAILURES_MAX or reach.until_s > self._clock.monotonic_s():
            return
        pause_s = min(_AWAY_S * 2.0**reach.round_count, _AWAY_S_MAX)
        reach.until_s = self._clock.monotonic_s() + pause_s
        reach.round_count += 1
        what = f"{answer.reply.code} at {answer.phase}" if answer.reply else f"{answer.cause} at {answer.phase}"
        reach.sentence = f"{reach.failure_count} connections in a row from {entry.source} came to nothing ({what})"

    def _away(self, source: str, key: str) -> Blocked | None:
        reach = self._reaches.get((source, key))
        wait_s = reach.until_s - self._clock.monotonic_s() if reach is not None else 0.0
        if reach is None or wait_s <= 0:
            return None
        return Blocked(self._now_s() + wait_s, WaitKind.AWAY, "", reach.sentence)

    def answered(self, entry: Entry, answer: Answer, attempt: Attempt, verdict: Verdict) -> Verdict:
        """Learn from what a peer said; return the verdict, milder where a reply rule says that it is temporary."""
        now_s = self._now_s()
        source, place = entry.source, entry.place
        is_delivered = verdict.fate is Fate.DELIVERED
        reactions: tuple[Reaction, ...] = ()
        if not is_delivered and answer.reply is not None:
            reactions = self._shaping.react(place.provider, classify.line_of(answer.reply), verdict.reason)
        is_throttled = verdict.reason in _THROTTLED or any(one.act is Act.SLOW for one in reactions)
        if is_throttled or (is_delivered and entry.is_counted):
            lesson = self._learn(entry, attempt, now_s, is_throttled=is_throttled, is_delivered=is_delivered)
            if lesson and not any(one.act is Act.REST for one in reactions):  # A rest is about this address alone.
                of_pool = gate_key(pool_name(entry.pool), place.key)
                self._ledger.update(of_pool, lambda gate: adapt.keep(gate, lesson, now_s))
        elif is_delivered:
            self._tally.delivered(gate_key(source, place.key), now_s)
        for reaction in reactions:
            self._react(entry, reaction, now_s)
            if reaction.is_temporary and verdict.fate is Fate.BOUNCED:
                verdict = Verdict(Fate.DEFERRED, verdict.reason, reaction.rule)
        return verdict

    def _learn(self, entry: Entry, attempt: Attempt, now_s: float, *, is_throttled: bool, is_delivered: bool) -> float:
        """Let the source's gate learn from a reply; return what a new source of the pool may start from, 0: nothing."""
        started_at_s = now_s - attempt.duration_s

        def change(gate: Gate) -> float:
            throttle.answer(
                gate, now_s, started_at_s=started_at_s, is_throttled=is_throttled, is_delivered=is_delivered
            )
            return adapt.lesson(gate, now_s)

        if not entry.is_counted:  # It is, from now on.
            self._seen.pop((entry.pool, entry.source, entry.place.key), None)
        return self._tally.update(gate_key(entry.source, entry.place.key), now_s, change)

    def _react(self, entry: Entry, reaction: Reaction, now_s: float) -> None:
        is_of_pool = reaction.act is Act.PAUSE
        whose = pool_name(entry.pool) if is_of_pool else entry.source
        whose_key = gate_key(whose, entry.place.key)
        is_begun = self._tally.update(whose_key, now_s, lambda gate: throttle.react(gate, reaction, now_s))
        if is_begun and is_of_pool:
            own_key = gate_key(entry.source, entry.place.key)
            self._tally.update(own_key, now_s, lambda gate: adapt.halve(gate, now_s))
        if not is_begun and reaction.act is not Act.RECONNECT:
            return
        for seen in [seen for seen in self._seen if seen[2] == entry.place.key]:
            del self._seen[seen]  # This process goes by it at once.
        self._logger.warning(
            "gate_reacted",
            rule=reaction.rule,
            act=reaction.act,
            source=whose,
            key=entry.place.key,
            for_s=reaction.for_s,
        )
        if reaction.act is Act.RECONNECT:
            self._connections.close_idle(entry.source, entry.reservation.bounds.key)

    async def _try_in_place(self, lane: Lane, site: Site, place: Place, places: Places) -> Entry | Blocked:
        """Try with a place in hand; give it back if the lane may not."""
        await places.acquire(lane.stream, lane.project_id)
        entered: Entry | Blocked | None = None
        try:
            entered = await self._try(lane, site, place)
        finally:
            if not isinstance(entered, Entry):
                places.release(lane.stream)
        return entered

    async def _try(self, lane: Lane, site: Site, place: Place) -> Entry | Blocked:
        """Ask the pool's members in turn; return the first that may, or the refusal that ends first."""
        domain_limits = await self._domain_limits(lane)
        if domain_limits is not None and (blocked := self._domain_blocked(lane, domain_limits)) is not None:
            return blocked
        refusals: list[Blocked] = []
        for member in self._egress.order(lane.pool, place.provider, self._random.random()):
            source = member.source
            if member.use is Use.OVERFLOW and not any(r.kind is WaitKind.WARMUP for r in refusals):
                continue
            if member.use is Use.FAILOVER and not all(r.kind in _RESTING for r in refusals):
                continue
            exit_site = await self._exits.of(source, site)
            if isinstance(exit_site, Answer):
                continue
            tried = self._try_source(lane, source, exit_site, self.place(exit_site))
            if isinstance(tried, Entry):
                return tried if domain_limits is None else self._take_domain_token(lane, domain_limits, tried)
            if tried.kind is WaitKind.CONNECTIONS:
                asker = (lane.pool, self._line_key(lane.pool, site))
                self._ask((source.name, self._slots.refused_key), asker)
            refusals.append(tried)
        if not refusals:
            now_s = self._now_s()
            return Blocked(
                now_s + _PAUSE_S_MAX[Stream.MARKETING], WaitKind.REST, "", "no source of the pool carries it"
            )
        return min(refusals, key=lambda refusal: refusal.until_s)

    def _try_source(self, lane: Lane, source: Source, site: Site, place: Place) -> Entry | Blocked:
        now_s = self._now_s()
        limits = self._shaping.limits(place.provider, lane.pool)
        blocked = self._away(source.name, place.key)
        seen = self._look(lane.pool, source.name, place, limits, now_s)
        if blocked is None and seen.stopped is not None and seen.stopped.until_s > now_s:
            blocked = seen.stopped
        blocked = blocked or self._foreseen(source, place, limits, now_s, is_counting=seen.is_counting)
        if blocked is not None:
            return blocked
        tls = None if site.is_simulated else _TLS[limits.tls]  # Nobody vouches for the simulator's certificate.
        bounds = Bounds(slot_key(place, site, limits), seen.messages_per_connection, tls)
        self._slots.expect(source.name, bounds.key, limits)
        self._slots.refusal, self._slots.refused_key = None, place.key
        reservation = self._connections.reserve(site, Way(source.name, source.address, source.ehlo_name), bounds)
        if reservation is None:
            return _from(source, self._slots.refusal, now_s)
        key, now_s = gate_key(source.name, place.key), self._now_s()
        if seen.is_counting:
            blocked = self._ledger.update(key, lambda gate: throttle.admit(gate, limits, now_s))
        else:
            self._tally.attempt(key, now_s)
        blocked = blocked or self._warmup_blocked(source, place, now_s)
        if blocked is not None:
            self._connections.drop(reservation)
            return blocked
        return Entry(reservation, source.name, lane.pool, place, is_counted=seen.is_counting)

    def _foreseen(
        self, source: Source, place: Place, limits: Limits, now_s: float, *, is_counting: bool
    ) -> Blocked | None:
        """Return what would refuse the mail, where anything counts mails at all. A look, no more.

        Danger: without it a refused mail has taken a connection before, and gives it back: that wakes the next in the
        line, who is refused alike, and so on as fast as the machine can.
        """
        blocked = None
        if is_counting:
            blocked = self._foresee(gate_key(source.name, place.key), limits, now_s)
        ceiling = self._ceiling(source, place)
        if blocked is None and ceiling is not None:
            blocked = self._foresee(_warmup_key(source, place), _UNLIMITED, now_s, ceiling)
        return blocked

    def _foresee(self, key: str, limits: Limits, now_s: float, ceiling: Ceiling | None = None) -> Blocked | None:
        """Ask a copy of the gate. Only a refusal costs a lock."""
        gate = self._ledger.read(key)
        blocked = None if gate is None else throttle.admit(gate, limits, now_s, ceiling=ceiling)
        if blocked is not None:
            self._ledger.update(key, lambda gate: throttle.mend(gate, limits, now_s, ceiling=ceiling))
        return blocked

    def _warmup_blocked(self, source: Source, place: Place, now_s: float) -> Blocked | None:
        """Count the mail against the day's ceiling. Domains of no provider we know share one."""
        ceiling = self._ceiling(source, place)
        if ceiling is None:
            return None
        key = _warmup_key(source, place)
        return self._ledger.update(key, lambda gate: throttle.admit(gate, _UNLIMITED, now_s, ceiling=ceiling))

    def _ceiling(self, source: Source, place: Place) -> Ceiling | None:
        return None if place.is_simulated else self._ceilings.ceiling(source.name, place.provider or OTHERS)

    def _look(self, pool: str, source: str, place: Place, limits: Limits, now_s: float) -> _Seen:
        """Return what stops the source at this place, or the whole pool, and what caps it, as of a moment ago."""
        key = (pool, source, place.key)
        seen = self._seen.get(key)
        if seen is not None and 0 <= now_s - seen.at_s < _SEEN_S:
            return seen
        own_key = gate_key(source, place.key)
        of_pool = self._ledger.read(gate_key(pool_name(pool), place.key)) or Gate()
        own = self._tally.look(own_key, now_s) or Gate()
        if (known := adapt.recall(of_pool, now_s)) and adapt.is_new(own, now_s):
            own = self._ledger.update(own_key, lambda gate: adapt.start(gate, known, now_s))
        stops = [stop for gate in (of_pool, own) if (stop := throttle.stopped(gate, now_s)) is not None]
        if len(self._seen) >= _SEEN_COUNT_MAX:
            self._seen.clear()
        self._seen[key] = seen = _Seen(
            at_s=now_s,
            stopped=max(stops, key=lambda stop: stop.until_s, default=None),
            messages_per_connection=throttle.messages_per_connection(own, limits, now_s),
            is_counting=bool(limits.rates) or own.rate > 0 or own.cap_until_s > now_s,
        )
        return seen

    # The sending domain's own rate.

    async def _domain_limits(self, lane: Lane) -> Limits | None:
        per_minute = await self._rates.rate_of(lane.project_id, lane.sender_domain)
        return None if per_minute is None else Limits(rates=(Rate(per_minute, 60.0),))

    def _domain_blocked(self, lane: Lane, limits: Limits) -> Blocked | None:
        """Return why the sending domain may not send now. A look, no more: its token is taken last."""
        return _of_domain(lane, self._foresee(_domain_key(lane), limits, self._now_s()))

    def _take_domain_token(self, lane: Lane, limits: Limits, entry: Entry) -> Entry | Blocked:
        now_s = self._now_s()
        blocked = self._ledger.update(_domain_key(lane), lambda gate: throttle.admit(gate, limits, now_s))
        if blocked is None:
            self._note_turn(self._queue("from", _domain_key(lane)))
            return entry
        self._connections.drop(entry.reservation)
        return _of_domain(lane, blocked) or blocked

    # Waiting.

    async def _wait(self, queue: _Queue, lane: Lane, blocked: Blocked | None, left_s: float, *, is_again: bool) -> bool:
        """Wait for our turn in the line; False if it did not come within `left_s`."""
        wait_s = _POLL_S
        if blocked is not None and blocked.kind in _ABOUT_RATE:
            wait_s = max(0.001, min(blocked.until_s - self._now_s(), _SHORT_S))
        self._plan_tick(queue, wait_s)
        try:
            async with asyncio.timeout(left_s):
                await queue.line.wait(lane.stream, lane.project_id, is_again=is_again)
        except TimeoutError:
            return False
        return True

    def _plan_tick(self, queue: _Queue, wait_s: float) -> None:
        """Let the next turn come in `wait_s` at the latest."""
        loop = asyncio.get_running_loop()
        if queue.tick is not None:
            if queue.tick.when() <= loop.time() + wait_s:
                return
            queue.tick.cancel()
        queue.tick = loop.call_later(wait_s, self._on_tick, queue)

    def _on_tick(self, queue: _Queue) -> None:
        queue.tick = None
        queue.is_generous = True
        queue.line.next()
        if len(queue.line):
            self._plan_tick(queue, _POLL_S)

    def _note_turn(self, queue: _Queue) -> None:
        now_s = self._clock.monotonic_s()
        if queue.turn_at_s:
            seen_s = min(now_s - queue.turn_at_s, _SPACING_S_MAX)
            queue.spacing_s += (seen_s - queue.spacing_s) * _SPACING_WEIGHT
        queue.turn_at_s = now_s
        if queue.is_generous:
            queue.line.next()

    def _pause(self, lane: Lane, place: Place, queue: _Queue, blocked: Blocked | None) -> Pause:
        """Send a lane away: until its refusal ends and then its turn among those sent away comes.

        When more are away than have turns within the longest pause, the rest comes back spread over it.
        """
        now_s, mono_s = self._now_s(), self._clock.monotonic_s()
        if blocked is None:
            blocked = Blocked(now_s, WaitKind.TURN, "", "others are before it")
        if blocked.kind is WaitKind.DOMAIN_RATE:
            queue = self._queue("from", _domain_key(lane))
        longest_s = _PAUSE_S_MAX[lane.stream]
        queue.tail_s = max(queue.tail_s, mono_s) + queue.spacing_s
        wait_s = queue.tail_s - mono_s
        if wait_s > longest_s:
            queue.tail_s = mono_s + longest_s
            wait_s = longest_s * (0.5 + self._random.random() / 2)
        until_s = max(now_s + _PAUSE_S_MIN, max(blocked.until_s, now_s) + wait_s)
        if blocked.kind in _IN_TURN:
            back_s = mono_s + until_s - now_s + _BACK_S
            queue.absence.note(lane.stream, lane.project_id, lane.lane_id, back_s, now_s=mono_s)
        return Pause(
            datetime.fromtimestamp(until_s, UTC), blocked.kind, f"{place.provider or place.key}: {blocked.sentence}"
        )

    def _line_key(self, pool: str, site: Site) -> str:
        """Name the line that mail of `pool` to `site` waits in: nobody waits for another site's connections."""
        place = self.place(site)
        return slot_key(place, site, self._shaping.limits(place.provider, pool))

    def _queue(self, pool: str, key: str) -> _Queue:
        if (queue := self._queues.get((pool, key))) is not None:
            return queue
        if len(self._queues) >= _QUEUES_KNOWN_MAX:
            for known in [known for known, queue in self._queues.items() if not len(queue.line)]:
                del self._queues[known]
        return self._queues.setdefault((pool, key), _Queue(Line()))

    def _ask(self, gate: tuple[str, str], asker: tuple[str, str]) -> None:
        """Remember whom to tell when a connection of the gate comes free."""
        if len(self._askers) >= _QUEUES_KNOWN_MAX:
            self._askers.clear()  # They look by themselves, a little later.
        self._askers.setdefault(gate, {})[asker] = None

    def _on_free(self, source: str, key: str) -> None:
        """Give one line the turn: one that waits for that site's connections, else one for its provider's."""
        for gate in dict.fromkeys([(source, key), (source, key.partition(BELOW)[0])]):
            asking = [(asker, queue) for asker in self._askers.pop(gate, {}) if (queue := self._queues.get(asker))]
            waiting = {asker: queue for asker, queue in asking if len(queue.line)}
            if not waiting:
                continue
            # A pool whose transactional mail waits comes first, then who was told longest ago.
            first = next((one for one in waiting if waiting[one].line.count_before(Stream.TRANSACTIONAL)), None)
            first = first or next(iter(waiting))
            self._askers[gate] = dict.fromkeys([*(one for one in waiting if one != first), first])
            waiting[first].line.next()
            return

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _warmup_key(source: Source, place: Place) -> str:
    return gate_key(source.name, f"warm-up {place.provider or OTHERS}")


def _from(source: Source, refusal: Blocked | None, now_s: float) -> Blocked:
    """The refusal of a connection, said of its source. None: it is not the gate that has none."""
    if refusal is None:
        return Blocked(now_s, WaitKind.CONNECTIONS, "", "all connections that this process may have are in use")
    # Nobody knows when one comes free: then there is no instant to wait for.
    until_s = now_s if refusal.until_s <= now_s + throttle.CONNECTION_LOOK_S else refusal.until_s
    return Blocked(until_s, refusal.kind, refusal.rule, f"{refusal.sentence} from {source.name}")


def _domain_key(lane: Lane) -> str:
    return gate_key("from", f"{lane.project_id}/{lane.sender_domain}")


def _of_domain(lane: Lane, blocked: Blocked | None) -> Blocked | None:
    """The same refusal, said of the sending domain."""
    if blocked is None:
        return None
    sentence = f"{lane.sender_domain} may send {blocked.sentence}"
    return Blocked(blocked.until_s, WaitKind.DOMAIN_RATE, "", sentence)


def _is_short(blocked: Blocked, now_s: float) -> bool:
    """Whether to wait here: for a connection, or a token that comes in a moment."""
    if blocked.kind is WaitKind.CONNECTIONS:
        return True
    return blocked.kind in _ABOUT_RATE and blocked.until_s - now_s <= _SHORT_S
