"""A stopped domain: its mail waits in its lanes with the reason, others' goes, and all goes on when the stop ends."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from outrider.base.errors import ForbiddenError
from outrider.base.vocab import RecordState, Stream, WaitKind
from outrider.engine.explain import Explainer
from outrider.engine.stops import StopBook
from outrider.policy.standing import Standing
from outrider.store import domains, projects
from outrider.store.domains import Domain
from outrider.store.lanes import Lane
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import DOMAIN, PROJECT, WAIT_S, AnyDomain, EngineRoom, Journal, OneWay, running
from outrider.testing.peer import Peer

pytestmark = pytest.mark.newest
DOMAIN_ID = UUID(int=77)
LANES = "SELECT pause_kind, pause_reason FROM lane WHERE paused_until IS NOT NULL"


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
async def domain(store: Store, clock: RealClock) -> Domain:
    """Give the room's project its domain, verified."""
    now = clock.now()
    made = Domain(DOMAIN_ID, PROJECT, DOMAIN, now, now)
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=now)
        await domains.insert(tx, made)
    return made


@pytest.fixture
async def watched(room: EngineRoom) -> AsyncIterator[EngineRoom]:
    """The room; deliverers in it go by the stops in the database."""
    room.stops = StopBook(room.store, clock=room.clock, logger=room.journal.logger)
    async with running(room.stops):
        yield room


async def put(room: EngineRoom, *, is_stopped: bool) -> None:
    """Write that the domain is stopped, or is not."""
    now = room.clock.now()
    state = RecordState.FAILED if is_stopped else RecordState.PASSED
    since = now if is_stopped else None
    standing = Standing(state=state, checked_at=now, failing_since=since, stopped_at=since, is_proven=True)
    async with room.store.transaction() as tx:
        await domains.stand(tx, PROJECT, DOMAIN_ID, standing, check_due_at=now)


async def until_paused(room: EngineRoom) -> tuple[str, str]:
    async with asyncio.timeout(WAIT_S):
        while True:
            async with room.store.transaction() as tx:
                found = await tx.fetch(LANES)
            if found:
                return found[0]["pause_kind"], found[0]["pause_reason"]
            await room.clock.sleep(0.01)


def lane(project_id: UUID = PROJECT, name: str = DOMAIN) -> Lane:
    return Lane(1, "default", "a.example", Stream.TRANSACTIONAL, project_id, name, None)


async def test_mail_of_a_stopped_domain_waits_explained_and_goes_on_within_seconds(
    watched: EngineRoom, domain: Domain, peer: Peer
) -> None:
    room = watched
    await put(room, is_stopped=True)
    assert room.stops is not None
    await room.stops.load()
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@b.example")
        kind, reason = await until_paused(room)
        assert (kind, f"{domain.name} is stopped" in reason) == (WaitKind.DOMAIN, True)
        explainer = Explainer(room.store, clock=room.clock)
        ((line,),) = [told.lines for told in await explainer.why("ann@b.example", project_id=PROJECT)]
        assert line.sentence.startswith(f"1 wait: {DOMAIN} is stopped: its DNS records fail since ")
        assert f"outrider domain show {DOMAIN}" in line.sentence
        assert len(peer.received) == 0
        await put(room, is_stopped=False)
        begun_s = room.clock.monotonic_s()
        await room.until_settled(session)
        assert room.clock.monotonic_s() - begun_s < 5.0
    assert [mail.recipients for mail in peer.received] == [("ann@b.example",)]


async def test_a_stop_that_comes_while_mail_goes_out_holds_within_seconds(
    watched: EngineRoom, domain: Domain, peer: Peer
) -> None:
    room = watched
    async with running(room.deliverer(OneWay(peer.site()))):
        await room.until_settled(await room.send("ann@b.example"))
        await put(room, is_stopped=True)
        asked_s = room.clock.monotonic_s()
        paused = asyncio.create_task(until_paused(room))
        while not paused.done():
            await room.send("ann@b.example")
            await room.clock.sleep(0.05)
        assert (await paused)[0] == WaitKind.DOMAIN
        assert room.clock.monotonic_s() - asked_s < 3.0


async def test_a_stop_is_of_one_domain_of_one_project(
    store: Store, clock: RealClock, room: EngineRoom, domain: Domain
) -> None:
    book = StopBook(store, clock=clock, logger=room.journal.logger)
    assert book.reason_of(lane()) == ""
    await put(room, is_stopped=True)
    await book.load()
    assert book.reason_of(lane()).startswith(f"{domain.name} is stopped")
    assert book.reason_of(lane(UUID(int=5))) == ""
    assert book.reason_of(lane(name="other.example")) == ""


async def test_while_the_database_is_away_the_last_known_stops_stand(
    database_url: str, clock: RealClock, room: EngineRoom, domain: Domain
) -> None:
    journal = Journal()
    await put(room, is_stopped=True)
    away = Store(database_url, StoreSettings(pool_size=1))
    await away.open()
    book = StopBook(away, clock=clock, logger=journal.logger)
    await book.load()
    await away.close()
    async with running(book), asyncio.timeout(WAIT_S):
        while not journal.count("stops_not_read"):
            await clock.sleep(0.01)
        assert book.reason_of(lane()).startswith(f"{domain.name} is stopped")
        await away.open()
        await put(room, is_stopped=False)
        while book.reason_of(lane()):
            await clock.sleep(0.01)
    await away.close()
    assert journal.count("stops_not_read") == 1, "once an outage"


async def test_new_mail_of_a_stopped_domain_is_refused_and_nothing_kept(room: EngineRoom) -> None:
    error = ForbiddenError("stopped", field="sender")
    assert isinstance(room.domains, AnyDomain)
    room.domains.errors[DOMAIN, Stream.TRANSACTIONAL] = error
    with pytest.raises(ForbiddenError) as caught:
        await room.send("ann@b.example")
    assert caught.value is error
    await room.send("ann@b.example", stream=Stream.MARKETING)
    async with room.store.transaction() as tx:
        row = await tx.fetch_row("SELECT count(*) AS n FROM message")
    assert row is not None
    assert row["n"] == 1
