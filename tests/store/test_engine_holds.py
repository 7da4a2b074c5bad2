"""The book of holds: half a second old at most, right while the database is away, and it wakes what nobody holds."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import HoldScope
from outrider.engine.control import Control, Target
from outrider.engine.holds import HoldBook
from outrider.store import holds
from outrider.store.holds import Hold
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock, until
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


class BookOfBefore(HoldBook):
    """Reads no holds any more: as late as one that has looked just before a hold was lifted."""

    count = 0

    async def load(self) -> None:
        self.count += 1


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


async def count_of(room: QueueRoom, what: str) -> int:
    (row,) = await room.fetch(f"SELECT count(*) AS count FROM {what}")
    return int(row["count"])


@pytest.mark.parametrize("is_resumed", [False, True], ids=["held", "resumed meanwhile"])
async def test_what_was_left_of_a_held_session_is_moved(
    store: Store, clock: RealClock, control: Control, queueroom: QueueRoom, journal: Journal, *, is_resumed: bool
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 1001)  # More than one look moves.
    target = Target.session(queueroom.project_id, mail.message_id)
    async with store.transaction() as tx:  # As a process that died half way through a pause leaves it.
        long_ago = clock.now() - timedelta(minutes=1)
        await holds.put(tx, Hold(UUID(int=7), HoldScope.SESSION, target.subject, "stop", long_ago))
    book = BookOfBefore(store, clock=clock, logger=journal.logger)
    await HoldBook.load(book)
    if is_resumed:
        await control.resume(target)
    book.note_left(queueroom.project_id, mail.message_id)
    async with running(book):
        await until(lambda: journal.count("held_session_emptied") == 2 or (is_resumed and book.count > 1))
    left_count = await count_of(queueroom, "queue")
    held_count = await count_of(queueroom, "recipient WHERE status = 'held' AND reason = 'operator'")
    assert (left_count, held_count) == ((1001, 0) if is_resumed else (0, 1001))
    told_count = await count_of(queueroom, "event WHERE kind = 'held' AND facts->>'note' = 'stop'")
    assert told_count == held_count
    if not is_resumed:
        assert (await control.resume(target)).recipient_count == 1001
        assert await count_of(queueroom, "queue") == 1001


async def test_mail_of_a_held_session_that_may_be_under_way_is_left_alone(
    store: Store, clock: RealClock, queueroom: QueueRoom, journal: Journal
) -> None:
    leased_id, free_id = await queueroom.lane(), await queueroom.lane()
    mail = await queueroom.mail(leased_id)
    other = await queueroom.mail(free_id)
    await queueroom.lease(leased_id, NOBODY)
    book = HoldBook(store, clock=clock, logger=journal.logger)
    for one in (mail, other):
        async with store.transaction() as tx:
            long_ago = clock.now() - timedelta(minutes=1)
            await holds.put(tx, Hold(queueroom.new_id(), HoldScope.SESSION, str(one.message_id), "", long_ago))
        book.note_left(queueroom.project_id, one.message_id)
    async with running(book):
        await until(lambda: journal.count("held_session_emptied") == 1)
    assert [row["lane_id"] for row in await queueroom.fetch("SELECT lane_id FROM queue")] == [leased_id]
