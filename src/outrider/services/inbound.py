"""Mail that comes back: who may leave it with us, and what it does once it was read.

    RCPT --Inbox.check--> DATA --Inbox.keep--> [inbound] --ReportReader--> events, suppressions, states
           no database         one shared commit, then 250       the worker, in batches

A token that is forged, expired, or was reported about too often is refused at RCPT from memory alone, so a flood costs
no query. A feedback address takes what has a token of ours in it, and keeps it as if it had come there
(`Inbox.find_reported`). What was answered 250 is on disk and is read by some worker, however often one dies meanwhile.

    bounce        the recipient's state (`delivered` becomes `bounced`), an event, by rule a suppression
    delay         an event
    complaint     an event, a suppression of the marketing stream
    unsubscribe   what the link in the mail does (`engine.preferences`): once is enough, and its mail may be forgotten
                  since; to an unsubscribe address whatever is written is one
    auto_reply, challenge   an event; they suppress nobody
    delivered, not_spam, other   nothing happens; they are counted

A bounce may be here before the reply to its mail is settled: it waits until the recipient is no longer `queued`. A
mail whose reading fails, or kills its reader, comes round again, later each time, and is put aside after
`ATTEMPTS_MAX`, with an error in the log. A batch that the database refuses is cut in halves until what it
refuses stands alone.
"""

import asyncio
import enum
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.errors import BusyError, ConflictError, StoreError
from outrider.base.vocab import EventKind, Fate, RecipientStatus, SuppressionOrigin
from outrider.engine import guard, heard, preferences, protect
from outrider.engine.protect import Finding
from outrider.engine.service import Outage, Recurring
from outrider.mail import address, dsn, report, reported, verp
from outrider.mail.dsn import Diagnosis
from outrider.mail.report import Report, ReportKind
from outrider.mail.verp import ExpiredError, ForgedError, Purpose, ReturnPath, ReturnPathError, Signer
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.reason import Reason
from outrider.store import events, inbound, projects, recipients
from outrider.store.batch import GroupCommit
from outrider.store.events import NewEvent
from outrider.store.inbound import About, Inbound
from outrider.store.pool import Store, StoreValueError, Tx
from outrider.store.recipients import LateBounce
from outrider.store.suppressions import Suppression

REPORTS_COUNT_MAX: Final = 8  # Ours: mails about one recipient that we take in a day; the rest repeats itself.
ATTEMPTS_MAX: Final = 5
_TOKENS_KNOWN_MAX: Final = 200_000  # Ours: about 40 MB.
_DAY_S: Final = 86_400.0
_KEEP_WAIT_S: Final = 0.002  # Ours: as [engine] accept_wait_s.
_KEEP_BYTES_MAX: Final = 8_000_000  # Ours: of one commit.
_LOOK_S: Final = 1.0
_BATCH_COUNT: Final = 50
_CLAIM: Final = timedelta(seconds=60)  # Ours: reading a batch takes a second, five at worst.
_EARLY: Final = timedelta(seconds=10)  # Ours: an attempt that was answered is settled in milliseconds.
_ASIDE: Final = timedelta(days=30)
_SENDER_CHARS_MAX: Final = 320
_SAID_CHARS_MAX: Final = 500
_KINDS: Final = {
    ReportKind.BOUNCE: EventKind.BOUNCED_LATE,
    ReportKind.DELAY: EventKind.DELAYED,
    ReportKind.COMPLAINT: EventKind.COMPLAINED,
    ReportKind.UNSUBSCRIBE: EventKind.UNSUBSCRIBED,
    ReportKind.AUTO_REPLY: EventKind.AUTO_REPLIED,
    ReportKind.CHALLENGE: EventKind.AUTO_REPLIED,
}
_WISHES: Final = frozenset({EventKind.COMPLAINED, EventKind.UNSUBSCRIBED})
# What a person can have meant by a mail to an unsubscribe address; all else is from machines and says what it is.
_TAKEN_FOR_UNSUBSCRIBE: Final = frozenset({ReportKind.UNSUBSCRIBE, ReportKind.OTHER})
_ACTIONS: Final = {ReportKind.BOUNCE: "failed", ReportKind.DELAY: "delayed"}
_REASONS: Final = {
    ReportKind.COMPLAINT: Reason.COMPLAINT,
    ReportKind.UNSUBSCRIBE: Reason.UNSUBSCRIBE,
    ReportKind.AUTO_REPLY: Reason.AUTO_REPLY,
    ReportKind.CHALLENGE: Reason.RECIPIENT_CHALLENGE,
}


class DomainBook(Protocol):
    """The bounce domains, known by heart (`services.return_paths`)."""

    @property
    def shared(self) -> str:
        """That of projects without one of their own, "" for none."""

    def has(self, domain: str) -> bool:
        """Whether it is one. Raises BusyError: nobody knows yet."""


class NotTaken(enum.StrEnum):
    """Why a report that came to a feedback address was not taken."""

    NONE = "none"  # No return path is in it.
    FORGED = "forged"  # What looks like one is not ours.
    EXPIRED = "expired"
    FOREIGN = "foreign"  # It came to a project's own address, and is about mail of another bounce domain.
    AMBIGUOUS = "ambiguous"  # It names mail to two recipients, and nothing says which.
    OFTEN = "often"  # Enough has come about this recipient today.


class _Uses(msgspec.Struct):
    since_s: float
    count: int = 0


class Inbox:
    """What the SMTP face asks. Commits while `run` runs."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        domains: DomainBook,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        metrics: Metrics,
    ) -> None:
        self._store: Final = store
        self._signer: Final = signer
        self._domains: Final = domains
        self._searching: Final = asyncio.Lock()
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._metrics: Final = metrics
        self._uses: Final[OrderedDict[tuple[UUID, Purpose], _Uses]] = OrderedDict()
        self._commit: Final = GroupCommit[Inbound, None](
            self._write,
            clock=clock,
            wait_s=_KEEP_WAIT_S,
            weight_max=_KEEP_BYTES_MAX,
            weigh=lambda mail: len(mail.content) + 1000,
            pending_max=1000,
        )

    async def run(self) -> None:
        """Commit what is kept, until `stop`."""
        await self._commit.run()

    def stop(self) -> None:
        """Take no more."""
        self._commit.stop()

    def check(self, text: str) -> ReturnPath:
        """Return what the token in this address says.

        Raises:
            ReturnPathError: no token of ours for this domain, an expired one, or one that was reported about enough.
        """
        return_path = self._signer.read(text, today=self._clock.now().date())
        if self._is_used_up(return_path):
            raise ReturnPathError("enough has come for this address")
        return return_path

    def is_feedback(self, text: str) -> bool:
        """Whether this is the address that feedback loops report to, of one of our bounce domains. Cost: no query.

        Raises:
            BusyError: that is not known yet.
        """
        domain = verp.feedback_domain(text)
        return bool(domain) and self._domains.has(domain)

    async def find_reported(self, text: str, content: bytes) -> ReturnPath:
        """Return whose mail a report to the feedback address `text` is about, by a token of ours in it.

        The shared domain's address is the operator's and takes tokens of every domain; that of a project takes those of
        its own domain only. What is quoted decides nothing while a better place has a token, be it one that is not
        taken; two recipients in the same place are none.

        Raises:
            ReturnPathError: there is no such token; the reason is counted.
        Cost: the reading is off the loop, and one report's at a time, so that a flood of large ones leaves time for
            all else.
        """
        async with self._searching:
            ranks = await asyncio.to_thread(reported.return_paths_in, content)
        found = self._decide(ranks, verp.feedback_domain(text))
        if isinstance(found, ReturnPath) and self._is_used_up(found):
            found = NotTaken.OFTEN
        if isinstance(found, NotTaken):
            self._metrics.feedback_refused.labels(reason=found.value).inc()
            raise ReturnPathError("no token of ours is in the report", reason=found.value)
        return found

    def _decide(self, ranks: Sequence[Sequence[str]], domain: str) -> ReturnPath | NotTaken:
        for rank in ranks:
            judged = [self._judge_token(token, domain) for token in rank]
            authentic = [(path, refusal) for path, refusal in judged if refusal is not NotTaken.FORGED]
            if len({path.recipient_id for path, _ in authentic if path is not None}) > 1:
                return NotTaken.AMBIGUOUS
            if taken := [path for path, refusal in authentic if path is not None and refusal is None]:
                return taken[0]
            if refusals := [refusal for _, refusal in authentic if refusal is not None]:
                return refusals[0]
        return NotTaken.FORGED if any(ranks) else NotTaken.NONE

    def _judge_token(self, token: str, domain: str) -> tuple[ReturnPath | None, NotTaken | None]:
        """Return what a token says, None if it says nothing, and why it is not taken, None if it is."""
        try:
            path = self._signer.read(token, today=self._clock.now().date())
        except ForgedError:
            return None, NotTaken.FORGED
        except ExpiredError:
            return None, NotTaken.EXPIRED
        is_here = domain in (self._domains.shared, token.rpartition("@")[2])
        # As a machine's report, whatever the token was for: to quote a way to unsubscribe is not to unsubscribe.
        path = ReturnPath(path.recipient_id, Purpose.FEEDBACK, path.expires_on)
        return path, None if is_here else NotTaken.FOREIGN

    async def keep(self, return_path: ReturnPath, *, sender: str, client: str, content: bytes) -> None:
        """Return when the mail is on disk. Of a long one its beginning will do: no more is read.

        Raises:
            BusyError, StoreError: it is not kept; the client is to try again.
        """
        now = self._clock.now()
        mail = Inbound(
            inbound_id=ids.from_ms(int(now.timestamp() * 1000), self._random_bits(74)),
            recipient_id=return_path.recipient_id,
            purpose=return_path.purpose,
            sender=dsn.printable(sender)[:_SENDER_CHARS_MAX],
            client=client,
            content=content,
            received_at=now,
        )
        uses = self._uses_of(return_path)
        uses.count += 1  # Before the commit, so that no crowd of conversations comes through together.
        try:
            await self._commit.submit(mail)
        except (BusyError, StoreError):
            uses.count -= 1
            raise
        self._metrics.inbound.labels(purpose=return_path.purpose.value).inc()

    def _is_used_up(self, return_path: ReturnPath) -> bool:
        uses = self._uses.get((return_path.recipient_id, return_path.purpose))
        if uses is None or uses.count < REPORTS_COUNT_MAX:
            return False
        if self._clock.monotonic_s() - uses.since_s < _DAY_S:
            return True
        uses.since_s, uses.count = self._clock.monotonic_s(), 0
        return False

    def _uses_of(self, return_path: ReturnPath) -> _Uses:
        key = (return_path.recipient_id, return_path.purpose)
        if key not in self._uses and len(self._uses) >= _TOKENS_KNOWN_MAX:
            self._uses.popitem(last=False)
        return self._uses.setdefault(key, _Uses(self._clock.monotonic_s()))

    async def _write(self, mails: Sequence[Inbound]) -> Sequence[None]:
        async with self._store.transaction() as tx:
            await inbound.insert(tx, mails)
        return [None] * len(mails)


class _Read(msgspec.Struct, frozen=True):
    """A mail that was read, and whom it is about."""

    mail: Inbound
    about: About
    report: Report
    verdict: Verdict


class ReportReader(Recurring):
    """Reads what came in, while `run` runs; looks again every second. Any number of workers may."""

    def __init__(self, store: Store, classifier: Classifier, *, clock: Clock, logger: Logger, metrics: Metrics) -> None:
        super().__init__(self._is_more, _LOOK_S, clock=clock, outage=Outage(logger, "inbound_delayed"))
        self._store: Final = store
        self._classifier: Final = classifier
        self._logger: Final = logger
        self._metrics: Final = metrics

    async def _is_more(self) -> bool:
        return await self.read_batch() > 0

    async def read_batch(self) -> int:
        """Read a batch of what waits; return how many were taken. Raises StoreError: they wait on."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            mails = await inbound.take(tx, now=now, claim=_CLAIM, count_max=_BATCH_COUNT)
            about = await inbound.about(tx, [mail.recipient_id for mail in mails]) if mails else {}
        if not mails:
            return 0
        left = [mail for mail in mails if mail.attempt <= ATTEMPTS_MAX and mail.recipient_id in about]
        # Off the loop: a large or hostile mail takes its time.
        reads = await asyncio.to_thread(lambda: [self._read(mail, about[mail.recipient_id]) for mail in left])
        done = [one for one in reads if one is not None]
        early = [one for one in done if _is_early(one)]
        past = [one for one in done if one.about.status is None and _kind(one) is not EventKind.UNSUBSCRIBED]
        await self._lay_off(
            aside=[mail for mail in mails if mail.attempt > ATTEMPTS_MAX],
            unknown=[*(mail for mail in mails if mail.recipient_id not in about), *(one.mail for one in past)],
            early=[one.mail for one in early],
        )
        await self._settle_by_halves([one for one in done if one not in early and one not in past])
        return len(mails)

    def _read(self, mail: Inbound, about: About) -> _Read | None:
        """Read and judge; None if that fails: it comes round again."""
        try:
            read = report.read(mail.content)
            return _Read(mail, about, read, self._judge(mail, read))
        except Exception:  # The worker loop: one mail that cannot be read must not stop all others.
            self._logger.exception("inbound_not_read", inbound_id=str(mail.inbound_id))
            self._metrics.internal.labels(place="inbound").inc()
            return None

    def _judge(self, mail: Inbound, read: Report) -> Verdict:
        if mail.purpose is Purpose.UNSUBSCRIBE and read.kind in _TAKEN_FOR_UNSUBSCRIBE:
            return Verdict(Fate.BOUNCED, Reason.UNSUBSCRIBE)
        told = _diagnosis(read)
        if read.kind in _ACTIONS and told is not None:
            verdict = self._classifier.judge_report(told.code, told.status, told.text)
            return verdict if read.kind is ReportKind.BOUNCE else heard.of_delay(verdict)
        reason = _REASONS.get(read.kind)
        return Verdict(Fate.DEFERRED if reason is None else Fate.BOUNCED, reason or "")

    async def _lay_off(self, *, aside: Sequence[Inbound], unknown: Sequence[Inbound], early: Sequence[Inbound]) -> None:
        """Keep from the present round what is not to be settled in it."""
        if not aside and not unknown and not early:
            return
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await inbound.put_aside(tx, [mail.inbound_id for mail in aside], forget_before=now - _ASIDE)
            await inbound.delete(tx, [mail.inbound_id for mail in unknown])
            await inbound.put_back(tx, [mail.inbound_id for mail in early], due_at=now + _EARLY)
        for mail in aside:
            self._logger.error("inbound_put_aside", inbound_id=str(mail.inbound_id))
        for mail in unknown:  # Past its retention, or never committed: its token says that it was ours.
            self._logger.warning("inbound_about_nobody", recipient_id=str(mail.recipient_id))

    async def _settle_by_halves(self, done: Sequence[_Read]) -> None:
        try:
            await self._settle(done)
        except (StoreValueError, ConflictError) as error:
            if len(done) == 1:
                self._logger.warning("inbound_refused", inbound_id=str(done[0].mail.inbound_id), error=str(error))
                return  # It comes round again, until it is put aside.
            middle = len(done) // 2
            await self._settle_by_halves(done[:middle])
            await self._settle_by_halves(done[middle:])

    async def _settle(self, done: Sequence[_Read]) -> None:
        """Write what was learned and forget the mails, together."""
        if not done:
            return
        now = self._clock.now()
        async with self._store.transaction() as tx:
            ours = await inbound.delete(tx, [one.mail.inbound_id for one in done])
            read = [one for one in done if one.mail.inbound_id in ours]
            # Whoever writes what readers want holds the lock, in one order, so that no two wait for each other.
            for project_id in sorted({one.about.project_id for one in read if _kind(one) in _WISHES}):
                await projects.lock(tx, project_id)
            for one in read:
                if _kind(one) is EventKind.UNSUBSCRIBED:
                    await _leave(tx, one)
            if kept := [one for one in read if _kind(one) not in (None, EventKind.UNSUBSCRIBED)]:
                await guard.count_reports(tx, [_finding(one) for one in kept], now=now)
                suppressed = await protect.learn(tx, [_finding(one) for one in kept], now=now)
                late = [_late(one) for one in kept if _kind(one) is EventKind.BOUNCED_LATE]
                await recipients.bounce_late(tx, late, now=now)
                await events.append_after(tx, [_event(one, suppressed.get(one.about.recipient_id)) for one in kept])
        for one in read:
            self._metrics.reports.labels(kind=one.report.kind.value).inc()


def _is_early(one: _Read) -> bool:
    is_bounce = _kind(one) is EventKind.BOUNCED_LATE and one.about.status is RecipientStatus.QUEUED
    return is_bounce and one.mail.attempt < ATTEMPTS_MAX


async def _leave(tx: Tx, one: _Read) -> None:
    reader = preferences.reader_of(one.about, f"by mail: {_said(one)}", one.mail.client)
    await preferences.leave(tx, reader, one.about.list_name, now=one.mail.received_at)


def _diagnosis(read: Report) -> Diagnosis | None:
    """Return what decides: of several recipients (a list, a forward) the first of which the report's kind is true."""
    wanted = _ACTIONS.get(read.kind)
    return next((one for one in read.diagnoses if one.action == wanted), next(iter(read.diagnoses), None))


def _kind(one: _Read) -> EventKind | None:
    if one.verdict.reason == Reason.UNSUBSCRIBE:
        return EventKind.UNSUBSCRIBED
    return _KINDS.get(one.report.kind)


def _finding(one: _Read) -> Finding:
    is_asked = one.verdict.reason == Reason.COMPLAINT
    return Finding(
        project_id=one.about.project_id,
        address_key=address.key_of(one.about.address),
        message_id=one.about.message_id,
        recipient_id=one.about.recipient_id,
        sender_domain=one.about.sender.rpartition("@")[2],
        reason=one.verdict.reason,
        fate=one.verdict.fate,
        origin=SuppressionOrigin.REQUEST if is_asked else SuppressionOrigin.REPORT,
        rule=one.verdict.rule,
        rules=one.verdict.rules_version,
        said=_said(one),
        at=one.mail.received_at,
    )


def _said(one: _Read) -> str:
    told = _diagnosis(one.report)
    if told is None:
        return one.report.summary[:_SAID_CHARS_MAX]
    return " ".join(filter(None, (str(told.code or ""), told.status, told.text)))[:_SAID_CHARS_MAX]


def _late(one: _Read) -> LateBounce:
    return LateBounce(one.about.recipient_id, one.about.project_id, one.verdict.reason, _said(one))


def _event(one: _Read, suppression: Suppression | None) -> NewEvent:
    kind = _kind(one)
    assert kind is not None
    told = _diagnosis(one.report)
    known: dict[str, str | int] = {
        "client": one.mail.client,
        "remote_mta": told.remote_mta if told else "",
        "rule": one.verdict.rule,
        "rules": one.verdict.rules_version,
        "feedback_type": one.report.feedback_type,
        "suppressed": suppression.scope.value if suppression else "",
    }
    if one.verdict.rules_version and told is not None:
        known |= heard.report_facts(told.code, told.status, told.text, one.verdict.fate)
    return NewEvent(
        at=one.mail.received_at,
        project_id=one.about.project_id,
        message_id=one.about.message_id,
        recipient_id=one.about.recipient_id,
        kind=kind,
        attempt=one.about.attempt,
        reason=one.verdict.reason,
        reply=_said(one),
        facts={name: value for name, value in known.items() if value},
    )
