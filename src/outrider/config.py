"""The one reader of file and environment. Every floor gets its own section and nothing else.

One TOML file (OUTRIDER_CONFIG, else `outrider.toml` in the data directory, if there is one), overridden by the
environment: OUTRIDER_ENGINE__LEASE_S=60 sets [engine] lease_s, and the few names in `SHORT_NAMES` have a short form. A
list is written there as in the file: OUTRIDER_EGRESS__ASSIGN='[{stream = "marketing", pool = "bulk"}]'.

An unknown key, a wrong type or a value out of bounds stops the start with a sentence that names the key; it is never
ignored.
"""

import difflib
import enum
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from outrider.base import networks
from outrider.base.errors import ConfigError
from outrider.base.networks import Network
from outrider.engine.settings import EngineSettings
from outrider.faces.settings import FacesSettings, SubmissionSettings
from outrider.net.settings import NetSettings
from outrider.obs.settings import LogSettings
from outrider.policy import route, simulate
from outrider.policy.route import Egress, Smarthost, Source
from outrider.policy.settings import ClassifySettings, EgressSettings, RetrySettings, ShapingSettings, WarmupSettings
from outrider.services.settings import (
    AccessSettings,
    ContentSettings,
    IdentitySettings,
    InboundSettings,
    RetentionSettings,
    TrackingSettings,
    WebhookSettings,
)
from outrider.store.settings import EmbeddedSettings, StoreSettings

PREFIX: Final = "OUTRIDER_"
FILE_NAME: Final = "outrider.toml"
SHORT_NAMES: Final[Mapping[str, str]] = {
    "HTTP_PORT": "faces.http_port",
    "CATCH_PORT": "faces.catch_port",
    "SUBMISSION_PORT": "faces.submission_port",
    "SUBMISSIONS_PORT": "faces.submissions_port",
    "INBOUND_PORT": "faces.inbound_port",
    "SIMULATOR_PORT": "faces.simulator_port",
    "DNS_SERVER": "net.dns_server",
    "SMTP_PORT": "net.smtp_port",
    "ALLOW_PRIVATE_MX": "net.allow_private_mx",
}
_OURS: Final = frozenset({"CONFIG", "PARENT_FD"})  # Read by cli, not settings.


class Origin(enum.StrEnum):
    """Where the value of a setting comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"


class Setting(msgspec.Struct, frozen=True):
    """One effective value, as it may be shown."""

    key: str  # As in the file, with its table: "net.dns_server".
    value: str  # As in the file; what is secret is "***".
    origin: Origin
    place: str = ""  # The file, or the variable; "" of a default.


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    data_dir: str = "data"
    """Everything Outrider keeps: embedded database, catch mailbox, master key. Relative to where you start it."""

    delivery: str = "catch"
    """The way out. `catch`: into the built-in mailbox, nothing leaves the machine. `direct`: to each domain's MX hosts.
    `smarthost://[user:password@]host:port`: everything through one server."""

    database_url: str = ""
    """postgresql://USER@HOST/DB, 16 or newer; several hosts with commas. Empty starts the embedded server."""

    master_key: str = ""
    """Where the master keys are, which open the private keys in the database: `file:PATH` or `env:NAME`, never the key
    itself. Empty: `master.key` in the data directory, made at the first start."""

    faces: FacesSettings = FacesSettings()
    submission: SubmissionSettings = SubmissionSettings()
    engine: EngineSettings = EngineSettings()
    retry: RetrySettings = RetrySettings()
    classify: ClassifySettings = ClassifySettings()
    warmup: WarmupSettings = WarmupSettings()
    shaping: ShapingSettings = ShapingSettings()
    net: NetSettings = NetSettings()
    store: StoreSettings = StoreSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    log: LogSettings = LogSettings()
    egress: EgressSettings = EgressSettings()
    inbound: InboundSettings = InboundSettings()
    identity: IdentitySettings = IdentitySettings()
    access: AccessSettings = AccessSettings()
    content: ContentSettings = ContentSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    tracking: TrackingSettings = TrackingSettings()

    def __repr__(self) -> str:
        # Both may hold a password.
        database = "***" if self.database_url else "embedded"
        delivery = self.delivery if self.delivery in ("catch", "direct") else "smarthost:***"
        return f"Config(data_dir={self.data_dir!r}, delivery={delivery!r}, database={database})"

    @property
    def data_path(self) -> Path:
        """`data_dir`, absolute."""
        return Path(self.data_dir).expanduser().resolve()

    @property
    def is_catch(self) -> bool:
        """Mail goes into the built-in mailbox."""
        return self.delivery == "catch"

    @property
    def links_root(self) -> str:
        """What links in our mail begin with, without a last slash; "" if the world has no way to our pages."""
        if self.faces.public_url or not self.is_catch:
            return self.faces.public_url.rstrip("/")
        return f"http://{self.faces.http_host}:{self.faces.http_port}"  # Who reads that mail is on this machine.

    @property
    def smarthost(self) -> Smarthost | None:
        """The smart host, None in the other modes."""
        return route.parse_smarthost(self.delivery, "delivery") if self.delivery.startswith("smarthost:") else None

    def make_egress(self) -> Egress:
        """Return the sources and pools of [egress]; without any, the one that [net] and `delivery` make.

        Raises:
            ConfigError: names the key.
        """
        if self.egress.sources and self.net.source:
            raise ConfigError("net.source is the one source of a node without [egress.sources]; set it there.")
        default = Source(route.DEFAULT, self.net.source, self.net.ehlo_name, self.smarthost)
        return route.make_egress(self.egress, default)

    def trusted_proxies(self) -> tuple[Network, ...]:
        """Return the ranges of [faces] trusted_proxies. Raises ConfigError."""
        try:
            return tuple(networks.parse(text) for text in self.faces.trusted_proxies)
        except ValueError as error:
            raise ConfigError(f"faces.trusted_proxies: {error}; write 192.0.2.7 or 192.0.2.0/24.") from error

    def webhook_ranges(self) -> tuple[Network, ...]:
        """Return the ranges of [webhooks] allow_ranges. Raises ConfigError."""
        try:
            return tuple(networks.parse(text) for text in self.webhooks.allow_ranges)
        except ValueError as error:
            raise ConfigError(f"webhooks.allow_ranges: {error}; write 10.1.2.3 or 10.1.0.0/16.") from error

    def submission_networks(self) -> tuple[tuple[Network, str], ...]:
        """Return the ranges of [submission] networks, each with its access key id. Raises ConfigError."""
        try:
            return tuple((networks.parse(one.range), one.access_key_id) for one in self.submission.networks)
        except ValueError as error:
            raise ConfigError(f"submission.networks: {error}; write 192.0.2.7 or 192.0.2.0/24.") from error

    def own_addresses(self) -> Mapping[str, str]:
        """Return the addresses that this machine must have, by the setting that names each. Raises ConfigError."""
        is_implicit = not self.egress.sources
        return {
            "net.source" if is_implicit else f"egress.sources.{source.name}.address": source.address
            for source in self.make_egress().sources
            if source.address
        }


def load(env: Mapping[str, str]) -> Config:
    """Read file and environment.

    Raises:
        ConfigError: names the key, what is wrong with it, and what was probably meant.
    """
    tree = _read_file(env)
    for name, key, value in _from(env):
        _set(tree, name, key, value)
    _check_keys(tree, Config, "")
    try:
        # Values from the environment are text: "600" becomes 600.0.
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"A setting is wrong: {_fault(tree, Config, '$', error)}.") from error
    if config.delivery not in ("catch", "direct"):
        route.parse_smarthost(config.delivery, "delivery")
    if config.faces.simulator_answers_to:
        simulate.parse_host_port(config.faces.simulator_answers_to, "faces.simulator_answers_to")
    if config.tracking.tls_listen:
        simulate.parse_host_port(config.tracking.tls_listen, "tracking.tls_listen")
    config.trusted_proxies()
    config.webhook_ranges()
    config.submission_networks()
    pools = config.make_egress().pools
    for name in config.shaping.pools:
        if name not in pools:
            raise ConfigError(
                f"shaping.pools.{name}: there is no pool {name!r}; there is {', '.join(sorted(pools))}. One that"
                f" another node serves is declared with an empty table, [egress.pools.{name}]."
            )
    return config


def explain(env: Mapping[str, str]) -> Sequence[Setting]:
    """Return every effective value with its origin, in the order of the settings' page, secrets masked.

    Of tables with names of the operator's own, such as [egress.sources], what is written there.

    Raises:
        ConfigError: as `load`.
    """
    config = load(env)
    tree, path = _read_file(env), str(_file_of(env).absolute())
    places: dict[str, str] = {}
    for name, key, value in _from(env):
        places[".".join(_path_of(key))] = name
        _set(tree, name, key, value)
    found: list[Setting] = []
    for key, leaf, is_written in _leaves(config, tree, ""):
        shown = _shown(key, leaf)
        variable = next((places[above] for above in _aboves(key) if above in places), "")
        if variable:
            found.append(Setting(key, shown, Origin.ENVIRONMENT, variable))
        elif is_written:
            found.append(Setting(key, shown, Origin.FILE, path))
        else:
            found.append(Setting(key, shown, Origin.DEFAULT))
    return found


def read_own_file(config: Config, name: str, key: str) -> str:
    """Read a file of the operator's own, relative to the data directory; "" if the setting names none.

    Args:
        name: the value of the setting; it may begin with `~`.
        key: the setting, such as `[shaping] file`, for the complaint.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not name:
        return ""
    path = config.data_path / Path(name).expanduser()
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key} names {path}, which cannot be read: {error}.") from error


def _from(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Give each setting of the environment: the variable, its name without prefix, its text."""
    for name, value in env.items():
        if name.startswith(PREFIX) and (key := name.removeprefix(PREFIX)) not in _OURS:
            yield name, key, value


def _path_of(key: str) -> list[str]:
    return SHORT_NAMES[key].split(".") if key in SHORT_NAMES else key.lower().split("__")


def _leaves(
    value: object, written: object, place: str, *, is_named: bool = False
) -> Iterator[tuple[str, object, bool]]:
    """Give each single value below, with its key and whether file or environment has it.

    `is_named`: it is in a table with a name of the operator's own, where only what is written matters.
    """
    if isinstance(value, msgspec.Struct):
        parts = [(field.name, getattr(value, field.name)) for field in msgspec.structs.fields(value)]
    elif isinstance(value, Mapping) and value:
        parts, is_named = list(value.items()), True
    elif isinstance(value, tuple) and any(isinstance(one, msgspec.Struct) for one in value):
        parts, is_named = [(f"[{at}]", one) for at, one in enumerate(value, 1)], True
        written = {f"[{at}]": one for at, one in enumerate(written, 1)} if isinstance(written, list) else written
    else:
        yield place, value, written is not None
        return
    below = written if isinstance(written, Mapping) else {}
    for name, part in parts:
        if name in below or not is_named:
            yield from _leaves(part, below.get(name), _join(place, name), is_named=is_named)


def _aboves(key: str) -> Iterator[str]:
    """Give the key and each table that it is in: a list comes whole from one variable."""
    yield key
    while "." in key or "[" in key:
        key = key[: max(key.rfind("."), key.rfind("["))]
        yield key


def _shown(key: str, value: object) -> str:
    """Return a value as the file has it, without its secrets."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple() | list() | frozenset():
            return f"[{', '.join(_shown(key, one) for one in value)}]"
        case Mapping():
            return "{}"  # One that has something in it is shown by what that is.
        case None | "":
            return '""'
        case str() if key == "database_url" or (key == "master_key" and not value.startswith(("file:", "env:"))):
            return "***"
        case str() if value.startswith("smarthost:"):
            host = route.parse_smarthost(value, key)
            return f"smarthost://{'***@' if host.username else ''}{host.host}:{host.port}"
        case _:
            return str(value)


def _file_of(env: Mapping[str, str]) -> Path:
    named = env.get(f"{PREFIX}CONFIG")
    return Path(named) if named else Path(env.get(f"{PREFIX}DATA_DIR", Config().data_dir)) / FILE_NAME


def _read_file(env: Mapping[str, str]) -> dict[str, Any]:
    named, path = env.get(f"{PREFIX}CONFIG"), _file_of(env)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if named:
            raise ConfigError(f"OUTRIDER_CONFIG names {path}, which does not exist.") from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error


def _set(tree: dict[str, Any], name: str, key: str, value: str) -> None:
    path = _path_of(key)
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{name}: {part} is not a table.")
    node[path[-1]] = _listed(path, value)


def _listed(path: Sequence[str], value: str) -> object:
    """Return a list that was written as in TOML, where the setting is one; the text as it is otherwise."""
    kind: Any = Config
    for name in path:
        kind = next((part_kind for part, _, part_kind in _parts({name: value}, kind) if part == name), None)
    if get_origin(kind) is not tuple:
        return value
    try:
        return tomllib.loads(f"list = {value}")["list"]
    except tomllib.TOMLDecodeError:
        return value  # The conversion will say that it is no list.


def _parts(value: object, kind: Any) -> list[tuple[str, object, Any]]:
    """Return what a table or list holds, with the names we have for it: name, value, declared type; [] of others."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(value, Mapping) and _is_record(kind):
        kinds = {field.name: field.type for field in msgspec.structs.fields(kind)}
        return [(key, part, kinds[key]) for key, part in value.items() if key in kinds]
    if isinstance(value, Mapping) and get_origin(kind) is dict:
        return [(key, part, get_args(kind)[1]) for key, part in value.items()]
    if isinstance(value, list) and get_origin(kind) is tuple:
        return [(f"[{at}]", part, get_args(kind)[0]) for at, part in enumerate(value, 1)]
    return []


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _join(place: str, name: str) -> str:
    return f"{place}{name}" if name.startswith("[") or not place else f"{place}.{name}"


def _fault(value: object, kind: Any, place: str, error: msgspec.ValidationError) -> str:
    """Say what is wrong and where, with the names in tables and lists that msgspec leaves out."""
    for name, part, part_kind in _parts(value, kind):
        try:
            msgspec.convert(part, part_kind, strict=False)
        except msgspec.ValidationError as inner:
            return _fault(part, part_kind, _join(place, name), inner)
    return f"{str(error).partition(' - at ')[0]} - at `{place}`"


def _check_keys(tree: object, kind: Any, place: str) -> None:
    """Find unknown keys before msgspec does, to say what was probably meant."""
    if isinstance(tree, Mapping) and _is_record(kind):
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key in tree:
            if key not in fields:
                where = f"[{place}] " if place else ""
                name = "" if "[" in place else f" (environment: {_env_name(place, key)})"
                raise ConfigError(f"There is no setting {where}{key!r}{name}.{_hint(key, fields, place)}")
    for name, part, part_kind in _parts(tree, kind):
        if isinstance(part, Mapping | list):
            _check_keys(part, part_kind, _join(place, name))


def _hint(key: str, fields: Mapping[str, Any], place: str) -> str:
    """Say what was probably meant by `key`, "" if nothing comes to mind."""
    if not place:
        if (
            full := SHORT_NAMES.get(key.upper())
        ) is not None:  # From the file: in the environment it would have worked.
            table, _, name = full.partition(".")
            return f" In the file it is {name!r} in [{table}]."
        for table in fields:
            if key.startswith(f"{table}_"):
                return f" Did you mean {_env_name(table, key.removeprefix(f'{table}_'))}, with two underscores?"
    near = difflib.get_close_matches(key, fields, 1, 0.5)
    if not near and not place:
        near = difflib.get_close_matches(key, [name.lower() for name in SHORT_NAMES], 1, 0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def _env_name(place: str, key: str) -> str:
    return PREFIX + _join(place, key).replace(".", "__").upper()
