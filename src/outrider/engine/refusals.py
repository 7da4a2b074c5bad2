"""What the log says of recipients that were refused when their mail was accepted: they get none of that kind. Pure.

They have no row of their own, so the event is of no recipient and names the address in its facts. Of a mail of which
nobody is left nothing is stored, no event either: its sender has an error in hand.
"""

from collections.abc import Sequence

import msgspec

from outrider.base.vocab import EventKind, SuppressionScope
from outrider.store.events import NewEvent
from outrider.store.messages import Message
from outrider.store.suppressions import Suppression


class Refusal(msgspec.Struct, frozen=True):
    """A recipient that gets no such mail."""

    address: str
    suppression: Suppression  # One that says why.


def told(message: Message, refusals: Sequence[Refusal]) -> list[NewEvent]:
    """Return an event for each of those that the message does not go to."""
    return [
        NewEvent(
            message.accepted_at,
            message.project_id,
            message.message_id,
            None,
            EventKind.SUPPRESSED,
            reason=one.suppression.reason,
            facts={name: text for name, text in _facts(one).items() if text},
        )
        for one in refusals
    ]


def _facts(refusal: Refusal) -> dict[str, str]:
    scope, subject = refusal.suppression.scope, refusal.suppression.subject
    return {
        "address": refusal.address,
        "suppressed": scope.value,
        "list": subject if scope is SuppressionScope.LIST else "",
    }
