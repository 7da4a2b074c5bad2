"""Between a lane and the network: which source carries the next mail, whether it may now, and if not, why and how long.

    enter(lane, site)  Entry: a source, its tokens taken, a connection reserved. Make the attempt, then call `answered`.
                       Pause: give the lane back with it. Nobody looks at it before `until`; `outrider why` reads it.

A gate is one (source, key): the key is the provider, or for domains of no provider we know the site. Its limits are
data (`policy.shaping`), its state lives in the node's ledger (`net.ledger`), what happens to it is `policy.throttle`.
Here they meet: the members of the lane's pool are asked in the order of `policy.route`; a member that is resting or
out of tokens leaves it to the next; overflow members only carry what a warm-up ceiling keeps, fail-over members only
what nobody else may carry.

Waiting: a short wait (a connection that is about to come free, a token in a moment) is spent in the gate's line, in
the order of turns (`engine.turns`). A longer one, or a line that is long already, gives the lane back with a pause, so
memory and leases follow what is being sent, not what waits. A lane sent away gets the instant at which its turn
probably comes, so ten thousand lanes of one slow provider cost ten thousand looks a round, not a round a second.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from random import Random
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, Phase, Stream, WaitKind
from outrider.engine.slots import BELOW, NodeSlots, gate_key, pool_name, slot_key
from outrider.engine.turns import Line
from outrider.net.ledger import Ledger
from outrider.net.pool import Attempt, Bounds, ConnectionPool, Reservation
from outrider.net.site import Site, Way
from outrider.obs.log import Logger
from outrider.policy import classify, throttle
from outrider.policy.classify import Verdict
from outrider.policy.reason import Reason
from outrider.policy.route import Egress, Source
from outrider.policy.settings import Encryption, Use
from outrider.policy.shaping import Act, Limits, Place, Rate, Reaction, Shaping
from outrider.policy.throttle import Blocked, Ceiling
from outrider.store.lanes import Lane, Pause
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

_PATIENCE_S: Final = 1.0  # Ours: how long a lane may wait in a line; then others have its lease.
_LINE_COUNT_MAX: Final = 32  # Ours: lanes that wait for one gate; more are given a number and sent away.
_POLL_S: Final = 0.1  # Ours: a slot that another process gives back is not announced to us.
_SHORT_S: Final = 0.5  # Ours: a wait up to this is cheaper spent here than by giving the lane back.
_PAUSE_S_MIN: Final = 0.25
_PAUSE_S_MAX: Final = {
    Stream.TRANSACTIONAL: 2.0,
    Stream.MARKETING: 60.0,
}  # By when a lane looks again.
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
_RESTING: Final = frozenset({WaitKind.PAUSE, WaitKind.REST})
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


class _Queue(msgspec.Struct):
    """What this process knows of those who wait at one key."""

    line: Line
    tail_s: float = 0.0  # When the last lane that was sent away has its turn; monotonic.
    spacing_s: float = _SPACING_S  # Between two lanes' turns, as lately seen.
    turn_at_s: float = 0.0
    is_paced: bool = False  # Its last refusal was about a rate: the next in line waits for time, not for a connection.


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
        self._connections: Final = connections
        self._slots: Final = slots
        self._exits: Final = exits
        self._ceilings: Final = ceilings
        self._rates: Final = rates
        self._clock: Final = clock
        self._random: Final = random
        self._logger: Final = logger
        self._queues: Final[dict[str, _Queue]] = {}
        self._places: Final[dict[str, Place]] = {}  # By the site's name, which is made of its hosts.
        self._reaches: Final[dict[str, _Reach]] = {}
        self._seen: Final[dict[tuple[str, str, str], _Seen]] = {}
        connections.on_free = self._on_free

    def place(self, site: Site) -> Place:
        """Say by whose limits mail to `site` is counted."""
        place = self._places.get(site.name)
        if place is None:
            if site.provider:  # Not found by MX patterns: a smart host, or the mailbox of catch mode.
                place = Place(site.provider, f"{site.provider} {site.name}")
            else:
                place = self._shaping.place([host.name for host in site.hosts], site.name)
            if len(self._places) >= _SEEN_COUNT_MAX:
                self._places.clear()
            self._places[site.name] = place
        return place

    def is_wanted(self, place: Place) -> bool:
        """Whether other lanes wait in this process for what a lane at `place` uses."""
        queue = self._queues.get(place.key)
        return queue is not None and (len(queue.line) > 0 or queue.tail_s > self._clock.monotonic_s())

    async def enter(self, lane: Lane, site: Site) -> Entry | Pause:
        """Return leave to send one mail of `lane` to `site`, or why and how long not.

        Safe: cancellable; concurrent.
        """
        place = self.place(site)
        queue = self._queue(place.key)
        if (away := self._away(place.key)) is not None:
            return self._pause(lane, place, queue, away)
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        is_again = False
        blocked: Blocked | None = None
        while True:
            if is_again or not queue.line.has_before(lane.stream):
                entered = await self._try(lane, site, place)
                if isinstance(entered, Entry):
                    self._note_turn(queue)
                    return entered
                blocked = entered
                queue.is_paced = blocked.kind in _ABOUT_RATE
                if not _is_short(blocked, self._now_s()):
                    return self._pause(lane, place, queue, blocked)
            if self._clock.monotonic_s() >= until_s or len(queue.line) >= _LINE_COUNT_MAX:
                return self._pause(lane, place, queue, blocked)
            await self._wait(queue, lane, blocked, is_again=is_again)
            is_again = True

    def reached(self, place: Place, answer: Answer) -> None:
        """Note whether we got through. After a few failures in a row the lanes of `place` wait, longer each time.

        Otherwise a million mails to a dead server would each cost a connection, a time-out and an attempt.
        """
        if answer.phase not in _BEFORE_MAIL:
            self._reaches.pop(place.key, None)
            return
        reach = self._reaches.setdefault(place.key, _Reach())
        reach.failure_count += 1
        if reach.failure_count < _FAILURES_MAX or reach.until_s > self._clock.monotonic_s():
            return
        pause_s = min(_AWAY_S * 2.0**reach.round_count, _AWAY_S_MAX)
        reach.until_s = self._clock.monotonic_s() + pause_s
        reach.round_count += 1
        what = f"{answer.reply.code} at {answer.phase}" if answer.reply else f"{answer.cause} at {answer.phase}"
        reach.sentence = f"{reach.failure_count} connections in a row came to nothing ({what})"
        if len(self._reaches) > _SEEN_COUNT_MAX:
            self._reaches.clear()

    def _away(self, key: str) -> Blocked | None:
        reach = self._reaches.get(key)
        wait_s = reach.until_s - self._clock.monotonic_s() if reach is not None else 0.0
        if reach is None or wait_s <= 0:
            return None
        return Blocked(self._now_s() + wait_s, WaitKind.AWAY, "", reach.sentence)

    def answered(self, entry: Entry, answer: Answer, attempt: Attempt, verdict: Verdict) -> Verdict:
        """Learn from what a peer said; return the verdict, milder where a reply rule says that it is temporary."""
        now_s = self._now_s()
        source, place = entry.source, entry.place
        is_throttled = verdict.reason in _THROTTLED
        is_delivered = verdict.fate is Fate.DELIVERED
        started_at_s = now_s - attempt.duration_s
        self._ledger.update(
            gate_key(source, place.key),
            lambda gate: throttle.answer(
                gate,
                now_s,
                started_at_s=started_at_s,
                is_throttled=is_throttled,
                is_delivered=is_delivered,
                rule=verdict.rule,
            ),
        )
        if is_delivered or answer.reply is None:
            return verdict
        for reaction in self._shaping.react(place.provider, classify.line_of(answer.reply), verdict.reason):
            self._react(entry, reaction, now_s)
            if reaction.is_temporary and verdict.fate is Fate.BOUNCED:
                verdict = Verdict(Fate.DEFERRED, verdict.reason, reaction.rule)
        return verdict

    def _react(self, entry: Entry, reaction: Reaction, now_s: float) -> None:
        whose = entry.source if reaction.act is not Act.PAUSE else pool_name(entry.pool)
        key = gate_key(whose, entry.place.key)
        if not self._ledger.update(key, lambda gate: throttle.react(gate, reaction, now_s)):
            return
        self._logger.warning(
            "gate_reacted",
            rule=reaction.rule,
            act=reaction.act,
            source=whose,
            key=entry.place.key,
            for_s=reaction.for_s,
        )
        if reaction.act is Act.RECONNECT:
            self._connections.close_idle(entry.source, entry.place.key)

    async def _try(self, lane: Lane, site: Site, place: Place) -> Entry | Blocked:
        """Ask the pool's members in turn; return the first that may, or the refusal that ends first."""
        if blocked := await self._domain_blocked(lane):
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
                return await self._take_domain_token(lane, tried)
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
        seen = self._look(lane.pool, source.name, place, limits, now_s)
        if seen.stopped is not None and seen.stopped.until_s > now_s:
            return seen.stopped
        bounds = Bounds(slot_key(place, site, limits), seen.messages_per_connection, _TLS[limits.tls])
        self._slots.expect(source.name, bounds.key, limits)
        reservation = self._connections.reserve(site, Way(source.name, source.address, source.ehlo_name), bounds)
        if reservation is None:
            sentence = f"{limits.connections} of {limits.connections} connections in use from {source.name}"
            return Blocked(now_s, WaitKind.CONNECTIONS, "", sentence)
        key = gate_key(source.name, place.key)
        blocked = self._ledger.update(key, lambda gate: throttle.admit(gate, limits, now_s))
        blocked = blocked or self._warmup_blocked(source, place, now_s)
        if blocked is not None:
            self._connections.drop(reservation)
            return blocked
        return Entry(reservation, source.name, lane.pool, place)

    def _warmup_blocked(self, source: Source, place: Place, now_s: float) -> Blocked | None:
        """Count the mail against the day's ceiling. Domains of no provider we know share one."""
        provider = place.provider or OTHERS
        ceiling = self._ceilings.ceiling(source.name, provider)
        if ceiling is None:
            return None
        key = gate_key(source.name, f"warm-up {provider}")
        return self._ledger.update(key, lambda gate: throttle.admit(gate, _UNLIMITED, now_s, ceiling=ceiling))

    def _look(self, pool: str, source: str, place: Place, limits: Limits, now_s: float) -> _Seen:
        """Return what stops the source at this place, or the whole pool, and what caps it, as of a moment ago."""
        key = (pool, source, place.key)
        seen = self._seen.get(key)
        if seen is not None and 0 <= now_s - seen.at_s < _SEEN_S:
            return seen
        gates = [self._ledger.read(gate_key(whose, place.key)) for whose in (pool_name(pool), source)]
        stops = [stop for gate in gates if gate is not None and (stop := throttle.stopped(gate, now_s)) is not None]
        own = gates[1]
        messages = throttle.messages_per_connection(own, limits, now_s) if own else limits.messages_per_connection
        if len(self._seen) >= _SEEN_COUNT_MAX:
            self._seen.clear()
        longest = max(stops, key=lambda stop: stop.until_s, default=None)
        self._seen[key] = seen = _Seen(now_s, longest, messages)
        return seen

    # The sending domain's own rate.

    async def _domain_limits(self, lane: Lane) -> Limits | None:
        per_minute = await self._rates.rate_of(lane.project_id, lane.sender_domain)
        return None if per_minute is None else Limits(rates=(Rate(per_minute, 60.0),))

    async def _domain_blocked(self, lane: Lane) -> Blocked | None:
        """Return why the sending domain may not send now. A look, no more: its token is taken last."""
        limits = await self._domain_limits(lane)
        gate = self._ledger.read(_domain_key(lane)) if limits else None
        if limits is None or gate is None:
            return None
        return _of_domain(lane, throttle.admit(gate, limits, self._now_s()))

    async def _take_domain_token(self, lane: Lane, entry: Entry) -> Entry | Blocked:
        limits = await self._domain_limits(lane)
        if limits is None:
            return entry
        now_s = self._now_s()
        blocked = self._ledger.update(_domain_key(lane), lambda gate: throttle.admit(gate, limits, now_s))
        if blocked is None:
            return entry
        self._connections.drop(entry.reservation)
        return _of_domain(lane, blocked) or blocked

    # Waiting.

    async def _wait(self, queue: _Queue, lane: Lane, blocked: Blocked | None, *, is_again: bool) -> None:
        """Wait for our turn in the line, or for a look of our own."""
        wait_s = _POLL_S
        if blocked is not None and blocked.kind in _ABOUT_RATE:
            wait_s = max(0.001, min(blocked.until_s - self._now_s(), _SHORT_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await queue.line.wait(lane.stream, lane.project_id, is_again=is_again)

    def _note_turn(self, queue: _Queue) -> None:
        now_s = self._clock.monotonic_s()
        if queue.turn_at_s:
            seen_s = min(now_s - queue.turn_at_s, _SPACING_S_MAX)
            queue.spacing_s += (seen_s - queue.spacing_s) * _SPACING_WEIGHT
        queue.turn_at_s = now_s
        if queue.is_paced:
            queue.line.next()

    def _pause(self, lane: Lane, place: Place, queue: _Queue, blocked: Blocked | None) -> Pause:
        """Send a lane away: until its refusal ends, and until its turn among those sent away comes."""
        now_s, mono_s = self._now_s(), self._clock.monotonic_s()
        if blocked is None:
            blocked = Blocked(now_s, WaitKind.TURN, "", "others are before it")
        longest_s = _PAUSE_S_MAX[lane.stream]
        queue.tail_s = min(max(queue.tail_s, mono_s) + queue.spacing_s, mono_s + longest_s)
        turn_s = now_s + max(_PAUSE_S_MIN, queue.tail_s - mono_s)
        until = datetime.fromtimestamp(max(blocked.until_s, turn_s), UTC)
        return Pause(until, blocked.kind, f"{place.provider or place.key}: {blocked.sentence}")

    def _queue(self, key: str) -> _Queue:
        if (queue := self._queues.get(key)) is not None:
            return queue
        if len(self._queues) >= _QUEUES_KNOWN_MAX:
            for known in [known for known, queue in self._queues.items() if not len(queue.line)]:
                del self._queues[known]
        return self._queues.setdefault(key, _Queue(Line()))

    def _on_free(self, _source: str, key: str) -> None:
        queue = self._queues.get(key.partition(BELOW)[0])
        if queue is not None:
            queue.line.next()

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


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
