"""One webhook in the hands of a sender: which of its calls may go now, and how many at once.

Its window grows by one with each call that is taken and halves with each that is not, so that one that hangs holds few
of the places that all share; after a few failures in a row it rests (`policy.hook`). Calls with one ordering key go one
after the other: the next when the one before is settled. Calls of a webhook with batches travel together, as soon as
there are enough of them or the first has waited long enough; those that failed together are tried together.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.base.vocab import WebhookState
from outrider.policy import hook
from outrider.policy.hook import HookAnswer
from outrider.services.webhooks import payload
from outrider.store.webhook_calls import WaitingCall
from outrider.store.webhooks import Webhook

LOADED_COUNT_MAX: Final = 400  # Ours: calls of one webhook held ready; about 1 KB each.


class Shot(msgspec.Struct, frozen=True):
    """Calls that travel together, mostly one."""

    calls: Sequence[WaitingCall]
    is_batch: bool

    @property
    def name(self) -> str:
        """Its webhook-id."""
        return payload.batch_name(self.events) if self.is_batch else self.calls[0].event

    @property
    def events(self) -> Sequence[str]:
        """The ids of what it tells."""
        return [one.event for one in self.calls]

    @property
    def attempt(self) -> int:
        """The how-manieth attempt this is, from 1."""
        return max(one.attempt for one in self.calls) + 1

    @property
    def created_at(self) -> datetime:
        """When the last of its calls came into being."""
        return max(one.created_at for one in self.calls)

    def envelope(self) -> bytes:
        """Return what it says."""
        if not self.is_batch:
            return self.calls[0].payload
        return payload.of_batch([one.payload for one in self.calls], min(one.created_at for one in self.calls))


class Outlet:
    """A leased webhook. Invariant: `known` has each call that is ready, under way, or not settled yet."""

    def __init__(self, webhook: Webhook, secrets: Sequence[bytes], token: str) -> None:
        self.webhook = webhook
        self.secrets = secrets
        self.token = token
        self.known: Final[set[int]] = set()
        self.look_at_s = 0.0  # When to look for more calls.
        self.empty_since_s: float | None = None  # Since when nothing was found.
        self.is_to_release = False
        self._ready: deque[WaitingCall] = deque()
        self._busy_keys: Final[set[str]] = set()
        self._window = hook.WINDOW_FIRST
        self._under_way = 0
        self._failures = 0
        self._rest_until_s = 0.0
        self._has_probed = False

    @property
    def is_probing(self) -> bool:
        """It is paused for its failures: one call is tried."""
        return self.webhook.state is WebhookState.FAILING

    @property
    def may_call(self) -> bool:
        """Whether anything may be sent to it."""
        return self.webhook.state in (WebhookState.ACTIVE, WebhookState.FAILING) and not self.is_to_release

    @property
    def is_idle(self) -> bool:
        """Nothing of it is ready or under way."""
        return not self.known

    def wanted_count(self, now_s: float) -> int:
        """Return how many more calls to load; 0: none now."""
        if not self.may_call or now_s < max(self.look_at_s, self._rest_until_s):
            return 0
        if self.is_probing:
            return 0 if self._has_probed or self.known else max(self.webhook.batch_count, 1)
        has_enough = len(self._ready) > max(self._window, self.webhook.batch_count)
        return 0 if has_enough else LOADED_COUNT_MAX - len(self._ready)

    def offer(self, calls: Sequence[WaitingCall]) -> None:
        """Take calls that are due, behind those that are ready."""
        for one in calls:
            if one.call_id not in self.known:
                self.known.add(one.call_id)
                self._ready.append(one)

    def next_shot(self, now: datetime, now_s: float) -> Shot | None:
        """Return what is to be sent next, and count it as under way; None: nothing now."""
        window = 1 if self.is_probing else self._window
        if not self._ready or self._under_way >= window or now_s < self._rest_until_s or not self.may_call:
            return None
        if self.is_probing and self._has_probed:
            return None
        shot = self._batch(now) if self.webhook.batch_count > 1 else self._single()
        if shot is None:
            return None
        self._under_way += 1
        self._has_probed = self.is_probing
        self._busy_keys.update(one.ordering_key for one in shot.calls if one.ordering_key)
        return shot

    def heard(self, answer: HookAnswer, now_s: float) -> None:
        """Learn from an answer: another call may go."""
        self._under_way -= 1
        self._window = hook.window_after(self._window, is_taken=answer.is_taken)
        self._failures = 0 if answer.is_taken else self._failures + 1
        rest_s = max(hook.rest_s(self._failures), answer.pause_s)
        if rest_s:
            self._rest_until_s = max(self._rest_until_s, now_s + rest_s)

    def settled(self, shot: Shot, *, is_over: bool) -> None:
        """Let go of calls whose outcome is stored. If they are tried again, those behind them wait too."""
        keys = {one.ordering_key for one in shot.calls if one.ordering_key}
        self._busy_keys.difference_update(keys)
        self.known.difference_update(one.call_id for one in shot.calls)
        if not is_over and keys:
            self.known.difference_update(one.call_id for one in self._ready if one.ordering_key in keys)
            self._ready = deque(one for one in self._ready if one.ordering_key not in keys)

    def drop(self) -> None:
        """Forget what is ready: it waits in the database."""
        self.known.difference_update(one.call_id for one in self._ready)
        self._ready.clear()

    def _single(self) -> Shot | None:
        for at, one in enumerate(self._ready):
            if one.ordering_key not in self._busy_keys:
                del self._ready[at]
                return Shot((one,), is_batch=False)
        return None

    def _batch(self, now: datetime) -> Shot | None:
        free = [one for one in self._ready if one.ordering_key not in self._busy_keys]
        if not free:
            return None
        first = free[0]
        together = [one for one in free if one.batch == first.batch][: self.webhook.batch_count]
        is_full = len(together) == self.webhook.batch_count or first.batch or self.is_probing
        if not is_full and min(one.due_at for one in together) > now:
            return None
        chosen = {one.call_id for one in together}
        self._ready = deque(one for one in self._ready if one.call_id not in chosen)
        return Shot(together, is_batch=True)
