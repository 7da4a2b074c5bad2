"""Webhooks: their records, and `read_webhook`, by which your server reads a call: verified, and as events.

    events = read_webhook(SECRET, request.headers, request.body)        # raises WebhookRefusedError: not ours
    for event in events:
        ...                                                             # event.id tells what came twice

No server is asked, and nothing here waits. Source: standard-webhooks spec, "Webhook headers", "Signature scheme".
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from outrider.client.errors import WebhookRefusedError
from outrider.client.records import Event

FRESH_S: Final = 300.0  # standard-webhooks spec: what is older, or from the future, may have been recorded.


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A server of yours that is told of events."""

    id: str
    url: str
    description: str = ""
    kinds: Sequence[str] = ()  # Empty: all.
    ordering: str = "none"
    batch_count: int = 1
    batch_wait_s: float = 0.0
    state: str = ""
    state_reason: str = ""
    state_at: datetime | None = None
    failing_since: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class WebhookDetail(Webhook, frozen=True, kw_only=True):
    """The same with what waits for it."""

    has_token: bool = False
    old_secret_ends_at: datetime | None = None
    waiting_count: int = 0
    waiting_since: datetime | None = None


class WebhookMade(Webhook, frozen=True, kw_only=True):
    """The same with its secret, which is shown this once."""

    secret: str


class WebhookPage(msgspec.Struct, frozen=True):
    """A part of the list."""

    webhooks: Sequence[Webhook]
    next: str | None = None

    @property
    def rows(self) -> Sequence[Webhook]:
        """What is on it."""
        return self.webhooks

    @property
    def following(self) -> str | None:
        """Where the next page begins; None: there is none."""
        return self.next


class WebhookTested(msgspec.Struct, frozen=True, kw_only=True):
    """What your server said to a test."""

    is_taken: bool
    status: int  # 0: it did not answer; `error` says why.
    error: str = ""
    duration_s: float = 0.0
    excerpt: str = ""


class Replayed(msgspec.Struct, frozen=True):
    """How many events are told again."""

    count: int
    next: str | None = None  # For `after`, with the same times; None: these were all.


def read_webhook(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float | None = None,
) -> Sequence[Event]:
    """Return the events that a call to your server tells: one, those of a batch, or none if it is a test.

    Args:
        secret: `whsec_...` as it was shown; several while one is replaced.
        headers: of the request, names in any case.
        body: octet for octet as it came.
        now_s: Unix seconds; None: the system's.

    Raises:
        WebhookRefusedError: answer 401.
    """
    given = {name.lower(): value for name, value in headers.items()}
    call_id, sent_at = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "").split()
    if not (call_id and sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12):
        raise WebhookRefusedError("it is not signed")
    now = time.time() if now_s is None else now_s  # noqa: TID251 - a program of others has no app.py (ADR 0034).
    if abs(now - int(sent_at)) > FRESH_S:
        raise WebhookRefusedError("it was made too long ago, or a clock is wrong")
    signed = f"{call_id}.{sent_at}.".encode() + body
    wanted = [_signature(one, signed) for one in ([secret] if isinstance(secret, str) else secret)]
    if not any(hmac.compare_digest(own.encode(), one.encode()) for own in wanted for one in signatures):
        raise WebhookRefusedError("its signature is not that of the secret")
    try:
        return _events(msgspec.json.decode(body))
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise WebhookRefusedError("it tells no events that this version knows") from error


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a secret is whsec_ and base64") from error
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _events(said: Any) -> Sequence[Event]:
    match said["type"]:
        case "batch":
            return [event for one in said["data"] for event in _events(one)]
        case "webhook.test":
            return []
        case _:
            return [msgspec.convert(said["data"], Event)]
