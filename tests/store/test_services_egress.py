"""Which pool carries whose mail: by stream, by the project's name or id, by sending domain; looked up if need be."""

from uuid import UUID

import pytest

from outrider.base.vocab import Stream
from outrider.policy.route import Source, make_egress
from outrider.policy.settings import AssignEntry, EgressSettings, MemberEntry, SourceEntry
from outrider.services.egress import PoolChooser
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


def settings(*assign: AssignEntry) -> EgressSettings:
    sources = {"a": SourceEntry(address="127.0.0.2"), "b": SourceEntry(address="127.0.0.3")}
    pools = {"default": {"a": MemberEntry()}, "bulk": {"b": MemberEntry()}}
    return EgressSettings(sources=sources, pools=pools, assign=assign)


@pytest.fixture
async def project_id(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


@pytest.mark.parametrize(
    ("assign", "pool"),
    [
        ((), "default"),
        ((AssignEntry(pool="bulk", stream=Stream.MARKETING),), "bulk"),
        ((AssignEntry(pool="bulk", stream=Stream.TRANSACTIONAL),), "default"),
        ((AssignEntry(pool="bulk", project="shop"),), "bulk"),
        ((AssignEntry(pool="bulk", project="other"),), "default"),
        ((AssignEntry(pool="bulk", domain="news.example"),), "bulk"),
        ((AssignEntry(pool="default", domain="news.example"), AssignEntry(pool="bulk")), "default"),
    ],
)
async def test_the_first_rule_that_matches_decides(
    store: Store, clock: FakeClock, project_id: UUID, assign: tuple[AssignEntry, ...], pool: str
) -> None:
    chooser = PoolChooser(store, make_egress(settings(*assign), Source("default")), clock=clock)
    assert await chooser.pool_for(project_id, Stream.MARKETING, "news.example") == pool


async def test_a_project_is_known_by_its_id_too(store: Store, clock: FakeClock, project_id: UUID) -> None:
    assign = AssignEntry(pool="bulk", project=str(project_id))
    chooser = PoolChooser(store, make_egress(settings(assign), Source("default")), clock=clock)
    assert await chooser.pool_for(project_id, Stream.MARKETING, "news.example") == "bulk"
    assert await chooser.pool_for(UUID(int=5), Stream.MARKETING, "news.example") == "default"
