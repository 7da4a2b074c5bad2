"""What findings say in common. All causes on real servers: tests/unit/net/test_records.py."""

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail.look import Look, Outcome
from outrider.policy import record_finding
from outrider.policy.records import Wanted

WANTED = Wanted(
    kind=RecordKind.TRACKING, type="CNAME", host="go.shop.example", value="t.op.example", is_required=False, why="."
)


def test_strangers_texts_are_printable_short_and_few() -> None:
    finding = record_finding.failed(WANTED, RecordCause.SYNTAX, "No.", ["a\x00\nb\x1b", "c" * 9999, *["d"] * 50])
    assert finding.seen[0] == "a??b?"
    assert len(finding.seen[1]) == 1000
    assert len(finding.seen) == 10
    assert record_finding.shown("x" * 200) == "x" * 79 + "…"


def test_silence_and_failure_are_told_apart_and_fail_nothing() -> None:
    late = record_finding.unverified(WANTED, Look("a.shop.example", "TXT", Outcome.TIMED_OUT))
    broken = record_finding.unverified(WANTED, Look("a.shop.example", "TXT", Outcome.FAILED))
    assert {late.state, broken.state} == {RecordState.UNVERIFIED}
    assert (late.cause, broken.cause) == (RecordCause.TIMED_OUT, RecordCause.SERVERS_FAILED)
    assert all(cause.is_temporary for cause in (late.cause, broken.cause))
    assert "shop.example did not answer" in late.advice


def test_what_to_publish_is_the_wanted_value_unless_something_is_merged() -> None:
    assert record_finding.passed(WANTED, ["t.op.example"]).publish == "t.op.example"
    assert record_finding.failed(WANTED, RecordCause.MISSING, "No.", publish="other").publish == "other"


def test_a_typo_says_where() -> None:
    assert record_finding.typo("tracking.op.example", "trucking.op.example") == (
        "Nearly right: at character 3 there is u where a should be."
    )
    assert "nothing should be" in record_finding.typo("track", "tracks")
    assert "there is nothing where s should be" in record_finding.typo("tracks", "track")
    assert not record_finding.is_near("same.example", "same.example")


def test_a_text_that_was_meant_is_told_from_none() -> None:
    look = Look("go.shop.example", "TXT", Outcome.FOUND, ("hello", '"V=SPF1 -all"'))
    spf = msgspec.structs.replace(WANTED, type="TXT", value="v=spf1 a -all")
    assert record_finding.not_there(spf, look, mark="spf1").seen == ('"V=SPF1 -all"',)
    assert record_finding.not_there(spf, look, mark="dmarc1").cause is RecordCause.MISSING
    assert record_finding.not_there(spf, look).cause is RecordCause.MISSING
