"""Senders by the page: chosen, counted and ordered in the database, the project's alone."""

from datetime import datetime
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import Stream
from outrider.store import domains, sender_pages, senders
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.sender_pages import SenderChoice, SenderPage
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

_MAILBOX = """
    INSERT INTO sender (sender_id, project_id, domain_id, address, address_key, name, is_default, is_enabled,
                        created_at, updated_at, proven_at)
    VALUES ($1, $2, NULL, 'ann@gmail.example', 'ann@gmail.example', 'Ann', false, true, $3, $3, $4)"""


class Desk:
    """A project `shop` with three senders on two domains, a second apart, and another project with one."""

    def __init__(self, store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
        self.store, self.clock, self.mailroom = store, clock, mailroom

    async def open(self) -> "Desk":
        self.project_id = await self.mailroom.project("shop")
        self.other_id = await self.mailroom.project("other")
        shop = await self._domain(self.project_id, "shop.example", is_verified=True)
        news = await self._domain(self.project_id, "news.shop.example", is_verified=False)
        for domain, address, name in (
            (shop, "Billing@shop.example", "Acme 50% Billing"),
            (news, "news@news.shop.example", "News"),
            (shop, "help@shop.example", ""),
            (await self._domain(self.other_id, "other.example", is_verified=True), "x@other.example", "Billing"),
        ):
            self.clock.advance(1)
            async with self.store.transaction() as tx:
                await senders.insert(
                    tx,
                    sender_id=self.mailroom.new_id(),
                    project_id=domain.project_id,
                    domain_id=domain.domain_id,
                    address=address,
                    address_key=address.casefold(),
                    name=name,
                    now=self.clock.now(),
                )
        return self

    async def _domain(self, project_id: UUID, name: str, *, is_verified: bool) -> Domain:
        now = self.clock.now()
        made = Domain(self.mailroom.new_id(), project_id, name, now, now if is_verified else None)
        async with self.store.transaction() as tx:
            await domains.insert(tx, made)
        return made

    async def run(self, sql: str, *arguments: object) -> None:
        async with self.store.transaction() as tx:
            assert await tx.execute(sql, *arguments) == 1

    async def page(self, **choice: object) -> SenderPage:
        async with self.store.transaction() as tx:
            return await sender_pages.page(tx, self.project_id, msgspec.convert(choice, SenderChoice))

    async def names(self, **choice: object) -> list[str]:
        return [one.address.partition("@")[0] for one in (await self.page(**choice)).senders]


@pytest.fixture
async def desk(store: Store, clock: FakeClock, mailroom: Mailroom) -> Desk:
    return await Desk(store, clock, mailroom).open()


async def test_a_project_sees_its_own_the_default_first_then_the_newest(desk: Desk) -> None:
    page = await desk.page()
    assert page.total_count == 3
    assert [(one.address, one.domain, one.is_default, one.may_send) for one in page.senders] == [
        ("Billing@shop.example", "shop.example", True, True),
        ("help@shop.example", "shop.example", False, True),
        ("news@news.shop.example", "news.shop.example", False, False),
    ]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"address_key": "billing@shop.example"}, ["Billing"]),
        ({"address_key": "x@other.example"}, []),
        ({"domain": "shop.example"}, ["Billing", "help"]),
        ({"domain": "example"}, []),
        ({"is_default": True}, ["Billing"]),
        ({"is_default": False}, ["help", "news"]),
        ({"words": "SHOP"}, ["Billing", "help", "news"]),
        ({"words": "50%"}, ["Billing"]),
        ({"words": "%"}, ["Billing"]),
        ({"words": "_"}, []),
        ({"words": "acme", "is_default": False}, []),
    ],
)
async def test_senders_are_chosen(desk: Desk, choice: dict[str, object], names: list[str]) -> None:
    assert await desk.names(**choice) == names
    assert (await desk.page(**choice)).total_count == len(names)


async def test_senders_are_ordered(desk: Desk) -> None:
    await desk.run(
        "UPDATE sender SET updated_at = created_at + '1 day' WHERE project_id = $1 AND name = 'News'", desk.project_id
    )
    by_age = {"is_default_first": False}
    assert await desk.names(**by_age) == ["help", "news", "Billing"]
    assert await desk.names(**by_age, is_newest_first=False) == ["Billing", "news", "help"]
    assert await desk.names(**by_age, is_by_update=True) == ["news", "help", "Billing"]
    assert await desk.names(is_newest_first=False) == ["Billing", "news", "help"]


async def test_pages_follow_each_other(desk: Desk) -> None:
    pages = [await desk.names(offset=offset, count_max=2) for offset in (0, 2, 4, 2**62)]
    assert pages == [["Billing", "help"], ["news"], [], []]
    assert (await desk.page(offset=4, count_max=2)).total_count == 3


async def test_a_domain_says_what_its_senders_send_and_whether(desk: Desk) -> None:
    await desk.run(
        "UPDATE domain SET stream = 'marketing', stopped_at = now() WHERE project_id = $1 AND name = 'shop.example'",
        desk.project_id,
    )
    await desk.run("UPDATE sender SET is_enabled = false WHERE project_id = $1 AND name = 'News'", desk.project_id)
    found = (await desk.page()).senders
    assert [one.stream for one in found] == [Stream.MARKETING, Stream.MARKETING, None]
    assert [one.may_send for one in found] == [False, False, False]


@pytest.mark.parametrize(
    ("is_proven", "alignment", "may_send"),
    [(True, "rewrite", True), (True, "refuse", False), (False, "rewrite", False)],
)
async def test_a_single_mailbox_sends_once_proven_and_where_from_is_rewritten(
    desk: Desk, is_proven: bool, alignment: str, may_send: bool
) -> None:
    now: datetime = desk.clock.now()
    await desk.run("UPDATE project SET alignment = $2 WHERE project_id = $1", desk.project_id, alignment)
    await desk.run(_MAILBOX, desk.mailroom.new_id(), desk.project_id, now, now if is_proven else None)
    (ann,) = (await desk.page(domain="gmail.example")).senders
    assert (ann.address, ann.domain, ann.stream, ann.may_send) == ("ann@gmail.example", "gmail.example", None, may_send)
