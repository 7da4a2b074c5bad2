"""Which pool carries whose mail: by stream, by sending domain, by the project's name or id."""

from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.base.vocab import Stream
from outrider.policy.route import Egress, Source, make_egress
from outrider.policy.settings import EgressSettings
from outrider.services.egress import PoolChooser
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest

T, M = Stream.TRANSACTIONAL, Stream.MARKETING


def egress(*assign: dict[str, str]) -> Egress:
    pools: dict[str, dict[str, dict[str, str]]] = {name: {"one": {}} for name in ("default", "vip", "bulk")}
    settings = {"sources": {"one": {"address": "127.0.0.2"}}, "pools": pools, "assign": assign}
    return make_egress(msgspec.convert(settings, EgressSettings), Source("default"))


async def test_the_first_rule_that_matches_decides(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    rules = (
        {"pool": "vip", "project": "shop", "domain": "orders.example"},
        {"pool": "bulk", "stream": "marketing"},
        {"pool": "vip", "project": str(other).upper()},
    )
    chooser = PoolChooser(store, egress(*rules), clock=clock)
    asked = [
        (shop, T, "orders.example"),
        (shop, M, "orders.example"),
        (shop, M, "shop.example"),
        (shop, T, "shop.example"),
        (other, T, "orders.example"),
        (other, M, "orders.example"),
    ]
    assert [await chooser.pool_for(*one) for one in asked] == ["vip", "vip", "bulk", "default", "vip", "bulk"]


async def test_a_project_nobody_knows_has_no_name(store: Store, clock: FakeClock) -> None:
    chooser = PoolChooser(store, egress({"pool": "vip", "project": "shop"}), clock=clock)
    assert await chooser.pool_for(UUID(int=9), T, "a.example") == "default"


async def test_a_name_is_remembered_for_a_moment(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop = await mailroom.project("shop")
    chooser = PoolChooser(store, egress({"pool": "vip", "project": "shop"}), clock=clock)
    assert await chooser.pool_for(shop, T, "a.example") == "vip"
    async with store.transaction() as tx:
        await tx.execute("UPDATE project SET name = 'moved' WHERE project_id = $1", shop)
    assert await chooser.pool_for(shop, T, "a.example") == "vip"
    clock.advance(1)
    assert await chooser.pool_for(shop, T, "a.example") == "default"


async def test_without_rules_nobody_asks_the_database(database_url: str, clock: FakeClock) -> None:
    closed = Store(database_url, StoreSettings())
    assert await PoolChooser(closed, egress(), clock=clock).pool_for(UUID(int=1), T, "a.example") == "default"
    with pytest.raises((StoreUnavailableError, AssertionError)):
        await PoolChooser(closed, egress({"pool": "vip"}), clock=clock).pool_for(UUID(int=1), T, "a.example")
