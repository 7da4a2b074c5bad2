"""Which addresses get no more mail, and for how long. Pure; in code, not in a file: an operator cannot widen it.

A suppression costs the customer a reader, so little leads to one: an address that is gone, a reader who complained or
left, and a few things that must happen again and again. What is about us, our address, our pace or the content never
does, whatever its code and however often it comes (ADR 0012). What is needed, and what follows (providers.md 2.2):

    reason                        needed                                              scope   for
    recipient.invalid, .moved     one refusal for good                                all     ever
    recipient.domain_invalid      one refusal for good                                all     ever
    recipient.disabled            the 2nd in 30 days, or the words "account closed"   all     ever
    recipient.full                the 5th, the first 14 days ago or more              all     90 days
    unknown.hard                  the 3rd in 14 days, of 2 messages or more           all     90 days
    relay_denied                  the 3rd, the first 7 days ago or more               all     90 days
    complaint                     one                                                 stream  ever
    unsubscribe                   one                                                 stream* ever

* Or the list that is left: `engine.preferences`. `stream` is marketing: a reader who complains about a newsletter still
gets the receipt. A message that is tried several times on one day counts once for that day. A delivery wipes what was
counted before it: pass it as evidence of `accepted`, or do not pass what is older.

This module keeps nothing: who calls it keeps the evidence (`is_counted`) and the suppressions, and does not ask about
what `is_meant` says is not about the address: "relaying denied" of a smart host is about our contract with it.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Fate, SuppressionScope
from outrider.policy.reason import Reason
from outrider.policy.shaping import SMARTHOST


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One thing we learned about an address earlier."""

    reason: str  # A `Reason`; others are passed over.
    at: datetime
    message_id: UUID


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The address is to be suppressed."""

    scope: SuppressionScope
    reason: str
    expires_at: datetime | None  # None: for ever.


class _Count(msgspec.Struct, frozen=True):
    """How often something must have come before it counts."""

    count_min: int  # The present one included.
    within: timedelta  # Older evidence is forgotten.
    span_min: timedelta = timedelta(0)  # From the first to the present one, at least.
    messages_min: int = 1
    kept_for: timedelta | None = None


SUPPRESSING: Final = frozenset(
    {
        Reason.RECIPIENT_INVALID,
        Reason.RECIPIENT_DOMAIN_INVALID,
        Reason.RECIPIENT_MOVED,
        Reason.RECIPIENT_DISABLED,
        Reason.RECIPIENT_FULL,
        Reason.UNKNOWN_HARD,
        Reason.RELAY_DENIED,
        Reason.COMPLAINT,
        Reason.UNSUBSCRIBE,
    }
)
_AT_ONCE: Final = frozenset({Reason.RECIPIENT_INVALID, Reason.RECIPIENT_DOMAIN_INVALID, Reason.RECIPIENT_MOVED})
_QUARTER: Final = timedelta(days=90)  # providers.md 2.2 for full; ours for what may be somebody's passing mistake.
_COUNTED: Final = {  # providers.md 2.2. Where it gives no window: ours, a quarter.
    Reason.RECIPIENT_DISABLED: _Count(2, timedelta(days=30)),
    Reason.RECIPIENT_FULL: _Count(5, _QUARTER, span_min=timedelta(days=14), kept_for=_QUARTER),
    Reason.UNKNOWN_HARD: _Count(3, timedelta(days=14), messages_min=2, kept_for=_QUARTER),
    Reason.RELAY_DENIED: _Count(3, _QUARTER, span_min=timedelta(days=7), kept_for=_QUARTER),
}
EVIDENCE_LIFE: Final = max(count.within for count in _COUNTED.values())  # What is older counts for nothing.
_CLOSED: Final = re.compile(
    r"\b(account|mailbox|user|address)\b.{0,40}\b(closed|deleted|terminated|cancell?ed)\b"
    r"|\b(closed|deleted|terminated|cancell?ed) (account|mailbox|user|address)\b",
    re.IGNORECASE,
)


def is_meant(reason: str, fate: Fate, provider: str = "") -> bool:
    """Tell whether a refusal says something about the address: it was for good, and not our smart host's about us.

    A full mailbox never is for good: it is tried again, and counted each time.
    """
    if reason == Reason.RELAY_DENIED and provider == SMARTHOST:
        return False
    return fate is Fate.BOUNCED or reason == Reason.RECIPIENT_FULL


def is_counted(reason: str) -> bool:
    """Tell whether evidence of it is to be kept: alone it decides nothing, with more of it it may."""
    return reason in _COUNTED


def decide(
    reason: str,
    *,
    fate: Fate,
    earlier: Sequence[Evidence],
    now: datetime,
    message_id: UUID | None = None,
    text: str = "",
) -> Decision | None:
    """Return the suppression that follows from what was just learned about an address; None for none. Total.

    Args:
        reason: what was learned, at `now`.
        fate: of the verdict. Only a refusal for good suppresses, or a full mailbox, which is always tried again.
        earlier: evidence about the same address, in any order; of any reason.
        message_id: of the mail this is about. None: another one than all before.
        text: what the server said.
    """
    if reason not in SUPPRESSING:
        return None
    if reason in (Reason.COMPLAINT, Reason.UNSUBSCRIBE):
        return Decision(SuppressionScope.STREAM, reason, None)
    if not is_meant(reason, fate):
        return None
    if reason in _AT_ONCE or (reason == Reason.RECIPIENT_DISABLED and _CLOSED.search(text)):
        return Decision(SuppressionScope.ALL, reason, None)
    need = _COUNTED[Reason(reason)]
    if not _is_enough(need, _counting(reason, earlier, now - need.within, now), message_id, now):
        return None
    return Decision(SuppressionScope.ALL, reason, now + need.kept_for if need.kept_for else None)


def _counting(reason: str, earlier: Sequence[Evidence], since: datetime, now: datetime) -> list[Evidence]:
    """Return what counts of the evidence: of that reason, not too old, not before a delivery."""
    delivered_at = max((e.at for e in earlier if e.reason == Reason.ACCEPTED and e.at <= now), default=since)
    since = max(since, delivered_at)
    return [e for e in earlier if e.reason == reason and since <= e.at <= now]


def _is_enough(need: _Count, before: Sequence[Evidence], message_id: UUID | None, now: datetime) -> bool:
    days = {(e.message_id, e.at.date()) for e in before} - {(message_id, now.date())}
    messages = {e.message_id for e in before} - {message_id}
    first_at = min((e.at for e in before), default=now)
    return (
        len(days) + 1 >= need.count_min and len(messages) + 1 >= need.messages_min and now - first_at >= need.span_min
    )
