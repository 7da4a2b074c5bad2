"""From octets to what a page shows, for good messages, odd ones and rubbish."""

import email.message
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.faces.console.message_view import PARTS_COUNT_MAX, Attachment, view

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


def test_text_html_and_attachments_are_told_apart() -> None:
    shown = view(WHOLE)
    assert shown.text == "Grüße"
    assert shown.html == "<p>Grüße</p>"
    assert shown.attachments == (
        Attachment("rechnung ä.pdf", "application/pdf", 5),
        Attachment("notes.txt", "text/plain", 5),
    )
    assert shown.first("from") == "Büro <a@shop.example>"
    assert shown.first("absent") == ""
    assert [key for key, _ in shown.fields] == ["from", "to", "subject", "mime-version", "content-type"]
    assert (shown.is_whole, shown.is_cut) == (True, False)


@pytest.mark.parametrize(
    ("message", "text", "html"),
    [
        (b"Subject: x\r\n\r\nplain\r\nlines", "plain\nlines", None),
        (b"Content-Type: text/html\r\n\r\n<b>x</b>", None, "<b>x</b>"),
        (b"", "", None),
        (b"no header at all", "no header at all", None),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfeabc", "��abc", None),
        (b"Content-Type: text/plain; charset=klingon\r\n\r\n\xc3\xa9", "é", None),
        (b"Content-Type: text/plain; charset=punycode\r\n\r\nabc-def", "abc-def", None),
        (b"Content-Type: text/plain; charset*=''x%ff\r\n\r\nabc", "abc", None),
        (b"Content-Transfer-Encoding: base64\r\n\r\n%%%", "", None),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", None, None),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--", None, None),
    ],
)
def test_odd_messages_are_shown_as_far_as_they_can_be(message: bytes, text: str | None, html: str | None) -> None:
    shown = view(message)
    assert (shown.text, shown.html) == (text, html)


def test_a_message_inside_the_message_is_one_attachment() -> None:
    inner = b"Subject: inner\r\nContent-Type: text/html\r\n\r\n<script>"
    shown = view(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    assert (shown.text, shown.html) == (None, None)
    (attachment,) = shown.attachments
    assert attachment.content_type == "message/rfc822"
    assert attachment.size_bytes > 20


def test_a_long_text_is_cut_and_says_so() -> None:
    shown = view(b"Subject: x\r\n\r\n" + b"y" * (limits.CAUGHT_SHOWN_CHARS_MAX + 1))
    assert len(shown.text or "") == limits.CAUGHT_SHOWN_CHARS_MAX
    assert shown.is_cut


def test_the_number_of_parts_is_bounded() -> None:
    parts = b"".join(b"--x\r\nContent-Type: image/png\r\n\r\n.\r\n" for _ in range(2 * PARTS_COUNT_MAX))
    shown = view(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + parts + b"--x--")
    assert len(shown.attachments) <= PARTS_COUNT_MAX


def test_deep_nesting_does_not_break_it() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000))
    shown = view(b"Subject: deep\r\n" + deep + b"\r\nx")
    assert shown.first("subject") == "deep"


def test_an_attachment_name_has_no_control_characters_and_an_end() -> None:
    shown = view(
        b'Content-Type: image/png\r\nContent-Disposition: attachment; filename="a\x1b\x00b' + b"c" * 999 + b'"\r\n\r\n'
    )
    (attachment,) = shown.attachments
    assert attachment.name.isprintable()
    assert len(attachment.name) <= 200


LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=x",
        b"Content-Type: multipart/digest; boundary=y",
        b"Content-Type: message/rfc822",
        b"Content-Type: message/partial",
        b"Content-Type: text/html; charset=utf-7",
        b"Content-Type: text/plain; charset*0*=a'b'c; charset*1=d",
        b"Content-Type: /",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%",
        b"Content-Disposition: ;;;=",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: uuencode",
        b"Content-Transfer-Encoding: quoted-printable",
        b"begin 644 x",
        b"=?utf-8?q?x?=",
        b"--x",
        b"--x--",
        b"--y",
        b"",
        b" folded",
        b"\xff\xfe: \x00",
    ]
) | st.binary(max_size=40)


@given(st.lists(LINES, max_size=30), st.sampled_from([b"\r\n", b"\n"]))
def test_nothing_breaks_the_view(lines: list[bytes], end: bytes) -> None:
    shown = view(end.join(lines))
    for text in (shown.text, shown.html, *(value for field in shown.fields for value in field)):
        assert text is None or text.encode("utf-8", "replace") is not None


PROSE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")) | st.just("\n"), max_size=200)


@given(PROSE, PROSE)
def test_what_the_library_builds_is_read_back(text: str, html: str) -> None:
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message.set_content(text, cte="base64")
    message.add_alternative(html, subtype="html", cte="base64")
    shown = view(message.as_bytes())
    for read, written in ((shown.text, text), (shown.html, html)):
        assert (read or "").rstrip("\n") == written.rstrip("\n")
