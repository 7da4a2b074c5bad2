"""Station 6: turn verdicts into state and history, together or not at all.

One commit ends or puts back the queue rows, moves the recipients and writes their events. An outcome whose row somebody
else has settled meanwhile (the lane's lease ran out) is dropped and counted: the recipient already has its truth.

Failure policy: an outcome is knowledge that exists nowhere else, so while the database is away we keep it and try again
until it is stored or the process must go. Lost then, the mail is tried once more by the next owner of its lane.
"""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, StoreError
from outrider.base.vocab import EventKind, Fate, Phase, RecipientStatus, Stream, SuppressionOrigin
from outrider.engine import heard, protect
from outrider.engine.heard import reply_text
from outrider.engine.protect import Finding
from outrider.engine.service import Outage
from outrider.engine.settings import EngineSettings
from outrider.mail import address
from outrider.net.pool import Attempt
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import suppress
from outrider.policy.classify import Verdict
from outrider.policy.guard import INVALID
from outrider.policy.reason import Reason
from outrider.policy.warmup import Figures
from outrider.store import egress, events, queue, recipients, sending, suppressions
from outrider.store.batch import GroupCommit
from outrider.store.egress import Egress
from outrider.store.events import NewEvent
from outrider.store.pool import Store, StoreValueError, Tx
from outrider.store.queue import Claim, PutBack
from outrider.store.recipients import Record
from outrider.store.sending import Sending
from outrider.store.suppressions import Suppression
from outrider.wire.answer import Answer, Cause

_SENT: Final = frozenset({RecipientStatus.DELIVERED, RecipientStatus.BOUNCED})
_NOBODY_ASKED: Final = frozenset({Phase.ROUTE, Phase.CONNECT})
_RETRY_S: Final = 0.5  # Ours: how often to offer an outcome to a database that is away.


class Outcome(msgspec.Struct, frozen=True):
    """What became of one attempt."""

    claim: Claim
    project_id: UUID
    status: RecipientStatus  # QUEUED: it goes back, due at `retry_at`.
    verdict: Verdict
    answer: Answer
    attempt: Attempt
    ended_at: datetime
    accepted_at: datetime | None = None  # None: the message could not be read.
    stream: Stream = Stream.TRANSACTIONAL
    sender_domain: str = ""  # In whose figures it is counted with its stream and campaign; "" for none.
    campaign: str = ""
    source: str = ""  # That it left from, and in whose figures it is counted; "" for one that got nowhere.
    provider: str = ""  # Of those figures.
    retry_at: datetime | None = None
    is_taken_over: bool = False  # The lane's last owner died; it may have delivered this already.


class Settler:
    """Station 6. Writes while `run` runs."""

    def __init__(
        self, store: Store, settings: EngineSettings, *, writer: str, clock: Clock, logger: Logger, metrics: Metrics
    ) -> None:
        """`writer` names this process in the figures: no two that run write the same row."""
        self._writer: Final = writer
        self._store: Final = store
        self._clock: Final = clock
        self._logger: Final = logger
        self._metrics: Final = metrics
        self._stopping = False
        self._outage: Final = Outage(logger, "settle_delayed")  # For all outcomes together.
        self._until_s = math.inf
        self._commit: Final = GroupCommit[Outcome, bool](
            self._write, clock=clock, wait_s=settings.settle_wait_s, weight_max=settings.settle_weight_max
        )

    async def run(self) -> None:
        """Write outcomes until `stop`, then those that are pending."""
        await self._commit.run()

    def hurry(self, wait_s: float) -> None:
        """Give up in `wait_s` what the database keeps refusing; what it takes is still written."""
        self._until_s = min(self._until_s, self._clock.monotonic_s() + wait_s)

    def stop(self) -> None:
        """Take no new outcomes and give up those that the database keeps refusing."""
        self._stopping = True
        self._commit.stop()

    async def settle(self, outcome: Outcome) -> bool:
        """Return True once the outcome is stored; False if it was no longer ours, or we had to stop first."""
        while True:
            try:
                return await self._commit.submit(outcome)
            except (StoreError, BusyError) as error:
                if isinstance(error, StoreValueError) and outcome.attempt.answers:
                    # A word of the peer's that the database cannot hold. Danger: given up, the mail would go out again.
                    self._logger.exception("outcome_stored_without_words", recipient_id=str(outcome.claim.recipient_id))
                    outcome = _without_words(outcome)
                    continue
                # Still refused, it is for no one's words: a day without a partition, or a bug of ours. It is kept.
                if self._stopping or self._clock.monotonic_s() >= self._until_s:
                    self._logger.exception("outcome_not_stored", recipient_id=str(outcome.claim.recipient_id))
                    return False
                self._outage.note(error)
                await self._clock.sleep(_RETRY_S)

    async def _write(self, outcomes: Sequence[Outcome]) -> Sequence[bool]:
        async with self._store.transaction() as tx:
            kept = await write(tx, outcomes, writer=self._writer, now=self._clock.now())
        self._outage.end()
        self._count(outcomes, kept)
        ours = {o.claim.recipient_id for o in kept}
        return [o.claim.recipient_id in ours for o in outcomes]

    def _count(self, outcomes: Sequence[Outcome], kept: Sequence[Outcome]) -> None:
        self._metrics.write_size.labels(station="settle").observe(len(outcomes))
        if lost_count := len(outcomes) - len(kept):
            self._metrics.settle_lost.inc(lost_count)
            self._logger.warning("settle_lost", count=lost_count)
        count_settled(self._metrics, kept)
        for one in kept:
            if one.status is RecipientStatus.DELIVERED and one.accepted_at is not None:
                waited_s = (one.ended_at - one.accepted_at).total_seconds()
                self._metrics.queue_time.observe(max(0.0, waited_s))  # The clock may have stepped back.


async def write(tx: Tx, outcomes: Sequence[Outcome], *, writer: str, now: datetime) -> Sequence[Outcome]:
    """Write state and history of these attempts; return those that were still ours. Of the others nothing is written.

    Args:
        writer: whose rows of figures are added to: no two processes that run have the same.
    """
    ended = [o for o in outcomes if o.status is not RecipientStatus.QUEUED]
    waiting = [o for o in outcomes if o.status is RecipientStatus.QUEUED]
    ours: set[UUID] = set()
    if ended:
        ours |= await queue.finish(tx, [(o.claim.recipient_id, o.claim.attempt) for o in ended])
    if waiting:
        ours |= await queue.put_back(tx, [_put_back(o) for o in waiting])
    kept = [o for o in outcomes if o.claim.recipient_id in ours]
    await recipients.record(tx, [_record(o) for o in kept], now=now)
    if mended := [_pair(o) for o in kept if o.status is RecipientStatus.DELIVERED]:
        await suppressions.lift(tx, mended)
    suppressed = await protect.learn(tx, [_finding(o) for o in kept if _tells(o)], now=now)
    await events.append(tx, [_event(o, suppressed.get(o.claim.recipient_id)) for o in kept])
    if figures := _figures(kept):
        await egress.add(tx, writer, figures)
    if sendings := _sendings(kept):
        await sending.add(tx, writer, sendings)
    return kept


def count_settled(metrics: Metrics, kept: Sequence[Outcome]) -> None:
    """Count attempts that are written, by their fate."""
    for fate in Fate:
        if count := sum(o.verdict.fate is fate for o in kept):
            metrics.settled.labels(fate=fate.value).inc(count)


def _without_words(outcome: Outcome) -> Outcome:
    """The same outcome with nothing in it that a peer wrote."""
    answer = Answer(outcome.answer.phase, None, Cause.INTERNAL)
    attempt = Attempt(answers={}, duration_s=outcome.attempt.duration_s)
    return msgspec.structs.replace(outcome, answer=answer, attempt=attempt)


def _figures(outcomes: Sequence[Outcome]) -> list[Egress]:
    """Count what went through each source to each provider."""
    counts: Counter[tuple[date, str, str, Fate, bool]] = Counter()
    for one in outcomes:
        # Greylisting greets every new address; it says nothing about how this one is doing.
        if one.provider and one.answer.phase not in _NOBODY_ASKED and one.verdict.reason != Reason.GREYLIST:
            is_throttled = one.verdict.reason == Reason.RATE_PROVIDER
            counts[one.ended_at.date(), one.source, one.provider, one.verdict.fate, is_throttled] += 1
    return [
        Egress(
            source,
            provider,
            Figures(
                day=day,
                attempted=count,
                delivered=count if fate is Fate.DELIVERED else 0,
                deferred=count if fate is Fate.DEFERRED else 0,
                bounced=count if fate is Fate.BOUNCED else 0,
                throttled=count if is_throttled else 0,
            ),
        )
        for (day, source, provider, fate, is_throttled), count in counts.items()
    ]


def _sendings(outcomes: Sequence[Outcome]) -> list[Sending]:
    """Count what ended by a receiver's word, and what DNS says has no receiver: what guards judge."""
    counts: Counter[tuple[datetime, UUID, str, Stream, str, bool]] = Counter()
    for one in outcomes:
        is_invalid = one.status is RecipientStatus.BOUNCED and one.verdict.reason in INVALID
        is_answered = one.answer.reply is not None and bool(one.provider)  # Without: only the simulator.
        is_sent = one.status in _SENT and (is_answered or (is_invalid and one.answer.phase is Phase.ROUTE))
        if is_sent and one.sender_domain:
            hour = sending.hour_of(one.ended_at)
            counts[hour, one.project_id, one.sender_domain, one.stream, one.campaign, is_invalid] += 1
    return [
        Sending(hour, project_id, domain, stream, sent=count, invalid=count if is_invalid else 0, campaign=campaign)
        for (hour, project_id, domain, stream, campaign, is_invalid), count in counts.items()
    ]


def _put_back(outcome: Outcome) -> PutBack:
    assert outcome.retry_at is not None
    return PutBack(outcome.claim.recipient_id, outcome.claim.attempt, outcome.retry_at)


def _record(outcome: Outcome) -> Record:
    return Record(
        recipient_id=outcome.claim.recipient_id,
        status=outcome.status,
        reason=outcome.verdict.reason,
        reply=reply_text(outcome.answer),
        attempt=outcome.claim.attempt + 1,
        provider=outcome.provider,
        source=outcome.source,
    )


def _pair(outcome: Outcome) -> tuple[UUID, str]:
    return outcome.project_id, address.key_of(outcome.claim.address)


def _tells(outcome: Outcome) -> bool:
    """Whether it says something about the address: somebody, or DNS, refused it."""
    if outcome.status is RecipientStatus.SUPPRESSED:
        return False
    return suppress.is_meant(outcome.verdict.reason, outcome.verdict.fate, outcome.provider)


def _finding(outcome: Outcome) -> Finding:
    project_id, address_key = _pair(outcome)
    return Finding(
        project_id=project_id,
        address_key=address_key,
        message_id=outcome.claim.message_id,
        recipient_id=outcome.claim.recipient_id,
        reason=outcome.verdict.reason,
        fate=outcome.verdict.fate,
        origin=SuppressionOrigin.REPLY,
        rule=outcome.verdict.rule,
        rules=outcome.verdict.rules_version,
        said=reply_text(outcome.answer),
        at=outcome.ended_at,
    )


def _event(outcome: Outcome, suppression: Suppression | None) -> NewEvent:
    facts: dict[str, str | int | float | bool] = {
        "phase": outcome.answer.phase.value,
        "duration_ms": round(outcome.attempt.duration_s * 1000),
    }
    if outcome.attempt.host:
        facts |= {"host": outcome.attempt.host, "ip": outcome.attempt.ip, "tls": outcome.attempt.tls}
    if outcome.source:
        facts["source"] = outcome.source
    if outcome.provider:
        facts["provider"] = outcome.provider
    if outcome.attempt.certificate:
        facts["certificate"] = outcome.attempt.certificate
    if outcome.attempt.dialogue:
        facts["dialogue"] = outcome.attempt.dialogue
    if outcome.verdict.rule:
        facts["rule"] = outcome.verdict.rule
    if outcome.verdict.rules_version:
        facts["rules"] = outcome.verdict.rules_version
        facts |= heard.facts_of(outcome.answer)
    if suppression is not None:
        facts["suppressed"] = suppression.scope.value
    if outcome.verdict.is_ambiguous:
        facts["ambiguous"] = True
    if outcome.is_taken_over:
        facts["taken_over"] = True
    if outcome.retry_at is not None:
        facts["next_attempt_at"] = (outcome.retry_at - timedelta(microseconds=outcome.retry_at.microsecond)).isoformat()
    return NewEvent(
        at=outcome.ended_at,
        project_id=outcome.project_id,
        message_id=outcome.claim.message_id,
        recipient_id=outcome.claim.recipient_id,
        kind=_KINDS[outcome.status],
        attempt=outcome.claim.attempt + 1,
        reason=outcome.verdict.reason,
        reply=reply_text(outcome.answer),
        facts=facts,
    )


_KINDS: Final = {
    RecipientStatus.QUEUED: EventKind.DEFERRED,
    RecipientStatus.HELD: EventKind.HELD,
    RecipientStatus.DELIVERED: EventKind.DELIVERED,
    RecipientStatus.BOUNCED: EventKind.BOUNCED,
    RecipientStatus.EXPIRED: EventKind.EXPIRED,
    RecipientStatus.SUPPRESSED: EventKind.SUPPRESSED,
    RecipientStatus.CANCELLED: EventKind.CANCELLED,
}
