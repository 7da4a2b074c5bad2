"""A domain is given up as a whole: its mail, senders, keys and hosts go, nobody else's; another may prove it."""

import random
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import EventKind, Stream, SuppressionOrigin, SuppressionScope, WaitKind
from outrider.engine.control import Control, Target
from outrider.services.dkim_keys import KeyRing
from outrider.services.identity import Identity
from outrider.services.release import Released, Releases
from outrider.services.senders import Senders
from outrider.services.settings import IdentitySettings
from outrider.services.suppressions import NewEntry, Suppressions
from outrider.store import domains, events, lanes, notices, recipients, waiting
from outrider.store.events import Cursor
from outrider.store.lanes import GivenBack, Pause
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import SENDER_DOMAIN, Mailroom

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("quick_keys")]

NAME = SENDER_DOMAIN


class HastyClock(FakeClock):
    """Whoever sleeps moves it on at once."""

    async def sleep(self, delay_s: float) -> None:
        """Move."""
        self.advance(delay_s)


class Estate:
    """What two projects have, and who gives it up."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        bits = random.SystemRandom().getrandbits
        self.store, self.clock = store, clock
        self.keys = KeyRing(store, Vault(bytes(32)), IdentitySettings(), clock=clock, random_bits=bits)
        self.identity = Identity(store, self.keys, clock=clock, random_bits=bits)
        self.senders = Senders(store, clock=clock, random_bits=bits, shared_bounce_domain="")
        self.control = Control(store, clock=clock, random_bits=bits)
        self.releases = Releases(store, self.drop, clock=clock, random_bits=bits)
        self.dropped: list[int] = []

    async def drop(self, lane_id: int) -> int:
        """Cancel what waits in a lane, as the program does."""
        self.dropped.append(lane_id)
        return (await self.control.drop(Target.lane(lane_id))).recipient_count

    async def own(self, project_id: UUID, name: str = NAME) -> None:
        """Give a project a proven domain with a sender."""
        await self.identity.add_domain(project_id, name, is_verified=True)
        await self.senders.add(project_id, f"news@{name}", "")

    async def events(self, project_id: UUID) -> list[tuple[EventKind, dict[str, object]]]:
        """Return what the log says of the project's domains."""
        async with self.store.transaction() as tx:
            found = await events.after(tx, Cursor(), count_max=100)
        return [
            (one.kind, dict(one.facts))
            for one in found
            if one.project_id == project_id and one.kind is EventKind.DOMAIN_RELEASED
        ]


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
def estate(store: Store, clock: HastyClock) -> Estate:
    return Estate(store, clock)


@pytest.fixture
async def shop(mailroom: Mailroom, estate: Estate) -> UUID:
    """Give a project that has proven `NAME`."""
    project_id = await mailroom.project("shop")
    await estate.own(project_id)
    return project_id


@pytest.fixture
async def other(mailroom: Mailroom) -> UUID:
    return await mailroom.project("other")


async def test_a_proven_domain_goes_with_its_senders_and_keys_and_another_may_prove_it(
    estate: Estate, shop: UUID, other: UUID
) -> None:
    await estate.own(shop, "kept.example")
    with pytest.raises(ConflictError):
        await estate.identity.add_domain(other, NAME, is_verified=True)
    done = await estate.releases.release(shop, NAME.upper())
    assert done == Released(name=NAME, dropped_count=0, bounce_domain="")
    assert [one.name for one in await estate.identity.list_domains(shop)] == ["kept.example"]
    assert [one.sender.address for one in await estate.senders.list(shop)] == ["news@kept.example"]
    assert await estate.keys.of_domain(shop, NAME) == []
    assert len(await estate.keys.of_domain(shop, "kept.example")) == 2
    await estate.identity.add_domain(other, NAME, is_verified=True)
    assert (await estate.identity.domain(other, NAME)).verified_at is not None
    assert len(await estate.keys.of_domain(other, NAME)) == 2
    assert await estate.events(shop) == [(EventKind.DOMAIN_RELEASED, {"domain": NAME, "dropped_count": 0})]
    async with estate.store.transaction() as tx:
        (told,) = await notices.of_project(tx, shop, with_seen=True, count_max=10)
    assert (told.kind, told.subject) == (EventKind.DOMAIN_RELEASED, f"{NAME} was given up")


async def test_a_domain_whose_mail_waits_is_given_up_with_it_or_not_at_all(
    estate: Estate, mailroom: Mailroom, shop: UUID
) -> None:
    mail = await mailroom.mail(shop, ["ann@a.example", "bob@b.example"])
    with pytest.raises(ConflictError, match="2 mails") as caught:
        await estate.releases.release(shop, NAME)
    assert caught.value.field == "domain"
    kept = await estate.identity.domain(shop, NAME)
    assert (kept.stopped_at, estate.dropped) == (None, [])
    done = await estate.releases.release(shop, NAME, is_dropping=True)
    assert done.dropped_count == 2
    async with estate.store.transaction() as tx:
        found = await recipients.of_message(tx, shop, mail.message.message_id)
    assert {one.status.value for one in found} == {"cancelled"}
    with pytest.raises(NotFoundError):
        await estate.releases.release(shop, NAME, is_dropping=True)


async def test_the_mail_of_another_project_from_the_same_name_stays(
    estate: Estate, mailroom: Mailroom, shop: UUID, other: UUID
) -> None:
    await mailroom.mail(shop, ["ann@a.example"])
    theirs = await mailroom.mail(other, ["ann@a.example"])
    await estate.releases.release(shop, NAME, is_dropping=True)
    async with estate.store.transaction() as tx:
        found = await recipients.of_message(tx, other, theirs.message.message_id)
        count = await waiting.count_of_domain(tx, other, NAME, count_max=10)
    assert ([one.status.value for one in found], count) == (["queued"], 1)


@pytest.mark.parametrize("is_dropping", [True, False])
async def test_nobody_gives_up_what_is_anothers(
    estate: Estate, mailroom: Mailroom, shop: UUID, other: UUID, is_dropping: bool
) -> None:
    """Neither as a stranger, nor as one who claims the same name without having proven it."""
    mail = await mailroom.mail(shop, ["ann@a.example"])
    with pytest.raises(NotFoundError):
        await estate.releases.release(other, NAME, is_dropping=is_dropping)
    await estate.identity.add_domain(other, NAME, is_verified=False)
    await estate.releases.release(other, NAME, is_dropping=is_dropping)
    proven = await estate.identity.domain(shop, NAME)
    assert (proven.verified_at is not None, proven.stopped_at) == (True, None)
    assert len(await estate.keys.of_domain(shop, NAME)) == 2
    assert [one.sender.address for one in await estate.senders.list(shop)] == [f"news@{NAME}"]
    async with estate.store.transaction() as tx:
        found = await recipients.of_message(tx, shop, mail.message.message_id)
    assert [one.status.value for one in found] == ["queued"]
    assert (await estate.events(shop), estate.dropped) == ([], [])


async def test_while_it_is_given_up_new_mail_is_refused_and_what_slipped_in_is_found(
    estate: Estate, mailroom: Mailroom, clock: HastyClock, store: Store, shop: UUID
) -> None:
    refused: list[type[CallerError]] = []

    class Slipping(HastyClock):
        """While the others hear of it, one mail is accepted by somebody who has not."""

        async def sleep(self, delay_s: float) -> None:
            await mailroom.mail(shop, ["late@a.example"])
            try:
                await estate.identity.check(shop, NAME, Stream.MARKETING)
            except CallerError as error:
                refused.append(type(error))

    late = Releases(store, estate.drop, clock=Slipping(clock.now()), random_bits=random.Random(1).getrandbits)
    with pytest.raises(ConflictError):
        await late.release(shop, NAME)
    assert len(refused) == 1, "it was stopped meanwhile"
    assert (await estate.identity.domain(shop, NAME)).stopped_at is None, "and goes on"
    done = await late.release(shop, NAME, is_dropping=True)
    assert done.dropped_count == 2


async def test_lanes_that_began_to_wait_for_a_release_that_failed_are_woken(
    estate: Estate, mailroom: Mailroom, clock: HastyClock, store: Store, shop: UUID
) -> None:
    seen: list[int] = []

    class Slipping(HastyClock):
        async def sleep(self, delay_s: float) -> None:
            mail = await mailroom.mail(shop, ["late@a.example"])
            (lane_id,) = mail.lane_ids.values()
            seen.append(lane_id)
            now, owner = clock.now(), UUID(int=5)
            pause = Pause(now + timedelta(days=1), WaitKind.DOMAIN, "stopped")
            async with store.transaction() as tx:
                await lanes.lease(
                    tx,
                    Stream.TRANSACTIONAL,
                    pools=["default"],
                    owner=owner,
                    now=now,
                    lease_until=now + timedelta(hours=1),
                    count_max=9,
                )
                await lanes.release(tx, owner, [GivenBack(lane_id, pause=pause)], now=now)

    late = Releases(store, estate.drop, clock=Slipping(clock.now()), random_bits=random.Random(1).getrandbits)
    with pytest.raises(ConflictError):
        await late.release(shop, NAME)
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT pause_kind, next_due_at FROM lane WHERE lane_id = $1", seen[0])
    assert row is not None
    assert (row["pause_kind"], row["next_due_at"]) == (None, clock.now())


async def test_a_domain_that_was_stopped_for_its_records_stays_so_when_it_is_not_given_up(
    estate: Estate, mailroom: Mailroom, clock: HastyClock, store: Store, shop: UUID
) -> None:
    domain = await estate.identity.domain(shop, NAME)
    stopped_at = clock.now()
    async with store.transaction() as tx:
        await domains.stop(tx, shop, domain.domain_id, stopped_at, check_due_at=stopped_at)

    class Slipping(HastyClock):
        async def sleep(self, delay_s: float) -> None:
            await mailroom.mail(shop, ["late@a.example"])

    clock.advance(60)
    late = Releases(store, estate.drop, clock=Slipping(clock.now()), random_bits=random.Random(1).getrandbits)
    with pytest.raises(ConflictError):
        await late.release(shop, NAME)
    assert (await estate.identity.domain(shop, NAME)).stopped_at == stopped_at


async def test_the_project_s_bounce_domain_ends_with_the_domain_above_it(
    estate: Estate, shop: UUID, other: UUID
) -> None:
    await estate.identity.set_bounce_domain(shop, f"b.{NAME}")
    assert (await estate.releases.release(shop, NAME)).bounce_domain == f"b.{NAME}"
    assert (await estate.identity.bounce_domain(shop)).name == ""
    await estate.own(other, "one.example")
    await estate.own(other, "b.one.example")
    await estate.identity.set_bounce_domain(other, "b.one.example")
    assert (await estate.releases.release(other, "one.example")).bounce_domain == "", "it has it still"
    assert (await estate.identity.bounce_domain(other)).name == "b.one.example"


async def test_what_readers_asked_for_outlives_the_domain(estate: Estate, store: Store, shop: UUID) -> None:
    book = Suppressions(store, clock=estate.clock)
    entry = NewEntry(address_key="ann@a.example", scope=SuppressionScope.DOMAIN, subject=NAME, reason="unsubscribed")
    await book.add(shop, [entry], origin=SuppressionOrigin.REQUEST)
    await estate.releases.release(shop, NAME)
    found = await book.show(shop, "ann@a.example")
    assert [one.subject for one in found.entries] == [NAME]


async def test_what_is_no_name_is_refused(estate: Estate, shop: UUID) -> None:
    for name in ("", "no domain", "\x00"):
        with pytest.raises(CallerError):
            await estate.releases.release(shop, name)
