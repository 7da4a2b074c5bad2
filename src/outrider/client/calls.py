"""Each call as a value: method, path, body, and what its answer is. Nothing here talks to anybody.

A function here is a method of both clients: `calls.send(mail)` makes the `Call` that `Outrider.send(mail)` carries out
and `await AsyncOutrider.send(mail)` too. So a call is written once, with its types and its words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from outrider.client import paths
from outrider.client.records import (
    Accepted,
    BatchAccepted,
    Cancelled,
    Content,
    Event,
    EventPage,
    Mail,
    Message,
    MessageEvent,
    MessageEventPage,
    MessageListed,
    MessagePage,
)
from outrider.client.webhooks import Replayed, Webhook, WebhookDetail, WebhookMade, WebhookPage, WebhookTested

T = TypeVar("T")
Row_co = TypeVar("Row_co", covariant=True)
_encode: Final = msgspec.json.Encoder().encode


class Page(Protocol[Row_co]):
    """A part of a list."""

    @property
    def rows(self) -> Sequence[Row_co]:
        """What is on it."""

    @property
    def following(self) -> str | None:
        """Where the next part begins; None: this was the last."""


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One call. Carried out twice it happens twice, unless it has an idempotency key."""

    method: str
    path: str  # Below /v1, quoted, with the query.
    answer: Any = None  # The type of the answer's JSON; None: the answer says nothing.
    body: bytes | None = None
    idempotency_key: str | None = None  # None: one is made, "": it has none.
    is_repeatable: bool = True  # Twice is as good as once, so that it may be tried again when no answer came.
    # When to try again for the parts of an answer that may pass; None: it is the last.
    passing_s: Callable[[Any], float | None] | None = None


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A list that is read page by page: `page` makes the call for the one behind a cursor."""

    page: Callable[[str], Call[Page[T]]]
    after: str = ""


class Following(msgspec.Struct, frozen=True):
    """A stream of events, from a cursor on."""

    path: str
    after: str = ""


def send(mail: Mail, *, idempotency_key: str | None = None) -> Call[Accepted]:
    """Hand in a mail. It is on disk there when this returns, once, however often it had to be tried.

    Give an `idempotency_key` of your own (an order's number) to be safe when your own program repeats itself, too.
    """
    return Call(
        method="POST", path="/emails", answer=Accepted, body=_encode(mail), idempotency_key=_key(idempotency_key)
    )


def send_batch(mails: Iterable[Mail], *, idempotency_key: str | None = None) -> Call[BatchAccepted]:
    """Hand in up to 1,000 mails. Each is accepted or refused for itself; `results` has one for each, in order.

    While some are refused for a reason that passes (a rate, a full queue), the batch is tried again: with its key,
    nothing is accepted twice. If such a try fails, what the one before it was told is returned, for that was accepted.
    """
    return Call(
        method="POST",
        path="/emails/batch",
        answer=BatchAccepted,
        body=_encode({"emails": list(mails)}),
        idempotency_key=_key(idempotency_key),
        passing_s=_passing_s,
    )


def show(message_id: str | UUID) -> Call[Message]:
    """Return a message and what became of each of its recipients."""
    return Call(method="GET", path=f"/emails/{paths.part(message_id)}", answer=Message, idempotency_key="")


def show_content(message_id: str | UUID) -> Call[Content]:
    """Return what was handed in, without the octets of files."""
    return Call(method="GET", path=f"/emails/{paths.part(message_id)}/content", answer=Content, idempotency_key="")


def cancel(message_id: str | UUID) -> Call[Cancelled]:
    """Stop what of a message is not sent yet."""
    path = f"/emails/{paths.part(message_id)}/cancel"
    return Call(method="POST", path=path, answer=Cancelled, idempotency_key="")


def resend(
    message_id: str | UUID,
    *,
    to: Sequence[str] = (),
    statuses: Sequence[str] = (),
    idempotency_key: str | None = None,
) -> Call[Accepted]:
    """Send a message again as a new one: to all its recipients, to those in `to`, or to those that ended so."""
    body = {name: list(given) for name, given in (("to", to), ("status", statuses)) if given}
    path = f"/emails/{paths.part(message_id)}/resend"
    return Call(method="POST", path=path, answer=Accepted, body=_encode(body), idempotency_key=_key(idempotency_key))


def messages(
    *,
    statuses: Sequence[str] = (),
    to: str = "",
    sender: str = "",
    tag: str = "",
    stream: str = "",
    campaign: str = "",
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    after: str = "",
    page_count: int = 100,
) -> Listing[MessageListed]:
    """Go through messages, newest first, page by page as they are asked for."""
    given = {
        "status": list(statuses),
        "to": to,
        "from": sender,
        "tag": tag,
        "stream": stream,
        "campaign": campaign,
        "subject": subject,
        "since": _instant(since),
        "until": _instant(until),
        "limit": page_count,
    }

    def page(cursor: str) -> Call[Page[MessageListed]]:
        return Call(
            method="GET", path=paths.with_query("/emails", given, after=cursor), answer=MessagePage, idempotency_key=""
        )

    return Listing(page, after)


def message_events(message_id: str | UUID, *, after: str = "", page_count: int = 1000) -> Listing[MessageEvent]:
    """Go through what happened to a message, oldest first."""
    path = f"/emails/{paths.part(message_id)}/events"

    def page(cursor: str) -> Call[Page[MessageEvent]]:
        target = paths.with_query(path, {"limit": page_count}, after=cursor)
        return Call(method="GET", path=target, answer=MessageEventPage, idempotency_key="")

    return Listing(page, after)


def read_events(
    *, after: str = "", since: datetime | None = None, kinds: Sequence[str] = (), limit: int = 1000
) -> Call[EventPage]:
    """Return a page of the project's event log. Keep its `next`, and a program that was down goes on where it was."""
    path = paths.with_query("/events", {"kind": list(kinds), "since": _instant(since), "limit": limit}, after=after)
    return Call(method="GET", path=path, answer=EventPage, idempotency_key="")


def events(
    *, after: str = "", since: datetime | None = None, kinds: Sequence[str] = (), page_count: int = 1000
) -> Listing[Event]:
    """Go through the project's event log up to now: behind the event of that id, or from an instant on."""

    def page(cursor: str) -> Call[Page[Event]]:
        begins = None if cursor else since
        path = paths.with_query(
            "/events", {"kind": list(kinds), "since": _instant(begins), "limit": page_count}, after=cursor
        )
        return Call(method="GET", path=path, answer=EventPage, idempotency_key="")

    return Listing(page, after)


def follow_events(*, after: str = "", kinds: Sequence[str] = ()) -> Following:
    """Follow the project's events as they happen, from a cursor on; without one, from now.

    A connection that is lost is made anew, and goes on behind the last event: none is left out, one may come twice.
    The first connection fails as any call does; after that it is tried again for as long as it takes.
    """
    return Following(paths.with_query("/events/stream", {"kind": list(kinds)}), after)


def add_webhook(
    url: str,
    *,
    kinds: Sequence[str] = (),
    description: str = "",
    ordering: str = "none",
    batch_count: int = 1,
    batch_wait_s: float = 0.0,
    token: str = "",
) -> Call[WebhookMade]:
    """Let a server of yours be told of events, of these kinds or all. The answer has the secret; keep it."""
    body = {
        "url": url,
        "kinds": list(kinds),
        "description": description,
        "ordering": ordering,
        "batch_count": batch_count,
        "batch_wait_s": batch_wait_s,
        "token": token,
    }
    return Call(
        method="POST",
        path="/webhooks",
        answer=WebhookMade,
        body=_encode(body),
        idempotency_key="",
        is_repeatable=False,
    )


def webhooks(*, after: str = "", page_count: int = 100) -> Listing[Webhook]:
    """Go through the webhooks, oldest first."""

    def page(cursor: str) -> Call[Page[Webhook]]:
        path = paths.with_query("/webhooks", {"limit": page_count}, after=cursor)
        return Call(method="GET", path=path, answer=WebhookPage, idempotency_key="")

    return Listing(page, after)


def show_webhook(webhook_id: str | UUID) -> Call[WebhookDetail]:
    """Return a webhook and what waits for it."""
    return Call(method="GET", path=f"/webhooks/{paths.part(webhook_id)}", answer=WebhookDetail, idempotency_key="")


def remove_webhook(webhook_id: str | UUID) -> Call[None]:
    """Forget a webhook, with what waits for it and how its calls went."""
    return Call(method="DELETE", path=f"/webhooks/{paths.part(webhook_id)}", idempotency_key="")


def call_webhook(webhook_id: str | UUID) -> Call[WebhookTested]:
    """Let a webhook be called now with an event `webhook.test`; return what it answers."""
    path = f"/webhooks/{paths.part(webhook_id)}/test"
    return Call(method="POST", path=path, answer=WebhookTested, idempotency_key="")


def resume_webhook(webhook_id: str | UUID) -> Call[WebhookDetail]:
    """Let a webhook that is paused, failing or disabled be called again, with all that waits, at once."""
    path = f"/webhooks/{paths.part(webhook_id)}/resume"
    return Call(method="POST", path=path, answer=WebhookDetail, idempotency_key="")


def rotate_webhook(webhook_id: str | UUID, *, overlap_s: float = 86_400.0) -> Call[WebhookMade]:
    """Give a webhook another secret, which is in the answer; the old one signs too for `overlap_s`."""
    path, body = f"/webhooks/{paths.part(webhook_id)}/rotate", _encode({"overlap_s": overlap_s})
    return Call(method="POST", path=path, answer=WebhookMade, body=body, idempotency_key="", is_repeatable=False)


def replay_webhook(
    webhook_id: str | UUID,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    ids: Sequence[str] = (),
    after: str = "",
) -> Call[Replayed]:
    """Let a webhook be told again, under the same names, what happened in a time, or events by their ids.

    It may take several calls: `next` of the answer is the `after` of the next one.
    """
    given = {"since": _instant(since), "until": _instant(until), "ids": list(ids), "after": after}
    body = _encode({name: value for name, value in given.items() if value})
    path = f"/webhooks/{paths.part(webhook_id)}/replay"
    return Call(method="POST", path=path, answer=Replayed, body=body, idempotency_key="")


def request(method: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None) -> Call[Any]:
    """Carry out any call under /v1 (`path` is "/domains") and return its JSON as it came; None if it says nothing.

    What may not be done twice is tried again only if it surely was not done: all but GET, PUT and DELETE.
    """
    return Call(
        method=method,
        path=paths.with_query(path, query or {}),
        answer=Any,
        body=None if body is None else _encode(body),
        idempotency_key="",
        is_repeatable=method in ("GET", "HEAD", "PUT", "DELETE"),
    )


def _passing_s(answer: BatchAccepted) -> float | None:
    waits = [one.error.retry_after_s for one in answer.results if one.error and one.error.retry_after_s is not None]
    return min(waits) if waits else None


def _key(given: str | None) -> str | None:
    if given is not None and not (given.isascii() and given.isprintable() and given and " " not in given):
        raise ValueError("an idempotency key is visible ASCII without spaces")
    return given


def _instant(at: datetime | None) -> str:
    if at is None:
        return ""
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone: datetime(..., tzinfo=UTC)")
    return at.isoformat()
