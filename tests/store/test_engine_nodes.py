"""The node's book: two nodes never send from one address, and what is gone makes room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from outrider.base.errors import ConfigError
from outrider.engine import nodes
from outrider.engine.nodes import NodeBook
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from outrider.testing.mailroom import WAIT_S


def book(store: Store, clock: FakeClock, number: int, *addresses: str, journal: Journal | None = None) -> NodeBook:
    return NodeBook(
        store,
        UUID(int=number),
        name=f"node{number}",
        pools=["default"],
        addresses=addresses,
        clock=clock,
        logger=(journal or Journal()).logger,
    )


@asynccontextmanager
async def running(one: NodeBook, clock: FakeClock) -> AsyncIterator[None]:
    """Run the book; the block begins when its row is written."""
    sleeping_count = clock.sleeper_count
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(one.run())
        await clock.wait_for_sleepers(sleeping_count + 1)
        yield
        one.stop()


async def names(store: Store, clock: FakeClock) -> list[str]:
    return [node.name for node in await nodes.live(store, clock)]


async def test_the_second_with_an_address_is_refused_until_the_first_is_gone(store: Store, clock: FakeClock) -> None:
    second = book(store, clock, 2, "127.0.0.3", "127.0.0.2")
    async with running(book(store, clock, 1, "127.0.0.2"), clock):
        with pytest.raises(ConfigError, match=r"127\.0\.0\.2 is in use by the node 'node1'"):
            await second.claim()
        with pytest.raises(ConfigError):
            await second.run()
        assert await names(store, clock) == ["node1"]
    async with running(second, clock):
        assert await names(store, clock) == ["node2"]


async def test_nodes_with_addresses_of_their_own_are_all_up(store: Store, clock: FakeClock) -> None:
    async with running(book(store, clock, 1, "127.0.0.2"), clock), running(book(store, clock, 2, "127.0.0.3"), clock):
        assert await names(store, clock) == ["node1", "node2"]
        (first, _) = await nodes.live(store, clock)
        assert (first.pools, first.addresses) == (("default",), ("127.0.0.2",))
    assert await names(store, clock) == []


async def test_its_row_stays_fresh_and_keeps_the_start(store: Store, clock: FakeClock) -> None:
    started_at = clock.now()
    async with running(book(store, clock, 1), clock):
        for _ in range(3):
            clock.advance(1)
            await clock.wait_for_sleepers(1)
        (node,) = await nodes.live(store, clock)
        assert (node.started_at, node.seen_at) == (started_at, clock.now())


async def test_a_node_that_was_killed_may_come_back_at_once_and_its_address_is_free_later(
    store: Store, clock: FakeClock
) -> None:
    await book(store, clock, 1, "127.0.0.2").claim()  # And no more is heard of it.
    await book(store, clock, 1, "127.0.0.2").claim()
    clock.advance(nodes.SEEN_S)
    await book(store, clock, 2, "127.0.0.2").claim()
    assert await names(store, clock) == ["node2"]


async def test_a_node_that_slept_while_another_took_its_address_gives_up(store: Store, clock: FakeClock) -> None:
    first = book(store, clock, 1, "127.0.0.2")
    running_first = asyncio.ensure_future(first.run())
    await clock.wait_for_sleepers(1)
    async with store.transaction() as tx:
        await tx.execute("UPDATE node SET seen_at = seen_at - interval '11 s'")
    await book(store, clock, 2, "127.0.0.2").claim()
    clock.advance(1)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ConfigError, match="node2"):
            await running_first
    assert await names(store, clock) == ["node2"]


async def test_a_database_that_is_away_is_told_and_asked_again(database_url: str, clock: FakeClock) -> None:
    journal = Journal()
    store = Store(database_url, StoreSettings())
    async with running(book(store, clock, 1, "127.0.0.2", journal=journal), clock):
        assert journal.count("node_not_seen") == 1
        await store.open()
        clock.advance(1)
        await clock.wait_for_sleepers(1)
        assert await names(store, clock) == ["node1"]
        await store.close()
    assert journal.count("node_not_removed") == 1
