"""Senders: a project's own, the first one its default, verified as their domain is; mailboxes proven by a link."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import SenderRule, Stream
from outrider.store import domains, senders
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.senders import SendingDomain
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

    async def add(self, domain: Domain, address: str, *, is_mailbox: bool = False) -> UUID:
        sender_id = self.mailroom.new_id()
        async with self.store.transaction() as tx:
            await senders.insert(
                tx,
                sender_id=sender_id,
                project_id=domain.project_id,
                domain_id=None if is_mailbox else domain.domain_id,
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


async def test_a_domain_says_which_addresses_may_send(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    async with store.transaction() as tx:
        assert await senders.set_rule(tx, shop.project_id, "shop.example", SenderRule.ANY)
        assert not await senders.set_rule(tx, shop.project_id, "none.example", SenderRule.ANY)
        await domains.verify(tx, shop.project_id, shop.domain_id, now=clock.now())
        found = [await senders.sending_domain(tx, one.project_id, "shop.example") for one in (shop, other)]
        assert await senders.sending_domain(tx, shop.project_id, "none.example") is None
    assert found == [
        SendingDomain(shop.domain_id, "shop.example", SenderRule.ANY, is_verified=True),
        SendingDomain(other.domain_id, "shop.example", SenderRule.LISTED, is_verified=False),
    ]


async def test_a_domains_senders_are_its_own_and_bounded(store: Store, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    for number in range(3):
        await desk.add(shop, f"s{number}@shop.example")
    await desk.add(other, "o@shop.example")
    async with store.transaction() as tx:
        found = await senders.of_domain(tx, shop.project_id, shop.domain_id, count_max=10)
        assert {one.address for one in found} == {f"s{number}@shop.example" for number in range(3)}
        assert len(await senders.of_domain(tx, shop.project_id, shop.domain_id, count_max=2)) == 2
        assert await senders.of_domain(tx, other.project_id, shop.domain_id, count_max=10) == []


async def test_one_sender_is_changed_and_no_other(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    first, second = await desk.add(shop, "a@shop.example"), await desk.add(shop, "b@shop.example")
    await desk.add(other, "a@shop.example")
    clock.advance(1)
    async with store.transaction() as tx:
        await senders.set_name(tx, shop.project_id, first, "New", now=clock.now())
        await senders.set_enabled(tx, shop.project_id, second, is_enabled=False, now=clock.now())
        await senders.set_default(tx, shop.project_id, second, now=clock.now())
        await senders.set_name(tx, other.project_id, first, "Theirs", now=clock.now())
        await senders.remove(tx, other.project_id, first)
        found = {one.address: one for one in await senders.of_project(tx, shop.project_id)}
        assert [(one.name, one.is_enabled, one.is_default) for one in found.values()] == [
            ("New", True, False),
            ("Shop", False, True),
        ]
        assert {one.updated_at for one in found.values()} == {clock.now()}
        (theirs,) = await senders.of_project(tx, other.project_id)
        assert (theirs.name, theirs.is_enabled, theirs.is_default) == ("Shop", True, True)
        await senders.remove(tx, shop.project_id, first)
        assert await senders.by_key(tx, shop.project_id, "a@shop.example") is None


async def test_who_speaks_for_a_project_may_send_that_kind_of_mail(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop = await desk.domain()

    async def speaks(stream: Stream = Stream.TRANSACTIONAL) -> str:
        async with store.transaction() as tx:
            found = await senders.spokesman(tx, shop.project_id, stream)
        return "" if found is None else found.address

    for address in ("a@shop.example", "b@shop.example"):
        await desk.add(shop, address)
        clock.advance(1)
    await desk.add(shop, "ann@gmail.test", is_mailbox=True)
    assert await speaks() == "", "not verified"
    async with store.transaction() as tx:
        await domains.verify(tx, shop.project_id, shop.domain_id, now=clock.now())
    assert await speaks() == "a@shop.example"
    async with store.transaction() as tx:
        await tx.execute("UPDATE domain SET stream = 'marketing'")
    assert [await speaks(), await speaks(Stream.MARKETING)] == ["", "a@shop.example"]
    async with store.transaction() as tx:
        await tx.execute("UPDATE sender SET is_enabled = address <> 'a@shop.example'")
    assert await speaks(Stream.MARKETING) == "b@shop.example"
    async with store.transaction() as tx:
        await tx.execute("UPDATE domain SET stopped_at = now()")
    assert await speaks(Stream.MARKETING) == ""


async def test_a_link_proves_one_mailbox_once_until_it_expires(store: Store, clock: FakeClock, desk: Desk) -> None:
    shop = await desk.domain()
    mailbox = await desk.add(shop, "ann@gmail.test", is_mailbox=True)
    other = await desk.add(shop, "ben@gmail.test", is_mailbox=True)
    now, until = clock.now(), clock.now() + timedelta(hours=1)
    async with store.transaction() as tx:
        await senders.offer(tx, shop.project_id, mailbox, b"1" * 32, until=until)
        await senders.offer(tx, shop.project_id, other, b"2" * 32, until=until)
        assert await senders.offered_count(tx, shop.project_id, now) == 2
        assert await senders.offered_count(tx, shop.project_id, until) == 0
        found = await senders.by_proof(tx, b"1" * 32, now)
        assert found is not None
        assert (found.sender_id, found.project, found.address) == (mailbox, "shop", "ann@gmail.test")
        assert await senders.by_proof(tx, b"1" * 32, until) is None
        assert await senders.prove(tx, b"1" * 32, now=until) is None
        await senders.withdraw(tx, shop.project_id, mailbox, b"2" * 32)  # Not its own: it stays.
        assert await senders.prove(tx, b"1" * 32, now=now) is not None
        assert await senders.prove(tx, b"1" * 32, now=now) is None
        await senders.withdraw(tx, shop.project_id, other, b"2" * 32)
        assert await senders.prove(tx, b"2" * 32, now=now) is None
        proven = {one.address: (one.domain, one.proven_at) for one in await senders.of_project(tx, shop.project_id)}
    assert proven == {"ann@gmail.test": ("gmail.test", now), "ben@gmail.test": ("gmail.test", None)}


async def test_a_mailbox_is_adopted_by_its_domain_and_no_other(store: Store, desk: Desk) -> None:
    shop, other = await desk.domain("shop"), await desk.domain("other")
    addresses = ["ann@shop.example", "ann@sub.shop.example", "ann@myshop.example", '"a@shop.example"@x.example']
    for address in addresses:
        await desk.add(shop, address, is_mailbox=True)
    await desk.add(other, "ann@shop.example", is_mailbox=True)
    async with store.transaction() as tx:
        await senders.adopt(tx, shop.project_id, shop.domain_id, "shop.example")
        of_shop = {one.address: one.domain_id for one in await senders.of_project(tx, shop.project_id)}
        (of_other,) = await senders.of_project(tx, other.project_id)
    assert of_shop == {address: shop.domain_id if address == addresses[0] else None for address in addresses}
    assert of_other.domain_id is None
