"""What is asked for is stored with those recipients that are left, by whatever spelling."""

from datetime import UTC, datetime
from uuid import UUID

from outrider.engine import wishes
from outrider.engine.submission import ReportsAsked, ReportWish
from outrider.store.intake import NewRecipient

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
