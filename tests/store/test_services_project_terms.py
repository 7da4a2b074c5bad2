"""Settings of a project: each is kept as it is read, and a change that is refused in part is refused whole."""

from typing import Any
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ForbiddenError
from outrider.base.vocab import UnalignedFrom
from outrider.obs.metrics import Metrics
from outrider.services.content import ContentChecks, OwnPolicy
from outrider.services.notices import Notices
from outrider.services.project_terms import ProjectTerms
from outrider.services.retention import Retention, Retentions
from outrider.services.senders import Senders
from outrider.services.settings import ContentSettings
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest

ALL = {
    "notice_address": "Ops@CORP.example",
    "unaligned_from": UnalignedFrom.REWRITE,
    "content": {"hold_score": 8.0},
    "kept_days": 7,
}
SAID = ("Ops@corp.example", UnalignedFrom.REWRITE, OwnPolicy(hold_score=8.0), Retention(7, is_own=True))
NOTHING = ("", UnalignedFrom.REFUSE, OwnPolicy(), Retention(90, is_own=False))


class Desk:
    """The settings of projects, and those who read them."""

    def __init__(self, store: Store, clock: FakeClock, *, projects_decide: bool = True) -> None:
        settings = ContentSettings(projects_decide=projects_decide)
        self.contents = ContentChecks(store, settings, None, clock=clock, metrics=Metrics(), logger=Journal().logger)
        self.notices = Notices(store, clock=clock)
        self.retentions = Retentions(store, days=90)
        self.senders = Senders(store, clock=clock, random_bits=lambda _: 0)
        self.terms = ProjectTerms(store, self.contents)

    async def read(self, project_id: UUID) -> tuple[object, ...]:
        return (
            await self.notices.address(project_id),
            await self.senders.alignment(project_id),
            (await self.contents.policy(project_id)).own,
            await self.retentions.view(project_id),
        )


@pytest.fixture
def desk(store: Store, clock: FakeClock) -> Desk:
    return Desk(store, clock)


@pytest.fixture
async def shop(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


async def test_what_is_named_is_changed_and_nothing_else(desk: Desk, shop: UUID, mailroom: Mailroom) -> None:
    other = await mailroom.project("other")
    await desk.terms.change(shop, ALL)
    assert await desk.read(shop) == SAID
    await desk.terms.change(shop, {})
    assert await desk.read(shop) == SAID
    await desk.terms.change(shop, {"kept_days": None})
    assert await desk.read(shop) == (*SAID[:3], NOTHING[3])
    await desk.terms.change(shop, {"notice_address": "", "content": {"hold_score": None}})
    assert await desk.read(shop) == (NOTHING[0], SAID[1], NOTHING[2], NOTHING[3])
    assert await desk.read(other) == NOTHING


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *[
            ({"notice_address": text}, "notice_address")
            for text in ("nobody", "a@b.example\r\nBcc: x@y.example", "a@b.example\x00", "a" * 1000 + "@b.example")
        ],
        *[({"kept_days": days}, "kept_days") for days in (0, -1, limits.KEPT_DAYS_COUNT_MAX + 1)],
        ({"content": {"hold_score": -1.0}}, "content"),
    ],
)
async def test_a_change_that_is_wrong_in_part_changes_nothing(
    desk: Desk, shop: UUID, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallerError) as caught:
        await desk.terms.change(shop, ALL | wrong)
    assert caught.value.field == field
    assert await desk.read(shop) == NOTHING


async def test_where_projects_may_not_decide_about_content_they_change_nothing_beside_it(
    store: Store, clock: FakeClock, shop: UUID
) -> None:
    desk = Desk(store, clock, projects_decide=False)
    with pytest.raises(ForbiddenError):
        await desk.terms.change(shop, ALL)
    assert await desk.read(shop) == NOTHING
    await desk.terms.change(shop, ALL, by_operator=True)
    assert await desk.read(shop) == SAID
