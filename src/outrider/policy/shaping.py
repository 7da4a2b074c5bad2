"""What a provider takes, and what we do when it says "slower". Pure; the knowledge is data (`shaping.toml`), not code.

A provider is a name for a set of MX hosts: "gmail" is `*.google.com` and `*.googlemail.com`. A domain counts as a
provider only if every one of its MX hosts matches, so a domain with a spare MX elsewhere is nobody's; the first
provider in file order decides. What matches none has the limits of `default`, counted by its own set of hosts.

A reply rule is searched in the classifier's line. The rules of the provider come before those for "*"; the first that
matches decides, and all its acts follow. What an act does to a source is `policy.throttle`.

The operator's own file comes before ours: its providers are asked first, its rules win among those of the same
provider, and a name or id of ours replaces ours. Single numbers are changed in the settings: data, then
[shaping.providers.NAME], then [shaping.pools.POOL.NAME]. Reading files is the caller's affair (`config`, `app`).
"""

import difflib
import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeVar

import msgspec

from outrider.base.errors import ConfigError
from outrider.policy.reason import Reason
from outrider.policy.rulefile import check_rules, compile_pattern, read_toml
from outrider.policy.settings import Encryption, Override, ShapingSettings

DEFAULT: Final = "default"  # The limits of every domain without a provider, and its name where all are counted as one.
SMARTHOST: Final = "smarthost"
CATCH: Final = "catch"
BUILT_IN: Final = frozenset({DEFAULT, SMARTHOST, CATCH})  # Chosen by their name, never by MX hosts.
ANY: Final = "*"  # In a rule: whoever says it, domains without a provider too.
RATES_COUNT_MAX: Final = 4  # One each per second, minute, hour and day; the gate's record has room for as many.
_WINDOWS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATE: Final = re.compile(r"\s*([0-9]{1,9})\s*/\s*(s|min|h|d)\s*")
_MX: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_UNCHANGED: Final = ShapingSettings()
_T = TypeVar("_T")


class Rate(msgspec.Struct, frozen=True, gc=False):
    """So many in such a time."""

    count: int
    window_s: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source address may do at one provider."""

    connections: int = 5
    connections_per_site: int = 0  # 0: no bound of its own below the provider's.
    messages_per_connection: int = 50
    rates: tuple[Rate, ...] = ()  # At most `RATES_COUNT_MAX`; all of them hold.
    connection_rate: Rate | None = None
    tls: Encryption = Encryption.OPPORTUNISTIC


class Act(enum.StrEnum):
    """What a reply makes us do."""

    SLOW = "slow"  # Cut this source's rate at the provider; it comes back by degrees.
    PAUSE = "pause"  # Stop the provider for the whole pool.
    REST = "rest"  # Stop this source at the provider; others go on.
    CAP = "cap"  # Lower limits for a while.
    RECONNECT = "reconnect"  # Close this connection; a new one may be opened at once.


class Reaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One act of one rule."""

    rule: str
    act: Act
    for_s: float = 0.0  # PAUSE, REST, CAP: how long.
    hits: int = 1  # Acts at this many replies ...
    within_s: float = 3600.0  # ... within this time.
    rate: Rate | None = None  # CAP: what holds meanwhile, as do the next two; 0 leaves a limit alone.
    connections: int = 0
    messages_per_connection: int = 0
    is_temporary: bool = False  # Deferred, whatever the code.


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a domain's mail counts."""

    provider: str  # "" if it is no provider we know.
    key: str  # What limits are counted by: the provider, else the set of MX hosts.
    is_simulated: bool = False  # It only plays the provider: it tells nothing about a source's reputation there.


class Provider(Override, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[provider]] of the file. Limits it leaves out are as in `Limits`."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]
    mx: tuple[str, ...] = ()  # "mx.example", or "*.example" for sub-domains of any depth.
    source: str = ""  # Where we have it from; ours have one (tests/tidy/test_shaping_lint.py).
    seen_on: date | None = None  # When it was true.


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a rule's `acts`: a `Reaction` as it is written."""

    act: Act
    for_s: Annotated[float, msgspec.Meta(ge=0, le=7 * 86400)] = 0.0
    hits: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    within_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 3600.0
    rate: str = ""
    connections: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    messages_per_connection: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class ReplyRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[rule]] of the file."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", max_length=40)]
    providers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # Names, or "*" alone.
    pattern: str  # On "CODE ENHANCED TEXT", case ignored.
    reason: Reason | None = None  # Only replies that the classifier gives this reason.
    acts: tuple[Step, ...]  # Empty: nothing, and no later rule is asked.
    is_temporary: bool = False
    source: str = ""
    seen_on: date | None = None
    samples: tuple[str, ...] = ()  # Replies that must reach exactly this rule (tests/tidy/test_shaping_lint.py).


class _ShapingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: tuple[Provider, ...] = ()
    rule: tuple[ReplyRule, ...] = ()


class _Matcher(msgspec.Struct, frozen=True):
    """The MX patterns of one provider, ready."""

    name: str
    hosts: frozenset[str]
    suffixes: tuple[str, ...]  # With the dot before: what "*.x" means.

    def takes(self, host: str) -> bool:
        return host in self.hosts or host.endswith(self.suffixes)


class _Ready(msgspec.Struct, frozen=True):
    """One rule, compiled."""

    search: Callable[[str], object]
    reason: str  # "": any.
    rule: ReplyRule
    reactions: tuple[Reaction, ...]


class Shaping:
    """Providers, limits and reply rules. Immutable: one per process, shared by all."""

    def __init__(
        self, providers: Sequence[Provider], rules: Sequence[ReplyRule], settings: ShapingSettings = _UNCHANGED
    ) -> None:
        self.providers: Final = tuple(providers)
        self.rules: Final = tuple(rules)
        self._matchers: Final = [_matcher(provider) for provider in providers if provider.name not in BUILT_IN]
        if lost := BUILT_IN - {p.name for p in providers}:
            raise ConfigError(f"There is no provider {min(lost)}; it must be there.")
        by_provider = {p.name: _changed(Limits(), p, f"Provider {p.name}") for p in providers}
        for name, change in _named(settings.providers, by_provider, "shaping.providers"):
            by_provider[name] = _changed(by_provider[name], change, f"[shaping.providers.{name}]")
        self._by_provider: Final = by_provider
        self._by_pool: Final = {
            (pool, name): _changed(by_provider[name], change, f"[shaping.pools.{pool}.{name}]")
            for pool, changes in settings.pools.items()
            for name, change in _named(changes, by_provider, f"shaping.pools.{pool}")
        }
        self._rules: Final = _sorted_rules(rules, by_provider)

    def place(self, hosts: Iterable[str], site_name: str) -> Place:
        """Return whose limits hold for a domain with these MX hosts. Their order, case and final dot do not matter."""
        names = [_normal(host) for host in hosts]
        if names:
            for matcher in self._matchers:
                if all(map(matcher.takes, names)):
                    return Place(matcher.name, matcher.name)
        return Place("", site_name)

    def limits(self, provider: str, pool: str) -> Limits:
        """Return the limits of one source of that pool; a provider that is "" or unknown has those of `default`."""
        name = provider if provider in self._by_provider else DEFAULT
        return self._by_pool.get((pool, name)) or self._by_provider[name]

    def react(self, provider: str, line: str, reason: str) -> tuple[Reaction, ...]:
        """Return what follows from a reply that was no success; () for nothing. Total, and never asked about a 2xx.

        Args:
            provider: of the place; "" if none.
            line: as `classify.line_of` makes it.
            reason: the classifier's.

        Cost: a search per rule of the provider, 5 to 20 us (2026-11).
        """
        found = self._first(provider, line, reason)
        return found.reactions if found is not None else ()

    def rule_for(self, provider: str, line: str, reason: str) -> ReplyRule | None:
        """Return the rule that decides about the reply: what `react` goes by."""
        found = self._first(provider, line, reason)
        return found.rule if found is not None else None

    def _first(self, provider: str, line: str, reason: str) -> _Ready | None:
        lower = line.lower()
        for ready in self._rules.get(provider) or self._rules[ANY]:
            if ready.reason in ("", reason) and ready.search(lower):
                return ready
        return None


def parse(text: str, settings: ShapingSettings = _UNCHANGED, extra_text: str = "") -> Shaping:
    """Read our file and the operator's, and apply the settings.

    Raises:
        ConfigError: names the file, provider, rule or setting that makes no sense.
    """
    ours = _read(text, "The file of providers")
    extra = _read(extra_text, "The file of [shaping] file")
    names, ids = {p.name for p in extra.provider}, {r.id for r in extra.rule}
    return Shaping(
        (*extra.provider, *(p for p in ours.provider if p.name not in names)),
        (*extra.rule, *(r for r in ours.rule if r.id not in ids)),
        settings,
    )


def parse_rate(text: str) -> Rate:
    """Read "10/s", "600/min", "20/h" or "2000/d".

    Raises:
        ConfigError: it is none of these.
    """
    found = _RATE.fullmatch(text)
    if found is None or not int(found[1]):
        raise ConfigError(f"{text.strip()!r} is no rate; write 10/s, 600/min, 20/h or 2000/d.")
    return Rate(int(found[1]), _WINDOWS_S[found[2]])


def normal_pattern(pattern: str) -> str:
    """Return an MX pattern as it is compared: lower case, no dot at the end.

    Raises:
        ConfigError: it is neither a host's name nor "*." and one.
    """
    normal = _normal(pattern)
    if not _MX.fullmatch(normal):
        raise ConfigError(f"{pattern!r} is no MX pattern; write mx.example or *.example.")
    return normal


def _normal(host: str) -> str:
    return host.lower().removesuffix(".")


def _read(text: str, title: str) -> _ShapingFile:
    file = read_toml(text, _ShapingFile, title)
    seen: set[str] = set()
    for provider in file.provider:
        if provider.name in seen:
            raise ConfigError(f"{title}: two providers are called {provider.name}.")
        seen.add(provider.name)
    check_rules(file.rule)
    return file


def _matcher(provider: Provider) -> _Matcher:
    """Take the provider's patterns apart.

    Raises:
        ConfigError: one is no pattern.
    """
    if not provider.mx:
        raise ConfigError(f"Provider {provider.name} has no MX patterns, so no domain could be its own.")
    patterns = [_told(f"Provider {provider.name}", normal_pattern, pattern) for pattern in provider.mx]
    wild = tuple(pattern.removeprefix("*") for pattern in patterns if pattern.startswith("*"))
    return _Matcher(provider.name, frozenset(p for p in patterns if not p.startswith("*")), wild)


def _changed(limits: Limits, change: Override, where: str) -> Limits:
    """Return the limits with what the change sets."""
    values: dict[str, Any] = {
        name: value for name in Override.__struct_fields__ if (value := getattr(change, name)) is not None
    }
    if "rates" in values:
        values["rates"] = _told(f"{where} rates", _parse_rates, values["rates"])
    if "connection_rate" in values:
        text = values["connection_rate"]
        values["connection_rate"] = _told(f"{where} connection_rate", parse_rate, text) if text.strip() else None
    return msgspec.structs.replace(limits, **values)


def _parse_rates(text: str) -> tuple[Rate, ...]:
    rates = tuple(parse_rate(part) for part in text.split(",")) if text.strip() else ()
    if len(rates) > RATES_COUNT_MAX:
        raise ConfigError(f"{len(rates)} rates; at most {RATES_COUNT_MAX} can hold at once.")
    return rates


def _told(where: str, read: Callable[[str], _T], text: str) -> _T:
    """Read the text; a complaint says where it stands."""
    try:
        return read(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.public}") from error


def _named(changes: Mapping[str, Override], known: Iterable[str], table: str) -> Sequence[tuple[str, Override]]:
    """Return the changes by the provider's own name: a variable of the environment cannot hold a hyphen."""
    found: dict[str, Override] = {}
    for written, change in changes.items():
        name = written.lower().replace("_", "-")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"[{table}.{written}]: there is no provider {name!r}.{hint}")
        if name in found:
            raise ConfigError(f"[{table}.{written}]: {name!r} is there twice.")
        found[name] = change
    return list(found.items())


def _sorted_rules(rules: Sequence[ReplyRule], known: Iterable[str]) -> dict[str, list[_Ready]]:
    """Return the rules to ask for each provider, in their order: its own, then those for everybody."""
    ready: dict[str, list[_Ready]] = {ANY: []}
    for rule in rules:
        reactions = tuple(_reaction(rule, step) for step in rule.acts)
        if rule.is_temporary and not reactions:
            raise ConfigError(f"Rule {rule.id} sets the verdict and does nothing else: give it an act, such as slow.")
        one = _Ready(compile_pattern(rule.pattern).search, rule.reason or "", rule, reactions)
        for name in rule.providers:
            if name != ANY and (name == DEFAULT or name not in known):
                raise ConfigError(
                    f"Rule {rule.id}: there is no provider {name!r} with rules; {ANY!r} is for everybody."
                )
            ready.setdefault(name, []).append(one)
    anybody = ready[ANY]
    return {name: own if name == ANY else [*own, *anybody] for name, own in ready.items()}


def _reaction(rule: ReplyRule, step: Step) -> Reaction:
    """Return what the step says.

    Raises:
        ConfigError: its act lacks a value, or takes none of that kind.
    """
    where = f"Rule {rule.id}, {step.act}"
    has_limits = bool(step.rate or step.connections or step.messages_per_connection)
    if (step.act is Act.CAP) != has_limits:
        raise ConfigError(f"{where}: rate, connections and messages_per_connection are for a cap, which needs one.")
    if (step.act in (Act.PAUSE, Act.REST, Act.CAP)) != bool(step.for_s):
        raise ConfigError(f"{where}: for_s is for pause, rest and cap, which need it.")
    return Reaction(
        rule=rule.id,
        act=step.act,
        for_s=step.for_s,
        hits=step.hits,
        within_s=step.within_s,
        rate=_told(where, parse_rate, step.rate) if step.rate else None,
        connections=step.connections,
        messages_per_connection=step.messages_per_connection,
        is_temporary=rule.is_temporary,
    )
