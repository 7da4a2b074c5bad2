"""The loop that calls webhooks: leases those that are due, loads their calls, makes them, stores what came of them.

    lease --> load --> call (net.hook) --> judge (policy.hook) --> settle, many at once --> ... --> release when idle

A webhook has one process at a time, so its order and its window are in one hand (`outlet`). All share
`in_flight_max` places, and take turns when these are short. Settings and states are read anew every second.

Failure policy: an outcome exists nowhere else, so while the database is away it is kept and offered again. A process
that is killed loses none: its leases run out, and what was under way is called again under the same name. Stopping
waits a moment for answers; what has none by then is called again by the next.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, StoreCorruptError, StoreError
from outrider.base.vocab import WebhookOutcome, WebhookState
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import hook
from outrider.policy.hook import HookAnswer, HookVerdict
from outrider.services.webhooks import payload
from outrider.services.webhooks.outlet import Outlet, Shot
from outrider.services.webhooks.standing import FOREVER, Standing
from outrider.store import webhook_calls, webhook_log, webhooks
from outrider.store.batch import GroupCommit
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.store.webhook_calls import PutOff, Wanted
from outrider.store.webhook_log import NewDelivery
from outrider.store.webhooks import Secret, Webhook
from outrider.wire import hooksign

_LEASE_POLL_S: Final = 0.5  # Ours: how late a webhook may be looked at that nobody told us of.
_POLL_S: Final = 0.1  # Ours: the same, for more calls of one that we have.
_REFRESH_S: Final = 1.0  # Ours: how late a change of settings or state may be noticed.
_LEASE_S: Final = 10.0  # Ours: renewed every second; so long the webhooks of a process that was killed wait.
_LEASED_COUNT_MAX: Final = 500  # Ours: webhooks in one process at a time.
_IDLE_S: Final = 1.0  # Ours: how long one with nothing to do is kept.
_LOADED_AT_ONCE_MAX: Final = 4_000  # Ours: calls of one look, about 4 MB.
_STOP_WAIT_S: Final = 3.0  # Ours: "Ctrl-C stops cleanly in under 5 s" (issue 2).
_RETRY_S: Final = 0.5  # Ours: how often to offer outcomes to a database that is away.
_CONTENT_TYPE: Final = "application/json"
_USER_AGENT: Final = "Outrider-Webhooks/1"


class Poster(Protocol):
    """Makes calls (`net.hook`)."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> HookAnswer:
        """Make a call; return what came of it."""


class Settled(msgspec.Struct, frozen=True):
    """What came of one call, about to be stored."""

    shot: Shot
    verdict: HookVerdict
    delivery: NewDelivery
    was_failing: bool  # As the sender knew it.


class HookSender:
    """Calls webhooks, while `run` runs. Any number of processes may."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        poster: Poster,
        standing: Standing,
        *,
        owner: UUID,
        in_flight_max: int,
        clock: Clock,
        chance: Callable[[], float],
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        """`owner` names this process in the leases: no two that run have the same."""
        self._store: Final = store
        self._vault: Final = vault
        self._poster: Final = poster
        self._standing: Final = standing
        self._owner: Final = owner
        self._in_flight_max: Final = in_flight_max
        self._clock: Final = clock
        self._chance: Final = chance
        self._logger: Final = logger
        self._metrics: Final = metrics
        self._commit: Final = GroupCommit[Settled, None](
            self._write, clock=clock, wait_s=0.005, weight_max=1_000, weigh=lambda one: len(one.shot.calls)
        )
        self._outlets: Final[dict[UUID, Outlet]] = {}
        self._under_way: Final[set[asyncio.Task[None]]] = set()
        self._in_flight = 0
        self._has_news: Final = asyncio.Event()
        self._lease_at_s = 0.0
        self._refresh_at_s = 0.0
        self._is_stopping = False

    def nudge(self) -> None:
        """Look at once: there are new calls. A hint."""
        self._lease_at_s = 0.0
        for one in self._outlets.values():
            one.look_at_s = 0.0
        self._has_news.set()

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopping = True
        self._has_news.set()

    async def run(self) -> None:
        """Call until `stop`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit.run())
            try:
                await self._drive()
            finally:
                self._commit.stop()
        await self._release(list(self._outlets.values()))

    async def _drive(self) -> None:
        async with asyncio.TaskGroup() as group:
            while not self._is_stopping:
                self._has_news.clear()
                try:
                    await self._round()
                except StoreError as error:
                    self._logger.warning("webhooks_delayed", error=str(error))
                    await self._clock.sleep(_RETRY_S)
                self._pump(group)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await self._has_news.wait()
                except TimeoutError:
                    continue
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=_STOP_WAIT_S)
            for one in self._under_way:
                one.cancel()

    async def _round(self) -> None:
        """Lease, refresh, load, release: whatever is due of it."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._lease_at_s and len(self._outlets) < _LEASED_COUNT_MAX:
            self._lease_at_s = now_s + _LEASE_POLL_S
            await self._lease()
        if now_s >= self._refresh_at_s:
            self._refresh_at_s = now_s + _REFRESH_S
            await self._refresh()
        await self._load(now_s)
        idle = [one for one in self._outlets.values() if one.is_idle and self._is_over(one, now_s)]
        if idle:
            await self._release(idle)

    def _is_over(self, one: Outlet, now_s: float) -> bool:
        return one.is_to_release or (one.empty_since_s is not None and now_s - one.empty_since_s >= _IDLE_S)

    async def _lease(self) -> None:
        now = self._clock.now()
        count_max = _LEASED_COUNT_MAX - len(self._outlets)
        lease_until = now + timedelta(seconds=_LEASE_S)
        async with self._store.transaction() as tx:
            ids = await webhook_calls.lease(tx, self._owner, now=now, lease_until=lease_until, count_max=count_max)
            found = await webhooks.by_ids(tx, ids) if ids else ()
            secrets = await webhooks.secrets(tx, ids, now=now) if ids else {}
        for webhook in found:
            if webhook.webhook_id not in self._outlets:  # Ours all the time: its lease ran out, nobody took it.
                opened, token = self._opened(webhook, secrets.get(webhook.webhook_id, ()))
                self._outlets[webhook.webhook_id] = Outlet(webhook, opened, token)

    async def _refresh(self) -> None:
        """Read what may have changed of the leased webhooks, and keep the leases."""
        if not self._outlets:
            return
        now, ids = self._clock.now(), list(self._outlets)
        async with self._store.transaction() as tx:
            kept = await webhook_calls.renew(tx, self._owner, ids, lease_until=now + timedelta(seconds=_LEASE_S))
            found = {one.webhook_id: one for one in await webhooks.by_ids(tx, ids)}
            secrets = await webhooks.secrets(tx, ids, now=now)
        for webhook_id, outlet in list(self._outlets.items()):
            webhook = found.get(webhook_id)
            if webhook is None or webhook_id not in kept or not _is_called(webhook):
                outlet.is_to_release = True
            else:
                outlet.webhook = webhook
                outlet.secrets, outlet.token = self._opened(webhook, secrets.get(webhook_id, ()))
            if not outlet.may_call:
                outlet.drop()

    def _opened(self, webhook: Webhook, secrets: Sequence[Secret]) -> tuple[Sequence[bytes], str]:
        """Return the secrets that sign, and the token, "" for none."""
        try:
            signing = [self._vault.open(one.sealed, one.context) for one in secrets if not one.is_token]
            tokens = [self._vault.open(one.sealed, one.context).decode() for one in secrets if one.is_token]
        except StoreCorruptError as error:
            self._logger.warning("webhook_secret_closed", webhook_id=str(webhook.webhook_id), error=str(error))
            return (), ""
        return signing, tokens[0] if tokens else ""

    async def _load(self, now_s: float) -> None:
        """Load calls of the webhooks that have few."""
        now, left = self._clock.now(), _LOADED_AT_ONCE_MAX
        wanted: list[Wanted] = []
        for webhook_id, one in self._outlets.items():
            count = min(one.wanted_count(now_s), left)
            if count > 0:
                left -= count
                wait = timedelta(seconds=one.webhook.batch_wait_s if one.webhook.batch_count > 1 else 0.0)
                wanted.append(Wanted(webhook_id, count, FOREVER if one.is_probing else now + wait))
        if not wanted:
            return
        known = [call_id for one in wanted for call_id in self._outlets[one.webhook_id].known]
        async with self._store.transaction() as tx:
            found = await webhook_calls.due(tx, wanted, but=known)
        counts: dict[UUID, int] = {}
        for call in found:
            counts[call.webhook_id] = counts.get(call.webhook_id, 0) + 1
            self._outlets[call.webhook_id].offer((call,))
        for wish in wanted:
            outlet, count = self._outlets[wish.webhook_id], counts.get(wish.webhook_id, 0)
            outlet.look_at_s = now_s if count == wish.count else now_s + _POLL_S
            if outlet.is_idle:
                outlet.empty_since_s = now_s if outlet.empty_since_s is None else outlet.empty_since_s
            else:
                outlet.empty_since_s = None

    async def _release(self, outlets: Sequence[Outlet]) -> None:
        for one in outlets:
            self._outlets.pop(one.webhook.webhook_id, None)
        try:
            async with self._store.transaction() as tx:
                await webhook_calls.release(tx, self._owner, [one.webhook.webhook_id for one in outlets])
        except StoreError as error:
            self._logger.warning("webhooks_not_released", error=str(error))  # Their leases run out.

    def _pump(self, group: asyncio.TaskGroup) -> None:
        """Start calls in turns until the places are taken, or nobody has one that may go."""
        waiting = list(self._outlets.values())
        while waiting and self._in_flight < self._in_flight_max and not self._is_stopping:
            waiting = [one for one in waiting if self._start(group, one)]

    def _start(self, group: asyncio.TaskGroup, outlet: Outlet) -> bool:
        """Start one call of the webhook; return whether there was a place and a call for it."""
        if self._in_flight >= self._in_flight_max or not outlet.secrets or self._is_stopping:
            return False
        shot = outlet.next_shot(self._clock.now(), self._clock.monotonic_s())
        if shot is None:
            return False
        self._in_flight += 1
        started = group.create_task(self._call(group, outlet, shot))
        self._under_way.add(started)
        started.add_done_callback(self._under_way.discard)
        return True

    async def _call(self, group: asyncio.TaskGroup, outlet: Outlet, shot: Shot) -> None:
        began_at, webhook = self._clock.now(), outlet.webhook
        body = payload.with_token(shot.envelope(), outlet.token)
        headers = hooksign.headers(outlet.secrets, shot.name, int(began_at.timestamp()), body)
        headers |= {"Content-Type": _CONTENT_TYPE, "User-Agent": _USER_AGENT}
        if outlet.token:
            headers[hooksign.TOKEN_HEADER] = outlet.token
        try:
            answer = await self._poster.post(webhook.url, headers, body)
        except Exception:
            self._logger.exception("webhook_call_broke", webhook_id=str(webhook.webhook_id))
            self._metrics.internal.labels("webhooks").inc()
            answer = HookAnswer(error="internal")
        finally:
            was_short = self._in_flight >= self._in_flight_max
            self._in_flight -= 1
        outlet.heard(answer, self._clock.monotonic_s())
        if was_short:
            self._pump(group)  # Others may have waited for the place.
        else:
            while self._start(group, outlet):
                continue
        if outlet.wanted_count(self._clock.monotonic_s()):
            self._has_news.set()
        settled = self._judged(outlet, webhook, shot, answer, began_at)
        await self._store_outcome(settled)
        outlet.settled(shot, is_over=settled.verdict.outcome is not WebhookOutcome.RETRIED)
        await self._change_standing(outlet, webhook, answer)

    def _judged(self, outlet: Outlet, webhook: Webhook, shot: Shot, answer: HookAnswer, began_at: datetime) -> Settled:
        verdict = hook.judge(
            answer, attempt=shot.attempt, created_at=shot.created_at, now=self._clock.now(), chance=self._chance()
        )
        self._metrics.webhook_calls.labels(verdict.outcome.value).inc()
        if answer.is_taken:
            waited = self._clock.now() - min(one.created_at for one in shot.calls)
            self._metrics.webhook_time.observe(waited.total_seconds())
        was_failing = outlet.webhook.failing_since is not None
        if was_failing is answer.is_taken:  # It changes.
            since = None if answer.is_taken else self._clock.now()
            outlet.webhook = msgspec.structs.replace(outlet.webhook, failing_since=since)
        return Settled(
            shot,
            verdict,
            NewDelivery(
                webhook_id=webhook.webhook_id,
                project_id=webhook.project_id,
                name=shot.name,
                events=shot.events,
                kind=payload.BATCH if shot.is_batch else shot.calls[0].kind,
                attempt=shot.attempt,
                at=began_at,
                outcome=verdict.outcome,
                status=answer.status,
                error=answer.error,
                duration_s=answer.duration_s,
                excerpt=answer.excerpt,
                retry_at=verdict.due_at,
            ),
            was_failing,
        )

    async def _store_outcome(self, settled: Settled) -> None:
        while True:
            try:
                await self._commit.submit(settled)
                return
            except BusyError:
                if self._is_stopping:
                    return  # It is called once more by the next owner.
            except StoreError as error:
                self._logger.warning("webhook_outcome_delayed", error=str(error))
            await self._clock.sleep(_RETRY_S)

    async def _write(self, entries: Sequence[Settled]) -> Sequence[Exception | None]:
        """Store outcomes, all in one transaction (`store.batch`)."""
        over: list[int] = []
        put_off: list[PutOff] = []
        for one in entries:
            verdict = one.verdict
            if verdict.due_at is None:
                over += [call.call_id for call in one.shot.calls]
            else:
                batch = one.shot.name if one.shot.is_batch else ""
                put_off += [PutOff(c.call_id, one.shot.attempt, verdict.due_at, batch) for c in one.shot.calls]
        taken, failed = set[tuple[UUID, UUID]](), set[tuple[UUID, UUID]]()
        for one in entries:
            which = (one.delivery.project_id, one.delivery.webhook_id)
            is_taken = one.verdict.outcome is WebhookOutcome.TAKEN
            if is_taken is one.was_failing:  # It changes.
                (taken if is_taken else failed).add(which)
        async with self._store.transaction() as tx:
            await webhook_calls.settle(tx, over=over, put_off=put_off)
            await webhook_log.insert(tx, [one.delivery for one in entries])
            if failed:
                await webhooks.mark_failing(tx, sorted(failed), now=self._clock.now())
            if taken:
                await webhooks.mark_taking(tx, sorted(taken))
        return [None] * len(entries)

    async def _change_standing(self, outlet: Outlet, webhook: Webhook, answer: HookAnswer) -> None:
        """Pause, resume or disable the webhook, where the answer asks for it."""
        is_failing_long = hook.is_to_pause(outlet.webhook.failing_since, self._clock.now())
        try:
            if answer.is_gone:
                await self._standing.disable(webhook)
            elif webhook.state is WebhookState.FAILING and answer.is_taken:
                await self._standing.resume(webhook)
            elif webhook.state is WebhookState.FAILING or (is_failing_long and not answer.is_taken):
                await self._standing.pause(webhook, answer.error or f"it answered {answer.status}")
            else:
                return
        except StoreError as error:
            self._logger.warning("webhook_standing_delayed", error=str(error))
            return
        outlet.is_to_release = True  # To be leased anew, as what it is now.
        outlet.drop()
        self._has_news.set()


def _is_called(webhook: Webhook) -> bool:
    return webhook.state in (WebhookState.ACTIVE, WebhookState.FAILING)
