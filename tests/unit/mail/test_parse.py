"""What a page shows of a message: decoded for people, and of garbage as much as can be read."""

import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from outrider.base import limits
from outrider.mail import address, build, parse
from outrider.mail.parse import Attachment, Parsed

WHOLE = b"""\
From: =?utf-8?q?B=C3=BCro?= <a@shop.example>
To: b@x.example
Subject: Hello
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+R3LDvMOfZTwvcD4=
--inner--
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*=utf-8''rechnung%20%C3%A4.pdf
Content-Transfer-Encoding: base64

AAECAwQ=
--outer
Content-Type: text/plain
Content-Disposition: attachment; filename="notes.txt"

notes
--outer--
""".replace(b"\n", b"\r\n")


def test_what_we_compose_is_shown_as_it_was_given() -> None:
    draft = build.compose(
        sender=address.parse("noreply@shop.example"),
        from_name="Jörgs Läden, Inc.",
        subject="Größe für 注文 " * 10,
        text="Zeile\nmit ü",
        html="<p>注文</p>",
        date=datetime(2026, 11, 24, tzinfo=UTC),
    )
    fields = [*draft.fields_for(address.parse("jörg@bücher.example"), "a1@shop.example"), *draft.fields]
    found = parse.parse(b"".join([*fields, b"\r\n", draft.body]))
    assert found.subject == ("Größe für 注文 " * 10).strip()
    assert found.sender == "Jörgs Läden, Inc. <noreply@shop.example>"
    assert found.to == "jörg@xn--bcher-kva.example"
    assert found.date == "Tue, 24 Nov 2026 00:00:00 +0000"
    assert found.first("message-id") == "<a1@shop.example>"
    assert (found.text, found.html) == ("Zeile\nmit ü\n", "<p>注文</p>\n")
    assert (found.attachments, found.is_whole, found.is_cut) == ((), True, False)


def test_text_html_and_attachments_are_told_apart() -> None:
    found = parse.parse(WHOLE)
    assert (found.text, found.html) == ("Grüße", "<p>Grüße</p>")
    assert found.attachments == (
        Attachment("rechnung ä.pdf", "application/pdf", 5),
        Attachment("notes.txt", "text/plain", 5),
    )
    assert found.first("from") == found.sender == "Büro <a@shop.example>"
    assert [name for name, _ in found.fields] == ["from", "to", "subject", "mime-version", "content-type"]
    assert (found.is_whole, found.is_cut) == (True, False)


def test_what_the_library_builds_is_read_back() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("text")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"\x89PNG" * 100, maintype="image", subtype="png", filename="Grüße 注文.png")
    message.add_attachment("more text", filename="note.txt")
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner text")
    message.add_attachment(inner)
    found = parse.parse(message.as_bytes())
    assert (found.text, found.html) == ("text\n", "<p>html</p>\n")
    assert found.attachments[:2] == (
        Attachment("Grüße 注文.png", "image/png", 400),
        Attachment("note.txt", "text/plain", 11),
    )
    assert found.attachments[2].type == "message/rfc822"
    assert found.attachments[2].size_bytes > len("inner text")


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (b"", []),
        (b"A: b\nC:d\n e\n\nF: g", [("a", "b"), ("c", "d e")]),
        (b"SUBJECT:  a\r\n  b\r\n\r\nx", [("subject", "a  b")]),
        (b"A : b\r\nC:\r\n\td\r\n \r\nE: f", [("a", "b"), ("c", "d"), ("e", "f")]),
        (b"A: b\r\nnot a field\r\nnor this: x\r\n: nor this\r\nC: d", [("a", "b"), ("c", "d")]),
        (b" folded\r\nA: b", [("a", "b")]),
        (b"\r\nA: body", []),
        (b"\n\r\nA: body", []),
        (b"A: \xc3\xa9\xff", [("a", "é\ufffd")]),
        (b"A: x\x00\x1by\rz\xc2\x9b", [("a", "x y z")]),
        (b"\xff: x\r\nA: b", [("a", "b")]),
        (b"A: b\r\nC: cut he", [("a", "b"), ("c", "cut he")]),
        (b"A: b\r", [("a", "b")]),
    ],
)
def test_fields_are_read_as_far_as_they_can_be(head: bytes, fields: list[tuple[str, str]]) -> None:
    header = parse.read_header(head)
    assert header.fields == tuple(fields)
    assert parse.parse(head).fields == header.fields


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8?q?a?=\r\n =?iso-8859-1?b?5A==?=", "aä"),
        ("x=?utf-8?Q?=C3=BC?=y", "xüy"),
        ("ü =?utf-8?b?YQ?= 注", "ü a 注"),
        ("=?utf-8?b?w5xiZXI=?=\r\n =?UTF-8*de?b?YWxs?=", "Überall"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?utf-8?q?Ready?_Go?=", "Ready? Go"),
        ("=?utf-8?q?with blanks?=", "with blanks"),
        ("=?utf-8?q??=", ""),
        ("=?utf-8?q?a=0D=0Ab=00?=", "a b"),
        ("=?utf-8?q?broken", "=?utf-8?q?broken"),
        ("=?utf-8?x?what?=", "=?utf-8?x?what?="),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?b?a?= =?utf-8?q?b?=", "=?utf-8?b?a?= b"),
        ("=?utf-8?b?!?=", ""),
        ("=?us-ascii?q?caf=C3=A9?=", "café"),
        ("=?nonsense?q?caf=C3=A9?=", "café"),
        ("=?unicode_escape?q?=5Cd?=", r"\d"),
        ("=?ks_c_5601-1987?b?x9G5zA==?=", "한미"),
    ],
)
def test_encoded_words_are_decoded_where_they_can_be(value: str, shown: str) -> None:
    assert parse.read_header(f"Subject: {value}\r\n".encode()).subject == shown


def test_of_a_field_that_is_there_twice_the_first_counts() -> None:
    header = parse.read_header(b"Subject: a\r\nsubject: b\r\n\r\n")
    assert header.subject == header.first("subject") == "a"
    assert header.every("subject") == ("a", "b")
    assert (header.first("absent"), header.every("absent"), header.date) == ("", (), "")


def test_the_header_is_bounded() -> None:
    assert len(parse.read_header(b"A:b\n" * 5000).fields) == limits.CAUGHT_FIELDS_COUNT_MAX
    assert len(parse.read_header(b"Subject: " + b"x" * 10_000).subject) == limits.CAUGHT_FIELD_CHARS_MAX
    far = b"A: " + b"x" * limits.CAUGHT_HEADER_BYTES_MAX + b"\r\nB: c\r\n"
    assert [name for name, _ in parse.read_header(far).fields] == ["a"]


@pytest.mark.parametrize("piece", [b"=?a?q?", b"=?a?q?x", b"=?", b"=?a?b?a?=", b"\n ", b"a:\n", b"a ", b"=?a?q?a?= "])
def test_a_hostile_header_is_read_in_time(piece: bytes) -> None:
    parse.read_header(b"S: " + piece * (limits.CAUGHT_HEADER_BYTES_MAX // len(piece)))


@pytest.mark.parametrize(
    ("message", "text", "html"),
    [
        (b"", "", None),
        (b"Subject: x\r\n\r\nplain\r\nlines", "plain\nlines", None),
        (b"From: x\n\nbare line feeds\n", "bare line feeds\n", None),
        (b"no header at all\r\n", "no header at all\n", None),
        (b"Content-Type: text/html\r\n\r\n<b>x</b>", None, "<b>x</b>"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfeabc", "\ufffd\ufffdabc", None),
        (b"Content-Type: text/plain; charset=us-ascii\r\n\r\n\xc3\xbc", "ü", None),
        (b"Content-Type: text/plain; charset=klingon\r\n\r\n\xc3\xbc", "ü", None),
        (b"Content-Type: text/plain; charset=iso-klingon\r\n\r\n\xc3\xbc", "ü", None),
        (b"Content-Type: text/plain; charset=rot13\r\n\r\nabc", "abc", None),
        (b"Content-Type: text/plain; charset=punycode\r\n\r\nabc-def", "abc-def", None),
        (b"Content-Type: text/plain; charset*=''x%ff\r\n\r\nabc", "abc", None),
        (b"Content-Transfer-Encoding: base64\r\n\r\n!", "", None),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", None, None),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--", None, None),
    ],
)
def test_odd_messages_are_shown_as_far_as_they_go(message: bytes, text: str | None, html: str | None) -> None:
    found = parse.parse(message)
    assert (found.text, found.html, found.is_whole) == (text, html, True)


def test_a_multipart_that_is_none_is_an_attachment() -> None:
    found = parse.parse(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--y")
    expected = (Attachment("", "multipart/mixed", 3),)
    assert found == Parsed(fields=found.fields, text=None, html=None, attachments=expected)


def test_a_message_inside_the_message_is_one_attachment() -> None:
    inner = b"Subject: inner\r\nContent-Type: text/html\r\n\r\n<script>"
    found = parse.parse(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    assert (found.text, found.html) == (None, None)
    (attachment,) = found.attachments
    assert attachment.type == "message/rfc822"
    assert attachment.size_bytes > 20


def test_a_long_text_is_cut_and_says_so() -> None:
    found = parse.parse(b"\r\n" + b"x" * (limits.CAUGHT_SHOWN_CHARS_MAX + 1))
    assert len(found.text or "") == limits.CAUGHT_SHOWN_CHARS_MAX
    assert found.is_cut
    assert not parse.parse(b"\r\n" + b"x" * limits.CAUGHT_SHOWN_CHARS_MAX).is_cut


def test_long_html_is_not_cut() -> None:
    size = limits.CAUGHT_SHOWN_CHARS_MAX + 1
    found = parse.parse(b"Content-Type: text/html\r\n\r\n" + b"x" * size)
    assert (len(found.html or ""), found.is_cut) == (size, False)


def test_many_parts_are_not_all_looked_at() -> None:
    part = b"--x\r\nContent-Type: image/png\r\n\r\n.\r\n"
    message = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + part * 1000 + b"--x--\r\n"
    assert len(parse.parse(message).attachments) == limits.CAUGHT_PARTS_COUNT_MAX - 1  # Less the multipart itself.


@pytest.mark.parametrize("level", [b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n", b""])
def test_parts_nested_too_deep_leave_the_fields(level: bytes) -> None:
    nested = b"".join(level % (n, n) for n in range(2000)) if level else b"Content-Type: message/rfc822\r\n\r\n" * 2000
    found = parse.parse(b"Subject: deep\r\n" + nested)
    assert (found.subject, found.text, found.is_whole) == ("deep", None, False)


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        (b'filename="a\x1b\x00b"', "a b"),
        (b'filename="' + b"c" * 999 + b'"', "c" * limits.CAUGHT_NAME_CHARS_MAX),
        (b'filename="=?utf-8?q?gr=C3=BC=C3=9Fe.png?="', "grüße.png"),
        ("filename=grüße.png".encode(), "grüße.png"),
        (b"filename*=utf-8''a%E2%80%AEgnp.exe", "a\ufffdgnp.exe"),
        (b"filename*=utf-7''+2AA-", "?"),
    ],
)
def test_the_name_of_an_attachment_can_be_printed(parameter: bytes, name: str) -> None:
    found = parse.parse(b"Content-Type: image/png\r\nContent-Disposition: attachment; " + parameter + b"\r\n\r\n")
    assert [attachment.name for attachment in found.attachments] == [name]
