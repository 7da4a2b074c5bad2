"""Between a lane and the network: which source carries the next mail, whether it may now, and if not, why and how long.

    enter(lane, site, places)  Entry: a source, its tokens taken, a connection reserved, one of the process's places.
                               Make the attempt, then call `answered`.
                               Pause: give the lane back with it. Nobody looks at it before `until`; `why` reads it.

A gate is one (source, key): the key is the provider, or for domains of no provider we know the site. Its limits are
data (`policy.shaping`), its state lives in the node's ledger (`net.ledger`), what happens to it is `policy.throttle`.
Here they meet: the members of the lane's pool are asked in the order of `policy.route`; a member that is resting or
out of tokens leaves it to the next; overflow members only carry what a warm-up ceiling keeps, fail-over members only
what nobody else may carry. Before all of them come the sending domain's own rate, its guards (`engine.guard`), and
whether it may send at all (`engine.stops`).

Who may not now waits in a line or is sent away: `engine.lines`.

A place is taken before a connection, never the other way round: a campaign that waits for places must not keep the
connections that transactional mail could use.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Fate, WaitKind
from outrider.engine.heard import reply_text
from outrider.engine.judge import Judgement
from outrider.engine.lines import Lines
from outrider.engine.slots import NodeSlots, domain_key, gate_key, guard_key, pool_name, slot_key, warmup_key
from outrider.engine.tally import Tally
from outrider.engine.turns import Places
from outrider.net.ledger import Ledger
from outrider.net.pool import Attempt, Bounds, ConnectionPool, Reservation
from outrider.net.site import Site, Way
from outrider.obs.log import Logger
from outrider.policy import adapt, reach, throttle
from outrider.policy.gate import SAID_BYTES_MAX, Gate
from outrider.policy.guard import SLOW_PER_MINUTE, GuardLevel
from outrider.policy.reach import Reach
from outrider.policy.reason import Reason
from outrider.policy.route import Egress, Source
from outrider.policy.settings import Encryption, Use
from outrider.policy.shaping import DEFAULT, Act, Limits, Place, Rate, Reaction, Shaping
from outrider.policy.throttle import Blocked, Ceiling
from outrider.store.guards import Guard
from outrider.store.lanes import Lane, Pause
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

_SEEN_S: Final = 0.25  # Ours: how old what we know of a pool's pause may be; below the second promised for a hold.
_KNOWN_COUNT_MAX: Final = 10_000  # Ours: of each memory; some MB. Past it, it starts anew.
_NOBODY_S: Final = 60.0  # Ours: a source whose smart host nobody can find; a pool that no source serves.
_LOOK_S: Final = 300.0  # Ours: the end of a guard or stop is told; who misses that looks by himself.
_UNLIMITED: Final = Limits(rates=())
_SLOW: Final = Limits(rates=(Rate(SLOW_PER_MINUTE, 60.0),))
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


class Guards(Protocol):
    """Which projects, sending domains and campaigns are slowed or paused for the harm they do (`engine.guard`)."""

    def of(self, lane: Lane) -> Sequence[Guard]:
        """Return what keeps this lane's mail back; mostly nothing."""


class Stops(Protocol):
    """Which sending domains nothing may leave from (`engine.stops`)."""

    def reason_of(self, lane: Lane) -> str:
        """Say why this lane's mail may not leave; mostly ""."""


class Exits(Protocol):
    """Where a source hands its mail: to the recipient's site, or to its own smart host (`engine.ways`)."""

    async def of(self, source: Source, site: Site) -> Site | Answer:
        """Return the site that `source` talks to for mail to `site`."""


class Entry(msgspec.Struct, frozen=True):
    """Leave to make one attempt."""

    reservation: Reservation
    source: str
    pool: str
    place: Place
    is_counted: bool  # At the gate, one by one; else in the tally.


class _OwnRate(msgspec.Struct, frozen=True):
    """A rate of the sending domain or its project, whoever receives."""

    key: str
    limits: Limits
    kind: WaitKind
    words: str  # "{} mails": what the sentence about the rate is put into.


class _Seen(msgspec.Struct, frozen=True):
    """What we know of a gate without asking again for a moment."""

    at_s: float
    stopped: Blocked | None  # A pause or a rest, of the source or of its whole pool.
    messages_per_connection: int
    is_counting: bool  # Each mail counts: it has rates, a cap, or replies have slowed it down.


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
        guards: Guards,
        stops: Stops,
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
        self._guards: Final = guards
        self._stops: Final = stops
        self._clock: Final = clock
        self._random: Final = random
        self._logger: Final = logger
        self._lines: Final = Lines(clock=clock, random=random)
        self._places: Final[dict[str, Place]] = {}  # By the site's name, which is made of its hosts.
        self._reaches: Final[dict[tuple[str, str], Reach]] = {}  # By source and key.
        self._seen: Final[dict[tuple[str, str, str], _Seen]] = {}
        connections.on_free = self._lines.on_free

    def place(self, site: Site) -> Place:
        """Say by whose limits mail to `site` is counted."""
        place = self._places.get(site.name)
        if place is None:
            if site.provider:  # Not found by MX patterns: a smart host, catch mode's mailbox, the simulator.
                place = Place(site.provider, f"{site.provider} {site.name}", site.is_simulated)
            else:
                place = self._shaping.place(site.mx_names or [host.name for host in site.hosts], site.name)
            if len(self._places) >= _KNOWN_COUNT_MAX:
                self._places.clear()
            self._places[site.name] = place
        return place

    def is_wanted(self, lane: Lane, site: Site) -> bool:
        """Whether other lanes wait in this process for what this one uses at `site`."""
        return self._lines.is_wanted(lane, self._line_key(lane.pool, self.place(site), site))

    async def enter(self, lane: Lane, site: Site, places: Places) -> Entry | Pause:
        """Return leave to send one mail of `lane` to `site`, or why and how long not.

        With an entry comes one of `places`, to be released when the attempt is over.

        Safe: cancellable; concurrent.
        """
        if (pause := self._stopped(lane) or self._paused_by_guard(lane)) is not None:
            return pause
        place = self.place(site)
        line_key = self._line_key(lane.pool, place, site)
        attempt = partial(self._try_in_place, lane, site, place, line_key, places)
        return await self._lines.enter(lane, line_key, attempt, said_of=place.provider or place.key)

    def still_waits(self, lane: Lane, pause: Pause) -> bool:
        """Whether a pause with which a lane was sent away holds yet, whatever time it is."""
        match pause.kind:
            case WaitKind.GUARD:
                return bool(self._guards.of(lane))
            case WaitKind.DOMAIN:
                return bool(self._stops.reason_of(lane))
            case _:  # Of all others only time tells.
                return True

    def answered(self, entry: Entry, answer: Answer, attempt: Attempt, judged: Judgement) -> None:
        """Learn from what a peer said, or that none did, and do what the reply rules ask for."""
        now_s = self._now_s()
        source, place, reactions = entry.source, entry.place, judged.reactions
        is_delivered = judged.verdict.fate is Fate.DELIVERED
        is_throttled = judged.verdict.reason in _THROTTLED or any(one.act is Act.SLOW for one in reactions)
        if is_throttled or (is_delivered and entry.is_counted):
            lesson = self._learn(entry, attempt, now_s, is_throttled=is_throttled, is_delivered=is_delivered)
            if lesson and not any(one.act is Act.REST for one in reactions):  # A rest is about this address alone.
                of_pool = gate_key(pool_name(entry.pool), place.key)
                self._ledger.update(of_pool, lambda gate: adapt.keep(gate, lesson, now_s))
        elif is_delivered:
            self._tally.delivered(gate_key(source, place.key), now_s)
        for reaction in reactions:
            self._react(entry, reaction, _quoted(answer), now_s)
        self._note_reach(entry, answer)

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

    def _react(self, entry: Entry, reaction: Reaction, said: str, now_s: float) -> None:
        is_of_pool = reaction.act is Act.PAUSE
        whose = pool_name(entry.pool) if is_of_pool else entry.source
        whose_key = gate_key(whose, entry.place.key)
        is_begun = self._tally.update(whose_key, now_s, lambda gate: throttle.react(gate, reaction, now_s, said=said))
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

    def _note_reach(self, entry: Entry, answer: Answer) -> None:
        key = (entry.source, entry.place.key)
        if reach.is_through(answer):
            self._reaches.pop(key, None)
            return
        if len(self._reaches) >= _KNOWN_COUNT_MAX and key not in self._reaches:
            self._reaches.clear()
        reach.fail(self._reaches.setdefault(key, Reach()), answer, entry.source, self._clock.monotonic_s())

    def _away(self, source: str, key: str) -> Blocked | None:
        known = self._reaches.get((source, key))
        wait_s = known.until_s - self._clock.monotonic_s() if known is not None else 0.0
        if known is None or wait_s <= 0:
            return None
        return Blocked(self._now_s() + wait_s, WaitKind.AWAY, "", known.sentence)

    async def _try_in_place(
        self, lane: Lane, site: Site, place: Place, line_key: str, places: Places
    ) -> Entry | Blocked:
        """Try with a place in hand; give it back if the lane may not."""
        await places.acquire(lane.stream, lane.project_id)
        entered: Entry | Blocked | None = None
        try:
            entered = await self._try(lane, site, place, line_key)
        finally:
            if not isinstance(entered, Entry):
                places.release(lane.stream)
        return entered

    async def _try(self, lane: Lane, site: Site, place: Place, line_key: str) -> Entry | Blocked:
        """Ask the pool's members in turn; return the first that may, or the refusal that ends first."""
        own_rates = await self._own_rates(lane)
        if own_rates and (blocked := self._own_blocked(own_rates)) is not None:
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
                sentence = f"the smart host of {source.name} cannot be found"
                refusals.append(Blocked(self._now_s() + _NOBODY_S, WaitKind.REST, "", sentence))
                continue
            tried = self._try_source(lane, source, exit_site, self.place(exit_site))
            if isinstance(tried, Entry):
                return self._take_own_tokens(lane, own_rates, tried) if own_rates else tried
            if tried.kind is WaitKind.CONNECTIONS:
                self._lines.ask((source.name, self._slots.refused_key), (lane.pool, line_key))
            refusals.append(tried)
        if not refusals:
            return Blocked(self._now_s() + _NOBODY_S, WaitKind.REST, "", "no source of the pool carries it")
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
            blocked = self._foresee(warmup_key(source.name, place.provider or DEFAULT), _UNLIMITED, now_s, ceiling)
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
        key = warmup_key(source.name, place.provider or DEFAULT)
        return self._ledger.update(key, lambda gate: throttle.admit(gate, _UNLIMITED, now_s, ceiling=ceiling))

    def _ceiling(self, source: Source, place: Place) -> Ceiling | None:
        return None if place.is_simulated else self._ceilings.ceiling(source.name, place.provider or DEFAULT)

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
        if len(self._seen) >= _KNOWN_COUNT_MAX:
            self._seen.clear()
        self._seen[key] = seen = _Seen(
            at_s=now_s,
            stopped=max(stops, key=lambda stop: stop.until_s, default=None),
            messages_per_connection=throttle.messages_per_connection(own, limits, now_s),
            is_counting=bool(limits.rates) or own.rate > 0 or own.cap_until_s > now_s,
        )
        return seen

    # The sending domain's own rate, and those to which guards slow it.

    async def _own_rates(self, lane: Lane) -> list[_OwnRate]:
        rates = [
            _OwnRate(guard_key(guard), _SLOW, WaitKind.GUARD, _slowed(guard))
            for guard in self._guards.of(lane)
            if guard.level is GuardLevel.SLOW
        ]
        per_minute = await self._rates.rate_of(lane.project_id, lane.sender_domain)
        if per_minute is not None:
            limits = Limits(rates=(Rate(per_minute, 60.0),))
            words = f"{lane.sender_domain} may send {{}}"
            rates.append(_OwnRate(domain_key(lane), limits, WaitKind.DOMAIN_RATE, words))
        return rates

    def _own_blocked(self, rates: Sequence[_OwnRate]) -> Blocked | None:
        """Return why the sending domain may not send now. A look, no more: its tokens are taken last."""
        now_s = self._now_s()
        for rate in rates:
            if (blocked := self._foresee(rate.key, rate.limits, now_s)) is not None:
                return _by_own(rate, blocked)
        return None

    def _take_own_tokens(self, lane: Lane, rates: Sequence[_OwnRate], entry: Entry) -> Entry | Blocked:
        now_s = self._now_s()
        for rate in rates:  # One that was taken before another refused is lost: a look came before, so it is rare.
            blocked = self._ledger.update(rate.key, partial(throttle.admit, limits=rate.limits, now_s=now_s))
            if blocked is not None:
                self._connections.drop(entry.reservation)
                return _by_own(rate, blocked)
            self._lines.note_turn_of_domain(lane, rate.kind)
        return entry

    def _stopped(self, lane: Lane) -> Pause | None:
        """Return the pause of a stopped sending domain. Its end is only when to look again."""
        reason = self._stops.reason_of(lane)
        return Pause(self._look_at(), WaitKind.DOMAIN, reason) if reason else None

    def _paused_by_guard(self, lane: Lane) -> Pause | None:
        """Return the pause of a guard on this lane's mail. Its end is only when to look again."""
        for guard in self._guards.of(lane):
            if guard.level is GuardLevel.PAUSE:
                return Pause(self._look_at(), WaitKind.GUARD, f"{_guarded(guard)} paused: {guard.sentence}")
        return None

    def _look_at(self) -> datetime:
        wait_s = _LOOK_S * (0.5 + self._random.random() / 2)  # Not all lanes at once.
        return datetime.fromtimestamp(self._now_s() + wait_s, UTC)

    def _line_key(self, pool: str, place: Place, site: Site) -> str:
        """Name the line that mail of `pool` to `site` waits in: nobody waits for another site's connections."""
        return slot_key(place, site, self._shaping.limits(place.provider, pool))

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _quoted(answer: Answer) -> str:
    """What was said, as much of it as a gate can keep."""
    words, room = reply_text(answer).encode(), SAID_BYTES_MAX - len("''")
    if len(words) > room:
        words = words[: room - len("...")] + b"..."
    return f"'{words.decode('utf-8', 'ignore')}'"


def _from(source: Source, refusal: Blocked | None, now_s: float) -> Blocked:
    """The refusal of a connection, said of its source. None: it is not the gate that has none."""
    if refusal is None:
        return Blocked(now_s, WaitKind.CONNECTIONS, "", "all connections that this process may have are in use")
    # Nobody knows when one comes free: then there is no instant to wait for.
    until_s = now_s if refusal.until_s <= now_s + throttle.CONNECTION_LOOK_S else refusal.until_s
    return Blocked(until_s, refusal.kind, refusal.rule, f"{refusal.sentence} from {source.name}")


def _by_own(rate: _OwnRate, blocked: Blocked) -> Blocked:
    """The same refusal, said of the sending domain."""
    return Blocked(blocked.until_s, rate.kind, "", rate.words.format(blocked.sentence))


def _guarded(guard: Guard) -> str:
    return f"{guard.stream} mail of {guard.whose} is"


def _slowed(guard: Guard) -> str:
    name = _guarded(guard).replace("{", "{{").replace("}", "}}")  # A campaign may be called "{}".
    return f"{name} slowed to {{}}: {guard.sentence}"
