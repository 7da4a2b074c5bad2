"""Nothing that somebody sends to a return path makes reading fail, or cost more than its bounds.

Time is bounded by construction, so work is what is asserted: parts, octets and characters looked at, diagnoses, memory.
"""

import base64
import io
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outrider.base import limits
from outrider.mail import arf, bounce, dsn, parse, parts, report, reported
from outrider.mail.arf import Feedback
from outrider.mail.dsn import Diagnosis
from outrider.mail.report import Report, ReportKind

CORPUS: Final = sorted((Path(__file__).parents[1] / "data/reports").glob("*.eml"))
MEMORY_BYTES_MAX: Final = 24 * 1024 * 1024  # Over the message: some copies of the octets looked at, and as text.

# fmt: off
LINES: Final = st.sampled_from([
    b"From: MAILER-DAEMON@x.example", b"Subject: Undelivered Mail Returned to Sender", b"Return-Path: <>",
    b"X-Failed-Recipients: a@x.example, b@x.example", b"Auto-Submitted: auto-replied", b"Subject: unsubscribe",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=x",
    b"Content-Type: multipart/report; report-type=feedback-report; boundary=x", b"Content-Type: multipart/mixed;",
    b"Content-Type: multipart/mixed; boundary=y", b" boundary=\"x\"", b"Content-Type: message/delivery-status",
    b"Content-Type: message/feedback-report", b"Content-Type: message/rfc822", b"Content-Type: text/rfc822-headers",
    b"Content-Type: text/html; charset=utf-7", b"Content-Type: text/plain; charset=undefined", b"Content-Type: /",
    b"Content-Type: text/plain; charset=iso-2022-jp", b"Content-Type: text/plain; charset=gb2312",
    b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable",
    b"--x", b"--x--", b"--y", b"--y--", b"", b"", b"Final-Recipient: rfc822; a@x.example", b"Final-Recipient: utf-8;",
    b"Original-Recipient: rfc822;a+40+ZZ+FF", b"Action: failed", b"Action: delayed", b"Status: 5.1.1", b"Status: 999",
    b"Diagnostic-Code: smtp; 550 5.1.1 no", b" folded 550-5.1.1", b"Final-Recipient: utf-8; \\x{FFFFFF}\\x{D800}@x",
    b"Feedback-Type: abuse", b"Original-Rcpt-To: <a@x.example>", b"<a@x.example>:", b"550 5.1.1 <b@x.example> unknown",
    b"--- Below this line is a copy of the message.", b"Received: from x", b"Message-ID: <a@b>", b"Message-ID: <<<>",
    b"while talking to mx.x.example:", b">>> RCPT TO:<a@x.example>", b"<<< 550 no", b"could not be delivered to:",
    b"<style>", b"</style", b"&#99999999999;", b"&#xD800;", b"<p>a&lt;b@c.example&gt;", b"=?utf-8?b?YQ==?=", b"=FF=",
    b"\xff\xfe", b"\x1b$B\x1b(B", b"\xe5\xae", b"\x00", "退信原因：a@x.example不存在".encode(), b"unsubscribe",
]) | st.binary(max_size=60)
# fmt: on
MESSAGES: Final = st.one_of(
    st.binary(max_size=400),
    st.lists(LINES, max_size=40).map(b"\n".join),
    st.lists(LINES, max_size=40).map(b"\r\n".join),
)


def check(found: Report) -> None:
    """What holds of every report."""
    assert found.summary.isprintable()
    assert found.summary.startswith(found.kind)
    assert len(found.summary) <= limits.REPORT_SUMMARY_CHARS_MAX
    assert len(found.diagnoses) <= limits.REPORT_DIAGNOSES_COUNT_MAX
    assert bool(found.diagnoses) == (found.kind in (ReportKind.BOUNCE, ReportKind.DELAY, ReportKind.DELIVERED))
    texts = [found.original_message_id, found.original_recipient, found.feedback_type]
    for diagnosis in found.diagnoses:
        assert diagnosis.code == 0 or 200 <= diagnosis.code < 600
        assert len(diagnosis.text) <= limits.REPLY_TEXT_CHARS_KEPT_MAX
        texts += [diagnosis.address, diagnosis.original_address, diagnosis.action, diagnosis.status]
        texts += [diagnosis.text, diagnosis.remote_mta]
    for text in texts:
        assert text.isprintable()
        text.encode()  # Can be stored.
        assert len(text) <= limits.REPLY_TEXT_CHARS_KEPT_MAX


@given(MESSAGES)
@settings(suppress_health_check=[HealthCheck.too_slow])
@example(b"Content-Type: text/html\n\n&#" + b"9" * 5000 + b";")
@example(b"Final-Recipient: rfc822; \x1c@x.example\n\nFinal-Recipient: rfc822; \xc2\x85a@x.example")
def test_any_message_is_read(message: bytes) -> None:
    check(report.read(message))


@given(MESSAGES, st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_return_paths_are_looked_for_in_any_message(message: bytes, at: int) -> None:
    token = b"bounce-" + b"0" * 48 + b"@bounce.shop.example"
    for octets in (message, message[:at] + token + message[at:]):
        first, second = reported.return_paths_in(octets)
        assert not set(first) & set(second)
        assert max(len(first), len(second)) <= limits.REPORT_RETURN_PATHS_COUNT_MAX
        assert all(address.isascii() and address == address.lower() for address in (*first, *second))
    found = [address for rank in reported.return_paths_in(message + b"\n" + token) for address in rank]
    assert token.decode() in found, "in plain text it is seen, whatever stands around"


@given(st.sampled_from(CORPUS), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_report_cut_or_spoilt_anywhere_is_read(path: Path, data: st.DataObject) -> None:
    message = path.read_bytes()
    at = data.draw(st.integers(0, len(message)))
    check(report.read(message[:at]))
    check(report.read(message[at:]))
    check(report.read(message[:at] + data.draw(st.binary(max_size=9)) + message[at + data.draw(st.integers(0, 9)) :]))


@given(st.text(max_size=300) | st.lists(LINES, max_size=30).map(lambda lines: b"\n".join(lines).decode("latin-1")))
def test_any_text_is_read(text: str) -> None:
    dsn.read(text)
    arf.read_fields(text)
    said, returned = bounce.split_returned(text)
    assert len(said) + len(returned) <= len(text)
    bounce.read(text, ours=())
    parts.text_of_html(text)


ADDRESSES: Final = st.from_regex(r"[a-z]{1,10}(\.[a-z]{1,5})?@[a-z]{1,8}\.example", fullmatch=True)
DIAGNOSES: Final = st.builds(
    Diagnosis,
    address=ADDRESSES,
    original_address=st.just("") | ADDRESSES,
    action=st.sampled_from(["failed", "delayed", "delivered", "relayed", "expanded"]),
    status=st.sampled_from(["5.1.1", "4.2.2", "5.7.26"]),
    code=st.sampled_from([0, 450, 550, 554]),
    text=st.lists(st.from_regex(r"[a-z]{2,9}", fullmatch=True), min_size=2, max_size=9).map(" ".join),
    remote_mta=st.sampled_from(["", "mx1.x.example"]),
)
ORIGINAL: Final = b"Message-ID: <m1@shop.example>\r\nTo: joe@x.example\r\n\r\nHello\r\n"


@given(st.lists(DIAGNOSES, min_size=1, max_size=5))
def test_any_notification_that_we_build_is_read_back(diagnoses: list[Diagnosis]) -> None:
    message = dsn.build(
        reporting_mta="mx.example",
        sender="mailer-daemon@mx.example",
        to="bounce-1@bounce.shop.example",
        date=datetime(2026, 11, 27, tzinfo=UTC),
        message_id="d1@mx.example",
        diagnoses=diagnoses,
        original=ORIGINAL,
    )
    found = report.read(message)
    assert found.diagnoses == tuple(diagnoses)
    assert (found.original_message_id, found.original_recipient) == ("m1@shop.example", "joe@x.example")


@given(st.from_regex(r"[a-z]{2,9}(-[a-z]{2,9})?", fullmatch=True), st.just("") | ADDRESSES)
def test_any_complaint_that_we_build_is_read_back(feedback_type: str, address: str) -> None:
    feedback = Feedback(type=feedback_type, original_rcpt_to=arf.unredacted(address), source_ip="192.0.2.1")
    message = arf.build(
        feedback=feedback,
        sender="feedback@isp.example",
        to="feedback-1@bounce.shop.example",
        date=datetime(2026, 11, 27, tzinfo=UTC),
        message_id="f1@isp.example",
        original=ORIGINAL,
    )
    assert arf.read(parse.read_header(message), parts.cut(message)) == feedback
    assert report.read(message).feedback_type == feedback_type


SIZE: Final = 10 * 1024 * 1024
HEAD: Final = b"From: mailer-daemon@x.example\r\nSubject: Undeliverable\r\n"
REPORT: Final = HEAD + b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
STATUS: Final = REPORT + b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
GROUP: Final = b"Final-Recipient: rfc822; a%d@x.example\r\nAction: failed\r\n\r\n"
LEVEL: Final = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
# fmt: off
PIECES: Final = (
    b"x", b"\n", b" ", b"\n\t", b"--",
    b"-- ", b"* ", b"@", b"a@b.example ", b"a@b.example\n", b"550 ", b"550 @ ", b"5.1.1 ",
    b"recipient address ", b"delivery to ", b"<mailto:a@b>", b"click reply ", b"<a",
    b"<style", b"&#", b"a.", b'"', b"> ",
    b"\x1b$B", "收件人".encode(), b"warning: ", b"Message-ID: <", b"=?utf-8?b?", b"host mx.", b"RCPT TO:", b"a@b <a@b",
)
# fmt: on


def zip_bomb() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros", bytes(64 * 1024 * 1024))
    return (
        REPORT
        + b"--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(archive.getvalue())
    )


# Each is made against one step of the reading.
HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "many_parts": lambda: REPORT + b"--b\r\n\r\nx\r\n" * 10_000,
    "many_status_parts": lambda: REPORT + b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + GROUP * 10_000,
    "many_groups": lambda: STATUS + b"".join(GROUP % at for at in range(10_000)),
    "deep": lambda: HEAD + b"".join(LEVEL % (at, at) for at in range(1000)),
    "false_ends": lambda: REPORT + b"--bx\r\n" * (SIZE // 6),
    "zip_bomb": zip_bomb,
    "base64": lambda: HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUFB" * (SIZE // 4),
    "bad_charset": lambda: HEAD + b"Content-Type: text/plain; charset=utf-16\r\n\r\n" + b"\xd8" * SIZE,
    "html_tags": lambda: HEAD + b"Content-Type: text/html\r\n\r\n" + b"<a" * 500_000,
    "html_styles": lambda: HEAD + b"Content-Type: text/html\r\n\r\n" + b"<style" * 500_000,
    "header_only": lambda: b"A: b\r\n" * (SIZE // 6),
    "one_field": lambda: b"To: " + b"a@b.example, " * (SIZE // 13),
    "failed_recipients": lambda: b"X-Failed-Recipients: a@b.example\r\n" * (SIZE // 34),
} | {
    repr(piece): lambda piece=piece: HEAD + b"\r\nHi. This is the\n" + piece * (SIZE // len(piece)) for piece in PIECES
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_cost_costs_little(name: str) -> None:
    message = HOSTILE[name]()
    found = parts.cut(message)
    assert len(found) <= limits.REPORT_PARTS_COUNT_MAX
    assert sum(len(part.body) for part in found) <= limits.REPORT_BYTES_MAX
    assert all(len(part.inner()) <= limits.REPORT_TEXT_CHARS_MAX for part in found)
    tracemalloc.start()
    try:
        check(report.read(message))
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_an_archive_stays_shut() -> None:
    """Its octets are never decoded: only texts, reports and headers are read."""
    found = parts.cut(b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBA==")
    assert [(part.is_text, part.is_message, part.kind in dsn.KINDS) for part in found] == [(False, False, False)]
    assert parse.read_header(b"A: b").fields == (("a", "b"),)
