"""A reader unsubscribes by its link: what follows, that it follows once, and what no link can do."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import NotFoundError
from outrider.base.vocab import (
    EventKind,
    LeavingReason,
    Stream,
    SubscriptionState,
    SuppressionOrigin,
    SuppressionScope,
)
from outrider.engine.upkeep import ensure_partitions
from outrider.mail.verp import Purpose, ReturnPath, Signer
from outrider.services.leaving import Exits, Word
from outrider.services.retention import RetentionKeeper
from outrider.services.return_paths import LIFE, ReturnPaths
from outrider.services.topics import Topics
from outrider.store import domains, events, projects, suppressions, tracking
from outrider.store.domains import Domain
from outrider.store.events import Event
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.suppressions import Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import DOMAIN, PROJECT, SENDER, EngineRoom, Journal, submission

pytestmark = pytest.mark.newest

ROOT = f"https://{DOMAIN}"
ANN = "Ann@a.example"
DAY_S = 86_400.0
LEAVING = (EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED)
YES, NO = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED


class Desk:
    """Links of mails that were accepted, and who follows them."""

    def __init__(self, room: EngineRoom, clock: FakeClock) -> None:
        self.room, self.clock = room, clock
        self.sessions: list[UUID] = []
        self.began_at = clock.now()
        self.signer = Signer(b"k" * 32)
        self.exits = Exits(room.store, self.signer, clock=clock)
        self.paths = ReturnPaths(room.store, self.signer, shared_domain="", clock=clock, links_root=ROOT)

    async def token(self, **changes: object) -> str:
        """Send Ann a mail and return the token of her link in it."""
        session = await self.room.send(ANN, **{"stream": Stream.MARKETING, **changes})
        self.sessions.append(session)
        (recipient,) = (await self.room.recipients(session)).values()
        link = self.paths.link(recipient.recipient_id)
        assert link.startswith(f"{ROOT}/unsubscribe?token=")
        return link.partition("=")[2]

    async def forget(self, *, days: int, status: str = "delivered") -> None:
        """Let all mail that was sent end so, and be forgotten as soon as it is kept for so many days."""
        async with self.room.store.transaction() as tx:
            await tx.execute("UPDATE recipient SET status = $2 WHERE project_id = $1", PROJECT, status)
        self.clock.advance(days * DAY_S + 1)
        await self.keep(days=days)

    async def keep(self, *, days: int) -> None:
        await ensure_partitions(self.room.store, self.clock)
        await RetentionKeeper(self.room.store, days=days, clock=self.clock, logger=Journal().logger).keep()

    async def kept(self) -> Sequence[object]:
        async with self.room.store.transaction() as tx:
            return await tx.fetch("SELECT FROM recipient_past WHERE project_id = $1", PROJECT)

    async def suppressed(self) -> list[Suppression]:
        async with self.room.store.transaction() as tx:
            return await suppressions.of_address(tx, PROJECT, "ann@a.example")

    async def unsubscribed(self) -> list[Event]:
        return await self.told(EventKind.UNSUBSCRIBED)

    async def told(self, *kinds: EventKind) -> list[Event]:
        """Return such events of what was sent, also of mail that is no more."""
        found: list[Event] = []
        async with self.room.store.transaction() as tx:
            for session in self.sessions:
                found += await events.of_message(tx, PROJECT, session, accepted_at=self.began_at)
        return [one for one in found if one.kind in kinds]


@pytest.fixture
async def desk(room: EngineRoom, clock: FakeClock) -> Desk:
    async with room.store.transaction() as tx:  # Who leaves takes turns at its row.
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    return Desk(room, clock)


async def test_a_look_changes_nothing(desk: Desk) -> None:
    found = await desk.exits.look(await desk.token())
    assert (found.address, found.sender, found.list_name, found.has_left) == (ANN, SENDER, "", False)
    assert await desk.suppressed() == []


async def test_who_leaves_gets_no_marketing_mail_and_still_gets_receipts(desk: Desk) -> None:
    token = await desk.token()
    left = await desk.exits.leave(token, client="192.0.2.7")
    assert left.has_left
    (made,) = await desk.suppressed()
    assert (made.scope, made.subject, made.reason) == (SuppressionScope.STREAM, "marketing", "unsubscribe")
    assert (made.origin, made.expires_at) == (SuppressionOrigin.REQUEST, None)
    (event,) = await desk.unsubscribed()
    assert event.facts == {"client": "192.0.2.7", "suppressed": "stream"}
    refused = await desk.room.accept(PROJECT, submission(ANN, stream=Stream.MARKETING))
    assert [one.reason for one in refused.rejected] == ["recipient suppressed"]
    assert (await desk.room.accept(PROJECT, submission(ANN))).recipient_count == 1


async def test_of_a_list_only_the_list_is_left(desk: Desk) -> None:
    assert (await desk.exits.leave(await desk.token(list_name="Weekly"))).list_name == "Weekly"
    (made,) = await desk.suppressed()
    assert (made.scope, made.subject) == (SuppressionScope.LIST, "Weekly")
    other = await desk.room.accept(PROJECT, submission(ANN, stream=Stream.MARKETING, list_name="Daily"))
    assert other.recipient_count == 1
    assert not (await desk.exits.look(await desk.token(list_name="Daily"))).has_left


async def test_the_link_of_a_receipt_stops_the_same(desk: Desk) -> None:
    await desk.exits.leave(await desk.token(stream=Stream.TRANSACTIONAL))
    (made,) = await desk.suppressed()
    assert (made.scope, made.subject) == (SuppressionScope.STREAM, "marketing")


async def test_twice_is_once_also_at_the_same_moment(desk: Desk) -> None:
    token = await desk.token()
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(desk.exits.leave(token))
    await desk.exits.leave(token)
    assert (await desk.exits.look(token)).has_left
    assert len(await desk.unsubscribed()) == 1


async def test_a_reader_leaves_everything_from_a_mail_of_a_list_and_comes_back(desk: Desk) -> None:
    token = await desk.token(list_name="Weekly")
    left = await desk.exits.leave_all(token, word=Word(why=LeavingReason.OTHER, said="Too loud."))
    assert (left.state, left.marketing) == (NO, NO)
    (entry,) = await desk.suppressed()
    assert entry.evidence == "by the link in the mail: another reason; Too loud."
    (event,) = await desk.unsubscribed()
    assert event.facts == {"suppressed": "stream", "why": "other", "said": "Too loud."}
    back = await desk.exits.come_back(token, client="192.0.2.7")
    assert (back.state, back.marketing) == (YES, YES)
    assert await desk.suppressed() == []
    again = [one for one in await desk.room.events(desk.sessions[0]) if one.kind is EventKind.RESUBSCRIBED]
    assert [(one.facts, one.reason) for one in again] == [({"client": "192.0.2.7", "suppressed": "stream"}, "")]
    assert (await desk.room.accept(PROJECT, submission(ANN, stream=Stream.MARKETING))).recipient_count == 1


async def test_a_reader_chooses_topics_and_only_those_that_are_there(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token(list_name="Daily")
    topics = Topics(desk.room.store, clock=clock)
    await topics.add(PROJECT, "Weekly", title="The weekly letter")
    await topics.add(PROJECT, "Daily", title="The daily letter")
    assert (await desk.exits.look(token)).title == "The daily letter"
    chosen = await desk.exits.choose(token, {"Weekly": True, "Daily": False, "Private": False, "a\x00": True})
    assert {one.name: one.state for one in chosen.topics} == {"Weekly": YES, "Daily": NO}
    assert (chosen.state, chosen.has_left, chosen.has_choice) == (NO, True, True)
    assert [(one.scope, one.subject) for one in await desk.suppressed()] == [(SuppressionScope.LIST, "Daily")]
    assert (await desk.unsubscribed())[0].facts == {"suppressed": "list", "list": "Daily"}


async def test_leaving_and_coming_back_at_once_end_in_one_of_both(desk: Desk) -> None:
    token = await desk.token()
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(desk.exits.leave(token))
            group.create_task(desk.exits.come_back(token))
    log = [one.kind for one in await desk.room.events(desk.sessions[0])]
    counts = [log.count(kind) for kind in (EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED)]
    assert counts[0] - counts[1] == len(await desk.suppressed())
    assert (await desk.exits.look(token)).has_left is bool(await desk.suppressed())


async def test_who_complained_is_told_and_cannot_come_back(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token()
    complaint = Suppression(
        project_id=PROJECT,
        address_key="ann@a.example",
        scope=SuppressionScope.STREAM,
        subject="marketing",
        reason="complaint",
        origin=SuppressionOrigin.REQUEST,
        created_at=clock.now(),
    )
    async with desk.room.store.transaction() as tx:
        await suppressions.put(tx, [complaint])
    for work in (desk.exits.look, desk.exits.come_back, desk.exits.leave, desk.exits.leave_all):
        assert (await work(token)).state is SubscriptionState.BLOCKED
    assert await desk.suppressed() == [complaint]
    assert await desk.unsubscribed() == []


async def test_what_ends_by_itself_does_not_stand_in_for_leaving(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token()
    full = Suppression(
        project_id=PROJECT,
        address_key="ann@a.example",
        scope=SuppressionScope.ALL,
        reason="recipient.full",
        origin=SuppressionOrigin.REPLY,
        created_at=clock.now(),
        expires_at=clock.now() + timedelta(days=90),
    )
    async with desk.room.store.transaction() as tx:
        await suppressions.put(tx, [full])
    await desk.exits.leave(token)
    assert {one.reason for one in await desk.suppressed()} == {"recipient.full", "unsubscribe"}


@pytest.mark.parametrize("list_name", ["", "Weekly"])
async def test_a_link_outlives_its_mail(desk: Desk, clock: FakeClock, list_name: str) -> None:
    token = await desk.token(list_name=list_name)
    await desk.forget(days=1)
    assert (await desk.room.recipients(desk.sessions[0])) == {}
    found = await desk.exits.look(token)
    assert (found.address, found.sender, found.list_name, found.has_left) == (ANN, SENDER, list_name, False)
    for _ in range(2):
        assert (await desk.exits.leave(token, client="192.0.2.7")).has_left
    (made,) = await desk.suppressed()
    assert (made.scope, made.subject) == (
        (SuppressionScope.LIST, list_name) if list_name else (SuppressionScope.STREAM, "marketing")
    )
    (event,) = await desk.unsubscribed()
    assert (event.recipient_id, event.facts["address"], event.facts["client"]) == (None, "ann@a.example", "192.0.2.7")
    assert not (await desk.exits.come_back(token)).has_left


async def test_what_a_link_needs_is_kept_as_long_as_it_is_good(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token()
    await desk.forget(days=59)
    clock.advance(DAY_S)  # The last day of the link.
    await desk.keep(days=59)
    assert not (await desk.exits.look(token)).has_left
    clock.advance(DAY_S)
    await desk.keep(days=59)
    assert await desk.kept() == []


@pytest.mark.parametrize(
    ("changes", "status", "days"),
    [
        ({"stream": Stream.TRANSACTIONAL}, "delivered", 1),
        ({}, "bounced", 1),  # Nobody has the link.
        ({}, "delivered", 61),
    ],
)
async def test_nothing_is_kept_of_mail_whose_link_nobody_needs(
    desk: Desk, changes: dict[str, object], status: str, days: int
) -> None:
    token = await desk.token(**changes)
    await desk.forget(days=days, status=status)
    assert await desk.kept() == []
    if days < LIFE.days:
        with pytest.raises(NotFoundError):
            await desk.exits.leave(token)


@pytest.mark.parametrize("is_forgotten", [False, True])
async def test_where_readers_are_private_nobody_stores_where_they_were(desk: Desk, is_forgotten: bool) -> None:
    token = await desk.token()
    async with desk.room.store.transaction() as tx:
        await tracking.set_of_project(tx, PROJECT, '{"is_private": true}')
    if is_forgotten:
        await desk.forget(days=1)
    await desk.exits.leave(token, client="192.0.2.7")
    await desk.exits.come_back(token, client="192.0.2.7")
    told = await desk.told(*LEAVING)
    assert [(one.kind, one.facts.get("client")) for one in told] == [(kind, None) for kind in LEAVING]


async def test_a_domain_is_private_by_itself(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token()
    async with desk.room.store.transaction() as tx:
        await tracking.set_of_project(tx, PROJECT, '{"is_private": false}')
        await domains.insert(tx, Domain(UUID(int=7), PROJECT, DOMAIN, clock.now(), clock.now()))
        assert await tracking.set_of_domain(tx, PROJECT, DOMAIN, '{"is_private": true}')
    await desk.exits.leave(token, client="192.0.2.7")
    (event,) = await desk.unsubscribed()
    assert "client" not in event.facts


@pytest.mark.parametrize("at", [0, 20, 47])
async def test_a_forged_link_is_refused(desk: Desk, at: int) -> None:
    token = await desk.token()
    forged = token[:at] + ("1" if token[at] != "1" else "2") + token[at + 1 :]
    for work in (desk.exits.look, desk.exits.leave, desk.exits.leave_all, desk.exits.come_back):
        with pytest.raises(NotFoundError, match="does not work"):
            await work(forged)
    assert await desk.suppressed() == []


async def test_a_token_of_a_return_path_is_no_link_and_the_other_way_round(desk: Desk, clock: FakeClock) -> None:
    path = ReturnPath(UUID(int=7), Purpose.UNSUBSCRIBE, clock.now().date())
    token = desk.signer.mint(path, DOMAIN).partition("-")[2].partition("@")[0]
    with pytest.raises(NotFoundError):
        await desk.exits.look(token)


async def test_a_link_ends_with_its_time_and_with_the_record(desk: Desk, clock: FakeClock) -> None:
    token = await desk.token()
    clock.advance(LIFE.total_seconds() + 86_400)
    with pytest.raises(NotFoundError, match="does not work"):
        await desk.exits.leave(token)
    stranger = desk.signer.mint_link(UUID(int=99), clock.now().date())
    with pytest.raises(NotFoundError, match="does not work"):
        await desk.exits.leave(stranger)


def test_without_pages_there_is_no_link(clock: FakeClock) -> None:
    paths = ReturnPaths(Store.__new__(Store), Signer(b"k" * 32), shared_domain="", clock=clock)
    assert paths.link(UUID(int=1)) == ""
