"""What a page shows of a message: decoded for people, and of garbage as much as can be read."""

from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from outrider.base import limits
from outrider.mail import address, build, parse
from outrider.mail.parse import Attachment, Parsed


def nothing(**changes: object) -> Parsed:
    given: dict[str, object] = {"subject": "", "sender": "", "to": "", "date": "", "message_id": ""}
    return Parsed(**given | {"text": "", "html": None, "attachments": ()} | changes)  # type: ignore[arg-type]


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
    assert parse.parse(b"".join([*fields, b"\r\n", draft.body])) == Parsed(
        subject=("Größe für 注文 " * 10).strip(),
        sender="Jörgs Läden, Inc. <noreply@shop.example>",
        to="jörg@xn--bcher-kva.example",
        date="Tue, 24 Nov 2026 00:00:00 +0000",
        message_id="<a1@shop.example>",
        text="Zeile\nmit ü\n",
        html="<p>注文</p>\n",
        attachments=(),
    )


def test_attachments_are_named_with_their_size() -> None:
    message = EmailMessage()
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
        Attachment("note.txt", "text/plain", 10),
    )
    assert found.attachments[2].type == "message/rfc822"
    assert found.attachments[2].size_bytes > len("inner text")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (b"", nothing()),
        (b"Subject: a\r\nSubject: b\r\n\r\n", nothing(subject="a")),
        (b"SUBJECT:  a\r\n  b\r\n\r\nx", nothing(subject="a  b", text="x")),
        ("Subject: grüße\r\n\r\n".encode(), nothing(subject="grüße")),
        (b"Subject: gr\xfc\xdfe\r\n\r\n", nothing(subject="gr\ufffd\ufffde")),
        (b"Subject: =?utf-8?q?a=0D=0Ab=00?=\r\n\r\n", nothing(subject="a b")),
        (b"Subject: =?no-such?q?a?=\r\n\r\n", nothing(subject="=?no-such?q?a?=")),
        (b"Subject: =?utf-8?b?!?=\r\n\r\n", nothing()),
        (b"From: x\n\nbare line feeds\n", nothing(sender="x", text="bare line feeds\n")),
        (b"no header at all\r\n", nothing(text="no header at all\n")),
        (b"Content-Type: text/plain; charset=no-such\r\n\r\n\xc3\xbc", nothing(text="ü")),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff", nothing(text="\ufffd")),
        (b"Content-Type: text/plain; charset=rot13\r\n\r\nabc", nothing(text="abc")),
        (b"Content-Transfer-Encoding: base64\r\n\r\n!", nothing()),
        (b"Content-Type: text/html\r\n\r\n<p>", nothing(text=None, html="<p>")),
        (
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--y",
            nothing(text=None, attachments=(Attachment("", "multipart/mixed", 3),)),
        ),
    ],
)
def test_what_is_odd_is_shown_as_far_as_it_goes(message: bytes, shown: Parsed) -> None:
    assert parse.parse(message) == shown


def test_a_long_text_is_cut() -> None:
    found = parse.parse(b"\r\n" + b"x" * (limits.CAUGHT_SHOWN_CHARS_MAX + 1))
    assert found.is_cut
    assert found.text is not None
    assert len(found.text) == limits.CAUGHT_SHOWN_CHARS_MAX
    assert not parse.parse(b"\r\nx").is_cut


def test_many_parts_are_not_all_looked_at() -> None:
    message = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\npart\r\n" * 1000 + b"--x--\r\n"
    assert 100 < len(parse.parse(message).attachments) < 200


def test_parts_nested_too_deep_leave_the_fields() -> None:
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(2000))
    found = parse.parse(b"Subject: deep\r\n" + levels)
    assert found.subject == "deep"
    assert not found.is_whole
