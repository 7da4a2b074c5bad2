"""What becomes of a webhook by what came back: paused, resumed, disabled; with an event and a notice that say so.

All changes are safe twice: who comes second finds the state as it should be and says nothing more.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.vocab import EventKind, WebhookState
from outrider.policy import hook
from outrider.store import events, notices, webhook_calls, webhooks
from outrider.store.events import NewEvent
from outrider.store.notices import Notice
from outrider.store.pool import Store, Tx
from outrider.store.webhooks import Webhook

FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
GONE: Final = "It answered 410 Gone."


class Standing:
    """Changes the states of webhooks."""

    def __init__(self, store: Store, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def disable(self, webhook: Webhook) -> None:
        """Disable a webhook that says that it is gone."""
        async with self._store.transaction() as tx:
            found = await webhooks.lock(tx, webhook.project_id, webhook.webhook_id)
            if found is not None and found.state is not WebhookState.DISABLED and found.url == webhook.url:
                await self._set(tx, found, WebhookState.DISABLED, GONE, EventKind.WEBHOOK_DISABLED)
                await webhook_calls.hold(tx, found.project_id, found.webhook_id, until=FOREVER)

    async def pause(self, webhook: Webhook, why: str) -> None:
        """Pause a webhook all of whose calls have failed for a day, or leave it paused for another hour."""
        async with self._store.transaction() as tx:
            found = await webhooks.lock(tx, webhook.project_id, webhook.webhook_id)
            if found is None or found.state not in (WebhookState.ACTIVE, WebhookState.FAILING):
                return
            now = self._clock.now()
            if found.state is WebhookState.ACTIVE:
                if not hook.is_to_pause(found.failing_since, now):
                    return
                await self._set(tx, found, WebhookState.FAILING, why, EventKind.WEBHOOK_PAUSED)
            await webhook_calls.hold(tx, found.project_id, found.webhook_id, until=now + hook.PROBE_EVERY)

    async def resume(self, webhook: Webhook) -> None:
        """Let a webhook that was paused for its failures, and took a call, have its calls again."""
        async with self._store.transaction() as tx:
            found = await webhooks.lock(tx, webhook.project_id, webhook.webhook_id)
            if found is not None and found.state is WebhookState.FAILING:
                await self._set(tx, found, WebhookState.ACTIVE, "", EventKind.WEBHOOK_RESUMED)
                await webhook_calls.let_go(tx, found.project_id, found.webhook_id, now=self._clock.now())

    async def _set(self, tx: Tx, webhook: Webhook, state: WebhookState, why: str, kind: EventKind) -> None:
        now = self._clock.now()
        failing_since = None if state is WebhookState.ACTIVE else webhook.failing_since
        await webhooks.set_state(tx, webhook, state, reason=why, now=now, failing_since=failing_since)
        subject, text = _letter(webhook, kind, why)
        notice_id = ids.uuid7(now, self._random_bits(74))
        await notices.insert(
            tx,
            Notice(notice_id=notice_id, project_id=webhook.project_id, kind=kind, subject=subject, text=text, at=now),
        )
        facts = {"webhook": str(webhook.webhook_id), "url": webhook.url}
        told = NewEvent(now, webhook.project_id, events.NIL, None, kind, reason="", reply="", facts=facts)
        await events.append(tx, [told])


def _letter(webhook: Webhook, kind: EventKind, why: str) -> tuple[str, str]:
    """Return subject and text of a notice."""
    where = f"the webhook {webhook.webhook_id} ({webhook.url})"
    again = f"`outrider webhook resume {webhook.webhook_id}`"
    look = f"\n\n`outrider webhook deliveries {webhook.webhook_id}` shows how its calls went."
    match kind:
        case EventKind.WEBHOOK_PAUSED:
            what = f"All calls of {where} have failed for a day; the last one: {why}\n\nIts calls wait for up to three"
            return "A webhook is paused", f"{what} days. One is tried every hour; {again} tries at once.{look}"
        case EventKind.WEBHOOK_RESUMED:
            return "A webhook answers again", f"After its pause {where} took a call. What waited is sent now.{look}"
        case _:
            what = f"What happens from now on is not told to {where}: {why}"
            return "A webhook is disabled", f"{what}\n\nIf that was a mistake: {again}.{look}"
