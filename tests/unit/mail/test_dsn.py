"""What a delivery status says, and what we build is read back. Whole messages: tests/data/reports; any: tests/fuzz."""

from datetime import UTC, datetime
from time import process_time
from typing import Final

import pytest

from outrider.base import limits
from outrider.mail import dsn, parts, report
from outrider.mail.dsn import Diagnosis, Status
from outrider.mail.report import ReportKind

ORIGINAL: Final = b"Message-ID: <m1@shop.example>\r\nFrom: news@shop.example\r\nTo: joe@x.example\r\n\r\nHello\r\n"
FAILED: Final = Diagnosis(
    address="joe@inner.example",
    original_address="joe+news@x.example",
    action="failed",
    status="5.1.1",
    code=550,
    text="<joe@inner.example>: no such user",
    remote_mta="mx.x.example",
)
DELAYED: Final = Diagnosis(address="ann@x.example", action="delayed", status="4.4.1", text="connection timed out")


def built(*diagnoses: Diagnosis, original: bytes = ORIGINAL, envelope_id: str = "") -> bytes:
    return dsn.build(
        reporting_mta="mx.example",
        sender="Mail System <mailer-daemon@mx.example>",
        to="bounce-1@bounce.shop.example",
        date=datetime(2026, 11, 27, tzinfo=UTC),
        message_id="d1@mx.example",
        diagnoses=diagnoses,
        original=original,
        envelope_id=envelope_id,
    )


def status_of(message: bytes) -> Status:
    (text,) = [part.text() for part in parts.cut(message) if part.kind in dsn.KINDS]
    return dsn.read(text)


def test_what_is_built_is_read_back() -> None:
    message = built(FAILED, DELAYED, envelope_id="r+1=2 ü")
    assert status_of(message) == Status(reporting_mta="mx.example", envelope_id="r+1=2 ü", diagnoses=(FAILED, DELAYED))
    found = report.read(message)
    assert (found.kind, found.diagnoses) == (ReportKind.BOUNCE, (FAILED, DELAYED))
    assert (found.original_message_id, found.original_recipient) == ("m1@shop.example", "joe@x.example")
    assert all(len(line) <= limits.LINE_BYTES_MAX for line in message.split(b"\r\n"))
    assert b"\n" not in message.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("original", "kind"),
    [
        (ORIGINAL, b"message/rfc822"),
        (ORIGINAL.partition(b"\r\n\r\n")[0] + b"\r\n", b"text/rfc822-headers"),
    ],
)
def test_a_header_is_not_returned_as_a_message(original: bytes, kind: bytes) -> None:
    assert b"Content-Type: " + kind + b"\r\n" in built(FAILED, original=original)
    assert b"rfc822-headers" not in built(FAILED, original=b"")


def test_an_address_in_utf8_makes_all_of_it_global() -> None:
    """RFC 6533 §3, §5."""
    path = Diagnosis(address="客@x.example", action="failed", status="5.1.1", code=550, text="user unknown")
    message = built(path)
    assert b"Content-Type: message/global-delivery-status\r\n" in message
    assert "Final-Recipient: utf-8; 客@x.example".encode() in message
    assert report.read(message).diagnoses == (path,)


@pytest.mark.parametrize(
    ("fields", "address", "original"),
    [
        ("Final-Recipient: rfc822; a@x.example", "a@x.example", ""),
        ("Final-Recipient: RFC822;<a@x.example>", "a@x.example", ""),
        ("Final-Recipient: a@x.example", "a@x.example", ""),
        ("Final-Recipient: rfc822; a", "", ""),
        ("Final-Recipient: rfc822; a\nOriginal-Recipient: rfc822;b@x.example", "b@x.example", "b@x.example"),
        (
            "Final-Recipient: rfc822; c@x.example\nOriginal-Recipient: rfc822;b+40x.example",
            "c@x.example",
            "b@x.example",
        ),
        ("Final-Recipient: rfc822; a\nX-Actual-Recipient: rfc822; d@x.example", "d@x.example", ""),
        ("Final-Recipient: utf-8; \\x{5BA2}@x.example", "客@x.example", ""),
        ("Final-Recipient: utf-8; \\x{D800}\\x{110000}a@x.example", "a@x.example", ""),
        ('Final-Recipient: rfc822; "a..b."@x.example', '"a..b."@x.example', ""),
        ("final-recipient : rfc822 ; a@x.example", "a@x.example", ""),
    ],
)
def test_recipients_are_read_in_any_form(fields: str, address: str, original: str) -> None:
    (found,) = dsn.read(f"Reporting-MTA: dns; mx\n\n{fields}\nAction: failed\n").diagnoses
    assert (found.address, found.original_address) == (address, original)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("Action: failed\nStatus: 5.1.1", ("failed", "5.1.1", 0, "")),
        ("Action: Failed (bounced)\nStatus: 5.1.1 (bad mailbox)", ("failed", "5.1.1", 0, "")),
        ("Status: 4.4.7", ("delayed", "4.4.7", 0, "")),
        ("Status: 2.1.5", ("delivered", "2.1.5", 0, "")),
        ("Action: expired", ("failed", "", 0, "")),
        ("Action: who knows", ("failed", "", 0, "")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 5.2.2 full", ("failed", "5.2.2", 550, "full")),
        ("Status: 5.3.0\nDiagnostic-Code: smtp; 550 5.2.2 full", ("failed", "5.3.0", 550, "full")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 450 4.2.2 full", ("failed", "5.0.0", 450, "full")),
        ("Status: 2.0.0\nAction: failed\nDiagnostic-Code: SMTP; 550 no", ("failed", "", 550, "no")),
        ("Diagnostic-Code: 550 #5.1.1 nobody", ("failed", "5.1.1", 550, "nobody")),
        ("Diagnostic-Code: smtp; 550-5.1.1 a\n 550-5.1.1 b\n 550 5.1.1 c", ("failed", "5.1.1", 550, "a b c")),
        ("Diagnostic-Code: smtp; 550-a\n 550 b", ("failed", "", 550, "a 550 b")),
        ("Diagnostic-Code: X-Postfix; host 5.1.1.2[5.1.1.2] 1550 port 25", ("failed", "", 0, None)),
        ("Diagnostic-Code: X-Notes; Router: 550 bytes", ("failed", "", 550, None)),
        ("Diagnostic-Code: smtp; #554-5.2.2 full", ("failed", "5.2.2", 554, "full")),
        ("Diagnostic-Code: smtp; <a@b>: no", ("failed", "", 0, "<a@b>: no")),
        ("Diagnostic-Code: smtp; 550", ("failed", "", 550, "")),
    ],
)
def test_codes_are_read_where_they_stand(fields: str, expected: tuple[str, str, int, str | None]) -> None:
    (found,) = dsn.read(f"Final-Recipient: rfc822; a@x.example\n{fields}\n").diagnoses
    assert (found.action, found.status, found.code) == expected[:3]
    assert expected[3] in (None, found.text)


def test_a_status_without_recipients_says_nothing_of_any() -> None:
    assert dsn.read("") == dsn.read("Hello.\n\nRegards: me") == Status()
    assert dsn.read("Reporting-MTA: dns; mx.example\nX-Original-Message-ID: <a@b>") == Status(
        reporting_mta="mx.example", original_message_id="a@b"
    )


def test_recipients_and_texts_are_bounded() -> None:
    found = dsn.read("Final-Recipient: rfc822; a@x.example\n\n" * 1000).diagnoses
    assert len(found) == limits.REPORT_DIAGNOSES_COUNT_MAX
    (one,) = dsn.read("Final-Recipient: rfc822; a@x.example\nDiagnostic-Code: smtp; 550 " + "x " * 20_000).diagnoses
    assert len(one.text) <= limits.REPLY_TEXT_CHARS_KEPT_MAX


@pytest.mark.parametrize(("text", "encoded"), [("a@b", "a@b"), ("a+b=c", "a+2Bb+3Dc"), ("ü x", "+C3+BC+20x")])
def test_xtext(text: str, encoded: str) -> None:
    """RFC 3461 §4."""
    assert dsn.to_xtext(text) == encoded


@pytest.mark.parametrize("piece", [" ", "x-", "smtp ", "x- ", "dns"])
@pytest.mark.parametrize("name", ["Diagnostic-Code", "Remote-MTA", "Original-Recipient"])
def test_a_hostile_field_is_read_in_linear_time(name: str, piece: str) -> None:
    fields = f"Reporting-MTA: dns; a.example\n\nFinal-Recipient: rfc822; a@b.example\n{name}: x{piece * 9000}."
    started_s = process_time()
    dsn.read(fields)
    assert process_time() - started_s < 1.0
