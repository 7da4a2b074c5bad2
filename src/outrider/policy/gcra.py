"""Hard rates, kept in every window: the generic cell rate algorithm with one number of state for each rate.

The state is the theoretical arrival time (TAT): the instant at which the next one would be due if all came evenly. One
more may pass while the TAT is not further ahead than the tolerance; each that passes moves it on by the interval.

For a limit of L in W seconds the textbook's interval W/L with any tolerance lets more than L into some window. Here the
interval is W/(L-b) and the tolerance b intervals, so L+1 that pass in a row span at least L*W/(L-b) - b*W/(L-b) = W:
**no window of W seconds, wherever it begins, holds more than L**. The price is speed: L-b in W. b is a tenth of L, at
most `BURST_COUNT_MAX`, none if L is 1. The receiver counts when mail arrives, so each window is `TRAVEL_S` longer. At
least 89 % of a limit is used, of one by the second 81 %.

A wall clock that steps back, or a rate that is raised, leaves the TAT ahead of what it could be. `cut` brings it to the
furthest it can be, one interval and the tolerance from now, so a step never blocks for longer than that; and as the
true TAT is not further either, the limit holds across the step. A step forward may let one burst more pass.

Source: ITU-T I.371 annex A (GCRA as virtual scheduling).
"""

from functools import lru_cache
from typing import Final

import msgspec

BURST_RATIO: Final = 0.1  # Ours: of the limit. Less costs throughput when a sender wakes late, more comes in clumps.
BURST_COUNT_MAX: Final = 100.0  # Ours: 2000 a day must not start with 200 at once.
TRAVEL_S: Final = 0.1  # Ours: by so much one mail may need longer than the next from here to the receiver's count.
_STRETCH_RATIO: Final = 1e-6  # So that rounding never lets one more in.
_ROUNDING_S: Final = 5e-7  # Twice the distance of two floats at today's Unix time.


class Pace(msgspec.Struct, frozen=True, gc=False):
    """A rate as GCRA wants it."""

    interval_s: float
    tolerance_s: float


@lru_cache(maxsize=1024)  # Asked for every mail, always for the same few rates.
def pace_of(count: int, window_s: float) -> Pace:
    """Return the pace that keeps `count` in any `window_s` seconds; `count` is at least 1."""
    assert count >= 1
    burst = min(count * BURST_RATIO, BURST_COUNT_MAX) if count > 1 else 0.0
    window_s = window_s * (1 + _STRETCH_RATIO) + (count + 2) * _ROUNDING_S + TRAVEL_S
    interval_s = window_s / (count - burst)
    return Pace(interval_s, burst * interval_s)


def due_at_s(tat_s: float, now_s: float, pace: Pace) -> float:
    """Return the earliest instant at which one may pass; not after `now_s`: now."""
    return min(tat_s - pace.tolerance_s, now_s + pace.interval_s)


def cut(tat_s: float, now_s: float, pace: Pace) -> float:
    """Return the TAT, at most as far ahead as it can be.

    Danger: who only asks `due_at_s` and keeps the TAT as it was is told "one interval from now" again and again.
    """
    return min(tat_s, now_s + pace.interval_s + pace.tolerance_s)


def passed(tat_s: float, now_s: float, pace: Pace) -> float:
    """Return the TAT after one that passed at `now_s`."""
    return max(cut(tat_s, now_s, pace), now_s) + pace.interval_s
