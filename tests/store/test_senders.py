"""Senders: a project's own, the first one its default, verified as their domain is."""

from uuid import UUID

import pytest

from outrider.base.errors import ConflictError
from outrider.store import domains, senders
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


class Desk:
    """Adds senders to domains."""

    def __init__(self, store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
        self.store, self.clock, self.mailroom = store, clock, mailroom

    async def domain(self, project: str = "shop") -> Domain:
        made = Domain(self.mailroom.new_id(), await self.mailroom.project(project), "shop.example", self.clock.now())
        async with self.store.transaction() as tx:
            await domains.insert(tx, made)
        return made

    async def add(self, domain: Domain, address: str) -> UUID:
        sender_id = self.mailroom.new_id()
        async with self.store.transaction() as tx:
            await senders.insert(
                tx,
                sender_id=sender_id,
                project_id=domain.project_id,
                domain_id=domain.domain_id,
                address=address,
                address_key=address.casefold(),
                name="Shop",
                now=self.clock.now(),
            )
        return sender_id


@pytest.fixture
def desk(store: Store, clock: FakeClock, mailroom: Mailroom) -> Desk:
    return Desk(store, clock, mailroom)


async def test_the_first_is_the_default_of_its_project(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    for address in ("a@shop.example", "b@shop.example"):
        await desk.add(shop, address)
        clock.advance(1)
    await desk.add(other, "c@shop.example")
    async with store.transaction() as tx:
        of_shop = await senders.of_project(tx, shop.project_id)
        of_other = await senders.of_project(tx, other.project_id)
    assert [(sender.address, sender.is_default) for sender in of_shop] == [
        ("a@shop.example", True),
        ("b@shop.example", False),
    ]
    assert [(sender.address, sender.is_default) for sender in of_other] == [("c@shop.example", True)]


async def test_a_sender_is_found_by_its_key_in_its_project_only(store: Store, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    sender_id = await desk.add(shop, "News@shop.example")
    async with store.transaction() as tx:
        found = await senders.by_key(tx, shop.project_id, "news@shop.example")
        assert await senders.by_key(tx, other.project_id, "news@shop.example") is None
        assert await senders.by_key(tx, shop.project_id, "News@shop.example") is None
    assert found is not None
    assert (found.sender_id, found.address, found.domain) == (sender_id, "News@shop.example", "shop.example")
    assert found.is_enabled
    assert not found.is_domain_verified


async def test_a_sender_is_verified_with_its_domain(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop = await desk.domain()
    await desk.add(shop, "news@shop.example")
    async with store.transaction() as tx:
        await domains.verify(tx, shop.project_id, shop.domain_id, now=clock.now())
        found = await senders.by_key(tx, shop.project_id, "news@shop.example")
    assert found is not None
    assert found.is_domain_verified


async def test_an_address_is_taken_once_in_a_project(store: Store, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    await desk.add(shop, "news@shop.example")
    await desk.add(other, "news@shop.example")
    with pytest.raises(ConflictError) as caught:
        await desk.add(shop, "NEWS@shop.example")
    assert caught.value.detail["constraint"] == "sender_address_taken"
