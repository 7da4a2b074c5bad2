"""Parts and multiparts: read back by Python's own parser, whatever is in them."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.mail import mime
from outrider.mail.mime import File, Part


def read(part: Part) -> EmailMessage:
    message = email.message_from_bytes(
        b"".join([b"MIME-Version: 1.0\r\n", *part.fields(), b"\r\n", part.content]), policy=email.policy.default
    )
    assert isinstance(message, EmailMessage)
    for one in message.walk():
        assert one.defects == []
    return message


def octets_of(message: EmailMessage) -> bytes:
    found = message.get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


@given(
    content=st.binary(max_size=3000),
    name=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=120),
)
def test_a_file_arrives_as_it_is_under_its_name(content: bytes, name: str) -> None:
    message = read(mime.file_part(File(name, "application/pdf", content)))
    assert octets_of(message) == content
    assert message.get_content_type() == "application/pdf"
    assert message.get_content_disposition() == "attachment"
    if name == name.strip() and "  " not in name:  # The parser's own folding eats spaces.
        assert message.get_filename() == name


def test_long_names_in_any_script_fit_the_lines() -> None:
    name = "Rechnung für Müller & Söhne über 1.000 € — “März” 2026 " * 4 + ".pdf"
    part = mime.file_part(File(name, "application/pdf", b"x"))
    assert max(len(line) for field in part.fields() for line in field.split(b"\r\n")) <= 78
    assert read(part).get_filename() == name


def test_an_image_that_is_shown_has_its_content_id() -> None:
    message = read(mime.file_part(File("logo.png", "image/png", b"\x89PNG", content_id="logo@shop")))
    assert (message["Content-ID"], message.get_content_disposition()) == ("<logo@shop>", "inline")


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=x", "message/rfc822", "Multipart/Alternative"])
def test_a_file_that_would_be_read_as_part_of_the_message_is_octets(kind: str) -> None:
    content = b"--x\r\nContent-Type: text/html\r\n\r\n<b>not a part</b>\r\n--x--\r\n"
    message = read(mime.file_part(File("a.eml", kind, content)))
    assert message.get_content_type() == "application/octet-stream"
    assert octets_of(message) == content


def test_an_invitation_says_its_method_and_its_charset() -> None:
    content = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nSUMMARY:Grüße\nEND:VCALENDAR\n".encode()
    message = read(mime.invitation_part(File("a.ics", "text/calendar; method=REQUEST", content)))
    assert (message.get_content_type(), message.get_param("method")) == ("text/calendar", "REQUEST")
    assert message.get_param("charset") == "utf-8"
    assert octets_of(message).decode().splitlines() == content.decode().splitlines()


@pytest.mark.parametrize(
    ("kind", "is_invitation"),
    [
        ("text/calendar; method=REQUEST", True),
        ("TEXT/Calendar;charset=utf-8;METHOD=CANCEL", True),
        ("text/calendar", False),
        ("application/ics; method=REQUEST", False),
    ],
)
def test_a_calendar_object_with_a_method_is_an_invitation(kind: str, is_invitation: bool) -> None:
    assert File("a.ics", kind, b"").is_invitation is is_invitation


def test_one_part_needs_no_multipart() -> None:
    part = mime.text_part("plain", "a")
    assert mime.multipart("mixed", [part]) is part


@given(st.lists(st.text(max_size=200), min_size=2, max_size=5))
def test_no_part_ends_another(texts: list[str]) -> None:
    parts = [mime.text_part("plain", text.encode("utf-8", "ignore").decode()) for text in texts]
    boundary = mime.multipart("mixed", parts).type.partition('boundary="')[2].removesuffix('"')
    hostile = [*parts, mime.Part("text/plain", b"7bit", f"--{boundary}--\r\n".encode())]
    message = read(mime.multipart("mixed", hostile))
    assert len(list(message.iter_parts())) == len(hostile)


@pytest.mark.parametrize(
    "kind", ["application/pdf", "text/plain; charset=utf-8", 'image/x; name="a b"', "a/b;c=d; e=f"]
)
def test_types_that_may_be_said(kind: str) -> None:
    assert mime.is_type(kind)


@pytest.mark.parametrize(
    "kind",
    ["", "pdf", "a/", "/b", "a/b\r\nX: y", "a/b;", "a/b; c", 'a/b; c="\r\n"', "a/b; c=ü", "a b/c", 'a/b; c="\\""'],
)
def test_types_that_may_not(kind: str) -> None:
    assert not mime.is_type(kind)


@pytest.mark.parametrize("value", ["", "<a>", "a b", "a\r\nb", 'a"b', "a>b", "ü", "x" * 201])
def test_content_ids_that_no_header_can_carry(value: str) -> None:
    assert not mime.is_content_id(value)
