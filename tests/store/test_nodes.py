"""The table of nodes: an address has one holder among those that are up, however many ask at once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.store import nodes
from outrider.store.nodes import Holder, Node
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S

LATELY = timedelta(seconds=10)


def node(clock: FakeClock, number: int, *addresses: str) -> Node:
    return Node(UUID(int=number), f"node{number}", ("default",), addresses, clock.now(), clock.now())


async def claim(store: Store, one: Node) -> Holder | None:
    async with store.transaction() as tx:
        return await nodes.claim(tx, one, alive_since=one.seen_at - LATELY)


async def live(store: Store, clock: FakeClock) -> list[Node]:
    async with store.transaction() as tx:
        return list(await nodes.live(tx, alive_since=clock.now() - LATELY))


async def test_a_node_is_there_as_it_was_written(store: Store, clock: FakeClock) -> None:
    first, second = node(clock, 1, "127.0.0.2", "::1"), node(clock, 2)
    assert [await claim(store, one) for one in (second, first)] == [None, None]
    assert await live(store, clock) == [first, second]


async def test_an_address_of_another_is_told_and_nothing_is_written(store: Store, clock: FakeClock) -> None:
    first, second = node(clock, 1, "127.0.0.2"), node(clock, 2, "127.0.0.3", "127.0.0.2")
    await claim(store, first)
    assert await claim(store, second) == Holder("127.0.0.2", "node1")
    assert await live(store, clock) == [first]


async def test_a_nodes_own_row_is_renewed(store: Store, clock: FakeClock) -> None:
    first = node(clock, 1, "127.0.0.2")
    await claim(store, first)
    clock.advance(1)
    again = msgspec.structs.replace(first, name="moved", pools=(), addresses=("127.0.0.3",), seen_at=clock.now())
    assert await claim(store, again) is None
    assert await live(store, clock) == [again]


async def test_a_node_that_was_not_seen_lately_holds_nothing(store: Store, clock: FakeClock) -> None:
    await claim(store, node(clock, 1, "127.0.0.2"))
    clock.advance(LATELY.total_seconds() - 0.001)
    assert await claim(store, node(clock, 2, "127.0.0.2")) is not None
    clock.advance(0.001)
    second = node(clock, 2, "127.0.0.2")
    assert await claim(store, second) is None
    assert await live(store, clock) == [second]


async def test_a_node_that_was_removed_holds_nothing(store: Store, clock: FakeClock) -> None:
    await claim(store, node(clock, 1, "127.0.0.2"))
    for _ in range(2):
        async with store.transaction() as tx:
            await nodes.remove(tx, UUID(int=1))
    assert await live(store, clock) == []
    assert await claim(store, node(clock, 2, "127.0.0.2")) is None


async def test_of_many_that_want_one_address_at_once_one_gets_it(store: Store, clock: FakeClock) -> None:
    async with asyncio.timeout(WAIT_S):
        asked = [claim(store, node(clock, number, f"127.0.1.{number}", "127.0.0.2")) for number in range(1, 9)]
        found = await asyncio.gather(*asked)
    (holder,) = await live(store, clock)
    assert found.count(None) == 1
    assert {one.node for one in found if one is not None} == {holder.name}


@pytest.mark.parametrize("count", [0, 1])
async def test_nodes_without_addresses_do_not_meet(store: Store, clock: FakeClock, count: int) -> None:
    await claim(store, node(clock, 1, *["127.0.0.2"] * count))
    assert await claim(store, node(clock, 2)) is None
