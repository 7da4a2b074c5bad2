"""What a complaint says, and what we build is read back. Whole messages: tests/data/reports."""

from datetime import UTC, datetime
from typing import Final

import pytest

from outrider.mail import arf, parse, parts, report
from outrider.mail.arf import Feedback
from outrider.mail.report import ReportKind

ORIGINAL: Final = b"Message-ID: <m1@shop.example>\r\nFrom: news@shop.example\r\nTo: joe@x.example\r\n\r\nHello\r\n"
FEEDBACK: Final = Feedback(
    type="abuse",
    user_agent="Example/1.0",
    original_mail_from="bounce-1@bounce.shop.example",
    original_rcpt_to="joe@x.example",
    source_ip="192.0.2.10",
    reported_domain="shop.example",
)


def built(feedback: Feedback) -> bytes:
    return arf.build(
        feedback=feedback,
        sender="feedback@isp.example",
        to="feedback-1@bounce.shop.example",
        date=datetime(2026, 11, 27, tzinfo=UTC),
        message_id="f1@isp.example",
        original=ORIGINAL,
    )


@pytest.mark.parametrize(
    ("feedback_type", "kind"),
    [
        ("abuse", ReportKind.COMPLAINT),
        ("fraud", ReportKind.COMPLAINT),
        ("virus", ReportKind.COMPLAINT),
        ("other", ReportKind.COMPLAINT),
        ("a-new-type", ReportKind.COMPLAINT),
        ("not-spam", ReportKind.NOT_SPAM),
        ("opt-out", ReportKind.UNSUBSCRIBE),
        ("opt-out-list", ReportKind.UNSUBSCRIBE),
        ("auth-failure", ReportKind.OTHER),
    ],
)
def test_what_is_built_is_read_back(feedback_type: str, kind: ReportKind) -> None:
    message = built(Feedback(type=feedback_type, original_rcpt_to="joe@x.example"))
    assert arf.read(parse.read_header(message), parts.cut(message)) == Feedback(
        type=feedback_type, original_rcpt_to="joe@x.example"
    )
    found = report.read(message)
    assert (found.kind, found.feedback_type) == (kind, feedback_type)
    assert (found.original_message_id, found.original_recipient) == ("m1@shop.example", "joe@x.example")


def test_all_fields_are_read() -> None:
    message = built(FEEDBACK)
    assert arf.read(parse.read_header(message), parts.cut(message)) == FEEDBACK


@pytest.mark.parametrize(
    "address",
    ["redacted@x.example", "joe@redacted.invalid", "[redacted]", "xxxxx@x.example", "j***@x.example", "", "nobody"],
)
def test_an_address_that_is_blanked_out_is_none(address: str) -> None:
    found = arf.read_fields(f"Feedback-Type: abuse\nOriginal-Rcpt-To: <{address}>\n")
    assert found.original_rcpt_to == ""


@pytest.mark.parametrize(
    ("text", "feedback_type"),
    [
        ("", "abuse"),
        ("Feedback-Type: ABUSE", "abuse"),
        ("Feedback-Type: ?", "abuse"),
        ("Feedback-Type: Fraud x", "fraud"),
    ],
)
def test_an_odd_type_is_abuse(text: str, feedback_type: str) -> None:
    assert arf.read_fields(text).type == feedback_type


def test_other_mail_is_no_complaint() -> None:
    for message in (b"", b"Subject: complaint\n\nThe parcel was late.", ORIGINAL):
        assert arf.read(parse.read_header(message), parts.cut(message)) is None
