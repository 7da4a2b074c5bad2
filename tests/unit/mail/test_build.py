"""A composed message: its fields and their order, a 7-bit body, the same bytes every time."""

import email
import email.policy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any, cast

import pytest

from outrider.base.errors import CallerError
from outrider.mail import address, build
from outrider.mail.build import Draft
from outrider.mail.mailbox import Mailbox
from outrider.mail.mime import File

SENDER = address.parse("noreply@shop.example")
TO = address.parse("user@partner.example")
OURS = (
    *(
        "From",
        "to",
        "CC",
        "Bcc",
        "Subject",
        "Date",
        "Message-Id",
        "MIME-Version",
        "Content-Type",
        "Content-Foo",
        "Sender",
    ),
    *("Reply-To", "Received", "Return-Path", "DKIM-Signature", "Resent-From", "ARC-Seal", "Bad Name", "A:B", "A\r\nB"),
)
DATE = datetime(2026, 11, 4, 9, 8, 7, tzinfo=UTC)


def compose(**changes: Any) -> Draft:
    given: dict[str, Any] = {
        "sender": SENDER,
        "from_name": "Example Shop",
        "subject": "Your Order",
        "text": "Thank you.",
        "html": None,
        "date": DATE,
    }
    return build.compose(**(given | changes))


def written(draft: Draft) -> bytes:
    return b"".join([*draft.fields_for(TO, "a1@shop.example"), *draft.fields, b"\r\n", draft.body])


def read(draft: Draft) -> EmailMessage:
    message = email.message_from_bytes(written(draft), policy=email.policy.default)
    for part in message.walk():
        assert part.defects == []
    return message


def content(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return cast("str", part.get_content()).replace("\r\n", "\n")


def test_a_small_message_is_these_bytes() -> None:
    assert written(compose()).split(b"\r\n") == [
        b"To: user@partner.example",
        b"Message-ID: <a1@shop.example>",
        b"From: Example Shop <noreply@shop.example>",
        b"Subject: Your Order",
        b"Date: Wed, 04 Nov 2026 09:08:07 +0000",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=us-ascii",
        b"Content-Transfer-Encoding: 7bit",
        b"",
        b"Thank you.",
        b"",
    ]


def test_text_and_html_are_alternatives_text_first() -> None:
    message = read(compose(text="Hi", html="<p>Hi</p>\n"))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert content(message, "plain") == "Hi\n"
    assert content(message, "html") == "<p>Hi</p>\n"


@pytest.mark.parametrize(("absent", "kind"), [("text", "text/html"), ("html", "text/plain")])
@pytest.mark.parametrize("value", [None, ""])
def test_one_of_them_alone_is_one_part(absent: str, kind: str, value: str | None) -> None:
    message = read(compose(**{"text": "x", "html": "x", absent: value}))
    assert message.get_content_type() == kind
    assert not message.is_multipart()


@pytest.mark.parametrize("empty", [None, ""])
def test_no_content_is_refused(empty: str | None) -> None:
    with pytest.raises(CallerError) as caught:
        compose(text=empty, html=empty)
    assert caught.value.field == "Content"


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("plain", "7bit", "us-ascii"),
        ("x" * 998, "7bit", "us-ascii"),
        ("x" * 999, "quoted-printable", "us-ascii"),
        ("a\x00b\x1b", "quoted-printable", "us-ascii"),
        ("caf\u00e9 and more of the same", "quoted-printable", "utf-8"),
        ("日本語" * 30, "base64", "utf-8"),
        ("\u00e9" * 500 + "a" * 500, "base64", "utf-8"),
    ],
)
def test_the_body_is_7_bit_in_the_shortest_way(text: str, encoding: str, charset: str) -> None:
    draft = compose(text=text)
    assert draft.body.isascii()
    assert b"\0" not in draft.body
    assert draft.body.endswith(b"\r\n")
    message = read(draft)
    assert message["content-transfer-encoding"] == encoding
    assert message.get_content_charset() == charset
    assert content(message, "plain") == text + "\n"


def test_every_line_end_becomes_crlf() -> None:
    body = compose(text="a\nb\rc\r\nd\n\re").body
    assert body == b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n"


@pytest.mark.parametrize("ending", [" ", "\t", " \n", "\t\n\n", "=", "=\n", ".", "\n.\n"])
def test_quoted_printable_keeps_what_stands_at_the_end_of_a_line(ending: str) -> None:
    text = "ü" + "x" * 74 + ending
    draft = compose(text=text)
    assert all(len(line) <= 76 for line in draft.body.split(b"\r\n"))
    assert content(read(draft), "plain").removesuffix("\n") == text.removesuffix("\n")


def test_the_same_message_is_the_same_bytes_and_another_has_another_boundary() -> None:
    assert compose(html="<p>a</p>") == compose(html="<p>a</p>")
    boundaries = {read(compose(html=html)).get_boundary() for html in ("<p>a</p>", "<p>b</p>")}
    assert len(boundaries) == 2


def test_the_boundary_is_not_in_the_parts() -> None:
    first = read(compose(text="a", html="b")).get_boundary()
    assert first is not None
    # Even content that knows what the boundary of its own hash would be could only make another hash.
    text = f"--{first}\n--{first}--\n"
    message = read(compose(text=text, html="b"))
    assert message.get_boundary() != first
    assert content(message, "plain") == text


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "Thu, 01 Jan 2026 00:00:00 +0000"),
        (datetime(2028, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), "Tue, 29 Feb 2028 23:59:59 +0000"),
        (datetime(2026, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "Tue, 30 Jun 2026 23:30:00 +0000"),
    ],
)
def test_the_date_is_in_english_and_utc(date: datetime, words: str) -> None:
    message = read(compose(date=date))
    assert str(message["date"]) == words
    assert message["date"].datetime == date.replace(microsecond=0)


def test_reply_to_and_extra_fields_follow_in_order() -> None:
    draft = compose(
        reply_to=[Mailbox("", address.parse("help@bücher.example"))],
        extra=[("List-Unsubscribe", "<https://shop.example/u/1>"), ("X-Größe".encode("ascii", "ignore").decode(), "ü")],
    )
    names = [field.partition(b":")[0] for field in draft.fields]
    assert names[3:6] == [b"Reply-To", b"List-Unsubscribe", b"X-Gre"]
    assert read(draft)["reply-to"] == "help@xn--bcher-kva.example"
    assert read(draft)["x-gre"] == "ü"


@pytest.mark.parametrize("name", OURS)
def test_an_extra_field_may_not_be_one_of_ours(name: str) -> None:
    with pytest.raises(CallerError):
        compose(extra=[(name, "x")])


INJECTIONS: dict[str, Callable[[str], object]] = {
    "Subject": lambda bad: compose(subject=bad),
    "FromName": lambda bad: compose(from_name=bad),
    "X-Note": lambda bad: compose(extra=[("X-Note", bad)]),
    "Message-ID": lambda bad: compose().fields_for(TO, bad),
}


@pytest.mark.parametrize(
    "bad", ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "a\tb", "a\x7fb", "a\ud800b", "a\u2028b"]
)
@pytest.mark.parametrize("field", INJECTIONS)
def test_no_value_can_inject_a_header(field: str, bad: str) -> None:
    with pytest.raises(CallerError) as caught:
        INJECTIONS[field](bad)
    assert caught.value.field == field


def test_half_a_character_in_the_content_is_refused() -> None:
    with pytest.raises(CallerError) as caught:
        compose(text="a\ud800")
    assert caught.value.field == "Content"


def test_a_recipient_that_is_not_ascii_stands_in_utf_8() -> None:
    to = address.parse("jörg@bücher.example")
    assert compose().fields_for(to, "a@b.example")[0] == "To: jörg@xn--bcher-kva.example\r\n".encode()


PNG = File("logo.png", "image/png", b"\x89PNG\r\n\x1a\n", content_id="logo")
PDF = File("invoice.pdf", "application/pdf", b"%PDF-1.7 \x00\xff")
INVITATION = File("meeting.ics", "text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")


def tree(part: EmailMessage) -> object:
    kind = part.get_content_type()
    return [kind, *[tree(cast("EmailMessage", one)) for one in part.iter_parts()]] if part.is_multipart() else kind


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({"files": [PDF]}, ["multipart/mixed", "text/plain", "application/pdf"]),
        (
            {"html": "<img src=cid:logo>", "files": [PNG]},
            ["multipart/alternative", "text/plain", ["multipart/related", "text/html", "image/png"]],
        ),
        (
            {"html": "<img src=cid:logo>", "files": [PDF, PNG, INVITATION]},
            [
                "multipart/mixed",
                [
                    "multipart/alternative",
                    "text/plain",
                    ["multipart/related", "text/html", "image/png"],
                    "text/calendar",
                ],
                "application/pdf",
                "text/calendar",
            ],
        ),
        ({"text": None, "html": "<p>", "files": [PNG]}, ["multipart/related", "text/html", "image/png"]),
        ({"files": [PNG]}, ["multipart/mixed", "text/plain", "image/png"]),  # Without HTML there is nothing to show it.
        ({"text": None, "files": [PDF]}, ["multipart/mixed", "text/plain", "application/pdf"]),
    ],
)
def test_every_part_is_where_clients_look_for_it(given: dict[str, Any], shape: object) -> None:
    draft = compose(**given)
    assert tree(read(draft)) == shape
    assert draft.body.isascii()
    assert max(map(len, draft.body.split(b"\r\n"))) <= 998
    assert compose(**given) == draft


def test_what_all_may_see_is_in_to_and_cc_and_nobody_else_is() -> None:
    ann, bob = (Mailbox(name, address.parse(f"{name.lower()}@a.example")) for name in ("Ann", "Bob"))
    draft = compose(shown_to=[ann, bob], shown_cc=[Mailbox("Zoë, Ltd.", address.parse("zoe@a.example"))])
    message = read(draft)
    assert message["To"] == "Ann <ann@a.example>, Bob <bob@a.example>"
    assert message["Cc"] == '"Zoë, Ltd." <zoe@a.example>'
    assert message["Bcc"] is None
    assert len(message.get_all("To", [])) == 1


def test_a_copy_alone_leaves_no_message_without_to() -> None:
    message = read(compose(shown_cc=[Mailbox("", address.parse("zoe@a.example"))]))
    assert (message["To"], message["Cc"]) == ("undisclosed-recipients:;", "zoe@a.example")
