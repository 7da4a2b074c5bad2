"""The database is looked at through a real one: server, clock, partitions, queue, holds, guards, nodes."""

from datetime import timedelta

import pytest

from outrider.base.vocab import HoldScope, Stream
from outrider.engine.upkeep import ensure_partitions
from outrider.policy.checkup import Check, CheckState
from outrider.policy.guard import GuardLevel
from outrider.services.checkup import run
from outrider.services.checkup.database import DatabaseCheckup
from outrider.store import guards, holds
from outrider.store.guards import Guard
from outrider.store.holds import Hold
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import QueueRoom

pytestmark = pytest.mark.newest

OK, WARN, FAIL = CheckState.OK, CheckState.WARN, CheckState.FAIL


async def looked(store: Store, clock: FakeClock, *, has_tables: bool = True) -> dict[str, Check]:
    found = await run.run(DatabaseCheckup(store, clock=clock).probes(has_tables=has_tables), wait_s=10)
    return {one.name: one for one in found}


async def test_a_database_in_order_has_nothing_but_its_clock_to_be_told(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    await queueroom.node("mail.us.example")
    found = await looked(store, clock)
    clock_check = found.pop("clock.database")
    assert (clock_check.state, "the database's" in clock_check.seen) == (FAIL, True), (
        "the clock of tests stands elsewhere"
    )
    assert {name: one.state for name, one in found.items() if one.state is not OK} == {}
    assert found["queue.nodes"].seen == "delivering: mail.us.example."
    assert "queue.due" in found


async def test_without_tables_only_the_server_and_its_clock_are_asked(store: Store, clock: FakeClock) -> None:
    looks = DatabaseCheckup(store, clock=clock)
    check, is_current = await looks.migrations()
    assert (check.state, is_current) == (OK, True)
    async with store.transaction() as tx:
        await tx.execute("UPDATE alembic_version SET version_num = '0001'")
    check, is_current = await looks.migrations()
    assert (check.state, is_current) == (FAIL, False)
    found = await looked(store, clock, has_tables=False)
    assert set(found) == {"database.server", "database.connections", "database.transactions", "clock.database"}


async def test_mail_that_nobody_delivers_is_a_failure_and_a_late_day_too(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    await queueroom.node("mail.us.example", seen_at=clock.now() - timedelta(minutes=5))
    await queueroom.mail(await queueroom.lane(), 2, due_at=clock.now() - timedelta(minutes=2))
    found = await looked(store, clock)
    assert (found["queue.due"].state, "2 recipients wait" in found["queue.due"].seen) == (FAIL, True)
    assert found["queue.nodes"].state is WARN
    clock.advance(7 * 86_400)
    assert (await looked(store, clock))["database.partitions"].state is FAIL
    await ensure_partitions(store, clock)
    assert (await looked(store, clock))["database.partitions"].state is OK


async def test_holds_and_guards_are_named_a_few_of_them(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    async with store.transaction() as tx:
        for number in range(7):
            hold = Hold(queueroom.new_id(), HoldScope.PROVIDER, f"p{number}", "for the move", clock.now())
            await holds.put(tx, hold)
        too_many = Guard(queueroom.project_id, "", Stream.MARKETING, GuardLevel.PAUSE, "Too many.", clock.now())
        await guards.begin(tx, too_many)
    found = await looked(store, clock)
    assert (found["queue.holds"].state, found["queue.guards"].state) == (WARN, WARN)
    assert "provider p0 (for the move)" in found["queue.holds"].seen
    assert "and 2 more" in found["queue.holds"].seen
    assert found["queue.guards"].seen == "Too many."


async def test_a_database_that_has_gone_is_told_by_every_look(store: Store, clock: FakeClock) -> None:
    await store.close()
    assert {one.state for one in (await looked(store, clock)).values()} == {FAIL}
