"""Senders: who may be in From, by whose word, and what becomes of a From that nothing of the project's signs for."""

import random
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import SenderRule, Stream, UnalignedFrom
from outrider.engine.books import AllowedSender
from outrider.mail import address
from outrider.services import senders as module
from outrider.services.senders import Senders
from outrider.store import domains, projects
from outrider.store import senders as rows
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from tests.store.racing import held_up

pytestmark = pytest.mark.newest

NEWS = "news@shop.example"
MAILBOX = "ann@gmail.test"


class Office:
    """The senders of two projects, with domains to put them on."""

    def __init__(self, store: Store, clock: FakeClock, mailroom: Mailroom, shop: UUID, other: UUID) -> None:
        self.store, self.clock, self.mailroom = store, clock, mailroom
        self.shop, self.other = shop, other
        self.senders = Senders(
            store,
            clock=clock,
            random_bits=random.SystemRandom().getrandbits,
            shared_bounce_domain="bounces.platform.example",
        )

    async def domain(
        self, name: str = "shop.example", project_id: UUID | None = None, *, verified: bool = True
    ) -> UUID:
        now = self.clock.now()
        made = Domain(self.mailroom.new_id(), project_id or self.shop, name, now, now if verified else None)
        async with self.store.transaction() as tx:
            await domains.insert(tx, made)
        return made.domain_id

    async def mailbox(self, text: str = MAILBOX, *, is_proven: bool = True) -> None:
        """Add a single mailbox, as `services.proofs` does."""
        now, sender_id = self.clock.now(), self.mailroom.new_id()
        parsed = address.parse(text)
        async with self.store.transaction() as tx:
            await rows.insert(
                tx,
                sender_id=sender_id,
                project_id=self.shop,
                domain_id=None,
                address=parsed.text,
                address_key=parsed.key,
                name="Ann",
                now=now,
            )
            if is_proven:
                await rows.offer(tx, self.shop, sender_id, b"h" * 32, until=now.replace(year=now.year + 1))
                await rows.prove(tx, b"h" * 32, now=now)

    async def find(
        self, text: str, project_id: UUID | None = None, stream: Stream = Stream.TRANSACTIONAL
    ) -> AllowedSender | None:
        """Ask as accept does, when what was changed is known everywhere."""
        self.clock.advance(0.999)
        return await self.senders.find(project_id or self.shop, address.parse(text), stream)

    async def may(self, text: str, project_id: UUID | None = None) -> bool:
        return await self.find(text, project_id) is not None

    async def allow(self, rule: SenderRule) -> None:
        """Say which addresses of shop.example may send."""
        async with self.store.transaction() as tx:
            assert await rows.set_rule(tx, self.shop, "shop.example", rule)

    async def rewrite(self, project_id: UUID) -> None:
        async with self.store.transaction() as tx:
            await projects.set_alignment(tx, project_id, UnalignedFrom.REWRITE)

    async def sql(self, statement: str) -> None:
        async with self.store.transaction() as tx:
            await tx.execute(statement)


@pytest.fixture
async def office(store: Store, clock: FakeClock, mailroom: Mailroom) -> Office:
    return Office(store, clock, mailroom, await mailroom.project("shop"), await mailroom.project("other"))


# Listed ones.


async def test_a_sender_may_send_while_its_domain_is_verified_and_it_is_enabled(office: Office) -> None:
    domain_id = await office.domain(verified=False)
    await office.senders.add(office.shop, "News@shop.example", "Shop News")
    assert not await office.may(NEWS)
    async with office.store.transaction() as tx:
        await domains.verify(tx, office.shop, domain_id, now=office.clock.now())
    found = await office.find(NEWS)
    assert found is not None
    assert (found.address.text, found.name, found.rewritten) == ("News@shop.example", "Shop News", None)
    assert not await office.may(NEWS, office.other)
    assert not await office.may("sales@shop.example")
    await office.senders.change(office.shop, NEWS, {"is_enabled": False})
    assert not await office.may(NEWS)
    await office.senders.change(office.shop, "NEWS@SHOP.EXAMPLE", {"is_enabled": True})
    assert await office.may(NEWS)
    await office.senders.remove(office.shop, NEWS)
    assert not await office.may(NEWS)


async def test_nobody_is_refused_for_what_was_so_a_moment_ago(office: Office) -> None:
    async def may(text: str) -> bool:
        return await office.senders.find(office.shop, address.parse(text), Stream.TRANSACTIONAL) is not None

    assert not await may(NEWS)
    domain_id = await office.domain(verified=False)
    await office.senders.add(office.shop, NEWS, "Shop")
    assert not await may(NEWS)
    async with office.store.transaction() as tx:
        await domains.verify(tx, office.shop, domain_id, now=office.clock.now())
    assert await may(NEWS)
    assert not await may("sales@shop.example")
    await office.senders.add(office.shop, "sales@shop.example", "Sales")
    assert await may("sales@shop.example")
    await office.mailbox()
    with pytest.raises(CallerError, match="is refused"):
        await may(MAILBOX)
    await office.rewrite(office.shop)
    assert await may(MAILBOX)


async def test_an_international_address_is_kept_as_its_alabel(office: Office) -> None:
    await office.domain("xn--bcher-kva.example")
    sender = await office.senders.add(office.shop, "post@bücher.example", "Bücher")
    assert (sender.address, sender.domain) == ("post@xn--bcher-kva.example", "xn--bcher-kva.example")
    found = await office.find("Post@BÜCHER.example")
    assert found is not None
    assert found.name == "Bücher"


async def test_adding_a_sender_twice_is_harmless(office: Office) -> None:
    await office.domain()
    first = await office.senders.add(office.shop, NEWS, "Shop")
    office.clock.advance(1)
    assert await office.senders.add(office.shop, "NEWS@shop.example", "Other name") == first
    second = await office.senders.add(office.shop, "sales@shop.example", "")
    assert [one.sender for one in await office.senders.list(office.shop)] == [first, second]
    assert (first.is_default, second.is_default) == (True, False)


async def test_senders_two_add_at_the_same_moment_are_there_once_and_one_is_the_default(office: Office) -> None:
    await office.domain()
    texts = [NEWS, "News@shop.example", "sales@shop.example"]
    results = await held_up(office.store, "sender", [office.senders.add(office.shop, text, "Shop") for text in texts])
    listed = [one.sender for one in await office.senders.list(office.shop)]
    assert [sender.is_default for sender in listed].count(True) == 1
    assert len(listed) == 2
    assert all(result in listed for result in results)


@pytest.mark.parametrize(
    ("text", "name", "field"),
    [
        ("no at sign", "Shop", "address"),
        ("a@@shop.example", "Shop", "address"),
        ("a\r\nb@shop.example", "Shop", "address"),
        (NEWS, "line\r\nBcc: x@evil.example", "name"),
        (NEWS, "nul\x00", "name"),
        (NEWS, "half\ud800", "name"),
        (NEWS, "\u202egnp", "name"),
        (NEWS, "Bank <support@bank.example>", "name"),
        (NEWS, "x" * 201, "name"),
    ],
)
async def test_a_sender_no_header_could_carry_is_refused(office: Office, text: str, name: str, field: str) -> None:
    await office.domain()
    with pytest.raises(CallerError) as caught:
        await office.senders.add(office.shop, text, name)
    assert caught.value.field == field
    if field == "name":
        await office.senders.add(office.shop, NEWS, "Shop")
        with pytest.raises(CallerError) as caught:
            await office.senders.change(office.shop, NEWS, {"name": name})
        assert caught.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        "news@shop.example.evil.example",
        "news@evil-shop.example",
        "news@sub.shop.example",
        "news@example",
        "news@shоp.example",  # A Cyrillic o.
        "news@ѕhop.example",
    ],
)
@pytest.mark.parametrize("rule", list(SenderRule))
async def test_a_domain_that_only_looks_alike_is_not_the_projects(office: Office, text: str, rule: SenderRule) -> None:
    await office.domain()
    await office.allow(rule)
    with pytest.raises(CallerError):
        await office.senders.add(office.shop, text, "")
    if text != "news@example":
        assert not await office.may(text)


async def test_the_senders_of_another_project_are_not_there(office: Office) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    senders, other = office.senders, office.other
    for work in (
        senders.add(other, NEWS, ""),
        senders.change(other, NEWS, {"name": "x"}),
        senders.change(other, NEWS, {"is_enabled": False}),
        senders.change(other, NEWS, {"is_default": True}),
        senders.remove(other, NEWS),
        senders.rule(other, "shop.example"),
    ):
        with pytest.raises(NotFoundError):
            await work
    assert await senders.list(other) == []
    assert await office.may(NEWS)
    assert (await senders.rule(office.shop, "shop.example")).rule is SenderRule.LISTED


async def test_the_default_can_be_moved_and_only_the_last_default_forgotten(office: Office) -> None:
    await office.domain()
    for text in (NEWS, "b@shop.example"):
        await office.senders.add(office.shop, text, "")
        office.clock.advance(1)
    with pytest.raises(ConflictError) as caught:
        await office.senders.remove(office.shop, NEWS)
    assert caught.value.field == "address"
    for _ in range(2):  # Safe twice.
        assert (await office.senders.change(office.shop, "b@shop.example", {"is_default": True})).is_default
    listed = [one.sender for one in await office.senders.list(office.shop)]
    assert [(one.address, one.is_default) for one in listed] == [(NEWS, False), ("b@shop.example", True)]
    await office.senders.remove(office.shop, NEWS)
    await office.senders.remove(office.shop, "b@shop.example")
    assert await office.senders.list(office.shop) == []


async def test_a_sender_is_renamed_for_mail_to_come(office: Office) -> None:
    await office.domain()
    added = await office.senders.add(office.shop, NEWS, "Old")
    office.clock.advance(5)
    renamed = await office.senders.change(office.shop, NEWS, {"name": "Neu & Alt"})
    assert (renamed.name, renamed.created_at) == ("Neu & Alt", added.created_at)
    assert renamed.updated_at > added.updated_at
    found = await office.find(NEWS)
    assert found is not None
    assert found.name == "Neu & Alt"


async def test_a_change_that_is_wrong_in_part_changes_nothing(office: Office) -> None:
    await office.domain()
    await office.mailbox()
    await office.senders.add(office.shop, NEWS, "News")
    for text, wrong, field in (
        (NEWS, {"is_default": False}, "is_default"),
        (NEWS, {"name": "x" * 1000}, "name"),
        (MAILBOX, {"is_default": True}, "address"),
    ):
        before = await office.senders.show(office.shop, text)
        with pytest.raises(CallerError) as caught:
            await office.senders.change(office.shop, text, {"name": "Else", "is_enabled": False} | wrong)
        assert caught.value.field == field
        assert await office.senders.show(office.shop, text) == before


# Any address.


WEIRD = [
    '"a b"@shop.example',
    '"<script>"@shop.example',
    '"x@gmail.test"@shop.example',
    "-x@shop.example",
    "a%b!c@shop.example",
    "päpstin@shop.example",
    "'; DROP TABLE sender; --@shop.example",
    "x" * 64 + "@shop.example",
    "MAILER-DAEMON@SHOP.EXAMPLE",
]


async def test_any_address_of_a_domain_may_send_where_that_is_allowed(office: Office) -> None:
    await office.domain()
    await office.domain("second.example")
    assert not await office.may("order-17@shop.example")
    await office.allow(SenderRule.ANY)
    found = await office.find("order-17@shop.example")
    assert found == AllowedSender(address.parse("order-17@shop.example"), "")
    assert not await office.may("order-17@second.example"), "another domain's rule"
    assert not await office.may("order-17@shop.example", office.other)
    await office.allow(SenderRule.LISTED)
    assert not await office.may("order-17@shop.example")


@pytest.mark.parametrize("text", [text for text in WEIRD if " DROP" not in text])
async def test_what_is_odd_before_the_at_is_kept_as_it_is(office: Office, text: str) -> None:
    await office.domain()
    await office.allow(SenderRule.ANY)
    found = await office.find(text)
    assert found is not None
    assert (found.address, found.address.domain) == (address.parse(text), "shop.example")


async def test_a_listed_sender_keeps_its_name_and_a_disabled_one_is_the_exception(office: Office) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    await office.allow(SenderRule.ANY)
    found = await office.find("NEWS@shop.example")
    assert found is not None
    assert (found.address.text, found.name) == (NEWS, "Shop")
    await office.senders.change(office.shop, NEWS, {"is_enabled": False})
    assert not await office.may(NEWS)
    assert await office.may("other@shop.example")


@pytest.mark.parametrize("rule", list(SenderRule))
async def test_a_domain_with_many_senders_answers_alike(
    office: Office, rule: SenderRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_COUNT_MAX", 2)
    await office.domain()
    await office.allow(rule)
    for number in range(4):
        await office.senders.add(office.shop, f"s{number}@shop.example", f"S{number}")
    await office.senders.change(office.shop, "s3@shop.example", {"is_enabled": False})
    found = await office.find("S1@shop.example")
    assert found is not None
    assert found.name == "S1"
    assert not await office.may("s3@shop.example")
    assert await office.may("s9@shop.example") is (rule is SenderRule.ANY)


async def test_a_new_address_each_time_costs_no_query_of_its_own(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.domain()
    await office.allow(SenderRule.ANY)
    assert await office.may("first@shop.example")
    opened = 0
    transaction = office.store.transaction

    def counted() -> object:
        nonlocal opened
        opened += 1
        return transaction()

    monkeypatch.setattr(office.store, "transaction", counted)
    for number in range(100):
        parsed = address.parse(f"order-{number}@shop.example")
        assert await office.senders.find(office.shop, parsed, Stream.TRANSACTIONAL) is not None
    assert opened == 0


async def test_nobody_sends_from_an_unverified_domain_whatever_it_allows(office: Office) -> None:
    await office.domain(verified=False)
    await office.allow(SenderRule.ANY)
    assert not await office.may("any@shop.example")


# Mailboxes on domains that are not the project's.


async def test_a_proven_mailbox_is_refused_with_the_reason_and_the_way_out(office: Office) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    await office.mailbox()
    with pytest.raises(CallerError) as caught:
        await office.find(MAILBOX)
    assert caught.value.field == "sender"
    for word in (MAILBOX, "aligned with gmail.test", "DMARC", "outrider sender alignment rewrite"):
        assert word in caught.value.public


async def test_a_proven_mailbox_sends_with_the_default_in_from_where_that_is_wanted(office: Office) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    await office.senders.add(office.shop, "sales@shop.example", "Sales")
    await office.mailbox()
    await office.rewrite(office.shop)
    assert await office.senders.alignment(office.shop) is UnalignedFrom.REWRITE
    assert await office.senders.alignment(office.other) is UnalignedFrom.REFUSE

    async def stands_in() -> str:
        found = await office.find("ANN@gmail.test")
        assert found is not None
        assert found.rewritten is not None
        assert (found.name, found.rewritten.address.text, found.rewritten.via) == ("Ann", MAILBOX, "shop")
        assert "DMARC" in found.rewritten.reason
        return found.address.text

    assert await stands_in() == NEWS
    await office.senders.change(office.shop, "sales@shop.example", {"is_default": True})
    assert await stands_in() == "sales@shop.example"
    await office.senders.change(office.shop, "sales@shop.example", {"is_enabled": False})
    assert await stands_in() == NEWS, "the oldest that may send"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE domain SET verified_at = NULL",
        "UPDATE domain SET stopped_at = now()",
        "UPDATE domain SET stream = 'marketing'",
        "UPDATE sender SET is_enabled = false WHERE domain_id IS NOT NULL",
        "DELETE FROM sender WHERE domain_id IS NOT NULL",
    ],
)
async def test_without_anybody_to_stand_in_it_is_refused(office: Office, change: str) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    await office.mailbox()
    await office.rewrite(office.shop)
    await office.sql(change)
    with pytest.raises(CallerError) as caught:
        await office.find(MAILBOX)
    assert "no sender on a domain of its own" in caught.value.public


async def test_a_mailbox_that_is_not_proven_or_disabled_or_anothers_is_unknown(office: Office) -> None:
    await office.domain()
    await office.senders.add(office.shop, NEWS, "Shop")
    await office.rewrite(office.shop)
    await office.rewrite(office.other)
    await office.mailbox(is_proven=False)
    assert not await office.may(MAILBOX)
    await office.mailbox("ben@gmail.test")
    assert not await office.may("ben@gmail.test", office.other)
    assert await office.may("ben@gmail.test")
    await office.senders.change(office.shop, "ben@gmail.test", {"is_enabled": False})
    assert not await office.may("ben@gmail.test")


async def test_a_mailbox_is_never_the_default(office: Office) -> None:
    await office.mailbox()
    with pytest.raises(ConflictError):
        await office.senders.change(office.shop, MAILBOX, {"is_default": True})
    await office.domain()
    assert (await office.senders.add(office.shop, NEWS, "")).is_default
    await office.senders.remove(office.shop, NEWS)  # A mailbox is nobody to hand the default to.
    assert [one.sender.address for one in await office.senders.list(office.shop)] == [MAILBOX]


async def test_a_mailbox_whose_domain_becomes_the_projects_is_a_sender_of_it(office: Office) -> None:
    await office.mailbox("ann@shop.example")
    await office.domain()
    added = await office.senders.add(office.shop, "ann@shop.example", "Other")
    assert (added.name, added.domain_id is None) == ("Ann", False)
    found = await office.find("ann@shop.example")
    assert found is not None
    assert found.rewritten is None


async def test_a_mailbox_that_was_mailed_a_link_a_moment_ago_is_not_forgotten(office: Office) -> None:
    await office.mailbox(is_proven=False)
    async with office.store.transaction() as tx:
        found = await rows.by_key(tx, office.shop, MAILBOX)
        assert found is not None
        until = office.clock.now() + timedelta(days=1)
        await rows.offer(tx, office.shop, found.sender_id, b"h" * 32, until=until)
    office.clock.advance(3599)
    with pytest.raises(LimitReachedError) as caught:
        await office.senders.remove(office.shop, MAILBOX)
    assert caught.value.retry_after_s == pytest.approx(1)
    office.clock.advance(1)
    await office.senders.remove(office.shop, MAILBOX)
    assert await office.senders.list(office.shop) == []


# What DMARC can go by.


async def test_the_list_says_what_is_aligned(office: Office) -> None:
    await office.domain()
    await office.domain("mail.second.example")
    for text in (NEWS, "a@mail.second.example"):
        await office.senders.add(office.shop, text, "")
        office.clock.advance(1)
    await office.mailbox()

    async def aligned() -> list[tuple[bool, bool]]:
        return [(one.alignment.dkim, one.alignment.spf) for one in await office.senders.list(office.shop)]

    assert await aligned() == [(True, False), (True, False), (False, False)], "bounces go to the shared domain"
    async with office.store.transaction() as tx:
        await projects.set_bounce_domain(tx, office.shop, "b.second.example")
    assert await aligned() == [(True, False), (True, True), (False, False)]
    await office.sql("UPDATE domain SET return_path = 'b.shop.example' WHERE name = 'shop.example'")
    assert await aligned() == [(True, True), (True, True), (False, False)]
