"""The book of holds: half a second old at most, right while the database is away, and it wakes what nobody holds."""

from uuid import UUID

import pytest

from outrider.base.vocab import HoldScope
from outrider.engine.control import Control, Target
from outrider.engine.holds import HoldBook
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import Journal, running
from outrider.testing.queueroom import QueueRoom

WAIT_S = 10.0
NOBODY = UUID(int=5)


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def control(store: Store, clock: RealClock) -> Control:
    return Control(store, clock=clock, random_bits=lambda bits: (1 << bits) - int(clock.monotonic_s() * 1e6))


@pytest.fixture
def journal() -> Journal:
    return Journal()


async def test_a_lane_is_found_by_each_of_its_scopes(
    store: Store, clock: RealClock, control: Control, queueroom: QueueRoom, journal: Journal
) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    mail = await queueroom.mail(lane_id)
    book = HoldBook(store, clock=clock, logger=journal.logger)
    assert book.find(lane_id=lane_id, provider="gmail", project_id=queueroom.project_id) is None, "not read yet"
    for target in (Target.lane(lane_id), Target.provider("gmail"), Target.project(queueroom.project_id)):
        await control.pause(target)
        await book.load()
        found = book.find(lane_id=lane_id, provider="gmail", project_id=queueroom.project_id)
        assert found is not None
        assert found.scope is target.scope
        assert book.find(lane_id=lane_id + 1, provider="", project_id=NOBODY) is None
        await control.resume(target)
        await book.load()
        assert book.find(lane_id=lane_id, provider="gmail", project_id=queueroom.project_id) is None
    await control.pause(Target.session(queueroom.project_id, mail.message_id))
    await book.load()
    assert book.find(lane_id=lane_id, provider="gmail", project_id=queueroom.project_id) is None
    assert (found := book.find_session(mail.message_id)) is not None
    assert found.scope is HoldScope.SESSION
    assert book.find_session(NOBODY) is None


@pytest.mark.slow
async def test_a_hold_is_known_everywhere_within_a_second(
    store: Store, clock: RealClock, control: Control, queueroom: QueueRoom, journal: Journal
) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    book = HoldBook(store, clock=clock, logger=journal.logger)

    def is_held() -> bool:
        return book.find(lane_id=lane_id, provider="gmail", project_id=NOBODY) is not None

    async with running(book):
        for target in (Target.provider("gmail"), Target.lane(lane_id)):
            for act, wanted in ((control.pause, True), (control.resume, False)):
                await act(target)
                asked_s = clock.monotonic_s()
                while is_held() is not wanted:
                    assert clock.monotonic_s() - asked_s < WAIT_S
                    await clock.sleep(0.01)
                assert clock.monotonic_s() - asked_s < 1.0


async def test_the_last_known_holds_stand_while_the_database_is_away(
    database_url: str, clock: RealClock, queueroom: QueueRoom, control: Control, journal: Journal
) -> None:
    await queueroom.lane(provider="gmail")
    await control.pause(Target.provider("gmail"))
    away = Store(database_url, StoreSettings(pool_size=1))
    await away.open()
    book = HoldBook(away, clock=clock, logger=journal.logger)
    await book.load()
    await away.close()
    async with running(book):
        while not journal.count("holds_delayed"):
            await clock.sleep(0.01)
        assert book.find(lane_id=1, provider="gmail", project_id=NOBODY) is not None
        await away.open()
        await control.resume(Target.provider("gmail"))
        while book.find(lane_id=1, provider="gmail", project_id=NOBODY) is not None:
            await clock.sleep(0.01)
    await away.close()
    assert journal.count("holds_delayed") == 1, "once an outage"


async def test_lanes_whose_hold_is_gone_are_woken(
    store: Store, clock: RealClock, control: Control, queueroom: QueueRoom, journal: Journal
) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    await control.pause(Target.provider("gmail"))
    await queueroom.execute("DELETE FROM hold")
    async with running(HoldBook(store, clock=clock, logger=journal.logger)):
        while (await queueroom.lane_row(lane_id))["hold_id"] is not None:
            await clock.sleep(0.01)
    assert journal.count("orphaned_lanes_woken") == 1
