"""Whether the DNS of sending domains says what it should: asked at once, asked again daily, and what follows.

    plan       what to publish (`policy.records`): the domain's keys, this installation, the domain's own hosts
    check      ask DNS (`Checker`), outside of any transaction
    stand      passed, failed, stopped (`policy.standing`), written with its findings, event and notice together

A domain is proven once all records that it needs are seen, one of its own DKIM keys among them: only the project has
those keys. What had passed and fails is warned about, after the grace period it is stopped: station 1 refuses its mail,
queued mail waits in its lanes (`engine.stops`); when it passes again, all goes on.

The worker looks at whatever is due, `_AT_ONCE_COUNT` domains at a time. Several may do so: who looks first moves the
domain's next look ahead, and if he dies somebody else does it `_TAKEN_S` later.

Failure policy: DNS that does not answer changes nothing. A look that took so long that another ended before it, or that
the domain was changed meanwhile, is thrown away. While the database is away nothing is looked at.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.errors import ConflictError, NotFoundError, StoreError
from outrider.base.vocab import EventKind, RecordCause, RecordKind, RecordState, WaitKind
from outrider.engine.service import Outage, Recurring
from outrider.mail import address, sts_policy
from outrider.obs.log import Logger
from outrider.policy import records, standing
from outrider.policy.record_finding import Finding
from outrider.policy.records import KeyRecord, Needs, Wanted
from outrider.policy.standing import RecordName, Standing
from outrider.services.settings import IdentitySettings
from outrider.store import domain_records, domains, events, lanes, notices, projects
from outrider.store.domain_records import SeenRecord
from outrider.store.domains import Domain
from outrider.store.events import NewEvent
from outrider.store.notices import Notice
from outrider.store.pool import Store, Tx

__all__ = ["Checker", "Domain", "DomainReport", "Installation", "KeyBook", "RecordReport", "Verification"]

_ROUND_S: Final = 15.0  # Ours: a domain that is due waits that long at most.
_AT_ONCE_COUNT: Final = 8  # Ours: a domain costs some ten questions, mostly waiting.
_TAKEN_S: Final = 600.0  # Ours: a look is over in half a minute, whatever DNS does.
_TRIES_COUNT: Final = 3  # Ours: looks at a domain that is changed while we look.
_TXT_BYTES_MAX: Final = 255  # RFC 1035 §3.3.14: of one string.
_SEEN_COUNT_MAX: Final = 20  # Ours: what strangers published is kept, not hoarded.
_SEEN_CHARS_MAX: Final = 2_000
_CHANCE_BITS: Final = 32


class Checker(Protocol):
    """Who asks DNS (`net.records.RecordLooker`)."""

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Return a finding for each wanted record, in the same order. Never raises for DNS."""


class KeyEntry(Protocol):
    """A DKIM key, or a name that is kept for one, as far as DNS is concerned."""

    @property
    def selector(self) -> str:
        """Its name."""

    @property
    def record(self) -> str:
        """The TXT text that receivers must find, directly or behind `target`; "": there is no key yet."""

    @property
    def target(self) -> str:
        """The host in the operator's zone that has it; "": the domain's owner publishes `record` itself."""

    @property
    def is_required(self) -> bool:
        """Mail that leaves now needs its record, or that of a domain that cannot send yet will."""

    @property
    def host(self) -> str:
        """Where receivers look for it."""

    @property
    def is_needed(self) -> bool:
        """False: the record may be removed."""

    @property
    def needed_until(self) -> datetime | None:
        """When the record of a key that signs no more may be removed; None of others."""

    @property
    def is_published(self) -> bool | None:
        """What DNS said of it last; None: it was not asked."""


class KeyBook(Protocol):
    """The DKIM keys of domains (`services.dkim_keys`)."""

    async def entries(self, project_id: UUID, name: str) -> Sequence[KeyEntry]:
        """Return all keys of the project's domain."""

    async def saw(self, project_id: UUID, domain: str, selector: str, is_published: bool, *, record: str) -> None:
        """Take what DNS said of a key's record, for certain: it is there, or there is none or another one.

        `record` is the text that was looked for: another key under the selector was not asked about.
        """


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of sending domains name of this installation."""

    mx_host: str = ""  # Where mail that comes back is taken; "" if its name is not set.
    sources: Sequence[str] = ()  # The addresses that mail leaves from.
    is_relayed: bool = False  # Mail leaves from smart hosts, too, whose addresses we do not know.
    is_watching: bool = True  # Look again without being asked.


class RecordReport(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish, and what DNS said of it last."""

    kind: RecordKind
    type: str
    host: str  # Fully qualified, without the last dot.
    value: str  # Of a TXT record the whole text, merged with what is published there.
    strings: Sequence[str]  # Of a TXT record: the strings it is published in; [] of others.
    is_required: bool
    is_needed: bool  # As `Wanted.is_needed`.
    why: str
    selector: str  # Of a DKIM key; "" of others.
    state: RecordState
    cause: RecordCause
    seen: Sequence[str]
    advice: str
    checked_at: datetime | None
    failing_since: datetime | None


class Removable(msgspec.Struct, frozen=True):
    """A record that nobody needs any more: that of a retired DKIM key."""

    type: str
    host: str
    selector: str


class DomainReport(msgspec.Struct, frozen=True, kw_only=True):
    """A domain with its records."""

    domain: Domain
    stops_at: datetime | None  # It has lost a record: when it will be stopped; None: it will not, or is.
    note: str  # What stands in the way besides records; "": nothing.
    records: Sequence[RecordReport]
    mta_sts_policy: str = ""  # The file at `sts_policy.PATH` of the return path's mta-sts host; "": there is none.
    removable: Sequence[Removable] = ()


class Verification(Recurring):
    """Looks at the records of sending domains. `run` does so for whatever is due, until `stop`."""

    def __init__(
        self,
        store: Store,
        keys: KeyBook,
        open_checker: Callable[[], Checker],
        settings: IdentitySettings,
        installation: Installation,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        logger: Logger,
    ) -> None:
        """`open_checker` is called once, when somebody first asks DNS: it is costly to load."""
        super().__init__(self._is_more, _ROUND_S, clock=clock, outage=Outage(logger, "domains_not_checked"))
        self._store: Final = store
        self._keys: Final = keys
        self._open_checker: Final = open_checker
        self._settings: Final = settings
        self._installation: Final = installation
        self._random_bits: Final = random_bits
        self._logger: Final = logger
        self._checker: Checker | None = None

    async def report(self, project_id: UUID, name: str) -> DomainReport:
        """Return what to publish for the project's domain and what DNS said of it last; nobody is asked now.

        Raises:
            NotFoundError: the project has no such domain.
        """
        domain = await self._find(project_id, name)
        entries = await self._keys.entries(*_name(domain))
        wanted = await self._plan(domain, entries)
        async with self._store.transaction() as tx:
            seen = await domain_records.of_domain(tx, project_id, domain.domain_id)
        known = {(one.kind, one.host): one for one in seen}
        return DomainReport(
            domain=domain,
            stops_at=self._stops_at(_standing(domain)),
            note="",
            records=[_record_report(one, known.get((one.kind, one.host))) for one in wanted],
            mta_sts_policy=self._mta_sts_policy(domain),
            # A CNAME to the operator's zone serves the next key, too.
            removable=[
                Removable("TXT", one.host, one.selector)
                for one in entries
                if not one.is_needed and not one.target and one.is_published
            ],
        )

    async def wanted(self, project_id: UUID, name: str) -> Sequence[Wanted]:
        """Return what DNS is asked about the project's domain, for who wants to ask without anything following.

        Raises:
            NotFoundError: the project has no such domain.
        """
        return await self._wanted(await self._find(project_id, name))

    async def verify(self, project_id: UUID, name: str) -> DomainReport:
        """Ask DNS about the project's domain now, let follow what follows, and report.

        Raises:
            NotFoundError: the project has no such domain.
            StoreError: nothing was learned.
        """
        report, note = await self._look(await self._find(project_id, name))
        return msgspec.structs.replace(report, note=note)

    async def check_due(self) -> int:
        """Look at some of the domains of all projects that are due; return how many. Raises StoreError."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            due = await domains.take_due(
                tx, now=now, taken_until=now + timedelta(seconds=_TAKEN_S), count_max=_AT_ONCE_COUNT
            )
        async with asyncio.TaskGroup() as group:
            for domain in due:
                group.create_task(self._look_again(domain))
        return len(due)

    async def _is_more(self) -> bool:
        """Look at some that are due; never, where nobody is to look without being asked."""
        return self._installation.is_watching and await self.check_due() == _AT_ONCE_COUNT

    async def _look_again(self, domain: Domain) -> None:
        try:
            await self._look(domain)
        except NotFoundError:
            return  # Removed meanwhile.
        except StoreError as error:  # Its turn comes again by itself.
            self._logger.warning("domain_not_checked", domain=domain.name, error=str(error))

    async def _look(self, domain: Domain) -> tuple[DomainReport, str]:
        """Ask, write, report; again if the domain was changed meanwhile."""
        note = ""
        for _ in range(_TRIES_COUNT):
            started_at = self._clock.now()
            wanted = await self._wanted(domain)
            findings = await self._asked(wanted, domain.name)
            current = await self._find(*_name(domain))
            if _counts(current, domain, started_at):
                # Before the domain may send: a key that signs is there when it does.
                for finding in findings:
                    await self._tell_keys(domain, finding)
                is_kept, note = await self._keep(domain, findings, started_at)
                if is_kept:
                    break
            if _asks(current) == _asks(domain):  # Somebody else has looked at the same, and later.
                break
            domain = current
        return await self.report(*_name(domain)), note

    async def _wanted(self, domain: Domain) -> Sequence[Wanted]:
        """Return the plan without names that are kept for later keys: those lead nowhere yet."""
        wanted = await self._plan(domain, await self._keys.entries(*_name(domain)))
        return [one for one in wanted if one.kind is not RecordKind.DKIM or one.key]

    async def _asked(self, wanted: Sequence[Wanted], name: str) -> Sequence[Finding]:
        if self._checker is None:
            self._checker = self._open_checker()
        findings = await self._checker.check(wanted, name)
        assert [one.wanted for one in findings] == list(wanted)
        return findings

    async def _keep(self, domain: Domain, findings: Sequence[Finding], started_at: datetime) -> tuple[bool, str]:
        """Write what was found; return whether it counts, and what stands in the way besides records."""
        try:
            async with self._store.transaction() as tx:
                return await self._write(tx, domain, findings, started_at, is_taken=False), ""
        except ConflictError:
            async with self._store.transaction() as tx:
                is_kept = await self._write(tx, domain, findings, started_at, is_taken=True)
            note = f"{domain.name} is proven in another project; there `outrider domain release` gives it up."
            return is_kept, note

    async def _write(
        self, tx: Tx, domain: Domain, findings: Sequence[Finding], started_at: datetime, *, is_taken: bool
    ) -> bool:
        now = self._clock.now()
        current = await domains.lock(tx, domain.project_id, domain.domain_id)
        if current is None:
            raise NotFoundError(f"{domain.name} is gone.", field="domain")
        if not _counts(current, domain, started_at):
            return False
        before = {(one.kind, one.host): one for one in await domain_records.of_domain(tx, *_ids(domain))}
        states = {name: one.state for name, one in before.items()}
        old = _standing(current)
        news: Sequence[EventKind] = ()
        if is_taken:
            new = standing.refused(old, now=now)
        else:
            had = {name for name, one in before.items() if one.passed_at is not None}
            new, news = standing.decide(old, findings, states, had=had, now=now, grace_s=self._settings.grace_s)
        due_at = standing.check_due_at(
            new,
            findings,
            created_at=current.created_at,
            now=now,
            recheck_s=self._settings.recheck_s,
            chance=self._random_bits(_CHANCE_BITS) / 2**_CHANCE_BITS,
        )
        await domains.stand(tx, *_ids(domain), new, check_due_at=due_at)
        await domain_records.replace(tx, *_ids(domain), _seen_records(findings, before, now))
        for kind in news:
            failed = [one for one in findings if one.wanted.is_required and one.state is RecordState.FAILED]
            await events.append(tx, [_event(kind, current, failed, now)])
            if kind is news[-1]:  # Who is stopped at once, for want of grace, need not be warned of it as well.
                await notices.insert(tx, self._notice(kind, current, new, failed, now))
        if old.stopped_at is not None and new.stopped_at is None:
            await lanes.end_pauses(tx, domain.project_id, domain.name, WaitKind.DOMAIN, now=now)
        for kind in news:
            self._logger.info(kind.value, project_id=str(domain.project_id), domain=domain.name)
        return True

    def _notice(
        self, kind: EventKind, domain: Domain, new: Standing, failed: Sequence[Finding], now: datetime
    ) -> Notice:
        subject, text = _letter(kind, domain, new, self._stops_at(new), failed)
        notice_id = ids.uuid7(now, self._random_bits(74))
        return Notice(notice_id=notice_id, project_id=domain.project_id, kind=kind, subject=subject, text=text, at=now)

    async def _tell_keys(self, domain: Domain, finding: Finding) -> None:
        wanted = finding.wanted
        if wanted.kind is RecordKind.DKIM and finding.state is not RecordState.UNVERIFIED:
            is_published = finding.state is RecordState.PASSED
            await self._keys.saw(*_name(domain), wanted.selector, is_published, record=wanted.key)

    async def _find(self, project_id: UUID, name: str) -> Domain:
        name = address.parse_domain(name)
        async with self._store.transaction() as tx:
            found = await domains.by_name(tx, project_id, name)
        if found is None:
            raise NotFoundError(f"The project has no domain {name!r}; `outrider domain add` adds one.", field="domain")
        return found

    async def _plan(self, domain: Domain, entries: Sequence[KeyEntry]) -> Sequence[Wanted]:
        """Return what the domain is to publish; of the project's bounce domain too, if it is below this one."""
        keys = [key for key in entries if key.is_needed]
        return_path, ours, settings = domain.return_path, self._installation, self._settings
        if not return_path:
            async with self._store.transaction() as tx:
                shared = await projects.bounce_domain_of(tx, domain.project_id)
            if shared == domain.name or shared.endswith(f".{domain.name}"):
                return_path = shared
        needs = Needs(
            domain=domain.name,
            keys=[KeyRecord(key.selector, key.record, key.target, key.is_required, key.needed_until) for key in keys],
            return_path=return_path,
            mx_host=ours.mx_host,
            sources=ours.sources,
            spf_include=settings.spf_include,
            is_relayed=ours.is_relayed,
            report_address=settings.dmarc_reports,
            tracking_host=domain.tracking_host,
            tracking_target=(settings.tracking_target or ours.mx_host) if domain.tracking_host else "",
            mta_sts_id=sts_policy.version(self._mta_sts_policy(domain)),
            mta_sts_target=settings.mta_sts_target,
            tls_report_address=settings.tls_reports,
            bimi_logo=domain.bimi_logo,
            bimi_certificate=domain.bimi_certificate,
        )
        return records.plan(needs)

    def _mta_sts_policy(self, domain: Domain) -> str:
        return sts_policy.compose(domain.mta_sts, self._installation.mx_host) if domain.return_path else ""

    def _stops_at(self, one: Standing) -> datetime | None:
        if one.failing_since is None or one.stopped_at is not None:
            return None
        return one.failing_since + timedelta(seconds=self._settings.grace_s)


def _ids(domain: Domain) -> tuple[UUID, UUID]:
    return domain.project_id, domain.domain_id


def _name(domain: Domain) -> tuple[UUID, str]:
    return domain.project_id, domain.name


def _counts(current: Domain, looked_at: Domain, started_at: datetime) -> bool:
    """Whether a look tells more than is known: nobody changed what is asked for, or looked later, meanwhile."""
    is_newest = current.checked_at is None or current.checked_at <= started_at
    return is_newest and _asks(current) == _asks(looked_at)


def _asks(domain: Domain) -> tuple[object, ...]:
    """What a domain's plan is made of, besides its keys."""
    options = domain.mta_sts, domain.bimi_logo, domain.bimi_certificate
    return domain.return_path, domain.tracking_host, domain.is_delegated, *options


def _standing(domain: Domain) -> Standing:
    return Standing(
        state=domain.state,
        checked_at=domain.checked_at,
        passed_at=domain.passed_at,
        failing_since=domain.failing_since,
        stopped_at=domain.stopped_at,
        is_proven=domain.verified_at is not None,
    )


def _seen_records(
    findings: Sequence[Finding], before: Mapping[RecordName, SeenRecord], now: datetime
) -> Sequence[SeenRecord]:
    """Return the rows to keep, each (kind, host) once."""
    states = standing.states(findings, {name: one.state for name, one in before.items()})
    rows: dict[RecordName, SeenRecord] = {}
    for one, state in zip(findings, states, strict=True):
        name = (one.wanted.kind, one.wanted.host)
        known = before.get(name)
        since = known.failing_since if known is not None else None
        # Nobody answered: what was there before is the best we know; what to publish was merged with it.
        kept = known if one.state is RecordState.UNVERIFIED else None
        rows[name] = SeenRecord(
            kind=one.wanted.kind,
            host=one.wanted.host,
            state=state,
            cause=one.cause,
            seen=kept.seen if kept is not None else [_kept(text) for text in one.seen[:_SEEN_COUNT_MAX]],
            advice=_kept(one.advice),
            publish=kept.publish if kept is not None else _kept(one.publish),
            checked_at=now,
            failing_since=(since or now) if state is RecordState.FAILED else None,
            passed_at=now if one.state is RecordState.PASSED else known.passed_at if known is not None else None,
        )
    return list(rows.values())


def _kept(text: str) -> str:
    """Return what strangers published as the database can hold it: no NUL, no half characters, not without end."""
    whole = text.encode("utf-8", "replace").decode()
    return whole.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_SEEN_CHARS_MAX]


def _record_report(wanted: Wanted, seen: SeenRecord | None) -> RecordReport:
    value = (seen.publish if seen is not None else "") or wanted.value
    return RecordReport(
        kind=wanted.kind,
        type=wanted.type,
        host=wanted.host,
        value=value,
        strings=_strings(value) if wanted.type == "TXT" else (),
        is_required=wanted.is_required,
        is_needed=wanted.is_needed,
        why=wanted.why,
        selector=wanted.selector,
        state=seen.state if seen is not None else RecordState.UNVERIFIED,
        cause=seen.cause if seen is not None else RecordCause.NONE,
        seen=seen.seen if seen is not None else (),
        advice=seen.advice if seen is not None else "",
        checked_at=seen.checked_at if seen is not None else None,
        failing_since=seen.failing_since if seen is not None else None,
    )


def _strings(text: str) -> Sequence[str]:
    """Cut a TXT text, which is ASCII, as it is published."""
    return [text[at : at + _TXT_BYTES_MAX] for at in range(0, len(text), _TXT_BYTES_MAX)]


def _event(kind: EventKind, domain: Domain, failed: Sequence[Finding], now: datetime) -> NewEvent:
    facts: dict[str, str | int | float | bool] = {"domain": domain.name}
    if failed:
        facts["records"] = ", ".join(f"{one.wanted.kind} at {one.wanted.host}: {one.cause}" for one in failed)
    if kind is not EventKind.DOMAIN_STOPPED and domain.stopped_at is not None:
        facts["was_stopped"] = True
    return NewEvent(
        at=now, project_id=domain.project_id, message_id=events.NIL, recipient_id=None, kind=kind, facts=facts
    )


def _letter(
    kind: EventKind, domain: Domain, new: Standing, stops_at: datetime | None, failed: Sequence[Finding]
) -> tuple[str, str]:
    """Return subject and text of a notice; `domain` is as it was before."""
    name = domain.name
    lines = [f"- {one.wanted.kind} at {one.wanted.host}: {one.advice or one.cause}" for one in failed]
    what = f"\n\n{chr(10).join(lines)}" if lines else ""
    todo = f"\n\n`outrider domain show {name}` shows each record, `outrider domain verify {name}` looks again at once."
    match kind:
        case EventKind.DOMAIN_FAILED if stops_at is not None:
            until = f"it will be stopped at the first look after {stops_at:%Y-%m-%d %H:%M} UTC"
            return f"DNS records of {name} are gone or wrong", f"Mail from {name} still goes out; {until}.{what}{todo}"
        case EventKind.DOMAIN_FAILED if domain.stopped_at is not None:
            word = "What it had lost is there again: it is stopped no more, queued mail goes on. Missing yet:"
            return f"{name} goes on, with DNS records missing", f"{word}{what}{todo}"
        case EventKind.DOMAIN_FAILED if new.passed_at is not None:
            word = f"They have never been seen, so nothing is lost, and mail from {name} goes out without them."
            return f"DNS records of {name} are not there yet", f"{word}{what}{todo}"
        case EventKind.DOMAIN_FAILED:
            word = "It sends on your word, so it is not stopped; but receivers may refuse its mail."
            return f"DNS records of {name} are gone or wrong", f"{word}{what}{todo}"
        case EventKind.DOMAIN_STOPPED:
            word = f"New mail from {name} is refused, queued mail waits. It goes on by itself when the records pass."
            return f"{name} is stopped: its DNS records are gone or wrong", f"{word}{what}{todo}"
        case _:
            word = (
                "All records that it needs are there: it may send."
                if domain.stopped_at is None
                else ("All records that it needs are there again: queued mail goes on.")
            )
            return f"{name} has passed", word
