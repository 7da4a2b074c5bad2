"""What the answer to a webhook call means: taken, again later, or given up; and what becomes of the webhook itself.

    2xx                   taken
    410                   as below, and the webhook is disabled: it says that it is gone
    anything else, or no answer    again after `DELAYS_S`, not before its Retry-After (429, 503), for three days

A redirect is an answer like any other: it is never followed. All calls failing for a day pause the webhook; then one is
tried once an hour. A webhook that fails is called one at a time, and after a few failures in a row it gets a rest, so
that thousands of calls that wait for it cost little.
Source: standard-webhooks spec, "Retry schedule" (the delays) and "Responding to a webhook" (2xx, 3xx, 410, 429).
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.vocab import WebhookOutcome

DELAYS_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
PAUSE_AFTER: Final = timedelta(days=1)  # Ours: a night and a working day to notice.
PROBE_EVERY: Final = timedelta(hours=1)  # Ours.
WINDOW_MAX: Final = 32  # Ours: calls at once to one webhook; 2,000 a second to one that answers in 16 ms.
WINDOW_FIRST: Final = 4  # Ours: to one that has not answered yet.
_JITTER: Final = 0.1  # Ours: a tenth later at most, so that what failed together does not come back together.
_LIFE: Final = timedelta(seconds=limits.WEBHOOK_CALL_LIFE_S)
_FREE_FAILURES: Final = 5  # Ours: in a row, before it rests.
_REST_S: Final = 1.0
_REST_S_MAX: Final = 60.0  # Ours: one that is back is noticed within a minute.
_GONE: Final = 410
_MAY_SEND_AWAY: Final = frozenset({429, 503})  # RFC 6585 §4, RFC 9110 §15.6.4.


class HookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one call."""

    status: int = 0  # 0: no answer; `error` says why.
    error: str = ""
    retry_after_s: float | None = None
    duration_s: float = 0.0
    excerpt: str = ""  # How its body begins.

    @property
    def is_taken(self) -> bool:
        """Whether the other side has it."""
        return 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether it says that nobody wants calls there any more."""
        return self.status == _GONE

    @property
    def pause_s(self) -> float:
        """For how long it sends us away; 0: it does not."""
        if self.status not in _MAY_SEND_AWAY or self.retry_after_s is None:
            return 0.0
        return min(max(self.retry_after_s, 0.0), limits.WEBHOOK_RETRY_AFTER_S_MAX)


class HookVerdict(msgspec.Struct, frozen=True):
    """What becomes of the call."""

    outcome: WebhookOutcome
    due_at: datetime | None = None  # When it is tried again.


def judge(answer: HookAnswer, *, attempt: int, created_at: datetime, now: datetime, chance: float) -> HookVerdict:
    """Return what becomes of a call after its `attempt`th attempt, from 1; `chance` is 0 to 1."""
    assert attempt >= 1
    if answer.is_taken:
        return HookVerdict(WebhookOutcome.TAKEN)
    ends_at = created_at + _LIFE
    if now >= ends_at:
        return HookVerdict(WebhookOutcome.GIVEN_UP)
    delay_s = DELAYS_S[min(attempt, len(DELAYS_S)) - 1] * (1 + _JITTER * chance)
    due_at = now + timedelta(seconds=max(delay_s, answer.pause_s))
    return HookVerdict(WebhookOutcome.RETRIED, min(due_at, ends_at))  # Its last attempt is as late as it may be.


def expires_before(now: datetime) -> datetime:
    """Return before when a call must have come into being to be given up without another attempt."""
    return now - _LIFE - PROBE_EVERY  # The last attempt is due at the end of its life; one that is paused waits for it.


def is_to_pause(failing_since: datetime | None, now: datetime) -> bool:
    """Tell whether all calls have failed for so long that the webhook is paused."""
    return failing_since is not None and now - failing_since >= PAUSE_AFTER


def window_after(window: int, *, is_taken: bool) -> int:
    """Return how many calls at once it may get after one more answer."""
    return min(window + 1, WINDOW_MAX) if is_taken else max(window // 2, 1)


def rest_s(failures: int) -> float:
    """Return how long it is left alone after so many failures in a row."""
    if failures <= _FREE_FAILURES:
        return 0.0
    return min(_REST_S * 2.0 ** min(failures - _FREE_FAILURES - 1, 10), _REST_S_MAX)
