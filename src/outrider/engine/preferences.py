"""What readers want of a project's marketing mail, and what their word changes: by link, by mail, by the API.

A reader's wish is in `suppressions`, nowhere else: an entry of scope list for each list that was left, one of scope
stream for who left everything, with the lists that were chosen after that (`excepted`). What each word does:

    before                  leave list A    leave all     choose A, not B      come back
    gets all                A stops         all stops     B stops              -
    left A                  -               all stops     A comes, B stops     A comes
    left all                -               -             A comes, else none   all comes, but lists left one by one
    left all, chose A       A stops         all stops     as it is             all comes, but lists left one by one
    complained              -               -             nothing              nothing

So who left everything and then picks topics gets these and nothing else, neither new topics nor mail of no list. Who
leaves by a mail of no list leaves all. A word changes only what it names: topics that were not shown stay. What the
sender entered for all mail or a domain's, and what an operator did, is as a complaint: no reader's word lifts it.

What reasons of delivery say (an address that bounces) is no wish, and counts for nothing here. An entry that ends by
itself is shown, and does not stand in for leaving. Callers hold `projects.lock`, so that of two words at once the
second sees what the first did; a complaint that comes in between stays (`suppressions.take_back`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.vocab import (
    EventKind,
    LeavingReason,
    Stream,
    SubscriptionState,
    SuppressionOrigin,
    SuppressionScope,
)
from outrider.mail import address
from outrider.policy.reason import Reason
from outrider.store import events, suppressions, topics
from outrider.store.events import NewEvent
from outrider.store.inbound import About
from outrider.store.pool import Tx
from outrider.store.suppressions import Asked, Suppression

_NIL: Final = UUID(int=0)  # Of no message: the word came by the API.
_WISHES: Final = frozenset({Reason.UNSUBSCRIBE, Reason.COMPLAINT})
_TAKEN_BACK: Final = frozenset({SuppressionOrigin.REQUEST, SuppressionOrigin.IMPORT})
_WHYS: Final[Mapping[LeavingReason, str]] = {
    LeavingReason.TOO_MANY: "too many mails",
    LeavingReason.NOT_RELEVANT: "not relevant",
    LeavingReason.NEVER_SIGNED_UP: "never signed up",
    LeavingReason.OTHER: "another reason",
}


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Whose word it is, and how it came."""

    project_id: UUID
    address_key: str
    sender_domain: str = ""  # Of the mail, "" without one.
    message_id: UUID = _NIL
    recipient_id: UUID | None = None  # None: of no mail, or of one that is past its retention.
    attempt: int = 0
    client: str = ""  # The address it came from; "" where that is not to be stored.
    how: str  # "by the link in the mail": kept as evidence.


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Why somebody leaves, as far as it was said."""

    why: LeavingReason | None = None
    said: str = ""  # In the reader's words.


class TopicChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, and whether a reader gets it."""

    name: str
    title: str
    description: str
    state: SubscriptionState


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader gets."""

    marketing: SubscriptionState  # Mail of no list, and of all lists that nothing else is said of.
    topics: tuple[TopicChoice, ...]  # As they are shown.


SILENT: Final = Word()


def reader_of(about: About, how: str, client: str = "") -> Reader:
    """Return whose word it is that came by a mail."""
    return Reader(
        project_id=about.project_id,
        address_key=address.key_of(about.address),
        sender_domain=about.sender.rpartition("@")[2],
        message_id=about.message_id,
        recipient_id=None if about.status is None else about.recipient_id,
        attempt=about.attempt,
        client="" if about.is_private else client,
        how=how,
    )


async def known_of(tx: Tx, reader: Reader) -> Sequence[Suppression]:
    """Return what is on record of the reader. Cost: one query."""
    return await suppressions.of_address(tx, reader.project_id, reader.address_key)


async def choices_of(tx: Tx, reader: Reader, *, now: datetime) -> Choices:
    """Return what the reader gets. Cost: two queries."""
    known = await known_of(tx, reader)
    return Choices(
        marketing=state_of(known, reader, "", now=now),
        topics=tuple(
            TopicChoice(
                name=one.name,
                title=one.title,
                description=one.description,
                state=state_of(known, reader, one.name, now=now),
            )
            for one in await topics.all_of(tx, reader.project_id)
        ),
    )


def state_of(known: Sequence[Suppression], reader: Reader, list_name: str, *, now: datetime) -> SubscriptionState:
    """Return whether the reader gets marketing mail of that list; "": of none."""
    covering = [
        one
        for one in known
        if _is_wish(one) and one.covers(_asked(reader, list_name)) and (one.expires_at is None or one.expires_at > now)
    ]
    if not covering:
        return SubscriptionState.SUBSCRIBED
    if all(_is_taken_back(one) for one in covering):
        return SubscriptionState.UNSUBSCRIBED
    return SubscriptionState.BLOCKED


async def leave(tx: Tx, reader: Reader, list_name: str, word: Word = SILENT, *, now: datetime) -> bool:
    """Stop the mail of that list; "": all marketing mail. Returns whether that was news. Safe: again."""
    if _has_left(await known_of(tx, reader), reader, list_name):
        return False
    await _stop(tx, reader, [list_name], word, now=now)
    return True


async def come_back(tx: Tx, reader: Reader, list_name: str, *, now: datetime) -> bool:
    """Take back what keeps the mail of that list away; "": what keeps all away. Returns whether anything was.

    Lists that were left one by one stay left, but for this one.
    """
    scopes = [(SuppressionScope.STREAM, Stream.MARKETING.value)]
    if list_name:
        scopes.append((SuppressionScope.LIST, list_name))
    who, why = (reader.project_id, reader.address_key), f"the reader took it back {reader.how}"
    lifted = [
        (scope, subject)
        for scope, subject in scopes
        if await suppressions.take_back(tx, *who, scope, subject, why=why, now=now)
    ]
    await events.append_after(
        tx, [_resubscribed(reader, scope, _list_of(scope, subject), now) for scope, subject in lifted]
    )
    return bool(lifted)


async def choose(tx: Tx, reader: Reader, wanted: Mapping[str, bool], word: Word = SILENT, *, now: datetime) -> None:
    """Let the mail of these lists come, or not; all others stay as they are. What is blocked stays blocked."""
    known = await known_of(tx, reader)
    states = {name: state_of(known, reader, name, now=now) for name in wanted}
    stopped = [name for name, is_on in wanted.items() if not is_on and states[name] is SubscriptionState.SUBSCRIBED]
    begun = [name for name, is_on in wanted.items() if is_on and states[name] is SubscriptionState.UNSUBSCRIBED]
    await _stop(tx, reader, stopped, word, now=now)
    why = f"the reader chose it {reader.how}"
    for name in begun:
        await suppressions.take_back(
            tx, reader.project_id, reader.address_key, SuppressionScope.LIST, name, why=why, now=now
        )
    whole = next((one for one in known if one.scope is SuppressionScope.STREAM and _is_taken_back(one)), None)
    if whole is not None and begun:
        excepted = dict.fromkeys((*whole.excepted, *begun))
        await suppressions.except_lists(tx, reader.project_id, reader.address_key, list(excepted))
    await events.append_after(tx, [_resubscribed(reader, SuppressionScope.LIST, name, now) for name in begun])


def evidence_of(how: str, word: Word) -> str:
    """Return how and why somebody left, in a sentence for people."""
    parts = [part for part in (_WHYS[word.why] if word.why else "", _printable(word.said)) if part]
    return f"{how}: {'; '.join(parts)}"[: limits.LEAVING_SAID_CHARS_MAX] if parts else how


async def _stop(tx: Tx, reader: Reader, lists: Sequence[str], word: Word, *, now: datetime) -> None:
    """Write that the reader left these lists; "" among them: everything."""
    if not lists:
        return
    made = [
        Suppression(
            project_id=reader.project_id,
            address_key=reader.address_key,
            scope=SuppressionScope.LIST if name else SuppressionScope.STREAM,
            subject=name or Stream.MARKETING.value,
            reason=Reason.UNSUBSCRIBE,
            origin=SuppressionOrigin.REQUEST,
            evidence=evidence_of(reader.how, word),
            recipient_id=reader.recipient_id,
            created_at=now,
        )
        for name in lists
    ]
    await suppressions.put(tx, made)
    said = {"why": word.why.value if word.why else "", "said": _printable(word.said)}
    await events.append_after(
        tx,
        [
            _event(reader, EventKind.UNSUBSCRIBED, now, suppressed=one.scope.value, list=name, **said)
            for one, name in zip(made, lists, strict=True)
        ],
    )


def _has_left(known: Sequence[Suppression], reader: Reader, list_name: str) -> bool:
    """Whether leaving would be no news: it is on record, and does not end by itself."""
    return any(
        _is_wish(one)
        and one.expires_at is None
        and one.scope is not SuppressionScope.DOMAIN
        and one.covers(_asked(reader, list_name))
        and (list_name != "" or not one.excepted)
        for one in known
    )


def _is_wish(one: Suppression) -> bool:
    return one.reason in _WISHES


def _is_taken_back(one: Suppression) -> bool:
    """Whether the reader may take it back, as `suppressions.take_back` does."""
    if one.reason != Reason.UNSUBSCRIBE or one.origin not in _TAKEN_BACK or one.project_id == suppressions.EVERYBODY:
        return False
    whole = (SuppressionScope.STREAM, Stream.MARKETING)
    return one.scope is SuppressionScope.LIST or (one.scope, one.subject) == whole


def _asked(reader: Reader, list_name: str) -> Asked:
    return Asked(reader.project_id, reader.address_key, Stream.MARKETING, reader.sender_domain, list_name)


def _list_of(scope: SuppressionScope, subject: str) -> str:
    return subject if scope is SuppressionScope.LIST else ""


def _resubscribed(reader: Reader, scope: SuppressionScope, list_name: str, now: datetime) -> NewEvent:
    return _event(reader, EventKind.RESUBSCRIBED, now, suppressed=scope.value, list=list_name)


def _event(reader: Reader, kind: EventKind, now: datetime, **facts: str) -> NewEvent:
    named = reader.address_key if reader.recipient_id is None else ""  # Else the recipient says it.
    return NewEvent(
        at=now,
        project_id=reader.project_id,
        message_id=reader.message_id,
        recipient_id=reader.recipient_id,
        kind=kind,
        attempt=reader.attempt,
        reason=Reason.UNSUBSCRIBE if kind is EventKind.UNSUBSCRIBED else "",
        reply=reader.how,
        facts={name: text for name, text in {"client": reader.client, "address": named, **facts}.items() if text},
    )


def _printable(text: str) -> str:
    """Return a stranger's words on one line, bounded, with nothing that a terminal or the database refuses."""
    kept = "".join(char if char.isprintable() else " " for char in text[: 4 * limits.LEAVING_SAID_CHARS_MAX])
    return " ".join(kept.split())[: limits.LEAVING_SAID_CHARS_MAX]
