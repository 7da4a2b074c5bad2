"""The parent of `outrider serve`: starts the roles' processes, keeps them and the embedded database alive, stops them.

    serve ── web x N ── deliver x M ── smtp ── worker          (each `cli.role`, on the same database)

A process that dies is started again, at once the first time, then slower. Each role of a data directory belongs to one
supervisor: a lock file per role is held by it and inherited by its children, so a new one waits until the last child of
a killed one is gone; only then may a deliver process free the lanes of its slot's last holder. Children notice a
killed parent by the end of their pipe.

Stop order: faces refuse (web, worker), then deliver finishes its conversations and gives its lanes back, then smtp (the
catch receiver outlives those who deliver to it), then the database. The whole takes under 5 s; what has not
ended by then is killed, which loses nothing that was accepted.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outrider.app import deliver_count
from outrider.base.clock import Clock
from outrider.base.errors import ConfigError, StoreError
from outrider.cli.role import PARENT_FD
from outrider.config import Config
from outrider.database import Database
from outrider.obs.log import Logger

ROLES: Final = ("web", "smtp", "deliver", "worker")
_STOP_ORDER: Final = (("web", "worker"), ("deliver",), ("smtp",))
_STOP_WAIT_S: Final = 4.0  # Issue 2: a stop takes under 5 s.
_LOCK_WAIT_S: Final = 15.0  # Children of a killed supervisor need at most their own stop time.
_PAUSE_S_MIN: Final = 0.1
_PAUSE_S_MAX: Final = 5.0
_HEALTHY_S: Final = 30.0  # Alive that long: the next death is a first one again.
_WATCH_S: Final = 0.5


class Slot(msgspec.Struct, frozen=True):
    """One process to keep: the `number`th of its role."""

    role: str
    number: int


def slots_of(config: Config, roles: Sequence[str]) -> list[Slot]:
    """Return the processes these roles need."""
    counts = {
        "web": config.faces.web_workers,
        "smtp": 1,
        "deliver": deliver_count(config),
        "worker": 1,
    }
    return [Slot(role, number) for role in ROLES if role in roles for number in range(counts[role])]


class Supervisor:
    """Keeps `slots` running on `database` until `run` is told to stop."""

    def __init__(
        self,
        config: Config,
        database: Database,
        slots: Sequence[Slot],
        locks: Sequence[int],
        *,
        clock: Clock,
        log: Logger,
    ) -> None:
        """`locks` are the descriptors of `lock_roles`, handed down to the children."""
        self._config: Final = config
        self._database: Final = database
        self._slots: Final = slots
        self._locks: Final = locks
        self._clock: Final = clock
        self._log: Final = log
        self._children: Final[dict[Slot, asyncio.subprocess.Process]] = {}
        self._stopping = asyncio.Event()

    async def run(self, stop_asked: asyncio.Event) -> None:
        """Start everything, keep it running until `stop_asked`, stop it in order."""
        our_end, their_end = os.pipe()
        env = self._child_env(our_end)
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(self._keep(slot, env, (our_end, *self._locks)))
                group.create_task(self._watch_database())
                await stop_asked.wait()
                self._stopping.set()
                await self._stop_children()
        finally:
            os.close(their_end)
            os.close(our_end)

    def _child_env(self, parent_fd: int) -> dict[str, str]:
        metrics_dir = self._config.data_path / "run" / "metrics"
        _clear_metrics(metrics_dir)
        return os.environ | {
            "OUTRIDER_DATA_DIR": str(self._config.data_path),
            "OUTRIDER_DATABASE_URL": self._database.dsn,
            "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
            PARENT_FD: str(parent_fd),
        }

    async def _keep(self, slot: Slot, env: Mapping[str, str], descriptors: tuple[int, ...]) -> None:
        pause_s = _PAUSE_S_MIN
        while not self._stopping.is_set():
            started_s = self._clock.monotonic_s()
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "outrider.cli.role",
                slot.role,
                str(slot.number),
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
            )
            self._children[slot] = child
            if self._stopping.is_set():
                child.terminate()  # The stop came while it was being started.
            code = await child.wait()
            self._children.pop(slot, None)
            if self._stopping.is_set():
                return
            if self._clock.monotonic_s() - started_s > _HEALTHY_S:
                pause_s = _PAUSE_S_MIN
            self._log.error("role_died", role=slot.role, slot=slot.number, exit_code=code, restart_in_s=pause_s)
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)

    async def _watch_database(self) -> None:
        """Start the embedded server again when somebody killed it."""
        server = self._database.server
        while server is not None and not self._stopping.is_set():
            await self._pause(_WATCH_S)
            try:
                if not self._stopping.is_set():
                    await server.ensure()
            except (StoreError, ConfigError) as error:
                self._log.error("database_not_started", error=error.public, **error.detail)

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    async def _stop_children(self) -> None:
        deadline_s = self._clock.monotonic_s() + _STOP_WAIT_S
        for roles in _STOP_ORDER:
            leaving = [(slot, child) for slot, child in self._children.items() if slot.role in roles]
            for _, child in leaving:
                _signal(child, signal.SIGTERM)
            for slot, child in leaving:
                try:
                    async with asyncio.timeout(max(0.1, deadline_s - self._clock.monotonic_s())):
                        await child.wait()
                except TimeoutError:
                    self._log.warning("role_killed", role=slot.role, slot=slot.number)
                    _signal(child, signal.SIGKILL)


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It has just ended by itself.
        child.send_signal(number)


async def lock_roles(run_dir: Path, roles: Sequence[str], *, clock: Clock) -> list[int]:
    """Take the lock of each role, waiting for the children of a killed supervisor; return the descriptors to keep.

    Raises:
        ConfigError: another Outrider runs this role on this data directory, or a lock's file cannot be written.
    """
    deadline_s = clock.monotonic_s() + _LOCK_WAIT_S
    descriptors: list[int] = []
    try:
        for role in roles:
            descriptors.append(_open_lock(run_dir / f"{role}.lock"))
            await _lock(descriptors[-1], role, deadline_s, clock)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors


def running_roles(run_dir: Path) -> frozenset[str]:
    """Return the roles that run on this data directory now, by their locks. Takes none, writes nothing."""
    found = set()
    for role in ROLES:
        try:
            descriptor = os.open(run_dir / f"{role}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # It has never run here, or is somebody else's.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found.add(role)
        finally:
            os.close(descriptor)
    return frozenset(found)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}. Who owns the data directory?") from error


async def _lock(descriptor: int, role: str, deadline_s: float, clock: Clock) -> None:
    """Take the lock and write our number into its file."""
    while not _try_lock(descriptor):
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        if _is_alive(owner) or clock.monotonic_s() > deadline_s:
            raise ConfigError(
                f"Outrider runs here already (role {role}, process {owner or 'unknown'}): stop it, or set"
                " OUTRIDER_DATA_DIR and the ports for a second one."
            )
        await clock.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def check_port(host: str, port: int, setting: str) -> None:
    """Make sure that nobody listens there. Our own processes share the port, so they would not notice.

    Raises:
        ConfigError: names the setting to change.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror}. Set {setting}.") from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    """Whether the supervisor that wrote its number into the lock still runs (a child may hold the lock after it)."""
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _clear_metrics(directory: Path) -> None:
    """Remove the metric files of processes that are gone; those of another supervisor's children stay."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        if not _is_alive(file.stem.rpartition("_")[2]):
            file.unlink(missing_ok=True)
