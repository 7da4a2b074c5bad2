"""A node's gates in the database: those that are in use, slowed or stopped, and none that are idle."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from outrider.engine import slots
from outrider.engine.gate_report import GateReport
from outrider.engine.nodes import NodeBook
from outrider.engine.slots import NodeSlots
from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.shaping import Act, Limits, Rate, Reaction
from outrider.store.pool import Store
from outrider.testing.engineroom import EngineRoom, RealClock, running


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: RealClock) -> Iterator[Ledger]:
    with Ledger(tmp_path / "gates", 0, clock=clock, capacity=64) as ledger:
        yield ledger


async def test_gates_in_use_and_stopped_ones_are_told(store: Store, clock: RealClock, ledger: Ledger) -> None:
    room, node_id, now_s = EngineRoom(store, clock), uuid4(), clock.now().timestamp()
    one = NodeSlots(ledger, slot=0, clock=clock)
    one.expect("mta1", "gmail", Limits())
    assert one.take("mta1", "gmail")
    rest = Reaction(rule="yahoo.tss04", act=Act.REST, for_s=3600)
    ledger.update(slots.gate_key("mta1", "yahoo"), lambda gate: throttle.react(gate, rest, now_s))
    ledger.update(slots.gate_key("mta1", "idle.example"), lambda gate: None)
    ledger.update(
        slots.gate_key("from", "p/shop.example"),
        lambda gate: throttle.admit(gate, Limits(rates=(Rate(1, 3600.0),)), now_s),
    )
    book = NodeBook(store, node_id, name="n", pools=["default"], addresses=[], clock=clock, logger=room.journal.logger)
    report = GateReport(store, ledger, room.shaping, node_id=node_id, clock=clock, logger=room.journal.logger)
    assert {(state.source, state.provider) for state in report.states()} == {("mta1", "gmail"), ("mta1", "yahoo")}
    assert report.states()[0].provider == "gmail", "the busiest first"
    await book.claim()
    async with running(report):
        rows = []
        while len(rows) < 2:
            async with store.transaction() as tx:
                rows = list(await tx.fetch("SELECT provider, state->>'rest_rule' AS rule FROM gate ORDER BY 1"))
        assert [(row["provider"], row["rule"]) for row in rows] == [("gmail", None), ("yahoo", "yahoo.tss04")]
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM gate") == [], "forgotten at a stop"
