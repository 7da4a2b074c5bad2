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
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import ConfigError
from outrider.base.ids import Bits
from outrider.config import Config, read_own_file
from outrider.engine.accept import Acceptor
from outrider.engine.control import Control, Target
from outrider.engine.nodes import NodeBook
from outrider.knowledge import make_shaping, warmup_plans
from outrider.net.ours import check_ours
from outrider.net.settings import NetSettings
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.route import Egress, check_names
from outrider.services.access import Access
from outrider.services.accounts import Accounts
from outrider.services.alerts import Alerts
from outrider.services.content import ContentChecks
from outrider.services.dkim_keys import KeyRing
from outrider.services.egress import PoolChooser
from outrider.services.identity import Identity
from outrider.services.master_keys import MasterKeys
from outrider.services.notices import Notices
from outrider.services.preferences import Preferences
from outrider.services.project_terms import ProjectTerms
from outrider.services.proofs import Proofs
from outrider.services.quotas import Quotas
from outrider.services.release import Releases
from outrider.services.reports import Reports
from outrider.services.reputation import Reputation
from outrider.services.retention import Retentions
from outrider.services.return_paths import LIFE
from outrider.services.senders import Senders
from outrider.services.suppressions import Suppressions
from outrider.services.templates.partials import Partials
from outrider.services.templates.published import Published
from outrider.services.templates.templates import Templates
from outrider.services.templates.trial import Trial
from outrider.services.templates.versions import Compiler
from outrider.services.topics import Topics
from outrider.services.tracking_terms import TrackingTerms, tokens_of
from outrider.services.verification import Checker, Installation, Verification
from outrider.services.webhooks.endpoints import Webhooks
from outrider.store import master_key
from outrider.store.master_key import KeySource
from outrider.store.pool import Store
from outrider.store.vault import Vault, vault_of

if TYPE_CHECKING:
    from outrider.net.hook import HookPoster
    from outrider.net.rspamd import RspamdClient
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
    retentions: Retentions
    project_terms: ProjectTerms
    identity: Identity
    releases: Releases
    keys: KeyRing
    master_keys: MasterKeys
    senders: Senders
    proofs: Proofs
    reports: Reports
    suppressions: Suppressions
    topics: Topics
    preferences: Preferences
    verification: Verification
    notices: Notices
    alerts: Alerts
    reputation: Reputation
    contents: ContentChecks  # Closed by `accept`, where that runs.
    templates: Templates
    partials: Partials
    trial: Trial
    published: Published
    webhooks: Webhooks
    tracking_terms: TrackingTerms
    vault: Vault
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
    contents = make_contents(context, store)
    accept = _acceptor(context, store, senders, identity, quotas=quotas, contents=contents)
    per_minute = config.access.rate_per_minute
    access = Access(store, vault, rate_per_minute=per_minute, clock=clock, random_bits=random_bits, logger=context.log)
    accounts = Accounts(store, vault, clock=clock, random_bits=random_bits)
    compiler = Compiler(store)
    return Services(
        context,
        store,
        access,
        accounts,
        quotas,
        Retentions(store, days=config.retention.days),
        ProjectTerms(store, contents),
        identity,
        Releases(store, lane_dropper(context, store), clock=clock, random_bits=random_bits),
        keys,
        MasterKeys(store, vault, source, keep_for=LIFE, clock=clock),
        senders,
        Proofs(
            store,
            partial(accept, is_ours=True),
            clock=clock,
            random_bits=random_bits,
            is_on=is_provable,
            root=context.config.links_root,
        ),
        Reports(store, clock=clock),
        Suppressions(store, clock=clock),
        Topics(store, clock=clock),
        Preferences(store, clock=clock),
        make_verification(context, store, keys),
        Notices(store, clock=clock),
        Alerts(store, clock=clock, random_bits=random_bits),
        Reputation(store, clock=clock),
        contents,
        Templates(store, compiler, clock=clock, random_bits=random_bits),
        Partials(store, compiler, clock=clock),
        Trial(store, compiler, accept),
        Published(store, clock=clock),
        Webhooks(store, vault, lambda: make_poster(context), clock=clock, random_bits=random_bits),
        _tracking_terms(context, store, source),
        vault,
        accept,
    )


def _tracking_terms(context: Context, store: Store, source: KeySource) -> TrackingTerms:
    config = context.config
    return TrackingTerms(
        store,
        tokens_of(vault_of(source)),
        clock=context.clock,
        links_root=config.links_root,
        own_host_scheme=config.tracking.own_host_scheme,
    )


def lane_dropper(context: Context, store: Store) -> Callable[[int], Awaitable[int]]:
    """What cancels the mail in a lane, and returns how many recipients it had."""
    control = Control(store, clock=context.clock, random_bits=context.chance.getrandbits)

    async def drop(lane_id: int) -> int:
        return (await control.drop(Target.lane(lane_id), note="its sending domain is given up")).recipient_count

    return drop


def _acceptor(
    context: Context, store: Store, senders: Senders, identity: Identity, *, quotas: Quotas, contents: ContentChecks
) -> Acceptor:
    return Acceptor(
        store,
        senders,
        identity,
        PoolChooser(store, context.egress, clock=context.clock),
        context.config.engine,
        clock=context.clock,
        random_bits=context.id_bits,
        metrics=context.metrics,
        quotas=quotas,
        contents=contents if contents.is_on else None,
        has_links=bool(context.config.links_root),
    )


def make_verification(context: Context, store: Store, keys: KeyRing) -> Verification:
    """Who looks at the DNS records of sending domains."""
    return Verification(
        store,
        keys,
        lambda: make_checker(context),
        context.config.identity,
        installation(context.config),
        clock=context.clock,
        random_bits=context.chance.getrandbits,
        logger=context.log,
    )


def make_contents(context: Context, store: Store) -> ContentChecks:
    """Who judges content. Raises ConfigError: the password of the junk filter cannot be read."""
    return ContentChecks(
        store,
        context.config.content,
        make_filter(context),
        clock=context.clock,
        metrics=context.metrics,
        logger=context.log,
    )


def make_filter(context: Context) -> "RspamdClient | None":
    """The operator's junk filter, None if there is none. Raises ConfigError: its password cannot be read."""
    settings = context.config.content
    if not settings.rspamd_url:
        return None
    from outrider.net.rspamd import RspamdClient  # aiohttp: 10 MB that few need.

    return RspamdClient(
        settings.rspamd_url,
        password=secret(context.config, settings.rspamd_password, "content.rspamd_password"),
        wait_s=settings.wait_s,
        at_once=settings.at_once,
        clock=context.clock,
    )


def secret(config: Config, reference: str, key: str) -> str:
    """Return the secret that a setting refers to, without the white space around it; "" if it refers to none.

    Raises:
        ConfigError: it is no reference, or leads to nothing.
    """
    kind, _, name = reference.partition(":")
    match kind:
        case "":
            return ""
        case "file":
            return read_own_file(config, name, key).strip()
        case "env" if name in os.environ:
            return os.environ[name].strip()
        case "env":
            raise ConfigError(f"{key} names the variable {name}, which is not set.")
        case _:
            raise ConfigError(f"{key} is a reference, file:PATH or env:NAME, and never the secret itself.")


def make_checker(context: Context) -> Checker:
    """Who asks DNS about the records of sending domains."""
    from outrider.net.dns_query import NameServers  # dnspython: 10 MB that few need.
    from outrider.net.records import RecordLooker

    net = context.config.net
    return RecordLooker(NameServers(net.dns_server, clock=context.clock, wait_s=net.dns_wait_s))


def make_poster(context: Context) -> "HookPoster":
    """Who calls webhooks: at public addresses, in catch mode on this machine too, and where the settings allow it."""
    from outrider.net import wall
    from outrider.net.hook import HookPoster  # aiohttp: few commands need it.

    config, own = context.config, context.config.webhooks
    return HookPoster(
        clock=context.clock,
        is_allowed=wall.is_open_to(
            config.webhook_ranges(), with_private=own.allow_private, with_loopback=config.is_catch
        ),
        allows_http=own.allow_http or config.is_catch,
        connections_max=own.in_flight_max,
    )


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
