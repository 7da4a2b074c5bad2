"""Headers put right: mended where sloppy, refused where they deceive, and never a touch on the body."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import address, dkim, parse, repair
from outrider.mail.mailbox import Mailbox
from outrider.mail.repair import Repaired

AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
TRACE = repair.received("mx.example", "ESMTPSA", "ab12", AT)
FROM = b"From: Shop <noreply@shop.example>\r\n"
BODY = b"\r\nbody \xff\r\n.\r\n"


def mended(head: bytes, body: bytes = BODY) -> Repaired:
    return repair.repair(head + body, trace=TRACE, at=AT, id_left="id1")


def fields_of(found: Repaired) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for octets in dkim.split(found.content)[0]:
        name, _, value = octets.decode().partition(":")
        fields.setdefault(name, []).append(value.replace("\r\n", "").strip())
    return fields


def test_what_is_missing_is_added_and_the_body_stays() -> None:
    found = mended(FROM)
    assert dkim.split(found.content)[1] == BODY[2:]
    assert fields_of(found) == {
        "Received": ["by mx.example (Outrider) with ESMTPSA id ab12; Fri, 27 Nov 2026 12:00:00 +0000"],
        "From": ["Shop <noreply@shop.example>"],
        "Date": ["Fri, 27 Nov 2026 12:00:00 +0000"],
        "Message-ID": ["<id1@shop.example>"],
        "To": ["undisclosed-recipients:;"],
    }
    assert (found.sender.name, found.sender.address.text, found.subject) == ("Shop", "noreply@shop.example", "")


def test_what_is_there_stays_octet_for_octet() -> None:
    head = (
        b"Received: from x by y;\r\n\tlong ago\r\nDKIM-Signature: v=1; b=abc\r\nX-Own:  two  spaces\r\n"
        b"Date: whenever\r\nMessage-ID: <own@x>\r\nTo: Bo <b@partner.example>\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n" + FROM
    )
    found = mended(head)
    assert found.content == TRACE + head + BODY
    assert found.subject == "Grüße"


@pytest.mark.parametrize(
    ("head", "gone"),
    [
        (b"Bcc: secret@x.example,\r\n other@x.example\r\n", b"secret"),
        (b"bcc : secret@x.example\r\n", b"secret"),
        (b"Resent-Bcc: secret@x.example\r\n", b"secret"),
        (b"Return-Path: <secret@x.example>\r\n", b"secret"),
        (b"X-Outrider-Tag: secret\r\n", b"secret"),
        (b"X-SMTPAPI: {}\r\n", b"SMTPAPI"),
        (b"Subject: one\r\nSubject: secret\r\n", b"secret"),
        (b"Date: one\r\nDATE: secret\r\n", b"secret"),
        (b"X-Nul: a\0b\r\n", b"\0"),
    ],
)
def test_what_is_taken_out(head: bytes, gone: bytes) -> None:
    assert gone not in mended(head + FROM, b"\r\n").content


def test_a_line_of_an_mbox_is_no_field() -> None:
    assert b"Nov" not in mended(b"From nobody Fri Nov 27\r\n" + FROM).content.replace(b"27 Nov", b"")


def test_two_fields_of_recipients_become_one() -> None:
    found = fields_of(mended(b"To: a@b.example\r\nTo: c@d.example,\r\n\te@f.example\r\nCc: x@y.example\r\n" + FROM))
    assert found["To"] == ["a@b.example, c@d.example,\te@f.example"]
    assert found["Cc"] == ["x@y.example"]


def test_8_bits_are_written_in_7_where_they_can_be() -> None:
    head = "Subject: Grüße\r\nTo: Jörg <j@partner.example>, ä@partner.example\r\n"
    head += "From: Käse & Co <noreply@shop.example>\r\n"
    found = mended(head.encode())
    shown = message_from_bytes(found.content, policy=policy.SMTPUTF8)
    assert shown["Subject"] == "Grüße"
    assert [box.display_name for box in shown["To"].addresses] == ["Jörg", ""]
    assert shown["From"].addresses[0].display_name == "Käse & Co"
    left = [octets for octets in dkim.split(found.content)[0] if not octets.isascii()]
    assert [octets[:3] for octets in left] == [b"To:"]
    assert found.subject == "Grüße"


def test_latin_1_is_read_as_such() -> None:
    assert mended("Subject: Grüße\r\n".encode("latin-1") + FROM).subject == "Grüße"


def test_a_parameter_of_the_content_is_left_alone() -> None:
    head = 'Content-Type: application/pdf; name="ü.pdf"\r\n'.encode()
    assert head in mended(head + FROM).content


@pytest.mark.parametrize(
    ("head", "field"),
    [
        (b"Subject: x\r\n", "From"),
        (FROM + FROM, "From"),
        (b"From: \r\n", "From"),
        (b"From: root\r\n", "From"),
        ("From: Müller, Hans <a@b.example>\r\n".encode(), "From"),
        (FROM + "Sender: Müller, Hans <a@b.example>\r\n".encode(), "Sender"),
        (b"From: a@b.example <c@d.example> e@f.example\r\n", "From"),
        (FROM + b"Sender: a@b.example, c@d.example\r\n", "Sender"),
        (FROM + b"no field here\r\n", "header"),
        (FROM + b"\xffX: y\r\n", "header"),
        (b" folded first\r\n" + FROM, "header"),
        (b"Received: x\r\n" * (limits.SUBMISSION_HOPS_COUNT_MAX + 1) + FROM, "Received"),
        (b"X: y\r\n" * limits.SUBMISSION_FIELDS_COUNT_MAX + FROM, "header"),
        (b"X: " + b"y" * limits.SUBMISSION_HEADER_BYTES_MAX + b"\r\n" + FROM, "header"),
    ],
)
def test_what_is_refused(head: bytes, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        mended(head)
    assert caught.value.field == field


def test_a_from_that_can_be_read_in_two_ways_is_written_anew() -> None:
    found = mended(b"From: noreply@shop.example (<boss@bank.example>)\r\n")
    assert fields_of(found)["From"] == ["noreply@shop.example"]


def test_everybody_in_from_and_sender_is_told() -> None:
    found = mended(b"From: a@shop.example, B <b@shop.example>\r\nSender: c@shop.example\r\n")
    assert found.sender.address.text == "a@shop.example"
    assert [one.text for one in found.also_from] == ["b@shop.example", "c@shop.example"]


@pytest.mark.parametrize(
    ("head", "others"),
    [
        (b"From: Ann <ann@shop.example>\r\nSender: Ann@SHOP.example\r\n", []),
        (b"From: a@shop.example, b@shop.example\r\nSender: b@shop.example\r\n", ["b@shop.example"]),
    ],
)
def test_a_sender_that_from_names_is_nobody_else(head: bytes, others: list[str]) -> None:
    found = mended(head)
    assert [one.text for one in found.also_from] == others
    assert [one.text for one in repair.also_from(found.content)] == others
    assert head in found.content


@pytest.mark.parametrize("name", ["To", "Cc", "Reply-To"])
def test_a_list_for_eyes_that_cannot_be_read_is_text(name: str) -> None:
    value = "Müller, Hans <a@b.example>"
    found = mended(f"{name}: {value}\r\n".encode() + FROM)
    (written,) = [one for one in dkim.split(found.content)[0] if one.startswith(name.encode())]
    assert written.isascii()
    assert parse.decode_words(written.decode().partition(": ")[2].replace("\r\n", "")) == value


def test_what_is_for_us_comes_out_unfolded() -> None:
    found = mended(b'X-Outrider-Metadata: {"a":\r\n "b"}\r\nX-PM-Tag: t\r\nX-Other: y\r\n' + FROM)
    assert found.controls == [("x-outrider-metadata", '{"a": "b"}'), ("x-pm-tag", "t")]


def test_another_from() -> None:
    found = mended(b"Sender: noreply@shop.example\r\n" + FROM)
    via = Mailbox("Shop via Mail", address.parse("via@mail.example"))
    content = repair.with_from(found.content, via, found.sender.address)
    fields = fields_of(Repaired(content, found.sender, (), "", (), ()))
    assert fields["From"] == ["Shop via Mail <via@mail.example>"]
    assert fields["Reply-To"] == ["noreply@shop.example"]
    assert "Sender" not in fields
    assert dkim.split(content)[1] == BODY[2:]
    replied = mended(b"Reply-To: own@shop.example\r\n" + FROM)
    assert replied.reply_to == ["own@shop.example"]
    again = repair.with_from(replied.content, via, found.sender.address)
    assert again.count(b"Reply-To") == 1


@given(st.binary(max_size=300))
def test_no_octets_trip_it(octets: bytes) -> None:
    for content in (octets, FROM + octets, FROM + b"To: " + octets + b"\r\n\r\n"):
        try:
            found = repair.repair(content, trace=TRACE, at=AT, id_left="x")
        except CallerError:
            continue
        assert found.content.startswith(TRACE)
        again = repair.repair(found.content, trace=b"", at=AT, id_left="y")
        assert again.content == found.content


@pytest.mark.parametrize("value", ["7.5", ""])
def test_a_field_of_ours_is_there_once_or_not_at_all(value: str) -> None:
    head = FROM + b"x-score: 1\r\n folded\r\nX-Score : 2\r\nX-Score-Of: 3\r\n"
    field = b"X-Score: 7.5\r\n" if value else b""
    assert repair.with_only(head + BODY, "X-Score", value) == FROM + b"X-Score-Of: 3\r\n" + field + BODY
    assert repair.with_only(FROM + BODY, "X-Score", value) == FROM + field + BODY
