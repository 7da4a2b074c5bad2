"""When SPF passes though it is written otherwise, and what is told when it does not."""

import pytest

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Result
from outrider.policy import record_spf
from outrider.policy.record_finding import Finding, Seen, SpfSeen
from outrider.policy.records import Wanted

HOST = "b.shop.example"


def judge(text: str, wanted: str, **results: Result) -> Finding:
    record = Wanted(kind=RecordKind.SPF, type="TXT", host=HOST, value=wanted, is_required=True, why=".")
    checks = {ip.replace("_", "."): Evaluation(result=result) for ip, result in results.items()}
    spf = SpfSeen(walk=Evaluation(result=Result.FAIL), checks=checks) if results else None
    return record_spf.judge(record, Seen(look=Look(HOST, "TXT", Outcome.FOUND, (text, "other")), spf=spf))


def test_without_an_address_the_terms_have_to_be_there() -> None:
    wanted = "v=spf1 include:a.example mx -all"
    assert judge("v=spf1 mx include:A.example ~all", wanted).state is RecordState.PASSED
    finding = judge("v=spf1 mx ~all", wanted)
    assert (finding.cause, finding.publish) == (RecordCause.NOT_COVERED, "v=spf1 mx include:a.example ~all")
    assert "does not cover include:a.example" in finding.advice


def test_a_misspelt_include_is_a_typo() -> None:
    finding = judge("v=spf1 include:spf.outridr.example -all", "v=spf1 include:spf.outrider.example -all")
    assert finding.cause is RecordCause.TYPO


def test_several_addresses_are_told_some() -> None:
    ips = {f"_192_0_2_{n}".lstrip("_"): Result.FAIL for n in range(5)}
    finding = judge("v=spf1 -all", "v=spf1 ip4:192.0.2.0/29 -all", **ips)
    assert "192.0.2.0, 192.0.2.1, 192.0.2.2 and others" in finding.advice
    assert finding.seen == ("v=spf1 -all",)


@pytest.mark.parametrize("result", [Result.SOFTFAIL, Result.NEUTRAL, Result.NONE, Result.FAIL])
def test_anything_but_pass_is_not_covered(result: Result) -> None:
    assert judge("v=spf1 ~all", "v=spf1 ip4:192.0.2.1 -all", **{"192_0_2_1": result}).cause is RecordCause.NOT_COVERED


def test_one_address_that_nobody_can_tell_of_leaves_it_open() -> None:
    finding = judge(
        "v=spf1 a -all", "v=spf1 ip4:192.0.2.1 -all", **{"192_0_2_1": Result.PASS, "192_0_2_2": Result.TEMPERROR}
    )
    assert (finding.state, finding.cause) == (RecordState.UNVERIFIED, RecordCause.SERVERS_FAILED)


def test_what_is_covered_word_for_word() -> None:
    assert record_spf.is_covered("v=spf1 ip4:192.0.2.1 -all", "v=spf1 mx ip4:192.0.2.1/32 ~all")
    assert not record_spf.is_covered("v=spf1 ip4:192.0.2.1 -all", "v=spf1 mx ~all")
    assert not record_spf.is_covered("v=spf1 ip4:192.0.2.1 -all", "no record")
