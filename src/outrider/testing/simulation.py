"""The engine on a virtual loop: real stations, gates, pool and SMTP client; a model of the database, a made-up network.

    story = play(draw(seed))        a few minutes of several processes in a fraction of a second, alike each time
    complaints = simcheck.all_of(story)

Everything of `engine`, `policy`, `net.pool` and below, `wire` and `store`'s Python is what production runs; replaced
are the database below `Tx` (`simstore`), the sockets (`simnet`), the mapped file of the gates (`simledger`), DNS and
time. Processes die as kill -9 kills: what they do from then on reaches nobody.
"""

import asyncio
import contextlib
import functools
import io
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, NotFoundError, StoreError
from outrider.base.vocab import Phase, Stream
from outrider.engine import guard
from outrider.engine.accept import SUPPRESSED, Acceptor
from outrider.engine.control import Control, Target
from outrider.engine.deliver import Deliverer
from outrider.engine.gates import Entry, Gates
from outrider.engine.guard import GuardBook
from outrider.engine.holds import HoldBook
from outrider.engine.judge import Judge
from outrider.engine.lanes import LaneKeeper, abandon
from outrider.engine.prepare import Preparer
from outrider.engine.settle import Settler
from outrider.engine.slots import NodeSlots
from outrider.engine.submission import Submission
from outrider.engine.turns import Places
from outrider.mail import dkim
from outrider.mail.dkim import SigningKey
from outrider.net.pool import ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site
from outrider.net.tls import TlsContexts
from outrider.obs.log import make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.policy import shaping
from outrider.policy.guard import GuardLevel
from outrider.policy.route import Egress, Source, make_egress
from outrider.policy.shaping import DEFAULT, Place
from outrider.policy.throttle import Ceiling
from outrider.store import guards
from outrider.store.guards import Guard
from outrider.store.lanes import Lane, Pause
from outrider.testing.engineroom import AnyDomain, OwnReturnPaths, SameExit, Senders, classifier
from outrider.testing.simdatabase import SimDatabase
from outrider.testing.simledger import NodeBook, SimLedger
from outrider.testing.simnet import PROCESS, SimNet, SimPeer
from outrider.testing.simplan import Node, Plan, Trouble, project_domain
from outrider.testing.simstore import SimStore
from outrider.testing.simstory import Admission, Story
from outrider.testing.simwatch import Watch
from outrider.testing.virtual_loop import VirtualClock, VirtualLoop
from outrider.wire.answer import Answer, Cause

_RESTART_S: Final = 1.0
_CALL_AGAIN_S: Final = 1.0  # A customer whose call failed.


class WatchedGates(Gates):
    """Gates whose every leave is written down."""

    def __init__(self, note: Any, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._note: Final = note

    async def enter(self, lane: Lane, site: Site, places: Places) -> Entry | Pause:
        """Enter, and note it."""
        entered = await super().enter(lane, site, places)
        if isinstance(entered, Entry):
            self._note(lane, entered)
        return entered

    @property
    def waiting_count(self) -> int:
        """How many wait in lines."""
        return len(self._lines)


class _Keys:
    """A `SigningKeys` with one quick key for each domain."""

    def __init__(self, domains: Sequence[str]) -> None:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._by_domain: Final = {domain: [dkim.load_key(domain, "sim", pem)] for domain in domains}

    async def of_domain(self, project_id: UUID, domain: str) -> Sequence[SigningKey]:
        """Return the domain's key."""
        del project_id
        return self._by_domain[domain]


class _Pools:
    """A `PoolBook` by the settings of the first node."""

    def __init__(self, egress: Egress) -> None:
        self._egress: Final = egress

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:  # noqa: ARG002
        """Return the pool."""
        return self._egress.pool_for(stream, (str(project_id),), sender_domain)


class _Bounds:
    """A `Ceilings`, a `DomainRates`, and a `Stops` without any."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan: Final = plan
        self._clock: Final = clock

    def ceiling(self, source: str, provider: str) -> Ceiling | None:
        """Return the ceiling of today."""
        count = self._plan.ceilings.get((source, provider))
        return None if count is None else Ceiling(self._clock.now().toordinal(), count)

    def reason_of(self, lane: Lane) -> str:
        """Return "": no domain is stopped."""
        del lane
        return ""

    async def rate_of(self, project_id: UUID, domain: str) -> int | None:
        """Return the rate of the domain."""
        del project_id
        return self._plan.per_minute.get(domain)


class _Router:
    """A `Router` that knows the plan's domains, while the name servers answer."""

    def __init__(self, plan: Plan) -> None:
        self.is_away = False
        self.sites: Final = {
            domain.name: Site(domain.host, (Host(domain.host, (domain.ip,)),)) for domain in plan.domains
        }

    async def route(self, domain: str) -> Site | Answer:
        """Return the site."""
        return Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY) if self.is_away else self.sites[domain]


class Process:
    """A deliver process of a node; after a death, its successor in the same slot."""

    def __init__(self, world: "World", node: Node, slot: int) -> None:
        self.world: Final = world
        self.node: Final = node
        self.slot: Final = slot
        self.name: Final = f"{node.name}.{slot}"
        self.egress: Final = make_egress(node.egress, Source("default"))
        self.is_alive = False
        self.owner: UUID | None = None
        self._is_dying = False
        self._again_s = 0.0
        self._born_count = 0
        self._chance: Final = Random(f"{world.plan.seed} {self.name}")

    async def live(self) -> None:
        """Run, and again after each death, until the world ends."""
        PROCESS.set(self.name)
        while not self.world.is_over:
            last, self.owner = self.owner, UUID(int=self._chance.getrandbits(128))
            self._born_count += 1
            self._make()
            if last is not None and self._chance.random() < 0.5:  # Else a node is gone: its leases run out.
                with contextlib.suppress(StoreError):
                    await abandon(self.store, last, clock=self.world.clock)
            await self._run()
            if not self.world.is_over:
                await self.world.clock.sleep(self._again_s)

    async def _run(self) -> None:
        self._is_dying = False
        with self.ledger:
            self.is_alive = True
            async with asyncio.TaskGroup() as group:
                self._running = group.create_task(self._deliver())
            self.is_alive = False
        if not self._is_dying:
            self.world.story.leftovers += self.leftovers()

    async def _deliver(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self.guards.run())
                await self.deliverer.run()
                reading.cancel()  # It only reads.
        except* (StoreError, BusyError, OSError):
            if not self._is_dying:  # A dead process cannot say that its database or its sockets are gone.
                raise

    def kill(self, again_s: float) -> None:
        """Die now; come back later."""
        if not self.is_alive:
            return
        self.is_alive, self._is_dying, self._again_s = False, True, again_s
        self.store.kill()
        self.ledger.kill()
        self.world.net.cut(self.name)
        self._running.cancel()

    def stop(self, again_s: float = _RESTART_S) -> None:
        """End in good order; come back later."""
        if self.is_alive:
            self._again_s = again_s
            self.deliverer.stop()

    def leftovers(self) -> list[str]:
        """Return what a process that has ended still holds: there must be nothing."""
        held = {
            "recipients in flight": len(self.keeper.busy),
            "lanes": self.keeper.held_count,
            "connections": self.pool.stats.open_count,
            "slots": self.pool.stats.slot_count,
            "slots in the ledger": sum(gate.connections[self.slot] for _, gate in self.ledger.entries()),
            "waiters in lines": self.gates.waiting_count,
        }
        return [f"{self.name} ended with {count} {what}" for what, count in held.items() if count]

    def _make(self) -> None:
        world, plan = self.world, self.world.plan
        clock, logger, metrics = world.clock, world.logger, world.metrics
        self.store = SimStore(world.database)
        self.ledger = SimLedger(world.books[self.node.name], self.slot)
        slots = NodeSlots(self.ledger, slot=self.slot, clock=clock)
        self.pool = ConnectionPool(plan.net, clock=clock, slots=slots, contexts=_contexts())
        self.guards = GuardBook(self.store, clock=clock, logger=logger)
        self.gates = WatchedGates(
            self._note,
            self.egress,
            world.story.shaping,
            self.ledger,
            self.pool,
            slots,
            exits=SameExit(),
            ceilings=world.bounds,
            rates=world.bounds,
            guards=self.guards,
            stops=world.bounds,
            clock=clock,
            random=self._chance,
            logger=logger,
        )
        preparer = Preparer(self.store, world.keys, OwnReturnPaths(), clock=clock, drafts_bytes_max=1_000_000)
        assert self.owner is not None
        self.keeper = LaneKeeper(
            self.store,
            plan.engine,
            owner=self.owner,
            pools=self.egress.pools_served,
            slot=self.slot,
            slot_count=self.node.process_count,
            clock=clock,
            logger=logger,
            preload=preparer.load,
        )
        self.deliverer = Deliverer(
            self.store,
            plan.engine,
            keeper=self.keeper,
            router=world.router,
            connections=self.pool,
            gates=self.gates,
            holds=HoldBook(self.store, clock=clock, logger=logger),
            preparer=preparer,
            judge=Judge(
                classifier(), world.story.shaping, plan.retry, clock=clock, random=self._chance, metrics=metrics
            ),
            settler=Settler(self.store, plan.engine, writer=self.name, clock=clock, logger=logger, metrics=metrics),
            clock=clock,
            logger=logger,
            metrics=metrics,
        )

    def _note(self, lane: Lane, entry: Entry) -> None:
        clock = self.world.clock
        self.world.story.admissions.append(
            Admission(
                clock.monotonic_s(),
                clock.now(),
                self.node.name,
                entry.source,
                entry.place.key,
                entry.place.provider or DEFAULT,
                lane.pool,
                lane.project_id,
                lane.sender_domain,
                lane.stream,
            )
        )


class World:
    """One run."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        chance = Random(f"{plan.seed} world")
        self.plan: Final = plan
        self.clock: Final = VirtualClock(loop)
        self.loop: Final = loop
        self.database: Final = SimDatabase(loop, Random(f"{plan.seed} database"))
        self.database.lost_answer_ratio = plan.lost_answer_ratio
        self.database.lost_notification_ratio = plan.lost_notification_ratio
        self.net: Final = SimNet(loop, Random(f"{plan.seed} net"))
        loop.network = self.net
        self.metrics: Final = Metrics()
        self.log: Final = io.StringIO()
        self.logger: Final = make_logger(LogSettings(level="warning", format="json"), "sim", self.log)
        self.bounds: Final = _Bounds(plan, self.clock)
        self.router: Final = _Router(plan)
        self.keys: Final = _Keys([project_domain(n) for n in range(plan.project_count)])
        self.projects: Final = [UUID(int=n + 1) for n in range(plan.project_count)]
        self.books: Final = {node.name: NodeBook() for node in plan.nodes}
        self.is_over = False
        self._chance: Final = chance
        shaped = shaping.parse(plan.shaping)
        self.story: Final = Story(plan=plan, database=self.database, net=self.net, shaping=shaped)
        for domain in plan.domains:
            if domain.ip not in self.net.peers:
                key = self.place_of(domain.name).key
                manners = msgspec.structs.replace(domain.manners)
                self.net.add(SimPeer(domain.ip, key, manners, Random(f"{plan.seed} {domain.ip}")))
        self.processes: Final = [Process(self, node, slot) for node in plan.nodes for slot in range(node.process_count)]
        front = SimStore(self.database)
        self.accept: Final = Acceptor(
            front,
            Senders({p: {f"us@{project_domain(n)}": "Us"} for n, p in enumerate(self.projects)}),
            AnyDomain(),
            _Pools(self.processes[0].egress),
            plan.engine,
            clock=self.clock,
            random_bits=chance.getrandbits,
            metrics=self.metrics,
        )
        self.control: Final = Control(SimStore(self.database), clock=self.clock, random_bits=chance.getrandbits)

    def place_of(self, domain: str) -> Place:
        """Return whose limits hold for a domain."""
        site = self.router.sites[domain]
        return self.story.shaping.place([host.name for host in site.hosts], site.name)

    async def run(self) -> Story:
        """Play it."""
        watch = Watch(self)
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(self.accept.run())
            lives = [group.create_task(process.live()) for process in self.processes]
            for call in self.plan.calls:
                group.create_task(self._call(call.at_s, call.project, call.stream, call.to))
            for trouble in self.plan.troubles:
                group.create_task(self._trouble(trouble))
            watching = group.create_task(watch.run())
            await self.clock.sleep(self.plan.end_s)
            watch.finish()
            watching.cancel()
            self.is_over = True
            self.accept.stop()
            for process in self.processes:
                process.stop()
            await asyncio.wait([*lives, accepting])
        return self.story

    async def _call(self, at_s: float, project: int, stream: Stream, to: tuple[str, ...]) -> None:
        await self.clock.sleep(at_s)
        submission = Submission(
            sender=f"us@{project_domain(project)}", recipients=to, subject="Hello", text="Hello.\n", stream=stream
        )
        while not self.is_over:
            try:
                accepted = await self.accept(self.projects[project], submission)
            except StoreError:
                await self.clock.sleep(_CALL_AGAIN_S)
                continue
            if accepted.session_id is not None:
                self.story.accepted.append(accepted.session_id)
            else:  # All of them have been refused for good before.
                assert {one.reason for one in accepted.rejected} == {SUPPRESSED}
            return

    async def _trouble(self, trouble: Trouble) -> None:
        await self.clock.sleep(trouble.at_s)
        process = self.processes[trouble.number % len(self.processes)]
        match trouble.kind:
            case "kill":
                process.kill(trouble.for_s)
            case "stop":
                process.stop(trouble.for_s)
            case "away" | "silent":
                await self._peer_away(trouble)
            case "database":
                self.database.is_away = True
                await self.clock.sleep(trouble.for_s)
                self.database.is_away = False
            case "dns":
                self.router.is_away = True
                await self.clock.sleep(trouble.for_s)
                self.router.is_away = False
            case "step":
                delta_s = trouble.for_s * (1 if trouble.number % 2 else -1)
                self.story.steps.append((self.clock.monotonic_s(), delta_s))
                self.clock.step_wall(delta_s)
            case "guard":
                await self._guard(trouble)
            case _:
                await self._operate(trouble)

    async def _peer_away(self, trouble: Trouble) -> None:
        peers = list(self.net.peers.values())
        peer = peers[trouble.number % len(peers)]
        peer.manners = msgspec.structs.replace(peer.manners, away="refused" if trouble.kind == "away" else "silent")
        await self.clock.sleep(trouble.for_s)
        peer.manners = msgspec.structs.replace(peer.manners, away="")

    async def _guard(self, trouble: Trouble) -> None:
        """Slow or pause a stream of a project, or of its sending domain; let it go on later."""
        project = trouble.number % self.plan.project_count
        project_id, stream = self.projects[project], list(Stream)[trouble.number // 4 % 2]
        domain = project_domain(project) if trouble.number // 8 % 2 else ""
        level = GuardLevel.SLOW if trouble.number // 16 % 4 == 0 else GuardLevel.PAUSE
        store = SimStore(self.database)

        async def begin() -> None:
            async with store.transaction() as tx:
                await guards.begin(
                    tx, Guard(project_id, domain, stream, level, "Too many complaints.", self.clock.now())
                )

        await self._until_stored(begin)
        await self.clock.sleep(trouble.for_s)
        with contextlib.suppress(NotFoundError):  # Nothing began, or another one has ended it.
            await self._until_stored(lambda: guard.release(store, project_id, domain, clock=self.clock))

    async def _until_stored(self, act: Callable[[], Awaitable[object]]) -> None:
        while not self.is_over:
            try:
                await act()
            except StoreError:
                await self.clock.sleep(_CALL_AGAIN_S)
            else:
                return

    async def _operate(self, trouble: Trouble) -> None:
        targets = [Target.project(project_id) for project_id in self.projects]
        targets += [Target.provider(peer.key) for peer in self.net.peers.values()]
        targets += [Target.lane(lane_id) for lane_id in sorted(self.database.lanes)]
        target = targets[trouble.number % len(targets)]
        with contextlib.suppress(StoreError, NotFoundError):
            match trouble.kind:
                case "pause":
                    await self.control.pause(target, note="simulated")
                    await self.clock.sleep(trouble.for_s)
                    await self.control.resume(target)
                case "resume":
                    await self.control.resume(target)
                case "flush":
                    await self.control.flush(target)
                case "drop":
                    await self.control.drop(target)
                case _:
                    raise AssertionError(trouble.kind)


@functools.cache
def _contexts() -> TlsContexts:
    """Return TLS contexts: costly, and never used, since this network's TLS is a word."""
    return TlsContexts(NetSettings(tls_verify=False))


def play(plan: Plan) -> Story:
    """Play a plan on a loop of its own."""
    with VirtualLoop() as loop:
        return loop.run_until_complete(World(plan, loop).run())
