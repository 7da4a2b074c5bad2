"""Counts of keys: each process its own, read together, swept when their minute is over."""

from datetime import timedelta

from outrider.store import key_use
from outrider.store.key_use import KeyUse
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock


async def test_a_process_reads_what_the_others_counted(store: Store, clock: FakeClock) -> None:
    minute = clock.now()
    later = minute + timedelta(minutes=1)
    async with store.transaction() as tx:
        await key_use.write(tx, [KeyUse("a", minute, 3), KeyUse("b", minute, 5)], writer="one")
        await key_use.write(tx, [KeyUse("a", minute, 4), KeyUse("a", later, 1)], writer="two")
        await key_use.write(tx, [KeyUse("a", minute, 10)], writer="three")
        await key_use.write(tx, [KeyUse("a", minute, 20)], writer="three")  # In place of its last.
        asked = [("a", minute), ("b", minute), ("a", later), ("c", minute)]
        assert await key_use.of_others(tx, asked, writer="one") == {("a", minute): 24, ("a", later): 1}
        assert await key_use.of_others(tx, asked, writer="two") == {("a", minute): 23, ("b", minute): 5}
        expected = {("a", minute): 27, ("b", minute): 5, ("a", later): 1}
        assert await key_use.of_others(tx, asked, writer="none") == expected


async def test_past_minutes_are_swept_by_the_batch(store: Store, clock: FakeClock) -> None:
    minutes = [clock.now() + timedelta(minutes=n) for n in range(5)]
    async with store.transaction() as tx:
        await key_use.write(tx, [KeyUse("a", minute, 1) for minute in minutes], writer="one")
        assert await key_use.sweep(tx, before=minutes[3], count_max=2)
        assert not await key_use.sweep(tx, before=minutes[3], count_max=2)
        left = await key_use.of_others(tx, [("a", minute) for minute in minutes], writer="two")
    assert sorted(minute for _, minute in left) == minutes[3:]
