"""How parts start and stop: `run_all`, and the torture that every part of ours must take.

The torture runs each part twice over: on a database that was never opened, here; on one that answers, in
tests/store/test_engine_service.py.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import pytest

from outrider.base.errors import BusyError, StoreError, StoreUnavailableError
from outrider.engine.expiry import ExpiryKeeper
from outrider.engine.feed import Event, TurnFeed
from outrider.engine.holds import HoldBook
from outrider.engine.lanes import LaneKeeper
from outrider.engine.nodes import NodeBook
from outrider.engine.service import Outage, Part, Recurring, Repeat, Rounds, run_all
from outrider.engine.settle import Settler
from outrider.engine.stops import StopBook
from outrider.engine.upkeep import Upkeep
from outrider.engine.waits import LaneWaits
from outrider.engine.warmup import WarmupBook, WarmupJudge
from outrider.faces.smtp.listener import Listener, PatientListener
from outrider.faces.smtp.submission import Relay
from outrider.faces.track.secure import SecureServer
from outrider.knowledge import agents
from outrider.mail.verp import Signer
from outrider.net.dns_query import NameServers
from outrider.net.hook import HookPoster
from outrider.net.host_certificates import HostCertificates
from outrider.net.records import RecordLooker
from outrider.policy.warmup import Plan
from outrider.services.access import Access
from outrider.services.alerts import AlertKeeper
from outrider.services.dkim_keys import KeyRing
from outrider.services.event_log import EventLog, Streams
from outrider.services.inbound import Inbox, ReportReader
from outrider.services.key_keeper import KeyKeeper
from outrider.services.notices import NoticeMailer
from outrider.services.return_paths import BounceDomains
from outrider.services.settings import IdentitySettings
from outrider.services.stats import StatKeeper
from outrider.services.tracking import Tracker
from outrider.services.verification import Installation, Verification
from outrider.services.webhooks.dispatch import Dispatcher
from outrider.services.webhooks.sending import HookSender
from outrider.services.webhooks.standing import Standing
from outrider.services.webhooks.upkeep import WebhookKeeper
from outrider.store.batch import GroupCommit
from outrider.store.pool import Store, Tx
from outrider.store.settings import StoreSettings
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock, RealClock, turns
from outrider.testing.engineroom import EngineRoom, Journal, OneWay, classifier
from outrider.wire.answer import Answer, Cause
from outrider.wire.answer import Phase as WirePhase
from tests.unit.faces.smtp.relay_room import RelayRoom

NOWHERE = "postgresql://nobody@/nowhere?host=/nonexistent&port=5432"


class Recorded:
    """A part that writes down what happens to it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name = name
        self._log = log
        self._asked = asyncio.Event()
        self.failure: Exception | None = None

    async def run(self) -> None:
        self._log.append(f"{self._name} runs")
        try:
            await self._asked.wait()
            if self.failure is not None:
                raise self.failure
        except asyncio.CancelledError:
            self._log.append(f"{self._name} cancelled")
            raise
        await asyncio.sleep(0)
        self._log.append(f"{self._name} ended")

    def stop(self) -> None:
        self._log.append(f"{self._name} stops")
        self._asked.set()

    def fail(self, error: Exception) -> None:
        self.failure = error
        self._asked.set()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def parts(log: list[str]) -> list[Recorded]:
    return [Recorded(name, log) for name in "abc"]


async def test_the_last_part_stops_first_and_each_waits_for_the_one_above(
    parts: list[Recorded], log: list[str]
) -> None:
    asked = asyncio.Event()
    running = asyncio.ensure_future(run_all(parts, asked))
    await turns()
    assert log == ["a runs", "b runs", "c runs"]
    asked.set()
    await running
    assert log[3:] == ["c stops", "c ended", "b stops", "b ended", "a stops", "a ended"]


async def test_a_stop_before_the_start_still_starts_and_stops_each(parts: list[Recorded], log: list[str]) -> None:
    asked = asyncio.Event()
    asked.set()
    await run_all(parts, asked)
    assert [line for line in log if line.endswith("ended")] == ["c ended", "b ended", "a ended"]


async def test_a_part_that_fails_takes_the_others_with_it(parts: list[Recorded], log: list[str]) -> None:
    running = asyncio.ensure_future(run_all(parts, asyncio.Event()))
    await turns()
    parts[1].fail(ValueError("broken"))
    with pytest.raises(ExceptionGroup) as caught:
        await running
    assert caught.value.subgroup(ValueError) is not None
    assert {"a cancelled", "c cancelled"} <= set(log)


async def test_a_part_that_fails_while_it_stops_is_told(parts: list[Recorded]) -> None:
    asked = asyncio.Event()
    running = asyncio.ensure_future(run_all(parts, asked))
    await turns()
    parts[0].failure = ValueError("broken")
    asked.set()
    with pytest.raises(ExceptionGroup):
        await running


async def test_a_part_that_ends_by_itself_stops_the_others_in_order(parts: list[Recorded], log: list[str]) -> None:
    running = asyncio.ensure_future(run_all(parts, asyncio.Event()))
    await turns()
    parts[2]._asked.set()
    await running
    assert [line for line in log if "stops" in line] == ["c stops", "b stops", "a stops"]
    assert not any("cancelled" in line for line in log)


async def test_cancelling_it_cancels_all(parts: list[Recorded], log: list[str]) -> None:
    running = asyncio.ensure_future(run_all(parts, asyncio.Event()))
    await turns()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert sorted(log[3:]) == ["a cancelled", "b cancelled", "c cancelled"]


async def test_no_parts_wait_for_the_stop() -> None:
    asked = asyncio.Event()
    running = asyncio.ensure_future(run_all([], asked))
    await turns()
    assert not running.done()
    asked.set()
    await running


# The torture.


async def _take(_tx: Tx, _batch: Sequence[Event]) -> None:
    """Consume nothing."""


async def _is_wanted(_tx: Tx) -> bool:
    return True


async def _write(entries: Sequence[int]) -> Sequence[int]:
    return entries


async def read_nothing(_tx: Tx, _message_ids: Set[UUID]) -> None:
    """Read no message ahead."""


PLANS = {"mine": Plan(name="mine", stages=(10, 20))}
SOURCES = {"first": "mine"}


def bounce_domains(room: EngineRoom) -> BounceDomains:
    return BounceDomains(room.store, shared_domain="", clock=room.clock, logger=room.journal.logger)


def relay(room: EngineRoom) -> Relay:
    with TemporaryDirectory(prefix="outrider-relay-") as folder:  # The certificate is loaded by the end of this.
        return RelayRoom(Path(folder), clock=room.clock).relay  # type: ignore[arg-type]  # Nobody moves it here.


MAKERS: dict[str, Callable[[EngineRoom], Part]] = {
    "group_commit": lambda room: GroupCommit[int, int](_write, clock=room.clock, wait_s=0.001, weight_max=10),
    "lane_keeper": lambda room: LaneKeeper(
        room.store,
        room.settings,
        owner=uuid4(),
        pools=["default"],
        clock=room.clock,
        logger=room.journal.logger,
        preload=read_nothing,
    ),
    "settler": lambda room: Settler(
        room.store, room.settings, writer="w", clock=room.clock, logger=room.journal.logger, metrics=room.metrics
    ),
    "deliverer": lambda room: room.deliverer(OneWay(Answer(WirePhase.ROUTE, None, Cause.DNS_TEMPORARY))),
    "turn_feed": lambda room: TurnFeed(
        room.store, "test", _take, is_wanted=_is_wanted, clock=room.clock, logger=room.journal.logger
    ),
    "upkeep": lambda room: Upkeep(room.store, clock=room.clock, logger=room.journal.logger),
    "expiry_keeper": lambda room: ExpiryKeeper(
        room.store, clock=room.clock, logger=room.journal.logger, metrics=room.metrics
    ),
    "node_book": lambda room: NodeBook(
        room.store,
        uuid4(),
        name="node",
        pools=["default"],
        addresses=["127.0.0.2"],
        clock=room.clock,
        logger=room.journal.logger,
    ),
    "acceptor": lambda room: room.acceptor(),
    "access": lambda room: Access(
        room.store,
        Vault(bytes(32)),
        rate_per_minute=0,
        clock=room.clock,
        random_bits=lambda _: 0,
        logger=room.journal.logger,
    ),
    "warmup_book": lambda room: WarmupBook(
        room.store, PLANS, SOURCES, pools=["default"], clock=room.clock, logger=room.journal.logger
    ),
    "warmup_judge": lambda room: WarmupJudge(room.store, PLANS, SOURCES, clock=room.clock, logger=room.journal.logger),
    "report_reader": lambda room: ReportReader(
        room.store, classifier(), clock=room.clock, logger=room.journal.logger, metrics=room.metrics
    ),
    "inbox": lambda room: Inbox(
        room.store,
        Signer(bytes(32)),
        bounce_domains(room),
        clock=room.clock,
        random_bits=lambda _: 0,
        metrics=room.metrics,
    ),
    "bounce_domains": bounce_domains,
    "patient_listener": lambda room: PatientListener(
        Listener("127.0.0.1", 0), "inbound", "X", clock=room.clock, log=room.journal.logger, metrics=room.metrics
    ),
    "relay": relay,
    "stop_book": lambda room: StopBook(room.store, clock=room.clock, logger=room.journal.logger),
    "alert_keeper": lambda room: AlertKeeper(
        room.store, clock=room.clock, random_bits=lambda _: 0, logger=room.journal.logger
    ),
    "notice_mailer": lambda room: NoticeMailer(room.store, room.accept, clock=room.clock, logger=room.journal.logger),
    "verification": lambda room: Verification(
        room.store,
        KeyRing(room.store, Vault(bytes(32)), IdentitySettings(), clock=room.clock, random_bits=lambda _: 0),
        lambda: RecordLooker(NameServers("127.0.0.1:1", clock=room.clock, wait_s=0.1)),
        IdentitySettings(),
        Installation(),
        clock=room.clock,
        random_bits=lambda _: 0,
        logger=room.journal.logger,
    ),
    "key_keeper": lambda room: KeyKeeper(
        KeyRing(room.store, Vault(bytes(32)), IdentitySettings(), clock=room.clock, random_bits=lambda _: 0),
        clock=room.clock,
        logger=room.journal.logger,
    ),
    "stat_keeper": lambda room: StatKeeper(room.store, clock=room.clock, logger=room.journal.logger),
    "event_streams": lambda room: Streams(
        EventLog(room.store, clock=room.clock), clock=room.clock, logger=room.journal.logger
    ),
    "hook_sender": lambda room: HookSender(
        room.store,
        Vault(bytes(32)),
        HookPoster(clock=room.clock),
        Standing(room.store, clock=room.clock, random_bits=lambda _: 0),
        owner=uuid4(),
        in_flight_max=8,
        clock=room.clock,
        chance=lambda: 0.0,
        logger=room.journal.logger,
        metrics=room.metrics,
    ),
    "dispatcher": lambda room: Dispatcher(room.store, clock=room.clock, logger=room.journal.logger),
    "webhook_keeper": lambda room: WebhookKeeper(
        room.store, log_kept_s=3600.0, clock=room.clock, logger=room.journal.logger
    ),
    "tracker": lambda room: Tracker(
        room.store,
        agents(),
        too_soon_s=2.0,
        waiting_max=100,
        clock=room.clock,
        logger=room.journal.logger,
        metrics=room.metrics,
    ),
    "repeat": lambda room: Repeat(lambda: None, 1.0, clock=room.clock),
    "secure_server": lambda room: SecureServer(
        {},
        HostCertificates(None, log=room.journal.logger),
        ("127.0.0.1", 0),
        clock=room.clock,
        log=room.journal.logger,
        metrics=room.metrics,
    ),
    "lane_waits": lambda room: LaneWaits(room.store, UUID(int=1), clock=room.clock, logger=room.journal.logger),
    "hold_book": lambda room: HoldBook(room.store, clock=room.clock, logger=room.journal.logger),
}


@pytest.fixture
def room() -> EngineRoom:
    """One whose database is away and whose waits pass at once."""
    return EngineRoom(Store(NOWHERE, StoreSettings()), FakeClock(), poll_s=0.01)


async def returned(clock: FakeClock, running: "asyncio.Task[None]") -> bool:
    """Let time pass until `running` has ended; return whether it ended well. Fails the test if it does not end."""
    end_s = RealClock().monotonic_s() + 10
    while not running.done():
        assert RealClock().monotonic_s() < end_s, "it does not stop"
        clock.advance(clock.next_wake_s or 0)
        await turns()
    return not running.cancelled() and running.exception() is None


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("turn_count", [0, 1, 2, 7, 50])
async def test_it_stops_however_soon(room: EngineRoom, name: str, turn_count: int) -> None:
    part = MAKERS[name](room)
    running = asyncio.ensure_future(part.run())
    for _ in range(turn_count):
        await asyncio.sleep(0)
    part.stop()
    assert isinstance(room.clock, FakeClock)
    assert await returned(room.clock, running)


@pytest.mark.parametrize("name", MAKERS)
async def test_it_may_be_stopped_before_it_runs_and_twice(room: EngineRoom, name: str) -> None:
    part = MAKERS[name](room)
    part.stop()
    part.stop()
    running = asyncio.ensure_future(part.run())
    assert isinstance(room.clock, FakeClock)
    assert await returned(room.clock, running)
    part.stop()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("turn_count", [0, 1, 5, 50])
async def test_it_may_be_cancelled_and_leaves_nothing_running(room: EngineRoom, name: str, turn_count: int) -> None:
    before = asyncio.all_tasks()
    part = MAKERS[name](room)
    running = asyncio.ensure_future(part.run())
    for _ in range(turn_count):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=10)
    assert running.cancelled()
    part.stop()
    await turns()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("name", MAKERS)
async def test_it_lives_through_a_database_that_is_away(room: EngineRoom, name: str) -> None:
    part = MAKERS[name](room)
    running = asyncio.ensure_future(part.run())
    assert isinstance(room.clock, FakeClock)
    await room.clock.run_for(3.0)
    assert not running.done()
    part.stop()
    assert await returned(room.clock, running)


async def test_rounds_come_at_once_then_every_so_often_and_a_stop_is_heard_at_once() -> None:
    clock = FakeClock()
    seen: list[float] = []
    rounds = Rounds(10.0, clock=clock)

    async def work() -> None:
        seen.extend([clock.monotonic_s() async for _ in rounds])

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(work())
        await clock.run_for(25.0)
        rounds.stop()
    assert seen == [0.0, 10.0, 20.0]


async def test_rounds_stopped_before_they_began_are_none() -> None:
    rounds = Rounds(10.0, clock=FakeClock())
    rounds.stop()
    assert [None async for _ in rounds] == []


async def test_an_outage_is_warned_of_once_and_again_after_it_ended() -> None:
    journal = Journal()
    outage = Outage(journal.logger, "away", kinds=(StoreError, BusyError), consumer="x")
    seen: list[bool] = []
    for error in (StoreUnavailableError("a"), BusyError("b"), None, None, StoreUnavailableError("c")):
        with outage:
            if error is not None:
                raise error
        seen.append(outage.is_on)
    assert seen == [True, True, False, False, True]
    assert [(line["error"], line["consumer"]) for line in journal.lines] == [("a", "x"), ("c", "x")]


async def test_what_is_no_outage_goes_through() -> None:
    journal = Journal()
    outage = Outage(journal.logger, "away")
    for error in (ValueError("a bug"), BusyError("not named"), asyncio.CancelledError()):
        with pytest.raises(type(error)), outage:
            raise error
    assert not outage.is_on
    assert journal.lines == []


class Steps(Recurring):
    """A part whose steps say what is told here: True for more, an error for an outage."""

    def __init__(self, clock: FakeClock, journal: Journal, *told: object) -> None:
        super().__init__(self._step_once, 10.0, clock=clock, outage=Outage(journal.logger, "away"))
        self._told = list(told)
        self.seen: list[float] = []

    async def _step_once(self) -> object:
        self.seen.append(self._clock.monotonic_s())
        said = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        if isinstance(said, Exception):
            raise said
        return said


async def test_a_recurring_part_goes_on_at_once_while_there_is_more_and_else_waits() -> None:
    clock, journal = FakeClock(), Journal()
    part = Steps(clock, journal, True, True, False, StoreUnavailableError("x"), StoreUnavailableError("y"), None)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(part.run())
        await clock.run_for(35.0)
        part.stop()
    assert part.seen == [0.0, 0.0, 0.0, 10.0, 20.0, 30.0]
    assert journal.count("away") == 1


async def test_a_recurring_part_stops_though_there_is_always_more() -> None:
    clock = FakeClock()
    part = Steps(clock, Journal(), True)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(part.run())
        while len(part.seen) < 3:
            await turns()
            clock.advance(0.0)
        part.stop()
