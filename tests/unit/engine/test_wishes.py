"""What is asked for is stored with those recipients that are left, by whatever spelling."""

from datetime import UTC, datetime
from uuid import UUID

from outrider.base.vocab import Stream
from outrider.engine import wishes
from outrider.engine.submission import Rejected, ReportsAsked, ReportWish
from outrider.store.intake import NewRecipient
from outrider.store.messages import Message

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PROJECT, MESSAGE = UUID(int=1), UUID(int=2)


def recipient(number: int, address: str) -> NewRecipient:
    return NewRecipient(UUID(int=number), MESSAGE, PROJECT, address, 1, NOW, NOW)


def test_each_recipient_that_is_left_has_its_own() -> None:
    asked = ReportsAsked(
        return_to="ops@shop.example",
        wishes=(
            ReportWish("ann@A.example", ("FAILURE",), "a+b@old.example"),
            ReportWish("gone@c.example", ("DELAY",)),
            ReportWish("ann@a.example", ("SUCCESS",)),
        ),
        is_full=True,
        envelope_id="QQ 1",
    )
    (found,) = wishes.of(asked, [recipient(7, "ann@a.example"), recipient(8, "bob@b.example")], NOW)
    assert (found.recipient_id, found.kinds, found.original) == (UUID(int=7), ("FAILURE",), "a+b@old.example")
    assert (found.project_id, found.message_id, found.return_to) == (PROJECT, MESSAGE, "ops@shop.example")
    assert (found.is_full, found.envelope_id, found.wished_at) == (True, "QQ 1", NOW)


def message() -> Message:
    return Message(MESSAGE, PROJECT, Stream.TRANSACTIONAL, "s@shop.example", "", "Hi", b"", 1, NOW, NOW)


def test_who_was_rejected_and_wanted_to_hear_of_a_failure_has_a_report_at_once() -> None:
    asked = ReportsAsked(
        return_to="ops@shop.example",
        wishes=(ReportWish("gone@c.example", ("FAILURE",), "g@old.example"), ReportWish("late@c.example", ("DELAY",))),
    )
    rejected = [Rejected(f"{name}@c.example", "recipient suppressed") for name in ("gone", "late", "other")]
    ((wish, report),) = wishes.of_rejected(asked, message(), rejected, [UUID(int=number) for number in (7, 8, 9)])
    assert (wish.recipient_id, wish.address, wish.original) == (UUID(int=7), "gone@c.example", "g@old.example")
    assert (report.recipient_id, report.action, report.reply) == (UUID(int=7), "failed", "recipient suppressed")
