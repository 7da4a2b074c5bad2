"""Rules about replies, tried on what was said: which replies no rule explains, and what other rules would change.

    event log --in its order, in pages--> heard.judge_again --+--> unknown: grouped by what they say
                                                              +--> replay: what would change; wrong suppressions undone

`replay` finds the suppressions that replies and reports led to and other rules would not have made. With `applies` they
are removed (and kept on record with why) and evidence that the other rules would not have counted is withdrawn; none is
added, no event and no state changes. A suppression stays if an operator, an import or the reader made it; if its reply
is not in the log (any more); if the other rules would have made it too, for whatever reason, and it would still hold;
if another reply about the address makes it right. Of replies before it only kept evidence counts.

Safe: again, beside a running Outrider, and cut off anywhere: transactions are short, and what is removed is removed.
Memory: bounded by `_GROUPS_MAX` and `_WRONG_MAX`, whatever the log holds.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Fate
from outrider.engine import heard
from outrider.mail import address
from outrider.policy import masking, suppress
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.reason import Reason
from outrider.policy.shaping import Shaping
from outrider.policy.suppress import Decision
from outrider.store import events, inbound, suppressions
from outrider.store.events import Cursor, Event
from outrider.store.pool import Store
from outrider.store.suppressions import Evidence, Suppression

UNKNOWN: Final = frozenset({Reason.UNKNOWN_HARD, Reason.UNKNOWN_SOFT})
LISTED_COUNT_MAX: Final = 1000  # Ours: suppressions named in the result; the rest are counted.
_PAGE_COUNT: Final = 5_000  # Ours: events looked at in one statement; some 50 ms.
_GROUPS_MAX: Final = 10_000  # Ours: about 10 MB. Past it the rarest are dropped.
_WRONG_MAX: Final = 50_000  # Ours: about 50 MB. Past it those found so far are removed.
_REMOVED_AT_ONCE: Final = 500
_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)

Heard = Callable[[int], None]  # Gets the number of replies judged so far.


class Group(msgspec.Struct, kw_only=True):
    """Replies that say the same and that no rule explains."""

    reason: str
    phase: str  # "report" for one that came later, by mail.
    count: int = 0
    example: str = ""  # The latest.
    provider: str = ""
    host: str = ""
    last_at: datetime = _BEGINNING


class Unknown(msgspec.Struct, frozen=True):
    """What no rule explains, the most frequent first."""

    groups: Sequence[Group]
    group_count: int
    reply_count: int
    is_cut: bool  # There were more different ones than can be counted; the rarest are missing.


class Change(msgspec.Struct, kw_only=True):
    """Replies whose verdict would be another."""

    old_reason: str
    old_fate: Fate
    new_reason: str
    new_fate: Fate
    new_rule: str
    count: int = 0
    example: str = ""


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A suppression that the other rules would not have made."""

    project_id: UUID
    address_key: str
    recipient_id: UUID
    reason: str
    rule: str
    evidence: str
    created_at: datetime
    new_reason: str  # Of the reply that made it.
    new_fate: Fate
    new_rule: str


class Replay(msgspec.Struct, kw_only=True):
    """What other rules would change."""

    rules_version: str
    judged_count: int = 0
    changed_count: int = 0
    changes: Sequence[Change] = ()  # The most frequent first.
    wrong_count: int = 0
    wrong: list[Wrong] = msgspec.field(default_factory=list)  # Up to `LISTED_COUNT_MAX`.
    removed_count: int = 0
    withdrawn_count: int = 0  # Pieces of evidence.
    unmade_count: int = 0  # Replies that would have suppressed their address at once, and did not.


class _Judged(msgspec.Struct, frozen=True):
    """An event, what was decided then, and what other rules decide."""

    event: Event
    old: Verdict
    new: Verdict

    @property
    def is_changed(self) -> bool:
        return (self.old.reason, self.old.fate) != (self.new.reason, self.new.fate)

    @property
    def is_suppressing(self) -> bool:
        return "suppressed" in self.event.facts

    def decide(self, verdict: Verdict, earlier: Sequence[suppress.Evidence] = ()) -> Decision | None:
        if not suppress.is_meant(verdict.reason, verdict.fate, str(self.event.facts.get("provider", ""))):
            return None
        return suppress.decide(
            verdict.reason,
            fate=verdict.fate,
            earlier=earlier,
            now=self.event.at,
            message_id=self.event.message_id,
            text=self.event.reply,
        )


class Rules:
    """Tries rules on the event log of this installation: every project's."""

    def __init__(self, store: Store, shaping: Shaping, *, clock: Clock) -> None:
        self._store: Final = store
        self._milder: Final = frozenset(rule.id for rule in shaping.rules if rule.is_temporary)
        self._clock: Final = clock

    async def unknown(
        self, classifier: Classifier, *, days: int | None = None, count_max: int = 50, on_progress: Heard
    ) -> Unknown:
        """Return the replies of these days that fell to `unknown.*` and that these rules do not explain either.

        Args:
            days: None: all that the log holds.
        """
        groups: dict[tuple[str, ...], Group] = {}
        reply_count, is_cut = 0, False
        async for page in self._pages(days):
            for event in page:
                verdict = heard.judge_again(classifier, event) if event.reason in UNKNOWN else None
                if verdict is None or verdict.reason not in UNKNOWN:
                    continue
                reply_count += 1
                _count_unknown(groups, event)
            if len(groups) > _GROUPS_MAX:
                is_cut = True
                groups = dict(sorted(groups.items(), key=lambda pair: -pair[1].count)[: _GROUPS_MAX // 2])
            on_progress(reply_count)
        found = sorted(groups.values(), key=lambda group: (-group.count, group.example))
        return Unknown(found[:count_max], len(found), reply_count, is_cut)

    async def replay(
        self, classifier: Classifier, *, days: int | None = None, applies: bool = False, on_progress: Heard
    ) -> Replay:
        """Judge again what was said in these days, and tell what would change; undo suppressions if `applies`.

        Args:
            days: None: all that the log holds.
        """
        found = Replay(rules_version=classifier.rules_version)
        changes: dict[tuple[str, ...], Change] = {}
        wrong: dict[tuple[UUID, str], Wrong] = {}
        async for judged in self._judged(classifier, days):
            found.judged_count += len(judged)
            for one in judged:
                if one.is_changed:
                    found.changed_count += 1
                    _count_change(changes, one)
                    found.unmade_count += not one.is_suppressing and one.decide(one.new) is not None
            await self._examine(classifier, [one for one in judged if one.is_suppressing], wrong)
            if len(wrong) > _WRONG_MAX:
                await self._conclude(found, wrong, applies=applies)
            on_progress(found.judged_count)
        await self._conclude(found, wrong, applies=applies)
        found.changes = sorted(changes.values(), key=lambda change: (-change.count, change.example))
        if applies:  # Last: what is withdrawn no longer says why a suppression was made.
            async for judged in self._judged(classifier, days):
                found.withdrawn_count += await self._withdraw([one for one in judged if _is_miscounted(one)])
        return found

    async def _pages(self, days: int | None) -> AsyncIterator[Sequence[Event]]:
        """Give what was said, page by page, in the log's order; no transaction is open meanwhile."""
        since = _BEGINNING if days is None else self._clock.now() - timedelta(days=days)
        cursor: Cursor | None = Cursor()
        while cursor is not None:
            async with self._store.transaction() as tx:
                page, cursor = await events.of_kinds(tx, cursor, since=since, kinds=heard.KINDS, count_max=_PAGE_COUNT)
            yield page
            await self._clock.sleep(0)

    async def _judged(self, classifier: Classifier, days: int | None) -> AsyncIterator[Sequence[_Judged]]:
        async for page in self._pages(days):
            yield [
                _Judged(event, heard.verdict_of(event), new)
                for event in page
                if (new := heard.judge_again(classifier, event, milder=self._milder)) is not None
            ]

    async def _examine(
        self, classifier: Classifier, judged: Sequence[_Judged], wrong: dict[tuple[UUID, str], Wrong]
    ) -> None:
        """Add the suppressions that these led to and should not have; take away those that another makes right."""
        if not judged:
            return
        ids = [one.event.recipient_id for one in judged if one.event.recipient_id is not None]
        projects = list({one.event.project_id for one in judged})
        async with self._store.transaction() as tx:
            rows = await suppressions.of_recipients(tx, projects, ids)
            known = await inbound.about(tx, ids)
        now = self._clock.now()
        made = {
            (row.recipient_id, row.created_at): row
            for row in rows
            if row.expires_at is None or row.expires_at > now  # What ran out harms nobody.
        }
        others: list[_Judged] = []
        for one in judged:
            row = made.get((one.event.recipient_id, one.event.at))
            if row is None:
                others.append(one)
            elif not await self._is_right(classifier, one, row):
                wrong[row.project_id, row.address_key] = _wrong(one, row)
        for one in others:  # After the rest: of two that were settled together, either may have made it.
            about = known.get(one.event.recipient_id) if one.event.recipient_id else None
            if about is not None and one.decide(one.new) is not None:
                wrong.pop((one.event.project_id, address.key_of(about.address)), None)

    async def _is_right(self, classifier: Classifier, one: _Judged, row: Suppression) -> bool:
        """Whether the other rules would have made it too, or nobody can know."""
        if not suppress.is_counted(one.old.reason) and not suppress.is_counted(one.new.reason):
            return self._holds(one.decide(one.new))
        noted, again = await self._evidence(classifier, one, row)
        if self._holds(one.decide(one.new, again)):
            return True
        # Not what made it: a delivery or the upkeep has taken some of the evidence, so nobody can know.
        return not one.is_changed and one.decide(one.old, noted) is None

    def _holds(self, decision: Decision | None) -> bool:
        return decision is not None and (decision.expires_at is None or decision.expires_at > self._clock.now())

    async def _evidence(
        self, classifier: Classifier, one: _Judged, row: Suppression
    ) -> tuple[list[suppress.Evidence], list[suppress.Evidence]]:
        """Return the evidence before this reply: as it was counted, and as the other rules count it."""
        async with self._store.transaction() as tx:
            kept = await suppressions.noted(
                tx, [(row.project_id, row.address_key)], since=one.event.at - suppress.EVIDENCE_LIFE
            )
            here = (one.event.at, one.event.message_id)
            kept = [piece for piece in kept if piece.at <= one.event.at and (piece.at, piece.message_id) != here]
            told = await events.at(tx, [(piece.project_id, piece.message_id, piece.at) for piece in kept])
            known = await inbound.about(tx, [event.recipient_id for event in told if event.recipient_id])
        by_place: dict[tuple[UUID, datetime], Event] = {}
        for event in told:
            about = known.get(event.recipient_id) if event.recipient_id else None
            if about is not None and address.key_of(about.address) == row.address_key:
                by_place[event.message_id, event.at] = event
        again: list[suppress.Evidence] = []
        for piece in kept:
            event_of = by_place.get((piece.message_id, piece.at))
            new = heard.judge_again(classifier, event_of, milder=self._milder) if event_of else None
            if new is None:
                again.append(suppress.Evidence(piece.reason, piece.at, piece.message_id))
            elif _is_evidence(new):
                again.append(suppress.Evidence(new.reason, piece.at, piece.message_id))
        return [suppress.Evidence(piece.reason, piece.at, piece.message_id) for piece in kept], again

    async def _conclude(self, found: Replay, wrong: dict[tuple[UUID, str], Wrong], *, applies: bool) -> None:
        """Take those found so far into the result, and remove them if `applies`."""
        found.wrong_count += len(wrong)
        found.wrong += list(wrong.values())[: LISTED_COUNT_MAX - len(found.wrong)]
        if applies:
            by_why: dict[tuple[UUID, str], list[UUID]] = {}
            for one in wrong.values():
                by_why.setdefault((one.project_id, _why(one, found.rules_version)), []).append(one.recipient_id)
            for (project_id, why), ids in by_why.items():
                for start in range(0, len(ids), _REMOVED_AT_ONCE):
                    part = ids[start : start + _REMOVED_AT_ONCE]
                    async with self._store.transaction() as tx:
                        gone = await suppressions.remove_of_recipients(
                            tx, project_id, part, why=why, now=self._clock.now()
                        )
                    found.removed_count += len(gone)
        wrong.clear()

    async def _withdraw(self, judged: Sequence[_Judged]) -> int:
        ids = [one.event.recipient_id for one in judged if one.event.recipient_id is not None]
        if not ids:
            return 0
        async with self._store.transaction() as tx:
            known = await inbound.about(tx, ids)
            evidence = [
                Evidence(
                    one.event.project_id,
                    address.key_of(known[one.event.recipient_id].address),
                    one.old.reason,
                    one.event.at,
                    one.event.message_id,
                )
                for one in judged
                if one.event.recipient_id in known
            ]
            return await suppressions.withdraw(tx, evidence)


def _is_evidence(verdict: Verdict) -> bool:
    """Whether it counts towards a suppression, as `engine.protect` has it."""
    return suppress.is_counted(verdict.reason) and suppress.is_meant(verdict.reason, verdict.fate)


def _is_miscounted(one: _Judged) -> bool:
    return _is_evidence(one.old) and not (_is_evidence(one.new) and one.new.reason == one.old.reason)


def _count_unknown(groups: dict[tuple[str, ...], Group], event: Event) -> None:
    reply = heard.said(event)
    assert reply is not None  # It was judged again.
    phase = "report" if event.kind in heard.REPORTED else str(event.facts.get("phase", ""))
    key = (event.reason, phase, str(reply.code), reply.enhanced, masking.mask(reply.text))
    group = groups.setdefault(key, Group(reason=event.reason, phase=phase))
    group.count += 1
    if event.at >= group.last_at:
        group.last_at, group.example = event.at, event.reply
        facts = event.facts
        group.provider, group.host = str(facts.get("provider", "")), str(facts.get("host", facts.get("remote_mta", "")))


def _count_change(changes: dict[tuple[str, ...], Change], one: _Judged) -> None:
    key = (one.old.reason, one.old.fate, one.new.reason, one.new.fate, one.new.rule)
    change = changes.get(key)
    if change is None:
        change = changes[key] = Change(
            old_reason=one.old.reason,
            old_fate=one.old.fate,
            new_reason=one.new.reason,
            new_fate=one.new.fate,
            new_rule=one.new.rule,
            example=one.event.reply,
        )
    change.count += 1


def _wrong(one: _Judged, row: Suppression) -> Wrong:
    return Wrong(
        project_id=row.project_id,
        address_key=row.address_key,
        recipient_id=one.event.recipient_id or UUID(int=0),
        reason=row.reason,
        rule=row.rule,
        evidence=row.evidence,
        created_at=row.created_at,
        new_reason=one.new.reason,
        new_fate=one.new.fate,
        new_rule=one.new.rule,
    )


def _why(one: Wrong, version: str) -> str:
    was, now = f"{one.reason} by {_named(one.rule)}", f"{one.new_reason} by {_named(one.new_rule)}"
    return f"rules {version}: was {was}, is {now}"


def _named(rule: str) -> str:
    return f"rule {rule}" if rule else "no rule"
