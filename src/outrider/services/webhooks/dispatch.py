"""From events to calls: whoever wants an event gets a call that waits, in the transaction that moves the cursor.

So no event is lost between the log and a call, and none makes two calls of one webhook, whoever dies. Any number of
processes may run a dispatcher, one at a time reads (`engine.feed.TurnFeed`). A webhook hears of what happens after it
came into being; a paused one keeps its calls, a disabled one is never told what happens meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.vocab import WebhookOrdering
from outrider.engine import story
from outrider.engine.feed import TurnFeed
from outrider.engine.story import LoggedEvent
from outrider.obs.log import Logger
from outrider.services.webhooks import payload
from outrider.store import webhook_calls, webhooks
from outrider.store.events import Event
from outrider.store.pool import Store, Tx
from outrider.store.webhook_calls import NewCall
from outrider.store.webhooks import Told

CONSUMER: Final = "webhooks"


class Dispatcher:
    """Makes calls out of events, while `run` runs."""

    def __init__(
        self, store: Store, *, clock: Clock, logger: Logger, has_called: Callable[[], None] = lambda: None
    ) -> None:
        """`has_called` is told, as a hint, that there are new calls."""
        self._clock: Final = clock
        self._has_called: Final = has_called
        self._feed: Final = TurnFeed(
            store, CONSUMER, self._handle, is_wanted=webhooks.has_any, clock=clock, logger=logger
        )

    async def run(self) -> None:
        """Make calls until `stop`."""
        await self._feed.run()

    async def step(self) -> int:
        """Make the calls of what happened since, up to a bound; return how many events that were. Raises StoreError."""
        handled_count = await self._feed.step()
        if handled_count:
            self._has_called()
        return handled_count

    def stop(self) -> None:
        """Let `run` return."""
        self._feed.stop()

    async def _handle(self, tx: Tx, batch: Sequence[Event]) -> None:
        listeners: dict[UUID, list[Told]] = {}
        for one in await webhooks.told(tx, list({event.project_id for event in batch})):
            listeners.setdefault(one.project_id, []).append(one)
        wanted = [event for event in batch if any(wants(one, event) for one in listeners.get(event.project_id, ()))]
        if not wanted:
            return
        now = self._clock.now()
        calls: list[NewCall] = []
        for event, logged in zip(wanted, await story.described(tx, wanted), strict=True):
            calls += calls_of(event, logged, listeners[event.project_id], now)
        await webhook_calls.insert(tx, calls)
        await webhook_calls.wake(tx, due_of(calls, listeners, now))
        self._has_called()


def wants(one: Told, event: Event) -> bool:
    """Tell whether a webhook is told of an event of its project."""
    return event.at >= one.told_from and (not one.kinds or event.kind.value in one.kinds)


def calls_of(event: Event, logged: LoggedEvent, listeners: Sequence[Told], now: datetime) -> list[NewCall]:
    """Return the calls of one event."""
    octets = payload.of_event(logged)
    return [
        NewCall(
            webhook_id=one.webhook_id,
            project_id=one.project_id,
            event=logged.id,
            kind=event.kind.value,
            ordering_key=ordering_key(one.ordering, event),
            payload=octets,
            due_at=now + timedelta(seconds=one.wait_s),
            created_at=now,
        )
        for one in listeners
        if wants(one, event)
    ]


def ordering_key(ordering: WebhookOrdering, event: Event) -> str:
    """Return what the event's calls go one after the other by; "" where they need not."""
    match ordering:
        case WebhookOrdering.NONE:
            return ""
        case WebhookOrdering.RECIPIENT:
            return str(event.recipient_id or event.message_id)
        case WebhookOrdering.MESSAGE:
            return str(event.message_id)


def due_of(
    calls: Sequence[NewCall], listeners: Mapping[UUID, Sequence[Told]], now: datetime
) -> Mapping[UUID, datetime]:
    """Return when each webhook must be looked at for these calls: at once, where they fill one."""
    counts: dict[UUID, int] = {}
    for call in calls:
        counts[call.webhook_id] = counts.get(call.webhook_id, 0) + 1
    told = {one.webhook_id: one for several in listeners.values() for one in several}
    return {
        webhook_id: now if count >= told[webhook_id].batch_count else now + timedelta(seconds=told[webhook_id].wait_s)
        for webhook_id, count in counts.items()
    }
