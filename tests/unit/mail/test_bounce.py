"""Who failed and why, found in words. Whole messages: tests/data/reports."""

import pytest

from outrider.base import limits
from outrider.mail import bounce


def addresses(text: str, *, ours: tuple[str, ...] = ()) -> list[str]:
    return [diagnosis.address for diagnosis in bounce.read(text, ours=ours)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Nothing of use.", []),
        ("<a@x.example>:\n550 no", ["a@x.example"]),
        ("  a@x.example\n    unrouteable address\n  b@x.example\n    full", ["a@x.example", "b@x.example"]),
        ("Recipient: <a@x.example>\nReason: full", ["a@x.example"]),
        ("Could not be delivered to: <a@x.example>", ["a@x.example"]),
        ("RCPT TO:<a@x.example>\n<<< 550 no", ["a@x.example"]),
        ("A mail to a@x.example failed. Ask postmaster@y.example.", ["a@x.example"]),
        ("From: b@x.example\nSender: c@x.example\nTo: a@x.example", ["a@x.example"]),
        ("from@x.example: 550 no such user", ["from@x.example"]),
        ("收件人：a@x.example（不存在）", ["a@x.example"]),
        ("<A@x.example>: full\n<a@X.example>: full", ["A@x.example"]),
        ('"a..b."@x.example: 550 no', ['"a..b."@x.example']),
        ("[SMTP:a@x.example] on 24.11.2026", ["a@x.example"]),
        ("a@x.example<mailto:a@x.example>\nnot found", ["a@x.example"]),
    ],
)
def test_the_recipient_is_found(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


def test_we_are_never_a_recipient() -> None:
    text = "news@shop.example\n\nwas not delivered to:\n\nbad@x.example\n"
    assert addresses(text, ours=("news@shop.example",)) == ["bad@x.example"]
    assert addresses("Dear news@shop.example", ours=("news@shop.example",)) == []


def test_each_recipient_has_its_own_reason() -> None:
    text = "<a@x.example>:\n550 5.1.1 no such user\n\n"
    text += "<b@x.example>:\nHost mx.x.example [192.0.2.1]\nsays: 552 5.2.2 full\n"
    first, second = bounce.read(text, ours=())
    assert (first.code, first.status, "full" in first.text) == (550, "5.1.1", False)
    assert (second.code, second.status, second.remote_mta) == (552, "5.2.2", "mx.x.example")
    assert second.text.startswith("full")


def test_a_reason_far_from_the_only_address_is_found() -> None:
    (found,) = bounce.read("Not delivered to:\n\n  a@x.example\n\n-- Details --\n\nThe mailbox is full.\n", ours=())
    assert "The mailbox is full." in found.text


@pytest.mark.parametrize(
    ("text", "said", "returned"),
    [
        ("a", "a", ""),
        ("said\n\n--- Below this line is a copy of the message.\n\nA: b", "said\n\n", "A: b"),
        ("said\n----- Original message -----\nA: b", "said\n", "A: b"),
        ("said\nOriginal message headers:\n\nA: b", "said\n", "A: b"),
        ("said\nThe first 50 lines of your original message follow:> A: b\n> C: d", "said\n", "> C: d"),
        ("said\nReceived: from x\nA: b", "said\n", "Received: from x\nA: b"),
        ("----- Original message -----\nA: b", "----- Original message -----\nA: b", ""),
        ("   ----- Non-delivered information -----\nfull", "   ----- Non-delivered information -----\nfull", ""),
    ],
)
def test_what_is_returned_is_cut_off(text: str, said: str, returned: str) -> None:
    assert bounce.split_returned(text) == (said, returned)


def test_recipients_and_texts_are_bounded() -> None:
    found = bounce.read("".join(f"<a{at}@x.example>: full\n" for at in range(1000)), ours=())
    assert len(found) == limits.REPORT_DIAGNOSES_COUNT_MAX
    (one,) = bounce.read("a@x.example: 550 " + "no " * 10_000, ours=())
    assert len(one.text) <= limits.REPLY_TEXT_CHARS_KEPT_MAX
