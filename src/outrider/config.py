"""The one reader of file and environment. Every floor gets its own section and nothing else.

One TOML file (OUTRIDER_CONFIG, else `outrider.toml` in the data directory, if there is one), overridden by the
environment: OUTRIDER_ENGINE__LEASE_S=60 sets [engine] lease_s, and the few names in `SHORT_NAMES` have a short form. An
unknown key, a wrong type or a value out of bounds stops the start with a sentence that names the key; it is never
ignored.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin
from urllib.parse import unquote, urlsplit

import msgspec

from outrider.base.errors import ConfigError
from outrider.engine.settings import EngineSettings
from outrider.faces.settings import FacesSettings
from outrider.net.settings import NetSettings
from outrider.obs.settings import LogSettings
from outrider.policy.settings import RetrySettings, ShapingSettings
from outrider.store.settings import EmbeddedSettings, StoreSettings

PREFIX: Final = "OUTRIDER_"
FILE_NAME: Final = "outrider.toml"
SHORT_NAMES: Final[Mapping[str, str]] = {
    "HTTP_PORT": "faces.http_port",
    "CATCH_PORT": "faces.catch_port",
    "SUBMISSION_PORT": "faces.submission_port",
    "SUBMISSIONS_PORT": "faces.submissions_port",
    "INBOUND_PORT": "faces.inbound_port",
    "DNS_SERVER": "net.dns_server",
    "SMTP_PORT": "net.smtp_port",
    "ALLOW_PRIVATE_MX": "net.allow_private_mx",
}
_OURS: Final = frozenset({"CONFIG", "PARENT_FD"})  # Read by cli, not settings.


class Smarthost(msgspec.Struct, frozen=True):
    """One fixed way out."""

    host: str
    port: int
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Smarthost({self.host!r}, {self.port}, {self.username!r}, ***)"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    data_dir: str = "data"
    """Everything Outrider keeps: embedded database, catch mailbox, master key. Relative to where you start it."""

    delivery: str = "catch"
    """The way out. `catch`: into the built-in mailbox, nothing leaves the machine. `direct`: to each domain's MX hosts.
    `smarthost://[user:password@]host:port`: everything through one server."""

    database_url: str = ""
    """postgresql://USER@HOST/DB, 16 or newer; several hosts with commas. Empty starts the embedded server."""

    faces: FacesSettings = FacesSettings()
    engine: EngineSettings = EngineSettings()
    retry: RetrySettings = RetrySettings()
    shaping: ShapingSettings = ShapingSettings()
    net: NetSettings = NetSettings()
    store: StoreSettings = StoreSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    log: LogSettings = LogSettings()

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
    def smarthost(self) -> Smarthost | None:
        """The smart host, None in the other modes."""
        return parse_smarthost(self.delivery) if self.delivery.startswith("smarthost:") else None


def load(env: Mapping[str, str]) -> Config:
    """Read file and environment.

    Raises:
        ConfigError: names the key, what is wrong with it, and what was probably meant.
    """
    tree = _read_file(env)
    for name, value in env.items():
        if name.startswith(PREFIX) and (key := name.removeprefix(PREFIX)) not in _OURS:
            _set(tree, name, key, value)
    _check_keys(tree, Config, "")
    try:
        # Values from the environment are text: "600" becomes 600.0.
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"A setting is wrong: {error}.") from error
    if config.delivery not in ("catch", "direct"):
        parse_smarthost(config.delivery)
    return config


def read_shaping_file(config: Config) -> str:
    """Read the operator's own providers and reply rules, "" if there are none; `policy.shaping.parse` takes the text.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not config.shaping.file:
        return ""
    path = config.data_path / Path(config.shaping.file).expanduser()
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[shaping] file names {path}, which cannot be read: {error}.") from error


def parse_smarthost(text: str) -> Smarthost:
    """Parse `smarthost://[user:password@]host:port`.

    Raises:
        ConfigError: it is not of that form.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "smarthost" or not parts.hostname or not port or has_more:
        raise ConfigError(
            "delivery must be `catch`, `direct` or `smarthost://[user:password@]host:port`; write @ : / ? # % in a"
            " password as %40 %3A %2F %3F %23 %25."
        )
    if bool(parts.username) != bool(parts.password):
        raise ConfigError("delivery: a smart host's user and password go together.")
    return Smarthost(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


def _read_file(env: Mapping[str, str]) -> dict[str, Any]:
    named = env.get(f"{PREFIX}CONFIG")
    path = Path(named) if named else Path(env.get(f"{PREFIX}DATA_DIR", Config().data_dir)) / FILE_NAME
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if named:
            raise ConfigError(f"OUTRIDER_CONFIG names {path}, which does not exist.") from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error


def _set(tree: dict[str, Any], name: str, key: str, value: str) -> None:
    path = SHORT_NAMES[key].split(".") if key in SHORT_NAMES else key.lower().split("__")
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{name}: {part} is not a table.")
    node[path[-1]] = value


def _check_keys(tree: Mapping[str, Any], kind: type[msgspec.Struct], place: str) -> None:
    """Find unknown keys before msgspec does, to say what was probably meant."""
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        if key not in fields:
            where = f"[{place}] " if place else ""
            raise ConfigError(
                f"There is no setting {where}{key!r} (environment: {_env_name(place, key)}).{_hint(key, fields, place)}"
            )
        _check_table(value, fields[key], f"{place}.{key}" if place else key)


def _check_table(value: Any, kind: Any, place: str) -> None:
    """Look into a table, or into a table of tables, whose names are the operator's own."""
    if not isinstance(value, Mapping):
        return
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _check_keys(value, kind, place)
    elif get_origin(kind) is dict:
        for name, part in value.items():
            _check_table(part, get_args(kind)[1], f"{place}.{name}")
            _check_named(part, get_args(kind)[1], f"{place}.{name}")


def _check_named(value: Any, kind: Any, place: str) -> None:
    """Say which table of a table of tables is wrong: msgspec would say [...]."""
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"A setting is wrong in [{place}]: {error}.") from error


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
    return PREFIX + (f"{place.replace('.', '__')}__{key}" if place else key).upper()
