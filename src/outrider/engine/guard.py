"""Guards at work: figures are judged, whoever does harm is slowed or paused, an operator looks and lets go on.

    settle, reports   count what was sent and what came of it (`store.sending`)
    worker            `GuardJudge`: once a minute `policy.guard` judges the last hours and the last day of each project,
                      of each of its sending domains and of each campaign, by stream
    deliver           `GuardBook.of(lane)`, known by heart, a second old at most; `engine.gates` acts on it
    commands          `views`, `release`

    state     what happens
    warn      it is in the log and in `outrider guard`
    slow      SLOW_PER_MINUTE mails of the stream leave from the domain (the project, of the campaign), by the same
              gate as a domain's own rate
    pause     none does; lanes wait, explained, until the figures are better or an operator releases it

Each stream is judged by its own figures, and a guard holds its own stream alone: no newsletter stops a password reset.
Complaints about transactional mail only warn: they are mostly about the newsletter, and stopping receipts mends
nothing. Unknown addresses there do slow and pause it: somebody types them into a form, by the hundred.

What has begun to wait keeps waiting in its lane and is lost no sooner than by its own expiry. Nothing is kept here that
is not in the database; several workers may judge at once, one of them changes a guard. While the database is away the
last known guards stand. A campaign has lanes of its own, so its guard holds nobody else's mail.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import Fate, Stream, WaitKind
from outrider.engine.protect import Finding
from outrider.engine.service import Outage, Recurring
from outrider.engine.submission import check_name
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import guard as policy
from outrider.policy import simulate
from outrider.policy.guard import INVALID, SENT_COUNT_MIN, GuardLevel, GuardVerdict, Window
from outrider.policy.reason import Reason
from outrider.store import guards, lanes, projects, sending
from outrider.store.guards import Guard
from outrider.store.lanes import Lane
from outrider.store.pool import Store, Tx
from outrider.store.sending import Sums, Told

Subject = tuple[UUID, str, Stream, str]  # Project, sending domain ("": all of them), stream, campaign ("": any).

_READ_EVERY_S: Final = 1.0  # Ours: a guard and its release hold everywhere within seconds.
_WAKE_COUNT: Final = 3  # Ours: looks; a lane on its way back with a pause that is over has arrived by then.
_JUDGE_EVERY_S: Final = 60.0  # Ours: as for warm-ups.
_HOUR: Final = timedelta(hours=1)
_RECENT: Final = 1 * _HOUR  # And the hour that runs: one to two hours.
_DAY: Final = 23 * _HOUR  # The same.
_KEPT: Final = 48 * _HOUR  # Ours: figures; nobody asks for more than a day.
# Readers of receipts call spam what the same sender's newsletter did.
_COMPLAINED_MAX: Final = {Stream.TRANSACTIONAL: GuardLevel.WARN, Stream.MARKETING: GuardLevel.PAUSE}
_HOLDS_BACK: Final = frozenset({GuardLevel.SLOW, GuardLevel.PAUSE})


Released: TypeAlias = Guard  # One that an operator let go on.


class GuardView(msgspec.Struct, frozen=True, kw_only=True):
    """A domain, project or campaign as an operator sees it: all that sent enough to be judged, or has a guard."""

    project: str
    project_id: UUID
    sender_domain: str  # "" is the whole project.
    stream: Stream
    campaign: str  # "" for a domain or project; else whatever it was sent from.
    sent: int  # This and the next two: in the last day, or since the release.
    invalid: int
    complained: int
    state: GuardLevel
    since: datetime | None  # When the state began; None: it has none.
    released_at: datetime | None
    sentence: str  # Why, as it was when the state began.


class GuardBook(Recurring):
    """The guards that hold mail back, for one process. `load` before the first mail, then `run`: it reads each second.

    When one ends, whoever learns of it wakes the lanes that wait for it: a lane that was woken a moment earlier was
    perhaps paused again, by this process or another that did not know yet.
    """

    def __init__(self, store: Store, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self.load, _READ_EVERY_S, clock=clock, outage=Outage(logger, "guards_not_read"))
        self._store: Final = store
        self._known: Mapping[Subject, Guard] = {}
        self._ended: Final[dict[Subject, int]] = {}  # How often their lanes are to be woken yet.

    def of(self, lane: Lane) -> Sequence[Guard]:
        """Return the guards that this lane's mail is under. Cost: three look-ups in memory; none without guards."""
        known = self._known
        if not known:
            return ()
        subjects = [(lane.project_id, domain, lane.stream, "") for domain in ("", lane.sender_domain)]
        if lane.campaign:
            subjects.append((lane.project_id, "", lane.stream, lane.campaign))
        return [known[subject] for subject in subjects if subject in known]

    async def load(self) -> None:
        """Read the guards anew. Raises StoreError; the last known ones stand then."""
        async with self._store.transaction() as tx:
            found = await guards.in_force(tx)
        before, self._known = self._known, {_subject(guard): guard for guard in found}
        self._ended.update({_subject(guard): _WAKE_COUNT for guard in before.values() if not self._holds(guard)})
        for subject in list(self._ended):
            async with self._store.transaction() as tx:
                await _end_pauses(tx, subject, self._clock.now())
            self._ended[subject] -= 1
            if not self._ended[subject]:
                del self._ended[subject]

    def _holds(self, guard: Guard) -> bool:
        known = self._known.get(_subject(guard))
        return known is not None and known.level is guard.level


class GuardJudge(Recurring):
    """Begins, changes and ends guards by the figures, once a minute. Any number of processes may run one."""

    def __init__(self, store: Store, *, clock: Clock, logger: Logger, metrics: Metrics) -> None:
        super().__init__(self._round, _JUDGE_EVERY_S, clock=clock, outage=Outage(logger, "guards_not_judged"))
        self._store: Final = store
        self._logger: Final = logger
        self._metrics: Final = metrics
        self._forgotten_before: datetime | None = None

    async def judge(self) -> Sequence[Guard]:
        """Judge everybody now; return the guards that this call changed, as they are now. Raises StoreError."""
        now = self._clock.now()
        changed: list[Guard] = []
        async with self._store.transaction() as tx:
            known = {_subject(guard): guard for guard in await guards.read_all(tx)}
            found = await _sums(tx, now)
        for subject in sorted(known.keys() | found.keys()):
            old = known.get(subject)
            verdict = _verdict(subject, old, found.get(subject))
            if not _is_news(old, verdict, now):
                continue
            async with self._store.transaction() as tx:  # One each: lanes are locked in it, in the order of their ids.
                new = await _write(tx, subject, old, verdict, now)
            if new is not None:
                changed.append(new)
                self._tell(new)
        return changed

    async def _round(self) -> None:
        await self.judge()
        await self._forget()

    def _tell(self, guard: Guard) -> None:
        self._metrics.guards.labels(state=guard.level.value).inc()
        write = self._logger.info if guard.level is GuardLevel.OK else self._logger.warning
        write(
            "guard_changed",
            project_id=str(guard.project_id),
            sender_domain=guard.sender_domain,
            stream=guard.stream.value,
            campaign=guard.campaign,
            state=guard.level.value,
            sentence=guard.sentence,
        )

    async def _forget(self) -> None:
        """Delete old figures, once an hour."""
        before = sending.hour_of(self._clock.now()) - _KEPT
        if self._forgotten_before != before:
            async with self._store.transaction() as tx:
                await sending.forget(tx, before)
            self._forgotten_before = before


async def count_reports(tx: Tx, findings: Sequence[Finding], *, now: datetime) -> None:
    """Count the complaints and the late bounces of unknown addresses among these. Call it before `protect.learn`.

    Cost: nothing for others; else one statement for all of them together.
    """
    told = [
        Told(one.project_id, one.message_id, one.address_key, one.sender_domain, one.reason == Reason.COMPLAINT)
        for one in findings
        if _is_counted(one)
    ]
    if told:
        await sending.add_told(tx, sending.hour_of(now), told)


async def views(store: Store, *, clock: Clock) -> Sequence[GuardView]:
    """Return all that sent enough in a day to be judged, or has a guard, by subject. Raises StoreError."""
    async with store.transaction() as tx:
        known = {_subject(guard): guard for guard in await guards.read_all(tx)}
        found = await _sums(tx, clock.now())
        subjects = sorted(known.keys() | found.keys())
        ids = {subject[0] for subject in subjects}
        names = {project_id: await projects.name_of(tx, project_id) for project_id in ids}
    return [
        _view(subject, names[subject[0]] or str(subject[0]), known.get(subject), found.get(subject))
        for subject in subjects
    ]


async def release(
    store: Store, project_id: UUID, sender_domain: str, *, campaign: str = "", clock: Clock
) -> Sequence[Released]:
    """Let what a guard holds go on, whatever the figures said; from now on only new mail counts.

    Args:
        sender_domain: "" for the guard of the project itself, or of a campaign.
        campaign: "" for none.

    Raises:
        NotFoundError: there is nothing to release.
        CallerError: no campaign can be called so.
    """
    check_name(campaign, limits.CAMPAIGN_CHARS_MAX, field="campaign")
    now = clock.now()
    released: list[Released] = []
    async with store.transaction() as tx:
        for old in await guards.of_subject(tx, project_id, sender_domain, campaign):
            if old.level is not GuardLevel.OK:
                hour = await sending.of_hour(
                    tx, sending.hour_of(now), project_id, sender_domain, old.stream, campaign=campaign
                )
                new = msgspec.structs.replace(
                    old,
                    level=GuardLevel.OK,
                    sentence="Released by an operator.",
                    since=now,
                    released_at=now,
                    excused_sent=hour.sent,
                    excused_invalid=hour.invalid,
                    excused_complained=hour.complained,
                )
                if await guards.move(tx, old, new):
                    released.append(new)
        for one in released[:1]:  # All are of one subject, whatever the stream.
            await _end_pauses(tx, _subject(one), now)
    if not released:
        whose = f"campaign {campaign}" if campaign else sender_domain or "the project itself"
        raise NotFoundError(
            f"No guard of {whose} warns, slows or pauses; `outrider guard` lists them.",
            field="campaign" if campaign else "domain",
        )
    return released


async def _end_pauses(tx: Tx, subject: Subject, now: datetime) -> None:
    """Let the lanes that wait for a guard of the subject look again, those of its other stream too."""
    project_id, sender_domain, _, campaign = subject
    await lanes.end_pauses(tx, project_id, sender_domain, WaitKind.GUARD, campaign=campaign, now=now)


async def _sums(tx: Tx, now: datetime) -> Mapping[Subject, Sums]:
    hour = sending.hour_of(now)
    found = await sending.sums(tx, hour - _DAY, recent_since=hour - _RECENT, sent_min=SENT_COUNT_MIN)
    return {(one.project_id, one.sender_domain, one.stream, one.campaign): one for one in found}


def _verdict(subject: Subject, old: Guard | None, found: Sums | None) -> GuardVerdict:
    """Say what holds now of the subject."""
    _, _, stream, _ = subject
    before = GuardVerdict(old.level, old.sentence) if old else GuardVerdict(GuardLevel.OK, "")
    return policy.decide(before, _windows(found), complained_max=_COMPLAINED_MAX[stream])


def _windows(found: Sums | None) -> Sequence[Window]:
    if found is None:
        return ()
    recent = (found.recent_sent, found.recent_invalid, found.recent_complained)
    day = (found.sent, found.invalid, found.complained)
    named = (("the last two hours", recent), ("the last day", day))
    return [
        Window(name=name, sent_count=sent, invalid_count=invalid, complaint_count=complained)
        for name, (sent, invalid, complained) in named
    ]


async def _write(tx: Tx, subject: Subject, old: Guard | None, verdict: GuardVerdict, now: datetime) -> Guard | None:
    """Write what changed; return it, None if nothing did, or somebody else was quicker."""
    project_id, sender_domain, stream, campaign = subject
    sentence = verdict.sentence or "The figures are good again."
    new = Guard(project_id, sender_domain, stream, verdict.level, sentence, now, campaign=campaign)
    if old is None:
        return new if await guards.begin(tx, new) else None
    if old.level is GuardLevel.OK and verdict.level is GuardLevel.OK:
        await guards.end(tx, old)
        return None
    new = msgspec.structs.replace(
        new,
        released_at=old.released_at,
        excused_sent=old.excused_sent,
        excused_invalid=old.excused_invalid,
        excused_complained=old.excused_complained,
    )
    if _is_over(new, now):
        is_written = await guards.end(tx, old)
    else:
        is_written = await guards.move(tx, old, new)
    if is_written and old.level in _HOLDS_BACK:  # What waits looks again, and waits again for what holds now.
        await _end_pauses(tx, subject, now)
    return new if is_written else None


def _is_news(old: Guard | None, verdict: GuardVerdict, now: datetime) -> bool:
    if old is None:
        return verdict.level is not GuardLevel.OK
    return verdict.level is not old.level or _is_over(old, now)


def _is_over(guard: Guard, now: datetime) -> bool:
    """Whether the row says nothing any more: all is well, and a release, if there was one, is out of every window."""
    oldest = sending.hour_of(now) - _DAY
    return guard.level is GuardLevel.OK and (guard.released_at is None or guard.released_at < oldest)


def _is_counted(finding: Finding) -> bool:
    if finding.address_key.rpartition("@")[2].endswith(simulate.DOMAIN):
        return False
    return finding.reason == Reason.COMPLAINT or (finding.reason in INVALID and finding.fate is Fate.BOUNCED)


def _view(subject: Subject, name: str, guard: Guard | None, found: Sums | None) -> GuardView:
    project_id, sender_domain, stream, campaign = subject
    return GuardView(
        project=name,
        project_id=project_id,
        sender_domain=sender_domain,
        stream=stream,
        campaign=campaign,
        sent=found.sent if found else 0,
        invalid=found.invalid if found else 0,
        complained=found.complained if found else 0,
        state=guard.level if guard else GuardLevel.OK,
        since=guard.since if guard else None,
        released_at=guard.released_at if guard else None,
        sentence=guard.sentence if guard else "",
    )


def _subject(guard: Guard) -> Subject:
    return guard.project_id, guard.sender_domain, guard.stream, guard.campaign
