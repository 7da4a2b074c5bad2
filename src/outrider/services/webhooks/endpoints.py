"""What customers do with their webhooks: make, change, pause and remove them, try one, tell it what it has missed.

A secret is shown when it is made, and never again. `rotate` makes another; the old one signs too for a while, so that
the other side can change in its own time. What is told again (`replay`, `retry`) is read from the event log and goes
out under the same names, so that a server that has had it can tell.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Protocol, Self
from uuid import UUID

import msgspec

from outrider.base import digits, ids, instants, limits, places
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import EventKind, WebhookOrdering, WebhookOutcome, WebhookState
from outrider.engine import story
from outrider.policy.hook import HookAnswer
from outrider.services.webhooks import dispatch, payload
from outrider.services.webhooks.standing import FOREVER
from outrider.store import project_feed, webhook_calls, webhook_log, webhooks
from outrider.store.events import Cursor, Event
from outrider.store.pool import Store, Tx
from outrider.store.project_feed import Position
from outrider.store.vault import Vault
from outrider.store.webhook_calls import Backlog
from outrider.store.webhook_log import Delivery
from outrider.store.webhooks import Secret, Told, Webhook
from outrider.wire import hooksign

__all__ = ["Backlog", "Delivery", "Webhook", "Webhooks"]  # With the records a caller meets.

_SECRET_BYTES: Final = 32
_BACKLOG_COUNT_MAX: Final = 10_000  # Ours: what is counted of a backlog; more is "many".
_REPLAY_PAGE_COUNT: Final = 1_000  # Ours: events a transaction.
_REPLAY_PAGES_MAX: Final = 20  # Ours: each looks at up to 20,000 events of everybody's.
_OVERLAP: Final = timedelta(days=1)  # Ours: of secrets, unless somebody says.
_AGAIN_S: Final = 60.0


class Poster(Protocol):
    """Makes calls (`net.hook`), inside its block."""

    async def __aenter__(self) -> Self:
        """Open what calls need."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    def check(self, url: str) -> None:
        """Refuse a URL that is not called. Raises CallerError: `field` is "url"."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> HookAnswer:
        """Make a call; return what came of it."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody chooses of a webhook."""

    url: str
    description: str = ""
    kinds: Sequence[EventKind] = ()
    ordering: WebhookOrdering = WebhookOrdering.NONE
    batch_count: int = 1
    batch_wait_s: float = 0.0


class Made(msgspec.Struct, frozen=True):
    """A webhook that was made, with its secret, which nobody is shown again."""

    webhook: Webhook
    secret: str


class Shown(msgspec.Struct, frozen=True):
    """A webhook with what is known of it now."""

    webhook: Webhook
    backlog: Backlog
    has_token: bool
    old_secret_ends_at: datetime | None  # Until when an old secret signs too.


class Replayed(msgspec.Struct, frozen=True):
    """How many events are told again, and where to go on; "": these were all."""

    count: int
    next_cursor: str


class Webhooks:
    """The webhooks of all projects."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        make_poster: Callable[[], Poster],
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
    ) -> None:
        self._store: Final = store
        self._vault: Final = vault
        self._make_poster: Final = make_poster
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def add(self, project_id: UUID, wish: Wish, *, token: str = "", secret: str = "") -> Made:
        """Make a webhook; it is told what happens from now on.

        Args:
            token: travels with each call as it is, "" for none.
            secret: to sign with, "" for a new one.

        Raises:
            CallerError: `field` names what is wrong.
            LimitReachedError: the project has as many as it may have.
        """
        now = self._clock.now()
        self._check(wish)
        octets = hooksign.parse_secret(secret) if secret else self._new_secret()
        webhook = Webhook(
            webhook_id=self._new_id(now),
            project_id=project_id,
            url=wish.url,
            description=wish.description,
            kinds=tuple(wish.kinds),
            ordering=wish.ordering,
            batch_count=wish.batch_count,
            batch_wait_s=wish.batch_wait_s,
            state_at=now,
            created_at=now,
            updated_at=now,
        )
        sealed = [self._sealed(webhook, octets, now)]
        if token:
            sealed.append(self._sealed(webhook, _checked_token(token), now, is_token=True))
        async with self._store.transaction() as tx:
            most = limits.WEBHOOKS_OF_ONE_COUNT_MAX
            if not await webhooks.insert(tx, webhook, count_max=most):
                raise LimitReachedError(f"A project has at most {most} webhooks.", retry_after_s=_AGAIN_S)
            for one in sealed:
                await webhooks.add_secret(tx, one)
        return Made(webhook, hooksign.secret_text(octets))

    async def show(self, project_id: UUID, webhook_id: UUID) -> Shown:
        """Return the webhook. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            found = _found(await webhooks.find(tx, project_id, webhook_id))
            return await self._shown(tx, found)

    async def page(self, project_id: UUID, *, cursor: str = "", count_max: int) -> Sequence[Webhook]:
        """Return webhooks, oldest first, behind `cursor` (`place_of`). Raises CallerError: it is none of ours."""
        after = webhooks.BEGINNING
        if cursor:
            at, hex_id = places.parse(cursor)
            after = (at, UUID(hex_id))
        async with self._store.transaction() as tx:
            return await webhooks.of_project(tx, project_id, after=after, count_max=count_max)

    async def change(
        self, project_id: UUID, webhook_id: UUID, changes: Mapping[str, object], *, token: str | None = None
    ) -> Shown:
        """Change what was chosen, by the names in `Wish`; effective within a second or two. None leaves the token.

        Raises:
            NotFoundError: the project has no such webhook.
            CallerError: `field` names what is wrong.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = _found(await webhooks.lock(tx, project_id, webhook_id))
            chosen = {name: getattr(found, name) for name in Wish.__struct_fields__}
            wish = Wish(**chosen | dict(changes))
            self._check(wish)
            changed = msgspec.structs.replace(found, **changes, updated_at=now)
            await webhooks.change(tx, changed)
            if token is not None:
                await webhooks.end_secrets(tx, project_id, webhook_id, is_token=True, ends_at=now, now=now)
            if token:
                await webhooks.add_secret(tx, self._sealed(found, _checked_token(token), now, is_token=True))
            return await self._shown(tx, changed)

    async def remove(self, project_id: UUID, webhook_id: UUID) -> None:
        """Forget a webhook, what waits for it and how it went. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            _found(await webhooks.lock(tx, project_id, webhook_id))
            await webhooks.remove(tx, project_id, webhook_id)

    async def rotate(
        self, project_id: UUID, webhook_id: UUID, *, overlap: timedelta | None = None, secret: str = ""
    ) -> Made:
        """Give a webhook another secret; what it had signs too for `overlap`, a day unless somebody says.

        Raises:
            NotFoundError: the project has no such webhook.
            CallerError: `overlap` or `secret` is none.
            LimitReachedError: it has several already that have not ended.
        """
        now, overlap = self._clock.now(), _OVERLAP if overlap is None else overlap
        if not timedelta(0) <= overlap <= timedelta(seconds=limits.WEBHOOK_OVERLAP_S_MAX):
            most = int(limits.WEBHOOK_OVERLAP_S_MAX)
            raise CallerError(f"Secrets overlap for 0 to {most} seconds.", field="overlap_s")
        octets = hooksign.parse_secret(secret) if secret else self._new_secret()
        async with self._store.transaction() as tx:
            found = _found(await webhooks.lock(tx, project_id, webhook_id))
            await webhooks.end_secrets(tx, project_id, webhook_id, is_token=False, ends_at=now + overlap, now=now)
            known = (await webhooks.secrets(tx, [webhook_id], now=now)).get(webhook_id, ())
            if sum(not one.is_token for one in known) >= limits.WEBHOOK_SECRETS_COUNT_MAX:
                raise LimitReachedError(
                    "Too many old secrets still sign; wait, or overlap less.", retry_after_s=_AGAIN_S
                )
            await webhooks.add_secret(tx, self._sealed(found, octets, now))
        return Made(found, hooksign.secret_text(octets))

    async def pause(self, project_id: UUID, webhook_id: UUID) -> Shown:
        """Make no calls for now; they wait, three days at most. Safe twice. Raises NotFoundError."""
        return await self._hold(project_id, webhook_id, WebhookState.PAUSED)

    async def disable(self, project_id: UUID, webhook_id: UUID) -> Shown:
        """Tell the webhook nothing of what happens from now on. Safe twice. Raises NotFoundError."""
        return await self._hold(project_id, webhook_id, WebhookState.DISABLED)

    async def resume(self, project_id: UUID, webhook_id: UUID) -> Shown:
        """Call the webhook again, with all that waits, at once. Safe twice. Raises NotFoundError."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = _found(await webhooks.lock(tx, project_id, webhook_id))
            if found.state is not WebhookState.ACTIVE:
                await webhooks.set_state(tx, found, WebhookState.ACTIVE, reason="", now=now, failing_since=None)
                await webhook_calls.let_go(tx, project_id, webhook_id, now=now)
            return await self._shown(tx, _found(await webhooks.find(tx, project_id, webhook_id)))

    async def test(self, project_id: UUID, webhook_id: UUID) -> HookAnswer:
        """Call the webhook now with an event `webhook.test`; return its answer. Raises NotFoundError.

        It is not logged, not tried again, and changes nothing of what is known of the webhook.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = _found(await webhooks.find(tx, project_id, webhook_id))
            secrets = (await webhooks.secrets(tx, [webhook_id], now=now)).get(webhook_id, ())
        signing = [self._vault.open(one.sealed, one.context) for one in secrets if not one.is_token]
        token = next((self._vault.open(one.sealed, one.context).decode() for one in secrets if one.is_token), "")
        envelope = payload.of_test(now)
        if found.batch_count > 1:
            envelope = payload.of_batch([envelope], now)
        body = payload.with_token(envelope, token)
        headers = hooksign.headers(signing, f"test-{self._new_id(now).hex}", int(now.timestamp()), body)
        headers |= {"Content-Type": "application/json"}
        if token:
            headers[hooksign.TOKEN_HEADER] = token
        async with self._make_poster() as poster:
            return await poster.post(found.url, headers, body)

    async def replay(
        self, project_id: UUID, webhook_id: UUID, *, since: datetime, until: datetime | None = None, cursor: str = ""
    ) -> Replayed:
        """Tell the webhook again of what happened in that time, of the kinds that it wants; bounded.

        Args:
            until: None: up to now.
            cursor: `next_cursor` of the call before.

        Raises:
            NotFoundError: the project has no such webhook.
            ConflictError: it is disabled.
            CallerError: an instant without a zone, or a cursor that is none.
        """
        begin, end = instants.aware(since, "since"), instants.aware(until or self._clock.now(), "until")
        since = max(project_feed.EVER, begin)
        after = story.parse_cursor(cursor) if cursor else Position(Cursor(), since, since)
        count = 0
        for _ in range(_REPLAY_PAGES_MAX):
            async with self._store.transaction() as tx:
                told = await self._to_tell(tx, project_id, webhook_id)
                kinds = [EventKind(word) for word in told.kinds]
                found = await project_feed.page(tx, project_id, after, kinds=kinds, count_max=_REPLAY_PAGE_COUNT)
                count += await self._tell(tx, told, [one for one in found.events if begin <= one.at < end])
            after = found.position
            if found.is_end:
                return Replayed(count, "")
            if count >= limits.WEBHOOK_REPLAY_COUNT_MAX:
                break
        return Replayed(count, story.cursor_text(after))

    async def replay_ids(self, project_id: UUID, webhook_id: UUID, event_ids: Sequence[str]) -> Replayed:
        """Tell the webhook again of these events, of whatever kind; those that are not the project's are left out.

        Raises:
            NotFoundError: the project has no such webhook.
            ConflictError: it is disabled.
            CallerError: one is no id of an event, or there are too many; `field` is "ids".
        """
        if len(event_ids) > limits.WEBHOOK_REPLAY_IDS_COUNT_MAX:
            raise CallerError(f"At most {limits.WEBHOOK_REPLAY_IDS_COUNT_MAX} at a time.", field="ids")
        try:
            wanted = [story.parse_cursor(one) for one in event_ids]
        except CallerError as error:
            raise CallerError("One of them is no id of an event.", field="ids") from error
        async with self._store.transaction() as tx:
            told = await self._to_tell(tx, project_id, webhook_id)
            found = await project_feed.by_place(tx, project_id, wanted)
            return Replayed(await self._tell(tx, told, found), "")

    async def deliveries(
        self,
        project_id: UUID,
        webhook_id: UUID,
        *,
        cursor: str = "",
        outcomes: Sequence[WebhookOutcome] = (),
        count_max: int,
    ) -> Sequence[Delivery]:
        """Return how its calls went, newest first, behind the `delivery_id` that `cursor` is.

        Raises:
            NotFoundError: the project has no such webhook.
            CallerError: the cursor is none.
        """
        before = digits.parse(cursor) if cursor else webhook_log.ID_MAX
        if before is None:
            raise CallerError("That is no cursor of this list; take `next` of a page as it is.", field="after")
        async with self._store.transaction() as tx:
            _found(await webhooks.find(tx, project_id, webhook_id))
            return await webhook_log.page(
                tx, project_id, webhook_id, before=before, outcomes=outcomes, count_max=count_max
            )

    async def retry(self, project_id: UUID, webhook_id: UUID, delivery_id: int) -> int:
        """Tell the webhook again what a call told it; return how many events that are.

        Raises:
            NotFoundError: there is no such call, or its events are no longer in the log.
            ConflictError: the webhook is disabled.
        """
        async with self._store.transaction() as tx:
            told = await self._to_tell(tx, project_id, webhook_id)
            delivery = await webhook_log.find(tx, project_id, webhook_id, delivery_id)
            if delivery is None:
                raise NotFoundError("The webhook has no such delivery.", field="delivery_id")
            wanted = [story.parse_cursor(one) for one in delivery.events]
            found = await project_feed.by_place(tx, project_id, wanted)
            if not found:
                raise NotFoundError("What it told is no longer in the event log.", field="delivery_id")
            return await self._tell(tx, told, found)

    async def _hold(self, project_id: UUID, webhook_id: UUID, state: WebhookState) -> Shown:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found = _found(await webhooks.lock(tx, project_id, webhook_id))
            if found.state is not state:
                await webhooks.set_state(tx, found, state, reason="", now=now, failing_since=found.failing_since)
                await webhook_calls.hold(tx, project_id, webhook_id, until=FOREVER)
            return await self._shown(tx, _found(await webhooks.find(tx, project_id, webhook_id)))

    async def _to_tell(self, tx: Tx, project_id: UUID, webhook_id: UUID) -> Told:
        """Return the webhook as one that is told of old events too. Raises NotFoundError, ConflictError."""
        _found(await webhooks.find(tx, project_id, webhook_id))
        for one in await webhooks.told(tx, [project_id]):
            if one.webhook_id == webhook_id:
                return msgspec.structs.replace(one, told_from=project_feed.EVER)
        raise ConflictError("The webhook is disabled; resume it first.", field="webhook_id")

    async def _tell(self, tx: Tx, told: Told, found: Sequence[Event]) -> int:
        """Make calls of these events, whatever their kind."""
        now, anyhow = self._clock.now(), msgspec.structs.replace(told, kinds=frozenset())
        logged = await story.described(tx, found)
        calls = [
            call
            for event, line in zip(found, logged, strict=True)
            for call in dispatch.calls_of(event, line, [anyhow], now)
        ]
        if calls:
            await webhook_calls.insert(tx, calls)
            await webhook_calls.wake(tx, {told.webhook_id: now})
        return len(calls)

    async def _shown(self, tx: Tx, webhook: Webhook) -> Shown:
        now = self._clock.now()
        place = (webhook.project_id, webhook.webhook_id)
        backlog = await webhook_calls.backlog(tx, *place, count_max=_BACKLOG_COUNT_MAX)
        secrets = (await webhooks.secrets(tx, [webhook.webhook_id], now=now)).get(webhook.webhook_id, ())
        ends = [one.ends_at for one in secrets if one.ends_at is not None and not one.is_token]
        return Shown(webhook, backlog, any(one.is_token for one in secrets), max(ends, default=None))

    def _check(self, wish: Wish) -> None:
        """Refuse what cannot be. Raises CallerError."""
        self._make_poster().check(wish.url)
        if len(wish.description) > limits.WEBHOOK_DESCRIPTION_CHARS_MAX or not wish.description.isprintable():
            most = limits.WEBHOOK_DESCRIPTION_CHARS_MAX
            raise CallerError(f"A description is one line of at most {most} characters.", field="description")
        if not 1 <= wish.batch_count <= limits.WEBHOOK_BATCH_COUNT_MAX:
            raise CallerError(f"A call tells 1 to {limits.WEBHOOK_BATCH_COUNT_MAX} events.", field="batch_count")
        if not 0 <= wish.batch_wait_s <= limits.WEBHOOK_BATCH_WAIT_S_MAX:
            most_s = int(limits.WEBHOOK_BATCH_WAIT_S_MAX)
            raise CallerError(f"An event waits 0 to {most_s} seconds for others.", field="batch_wait_s")

    def _sealed(self, webhook: Webhook, octets: bytes, now: datetime, *, is_token: bool = False) -> Secret:
        secret_id = self._new_id(now)
        return Secret(
            secret_id=secret_id,
            webhook_id=webhook.webhook_id,
            project_id=webhook.project_id,
            is_token=is_token,
            sealed=self._vault.seal(octets, webhooks.context_of(secret_id)),
            created_at=now,
        )

    def _new_secret(self) -> bytes:
        return self._random_bits(8 * _SECRET_BYTES).to_bytes(_SECRET_BYTES)

    def _new_id(self, now: datetime) -> UUID:
        return ids.uuid7(now, self._random_bits(74))


def place_of(webhook: Webhook) -> str:
    """Return the cursor behind that webhook."""
    return places.text(webhook.created_at, webhook.webhook_id.hex)


def _found(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise NotFoundError("The project has no such webhook.", field="webhook_id")
    return webhook


def _checked_token(token: str) -> bytes:
    if len(token) > limits.WEBHOOK_TOKEN_CHARS_MAX or not (token.isascii() and token.isprintable()):
        most = limits.WEBHOOK_TOKEN_CHARS_MAX
        raise CallerError(f"A token is at most {most} visible characters of ASCII.", field="token")
    return token.encode()
