"""The composition root: the only place that makes real clocks, real chance and real connections, and wires the floors.

Each `run_*` builds one role of one process and runs it until it is asked to stop:

    web      the HTTP faces and `accept`           smtp     the catch receiver
    deliver  lanes, attempts, settling             worker   upkeep of the event log

No module-level state: two apps can live in one test. Stop order: faces refuse, then the parts they stand on finish, then
the store closes.
"""

import asyncio
import contextlib
import importlib.resources
import random
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import ConfigError, StoreError
from outrider.config import Config
from outrider.engine.deliver import Deliverer, Router
from outrider.engine.prepare import Preparer
from outrider.engine.service import run_all
from outrider.net.pool import ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Classifier, parse_rules
from outrider.services.accounts import Accounts
from outrider.services.identity import Identity
from outrider.store import events, lanes
from outrider.store.pool import Store
from outrider.store.vault import Vault, load_or_create_key
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import Credentials, TlsMode

if TYPE_CHECKING:
    from outrider.services.catch import Mailbox
    from outrider.store.embedded import EmbeddedPostgres

_PARTITION_DAYS: Final = 8  # Ours: today and a week, so that a worker may be away for days.
_UPKEEP_S: Final = 3600.0
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
    dsn: str
    log: Logger
    clock: Clock
    chance: random.SystemRandom
    metrics: Metrics

    def store(self) -> Store:
        """A store of this process, not open yet."""
        return Store(self.dsn, self.config.store)

    def accounts(self, store: Store) -> Accounts:
        """The accounts service on `store`."""
        return Accounts(store, clock=self.clock, random_bits=self.chance.getrandbits)

    def identity(self, store: Store) -> Identity:
        """The identity service on `store`, with the master key of the data directory."""
        vault = Vault(load_or_create_key(self.config.data_path / _MASTER_KEY))
        return Identity(store, vault, clock=self.clock, random_bits=self.chance.getrandbits)


def make_context(config: Config, dsn: str, log: Logger) -> Context:
    """Wire the real clock and real chance."""
    return Context(config, dsn, log, SystemClock(), random.SystemRandom(), Metrics())


async def prepare_database(context: Context) -> None:
    """Make the event log's partitions for the days to come. The tables are there (`store.migrate`)."""
    async with context.store() as store:
        await _ensure_partitions(store, context.clock)


async def run_deliver(context: Context, owner_file: Path, stop_asked: asyncio.Event) -> None:
    """Run one deliver process.

    Args:
        owner_file: remembers who held this slot. The caller guarantees that nobody else runs in it, so whatever its
            last holder still leases is free at once.
    """
    config, clock, log = context.config, context.clock, context.log
    owner = uuid4()
    async with context.store() as store:
        await _take_slot(store, owner_file, owner, clock, log)
        net = named(config.net)
        chance = random.Random(context.chance.getrandbits(64))
        connections = ConnectionPool(net, clock=clock)
        identity = context.identity(store)
        preparer = Preparer(store, identity, clock=clock, drafts_bytes_max=config.engine.drafts_bytes_max)
        deliverer = Deliverer(
            store,
            config.engine,
            owner=owner,
            pools=["default"],
            router=make_router(config, net, clock, chance),
            connections=connections,
            preparer=preparer,
            classifier=Classifier(parse_rules(rules_text())),
            clock=clock,
            random=chance,
            logger=log,
            metrics=context.metrics,
        )
        await run_all([deliverer], stop_asked)
    owner_file.unlink(missing_ok=True)  # All lanes are given back.


async def run_web(context: Context, stop_asked: asyncio.Event) -> None:
    """Run one web process: the API, the mailbox page, health and metrics."""
    # Only this role needs Litestar (40 MB).
    from outrider.engine.accept import Acceptor
    from outrider.faces.api.app import make_app
    from outrider.faces.api.ports import Ports
    from outrider.faces.api.server import HttpServer
    from outrider.faces.console.mailbox import routes as mailbox_routes
    from outrider.services.reports import Reports

    config = context.config
    async with context.store() as store:
        identity = context.identity(store)
        acceptor = Acceptor(
            store,
            identity,
            config.engine,
            clock=context.clock,
            random_bits=context.chance.getrandbits,
            metrics=context.metrics,
        )
        ports = Ports(
            accept=acceptor,
            authenticate=context.accounts(store).authenticate,
            report_session=Reports(store).session,
            is_ready=store.is_ready,
            new_request_id=uuid4,
            log=context.log,
            metrics=context.metrics,
            has_mailbox=config.is_catch,
        )
        more = (
            mailbox_routes(make_mailbox(context), identity.published_record, context.clock) if config.is_catch else []
        )
        app = make_app(ports, more)
        server = HttpServer(app, config.faces.http_host, config.faces.http_port)
        await run_all([acceptor, server], stop_asked)


async def run_smtp(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the SMTP faces: in catch mode, the receiver of the built-in mailbox."""
    from outrider.faces.smtp.catch import CatchServer

    assert context.config.is_catch
    server = CatchServer(make_mailbox(context), "127.0.0.1", context.config.faces.catch_port, log=context.log)
    await server.start()
    try:
        await stop_asked.wait()
    finally:
        await server.stop()


async def run_worker(context: Context, stop_asked: asyncio.Event) -> None:
    """Run the upkeep: the event log's partitions for the days to come."""
    async with context.store() as store:
        while not stop_asked.is_set():
            try:
                await _ensure_partitions(store, context.clock)
            except StoreError as error:
                context.log.warning("upkeep_delayed", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UPKEEP_S):
                    await stop_asked.wait()


def make_mailbox(context: Context) -> "Mailbox":
    """The catch mailbox, in the data directory."""
    from outrider.services.catch import Mailbox

    return Mailbox(context.config.data_path / "mailbox", clock=context.clock, chance=context.chance)


def rules_text() -> str:
    """The classifier's rules as they come with the package."""
    return (importlib.resources.files("outrider.policy") / "rules.toml").read_text("utf-8")


def named(net: NetSettings) -> NetSettings:
    """Fill in this machine's name where the settings name none."""
    return net if net.ehlo_name else msgspec.structs.replace(net, ehlo_name=_machine_name())


def make_router(config: Config, net: NetSettings, clock: Clock, chance: random.Random) -> Router:
    """The way out that `delivery` picks."""
    if config.is_catch:
        host = Host("localhost", ("127.0.0.1",))
        return _OneWay(Site("catch", (host,), config.faces.catch_port, TlsMode.NEVER))
    if (smarthost := config.smarthost) is not None:
        credentials = Credentials(smarthost.username, smarthost.password) if smarthost.username else None
        tls = TlsMode.REQUIRED if credentials and not net.allow_plaintext_auth else TlsMode.OPPORTUNISTIC
        return _Smart(smarthost.host, smarthost.port, tls, credentials, net, clock)
    from outrider.net.dns import Resolver  # Only `direct` needs dnspython (10 MB).

    return Resolver(net, clock=clock, random=chance, own_names=(net.ehlo_name,))


class _OneWay:
    """All mail to one site."""

    def __init__(self, site: Site) -> None:
        self._site: Final = site

    async def route(self, domain: str) -> Site | Answer:  # noqa: ARG002 - the contract of Router.
        return self._site


class _Smart:
    """All mail to one named server, whose name is looked up now and then."""

    def __init__(
        self, host: str, port: int, tls: TlsMode, credentials: Credentials | None, net: NetSettings, clock: Clock
    ) -> None:
        self._ask: Final = (host, port, tls, credentials)
        self._net: Final = net
        self._clock: Final = clock
        self._known: tuple[float, Site] | None = None

    async def route(self, domain: str) -> Site | Answer:  # noqa: ARG002 - the contract of Router.
        if self._known is None or self._known[0] < self._clock.monotonic_s():
            from outrider.net.dns import fixed_site

            site = await fixed_site(*self._ask, settings=self._net)
            if isinstance(site, Answer):
                return site if self._known is None else self._known[1]
            self._known = self._clock.monotonic_s() + self._net.host_bad_s, site
        return self._known[1]


async def _take_slot(store: Store, owner_file: Path, owner: UUID, clock: Clock, log: Logger) -> None:
    """Free what the slot's last holder still leases, and write down who holds it now."""
    if owner_file.exists():
        last = UUID(owner_file.read_text("ascii").strip())
        async with store.transaction() as tx:
            count = await lanes.abandon(tx, last, now=clock.now())
        log.info("slot_taken", abandoned_lane_count=count)
    owner_file.write_text(str(owner), "ascii")


async def _ensure_partitions(store: Store, clock: Clock) -> None:
    # From yesterday: an attempt that ended before midnight may be written after it.
    first = (clock.now() - timedelta(days=1)).date()
    async with store.transaction() as tx:
        await events.ensure_partitions(tx, first, _PARTITION_DAYS)


def _machine_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") else "[127.0.0.1]"


class Database(msgspec.Struct, frozen=True):
    """An open, migrated database. `server` None: it is not ours to look after."""

    dsn: str
    server: "EmbeddedPostgres | None" = None


@contextlib.asynccontextmanager
async def open_database(config: Config) -> AsyncIterator[Database]:
    """Yield a migrated database: the configured one, or the embedded server, started if need be.

    Raises:
        ConfigError, StoreUnavailableError: with a sentence that says what to do.
    """
    # Children get the address and need neither.
    from outrider.store import migrate
    from outrider.store.embedded import EmbeddedPostgres

    make_data_dir(config.data_path)
    if config.database_url:
        await migrate.upgrade(config.database_url)
        yield Database(config.database_url)
        return
    server = EmbeddedPostgres(config.data_path, config.embedded, clock=SystemClock())
    dsn = await server.start()
    try:
        await migrate.upgrade(dsn)
        yield Database(dsn, server)
    finally:
        await server.stop()


def make_data_dir(path: Path) -> None:
    """Make the data directory, for its owner alone. Safe twice. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "run").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The data directory {path} cannot be made: {error.strerror}. Set OUTRIDER_DATA_DIR."
        ) from error
