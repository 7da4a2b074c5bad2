"""Gates as nodes tell them: written anew each time, forgotten when they are over or their node is gone."""

from datetime import timedelta
from uuid import UUID, uuid4

from outrider.store import gates, nodes
from outrider.store.gates import GateState
from outrider.store.nodes import Node
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock


async def told(store: Store) -> list[tuple[str, str, str]]:
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT source, provider, state->>'connections' AS n FROM gate ORDER BY 1, 2")
    return [(row["source"], row["provider"], row["n"]) for row in rows]


async def put(store: Store, node_id: UUID, clock: FakeClock, *states: GateState) -> None:
    async with store.transaction() as tx:
        await gates.put(tx, node_id, states, now=clock.now())


async def test_a_node_tells_its_gates_and_what_it_no_longer_tells_is_forgotten(store: Store, clock: FakeClock) -> None:
    first, second = uuid4(), uuid4()
    for node_id in (first, second):
        node = Node(node_id, str(node_id), ("default",), (), clock.now(), clock.now())
        async with store.transaction() as tx:
            await nodes.claim(tx, node, alive_since=clock.now() - timedelta(seconds=10))
    await put(store, first, clock, GateState("a", "gmail", '{"connections":1}'), GateState("a", "x", "{}"))
    await put(store, second, clock, GateState("b", "gmail", '{"connections":2}'))
    assert await told(store) == [("a", "gmail", "1"), ("a", "x", None), ("b", "gmail", "2")]
    clock.advance(1)
    await put(store, first, clock, GateState("a", "gmail", '{"connections":5}'))
    assert await told(store) == [("a", "gmail", "5"), ("b", "gmail", "2")]
    async with store.transaction() as tx:
        await nodes.remove(tx, second)
    clock.advance(1)
    await put(store, first, clock)
    assert await told(store) == []
