"""The composition root: the only place that makes the real clock and real chance, and wires what all processes share.

Commands live on this alone; what one role of a server needs on top is wired in `roles`. It is imported by each command
and each process, so nothing that only one of them needs belongs here. No module-level state: two apps can live in one
test.
"""

import asyncio
import contextlib
import importlib.resources
import os
import random
import socket
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
from outrider.engine.accept import Acceptor
from outrider.engine.nodes import NodeBook
from outrider.engine.upkeep import ensure_partitions
from outrider.net.ours import check_ours
from outrider.net.settings import NetSettings
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import classify, shaping, simulate
from outrider.policy.classify import Classifier, Rule, parse_own_rules, parse_rules
from outrider.policy.route import Egress, check_names
from outrider.policy.shaping import Shaping
from outrider.policy.simulate import Phrasebook
from outrider.policy.warmup import Plan, make_plans, parse_plans
from outrider.services.accounts import Accounts
from outrider.services.egress import PoolChooser
from outrider.services.identity import Gateway, Identity
from outrider.services.reports import Reports
from outrider.services.suppressions import Suppressions
from outrider.store.pool import Store
from outrider.store.vault import Vault, load_or_create_key

if TYPE_CHECKING:
    from outrider.services.catch import Mailbox
    from outrider.store.embedded import EmbeddedPostgres

_CORES_USED_MAX: Final = 8  # Ours: more deliver processes than that are somebody's decision.
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
    accounts: Accounts
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
    accept = Acceptor(
        store,
        identity,
        PoolChooser(store, context.egress, clock=clock),
        context.config.engine,
        clock=clock,
        random_bits=random_bits,
        metrics=context.metrics,
    )
    accounts = Accounts(store, clock=clock, random_bits=random_bits)
    suppressions = Suppressions(store, clock=clock)
    return Services(context, store, accounts, identity, Reports(store, clock=clock), suppressions, accept)


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
