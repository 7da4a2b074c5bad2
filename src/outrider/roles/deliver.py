"""The deliver role: the engine from the lease to settling, for one of this node's deliver processes.

It also chooses the ways out, by `delivery` (`make_ways`). The process of slot 0 speaks for the node as well: it keeps
the node's claim on its addresses and reports its gates. Failure: without its slot, its claim or its settings it does
not start; whatever its slot's last holder left leased is given up first.
"""

import asyncio
import random
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import msgspec

from outrider import app, knowledge
from outrider.app import Context
from outrider.base.clock import Clock
from outrider.config import Config
from outrider.engine import lanes, ways
from outrider.engine.deliver import Deliverer, Router
from outrider.engine.gate_report import GateReport
from outrider.engine.gates import Exits, Gates
from outrider.engine.guard import GuardBook
from outrider.engine.holds import HoldBook
from outrider.engine.judge import Judge
from outrider.engine.lanes import LaneKeeper
from outrider.engine.prepare import Preparer
from outrider.engine.service import Part, run_all
from outrider.engine.settle import Settler
from outrider.engine.slots import NodeSlots
from outrider.engine.stops import StopBook
from outrider.engine.warmup import WarmupBook
from outrider.net.ledger import Ledger
from outrider.net.pool import ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.simulated import SimulatorExits, SimulatorRouter
from outrider.obs.log import Logger
from outrider.policy.shaping import Shaping
from outrider.services.dkim_keys import KeyRing
from outrider.services.return_paths import ReturnPaths, signer_of
from outrider.services.tracking_terms import TrackingTerms
from outrider.store.pool import Store
from outrider.store.vault import vault_of

_RECEIVER_WAIT_S: Final = 20.0  # Ours: its process starts beside us, on a busy machine in seconds.
_RECEIVER_POLL_S: Final = 0.05


async def run(context: Context, stop_asked: asyncio.Event, *, slot: int) -> None:
    """Run one deliver process.

    Args:
        slot: which of this node's deliver processes. A file remembers who holds it; the caller guarantees that nobody
            else runs in it, so whatever its last holder still leases is free at once, as are its connections.
    """
    config, clock, log = context.config, context.clock, context.log
    if config.is_catch:
        await _await_receiver(config, clock, stop_asked)
    owner = uuid4()
    owner_file = config.data_path / "run" / f"deliver-{slot}.owner"
    limits = knowledge.make_shaping(config)
    async with context.store() as store:
        await _take_slot(store, owner_file, owner, clock, log)
        with Ledger(config.data_path / "run" / "gates", slot, clock=clock) as ledger:
            parts: list[Part] = []
            if slot == 0:
                node_id = app.node_identity(config.data_path)
                parts += [
                    await app.claim_node(context, store),
                    GateReport(store, ledger, limits, context.egress, node_id=node_id, clock=clock, logger=log),
                ]
            plans, ways_out = knowledge.warmup_plans(config), context.egress
            warmups = WarmupBook(store, plans, ways_out.warmups, pools=ways_out.pools_warming, clock=clock, logger=log)
            guards = GuardBook(store, clock=clock, logger=log)
            await warmups.load()
            stops = StopBook(store, clock=clock, logger=log)
            await guards.load()
            await stops.load()
            bounds = _Bounds(limits, warmups, guards, stops)
            deliverer = _make_deliverer(context, store, ledger, bounds, owner=owner, slot=slot)
            parts += [warmups, guards, stops, deliverer]
            await run_all(parts, stop_asked)


class _Bounds(msgspec.Struct, frozen=True):
    """What bounds the mail of one deliver process."""

    limits: Shaping
    warmups: WarmupBook
    guards: GuardBook
    stops: StopBook


def _make_preparer(context: Context, store: Store, keys: KeyRing, tracking: TrackingTerms) -> Preparer:
    config, clock = context.config, context.clock
    signer = signer_of(vault_of(app.key_source(context)))
    return_paths = ReturnPaths(
        store, signer, shared_domain=config.inbound.bounce_domain, clock=clock, links_root=config.links_root
    )
    bytes_max = config.engine.drafts_bytes_max
    return Preparer(store, keys, return_paths, clock=clock, drafts_bytes_max=bytes_max, tracking=tracking)


def _make_deliverer(
    context: Context, store: Store, ledger: Ledger, bounds: _Bounds, *, owner: UUID, slot: int
) -> Deliverer:
    """Wire the engine of one deliver process."""
    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    net = app.net_settings(config)
    chance = random.Random(context.chance.getrandbits(64))
    services = app.make_services(context, store)
    preparer = _make_preparer(context, store, services.keys, services.tracking_terms)
    slots = NodeSlots(ledger, slot=slot, clock=clock)
    connections = ConnectionPool(net, clock=clock, slots=slots)
    router, exits = make_ways(config, net, clock, chance)
    router = SimulatorRouter(router, config.faces.simulator_port, knowledge.simulator_words().profiles)
    exits = SimulatorExits(exits)
    holds = HoldBook(store, clock=clock, logger=log)
    return Deliverer(
        store,
        config.engine,
        keeper=LaneKeeper(
            store,
            config.engine,
            owner=owner,
            pools=context.egress.pools_served,
            slot=slot,
            slot_count=app.deliver_count(config),
            clock=clock,
            logger=log,
            preload=preparer.load,
        ),
        router=router,
        connections=connections,
        gates=Gates(
            context.egress,
            bounds.limits,
            ledger,
            connections,
            slots,
            exits=exits,
            ceilings=bounds.warmups,
            rates=services.identity,
            guards=bounds.guards,
            stops=bounds.stops,
            clock=clock,
            random=chance,
            logger=log,
        ),
        holds=holds,
        preparer=preparer,
        judge=Judge(
            knowledge.make_classifier(config), bounds.limits, config.retry, clock=clock, random=chance, metrics=metrics
        ),
        settler=Settler(store, config.engine, writer=str(owner), clock=clock, logger=log, metrics=metrics),
        clock=clock,
        logger=log,
        metrics=metrics,
    )


def make_ways(config: Config, net: NetSettings, clock: Clock, chance: random.Random) -> tuple[Router, Exits]:
    """Where mail is handed over: as `delivery` says, and where sources have a smart host of their own."""
    if config.is_catch:
        return ways.caught(config.faces.catch_port)
    from outrider.net.dns import Resolver  # Catch mode does not need dnspython (10 MB).

    resolver = Resolver(net, clock=clock, random=chance, our_names=(net.ehlo_name,))
    return ways.outward(resolver, config.smarthost, may_all_go_plain=net.allow_plaintext_auth)


async def _await_receiver(config: Config, clock: Clock, stop_asked: asyncio.Event) -> None:
    """Wait until catch mode's receiver listens: mail that finds it closed would wait a minute for its next attempt."""
    until_s = clock.monotonic_s() + _RECEIVER_WAIT_S
    while clock.monotonic_s() < until_s and not stop_asked.is_set():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", config.faces.catch_port)
        except OSError:
            await clock.sleep(_RECEIVER_POLL_S)
        else:
            writer.close()
            return


async def _take_slot(store: Store, owner_file: Path, owner: UUID, clock: Clock, log: Logger) -> None:
    """Free what the slot's last holder still leases, and write down who holds it now."""
    last = await asyncio.to_thread(_swap_owner, owner_file, owner)
    if last is not None and (count := await lanes.abandon(store, last, clock=clock)):
        log.warning("slot_taken", abandoned_lane_count=count)


def _swap_owner(owner_file: Path, owner: UUID) -> UUID | None:
    """Write down who holds the slot; return who held it last, None if nobody did."""
    try:
        last = UUID(owner_file.read_text("ascii").strip())
    except (FileNotFoundError, ValueError):  # None, or cut off in the middle: its leases run out by themselves.
        last = None
    owner_file.write_text(str(owner), "ascii")
    return last
