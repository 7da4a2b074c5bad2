"""Build, then read with the standard library: the same subject, name, text and HTML, and never another header."""

import email
import email.header
import email.policy
import email.utils
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError
from outrider.mail import address, build, headers
from outrider.mail.build import Draft

SENDER = address.parse("noreply@shop.example")
NAMES = ["From", "Subject", "Date", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
WORDS = st.sampled_from(
    ["a", "word", "ü", "日本", " ", "  ", '"', "\\", ",", "=?", "?=", "=?utf-8?q?x?=", "_", "👩‍👧", "x" * 70, "e\u0301"]
)
NO_CONTROL = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
VALUES = st.one_of(st.text(NO_CONTROL, max_size=200), st.lists(WORDS, max_size=60).map("".join))
# Readers of text take other characters for line ends, too; the header's rules do not apply to contents.
LINES = st.sampled_from(
    ["\n", "\r\n", "\r", "a", " ", "\t", ".", "=", "From ", "--", "--=_", "ü", "日本", "x" * 1200, "\x00", "\x0c"]
)
CONTENTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.lists(LINES, max_size=40).map("".join)
)
DATE = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)


def normal(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def compose(subject: str = "s", name: str = "", text: str | None = None, html: str | None = None) -> Draft:
    return build.compose(sender=SENDER, from_name=name, subject=subject, text=text, html=html, date=DATE)


def read(draft: Draft) -> EmailMessage:
    return email.message_from_bytes(b"".join([*draft.fields, b"\r\n", draft.body]), policy=email.policy.default)


@given(VALUES)
def test_the_subject_is_read_as_it_was_given(subject: str) -> None:
    message = read(compose(subject, text="x"))
    assert message.keys() == NAMES
    assert message["subject"] == subject.strip(" ")


@given(VALUES)
def test_the_display_name_is_read_as_it_was_given(name: str) -> None:
    try:
        headers.check_display_name(name, field="FromName")
    except CallerError:
        return
    draft = compose(name=name, text="x")
    assert [found.addr_spec for found in read(draft)["from"].addresses] == [SENDER.text]
    unfolded = draft.fields[0].decode().replace("\r\n", "").removeprefix("From: ")
    phrase, found = email.utils.parseaddr(unfolded)
    assert found == SENDER.text
    assert str(email.header.make_header(email.header.decode_header(phrase))) == name.strip(" ")


@given(st.text(max_size=100), st.sampled_from(["subject", "name", "extra"]))
def test_no_value_makes_another_field_or_a_bare_line(value: str, place: str) -> None:
    try:
        draft = build.compose(
            sender=SENDER,
            from_name=value if place == "name" else "",
            subject=value if place == "subject" else "s",
            text="x",
            html=None,
            date=DATE,
            extra=[("X-Note", value if place == "extra" else "x")],
        )
    except CallerError:
        return
    header = b"".join(draft.fields)
    assert header.isascii()
    assert header.count(b"\r\n") == header.count(b"\r") == header.count(b"\n")
    assert all(len(line) <= 78 or b" " not in line.strip() for line in header.split(b"\r\n"))
    assert read(draft).keys() == [*NAMES[:3], "X-Note", *NAMES[3:]]


@given(CONTENTS, CONTENTS)
def test_text_and_html_are_read_as_they_were_given(text: str, html: str) -> None:
    if not (text or html):
        return
    draft = compose(text=text, html=html)
    assert draft.body.isascii()
    assert b"\0" not in draft.body
    assert draft.body.endswith(b"\r\n")
    assert draft.body.count(b"\r\n") == draft.body.count(b"\r") == draft.body.count(b"\n")
    assert max(map(len, draft.body.split(b"\r\n"))) <= 998
    message = read(draft)
    for given_one, subtype in ((text, "plain"), (html, "html")):
        part = message.get_body((subtype,))
        assert (part is not None) == bool(given_one)
        if part is not None:
            octets = cast("bytes", part.get_payload(decode=True))
            assert octets.decode(part.get_content_charset() or "").replace("\r\n", "\n") == normal(given_one)
    assert compose(text=text, html=html) == draft
