"""What is said of who is refused: of whom and why, and of no recipient."""

from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind, Stream, SuppressionOrigin, SuppressionScope
from outrider.engine import refusals
from outrider.engine.refusals import Refusal
from outrider.store.messages import Message
from outrider.store.suppressions import Suppression
from outrider.testing.clock import EPOCH

MESSAGE = Message(
    message_id=UUID(int=1),
    project_id=UUID(int=2),
    stream=Stream.MARKETING,
    sender="news@shop.example",
    from_name="",
    subject="Hi",
    content_hash=b"",
    recipient_count=1,
    accepted_at=EPOCH,
    expires_at=EPOCH,
)
ENTRY = Suppression(
    project_id=UUID(int=2),
    address_key="ann@a.example",
    scope=SuppressionScope.ALL,
    reason="recipient.invalid",
    origin=SuppressionOrigin.REPLY,
    created_at=EPOCH,
)


@pytest.mark.parametrize(
    ("scope", "subject", "facts"),
    [
        (SuppressionScope.ALL, "", {"suppressed": "all"}),
        (SuppressionScope.STREAM, "marketing", {"suppressed": "stream"}),
        (SuppressionScope.LIST, "weekly", {"suppressed": "list", "list": "weekly"}),
    ],
)
def test_a_refusal_names_the_address_and_why(scope: SuppressionScope, subject: str, facts: dict[str, str]) -> None:
    entry = msgspec.structs.replace(ENTRY, scope=scope, subject=subject)
    (event,) = refusals.told(MESSAGE, [Refusal("Ann@a.example", entry)])
    assert (event.kind, event.recipient_id, event.message_id) == (EventKind.SUPPRESSED, None, MESSAGE.message_id)
    assert (event.at, event.reason) == (EPOCH, "recipient.invalid")
    assert event.facts == {"address": "Ann@a.example", **facts}


def test_of_nobody_nothing_is_said() -> None:
    assert refusals.told(MESSAGE, []) == []
