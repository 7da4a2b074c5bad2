"""A provider that refuses above its limit, and many mails for it: how the learned rate behaves, without time.

`run` plays one source against one limiter with a gate of `policy.throttle` between them: mails come at `demand_per_s`,
`senders` conversations at once carry them, each attempt reaches the limiter after the network's delay and is answered
after the server's. A refused mail goes back to the queue, as the engine's would. At `lifted_at_s` the limit goes. All
chance is from the seed, so a story can be told again. Used by tests/sim and by the picture of bench/throttle.py.
"""

import heapq
import random
from collections import deque
from typing import Final, Protocol

import msgspec

from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Limits

START_S: Final = 1_800_000_000.0  # Any Unix time; a large one, so that rounding is as in life.
TRAVEL_S: Final = 0.02  # One way through the network, with up to a half more or less.
RETRY_S: Final = 60.0  # As policy.retry's first.


class Limiter(Protocol):
    """Whoever counts at the provider."""

    def takes(self, now_s: float) -> bool:
        """Tell whether the mail that arrives now is accepted; `now_s` never goes back."""


class TokenBucket:
    """`rate` a second, with a burst."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level, self._at_s = rate, burst, burst, 0.0

    def takes(self, now_s: float) -> bool:
        """Take one if the bucket has one."""
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True


class SlidingWindow:
    """At most `count` in the last `window_s` seconds."""

    def __init__(self, count: int, window_s: float) -> None:
        self._window_s = window_s
        self._taken: deque[float] = deque([-window_s] * count, count)

    def takes(self, now_s: float) -> bool:
        """Take it if the window has room."""
        if now_s - self._taken[0] < self._window_s:
            return False
        self._taken.append(now_s)
        return True


class FixedWindow:
    """At most `count` in each window, which begin at whole multiples of `window_s`."""

    def __init__(self, count: int, window_s: float) -> None:
        self._count, self._window_s, self._window, self._taken = count, window_s, 0, 0

    def takes(self, now_s: float) -> bool:
        """Take it if this window has room."""
        if (window := int(now_s // self._window_s)) != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken <= self._count


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is played."""

    latency_s: float  # Of a reply, with up to a half more or less.
    senders: int
    demand_per_s: float = 200.0
    lifted_at_s: float = 600.0
    end_s: float = 1200.0
    seed: int = 1


class Second(msgspec.Struct):
    """What happened in one second."""

    attempted: int = 0  # By us; the next two are at the provider.
    accepted: int = 0
    refused: int = 0
    rate: float = 0.0  # The gate's learned rate at its end; 0: none.


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    seconds: list[Second]
    offered: int  # Mails that came.
    delivered: int
    queued: int  # Ready, waiting for a retry, or in flight at the end.

    def accepted_per_s(self, from_s: int, until_s: int) -> float:
        """Return how many were accepted a second in that time."""
        return sum(second.accepted for second in self.seconds[from_s:until_s]) / (until_s - from_s)

    def refused(self, from_s: int, until_s: int) -> int:
        """Return how many were refused in that time."""
        return sum(second.refused for second in self.seconds[from_s:until_s])


class _Play:
    """One run: instants in seconds since the start, events in a heap."""

    def __init__(self, trial: Trial, limiter: Limiter) -> None:
        self.trial: Final = trial
        self.limiter: Final = limiter
        self.chance: Final = random.Random(trial.seed)
        self.gate: Final = Gate()
        self.limits: Final = Limits(connections=trial.senders)
        self.seconds: Final = [Second() for _ in range(int(trial.end_s))]
        self.events: Final[list[tuple[float, int, str, float]]] = []
        self.started = self.delivered = self.returned = self.busy = self.order = 0
        self.wakes_at_s = -1.0

    def later(self, at_s: float, what: str, started_at_s: float = 0.0) -> None:
        self.order += 1
        heapq.heappush(self.events, (at_s, self.order, what, started_at_s))

    def send(self, now_s: float) -> None:
        """Start whatever may start now; else wake when it may."""
        while self.busy < self.trial.senders:
            if self.started - self.returned >= int(self.trial.demand_per_s * now_s + 1e-9):
                self._wake(now_s + 1 / self.trial.demand_per_s)
                return
            blocked = throttle.admit(self.gate, self.limits, START_S + now_s)
            if blocked is not None:
                assert blocked.until_s > START_S + now_s
                self._wake(blocked.until_s - START_S)
                return
            self.started += 1
            self.busy += 1
            self.seconds[int(now_s)].attempted += 1
            self.later(now_s + TRAVEL_S * self.chance.uniform(0.5, 1.5), "arrived", now_s)

    def _wake(self, at_s: float) -> None:
        if self.wakes_at_s < 0 or at_s < self.wakes_at_s:
            self.wakes_at_s = at_s
            self.later(at_s, "woken")

    def arrived(self, now_s: float, started_at_s: float) -> None:
        is_taken = now_s >= self.trial.lifted_at_s or self.limiter.takes(START_S + now_s)
        second = self.seconds[int(now_s)]
        second.accepted += is_taken
        second.refused += not is_taken
        reply_s = self.trial.latency_s * self.chance.uniform(0.5, 1.5)
        self.later(now_s + reply_s, "accepted" if is_taken else "refused", started_at_s)

    def answered(self, now_s: float, started_at_s: float, *, is_taken: bool) -> None:
        self.busy -= 1
        throttle.answer(
            self.gate,
            START_S + now_s,
            started_at_s=START_S + started_at_s,
            is_throttled=not is_taken,
            is_delivered=is_taken,
        )
        if is_taken:
            self.delivered += 1
        else:
            self.later(now_s + RETRY_S, "returned")

    def story(self) -> Story:
        self.later(0.0, "woken")
        last = 0
        while self.events and self.events[0][0] < self.trial.end_s:
            now_s, _, what, started_at_s = heapq.heappop(self.events)
            for second in range(last, int(now_s)):
                self.seconds[second].rate = self.gate.rate
            last = int(now_s)
            match what:
                case "arrived":
                    self.arrived(now_s, started_at_s)
                    continue
                case "woken":
                    self.wakes_at_s = -1.0
                case "returned":
                    self.returned += 1
                case _:
                    self.answered(now_s, started_at_s, is_taken=what == "accepted")
            self.send(now_s)
        for second in range(last, len(self.seconds)):
            self.seconds[second].rate = self.gate.rate
        offered = int(self.trial.demand_per_s * self.trial.end_s)
        waiting = sum(what != "woken" for _, _, what, _ in self.events)
        ready = offered - (self.started - self.returned)
        return Story(seconds=self.seconds, offered=offered, delivered=self.delivered, queued=ready + waiting)


def run(trial: Trial, limiter: Limiter) -> Story:
    """Play the trial to its end. The limiter is used up."""
    return _Play(trial, limiter).story()
