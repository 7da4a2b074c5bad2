"""Numbers as people read them in the sentence that says why a lane waits."""

from datetime import UTC, datetime
from math import ceil
from typing import Final

from outrider.policy.shaping import Rate

_UNITS: Final = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}


def rate_of(rate: Rate) -> str:
    """Say a configured rate as it is written: "10/min"."""
    unit = _UNITS.get(rate.window_s)
    return f"{rate.count}/{unit}" if unit else f"{rate.count} in {rate.window_s:g} s"


def speed_of(rate_per_s: float) -> str:
    """Say a learned rate in the unit that reads best: "4.8/s", "12/min"."""
    if rate_per_s >= 1:
        return f"{rate_per_s:.3g}/s"
    return f"{rate_per_s * 60:.3g}/min"


def span_of(span_s: float) -> str:
    """Say how long, never shorter than it is: "0.2 s", "6 s", "12 min", "3 h"."""
    if span_s < 1:
        return f"{max(ceil(span_s * 10), 1) / 10:g} s"
    if span_s < 120:
        return f"{ceil(span_s)} s"
    return f"{ceil(span_s / 60)} min" if span_s < 7200 else f"{ceil(span_s / 3600)} h"


def clock_of(at_s: float, now_s: float) -> str:
    """Say an instant: "14:05 UTC", with its date if that is not today's; never earlier than it is."""
    at, now = datetime.fromtimestamp(ceil(at_s / 60) * 60, UTC), datetime.fromtimestamp(now_s, UTC)
    return at.strftime("%H:%M UTC" if at.date() == now.date() else "%Y-%m-%d %H:%M UTC")
