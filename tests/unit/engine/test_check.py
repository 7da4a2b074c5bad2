"""What a submission may say beyond sender, recipients, subject and content: refused with its field, before anything."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.engine import check
from outrider.engine.submission import Attachment
from outrider.testing.engineroom import submission

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FILE = Attachment(name="a.pdf", type="application/pdf", content=b"%PDF")
IMAGE = Attachment(name="a.png", type="image/png", content=b"x", content_id="logo")


def refusal(**changes: Any) -> CallerError:
    with pytest.raises(CallerError) as caught:
        check.submission(submission("ann@a.example", **changes), now=NOW)
    return caught.value


def test_a_submission_with_everything_is_fine() -> None:
    check.submission(
        submission(
            "ann@a.example",
            "bob@b.example",
            shown_to=("Ann <ann@a.example>",),
            shown_cc=("BOB@b.example",),
            reply_to=("Help <help@shop.example>",),
            headers=(("X-Order", "1042"), ("List-Unsubscribe", "<https://shop.example/u>"), ("References", "<a@b.c>")),
            attachments=(FILE, FILE, IMAGE),
            tags=("order", "zweite Mahnung"),
            metadata={"order": "1042", "note": "two\nlines"},
            send_at=NOW + timedelta(days=30),
            expires_s=3600.0,
        ),
        now=NOW,
    )


def test_a_file_alone_is_content_enough() -> None:
    check.submission(submission(text="", html=None, attachments=(FILE,)), now=NOW)
    assert refusal(text="", html=None).field == "content"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shown_to": ("Eve <eve@e.example>",)}, "shown_to[0]"),  # She would not get it.
        ({"shown_to": ("ann@a.example", "nobody")}, "shown_to[1]"),
        ({"shown_cc": ("x\r\nBcc: y <ann@a.example>",)}, "shown_cc[0]"),
        ({"reply_to": ("a@b.example", "c")}, "reply_to[1]"),
        ({"reply_to": ("a@b.example",) * 11}, "reply_to"),
        ({"headers": (("X-A", "b"), ("From", "ceo@bank.example"))}, "headers[1]"),
        ({"headers": (("Bcc", "all@a.example"),)}, "headers[0]"),
        ({"headers": (("X-A", "b\r\nBcc: all@a.example"),)}, "headers[0]"),
        ({"headers": (("X-A\r\nBcc", "all@a.example"),)}, "headers[0]"),
        ({"headers": (("X-A", "b\x00"),)}, "headers[0]"),
        ({"headers": (("", "b"),)}, "headers[0]"),
        ({"headers": (("X-A", "b" * 4001),)}, "headers[0]"),
        ({"headers": (("X-A", "b"),) * 51}, "headers"),
        ({"attachments": (FILE, Attachment(name="a.exe", type="a/b", content=b"x"))}, "attachments[1].name"),
        ({"attachments": (IMAGE, IMAGE)}, "attachments[1].content_id"),
        ({"attachments": (FILE,) * 51}, "attachments"),
        ({"tags": ("",)}, "tags[0]"),
        ({"tags": ("a", "b\n")}, "tags[1]"),
        ({"tags": ("x" * 101,)}, "tags[0]"),
        ({"tags": ("x",) * 21}, "tags"),
        ({"tags": ("\ud800",)}, "tags[0]"),
        ({"metadata": {"a": "x" * 501}}, "metadata.a"),
        ({"metadata": {"a": "x\x00"}}, "metadata.a"),
        ({"metadata": {"a": "\ud800"}}, "metadata.a"),
        ({"metadata": {"a\r\nb": "x"}}, "metadata"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {f"a{n}": "x" for n in range(51)}}, "metadata"),
        ({"send_at": NOW - timedelta(minutes=2)}, "send_at"),
        ({"send_at": NOW + timedelta(days=30, seconds=1)}, "send_at"),
        ({"send_at": datetime(2026, 12, 1)}, "send_at"),  # noqa: DTZ001 - that is the point.
        ({"expires_s": 59.0}, "expires_s"),
        ({"expires_s": limits.MESSAGE_LIFE_S_MAX + 1}, "expires_s"),
        ({"expires_s": float("nan")}, "expires_s"),
        ({"expires_s": float("inf")}, "expires_s"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], field: str) -> None:
    assert refusal(**changes).field == field


def test_files_that_fit_into_no_mail_are_too_large() -> None:
    half = Attachment(name="a.bin", type="a/b", content=bytes(limits.ATTACHMENTS_BYTES_MAX // 2 + 1))
    assert isinstance(refusal(attachments=(half, half)), TooLargeError)
