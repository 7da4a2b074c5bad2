"""What is said to a customer's server: an event as /v1/events gives it, in the envelope of Standard Webhooks.

    {"type": "mail.delivered", "timestamp": "2026-11-28T10:00:00Z", "data": {...}}
    {"type": "batch", "timestamp": "...", "data": [{"type": ...}, ...]}             several, where that is wished
    {..., "Token": "..."}                                                           where the webhook has a token

The envelope of an event is made once and kept, so that all attempts say the same.
Source: standard-webhooks spec, "Payload structure"; shared/uspeedo.md 6 for the token.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.base.vocab import EventKind
from outrider.engine.story import LoggedEvent

TEST_TYPE: Final = "webhook.test"
BATCH: Final = "batch"
_GROUPS: Final = ("domain", "webhook", "alert")
_encode: Final = msgspec.json.Encoder().encode


class Envelope(msgspec.Struct, frozen=True):
    """One event as it is told."""

    type: str
    timestamp: datetime
    event: LoggedEvent = msgspec.field(name="data")


class TestSaid(msgspec.Struct, frozen=True):
    """What a test says."""

    __test__ = False  # It is no test of ours.

    message: str = "Outrider can call this webhook."


class TestEnvelope(msgspec.Struct, frozen=True):
    """A test as it is told."""

    __test__ = False

    type: str
    timestamp: datetime
    said: TestSaid = msgspec.field(name="data")


def type_of(kind: EventKind) -> str:
    """Return the word for a kind of event, such as `mail.delivered` or `domain.failed`."""
    group, _, what = kind.value.partition("_")
    return f"{group}.{what}" if group in _GROUPS else f"mail.{kind.value}"


def of_event(event: LoggedEvent) -> bytes:
    """Return the envelope of an event."""
    return _encode(Envelope(type_of(event.kind), event.at, event))


def of_test(at: datetime) -> bytes:
    """Return the envelope of a test."""
    return _encode(TestEnvelope(TEST_TYPE, at, TestSaid()))


def of_batch(envelopes: Sequence[bytes], at: datetime) -> bytes:
    """Return the envelope of several; `at` is when the first of them came into being."""
    return b'{"type":"batch","timestamp":%s,"data":[%s]}' % (_encode(at), b",".join(envelopes))


def batch_name(events: Sequence[str]) -> str:
    """Return the webhook-id of a call that tells these events: the same as long as they are the same."""
    return "batch-" + hashlib.sha256("\n".join(events).encode()).hexdigest()[:32]


def with_token(envelope: bytes, token: str) -> bytes:
    """Return the envelope with the webhook's token in it."""
    return b'%s,"Token":%s}' % (envelope[:-1], _encode(token)) if token else envelope
