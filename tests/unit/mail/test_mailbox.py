"""Mailboxes as people write them: read, written so that they are read back, and never two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import CallerError
from outrider.mail import address, mailbox
from outrider.mail.mailbox import Mailbox

ANN = address.parse("ann@a.example")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ann@a.example", ""),
        ("  ann@a.example ", ""),
        ("<ann@a.example>", ""),
        ("Ann Lee <ann@a.example>", "Ann Lee"),
        ('"Lee, Ann" <ann@a.example>', "Lee, Ann"),
        ('"Ann \\"the\\" Lee" <ann@a.example>', 'Ann "the" Lee'),
        ("Jörg Müller <ann@a.example>", "Jörg Müller"),
        ("李 <ann@A.EXAMPLE>", "李"),
        ('"" <ann@a.example>', ""),
    ],
)
def test_a_mailbox_is_read(text: str, name: str) -> None:
    assert mailbox.parse(text) == Mailbox(name, ANN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "Ann Lee ann@a.example",
        "ann@a.example, bob@b.example",
        "Ann <ann@a.example>, Bob <bob@b.example>",
        "Ann, Bob <ann@a.example>",
        "Ann <ann@a.example> <bob@b.example>",
        'Ann" <ann@a.example>',
        "Ann <<ann@a.example>>",
        "Ann <ann@a.example\r\nBcc: all@a.example>",
        "Ann\r\nBcc: x <ann@a.example>",
        "Ann\x00 <ann@a.example>",
        "Ann\u202emoc <ann@a.example>",
        '"Bank <ceo@bank.example>" <ann@a.example>',
        "x" * 3000 + " <ann@a.example>",
        "Ann \ud800 <ann@a.example>",
    ],
)
def test_what_is_no_single_mailbox_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        mailbox.parse(text, field="to[3]")
    assert caught.value.field == "to[3]"


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), max_size=60))
def test_what_is_written_is_read_back(name: str) -> None:
    try:
        box = mailbox.parse(Mailbox(name, ANN).text)
    except CallerError:
        assert "@" in name  # An address in a name.
        return
    assert box == Mailbox(name, ANN)
    assert mailbox.parse(box.text) == box
