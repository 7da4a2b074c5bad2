"""Records become checks in the words of who judged them; nothing follows from having looked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.net.dns_query import NameServers
from outrider.net.records import RecordLooker
from outrider.policy import records
from outrider.policy.checkup import Check, CheckState
from outrider.policy.record_finding import Finding
from outrider.policy.records import Needs, Wanted
from outrider.services.checkup import run
from outrider.services.checkup.domains import Asker, Checker, DomainCheckup
from outrider.store.domains import Domain
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node

OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP
NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
NAME, ADDRESS = "mail.shop.example", "dmarc@us.example"
DOMAIN = Domain(UUID(int=1), UUID(int=2), NAME, NOW, verified_at=NOW)
EVERY = "*._report._dmarc.us.example"


class Plans:
    """What each domain is to publish."""

    async def wanted(self, project_id: UUID, name: str) -> Sequence[Wanted]:
        assert project_id == DOMAIN.project_id
        return records.plan(Needs(domain=name, sources=("192.0.2.7",), report_address=ADDRESS))


class Fixed:
    """A checker that has found this."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        return self.findings

    async def look(self, name: str, type_: str) -> object:
        raise AssertionError(name)


def finding(
    state: RecordState, cause: RecordCause = RecordCause.NONE, *, is_required: bool = True, is_needed: bool = False
) -> Finding:
    wanted = Wanted(
        kind=RecordKind.DMARC,
        type="TXT",
        host=f"_dmarc.{NAME}",
        value="v=DMARC1; p=none",
        is_required=is_required,
        is_needed=is_needed,
        why="",
    )
    return Finding(wanted=wanted, state=state, cause=cause, seen=("what is there",), advice="Do that.")


async def told(domain: Domain, *findings: Finding) -> list[Check]:
    fixed = Fixed(*findings)
    looks = DomainCheckup([domain], Plans(), checker=fixed, asker=fixed, report_address="")  # type: ignore[arg-type]
    return await run.run(looks.probes(), wait_s=5)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (finding(RecordState.PASSED), OK),
        (finding(RecordState.PASSED, RecordCause.INHERITED), OK),
        (finding(RecordState.PASSED, RecordCause.TOO_OPEN), WARN),
        (finding(RecordState.PASSED, RecordCause.NOT_REPORTED), WARN),
        (finding(RecordState.UNVERIFIED, RecordCause.TIMED_OUT), SKIP),
        (finding(RecordState.FAILED, RecordCause.TYPO), FAIL),
        (finding(RecordState.FAILED, RecordCause.MISSING), FAIL),
        (finding(RecordState.FAILED, RecordCause.MISSING, is_required=False), SKIP),
        (finding(RecordState.FAILED, RecordCause.MISSING, is_required=False, is_needed=True), WARN),
        (finding(RecordState.FAILED, RecordCause.TYPO, is_required=False), WARN),
    ],
)
async def test_each_finding_is_a_check(found: Finding, state: CheckState) -> None:
    _, check = await told(DOMAIN, found)
    assert (check.name, check.state, check.subject) == ("domain.dmarc", state, f"{NAME}: _dmarc.{NAME}")
    assert check.advice == ("" if state is OK else "Do that.")


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, WARN, "records that it needs fail"),
        ({"verified_at": None}, WARN, "not verified"),
        ({"stopped_at": NOW}, FAIL, "stopped since 2026-11-27 12:30"),
    ],
)
async def test_a_domain_stands_as_is_known_and_as_was_seen(
    changes: dict[str, object], state: CheckState, words: str
) -> None:
    bad, good = finding(RecordState.FAILED, RecordCause.TYPO), finding(RecordState.PASSED)
    standing, record = await told(msgspec.structs.replace(DOMAIN, **changes), bad)
    assert (standing.state, words in standing.seen) == (state, True)
    assert record.state is (WARN if "verified_at" in changes else FAIL), "who may not send yet pages nobody"
    standing, _ = await told(msgspec.structs.replace(DOMAIN, **changes), good)
    assert standing.state is (state if changes else OK)
    assert ("pass now" in standing.advice) == bool(changes)


async def seen(zone: dict[str, Node], *domains: Domain) -> dict[tuple[str, str], Check]:
    async with DnsServer(zone) as server:
        asker = NameServers(server.address, clock=FakeClock(), wait_s=0.3)
        checker: Checker = RecordLooker(asker, wait_s=3)
        plain: Asker = asker
        looks = DomainCheckup(domains or [DOMAIN], Plans(), checker=checker, asker=plain, report_address=ADDRESS)
        return {(one.name, one.subject): one for one in await run.run(looks.probes(), wait_s=10)}


async def test_a_real_name_server_is_asked_and_the_findings_are_told() -> None:
    zone = {
        NAME: Node(txt=("v=spf1 ip4:192.0.2.7 -all",)),
        f"_dmarc.{NAME}": Node(txt=(f"v=DMARC1; p=none; rua=mailto:{ADDRESS}",)),
        EVERY: Node(txt=("v=DMARC1",)),
    }
    found = await seen(zone)
    assert {key: one.state for key, one in found.items() if one.state not in (OK, SKIP)} == {}
    assert found["domain.reports", EVERY].state is OK
    found = await seen({NAME: Node(txt=("v=spf1 ip4:192.0.2.9 -all",)), "us.example": Node()})
    assert found["domain.dmarc", f"{NAME}: _dmarc.{NAME}"].state is FAIL
    reports = found["domain.reports", EVERY]
    assert (reports.state, reports.advice) == (WARN, f'Publish at {EVERY} a TXT record "v=DMARC1".')


async def test_leave_for_reports_may_be_given_domain_by_domain_or_not_be_needed() -> None:
    leave = {f"{NAME}._report._dmarc.us.example": Node(txt=("v=DMARC1; ",))}
    assert (await seen(leave))["domain.reports", EVERY].state is OK
    other = msgspec.structs.replace(DOMAIN, name="other.example")
    assert (await seen(leave, DOMAIN, other))["domain.reports", EVERY].state is WARN
    own = msgspec.structs.replace(DOMAIN, name="mail.us.example")
    assert (await seen({}, own))["domain.reports", EVERY].state is SKIP
    silent = {"*.us.example": Node(fault=Fault.SILENT)}
    assert (await seen(silent))["domain.reports", EVERY].state is SKIP
