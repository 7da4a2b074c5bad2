"""Which way mail leaves: sources, the pools they share, and which mail a pool carries. Pure; chance is an argument.

    submission --pool_for--> pool --order--> members, in the order to ask them --> a source: address, EHLO name

A *source* is an address of this node, or a smart host. A *pool* is a set of sources that may carry certain mail; it is
a property of the lane, so it is decided once, when mail is accepted. Which of its sources carries a mail is decided
when it leaves, by the node that holds the source.

Every node reads its own settings: it lists the sources that it holds and all pools, those that only other nodes serve
without members. `pools_served` are those with a member here.

Invariant: a pool that is served has, for every provider, a member that is not `overflow`; so `order` is never empty and
no mail waits for a source that does not exist. Failure: `make_egress` raises ConfigError and names the key.
"""

import ipaddress
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from outrider.base.errors import CallerError, ConfigError
from outrider.base.vocab import Stream
from outrider.mail import address
from outrider.policy.settings import AssignEntry, EgressSettings, MemberEntry, SourceEntry, Use

DEFAULT: Final = "default"  # The source and the pool that need not be declared; as a provider, what nobody names.
_ORDER: Final = (Use.ALWAYS, Use.OVERFLOW, Use.FAILOVER)
_NAME: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")  # Environment names are lower-cased and cut at "__".
_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # Written in any case.
_NAME_CHARS_MAX: Final = 63  # Ours: as a DNS label; it is part of keys and metrics.
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)


class Smarthost(msgspec.Struct, frozen=True):
    """One fixed way out."""

    host: str
    port: int
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Smarthost({self.host!r}, {self.port}, {self.username!r}, ***)"


class Source(msgspec.Struct, frozen=True):
    """Something that this node sends from."""

    name: str
    address: str = ""  # In its shortest form; "" lets the system choose.
    ehlo_name: str = ""  # "" is the one of [net].
    smarthost: Smarthost | None = None  # None: to the mail hosts of each domain.
    warmup: str = ""  # The plan it is under, "" for none.


class Member(msgspec.Struct, frozen=True):
    """A source's place in a pool."""

    source: Source
    weight: int = 1
    use: Use = Use.ALWAYS
    providers: frozenset[str] = frozenset()  # Empty: all.


class Pool(msgspec.Struct, frozen=True):
    """Sources that share certain mail. Without members it is served by other nodes."""

    name: str
    members: tuple[Member, ...] = ()
    named: frozenset[str] = frozenset()  # Providers that some member names.


class Assignment(msgspec.Struct, frozen=True):
    """Which mail goes through `pool`. What is None or empty matches everything."""

    pool: str
    stream: Stream | None = None
    project: str = ""
    domain: str = ""

    def covers(self, stream: Stream, project_names: Collection[str], sender_domain: str) -> bool:
        """Whether it is about this mail."""
        return (
            self.stream in (None, stream)
            and (not self.project or self.project in project_names)
            and self.domain in ("", sender_domain)
        )


class Egress(msgspec.Struct, frozen=True):
    """All ways out that this node knows."""

    sources: tuple[Source, ...]
    pools: Mapping[str, Pool]
    assignments: tuple[Assignment, ...] = ()

    @property
    def pools_served(self) -> tuple[str, ...]:
        """The pools with a member here, by name."""
        return tuple(sorted(pool.name for pool in self.pools.values() if pool.members))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that this node claims for itself."""
        return tuple(sorted(source.address for source in self.sources if source.address))

    @property
    def warmups(self) -> Mapping[str, str]:
        """The plan of each source that is being warmed up."""
        return {source.name: source.warmup for source in self.sources if source.warmup}

    @property
    def pools_warming(self) -> tuple[str, ...]:
        """The pools with a member here that is being warmed up, by name."""
        found = (p.name for p in self.pools.values() if any(member.source.warmup for member in p.members))
        return tuple(sorted(found))

    def caught(self) -> "Egress":
        """Return the same pools with sources that need no address and no smart host: for catch mode."""
        bare = {one.name: msgspec.structs.replace(one, address="", smarthost=None) for one in self.sources}
        pools = {
            pool.name: msgspec.structs.replace(
                pool,
                members=tuple(msgspec.structs.replace(one, source=bare[one.source.name]) for one in pool.members),
            )
            for pool in self.pools.values()
        }
        return Egress(tuple(bare.values()), pools, self.assignments)

    def pool_for(self, stream: Stream, project_names: Collection[str], sender_domain: str) -> str:
        """Return the pool that carries such mail.

        Args:
            project_names: all that an operator may call the project by: its name, and its id as text.
            sender_domain: a lower-case A-label.
        """
        for assignment in self.assignments:
            if assignment.covers(stream, project_names, sender_domain):
                return assignment.pool
        return DEFAULT

    def may_use(self, pool: str, project_names: Collection[str]) -> bool:
        """Tell whether a project may ask for that pool: a pool that rules give to certain projects is theirs alone."""
        owners = {one.project for one in self.assignments if one.pool == pool and one.project}
        return pool in self.pools and (not owners or not owners.isdisjoint(project_names))

    def order(self, pool: str, provider: str, chance: float) -> tuple[Member, ...]:
        """Return the members that may carry mail to `provider`, in the order to ask them; () if none is here.

        First those for `always`, then `overflow`, which may carry it only if a warm-up ceiling blocks the others, then
        `failover`, only if all others rest, are paused or cannot be reached. Within each use the order is by chance,
        so that in the long run each is first as often as its weight says.

        Args:
            provider: a name of the shaping rules, "" for domains of none.
            chance: 0 to below 1, even.
        """
        assert 0 <= chance < 1
        found = self.pools.get(pool, Pool(pool))
        taking = [member for member in found.members if _takes(member, provider, found.named)]
        if len(taking) < 2:
            return tuple(taking)
        ordered: list[Member] = []
        for use in _ORDER:
            left = [member for member in taking if member.use is use]
            while left:
                at, chance = _drawn([member.weight for member in left], chance)
                ordered.append(left.pop(at))
        return tuple(ordered)


def make_egress(settings: EgressSettings, default: Source) -> Egress:
    """Return the ways out that the settings describe.

    Args:
        default: what mail leaves by where the settings leave it open. Without any sources it is the one source; its
            smart host holds for all that have none of their own.

    Raises:
        ConfigError: names the key, and what is wrong with it.
    """
    _refuse_names(settings)
    default_source = msgspec.structs.replace(default, address=_parse_address(default.address, "net.source"))
    sources = {name: _source(name, entry, default) for name, entry in settings.sources.items()}
    _refuse_twins(sources.values())
    sources = sources or {default_source.name: default_source}
    pools = {name: _pool(name, entries, sources) for name, entries in settings.pools.items()}
    if not pools or (not settings.sources and DEFAULT not in pools):
        pools[DEFAULT] = Pool(DEFAULT, tuple(map(Member, sources.values())))
    assignments = tuple(_assignment(at, entry, pools) for at, entry in enumerate(settings.assign, 1))
    if DEFAULT not in pools and not any(_is_for_all(one) for one in assignments):
        raise ConfigError(
            "egress.pools.default: mail that no [[egress.assign]] matches leaves through it. Declare it (empty, if"
            " another node serves it), or end with an assign that has nothing but a pool."
        )
    return Egress(tuple(sources.values()), pools, assignments)


def check_names(egress: Egress, *, providers: Collection[str], plans: Collection[str]) -> None:
    """Make sure that the providers and warm-up plans that the settings name are known to the rules about them.

    Raises:
        ConfigError: names the key.
    """
    for source in egress.sources:
        if source.warmup and source.warmup not in plans:
            raise ConfigError(
                f"egress.sources.{source.name}.warmup: there is no plan {source.warmup!r}; there is"
                f" {', '.join(sorted(plans))}."
            )
    for pool in egress.pools.values():
        for member in pool.members:
            if unknown := member.providers - {DEFAULT, *providers}:
                raise ConfigError(
                    f"egress.pools.{pool.name}.{member.source.name}.providers: there is no provider {min(unknown)!r};"
                    f" there is {', '.join(sorted({DEFAULT, *providers}))}."
                )


def parse_smarthost(text: str, key: str) -> Smarthost:
    """Parse `smarthost://[user:password@]host:port`, the value of the setting `key`.

    Raises:
        ConfigError: it is not of that form; names the key and does not repeat the value, which may hold a password.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "smarthost" or not parts.hostname or not port or has_more:
        choices = "`catch`, `direct` or " if key == "delivery" else ""
        raise ConfigError(
            f"{key} must be {choices}`smarthost://[user:password@]host:port`; write @ : / ? # % in a password as"
            " %40 %3A %2F %3F %23 %25."
        )
    if bool(parts.username) != bool(parts.password):
        raise ConfigError(f"{key}: a smart host's user and password go together.")
    return Smarthost(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


def _takes(member: Member, provider: str, named: frozenset[str]) -> bool:
    wanted = member.providers
    return not wanted or provider in wanted or (DEFAULT in wanted and provider not in named)


def _drawn(weights: Sequence[int], chance: float) -> tuple[int, float]:
    """Return which one `chance` hits, and what is left of the chance: again 0 to below 1, and even."""
    point = chance * sum(weights)
    at = 0
    while at < len(weights) - 1 and point >= weights[at]:
        point -= weights[at]
        at += 1
    return at, min(point / weights[at], _BELOW_ONE)  # The last may get a hair over its weight: rounding.


def _refuse_names(settings: EgressSettings) -> None:
    for table, names in (("sources", settings.sources), ("pools", settings.pools)):
        for name in names:
            if not _NAME.fullmatch(name) or len(name) > _NAME_CHARS_MAX:
                raise ConfigError(
                    f"egress.{table}.{name}: a name has only lower-case letters, digits, and single - or _ between"
                    f" them, at most {_NAME_CHARS_MAX}."
                )


def _source(name: str, entry: SourceEntry, default: Source) -> Source:
    key = f"egress.sources.{name}"
    if not entry.address and not entry.smarthost:
        raise ConfigError(f"{key} needs an `address`, or a `smarthost`.")
    smarthost = parse_smarthost(entry.smarthost, f"{key}.smarthost") if entry.smarthost else default.smarthost
    ip = _parse_address(entry.address, f"{key}.address")
    return Source(name, ip, entry.ehlo_name or default.ehlo_name, smarthost, entry.warmup)


def _parse_address(text: str, key: str) -> str:
    """Return the address in its shortest form, "" as it is."""
    if not text:
        return ""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError as error:
        # Not repeated: it may be a smart host with its password, in the wrong place.
        raise ConfigError(f"{key} is no IPv4 or IPv6 address.") from error
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            raise ConfigError(f"{key}: {text!r} has a zone, so the world cannot answer it. Take a global address.")
        ip = ip.ipv4_mapped or ip
    if ip.is_unspecified or ip.is_multicast:
        raise ConfigError(f"{key}: {text!r} is no address that mail can come from.")
    return str(ip)


def _refuse_twins(sources: Iterable[Source]) -> None:
    holders: dict[str, str] = {}
    for source in sources:
        if source.address and (other := holders.setdefault(source.address, source.name)) != source.name:
            raise ConfigError(
                f"egress.sources.{source.name}.address: {source.address} is that of {other!r} too; its limits and its"
                " warm-up would be counted twice."
            )


def _pool(name: str, entries: Mapping[str, MemberEntry], sources: Mapping[str, Source]) -> Pool:
    members = tuple(_member(name, source, entry, sources) for source, entry in entries.items())
    named = frozenset().union(*(member.providers for member in members)) - {DEFAULT}
    regular = [member for member in members if member.use is not Use.OVERFLOW]
    for provider in [*sorted(named), ""] if members else []:
        if not any(_takes(member, provider, named) for member in regular):
            raise ConfigError(
                f"egress.pools.{name}: no member takes mail to {provider or 'all other providers'!r}, so it would wait"
                " for ever. Give the pool a member for it that is not `overflow`; one without `providers` takes all,"
                ' one with "default" all that no other names.'
            )
    return Pool(name, members, named)


def _member(pool: str, name: str, entry: MemberEntry, sources: Mapping[str, Source]) -> Member:
    if name not in sources:
        known = ", ".join(sources)
        raise ConfigError(f"egress.pools.{pool}.{name}: there is no source {name!r} on this node; there is {known}.")
    return Member(sources[name], entry.weight, entry.use, frozenset(entry.providers))


def _assignment(at: int, entry: AssignEntry, pools: Mapping[str, Pool]) -> Assignment:
    key = f"egress.assign[{at}]"
    if entry.pool not in pools:
        raise ConfigError(
            f"{key}.pool: there is no pool {entry.pool!r}; there is {', '.join(sorted(pools))}. One that another node"
            f" serves is declared with an empty table, [egress.pools.{entry.pool}]."
        )
    try:
        domain = address.parse_domain(entry.domain) if entry.domain else ""
    except CallerError as error:
        raise ConfigError(f"{key}.domain: {entry.domain!r} is no domain name.") from error
    project = entry.project.lower() if _ID.fullmatch(entry.project) else entry.project
    return Assignment(entry.pool, entry.stream, project, domain)


def _is_for_all(assignment: Assignment) -> bool:
    return assignment.stream is None and not assignment.project and not assignment.domain
