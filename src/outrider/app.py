"""The composition root: the only place that makes real clocks, real chance and real connections, and wires the floors.

Each `run_*` builds one role of one process and runs it until it is asked to stop:

    web      in `web_role`, above this       smtp     what comes back, the simulator, catch mode's receiver
    deliver  lanes, attempts, settling       worker   upkeep of the event log, warm-ups, guards, reading what came back

No module-level state: two apps can live in one test. Stop order: faces refuse, then the parts they stand on finish,
then the store closes.
"""

import asyncio
import contextlib
import importlib.resources
import os
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import ConfigError
from outrider.config import Config, read_own_file
from outrider.engine import lanes, ways
from outrider.engine.accept import Acceptor
from outrider.engine.deliver import Deliverer, Router
from outrider.engine.gate_report import GateReport
from outrider.engine.gates import Exits, Gates
from outrider.engine.guard import GuardBook, GuardJudge
from outrider.engine.holds import HoldBook
from outrider.engine.judge import Judge
from outrider.engine.lanes import LaneKeeper
from outrider.engine.nodes import NodeBook
from outrider.engine.prepare import Preparer
from outrider.engine.service import Part, run_all
from outrider.engine.settle import Settler
from outrider.engine.slots import NodeSlots
from outrider.engine.upkeep import Upkeep, ensure_partitions
from outrider.engine.warmup import WarmupBook, WarmupJudge
from outrider.net.ledger import Ledger
from outrider.net.ours import check_ours
from outrider.net.pool import ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.simulated import SimulatorExits, SimulatorRouter
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import classify, shaping, simulate
from outrider.policy.classify import Classifier, Rule, parse_own_rules, parse_rules
from outrider.policy.route import Egress, check_names
from outrider.policy.shaping import Shaping
from outrider.policy.simulate import Phrasebook
from outrider.policy.warmup import Plan, make_plans, parse_plans
from outrider.services.access import Access
from outrider.services.accounts import Accounts
from outrider.services.egress import PoolChooser
from outrider.services.identity import Gateway, Identity
from outrider.services.inbound import Inbox, ReportReader
from outrider.services.quotas import Quotas
from outrider.services.reports import Reports
from outrider.services.return_paths import BounceDomains, ReturnPaths, signer_of
from outrider.services.suppressions import Suppressions
from outrider.store.pool import Store
from outrider.store.vault import Vault, load_or_create_key

if TYPE_CHECKING:
    from outrider.services.catch import Mailbox
    from outrider.store.embedded import EmbeddedPostgres

_CORES_USED_MAX: Final = 8  # Ours: more deliver processes than that are somebody's decision.
_RECEIVER_WAIT_S: Final = 20.0  # Ours: its process starts beside us, on a busy machine in seconds.
_RECEIVER_POLL_S: Final = 0.05
_MASTER_KEY: Final = "master.key"


class SystemClock:
    """The real clock (`base.clock.Clock`)."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one real clock.

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        return time.monotonic()  # noqa: TID251 - the one real clock.

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        await asyncio.sleep(delay_s)  # noqa: TID251 - the one real clock.


class Context(msgspec.Struct, frozen=True):
    """What every role of a process stands on."""

    config: Config
    egress: Egress
    dsn: str
    log: Logger
    clock: Clock
    chance: random.SystemRandom
    metrics: Metrics

    def store(self) -> Store:
        """A store of this process, not open yet."""
        return Store(self.dsn, self.config.store)


class Services(msgspec.Struct, frozen=True):
    """The services and the way in, wired on one open store."""

    context: Context
    store: Store
    access: Access  # Must run where calls are signed or counted.
    accounts: Accounts
    quotas: Quotas
    identity: Identity
    reports: Reports
    suppressions: Suppressions
    accept: Acceptor  # Must run while it is called (`engine.service.run_all`).


def make_services(context: Context, store: Store) -> Services:
    """Wire the services on `store`, with the master key of the data directory.

    Raises:
        ConfigError: the master key cannot be used.
    """
    clock, random_bits = context.clock, context.chance.getrandbits
    vault = make_vault(context)
    identity = Identity(store, vault, clock=clock, random_bits=random_bits, gateway=gateway(context.config))
    quotas = Quotas(store, clock=clock)
    accept = Acceptor(
        store,
        identity,
        PoolChooser(store, context.egress, clock=clock),
        context.config.engine,
        clock=clock,
        random_bits=random_bits,
        metrics=context.metrics,
        quotas=quotas,
    )
    access = Access(
        store,
        vault,
        rate_per_minute=context.config.access.rate_per_minute,
        clock=clock,
        random_bits=random_bits,
        logger=context.log,
    )
    accounts = Accounts(store, vault, clock=clock, random_bits=random_bits)
    suppressions = Suppressions(store, clock=clock)
    return Services(
        context, store, access, accounts, quotas, identity, Reports(store, clock=clock), suppressions, accept
    )


def gateway(config: Config) -> Gateway:
    """What DNS has to say of this node, for bounce domains."""
    sources = config.make_egress().sources
    return Gateway(
        shared_domain=config.inbound.bounce_domain,
        mx_host=config.net.ehlo_name or next((one.ehlo_name for one in sources if one.ehlo_name), ""),
        addresses=sorted({one.address for one in sources if one.address}),
        is_relayed=any(one.smarthost is not None for one in sources),
    )


def make_context(config: Config, dsn: str, log: Logger) -> Context:
    """Wire the real clock and real chance."""
    return Context(config, ways_out(config), dsn, log, SystemClock(), random.SystemRandom(), Metrics())


def ways_out(config: Config) -> Egress:
    """The sources and pools of this node. In catch mode all of them lead to the mailbox, from whatever address."""
    egress = config.make_egress()
    return egress.caught() if config.is_catch else egress


async def run_deliver(context: Context, slot: int, stop_asked: asyncio.Event) -> None:
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
    limits = make_shaping(config)
    async with context.store() as store:
        await _take_slot(store, owner_file, owner, clock, log)
        with Ledger(config.data_path / "run" / "gates", slot, clock=clock) as ledger:
            parts: list[Part] = []
            if slot == 0:
                node_id = node_identity(config.data_path)
                parts += [
                    await claim_node(context, store),
                    GateReport(store, ledger, limits, context.egress, node_id=node_id, clock=clock, logger=log),
                ]
            warmups = WarmupBook(store, warmup_plans(config), context.egress.warmups, clock=clock, logger=log)
            guards = GuardBook(store, clock=clock, logger=log)
            await warmups.load()
            await guards.load()
            bounds = _Bounds(limits, warmups, guards)
            deliverer = _make_deliverer(context, store, ledger, bounds, owner=owner, slot=slot)
            parts += [warmups, guards, deliverer]
            await run_all(parts, stop_asked)


class _Bounds(msgspec.Struct, frozen=True):
    """What bounds the mail of one deliver process."""

    limits: Shaping
    warmups: WarmupBook
    guards: GuardBook


def _make_deliverer(
    context: Context, store: Store, ledger: Ledger, bounds: _Bounds, *, owner: UUID, slot: int
) -> Deliverer:
    """Wire the engine of one deliver process."""
    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    net = net_settings(config)
    chance = random.Random(context.chance.getrandbits(64))
    identity = make_services(context, store).identity
    signer = signer_of(make_vault(context))
    return_paths = ReturnPaths(store, signer, shared_domain=config.inbound.bounce_domain, clock=clock)
    preparer = Preparer(store, identity, return_paths, clock=clock, drafts_bytes_max=config.engine.drafts_bytes_max)
    slots = NodeSlots(ledger, slot=slot, clock=clock)
    connections = ConnectionPool(net, clock=clock, slots=slots)
    router, exits = make_ways(config, net, clock, chance)
    router = SimulatorRouter(router, config.faces.simulator_port, simulator_words().profiles)
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
            slot_count=deliver_count(config),
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
            rates=identity,
            guards=bounds.guards,
            clock=clock,
            random=chance,
            logger=log,
        ),
        holds=holds,
        preparer=preparer,
        judge=Judge(make_classifier(config), bounds.limits, config.retry, clock=clock, random=chance, metrics=metrics),
        settler=Settler(store, config.engine, writer=str(owner), clock=clock, logger=log, metrics=metrics),
        clock=clock,
        logger=log,
        metrics=metrics,
    )


async def claim_node(context: Context, store: Store) -> NodeBook:
    """Make sure that this node may send as its settings say, and tell the others that it does.

    Raises:
        ConfigError: a name in the settings that nobody knows, an address that is not this machine's or another node's.
        StoreError: the database is away.
    """
    config, egress = context.config, context.egress
    providers = [provider.name for provider in make_shaping(config).providers]
    check_names(egress, providers=providers, plans=warmup_plans(config))
    if not config.is_catch:  # There the mail goes to this machine, from whatever address.
        check_ours(config.own_addresses())
    book = NodeBook(
        store,
        node_identity(config.data_path),
        name=_machine_name(),
        pools=egress.pools_served,
        addresses=egress.addresses,
        clock=context.clock,
        logger=context.log,
    )
    await book.claim()
    return book


def node_identity(data_path: Path) -> UUID:
    """Return who this node is, the same after a restart: kept in the data directory, made by whoever comes first."""
    file = data_path / "run" / "node.id"
    try:
        return UUID(file.read_text("ascii").strip())
    except (FileNotFoundError, ValueError):
        node_id = uuid4()
        file.write_text(str(node_id), "ascii")
        return node_id


async def run_smtp(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the SMTP faces: what comes back, the simulator and, in catch mode, the receiver of the built-in mailbox."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_run_inbound(context, stop_asked))
        group.create_task(_run_simulator(context, stop_asked))
        if context.config.is_catch:
            group.create_task(_run_catch(context, stop_asked))


async def _run_inbound(context: Context, stop_asked: asyncio.Event) -> None:
    """Take the mail that comes back to our return paths."""
    from outrider.faces.smtp.inbound import InboundServer
    from outrider.faces.smtp.listener import PatientListener

    config, clock, log, metrics = context.config, context.clock, context.log, context.metrics
    async with context.store() as store:
        domains = BounceDomains(store, shared_domain=config.inbound.bounce_domain, clock=clock, logger=log)
        signer, random_bits = signer_of(make_vault(context)), context.chance.getrandbits
        inbox = Inbox(store, signer, domains, clock=clock, random_bits=random_bits, metrics=metrics)
        server = InboundServer(
            inbox,
            config.faces.inbound_host,
            config.faces.inbound_port,
            host_name=net_settings(config).ehlo_name,
            tls=inbound_tls(config),
            clock=clock,
            log=log,
        )
        listener = PatientListener(server, "inbound", "OUTRIDER_INBOUND_PORT", clock=clock, log=log, metrics=metrics)
        await run_all([inbox, domains, listener], stop_asked)


async def _run_simulator(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the built-in simulator. Without its port there is none, which must not keep other mail from coming in."""
    from outrider.faces.smtp import late_mail, simulator

    faces = context.config.faces
    to = ("127.0.0.1", faces.inbound_port)
    if faces.simulator_answers_to:
        to = simulate.parse_host_port(faces.simulator_answers_to, "faces.simulator_answers_to")
    server, parts = simulator.assemble(
        simulator.Manner(
            tls=simulator.make_tls(), port=faces.simulator_port, answer_after_s=faces.simulator_answer_after_s
        ),
        simulator_words(),
        late_mail.to_one(*to),
        net_settings(context.config),
        clock=context.clock,
        random=random.Random(context.chance.getrandbits(64)),
        log=context.log,
    )
    listening, setting = context.metrics.listening.labels(face="simulator"), "OUTRIDER_SIMULATOR_PORT"
    try:
        await server.listen()
    except OSError as error:
        listening.set(0)
        context.log.warning("simulator_not_started", reason=str(error), port=server.port, setting=setting)
        await stop_asked.wait()
        return
    listening.set(1)
    await run_all(parts, stop_asked)


async def _run_catch(context: Context, stop_asked: asyncio.Event) -> None:
    from outrider.faces.smtp.catch import CatchServer
    from outrider.faces.smtp.listener import PatientListener

    mailbox, clock, log = make_mailbox(context), context.clock, context.log
    server = CatchServer(mailbox, "127.0.0.1", context.config.faces.catch_port, log=log)
    setting = "OUTRIDER_CATCH_PORT"
    try:
        await run_all(
            [PatientListener(server, "catch", setting, clock=clock, log=log, metrics=context.metrics)], stop_asked
        )
    finally:
        await asyncio.to_thread(mailbox.close)


def inbound_tls(config: Config) -> ssl.SSLContext | None:
    """What STARTTLS offers to who brings mail back, None without a certificate.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    if not config.inbound.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.data_path / config.inbound.certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"inbound.certificate: {config.inbound.certificate} cannot be used: {error}.") from error
    return context


async def run_worker(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the upkeep, the judges of warm-ups and guards, and the reader of what came back."""
    clock, log, metrics = context.clock, context.log, context.metrics
    async with context.store() as store:
        judge = WarmupJudge(store, warmup_plans(context.config), context.egress.warmups, clock=clock, logger=log)
        guards = GuardJudge(store, clock=clock, logger=log, metrics=metrics)
        reader = ReportReader(store, make_classifier(context.config), clock=clock, logger=log, metrics=metrics)
        await run_all([Upkeep(store, clock=clock, logger=log), judge, guards, reader], stop_asked)


def deliver_count(config: Config) -> int:
    """How many deliver processes this node runs."""
    return config.engine.deliver_workers or min(os.cpu_count() or 1, _CORES_USED_MAX)


def make_vault(context: Context) -> Vault:
    """What opens the secrets of this installation. Raises ConfigError: the master key cannot be used."""
    return Vault(load_or_create_key(context.config.data_path / _MASTER_KEY))


def make_classifier(config: Config) -> Classifier:
    """The rules about replies, ready to judge. Raises ConfigError: the operator's file is wrong; it says where."""
    return Classifier(reply_rules(own_rules(config)))


def own_rules(config: Config) -> Sequence[Rule]:
    """The operator's rules about replies. Raises ConfigError: the file is wrong; it says where."""
    text = read_own_file(config, config.classify.file, "[classify] file")
    return parse_own_rules(text, "The file of [classify] file") if text else ()


def reply_rules(own: Sequence[Rule]) -> Sequence[Rule]:
    """The operator's rules about replies and those of the package, as they are asked."""
    return classify.merged(own, parse_rules(rules_text()))


def make_mailbox(context: Context) -> "Mailbox":
    """The catch mailbox, in the data directory."""
    from outrider.services.catch import Mailbox

    return Mailbox(context.config.data_path / "mailbox", clock=context.clock, chance=context.chance)


def rules_text() -> str:
    """The classifier's rules as they come with the package."""
    return (importlib.resources.files("outrider.policy") / "rules.toml").read_text("utf-8")


def simulator_words() -> Phrasebook:
    """What the simulator says, as it comes with the package."""
    return simulate.parse_words((importlib.resources.files("outrider.policy") / "simulate.toml").read_text("utf-8"))


def make_shaping(config: Config) -> Shaping:
    """Providers, limits and reply rules: those of the package, of the operator's file, changed by the settings.

    Raises:
        ConfigError: something in them is wrong; it says where.
    """
    text = (importlib.resources.files("outrider.policy") / "shaping.toml").read_text("utf-8")
    return shaping.parse(text, config.shaping, read_own_file(config, config.shaping.file, "[shaping] file"))


def warmup_plans(config: Config) -> Mapping[str, Plan]:
    """The warm-up plans by name: those of the package, of the operator's file, of the settings; the later one wins.

    Raises:
        ConfigError: a plan is wrong, or the file cannot be read.
    """
    ours = (importlib.resources.files("outrider.policy") / "warmup.toml").read_text("utf-8")
    own = read_own_file(config, config.warmup.file, "[warmup] file")
    return make_plans(parse_plans(ours), parse_plans(own), config.warmup.plans)


def net_settings(config: Config) -> NetSettings:
    """The network's settings, with this machine's name for EHLO if they name none."""
    net = config.net
    return net if net.ehlo_name else msgspec.structs.replace(net, ehlo_name=_machine_name())


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


def _machine_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") else "[127.0.0.1]"


class Database(msgspec.Struct, frozen=True):
    """An open, migrated database. `server` None: it is not ours to look after."""

    dsn: str
    server: "EmbeddedPostgres | None" = None


@contextlib.asynccontextmanager
async def open_database(config: Config, on_progress: Callable[[str], None]) -> AsyncIterator[Database]:
    """Yield a migrated database: the configured one, or the embedded server, started if need be.

    `on_progress` hears a sentence when that takes long, such as a recovery after a crash.

    Raises:
        ConfigError, StoreUnavailableError: with a sentence that says what to do.
    """
    # Children get the address and do not need it.
    from outrider.store.embedded import EmbeddedPostgres

    make_data_dir(config.data_path)
    if config.database_url:
        await _upgrade(config, config.database_url)
        yield Database(config.database_url)
        return
    server = EmbeddedPostgres(config.data_path, config.embedded, clock=SystemClock(), on_progress=on_progress)
    dsn = await server.start()
    try:
        await _upgrade(config, dsn)
        yield Database(dsn, server)
    finally:
        await server.stop()


async def _upgrade(config: Config, dsn: str) -> None:
    """Bring the tables and partitions up to date."""
    from outrider.store import migrate

    await migrate.upgrade(dsn)
    async with Store(dsn, config.store) as store:
        await ensure_partitions(store, SystemClock())


def make_data_dir(path: Path) -> None:
    """Make the data directory, for its owner alone. Safe twice. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "run").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The data directory {path} cannot be made: {error.strerror}. Set OUTRIDER_DATA_DIR."
        ) from error
