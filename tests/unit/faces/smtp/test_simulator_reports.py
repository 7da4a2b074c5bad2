"""The late answers, read back by Python's own parser: what a real one has, and nothing that strangers put in."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.faces.smtp import simulator_reports
from outrider.faces.smtp.simulator_reports import Report, Taken
from outrider.policy.simulate import Late

HEAD = (
    b"From: Shop <noreply@shop.example>\r\nTo: late-bounce@simulator.outrider.test\r\nSubject: Your\r\n order\r\n"
    b"Message-ID: <1@shop.example>\r\nList-Unsubscribe: <https://shop.example/u>,\r\n"
    b" <mailto:stop+7@shop.example?subject=leave%207>\r\n..dot: x\r\n\r\nbody, which is not returned\r\n"
)


def taken(head: bytes = HEAD, **changes: str) -> Taken:
    values = {
        "return_path": "bounces@shop.example",
        "recipient": "late-bounce@simulator.outrider.test",
        "client": "192.0.2.7",
        "diagnosis": "550 5.1.1 User unknown",
        "mark": "00ff",
    }
    return Taken(**(values | changes), head=head, at=datetime(2026, 11, 27, tzinfo=UTC))  # type: ignore[arg-type]


def read(report: Report) -> EmailMessage:
    return cast("EmailMessage", email.message_from_bytes(report.message, policy=email.policy.default))


def parts(message: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in message.iter_parts()]


def test_a_bounce_is_a_delivery_status_notification() -> None:
    report = simulator_reports.build(Late.BOUNCE, taken())
    message = read(report)
    assert report.to == message["To"] == "bounces@shop.example"
    assert message.get_param("report-type") == "delivery-status"
    assert parts(message) == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    _, about = list(message.iter_parts())[1].iter_parts()
    assert about["Final-Recipient"] == "rfc822; late-bounce@simulator.outrider.test"
    assert (about["Action"], about["Status"]) == ("failed", "5.1.1")
    assert about["Diagnostic-Code"] == "smtp; 550 5.1.1 User unknown"
    returned = list(message.iter_parts())[2].get_content()
    assert "Message-ID: <1@shop.example>" in returned
    assert "\n.dot: x" in returned
    assert b"not returned" not in report.message


def test_a_complaint_is_an_arf_report() -> None:
    message = read(simulator_reports.build(Late.COMPLAINT, taken()))
    assert message.get_param("report-type") == "feedback-report"
    assert parts(message) == ["text/plain", "message/feedback-report", "message/rfc822"]
    assert b"Feedback-Type: abuse" in bytes(message)
    assert b"Original-Mail-From: <bounces@shop.example>" in bytes(message)


@pytest.mark.parametrize(
    ("late", "subject"),
    [(Late.AUTO_REPLY, "Out of office: Your order"), (Late.CHALLENGE, "Please confirm your message")],
)
def test_an_automatic_answer_says_that_it_is_one(late: Late, subject: str) -> None:
    message = read(simulator_reports.build(late, taken()))
    assert message["Subject"] == subject
    assert message["Auto-Submitted"].startswith("auto-replied")
    assert message["In-Reply-To"] == "<1@shop.example>"
    assert message["From"] == "late-bounce@simulator.outrider.test"


def test_an_unsubscribe_mail_goes_where_the_message_says() -> None:
    report = simulator_reports.build(Late.UNSUBSCRIBE, taken())
    assert (report.to, read(report)["Subject"]) == ("stop+7@shop.example", "leave 7")
    report = simulator_reports.build(Late.UNSUBSCRIBE, taken(b"Subject: x\r\n\r\n"))
    assert (report.to, read(report)["Subject"]) == ("bounces@shop.example", "unsubscribe")
    report = simulator_reports.build(Late.UNSUBSCRIBE, taken(b"List-Unsubscribe: <mailto:nobody>\r\n\r\n"))
    assert report.to == "bounces@shop.example"


@given(st.sampled_from(Late), st.binary(max_size=300))
def test_no_header_can_be_injected_and_nothing_fails(late: Late, head: bytes) -> None:
    report = simulator_reports.build(late, taken(head + b"\r\nSubject: a\rBcc: x@y.example\r\n\r\n"))
    header = report.message.partition(b"\r\n\r\n")[0]
    assert b"\r" not in header.replace(b"\r\n", b"")
    names = [line.partition(b":")[0] for line in header.split(b"\r\n")]
    assert b"Bcc" not in names
    assert len(names) == len(set(names))
