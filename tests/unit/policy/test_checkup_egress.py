"""An address is judged as receivers do: its name, the way back, EHLO, SPF, and whether port 25 is open to it."""

from collections.abc import Mapping, Sequence

import pytest

from outrider.base.vocab import Phase
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Result
from outrider.policy import checkup_egress
from outrider.policy.checkup import CheckState
from outrider.policy.checkup_egress import Names
from outrider.wire.answer import Answer, Cause

IP, NAME = "192.0.2.7", "out.us.example"
OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP
Addresses = Mapping[str, Sequence[str] | Outcome]


def look(name: str, values: Sequence[str] | Outcome, type_: str = "A") -> Look:
    if isinstance(values, Outcome):
        return Look(name, type_, values)
    return Look(name, type_, Outcome.FOUND if values else Outcome.NO_NAME, tuple(values))


def judged(ptr: Sequence[str] | Outcome, addresses: Addresses, ehlo: str = NAME) -> dict[str, tuple[CheckState, str]]:
    found = look("7.2.0.192.in-addr.arpa", ptr, "PTR")
    forward = {name: [look(name, addresses.get(name, ()))] for name in found.values}
    names = Names(found, forward, [look(ehlo, addresses.get(ehlo, ()))])
    return {one.name: (one.state, one.seen) for one in checkup_egress.judge_names(IP, ehlo, names)}


@pytest.mark.parametrize(
    ("ptr", "addresses", "ptr_state", "ehlo_state"),
    [
        ([NAME], {NAME: [IP]}, OK, OK),
        ([NAME], {NAME: ["192.0.2.8", IP]}, OK, OK),
        (["other.example", NAME], {NAME: [IP]}, OK, OK),
        (["other.example"], {NAME: [IP], "other.example": [IP]}, OK, WARN),
        (["other.example"], {NAME: [IP], "other.example": ["192.0.2.8"]}, FAIL, WARN),
        ([NAME], {NAME: ["192.0.2.8"]}, FAIL, WARN),
        ([NAME], {}, FAIL, FAIL),
        ([], {NAME: [IP]}, FAIL, OK),
        ([NAME], {NAME: Outcome.TIMED_OUT}, SKIP, SKIP),
        (Outcome.TIMED_OUT, {NAME: [IP]}, SKIP, OK),
        (Outcome.FAILED, {}, SKIP, FAIL),
    ],
)
def test_a_name_leads_there_and_back(
    ptr: Sequence[str] | Outcome, addresses: Addresses, ptr_state: CheckState, ehlo_state: CheckState
) -> None:
    found = judged(ptr, addresses)
    assert (found["egress.ptr"][0], found["egress.ehlo"][0]) == (ptr_state, ehlo_state)


def test_an_address_literal_is_no_name() -> None:
    state, seen = judged([], {}, "[127.0.0.1]")["egress.ehlo"]
    assert (state, "no full name" in seen) == (FAIL, True)


def test_names_of_strangers_do_nothing_to_a_terminal() -> None:
    state, seen = judged(["evil\x1b[2J.example"], {})["egress.ptr"]
    assert (state, "\x1b" in seen) == (FAIL, False)


def evaluation(result: Result) -> Evaluation:
    return Evaluation(result=result, reason="it has two records" if result is Result.PERMERROR else "")


@pytest.mark.parametrize(
    ("results", "state", "words"),
    [
        ({}, SKIP, "no return path"),
        ({"a.example": Result.PASS}, OK, "a.example"),
        ({"a.example": Result.PASS, "b.example": Result.SOFTFAIL}, FAIL, "b.example says that it should not"),
        ({"a.example": Result.FAIL}, FAIL, "may not send"),
        ({"a.example": Result.NEUTRAL}, FAIL, "says nothing"),
        ({"a.example": Result.NONE}, FAIL, "has no SPF record"),
        ({"a.example": Result.PERMERROR}, FAIL, "two records"),
        ({"a.example": Result.TEMPERROR, "b.example": Result.PASS}, SKIP, "nobody answered about a.example"),
        ({"a.example": Result.TEMPERROR, "b.example": Result.FAIL}, FAIL, "b.example"),
    ],
)
def test_spf_covers_an_address_or_says_for_whom_not(
    results: Mapping[str, Result], state: CheckState, words: str
) -> None:
    check = checkup_egress.judge_spf(IP, {host: evaluation(result) for host, result in results.items()})
    assert (check.state, words in check.seen) == (state, True)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        ("220 mx.partner.example ESMTP", OK, "greeted us"),
        ("554 5.7.1 Go away", WARN, "does not want us"),
        (Answer(Phase.CONNECT, None, Cause.REFUSED), WARN, "refuses"),
        (Answer(Phase.GREETING, None, Cause.TIMEOUT), WARN, "does not greet"),
        (Answer(Phase.CONNECT, None, Cause.TIMEOUT), FAIL, "cannot be reached"),
        (Answer(Phase.CONNECT, None, Cause.UNREACHABLE), FAIL, "cannot be reached"),
    ],
)
def test_a_closed_port_is_told_from_a_host_that_does_not_like_us(
    answer: Answer | str, state: CheckState, words: str
) -> None:
    check = checkup_egress.judge_port(IP, "mx.partner.example", answer, 8.0)
    assert (check.state, words in check.seen, check.subject) == (state, True, IP)
    assert ("smart host" in check.advice) == (state is FAIL)
