"""Fitting a message to a server, case by case, and the way it is used: fitted, then signed, then verified by others."""

from datetime import UTC, datetime

import dkim as dkimpy
import pytest

from outrider.mail import dkim, encode
from tests.unit.mail.keys import ed25519_key, find_record, rsa_key, sign

AT = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
TEXT = "Grüße aus Köln, und noch viel mehr Text ohne Umlaute, damit es sich lohnt."
HEAD = b"From: Shop <noreply@shop.example>\r\nTo: user@partner.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
LEAF = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + TEXT.encode() + b"\r\n"
QUOTED = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe aus K=C3=B6ln, und noch viel mehr Text ohne Umlaute, damit =\r\nes sich lohnt."
)
CLEAN = b"Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODlhAQABAAAAACw=\r\n"


def mixed(*parts: bytes, boundary: bytes = b"b") -> bytes:
    head = b"Content-Type: multipart/mixed;\r\n\tboundary=" + boundary + b"\r\n\r\n"
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return head + b"for old readers\r\n" + body + b"--" + boundary + b"-- \r\nend\r\n"


def test_a_text_is_quoted_and_keeps_its_charset() -> None:
    assert encode.to_7bit(HEAD + LEAF) == HEAD + QUOTED + b"\r\n"


def test_what_is_mostly_8bit_is_written_in_base64() -> None:
    written = encode.to_7bit(HEAD + b"Content-Type: image/png\r\n\r\n" + bytes(range(0x80, 0x100)) * 4)
    assert written.startswith(HEAD + b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\ngIGCg4SF")


def test_all_of_a_multipart_but_the_leaf_in_question_stays_as_it_was() -> None:
    plain = b"\r\nplain\r\n"
    assert encode.to_7bit(HEAD + mixed(plain, LEAF, CLEAN)) == HEAD + mixed(plain, QUOTED + b"\r\n", CLEAN)


def test_a_message_inside_is_never_encoded_but_what_is_in_it() -> None:
    label = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: %b\r\n\r\nMIME-Version: 1.0\r\n"
    before, after = mixed(label % b"8bit" + LEAF), mixed(label % b"7bit" + QUOTED + b"\r\n")
    assert encode.to_7bit(HEAD + before) == HEAD + after


def test_a_part_of_a_digest_is_a_message() -> None:
    digest = b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nMIME-Version: 1.0\r\n%b\r\n--d--\r\n"
    assert encode.to_7bit(HEAD + digest % LEAF) == HEAD + digest % (QUOTED + b"\r\n")


def test_a_multipart_that_says_8bit_says_7bit_afterwards() -> None:
    label = b"Content-Transfer-Encoding: %b\r\n"
    written = encode.to_7bit(HEAD + label % b"8bit" + mixed(LEAF))
    assert written == HEAD + label % b"7bit" + mixed(QUOTED + b"\r\n")


def test_a_message_without_mime_is_given_what_a_reader_needs() -> None:
    head = b"Subject: x\r\n"
    added = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=%b\r\nContent-Transfer-Encoding: "
    assert encode.to_7bit(head + b"\r\n" + TEXT.encode()).startswith(head + added % b"utf-8")
    assert encode.to_7bit(head + b"\r\nGr\xfc\xdfe").startswith(head + added % b"unknown-8bit")


def test_raw_8bit_in_a_field_is_reported_and_not_changed() -> None:
    head = HEAD.replace(b"Subject: x", "Subject: Grüße".encode())
    for has_8bitmime in (True, False):
        assert encode.fit(head + b"\r\nplain\r\n", has_8bitmime=has_8bitmime) == encode.Fitted(
            head + b"\r\nplain\r\n", is_8bit=True, needs_smtputf8=True
        )
    named = mixed("Content-Type: image/gif; name=für.gif\r\n\r\nx\r\n".encode())
    assert encode.fit(HEAD + named, has_8bitmime=False).needs_smtputf8


def test_a_multipart_whose_parts_never_come_is_kept_as_text() -> None:
    written = encode.to_7bit(
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n--b--\r\n"
    )
    label = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert written == HEAD + label + b"R3LDvMOfZQ0KLS1iLS0NCg==\r\n"


def test_text_outside_of_the_parts_is_marked() -> None:
    written = encode.to_7bit(HEAD + mixed(LEAF).replace(b"for old readers", b"f\xfcr alte\r\n--\xff"))
    assert b"\r\n\r\nf?r alte\r\n --?\r\n--b\r\n" in written


@pytest.mark.parametrize(
    "form",
    [b'"b"', b"b", b'"\\b" ; x=y', b"b; charset=z", b"b ", b"b\r\n"],
)
def test_a_boundary_is_read_in_all_its_forms(form: bytes) -> None:
    message = HEAD + mixed(LEAF).replace(b"boundary=b", b"boundary=" + form.strip(b"\r\n"))
    assert b"\r\n\r\nGr=C3=BC=C3=9Fe" in encode.to_7bit(message)


@pytest.mark.parametrize(
    "form", [b"boundary*0=b; boundary*1=c", b"boundary*=us-ascii''%62c", b'name="; boundary=x"; boundary=bc']
)
def test_a_boundary_in_pieces_or_disguise_is_found(form: bytes) -> None:
    message = HEAD + mixed(LEAF, boundary=b"bc").replace(b"boundary=bc", form)
    assert b"\r\n\r\nGr=C3=BC=C3=9Fe" in encode.to_7bit(message)


def test_a_soft_line_break_makes_no_delimiter() -> None:
    body = b"x" * 75 + b"--b\r\n" + b"\xff" + b"y" * 200 + b"\r\n"  # Quoted, "--b" would be a line of its own.
    written = encode.to_7bit(HEAD + mixed(b"\r\n" + body))
    assert written.count(b"\r\n--b\r\n") == 1
    assert b"Content-Transfer-Encoding: base64" in written


def test_quoted_printable_that_is_8bit_all_the_same_is_read_as_readers_do() -> None:
    label = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    written = encode.to_7bit(HEAD + label + b"Gr\xc3\xbc=C3=9Fe, and so on and on, in quite a long line=\r\n.\r\n")
    assert written.endswith(label + b"Gr=C3=BC=C3=9Fe, and so on and on, in quite a long line.\r\n")


def test_a_line_no_server_takes_is_encoded_even_with_8bitmime() -> None:
    long_one, label = b"\r\n" + b"x" * 999 + b"\r\n", b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\r\n"
    fitted = encode.fit(HEAD + mixed(long_one, label), has_8bitmime=True)
    assert fitted.is_8bit
    assert label in fitted.content  # The other one is not touched.
    assert b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx" in fitted.content
    assert not encode.has_long_line(fitted.content)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"a" * 900 + b" " + b"b" * 300, b" " + b"a" * 900 + b"\r\n " + b"b" * 300),
        (b"a" * 1200, b"\r\n " + b"a" * 997 + b"\r\n " + b"a" * 203),
    ],
)
def test_a_long_field_is_folded(value: bytes, written: bytes) -> None:
    assert encode.to_7bit(b"X-A: " + value + b"\r\n\r\nx\r\n") == b"X-A:" + written + b"\r\n\r\nx\r\n"


def test_line_ends_are_made_what_the_wire_makes_of_them() -> None:
    assert encode.to_7bit(b"Subject: x\n\na\rb\r\n") == b"Subject: x\r\n\r\na\r\nb\r\n"


@pytest.mark.parametrize("body", [LEAF, mixed(LEAF, CLEAN), mixed(b"Content-Type: message/rfc822\r\n\r\n" + LEAF)])
@pytest.mark.parametrize("has_8bitmime", [True, False])
def test_fitted_then_signed_it_verifies(body: bytes, has_8bitmime: bool) -> None:
    fitted = encode.fit(HEAD + body, has_8bitmime=has_8bitmime)
    fields, rest = dkim.split(fitted.content)
    signatures = sign(fields, rest, [rsa_key(), ed25519_key()], AT)
    message = signatures + fitted.content
    assert message.isascii() != has_8bitmime
    assert fitted.is_8bit == has_8bitmime
    assert (fitted.content == HEAD + body) == has_8bitmime

    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        selector, _, domain = name.decode().rstrip(".").partition("._domainkey.")
        record = find_record(domain, selector)
        return record.encode() if record else None

    for index in range(2):
        assert dkimpy.DKIM(message).verify(index, dnsfunc=ask)


@pytest.mark.parametrize(
    ("octets", "is_fit"),
    [
        (b"", True),
        (b"\tHello\r\n", True),
        (b"x" * 998 + b"\r\n", True),
        (b"x" * 999 + b"\r\n", False),
        (b"\x0b\r\n", False),
        (b"\0", False),
        ("ü\r\n".encode(), False),
    ],
)
def test_only_short_lines_of_text_go_as_they_are(octets: bytes, is_fit: bool) -> None:
    assert encode.is_7bit(octets) == is_fit
