"""When to try again: one minute, doubling, at most four hours, never in step with the others (DESIGN.md 5).

Some reasons set a floor: greylisting wants to see us again after 5 to 15 minutes from the same address, a provider's
rate limit lasts at least ten, and what only a person can mend is not mended in a minute. The provider-wide pause after
such replies is not decided here (`policy.shaping`, `policy.throttle`); this is about one recipient.
"""

from datetime import datetime, timedelta
from typing import Final

from outrider.policy.reason import Reason
from outrider.policy.settings import RetrySettings

JITTER_RATIO: Final = 0.15  # Ours: within DESIGN.md's 10-20 %; doubling by 1.7 at worst stays growth.
GREYLIST_SPAN_RATIO: Final = 3.0  # providers.md 1.2: 5 to 15 minutes.
GREYLIST_ATTEMPTS_MAX: Final = 6  # Ours: after an hour and a half it is no greylisting; grow as usual.
_DOUBLINGS_MAX: Final = 32  # Ours: far over any cap; keeps 2**n small for any attempt.
_DEFAULTS: Final = RetrySettings()


def next_due_at(
    *, attempt: int, now: datetime, jitter_ratio: float, reason: str = "", settings: RetrySettings = _DEFAULTS
) -> datetime:
    """Return when to try again after a deferral.

    Args:
        attempt: attempts that ended before the one just made; 0 after the first.
        now: when that one ended.
        jitter_ratio: chance, 0 to 1, from the caller.
        reason: of the verdict; one we do not know means no floor.
        settings: the operator's.
    """
    assert attempt >= 0
    assert 0 <= jitter_ratio <= 1
    base_s = settings.first_s * 2.0 ** min(attempt, _DOUBLINGS_MAX)
    if reason == Reason.GREYLIST and attempt < GREYLIST_ATTEMPTS_MAX:
        least_s = settings.greylist_s / (1 - JITTER_RATIO)
        base_s = max(least_s, min(base_s, settings.greylist_s * GREYLIST_SPAN_RATIO / (1 + JITTER_RATIO)))
    else:
        base_s = max(base_s, _floor_s(reason, settings) / (1 - JITTER_RATIO))
    base_s = min(base_s, settings.delay_s_max / (1 + JITTER_RATIO))
    return now + timedelta(seconds=base_s * (1 + JITTER_RATIO * (2 * jitter_ratio - 1)))


def expires_at(accepted_at: datetime, life_s: float) -> datetime:
    """Return when to give up on a message that may live `life_s` seconds."""
    return accepted_at + timedelta(seconds=life_s)


def _floor_s(reason: str, settings: RetrySettings) -> float:
    match reason:
        case Reason.GREYLIST:
            return settings.greylist_s
        case Reason.RATE_PROVIDER | Reason.RECIPIENT_RATE:
            return settings.rate_s
        case Reason.RECIPIENT_FULL | Reason.IP_REPUTATION | Reason.IP_PTR | Reason.SENDER_AUTH:
            return settings.slow_s
        case _:  # The doubling alone; right for reasons added later too.
            return 0.0
