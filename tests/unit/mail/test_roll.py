"""Lists of mailboxes: what is read, what is plain, what is refused rather than guessed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError
from outrider.mail import roll


@pytest.mark.parametrize(
    ("text", "boxes", "is_plain"),
    [
        ("a@b.example", [("", "a@b.example")], True),
        ("<a@b.example>", [("", "a@b.example")], True),
        ("Ann Lee <a@b.example>", [("Ann Lee", "a@b.example")], True),
        ('"Lee, Ann" <a@b.example>, c@d.example', [("Lee, Ann", "a@b.example"), ("", "c@d.example")], True),
        ('"Lee \\"x\\"" <a@b.example>', [('Lee "x"', "a@b.example")], True),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?= <a@b.example>", [("Grüße", "a@b.example")], True),
        ('"a b"@c.example', [("", '"a b"@c.example')], True),
        ("a@b.example (Cron Daemon)", [("", "a@b.example")], False),
        ("a@b.example ((nested) \\) here)", [("", "a@b.example")], False),
        ("a@b.example, , c@d.example,", [("", "a@b.example"), ("", "c@d.example")], True),
        ("undisclosed-recipients:;", [], False),
        ("Team: a@b.example;, e@f.example", [("", "a@b.example"), ("", "e@f.example")], False),
        ("ä@bücher.example", [("", "ä@xn--bcher-kva.example")], True),
        ("", [], True),
    ],
)  # fmt: skip
def test_what_is_read(text: str, boxes: list[tuple[str, str]], is_plain: bool) -> None:
    found = roll.read(text, field="From")
    assert [(box.name, box.address.text) for box in found.boxes] == boxes
    assert found.is_plain == is_plain


@pytest.mark.parametrize(
    "text",
    [
        "<a@b.example> <c@d.example>",
        "a@b.example c@d.example",
        "a@b.example <c@d.example",
        'a" <a@b.example>',
        "a@b.example (no end",
        "a@b.example)",
        "Ann <a@b.example> tail",
        "<@route.example:a@b.example>",
        "a@b.example; c@d.example",
        "a: b: c@d.example;",
        "root",
        "=?utf-8?q?x=E2=80=AE?= <a@b.example>",
        '"<boss@bank.example>" <a@b.example>',
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        roll.read(text, field="From")
    assert caught.value.field == "From"


@given(st.text(alphabet='a@b.c<>"\\(),:; ', max_size=40))
def test_no_text_trips_it(text: str) -> None:
    try:
        found = roll.read(text, field="To")
    except CallerError:
        return
    for box in found.boxes:
        assert box.address.text.count("@") >= 1
