"""/v1/webhooks: a project's events told to its own servers.

    POST /webhooks {"url": "https://shop.example/hooks", "kinds": ["delivered", "bounced"]}    --> with its `secret`

Changes count within a second or two. What is called is checked again with each connection, so a URL that was taken may
still not be called. docs/howto/webhooks.md says what calls look like and how to verify them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import digits, limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import EventKind, KeyScope, WebhookOrdering, WebhookOutcome, WebhookState
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.webhooks import endpoints as service
from outrider.services.webhooks.endpoints import Delivery, Shown, Webhook, Wish

_FIELDS: Final = {"webhook_id": "id", "delivery_id": "delivery"}
_URL: Final = Meta(
    examples=["https://shop.example/hooks/mail"],
    description="https, at a public address. Redirects are not followed.",
)
_KINDS: Final = Meta(description="Only these events; empty: all. `docs/reference/events.md` has them.")
_ORDERING: Final = Meta(description="Calls about one recipient, or message, go one after the other.")
_BATCH: Final = Meta(
    ge=1, le=limits.WEBHOOK_BATCH_COUNT_MAX, description="Over 1: calls tell up to so many events at once."
)
_BATCH_WAIT: Final = Meta(
    ge=0, le=limits.WEBHOOK_BATCH_WAIT_S_MAX, description="How long an event may wait for others to travel with."
)
_TOKEN: Final = Meta(description="Travels with each call, as X-Webhook-Token and as `Token` in the body.")
_OVERLAP: Final = Meta(
    ge=0, le=limits.WEBHOOK_OVERLAP_S_MAX, description="For how long the old secret signs too; a day by default."
)


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server to tell."""

    url: Annotated[str, _URL]
    description: str = ""
    kinds: Annotated[list[EventKind], _KINDS] = []
    ordering: Annotated[WebhookOrdering, _ORDERING] = WebhookOrdering.NONE
    batch_count: Annotated[int, _BATCH] = 1
    batch_wait_s: Annotated[float, _BATCH_WAIT] = 0.0
    token: Annotated[str, _TOKEN] = ""
    secret: Annotated[str, Meta(description="`whsec_...` of your own; empty: one is made.")] = ""


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    url: Annotated[str, _URL] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    kinds: Annotated[list[EventKind], _KINDS] | UnsetType = UNSET
    ordering: Annotated[WebhookOrdering, _ORDERING] | UnsetType = UNSET
    batch_count: Annotated[int, _BATCH] | UnsetType = UNSET
    batch_wait_s: Annotated[float, _BATCH_WAIT] | UnsetType = UNSET
    token: Annotated[str | UnsetType, Meta(description="Empty: none any more.")] = UNSET


class WebhookRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a secret is replaced."""

    overlap_s: Annotated[float, _OVERLAP] = 86_400.0
    secret: Annotated[str, Meta(description="`whsec_...` of your own; empty: one is made.")] = ""


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to tell again: what happened in a time, or events by their ids."""

    since: datetime | None = None
    until: Annotated[datetime | None, Meta(description="Before then; without it: up to now.")] = None
    after: Annotated[str, Meta(description="`next` of the answer before, to go on.")] = ""
    ids: Annotated[list[str], Meta(max_length=limits.WEBHOOK_REPLAY_IDS_COUNT_MAX)] = []


class WebhookShown(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is told."""

    id: UUID
    url: str
    description: str
    kinds: Annotated[Sequence[EventKind], _KINDS]
    ordering: WebhookOrdering
    batch_count: int
    batch_wait_s: float
    state: WebhookState
    state_reason: Annotated[str, Meta(description="Why it is disabled or failing; empty: somebody's decision.")]
    state_at: datetime
    failing_since: Annotated[datetime | None, Meta(description="The first failure since a call was taken.")]
    created_at: datetime
    updated_at: datetime


class WebhookDetail(WebhookShown, frozen=True, kw_only=True):
    """The same with what waits for it."""

    has_token: bool
    old_secret_ends_at: Annotated[datetime | None, Meta(description="Until when an old secret signs too.")]
    waiting_count: Annotated[int, Meta(description="Events that wait to be told; counted up to 10,000.")]
    waiting_since: datetime | None


class WebhookMade(WebhookShown, frozen=True, kw_only=True):
    """The same with its secret, which is shown this once."""

    secret: str


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, oldest first."""

    webhooks: Sequence[WebhookShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class TestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said to a test."""

    __test__ = False  # It is no test of ours.

    is_taken: Annotated[bool, Meta(description="It answered 2xx.")]
    status: Annotated[int, Meta(description="0: it did not answer; `error` says why.")]
    error: str
    duration_s: float
    excerpt: Annotated[str, Meta(description="How its answer begins.")]


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are told again."""

    count: int
    next: Annotated[str | None, Meta(description="For `after`, with the same times; null: these were all.")]


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls to list."""

    outcome: Annotated[list[WebhookOutcome], Meta(description="Only these.")] = []
    after: Annotated[str, Meta(description="`next` of the page before; without it: the first.")] = ""
    limit: Annotated[int, Meta(ge=1, le=paging.LIMIT_MAX)] = 100


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """How a call went."""

    id: int
    webhook_id: Annotated[str, Meta(description="The header webhook-id of the call, the same for all its attempts.")]
    events: Annotated[Sequence[str], Meta(description="The ids of what it told.")]
    kind: Annotated[str, Meta(description="Of the event; `batch` of several.")]
    attempt: int
    at: datetime
    outcome: WebhookOutcome
    status: Annotated[int, Meta(description="0: no answer; `error` says why.")]
    error: str
    duration_s: float
    excerpt: Annotated[str, Meta(description="How the answer began.")]
    retry_at: datetime | None


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first."""

    deliveries: Sequence[DeliveryShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/webhooks."""
    acts = _Webhooks(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope = KeyScope.MANAGE, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Webhooks", fields=_FIELDS, **more)

    return [
        row("POST", "/webhooks", acts.add_webhook, status=201),
        row("GET", "/webhooks", acts.list_webhooks, KeyScope.READ),
        row("GET", "/webhooks/{id}", acts.show_webhook, KeyScope.READ),
        row("PATCH", "/webhooks/{id}", acts.change_webhook),
        row("DELETE", "/webhooks/{id}", acts.remove_webhook),
        row("POST", "/webhooks/{id}/test", acts.test_webhook),
        row("POST", "/webhooks/{id}/rotate", acts.rotate_webhook),
        row("POST", "/webhooks/{id}/pause", acts.pause_webhook),
        row("POST", "/webhooks/{id}/disable", acts.disable_webhook),
        row("POST", "/webhooks/{id}/resume", acts.resume_webhook),
        row("POST", "/webhooks/{id}/replay", acts.replay_events, status=202),
        row("GET", "/webhooks/{id}/deliveries", acts.list_deliveries, KeyScope.READ),
        row("POST", "/webhooks/{id}/deliveries/{delivery}/retry", acts.retry_delivery, status=202),
    ]


class _Webhooks:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    @property
    def _service(self) -> service.Webhooks:
        return self._ports.services.webhooks

    async def add_webhook(self, call: Call, body: NewWebhook) -> WebhookMade:
        """Tell a server what happens from now on. The answer has the secret that signs each call; keep it."""
        wish = Wish(
            url=body.url,
            description=body.description,
            kinds=body.kinds,
            ordering=body.ordering,
            batch_count=body.batch_count,
            batch_wait_s=body.batch_wait_s,
        )
        made = await self._service.add(call.project_id, wish, token=body.token, secret=body.secret)
        return WebhookMade(**_facts(made.webhook), secret=made.secret)

    async def list_webhooks(self, call: Call, query: PageQuery) -> WebhookList:
        """List the webhooks, oldest first."""
        found = await self._service.page(call.project_id, cursor=query.after, count_max=query.limit + 1)
        page, next_cursor = paging.cut(found, query.limit, service.place_of)
        return WebhookList(webhooks=[WebhookShown(**_facts(one)) for one in page], next=next_cursor)

    async def show_webhook(self, call: Call, id: UUID) -> WebhookDetail:  # noqa: A002 - the name in the path.
        """Show a webhook, and what waits for it."""
        return _detail(await self._service.show(call.project_id, id))

    async def change_webhook(self, call: Call, id: UUID, body: WebhookChange) -> WebhookDetail:  # noqa: A002
        """Change a webhook. Calls that wait go to the new URL."""
        changes = reading.given(body)
        token = changes.pop("token", None)
        return _detail(await self._service.change(call.project_id, id, changes, token=token))

    async def remove_webhook(self, call: Call, id: UUID) -> None:  # noqa: A002
        """Forget a webhook, with what waits for it and how its calls went."""
        await self._service.remove(call.project_id, id)

    async def test_webhook(self, call: Call, id: UUID) -> TestAnswer:  # noqa: A002
        """Call it now with an event `webhook.test`, and say what it answers."""
        answer = await self._service.test(call.project_id, id)
        return TestAnswer(
            is_taken=answer.is_taken,
            status=answer.status,
            error=answer.error,
            duration_s=answer.duration_s,
            excerpt=answer.excerpt,
        )

    async def rotate_webhook(self, call: Call, id: UUID, body: WebhookRotation) -> WebhookMade:  # noqa: A002
        """Sign with another secret; the old one signs too for a while."""
        overlap = timedelta(seconds=body.overlap_s)
        made = await self._service.rotate(call.project_id, id, overlap=overlap, secret=body.secret)
        return WebhookMade(**_facts(made.webhook), secret=made.secret)

    async def pause_webhook(self, call: Call, id: UUID) -> WebhookDetail:  # noqa: A002
        """Make no calls for now. They wait, three days at most."""
        return _detail(await self._service.pause(call.project_id, id))

    async def disable_webhook(self, call: Call, id: UUID) -> WebhookDetail:  # noqa: A002
        """Tell it nothing of what happens from now on."""
        return _detail(await self._service.disable(call.project_id, id))

    async def resume_webhook(self, call: Call, id: UUID) -> WebhookDetail:  # noqa: A002
        """Call it again, with all that waits, at once."""
        return _detail(await self._service.resume(call.project_id, id))

    async def replay_events(self, call: Call, id: UUID, body: Replay) -> ReplayAnswer:  # noqa: A002
        """Tell it again, under the same names, what happened in a time, or events by their ids."""
        if body.ids and (body.since or body.until or body.after):
            raise CallerError("Events by their ids, or those of a time; not both.", field="ids")
        if body.ids:
            done = await self._service.replay_ids(call.project_id, id, body.ids)
        elif body.since is not None:
            done = await self._service.replay(
                call.project_id, id, since=body.since, until=body.until, cursor=body.after
            )
        else:
            await self._service.show(call.project_id, id)
            raise CallerError("Since when? Or events by their ids.", field="since")
        return ReplayAnswer(count=done.count, next=done.next_cursor or None)

    async def list_deliveries(self, call: Call, id: UUID, query: DeliveryQuery) -> DeliveryList:  # noqa: A002
        """List how its calls went, newest first; kept for a week."""
        found = await self._service.deliveries(
            call.project_id, id, cursor=query.after, outcomes=query.outcome, count_max=query.limit + 1
        )
        page, next_cursor = paging.cut(found, query.limit, lambda one: str(one.delivery_id))
        return DeliveryList(deliveries=[_delivery(one) for one in page], next=next_cursor)

    async def retry_delivery(self, call: Call, id: UUID, delivery: str) -> ReplayAnswer:  # noqa: A002
        """Make a call again, now, under the same name."""
        number = digits.parse(delivery)
        if number is None:
            raise NotFoundError("There is nothing with that number.", field="delivery")
        count = await self._service.retry(call.project_id, id, number)
        return ReplayAnswer(count=count, next=None)


def _facts(one: Webhook) -> dict[str, Any]:
    return {
        "id": one.webhook_id,
        "url": one.url,
        "description": one.description,
        "kinds": one.kinds,
        "ordering": one.ordering,
        "batch_count": one.batch_count,
        "batch_wait_s": one.batch_wait_s,
        "state": one.state,
        "state_reason": one.state_reason,
        "state_at": one.state_at,
        "failing_since": one.failing_since,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


def _detail(shown: Shown) -> WebhookDetail:
    return WebhookDetail(
        **_facts(shown.webhook),
        has_token=shown.has_token,
        old_secret_ends_at=shown.old_secret_ends_at,
        waiting_count=shown.backlog.count,
        waiting_since=shown.backlog.oldest_at,
    )


def _delivery(one: Delivery) -> DeliveryShown:
    return DeliveryShown(
        id=one.delivery_id,
        webhook_id=one.name,
        events=one.events,
        kind=one.kind,
        attempt=one.attempt,
        at=one.at,
        outcome=one.outcome,
        status=one.status,
        error=one.error,
        duration_s=one.duration_s,
        excerpt=one.excerpt,
        retry_at=one.retry_at,
    )
