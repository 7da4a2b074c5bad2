"""Mail with random fates, in the log as the engine and the tracker would write it; and what must be counted of it.

    expected = await write_fates(store, random.Random(1), count=1000, since=clock.now())

The counts are made here, beside the SQL that is tested. Events are appended by `store.events`, what became of
recipients is recorded by `store.recipients`; messages are rows put in whole.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, RecipientStatus, Stream
from outrider.policy import figures
from outrider.policy.reason import Reason
from outrider.store import events, recipients
from outrider.store.events import Facts, NewEvent
from outrider.store.pool import Store
from outrider.store.recipients import Record

PROJECTS: Final = (UUID(int=0xF1), UUID(int=0xF2))
_BATCH_COUNT: Final = 2_000
_SPREAD: Final = timedelta(days=3)
_DOMAINS: Final = ("a.example", "b.example", "c.example")
_CAMPAIGNS: Final = ("", "spring", "summer")
_PROVIDERS: Final = ("gmail", "yahoo", "")
_SOURCES: Final = ("out1", "out2", "")
_TAGS: Final = ("new", "vip", "old")
_AFTERWARDS: Final = (
    *(EventKind.OPENED, EventKind.CLICKED, EventKind.BOUNCED_LATE, EventKind.COMPLAINED),
    *(EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED),
)
_MESSAGES: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                         accepted_at, expires_at, tags, campaign, template_id)
    SELECT id, project_id, stream::stream, sender, '', 'Hi', '\\x00', 1, at, at + interval '3 days', tags, campaign,
           template_id
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[], $7::text[],
                  $8::text[]) AS given(id, project_id, stream, sender, at, tags, campaign, template_id)"""
_RECIPIENTS: Final = """
    INSERT INTO recipient (recipient_id, message_id, project_id, address, updated_at)
    SELECT id, id, project_id, 'ann@a.example', at
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS given(id, project_id, at)"""


class _Mail(msgspec.Struct, frozen=True):
    message_id: UUID  # Its recipient has the same.
    project_id: UUID
    at: datetime
    stream: Stream
    domain: str
    campaign: str
    tags: Sequence[str]
    provider: str
    source: str


async def write_fates(
    store: Store, chance: random.Random, *, count: int, since: datetime, spread: timedelta = _SPREAD
) -> Counter[tuple[str, str]]:
    """Write so many mails of one recipient; return how often each (domain, metric) must be found."""
    expected: Counter[tuple[str, str]] = Counter()
    for first in range(0, count, _BATCH_COUNT):
        mails = [_mail(chance, since, spread) for _ in range(min(_BATCH_COUNT, count - first))]
        told = [(mail, list(_life(mail, chance))) for mail in mails]
        for mail, life in told:
            for event in life:
                for metric, amount in _metrics(event):
                    expected[mail.domain, metric] += amount
        await _write(store, told)
    return expected


async def _write(store: Store, told: Sequence[tuple[_Mail, list[NewEvent]]]) -> None:
    mails = [mail for mail, _ in told]
    ids, owners, times = ([getattr(m, name) for m in mails] for name in ("message_id", "project_id", "at"))
    columns = (
        [m.stream.value for m in mails],
        [f"news@{m.domain}" for m in mails],
        times,
        [msgspec.json.encode(m.tags).decode() for m in mails],
        [m.campaign for m in mails],
        ["welcome" if m.campaign else "" for m in mails],
    )
    async with store.transaction() as tx:
        await tx.execute(_MESSAGES, ids, owners, *columns)
        await tx.execute(_RECIPIENTS, ids, owners, times)
    records = [
        Record(m.message_id, RecipientStatus.DELIVERED, "", "", 1, provider=m.provider, source=m.source) for m in mails
    ]
    async with store.transaction() as tx:
        await recipients.record(tx, records, now=times[0])
        lives = [event for _, life in told for event in life]
        await events.append(tx, [event for event in lives if event.kind not in _AFTERWARDS])
        await events.append_after(tx, [event for event in lives if event.kind in _AFTERWARDS])


def _mail(chance: random.Random, since: datetime, spread: timedelta) -> _Mail:
    return _Mail(
        message_id=UUID(int=chance.getrandbits(128)),
        project_id=chance.choice(PROJECTS),
        at=since + chance.random() * spread,
        stream=chance.choice(list(Stream)),
        domain=chance.choice(_DOMAINS),
        campaign=chance.choice(_CAMPAIGNS),
        tags=sorted({chance.choice(_TAGS) for _ in range(chance.randrange(3))}),
        provider=chance.choice(_PROVIDERS),
        source=chance.choice(_SOURCES),
    )


def _life(mail: _Mail, chance: random.Random) -> Iterator[NewEvent]:
    at = mail.at
    went = {name: text for name, text in (("provider", mail.provider), ("source", mail.source)) if text}

    def event(kind: EventKind, facts: Facts, reason: str = "") -> NewEvent:
        about = None if kind is EventKind.ACCEPTED or "address" in facts else mail.message_id
        return NewEvent(at, mail.project_id, mail.message_id, about, kind, reason=reason, facts=facts)

    yield event(EventKind.ACCEPTED, {})
    while chance.random() < 0.1:
        yield event(EventKind.SUPPRESSED, {"address": "refused@x.example"}, chance.choice(list(Reason)))
    while chance.random() < 0.2:
        at += timedelta(seconds=chance.random() * 900)
        yield event(EventKind.DEFERRED, went, Reason.GREYLIST)
    at += timedelta(seconds=chance.expovariate(0.5))
    if chance.random() < 0.2:
        kinds = (EventKind.BOUNCED, EventKind.BOUNCED, EventKind.EXPIRED, EventKind.SUPPRESSED, EventKind.CANCELLED)
        yield event(chance.choice(kinds), went, chance.choice(list(Reason)))
        return
    yield event(EventKind.DELIVERED, went)
    for kind in (EventKind.OPENED, EventKind.CLICKED):
        is_first = is_first_human = True
        while chance.random() < 0.5:
            at += timedelta(seconds=chance.random() * 60)
            is_machine = chance.random() < 0.3
            facts: dict[str, str | int | float | bool] = {"first": is_first, "count": chance.choice((1, 1, 1, 4))}
            facts |= {"machine": "apple_privacy"} if is_machine else {}
            facts["first_human"] = is_first_human and not is_machine
            is_first, is_first_human = False, is_first_human and is_machine
            yield event(kind, facts)
    for kind in (EventKind.BOUNCED_LATE, EventKind.COMPLAINED, EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED):
        if chance.random() < 0.02:
            yield event(kind, {}, chance.choice(list(Reason)))


def _metrics(event: NewEvent) -> Iterator[tuple[str, int]]:
    """Say what an event counts as: `policy.figures` in other words than the store's."""
    kind, facts = event.kind, event.facts
    amount = int(facts.get("count", 1))
    word = {EventKind.OPENED: "opens", EventKind.CLICKED: "clicks"}.get(kind, "")
    if not word:
        yield kind.value, 1
    if kind in (EventKind.BOUNCED, EventKind.BOUNCED_LATE):
        is_hard, is_blocked = event.reason in figures.HARD, event.reason in figures.BLOCKED
        yield "bounced_hard" if is_hard else "blocked" if is_blocked else "bounced_soft", 1
    elif kind is EventKind.EXPIRED:
        yield "bounced_soft", 1
    elif kind is EventKind.SUPPRESSED:
        yield "blocked", 1
        if event.recipient_id is None:
            yield "accepted", 1  # It was refused with its mail, and asked for like the others.
    elif word:
        yield word, amount
        yield f"{word}_{'machine' if facts.get('machine') else 'human'}", amount
        if facts["first"]:
            yield f"{word}_unique", 1
        if facts["first_human"]:
            yield f"{word}_human_unique", 1
