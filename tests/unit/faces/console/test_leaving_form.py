"""What a POST asks for: a button of the page, and for all else what a mail program's one click does."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.faces.console import leaving_form
from outrider.faces.console.leaving_form import LeavingForm
from outrider.services.leaving import LeavingReason, Word

FORM = b"application/x-www-form-urlencoded"
LEAVE = LeavingForm()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"List-Unsubscribe=One-Click", FORM),
        (b"", FORM),
        (b"", b""),
        (b"action=resubscribe", b"text/plain"),
        (b"action=resubscribe", b""),
        (b"action=resubscribe&List-Unsubscribe=One-Click", FORM),
        (b"action=", FORM),
        (b"action=RESUBSCRIBE", FORM),
        (b"action=leave", FORM),
        (b"%ff=%00&&&=", FORM),
        (b"x=1&" * 10_000 + b"action=resubscribe", FORM),
    ],
)
def test_what_is_no_button_leaves(body: bytes, media_type: bytes) -> None:
    assert leaving_form.read(body, media_type) == LEAVE


def test_buttons_say_what_they_say() -> None:
    for media_type in (FORM, FORM + b"; charset=utf-8", FORM.upper()):
        assert leaving_form.read(b"action=resubscribe", media_type) == LeavingForm(action="resubscribe")
    body = "action=leave_all&why=too_many&said=Caf%C3%A9+%3C3"
    assert leaving_form.read(body.encode(), FORM) == LeavingForm(
        action="leave_all", word=Word(why=LeavingReason.TOO_MANY, said="Café <3")
    )
    assert leaving_form.read(b"action=leave&why=nonsense&said=", FORM) == LEAVE


def test_topics_that_were_not_shown_are_not_meant() -> None:
    body = "action=choose&shown=A&shown=B+%26+C&topic=B+%26+C&topic=D"
    assert leaving_form.read(body.encode(), FORM).wanted == {"A": False, "B & C": True}


def test_the_longest_form_of_the_page_is_read() -> None:
    names = [f"{number:02}" + "\N{PILE OF POO}" * (limits.LIST_NAME_CHARS_MAX - 2) for number in range(50)]
    fields = [("action", "choose"), *(("shown", name) for name in names), *(("topic", name) for name in names)]
    fields.append(("said", "\N{PILE OF POO}" * limits.LEAVING_SAID_CHARS_MAX))
    body = urllib.parse.urlencode(fields).encode()
    assert len(body) <= limits.UNSUBSCRIBE_FORM_BYTES_MAX
    assert len(leaving_form.read(body, FORM).wanted) == limits.TOPICS_STORED_COUNT_MAX == len(names)


@given(st.binary(max_size=300))
def test_any_octets_are_some_form(octets: bytes) -> None:
    assert leaving_form.read(octets, FORM).action in {"leave", "leave_all", "choose", "resubscribe"}
