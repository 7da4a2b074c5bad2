"""Where a value may have landed, and what wins when several things are wrong."""

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail.look import Look, Outcome
from outrider.policy import record_check
from outrider.policy.record_check import Seen
from tests.unit.net.record_cases import BOUNCES, DOMAIN, PLAN, RSA, RSA_HOST, TRACK

WANTED = {(wanted.kind, wanted.host): wanted for wanted in PLAN}
KEY = WANTED[RecordKind.DKIM, RSA_HOST]


def empty(name: str, type_: str = "TXT") -> Look:
    return Look(name, type_, Outcome.EMPTY)


def test_suspects_are_the_mistakes_people_make() -> None:
    assert record_check.suspects(KEY, DOMAIN) == [
        f"{RSA_HOST}.shop.example",
        f"{RSA_HOST}.{DOMAIN}",
        "r1._domainkey.shop.example",
        f"r1.domainkey.{DOMAIN}",
        f"r1.-domainkey.{DOMAIN}",
        DOMAIN,
        f"r1.{DOMAIN}",
        f"_domainkey.{DOMAIN}",
    ]
    assert record_check.suspects(WANTED[RecordKind.TRACKING, TRACK], DOMAIN) == [
        f"{TRACK}.shop.example",
        f"{TRACK}.{DOMAIN}",
        "go.shop.example",
    ]
    assert record_check.suspects(WANTED[RecordKind.SPF, DOMAIN], DOMAIN) == [
        f"{DOMAIN}.shop.example",
        f"{DOMAIN}.{DOMAIN}",
    ]
    for wanted in PLAN:
        assert wanted.host not in record_check.suspects(wanted, DOMAIN)
        assert len(record_check.suspects(wanted, DOMAIN)) <= 8


def test_a_right_record_is_right_wherever_else_it_is() -> None:
    elsewhere = [Look(DOMAIN, "TXT", Outcome.FOUND, (RSA,))]
    seen = Seen(look=Look(RSA_HOST, "TXT", Outcome.FOUND, (RSA,)), elsewhere=elsewhere)
    assert record_check.judge(KEY, seen).state is RecordState.PASSED
    there = record_check.judge(KEY, msgspec.structs.replace(seen, look=empty(RSA_HOST)))
    assert (there.cause, there.seen) == (RecordCause.WRONG_HOST, (f"{DOMAIN}: {RSA}",))


def test_a_temporary_failure_wins_over_everything() -> None:
    for wanted in PLAN:
        look = Look(wanted.host, wanted.type, Outcome.TIMED_OUT)
        finding = record_check.judge(wanted, Seen(look=look, has_domain=False))
        assert (finding.state, finding.cause) == (RecordState.UNVERIFIED, RecordCause.TIMED_OUT)


def test_nothing_published_is_failed_with_what_to_publish() -> None:
    for wanted in PLAN:
        finding = record_check.judge(wanted, Seen(look=empty(wanted.host, wanted.type)))
        assert (finding.state, finding.cause) == (RecordState.FAILED, RecordCause.MISSING)
        assert finding.publish == wanted.value
        assert wanted.host in finding.advice


def test_an_mx_host_behind_which_the_domain_was_added_is_a_typing_error() -> None:
    wanted = WANTED[RecordKind.RETURN_PATH, BOUNCES]
    look = Look(BOUNCES, "MX", Outcome.FOUND, (f"10 mx.op.example.{DOMAIN}",))
    finding = record_check.judge(wanted, Seen(look=look))
    assert (finding.state, finding.cause) == (RecordState.FAILED, RecordCause.TYPO)
    assert f"leads to mx.op.example.{DOMAIN}: end the target with a dot" in finding.advice


def test_another_domains_mail_host_of_our_name_is_no_wrong_host() -> None:
    """The domain above may well get its bounces by us, too."""
    wanted = WANTED[RecordKind.RETURN_PATH, BOUNCES]
    above = Look(DOMAIN, "MX", Outcome.FOUND, ("10 mx.op.example",))
    finding = record_check.judge(wanted, Seen(look=empty(BOUNCES, "MX"), elsewhere=[above]))
    assert finding.cause is RecordCause.MISSING
