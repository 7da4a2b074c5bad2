"""Nonces: taken once by their key, whoever else takes others."""

import asyncio
from datetime import timedelta

from outrider.store import nonces
from outrider.store.nonces import Nonce
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock


async def test_each_is_taken_once_by_its_key(store: Store, clock: FakeClock) -> None:
    now = clock.now()
    async with store.transaction() as tx:
        assert await nonces.take(tx, [Nonce("a", "1", now), Nonce("a", "1", now), Nonce("b", "1", now)]) == {
            ("a", "1"),
            ("b", "1"),
        }
        assert await nonces.take(tx, [Nonce("a", "1", now), Nonce("a", "2", now)]) == {("a", "2")}


async def test_of_two_transactions_at_once_one_gets_it(store: Store, clock: FakeClock) -> None:
    wanted = [Nonce("a", str(number), clock.now()) for number in range(50)]

    async def take(order: list[Nonce]) -> set[tuple[str, str]]:
        async with store.transaction() as tx:
            return await nonces.take(tx, order)

    taken = await asyncio.gather(take(wanted), take(wanted[::-1]), take(wanted), take(wanted[::-1]))
    assert sorted(map(len, taken)) == [0, 0, 0, 50]


async def test_old_ones_are_forgotten_by_the_batch(store: Store, clock: FakeClock) -> None:
    instants = [clock.now() + timedelta(seconds=n) for n in range(5)]
    async with store.transaction() as tx:
        await nonces.take(tx, [Nonce("a", str(n), at) for n, at in enumerate(instants)])
        assert await nonces.sweep(tx, before=instants[3], count_max=2)
        assert not await nonces.sweep(tx, before=instants[3], count_max=2)
        again = await nonces.take(tx, [Nonce("a", str(n), at) for n, at in enumerate(instants)])
    assert again == {("a", "0"), ("a", "1"), ("a", "2")}
