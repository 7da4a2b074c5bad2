"""The table of gates: what the nodes last told, read by people."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.store import gates, nodes, queue_views
from outrider.store.gates import GateState
from outrider.store.nodes import Node
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock

ONE, TWO = UUID(int=1), UUID(int=2)


@pytest.fixture
async def both(store: Store, clock: FakeClock) -> None:
    """Two nodes that are up."""
    async with store.transaction() as tx:
        for number in (1, 2):
            node = Node(UUID(int=number), f"node{number}", ("default",), (), clock.now(), clock.now())
            await nodes.claim(tx, node, alive_since=clock.now())


async def put(store: Store, clock: FakeClock, node_id: UUID, *states: GateState) -> None:
    async with store.transaction() as tx:
        await gates.put(tx, node_id, states, now=clock.now())


async def seen(store: Store, clock: FakeClock, *providers: str) -> list[tuple[str, str, str, object]]:
    async with store.transaction() as tx:
        found = await queue_views.gates(tx, providers, since=clock.now() - timedelta(seconds=10))
    return sorted((one.node, one.source, one.provider, one.state.get("connections")) for one in found)


def state(provider: str, connections: int = 1, source: str = "one") -> GateState:
    return GateState(source, provider, f'{{"connections":{connections}}}')


@pytest.mark.usefixtures("both")
async def test_what_a_node_tells_is_read_and_replaced(store: Store, clock: FakeClock) -> None:
    await put(store, clock, ONE, state("gmail"), state("yahoo"))
    await put(store, clock, TWO, state("gmail", 5))
    assert await seen(store, clock, "gmail") == [("node1", "one", "gmail", 1), ("node2", "one", "gmail", 5)]
    clock.advance(1)
    await put(store, clock, ONE, state("gmail", 3))
    assert await seen(store, clock, "gmail", "yahoo") == [("node1", "one", "gmail", 3), ("node2", "one", "gmail", 5)]


@pytest.mark.usefixtures("both")
async def test_a_node_that_tells_nothing_has_no_gates(store: Store, clock: FakeClock) -> None:
    await put(store, clock, ONE, state("gmail"))
    clock.advance(1)
    await put(store, clock, ONE)
    assert await seen(store, clock, "gmail") == []


@pytest.mark.usefixtures("both")
async def test_gates_of_nodes_that_are_gone_go_with_the_next_word_of_another(store: Store, clock: FakeClock) -> None:
    await put(store, clock, ONE, state("gmail"))
    async with store.transaction() as tx:
        await nodes.remove(tx, ONE)
    await put(store, clock, TWO)
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM gate") == []
