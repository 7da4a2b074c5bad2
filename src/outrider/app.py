"""The composition root: the only place that makes the real clock and real chance, and wires what all processes share.

Commands live on this alone; what one role of a server needs on top is wired in `roles`. It is imported by each command
and each process, so nothing that only one of them needs belongs here. No module-level state: two apps can live in one
test.
"""

import asyncio
import os
import random
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec

from outrider.base.clock import Clock
from outrider.base.ids import Bits
from outrider.config import Config
from outrider.engine.accept import Acceptor
from outrider.engine.nodes import NodeBook
from outrider.knowledge import make_shaping, warmup_plans
from outrider.net.ours import check_ours
from outrider.net.settings import NetSettings
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.route import Egress, check_names
from outrider.services.access import Access
from outrider.services.accounts import Accounts
from outrider.services.dkim_keys import KeyRing
from outrider.services.egress import PoolChooser
from outrider.services.identity import Identity
from outrider.services.master_keys import MasterKeys
from outrider.services.notices import Notices
from outrider.services.proofs import Proofs
from outrider.services.quotas import Quotas
from outrider.services.reports import Reports
from outrider.services.return_paths import LIFE
from outrider.services.senders import Senders
from outrider.services.suppressions import Suppressions
from outrider.services.verification import Checker, Installation, Verification
from outrider.store import master_key
from outrider.store.master_key import KeySource
from outrider.store.pool import Store
from outrider.store.vault import vault_of

if TYPE_CHECKING:
    from outrider.services.catch import Mailbox

_CORES_USED_MAX: Final = 8  # Ours: more deliver processes than that are somebody's decision.
_RECEIVER_WAIT_S: Final = 20.0  # Ours: its process starts beside us, on a busy machine in seconds.
_RECEIVER_POLL_S: Final = 0.05


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
    id_bits: Bits
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
    keys: KeyRing
    master_keys: MasterKeys
    senders: Senders
    proofs: Proofs
    reports: Reports
    suppressions: Suppressions
    verification: Verification
    notices: Notices
    accept: Acceptor  # Must run while it is called (`engine.service.run_all`).


def make_services(context: Context, store: Store) -> Services:
    """Wire the services on `store`, with the master key of the data directory.

    Raises:
        ConfigError: the master key cannot be used.
    """
    config, clock, random_bits = context.config, context.clock, context.chance.getrandbits
    source = key_source(context)
    vault = vault_of(source)
    keys = KeyRing(store, vault, context.config.identity, clock=clock, random_bits=random_bits)
    shared_domain, is_provable = config.inbound.bounce_domain, config.identity.mailbox_proof
    identity = Identity(store, keys, clock=clock, random_bits=random_bits, shared_domain=shared_domain)
    senders = Senders(store, clock=clock, random_bits=random_bits, shared_bounce_domain=shared_domain)
    quotas = Quotas(store, clock=clock)
    accept = Acceptor(
        store,
        senders,
        identity,
        PoolChooser(store, context.egress, clock=clock),
        context.config.engine,
        clock=clock,
        random_bits=context.id_bits,
        metrics=context.metrics,
        quotas=quotas,
    )
    access = Access(
        store,
        vault,
        rate_per_minute=config.access.rate_per_minute,
        clock=clock,
        random_bits=random_bits,
        logger=context.log,
    )
    accounts = Accounts(store, vault, clock=clock, random_bits=random_bits)
    return Services(
        context,
        store,
        access,
        accounts,
        quotas,
        identity,
        keys,
        MasterKeys(store, vault, source, keep_for=LIFE, clock=clock),
        senders,
        Proofs(store, accept, clock=clock, random_bits=random_bits, is_on=is_provable, root=context.config.links_root),
        Reports(store, clock=clock),
        Suppressions(store, clock=clock),
        Verification(
            store,
            keys,
            lambda: make_checker(context),
            context.config.identity,
            installation(context.config),
            clock=clock,
            random_bits=random_bits,
            logger=context.log,
        ),
        Notices(store, clock=clock),
        accept,
    )


def make_checker(context: Context) -> Checker:
    """Who asks DNS about the records of sending domains."""
    from outrider.net.dns_query import NameServers  # dnspython: 10 MB that few need.
    from outrider.net.records import RecordLooker

    net = context.config.net
    return RecordLooker(NameServers(net.dns_server, clock=context.clock, wait_s=net.dns_wait_s))


def installation(config: Config) -> Installation:
    """What the records of sending domains name of this node."""
    sources = config.make_egress().sources
    return Installation(
        mx_host=config.net.ehlo_name or next((one.ehlo_name for one in sources if one.ehlo_name), ""),
        sources=sorted({one.address for one in sources if one.address}),
        is_relayed=any(one.smarthost is not None for one in sources),
        is_watching=not config.is_catch,  # Catch mode asks nobody out there by itself.
    )


def make_context(config: Config, dsn: str, log: Logger) -> Context:
    """Wire the real clock and real chance."""
    chance, id_bits = random.SystemRandom(), Bits(os.urandom)
    return Context(config, ways_out(config), dsn, log, SystemClock(), chance, id_bits, Metrics())


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


def key_source(context: Context) -> KeySource:
    """Where the keys are that open the secrets of this installation. Raises ConfigError: [master_key] does not say."""
    return master_key.find(context.config.master_key, context.config.data_path, os.environ)


def make_mailbox(context: Context) -> "Mailbox":
    """The catch mailbox, in the data directory."""
    from outrider.services.catch import Mailbox

    return Mailbox(context.config.data_path / "mailbox", clock=context.clock, chance=context.chance)


def net_settings(config: Config) -> NetSettings:
    """The network's settings, with this machine's name for EHLO if they name none."""
    net = config.net
    return net if net.ehlo_name else msgspec.structs.replace(net, ehlo_name=_machine_name())


def _machine_name() -> str:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") else "[127.0.0.1]"
