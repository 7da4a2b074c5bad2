"""Wanted records looked for on real name servers on loopback: ours, and one that we did not write.

Each case is a zone in order with one thing wrong; every state and every cause comes up.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import pytest

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Result
from outrider.net.dns_query import NameServers
from outrider.net.records import RecordLooker
from outrider.policy import records
from outrider.policy.record_check import Finding
from outrider.policy.records import Needs
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node, Zone, ZoneAsker
from tests.unit.net.dnslib_server import ForeignServer
from tests.unit.net.record_cases import (
    BOUNCES,
    CASES,
    DOMAIN,
    ED_HOST,
    LEAVES,
    PLAN,
    RSA_HOST,
    SPF,
    C,
    Case,
    K,
    S,
    right,
)

WAIT_S: Final = 5.0
SILENCE_S: Final = 0.15


@asynccontextmanager
async def own(zone: Zone) -> AsyncIterator[str]:
    async with DnsServer(zone) as server:
        yield server.address


Serve = Callable[[Zone], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="module")
def foreign_server() -> Iterator[ForeignServer]:
    server = ForeignServer()
    yield server
    server.stop()


@pytest.fixture(params=["own", "dnslib"])
def serve(request: pytest.FixtureRequest) -> Serve:
    if request.param == "own":
        return own
    server: ForeignServer = request.getfixturevalue("foreign_server")

    @asynccontextmanager
    async def foreign(zone: Zone) -> AsyncIterator[str]:
        with server.serving(zone) as address:
            yield address

    return foreign


def is_silent(zone: Zone) -> bool:
    return any(node.fault is Fault.SILENT for node in zone.values())


async def check(serve: Serve, zone: Zone) -> dict[tuple[RecordKind, str], Finding]:
    async with serve(zone) as address:
        wait_s = SILENCE_S if is_silent(zone) else WAIT_S
        looker = RecordLooker(NameServers(address, clock=FakeClock(), wait_s=wait_s))
        findings = await looker.check(PLAN, DOMAIN)
    assert [finding.wanted for finding in findings] == list(PLAN)
    return {(finding.wanted.kind, finding.wanted.host): finding for finding in findings}


async def test_a_domain_in_order_passes_without_a_word(serve: Serve) -> None:
    found = await check(serve, right())
    assert {finding.state for finding in found.values()} == {RecordState.PASSED}
    advised = {kind: finding.cause for (kind, _), finding in found.items() if finding.advice}
    # To go on from p=none, before which no logo is shown.
    assert advised == {RecordKind.DMARC: RecordCause.NONE, RecordKind.BIMI: RecordCause.NOT_ENFORCED}
    assert {finding.cause for (kind, _), finding in found.items() if kind not in advised} == {RecordCause.NONE}
    assert all(finding.seen for finding in found.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_each_mistake_is_told(serve: Serve, case: Case) -> None:
    zone = {name: node for name, node in {**right(), **case.changes}.items() if node is not None}
    found = await check(serve, zone)
    finding = found[case.kind, case.host]
    assert (finding.state, finding.cause) == (case.state, case.cause), finding.advice
    assert case.words in finding.advice
    if case.kind is not K.DMARC:  # There is always something to say while p=none.
        assert bool(finding.advice) == (case.cause is not C.NONE)
    assert finding.publish
    touched = {name for name in case.changes if name in right()} | {case.host}
    others = [one for (_, name), one in found.items() if name not in touched and name != ED_HOST]
    # Where one case.host is silent we wait for none of them long, and a busy machine may be late.
    assert {one.state for one in others} - ({S.UNVERIFIED} if is_silent(zone) else set()) == {S.PASSED}


def test_every_cause_has_a_case() -> None:
    assert {case.cause for case in CASES} == set(RecordCause) - {RecordCause.NO_DOMAIN}  # It has a test of its own.
    assert {case.state for case in CASES} == set(RecordState)


async def test_a_domain_that_does_not_exist_is_told_so(serve: Serve) -> None:
    found = await check(serve, {"other.example": Node(a=("192.0.2.1",))})
    assert {finding.cause for finding in found.values()} == {RecordCause.NO_DOMAIN}
    assert {finding.state for finding in found.values()} == {RecordState.FAILED}


async def test_a_domain_that_nobody_can_tell_of_is_not_failed() -> None:
    found = await check(own, {"*.example": Node(fault=Fault.SILENT)})
    assert {finding.state for finding in found.values()} == {RecordState.UNVERIFIED}


async def test_a_domain_in_order_costs_few_questions() -> None:
    async with DnsServer(right()) as server:
        looker = RecordLooker(NameServers(server.address, clock=FakeClock(), wait_s=WAIT_S))
        await looker.check(PLAN, DOMAIN)
        assert server.queries.total() <= len(PLAN) + 4
        assert set(server.queries.values()) == {1}


async def test_what_is_to_be_published_has_what_was_there() -> None:
    zone = right() | {DOMAIN: Node(txt=("v=spf1 include:s.example ?all",)), "s.example": Node(txt=("v=spf1 -all",))}
    finding = (await check(own, zone))[K.SPF, DOMAIN]
    assert finding.publish == "v=spf1 include:s.example ip4:192.0.2.7 ip6:2001:db8::7 ?all"
    assert (finding.state, finding.cause) == (S.FAILED, C.NOT_COVERED)
    zone[DOMAIN] = Node(txt=(finding.publish,))
    assert (await check(own, zone))[K.SPF, DOMAIN].state is S.PASSED


async def test_a_record_merged_past_ten_look_ups_says_so() -> None:
    ten = " ".join(f"include:i{n}.example" for n in range(10))
    needs = Needs(domain=DOMAIN, spf_include="ours.example")
    zone = {DOMAIN: Node(txt=(f"v=spf1 {ten} -all",)), "ours.example": Node(txt=(SPF,)), **LEAVES}
    async with own(zone) as address:
        looker = RecordLooker(NameServers(address, clock=FakeClock(), wait_s=WAIT_S))
        (finding,) = [one for one in await looker.check(records.plan(needs), DOMAIN) if one.wanted.kind is K.SPF]
    assert finding.cause is C.NOT_COVERED
    assert "costs 11 DNS look-ups" in finding.advice


async def test_spf_of_an_include_is_told_by_the_addresses_behind_it() -> None:
    needs = Needs(domain=DOMAIN, return_path=DOMAIN, mx_host="mx.op.example", spf_include="ours.example")
    zone = {DOMAIN: Node(txt=("v=spf1 ip4:192.0.2.7 -all",)), "ours.example": Node(txt=(SPF,))}
    async with own(zone) as address:
        looker = RecordLooker(NameServers(address, clock=FakeClock(), wait_s=WAIT_S))
        found = {one.wanted.kind: one for one in await looker.check(records.plan(needs), DOMAIN)}
    assert found[K.SPF].cause is C.NOT_COVERED
    assert "2001:db8::7" in found[K.SPF].advice
    assert "192.0.2.7 " not in found[K.SPF].advice


async def test_spf_says_whether_an_address_passes() -> None:
    async with own(right()) as address:
        looker = RecordLooker(NameServers(address, clock=FakeClock(), wait_s=WAIT_S))
        assert (await looker.spf("192.0.2.7", BOUNCES)).result is Result.PASS
        assert (await looker.spf("::ffff:192.0.2.7", BOUNCES)).result is Result.PASS
        assert (await looker.spf("192.0.2.8", BOUNCES)).result is Result.FAIL
        assert (await looker.spf("192.0.2.8", "gone.example")).result is Result.NONE
        assert (await looker.spf_cost(BOUNCES)).lookups_count == 0


async def test_spf_of_odd_return_paths_ends_with_an_answer() -> None:
    zone = right() | {BOUNCES: Node(txt=("v=spf1 exists:%{l}.list.example exists:%{h}.list.example -all",))}
    async with own(zone) as address:
        looker = RecordLooker(NameServers(address, clock=FakeClock(), wait_s=WAIT_S))
        for sender in ("ü@x.example", "a\\b c@x.example", f"{'a' * 64}@x.example", "@", "x..y@x.example"):
            assert (await looker.spf("192.0.2.7", BOUNCES, sender=sender, helo="[192.0.2.7]")).result is Result.FAIL
        with pytest.raises(ValueError, match="IPv4"):
            await looker.spf("nonsense", BOUNCES)


class Hanging:
    """Answers nobody, ever."""

    def __init__(self) -> None:
        self.asked = 0

    async def look(self, name: str, type_: str) -> Look:
        self.asked += 1
        await asyncio.Event().wait()
        return Look(name, type_, Outcome.EMPTY)


async def test_a_check_ends_when_its_time_is_up() -> None:
    asker = Hanging()
    findings = await RecordLooker(asker, wait_s=0.05).check(PLAN, DOMAIN)
    assert {(one.state, one.cause) for one in findings} == {(S.UNVERIFIED, C.TIMED_OUT)}
    assert asker.asked <= 16


async def test_a_check_can_be_cancelled() -> None:
    checking = asyncio.create_task(RecordLooker(Hanging()).check(PLAN, DOMAIN))
    await asyncio.sleep(0)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking


async def test_a_tree_without_end_is_given_up() -> None:
    includes = " ".join(f"include:%{{d}}.{n}.example" for n in range(9))
    zone = right() | {
        BOUNCES: Node(txt=(f"v=spf1 {includes} -all",)),
        "*.example": Node(txt=(f"v=spf1 {includes} -all",)),
    }
    asker = ZoneAsker(zone)
    finding = {one.wanted.kind: one for one in await RecordLooker(asker).check(PLAN, DOMAIN)}[K.RETURN_PATH_SPF]
    assert finding.cause is C.TOO_MANY_LOOKUPS
    assert asker.queries.total() < 200


async def test_texts_of_strangers_come_out_printable_and_short() -> None:
    zone = right() | {RSA_HOST: Node(txt=("v=DKIM1; p=\x00\r\n\x1b[31m" + "A" * 5000,))}
    finding = {(o.wanted.kind, o.wanted.host): o for o in await RecordLooker(ZoneAsker(zone)).check(PLAN, DOMAIN)}[
        K.DKIM, RSA_HOST
    ]
    assert finding.state is S.FAILED
    assert all(text.isprintable() and len(text) <= 1000 for text in [*finding.seen, finding.advice])
