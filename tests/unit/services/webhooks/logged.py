"""An event of the log, as webhooks tell it."""

from datetime import UTC, datetime

from outrider.base.vocab import EventKind, Stream
from outrider.engine.story import LoggedEvent

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
EVENT = LoggedEvent(
    id="1-2-3",
    kind=EventKind.BOUNCED,
    at=NOW,
    message_id=None,
    recipient="ann@a.example",
    sender="shop@shop.example",
    subject="Hello",
    stream=Stream.MARKETING,
    campaign="",
    tags=["a"],
    metadata={"order": "17"},
    attempt=2,
    reason="unknown_user",
    reply="550 no",
    facts={"host": "mx.a.example"},
)
