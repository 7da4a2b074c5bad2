"""Who waits for a gate, whose turn it is, and who is sent away until when.

    enter(lane, key, attempt)   makes `attempt` when it is the lane's turn: what it got, or the pause to go away with
    ask, on_free                a connection came free: one line that asked for it has the turn

A short wait (a connection that is about to come free, a token in a moment) is spent in the line, in the order of turns
(`engine.turns`). A longer one, or a line that is long already, gives the lane back with a pause, so memory and leases
follow what is being sent, not what waits. A lane sent away gets the instant at which its turn probably comes, so ten
thousand lanes of one slow provider cost ten thousand looks a round, not a round a second.

A turn comes from a connection that came free, from the one before if he was lucky, or from a clock that ticks while
anybody waits: what another process gives back nobody tells us. Only the first in the line looks; the others wait.

A line is of one pool and key (what connections are counted by), so its lanes wait for the same. Whether a lane may is
not known here: `attempt` says it, a `Blocked` or anything else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Final, TypeVar

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Stream, WaitKind
from outrider.engine.slots import BELOW, domain_key
from outrider.engine.turns import Absence, Line
from outrider.policy.throttle import Blocked
from outrider.store.lanes import Lane, Pause

T = TypeVar("T")
Key = tuple[str, str]  # Of a line: its pool, and what connections are counted by. Of a gate: the source, and the same.

_PATIENCE_S: Final = 1.0  # Ours: how long a lane may wait in a line; then others have its lease.
_LINE_COUNT_MAX: Final = 32  # Ours: lanes of a stream in one line, shared by its projects; more are sent away.
_POLL_S: Final = 0.05  # Ours: a slot that another process gives back is not announced to us.
_SHORT_S: Final = 0.5  # Ours: a wait up to this is cheaper spent here than by giving the lane back.
_PAUSE_S_MIN: Final = 0.25  # Ours: as much as it costs to give a lane back and lease it again, many times over.
# Ours: by when a lane looks again, whatever it waits for; a campaign can wait for a minute, an order cannot.
_PAUSE_S_MAX: Final = {Stream.TRANSACTIONAL: 2.0, Stream.MARKETING: 60.0}
_SPACING_S: Final = 0.05  # Ours: between two lanes' turns at a gate, until we have seen some.
_SPACING_S_MAX: Final = 5.0  # Ours: of one observation; a gate nobody used for an hour is not slow.
_SPACING_WEIGHT: Final = 0.1  # Ours: of the newest observation; ten turns make a figure.
_KNOWN_COUNT_MAX: Final = 10_000  # Ours: lines; past it, those in which nobody stands are forgotten.
_BACK_S: Final = 1.5  # Ours: within this a lane is back after its pause; a process polls every second.
_ABOUT_RATE: Final = frozenset({WaitKind.RATE, WaitKind.THROTTLE})
_OF_DOMAIN: Final = frozenset({WaitKind.DOMAIN_RATE, WaitKind.GUARD})
_IN_TURN: Final = _ABOUT_RATE | {WaitKind.CONNECTIONS, WaitKind.TURN}


class _Waiters(msgspec.Struct):
    """The lanes of one pool that wait at one key, or those of one sending domain."""

    line: Line
    tail_s: float = 0.0  # When the last lane that was sent away has its turn; monotonic.
    last_id: int | None = None  # That lane, which may come back sooner and does not wait for itself,
    before_s: float = 0.0  # and when the last but that one has its turn.
    spacing_s: float = _SPACING_S  # Between two lanes' turns, as lately seen.
    turn_at_s: float = 0.0
    is_generous: bool = False  # Whoever is lucky gives the turn on: it came with time, and may be worth more than one.
    tick: asyncio.TimerHandle | None = None  # Gives the next turn if nothing else does.
    absence: Absence = msgspec.field(default_factory=Absence)


class Lines:
    """All lines of one deliver process. For one event loop."""

    def __init__(self, *, clock: Clock, random: Random) -> None:
        self._clock: Final = clock
        self._random: Final = random
        self._waiters: Final[dict[Key, _Waiters]] = {}
        self._askers: Final[dict[Key, dict[Key, None]]] = {}  # By gate: the lines that found it full.

    def __len__(self) -> int:
        """How many stand in lines."""
        return sum(len(waiters.line) for waiters in self._waiters.values())

    def is_wanted(self, lane: Lane, key: str) -> bool:
        """Whether other lanes wait at that line, or were sent away and have their turn yet."""
        waiters = self._waiters.get((lane.pool, key))
        if waiters is None:
            return False
        tail_s = waiters.before_s if waiters.last_id == lane.lane_id else waiters.tail_s
        return len(waiters.line) > 0 or tail_s > self._clock.monotonic_s()

    async def enter(
        self, lane: Lane, key: str, attempt: Callable[[], Awaitable[T | Blocked]], *, said_of: str
    ) -> T | Pause:
        """Return what `attempt` got for the lane, or the pause with which the lane is to be given back.

        Args:
            key: of the line, in the lane's pool.
            attempt: made at once if nobody comes before the lane, and whenever it has its turn.
            said_of: whom people are told the lane waits for.

        Safe: cancellable; concurrent.
        """
        waiters = self._of(lane.pool, key)
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        has_turn = not waiters.line.count_before(lane.stream)
        is_again = False
        blocked: Blocked | None = None
        waiters.absence.came_back(lane.stream, lane.project_id, lane.lane_id)
        while True:
            if has_turn:
                if waiters.absence.is_before(lane.stream, lane.project_id, now_s=self._clock.monotonic_s()):
                    if is_again:
                        waiters.line.next()
                    return self._pause(lane, waiters, None, said_of)
                found = await attempt()
                if not isinstance(found, Blocked):
                    waiters.absence.let_in(lane.stream, lane.project_id)
                    self._note_turn(waiters)
                    return found
                blocked = found
                waiters.is_generous = blocked.kind in _ABOUT_RATE
                if not _is_short(blocked, self._now_s()):
                    if is_again:
                        waiters.line.next()  # The turn was of no use to this lane; it may be to another.
                    return self._pause(lane, waiters, blocked, said_of)
            left_s = until_s - self._clock.monotonic_s()
            is_full = not is_again and waiters.line.is_full_for(lane.stream, lane.project_id, _LINE_COUNT_MAX)
            if left_s <= 0 or is_full or (is_again and not has_turn):
                return self._pause(lane, waiters, blocked, said_of)
            has_turn = await self._wait(waiters, lane, blocked, left_s, is_again=is_again)
            is_again = True

    def note_turn_of_domain(self, lane: Lane, kind: WaitKind) -> None:
        """Note that a mail took a token of its sending domain's rate: those who wait for one are so far apart.

        Args:
            kind: whose rate it is: the domain's own, or its guard's.
        """
        self._note_turn(self._of_domain(lane, kind))

    def ask(self, gate: Key, asker: Key) -> None:
        """Remember which line to tell when a connection of the gate comes free."""
        if len(self._askers) >= _KNOWN_COUNT_MAX:
            self._askers.clear()  # They look by themselves, a little later.
        self._askers.setdefault(gate, {})[asker] = None

    def on_free(self, source: str, key: str) -> None:
        """Give one line the turn: one that waits for that site's connections, else one for its provider's."""
        for gate in dict.fromkeys([(source, key), (source, key.partition(BELOW)[0])]):
            asking = [(asker, found) for asker in self._askers.pop(gate, {}) if (found := self._waiters.get(asker))]
            waiting = {asker: waiters for asker, waiters in asking if len(waiters.line)}
            if not waiting:
                continue
            # A pool whose transactional mail waits comes first, then who was told longest ago.
            first = next((one for one in waiting if waiting[one].line.count_before(Stream.TRANSACTIONAL)), None)
            first = first or next(iter(waiting))
            self._askers[gate] = dict.fromkeys([*(one for one in waiting if one != first), first])
            waiting[first].line.next()
            return

    async def _wait(
        self, waiters: _Waiters, lane: Lane, blocked: Blocked | None, left_s: float, *, is_again: bool
    ) -> bool:
        """Wait for our turn in the line; False if it did not come within `left_s`."""
        wait_s = _POLL_S
        if blocked is not None and blocked.kind in _ABOUT_RATE:
            wait_s = max(0.001, min(blocked.until_s - self._now_s(), _SHORT_S))
        self._plan_tick(waiters, wait_s)
        try:
            async with asyncio.timeout(left_s):
                await waiters.line.wait(lane.stream, lane.project_id, is_again=is_again)
        except TimeoutError:
            return False
        return True

    def _plan_tick(self, waiters: _Waiters, wait_s: float) -> None:
        """Let the next turn come in `wait_s` at the latest."""
        loop = asyncio.get_running_loop()
        if waiters.tick is not None:
            if waiters.tick.when() <= loop.time() + wait_s:
                return
            waiters.tick.cancel()
        waiters.tick = loop.call_later(wait_s, self._on_tick, waiters)

    def _on_tick(self, waiters: _Waiters) -> None:
        waiters.tick = None
        waiters.is_generous = True
        waiters.line.next()
        if len(waiters.line):
            self._plan_tick(waiters, _POLL_S)

    def _note_turn(self, waiters: _Waiters) -> None:
        now_s = self._clock.monotonic_s()
        if waiters.turn_at_s:
            seen_s = min(now_s - waiters.turn_at_s, _SPACING_S_MAX)
            waiters.spacing_s += (seen_s - waiters.spacing_s) * _SPACING_WEIGHT
        waiters.turn_at_s = now_s
        if waiters.is_generous:
            waiters.line.next()

    def _pause(self, lane: Lane, waiters: _Waiters, blocked: Blocked | None, said_of: str) -> Pause:
        """Send a lane away: until its refusal ends and then its turn among those sent away comes.

        When more are away than have turns within the longest pause, the rest comes back spread over it.
        """
        now_s, mono_s = self._now_s(), self._clock.monotonic_s()
        if blocked is None:
            blocked = Blocked(now_s, WaitKind.TURN, "", "others are before it")
        if blocked.kind in _OF_DOMAIN:
            waiters = self._of_domain(lane, blocked.kind)
        longest_s = _PAUSE_S_MAX[lane.stream]
        if waiters.last_id != lane.lane_id:
            waiters.last_id, waiters.before_s = lane.lane_id, waiters.tail_s
        waiters.tail_s = max(waiters.tail_s, mono_s) + waiters.spacing_s
        wait_s = waiters.tail_s - mono_s
        if wait_s > longest_s:
            waiters.tail_s = mono_s + longest_s
            wait_s = longest_s * (0.5 + self._random.random() / 2)
        until_s = max(now_s + _PAUSE_S_MIN, max(blocked.until_s, now_s) + wait_s)
        if blocked.kind in _IN_TURN:
            back_s = mono_s + until_s - now_s + _BACK_S
            waiters.absence.note(lane.stream, lane.project_id, lane.lane_id, back_s, now_s=mono_s)
        return Pause(datetime.fromtimestamp(until_s, UTC), blocked.kind, f"{said_of}: {blocked.sentence}")

    def _of(self, pool: str, key: str) -> _Waiters:
        if (waiters := self._waiters.get((pool, key))) is not None:
            return waiters
        if len(self._waiters) >= _KNOWN_COUNT_MAX:
            for known in [known for known, waiters in self._waiters.items() if not len(waiters.line)]:
                del self._waiters[known]
        return self._waiters.setdefault((pool, key), _Waiters(Line()))

    def _of_domain(self, lane: Lane, kind: WaitKind) -> _Waiters:
        # A guard's rate is of one stream, or of a campaign in it: what is slowed must not make the others wait.
        own = "" if kind is WaitKind.DOMAIN_RATE else f"{kind} {lane.stream} {lane.campaign}"
        return self._of(f"from {own}", domain_key(lane))

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _is_short(blocked: Blocked, now_s: float) -> bool:
    """Whether to wait here: for a connection, or a token that comes in a moment."""
    if blocked.kind is WaitKind.CONNECTIONS:
        return True
    return blocked.kind in _ABOUT_RATE and blocked.until_s - now_s <= _SHORT_S
