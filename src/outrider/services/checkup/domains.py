"""Looks at the DNS records of sending domains, and at the record by which the operator's domain takes DMARC reports.

It asks what `services.verification` would ask and lets nothing follow: no state, key, event or notice changes.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from outrider.base import limits
from outrider.base.vocab import RecordCause, RecordState
from outrider.mail import dmarc
from outrider.mail.look import Look
from outrider.policy import checkup
from outrider.policy.checkup import Check
from outrider.policy.record_finding import Finding
from outrider.policy.records import Wanted
from outrider.services.checkup.run import Probe
from outrider.store.domains import Domain

REPORTS: Final = "domain.reports"
_SEEN_CHARS: Final = 200


class Plans(Protocol):
    """Who knows what a domain is to publish (`services.verification.Verification`)."""

    async def wanted(self, project_id: UUID, name: str) -> Sequence[Wanted]:
        """Return what DNS is to be asked."""


class Checker(Protocol):
    """Who asks DNS (`net.records.RecordLooker`)."""

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Return a finding for each wanted record, in the same order. Never raises for DNS."""


class Asker(Protocol):
    """Who answers questions about names (`net.dns_query.NameServers`)."""

    async def look(self, name: str, type_: str) -> Look:
        """Ask for records of a type. Never raises for what others do."""


class DomainCheckup:
    """Looks at sending domains of one project."""

    def __init__(
        self, domains: Sequence[Domain], plans: Plans, *, checker: Checker, asker: Asker, report_address: str
    ) -> None:
        """`report_address` gets the DMARC reports about them; "" where nobody wants them."""
        self._domains: Final = domains
        self._plans: Final = plans
        self._checker: Final = checker
        self._asker: Final = asker
        self._report_address: Final = report_address
        self._places: Final = asyncio.Semaphore(limits.CHECKUP_DOMAINS_AT_ONCE_COUNT_MAX)

    def probes(self) -> list[Probe]:
        """Return what there is to look at."""
        probes = [Probe("domain.standing", _DomainLook(self, one).look, one.name) for one in self._domains]
        if self._report_address:
            probes.append(Probe(REPORTS, self._reports))
        return probes

    async def findings(self, domain: Domain) -> Sequence[Finding]:
        """Ask DNS about a domain, when its turn comes."""
        async with self._places:
            return await self._checker.check(await self._plans.wanted(domain.project_id, domain.name), domain.name)

    async def _reports(self) -> Sequence[Check]:
        """Ask whether the operator's domain wants reports on the others. Source: RFC 7489 §7.1."""
        target = self._report_address.rpartition("@")[2].lower()
        every = f"*._report._dmarc.{target}"
        hosts = [dmarc.report_host(one.name, self._report_address) for one in self._domains]
        hosts = [host for host in hosts if host]
        if not hosts:
            seen = f"all domains are below that of {self._report_address}: no leave is needed."
            return [checkup.skip(REPORTS, seen, subject=every)]
        async with self._places:
            looks = [await self._asker.look(every, "TXT")]
            if not any(map(dmarc.is_dmarc, looks[0].values)):
                looks = await asyncio.gather(*(self._asker.look(host, "TXT") for host in hosts))
        without = [look for look in looks if not any(map(dmarc.is_dmarc, look.values))]
        if not without:
            return [checkup.ok(REPORTS, f"{target} takes DMARC reports about other domains.", every)]
        if all(look.outcome.is_temporary for look in without):
            return [checkup.skip(REPORTS, f"nobody answered about {without[0].name}.", subject=every)]
        seen = f"{target} does not say that it takes reports about {len(without)} domains: receivers send none."
        return [checkup.warn(REPORTS, seen, f'Publish at {every} a TXT record "v=DMARC1".', every)]


class _DomainLook:
    """The probe of one domain."""

    def __init__(self, checks: DomainCheckup, domain: Domain) -> None:
        self._checks: Final = checks
        self._domain: Final = domain

    async def look(self) -> Sequence[Check]:
        findings = await self._checks.findings(self._domain)
        return [_standing(self._domain, findings), *(_record(self._domain, one) for one in findings)]


def _standing(domain: Domain, findings: Sequence[Finding]) -> Check:
    """Say whether mail may leave from the domain, by what is known and by what was just seen."""
    name, verify = "domain.standing", f"outrider domain verify {domain.name}"
    is_passing = all(one.state is RecordState.PASSED for one in findings if one.wanted.is_required)
    if domain.stopped_at is not None:
        seen = f"stopped since {domain.stopped_at:%Y-%m-%d %H:%M} UTC: its mail is refused."
        advice = f"Its records pass now: {verify}" if is_passing else f"Mend its records, then: {verify}"
        return checkup.fail(name, seen, advice, domain.name)
    if domain.verified_at is None:
        advice = f"Its records pass now: {verify}" if is_passing else f"Publish its records, then: {verify}"
        return checkup.warn(name, "not verified: nothing may be sent from it yet.", advice, domain.name)
    if any(one.state is RecordState.FAILED for one in findings if one.wanted.is_required):
        return checkup.warn(
            name, "it may send, and records that it needs fail.", f"Mend them, then: {verify}", domain.name
        )
    return checkup.ok(name, "it may send.", domain.name)


def _record(domain: Domain, finding: Finding) -> Check:
    """Say what became of one record, in the words of who judged it."""
    wanted = finding.wanted
    name, subject = (
        f"domain.{wanted.kind}",
        domain.name if wanted.host == domain.name else f"{domain.name}: {wanted.host}",
    )
    cause = finding.cause.replace("_", " ")
    values = ", ".join(value if len(value) <= _SEEN_CHARS else f"{value[:_SEEN_CHARS]}..." for value in finding.seen)
    match finding.state:
        case RecordState.PASSED if finding.cause in (RecordCause.TOO_OPEN, RecordCause.NOT_REPORTED):
            return checkup.warn(name, f"{cause}: {values}", finding.advice, subject)
        case RecordState.PASSED:
            return checkup.ok(name, f"right{f' ({cause})' if cause else ''}.", subject)
        case RecordState.UNVERIFIED:
            return checkup.skip(name, f"nobody could tell now ({cause}).", finding.advice, subject)
        case RecordState.FAILED:
            seen = f"{cause}: {values}" if values else cause
            if wanted.is_required and domain.verified_at is not None:
                return checkup.fail(name, seen, finding.advice, subject)
            if finding.cause is RecordCause.MISSING and not wanted.is_required and not wanted.is_needed:
                return checkup.skip(name, "optional, and not published.", finding.advice, subject)
            return checkup.warn(name, seen, finding.advice, subject)
