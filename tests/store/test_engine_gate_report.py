"""What a node tells of its gates: those worth a look, in words that `outrider queue` reads."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from outrider.base.clock import Clock
from outrider.config import Config
from outrider.engine.explain import rate_text
from outrider.engine.gate_report import GateReport
from outrider.knowledge import make_shaping
from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.shaping import Act, Limits, Rate, Reaction
from outrider.policy.throttle import Ceiling, GateView
from outrider.store import nodes, queue_views
from outrider.store.nodes import Node
from outrider.store.pool import Store
from outrider.store.queue_views import GateSeen
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.engineroom import Journal, running

NODE = UUID(int=1)
LIMITS = Limits(connections=5)
PAUSE = Reaction(rule="gmail.rate", act=Act.PAUSE, for_s=600)


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger(tmp_path / "gates", 0, clock=clock, capacity=2048) as opened:
        yield opened


@pytest.fixture
def report(store: Store, ledger: Ledger, clock: FakeClock) -> GateReport:
    return report_in(store, ledger, clock)


def report_in(store: Store, ledger: Ledger, clock: Clock, config: Config | None = None) -> GateReport:
    config = config or Config()
    shaping, egress = make_shaping(config), config.make_egress()
    return GateReport(store, ledger, shaping, egress, node_id=NODE, clock=clock, logger=Journal().logger)


def take(ledger: Ledger, key: str, count: int, now_s: float) -> None:
    for _ in range(count):
        ledger.update(key, lambda gate: throttle.take_connection(gate, LIMITS, 0, now_s))


def test_gates_in_use_slowed_or_stopped_are_told_the_busiest_first(
    report: GateReport, ledger: Ledger, clock: FakeClock
) -> None:
    now_s = clock.now().timestamp()
    take(ledger, "one|gmail", 2, now_s)
    take(ledger, "one|yahoo", 4, now_s)
    ledger.update("pool:default|gmail", lambda gate: throttle.react(gate, PAUSE, now_s))
    take(ledger, "one|microsoft365\tmx.a.example", 1, now_s)  # Counts at microsoft365 too.
    ledger.update("one|idle.example", lambda gate: None)
    ledger.update("from|1/a.example", lambda gate: throttle.admit(gate, Limits(rates=(Rate(1, 60),)), now_s))
    day = Ceiling(clock.now().toordinal(), 10)
    ledger.update("one|warm-up gmail", lambda gate: throttle.admit(gate, Limits(), now_s, ceiling=day))
    ledger.update("from|yahoo", lambda gate: throttle.react(gate, PAUSE, now_s))  # A source that is called so.
    told = [(one.source, one.provider) for one in report.states()]
    assert told == [("one", "yahoo"), ("one", "gmail"), ("from", "yahoo")], "no pool, domain, warm-up, site below"


def test_the_limits_told_are_those_of_the_pools_that_the_source_is_in(
    store: Store, ledger: Ledger, clock: FakeClock
) -> None:
    address = {"address": "192.0.2.1"}
    egress = {"sources": {"one": address}, "pools": {"default": {"one": {}}, "bulk": {"one": {}}}}
    pools = {"bulk": {"gmail": {"connections": 9}, "yahoo": {"connections": 1}}}
    config = msgspec.convert({"egress": egress, "shaping": {"pools": pools}}, Config)
    now_s = clock.now().timestamp()
    for provider in ("gmail", "yahoo", "other.example"):
        take(ledger, f"one|{provider}", 1, now_s)
    states = report_in(store, ledger, clock, config).states()
    told = {one.provider: msgspec.json.decode(one.state, type=GateView).connections_max for one in states}
    usual = make_shaping(Config())
    assert told == {
        "gmail": 9,
        "yahoo": usual.limits("yahoo", "default").connections,
        "other.example": usual.limits("", "default").connections,
    }


def test_no_more_than_five_hundred_are_told(report: GateReport, ledger: Ledger, clock: FakeClock) -> None:
    now_s = clock.now().timestamp()
    for number in range(600):
        take(ledger, f"one|mx{number}.example", 1 + number % 5, now_s)
    states = report.states()
    assert len(states) == 500
    assert all('"connections":1' not in one.state for one in states[:480])


async def gates_told(store: Store, *providers: str) -> list[GateSeen]:
    async with store.transaction() as tx:
        return await queue_views.gates(tx, providers, since=RealClock().now() - timedelta(seconds=10))


async def test_what_is_told_can_be_read_and_is_forgotten_at_the_stop(store: Store, ledger: Ledger) -> None:
    clock = RealClock()
    async with store.transaction() as tx:
        node = Node(NODE, "node1", ("default",), (), clock.now(), clock.now())
        await nodes.claim(tx, node, alive_since=clock.now())
    take(ledger, "one|gmail", 2, clock.now().timestamp())
    report = report_in(store, ledger, clock)
    async with running(report):
        while not (found := await gates_told(store, "gmail")):
            await clock.sleep(0.01)
        assert rate_text([one.state for one in found]) == "2 of 5 conn"
    assert await gates_told(store, "gmail") == []
