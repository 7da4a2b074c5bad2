"""Records as people read them: a block each, values whole, below what failed what was seen and what to do."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import RecordCause, RecordKind, RecordState, Stream
from outrider.cli import records
from outrider.services.verification import Domain, DomainReport, RecordReport, Removable

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
DOMAIN = Domain(UUID(int=1), UUID(int=2), "mail.shop.example", NOW)
KEY = "v=DKIM1; k=rsa; p=" + "A" * 392
RECORD = RecordReport(
    kind=RecordKind.DKIM,
    type="TXT",
    host="s1._domainkey.mail.shop.example",
    value=KEY,
    strings=(KEY[:255], KEY[255:]),
    is_required=True,
    is_needed=False,
    why="The key that receivers check our signatures with.",
    selector="s1",
    state=RecordState.UNVERIFIED,
    cause=RecordCause.NONE,
    seen=(),
    advice="",
    checked_at=None,
    failing_since=None,
)
FAILED = msgspec.structs.replace(
    RECORD,
    kind=RecordKind.DMARC,
    host="_dmarc.mail.shop.example",
    value="v=DMARC1; p=none",
    strings=("v=DMARC1; p=none",),
    state=RecordState.FAILED,
    cause=RecordCause.OTHER_VALUE,
    seen=("v=DMARC1; p=\x1b[31mred", "second"),
    advice="Keep one of the two.",
    checked_at=NOW,
    failing_since=NOW - timedelta(days=1),
)


def report(*found: RecordReport, stops_at: datetime | None = None, note: str = "", **changes: object) -> DomainReport:
    domain = msgspec.structs.replace(DOMAIN, **changes)
    return DomainReport(domain=domain, stops_at=stops_at, note=note, records=found)


def test_a_key_that_waits_or_rests_is_no_matter_of_taste(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [(True, False), (False, True), (False, False)]
    found = [msgspec.structs.replace(RECORD, is_required=required, is_needed=needed) for required, needed in kinds]
    records.tell(report(*found), with_state=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("DKIM")] == ["DKIM  required", "DKIM  needed", "DKIM  optional"]


def test_a_record_is_a_block_whose_value_is_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    records.tell(report(RECORD), with_state=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "DKIM  required"
    assert lines[2:5] == [
        "  host       s1._domainkey.mail.shop.example",
        "  type       TXT",
        f"  value      {KEY}",
    ]
    assert lines[5] == f'  or in parts "{KEY[:255]}" "{KEY[255:]}"'
    assert not any("unverified" in line for line in lines)


def test_below_what_failed_stands_what_was_seen_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    records.tell(report(FAILED, state=RecordState.FAILED, checked_at=NOW))
    told = capsys.readouterr().out
    assert "mail.shop.example  ✘ failed  unverified, for all mail; 0 of 1 required records pass" in told
    assert "DMARC  required  ✘ failed" in told
    block = told[told.index("  seen") :].splitlines()
    assert block[:4] == [
        "  seen       v=DMARC1; p=?[31mred",
        "             second",
        "  cause      other value, since 2026-11-26 12:30 UTC",
        "  to do      Keep one of the two.",
    ]


def test_where_nothing_was_seen_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    missing = msgspec.structs.replace(FAILED, seen=(), cause=RecordCause.MISSING)
    records.tell(report(missing))
    assert "  seen       nothing\n  cause      missing" in capsys.readouterr().out


def test_a_record_that_passes_is_short_but_for_what_to_mind(capsys: pytest.CaptureFixture[str]) -> None:
    passed = msgspec.structs.replace(
        FAILED, state=RecordState.PASSED, cause=RecordCause.NOT_REPORTED, seen=("v=DMARC1; p=none",), failing_since=None
    )
    records.tell(report(passed, state=RecordState.PASSED, verified_at=NOW))
    told = capsys.readouterr().out
    assert "✔ passed  verified, for all mail; 1 of 1 required records pass" in told
    assert "to do" not in told
    assert "note       Keep one of the two." in told
    assert RECORD.why not in told


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (report(), "Publish these records, then: outrider domain verify mail.shop.example"),
        (report(state=RecordState.FAILED), "It may send once all required ones pass"),
        (report(verified_at=NOW), "It sends on your word"),
        (report(verified_at=NOW, state=RecordState.FAILED, passed_at=NOW), "have never been seen, so nothing is lost"),
        (
            report(verified_at=NOW, state=RecordState.FAILED, stops_at=NOW),
            "Mail still goes out; it stops at 2026-11-27 12:30 UTC.",
        ),
        (
            report(verified_at=NOW, state=RecordState.FAILED, stopped_at=NOW),
            "Stopped since 2026-11-27 12:30 UTC: new mail is refused",
        ),
        (report(note="mail.shop.example is proven in another project."), "proven in another project"),
    ],
)
def test_a_domain_says_what_follows(capsys: pytest.CaptureFixture[str], shown: DomainReport, sentence: str) -> None:
    records.tell(shown)
    assert sentence in capsys.readouterr().out


def test_a_status_is_about_sending_and_a_state_about_records() -> None:
    for changes, status in (
        ({}, "unverified"),
        ({"verified_at": NOW}, "verified"),
        ({"verified_at": NOW, "stopped_at": NOW}, "stopped"),
    ):
        domain = msgspec.structs.replace(DOMAIN, **changes)
        assert records.status_of(domain) == records.facts_of(domain)["status"] == status
    marketing = msgspec.structs.replace(DOMAIN, stream=Stream.MARKETING)
    assert records.rows_of([DOMAIN, marketing])[1][:4] == [
        "mail.shop.example",
        "marketing",
        "unverified",
        "? unverified",
    ]


def test_below_the_records_stand_the_policy_file_and_what_may_go(capsys: pytest.CaptureFixture[str]) -> None:
    shown = report(RECORD, return_path="bounces.mail.shop.example")
    gone = Removable("TXT", "o1._domainkey.mail.shop.example", "o1")
    records.tell(msgspec.structs.replace(shown, mta_sts_policy="version: STSv1\r\nmode: testing\r\n", removable=[gone]))
    told = capsys.readouterr().out
    assert "at https://mta-sts.bounces.mail.shop.example/.well-known/mta-sts.txt\n" in told
    assert "  version: STSv1\n  mode: testing\n" in told
    assert "o1._domainkey.mail.shop.example  TXT  then: outrider domain drop mail.shop.example o1" in told
    records.tell(shown)
    told = capsys.readouterr().out
    assert "MTA-STS" not in told
    assert "Not needed" not in told
