"""The PostgreSQL that comes with the package: started when first needed, shared, stopped by its last user.

    server = EmbeddedPostgres(data_dir, settings, clock=clock)
    dsn = await server.start()      # makes the cluster, adopts a running server, or starts one
    await server.ensure()           # now and then: starts it again if it died
    await server.stop()             # stops it if nobody else uses it

Several processes may use one data directory. Locks of the kernel, which vanish with their holder, order them:

| lock                        | held                                        | means                                 |
|-----------------------------|---------------------------------------------|---------------------------------------|
| run/postgres.start.lock     | alone, while the server is started, stopped | one change at a time                  |
| run/postgres.users.lock     | shared, from start to stop                  | in use; alone means: I am the last    |
| run/postgres.server.lock    | by the server and its children              | never a second server on the files    |

The server runs in a session of its own: Ctrl-C and the death of whoever started it do not reach it. A server left
behind is adopted by the next start. Nothing a crash leaves behind stops a start: not a stale postmaster.pid, even if a
stranger got its number, nor the server's children, sockets or shared memory (`store.postmaster`).

Failure policy: `ConfigError` for what an operator must change, `StoreUnavailableError` for what may pass; both carry
the end of the server's log in `detail`. Safe twice; one call at a time per object.
"""

import asyncio
import contextlib
import enum
import fcntl
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg

from outrider.base.clock import Clock
from outrider.base.errors import ConfigError, OutriderError, StoreUnavailableError
from outrider.store import cluster, postmaster, unprivileged
from outrider.store.settings import EmbeddedSettings
from outrider.store.unprivileged import Account

_POLL_S: Final = 0.02  # Ours: a start takes 60 ms at best.
_PROBE_WAIT_S: Final = 5.0  # Ours: an answer over a socket of this machine.
_PROGRESS_S: Final = 5.0  # Ours: how often a long wait says so.
_INITDB_WAIT_S: Final = 300.0  # Ours: 0.4 s here; a slow disk syncs 40 MB in minutes.
_QUIT_GRACE_S: Final = 6.0  # PostgreSQL's SIGKILL_CHILDREN_AFTER_SECS is 5.
_AWAY: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)  # A server that left.
_RETRIED: Final = ("pre-existing shared memory block", "lock file")  # Somebody is about to be gone.


class _Sign(enum.Enum):
    """What a server lets us know."""

    READY = enum.auto()
    BUSY = enum.auto()  # It starts, recovers or shuts down, and says so.
    SILENT = enum.auto()


class EmbeddedPostgres:
    """One user of the server of one data directory. `start` makes it one, `stop` ends that."""

    def __init__(
        self,
        data_dir: Path,
        settings: EmbeddedSettings,
        version: int = 18,
        *,
        clock: Clock,
        on_progress: Callable[[str], None] = lambda _: None,
        overrides: Mapping[str, str] | None = None,
        dies_with_us: bool = False,
    ) -> None:
        """Nothing happens yet.

        `on_progress` hears a sentence when something takes seconds. `overrides` are settings of PostgreSQL that win
        over ours. With `dies_with_us` the server ends with the thread that started it, for tests.
        """
        self._data_dir: Final = data_dir.absolute()
        self._cluster: Final = self._data_dir / "postgres"
        self._log_path: Final = self._data_dir / "log" / "postgres.log"
        self._settings: Final = settings
        self._version: Final = version
        self._clock: Final = clock
        self._on_progress: Final = on_progress
        self._overrides: Final = overrides or {}
        self._dies_with_us: Final = dies_with_us
        self._account: Account | None = None  # Who runs the server, if we may not.
        self._capabilities: tuple[int, ...] = ()
        self._socket_dir = Path()
        self._users: int | None = None  # The open lock file, while we are a user.
        self._child: int | None = None  # The server, if we started it.
        self._pid: int | None = None
        self._log_offset_bytes = 0

    @property
    def dsn(self) -> str:
        """The address of the database, for asyncpg and SQLAlchemy, valid after `start`."""
        return f"postgresql://{cluster.OWNER}@/{cluster.OWNER}?host={quote(str(self._socket_dir))}&port={cluster.PORT}"

    @property
    def pid(self) -> int | None:
        """The process number of the server that we use, None before `start` and after `stop`."""
        return self._pid

    def is_running(self) -> bool:
        """Tell whether the server that we use is alive. Cheap; does not speak to it."""
        if self._child is not None and postmaster.exit_status(self._child) is not None:
            self._child = None
        return self._pid is not None and postmaster.is_server(self._pid, self._cluster)

    async def start(self) -> str:
        """Become a user of the server, which then runs and has our database. Return its address.

        Waits as long as it recovers from a crash. If this fails or is cancelled, we are no user, and a server that
        only we used is told to stop.

        Raises:
            ConfigError: an operator must change something, and is told what.
            StoreUnavailableError: the disk is full, or the server does not come up.
        """
        if self._users is not None:
            await self.ensure()
            return self.dsn
        self._prepare()
        async with self._changing(self._settings.recovery_wait_s):
            self._users = self._open_lock("postgres.users.lock")
            fcntl.flock(self._users, fcntl.LOCK_SH)  # At once: who holds it alone holds the other lock too.
            try:
                await self._make_cluster()
                await self._bring_up()
                await self._make_database()
            except BaseException:
                if self._is_last_user() and self._child is not None:
                    postmaster.send_signal(self._child, signal.SIGINT)
                self._leave()
                raise
        return self.dsn

    async def ensure(self) -> bool:
        """Start the server again if it died; return whether there is a new one. Keeps the log within its bound.

        Raises:
            ConfigError, StoreUnavailableError: as `start`; we stay a user and may try again.
        """
        assert self._users is not None, "start comes first"
        cluster.bound_log(self._log_path, self._settings.log_bytes_max)
        if self.is_running():
            return False
        gone = self._pid
        async with self._changing(self._settings.recovery_wait_s):
            await self._bring_up()
        return self._pid != gone

    async def stop(self) -> None:
        """Stop being a user; the last one stops the server, within a bounded time, without losing a commit."""
        if self._users is None:
            return
        try:
            # Who keeps us waiting is starting the server, so we are not its last user.
            with contextlib.suppress(StoreUnavailableError):
                async with self._changing(self._settings.stop_wait_s):
                    if self._is_last_user():
                        await self._shut_down()
                        cluster.remove_socket_dir(self._data_dir, self._socket_dir)
        finally:
            self._leave()

    # The locks.

    @contextlib.asynccontextmanager
    async def _changing(self, wait_s: float) -> AsyncIterator[None]:
        """Be the only one who starts or stops the server."""
        descriptor = self._open_lock("postgres.start.lock")
        try:
            patience = _Patience(self._clock, wait_s, self._on_progress)
            while not _try_lock(descriptor):
                if not patience.is_left("Another Outrider is starting the database"):
                    raise StoreUnavailableError("Another Outrider has been starting the database for too long.")
                await self._clock.sleep(_POLL_S)
            yield
        except OSError as error:
            raise cluster.full_or(cluster.unreadable(self._data_dir, error), error) from error
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        path = self._data_dir / "run" / name
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise cluster.full_or(cluster.unreadable(path, error), error) from error

    def _is_last_user(self) -> bool:
        # May lose the shared lock on the way, see flock(2). We are leaving, so that is fine.
        return self._users is not None and _try_lock(self._users)

    def _leave(self) -> None:
        if self._users is not None:
            os.close(self._users)
        self._users = self._child = self._pid = None

    # The cluster.

    def _prepare(self) -> None:
        """Make directories and decide who runs the server."""
        try:
            self._prepare_here(cluster.programs(self._version))
        except OSError as error:
            raise cluster.full_or(cluster.unreadable(self._data_dir, error), error) from error

    def _prepare_here(self, programs: Path) -> None:
        for path in (self._data_dir, self._log_path.parent):
            if not path.is_dir():
                cluster.make_directory(path)
        if os.geteuid() == 0:
            self._account, is_ours = self._choose_account()
            self._capabilities = unprivileged.kept_capabilities(programs / "postgres") if is_ours else ()
        self._make_socket_dir()

    def _make_socket_dir(self) -> None:
        self._socket_dir = cluster.socket_dir(self._data_dir, self._account, can_reach=bool(self._capabilities))

    def _choose_account(self) -> tuple[Account, bool]:
        """Return who runs the server for us, who are root, and whether everything here is root's or that account's.

        Danger: in a directory of somebody else the server runs as that user and with no rights but theirs. Their
        files tell it what to load, so a right to read everything would be a gift to them.
        """
        owner = unprivileged.known_account(self._data_dir.stat().st_uid)
        if owner is not None and owner.uid != 0:
            return owner, False
        accounts = unprivileged.accounts()
        if not accounts:
            raise ConfigError(
                "PostgreSQL refuses to run as root, and this system has no user called nobody: run Outrider as an "
                "ordinary user, or set OUTRIDER_DATABASE_URL."
            )
        if not self._cluster.exists():
            return accounts[0], True
        owner = unprivileged.known_account(self._cluster.stat().st_uid)
        if owner not in accounts:
            owner = accounts[0]
            cluster.give_away(self._cluster, owner)  # Restored from a backup, by root.
        return owner, True

    async def _make_cluster(self) -> None:
        """Make the cluster beside its place and rename it, so that a crash leaves none or a whole one.

        Each time under another name: the initdb of an Outrider that was killed may still be writing to the last.
        """
        if cluster.check_version(self._cluster, self._version):
            return
        for leftover in cluster.unfinished(self._data_dir):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        fresh = cluster.make_unfinished(self._data_dir, self._account)
        self._log_offset_bytes = cluster.log_size(self._log_path)
        child = self._spawn(cluster.initdb_command(self._version, fresh))
        try:
            status = await self._ended(child, _INITDB_WAIT_S)
        finally:
            if postmaster.exit_status(child) is None:
                postmaster.kill_session(child)
        if status != 0:
            raise self._failure("The database could not be made; log/postgres.log in the data directory says why.")
        cluster.finish(fresh)
        fresh.rename(self._cluster)
        cluster.sync_directory(self._data_dir)

    async def _make_database(self) -> None:
        """Make our role and our database where they are missing: a crash may have come between."""
        try:
            with contextlib.suppress(asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError):
                connection = await self._connect(cluster.OWNER, cluster.OWNER)
                await connection.close()
                return
            connection = await self._connect(cluster.SUPERUSER, "postgres")
            try:
                await _create_database(connection)
            finally:
                await connection.close()
        except _AWAY as error:
            raise StoreUnavailableError("The database is not available.", cause=str(error)) from error

    # The server.

    async def _bring_up(self) -> None:
        """Return when the server of our cluster answers; start it if there is none. Call with `_changing` held."""
        silence = _Patience(self._clock, self._settings.start_wait_s)
        recovery = _Patience(self._clock, self._settings.recovery_wait_s, self._on_progress)
        burial = _Patience(self._clock, _QUIT_GRACE_S)
        while (sign := await self._probe()) is not _Sign.READY:
            if sign is _Sign.BUSY:
                silence.renew()
            elif self._server_pid() is None and self._is_child_gone():
                self._launch(burial)
            if not recovery.is_left("The database starts, or recovers from a crash") or not silence.is_left():
                raise self._failure("The embedded PostgreSQL does not answer; its log is log/postgres.log.")
            await self._clock.sleep(_POLL_S)
        self._pid = self._server_pid()

    def _is_child_gone(self) -> bool:
        """Tell whether the server that we started, if any, has ended.

        Raises:
            ConfigError, StoreUnavailableError: it ended for a reason that does not go away.
        """
        if self._child is None:
            return True
        status = postmaster.exit_status(self._child)
        if status is None:
            return False
        self._child = None
        said = cluster.log_since(self._log_path, self._log_offset_bytes)
        # One that was killed is simply started again; one that gave up, exit status 1, had a reason.
        if status > 0 and not any(reason in said for reason in _RETRIED):
            raise self._failure("The embedded PostgreSQL did not start; log/postgres.log says why.")
        return True

    def _launch(self, burial: "_Patience") -> None:
        """Start the server; or, if children of the last one live, end them and leave the start to the next call.

        The lock tells of children even where we cannot see them, such as in another container.
        """
        lock = self._open_lock("postgres.server.lock")
        try:
            left = postmaster.children_left(self._cluster)
            for pid in left:
                postmaster.send_signal(pid, signal.SIGQUIT if burial.is_left() else signal.SIGKILL)
            if not left and _try_lock(lock):
                self._clear_away()
                self._log_offset_bytes = cluster.log_size(self._log_path)
                postgres = str(cluster.programs(self._version) / "postgres")
                self._child = self._spawn([postgres, "-D", str(self._cluster)], lock)
        finally:
            os.close(lock)

    def _clear_away(self) -> None:
        """Remove what the last server left in the way, and write what the next one reads."""
        self._make_socket_dir()  # Our predecessor may have removed it.
        socket = self._socket_dir / cluster.SOCKET_NAME
        for stale in (self._cluster / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            stale.unlink(missing_ok=True)
        cluster.write_settings(self._cluster, self._socket_dir, self._settings, self._version, self._overrides)
        cluster.bound_log(self._log_path, self._settings.log_bytes_max)

    def _spawn(self, command: list[str], lock: int | None = None) -> int:
        wrapped = unprivileged.wrap(
            command, self._account, capabilities=self._capabilities, dies_with_us=self._dies_with_us
        )
        try:
            return postmaster.spawn(wrapped, self._log_path, lock)
        except OSError as error:
            raise cluster.full_or(cluster.unreadable(self._log_path, error), error) from error

    async def _probe(self) -> _Sign:
        """Ask whoever listens on our socket who it is."""
        if not (self._socket_dir / cluster.SOCKET_NAME).exists():
            return _Sign.SILENT
        try:
            connection = await self._connect(cluster.SUPERUSER, "postgres")
        except asyncpg.CannotConnectNowError:
            return _Sign.BUSY
        except asyncpg.TooManyConnectionsError:
            return _Sign.READY
        except _AWAY:
            return _Sign.SILENT
        try:
            place = Path(await connection.fetchval("SHOW data_directory"))
        except _AWAY:
            return _Sign.SILENT
        finally:
            await connection.close(timeout=_PROBE_WAIT_S)
        if cluster.is_other(place, self._cluster):
            raise StoreUnavailableError("Another database answers in the place of ours.", place=str(place))
        return _Sign.READY

    async def _connect(self, user: str, database: str) -> Any:
        return await asyncpg.connect(
            host=str(self._socket_dir), port=cluster.PORT, user=user, database=database, timeout=_PROBE_WAIT_S
        )

    def _server_pid(self) -> int | None:
        """Return the process number of the server of our cluster, whoever started it, None if there is none."""
        pid = postmaster.claimed_pid(self._cluster)
        return pid if pid is not None and postmaster.is_server(pid, self._cluster) else None

    async def _shut_down(self) -> None:
        pid = self._server_pid()
        if pid is None:
            return
        stages = ((signal.SIGINT, self._settings.stop_wait_s), (signal.SIGQUIT, _QUIT_GRACE_S), (signal.SIGKILL, 1.0))
        for number, wait_s in stages:
            postmaster.send_signal(pid, number)
            patience = _Patience(self._clock, wait_s)
            while postmaster.is_server(pid, self._cluster):
                if not patience.is_left():
                    break
                await self._clock.sleep(_POLL_S)
            else:
                return

    async def _ended(self, child: int, wait_s: float) -> int | None:
        patience = _Patience(self._clock, wait_s, self._on_progress)
        while (status := postmaster.exit_status(child)) is None and patience.is_left("The database is being made"):
            await self._clock.sleep(_POLL_S)
        return status

    def _failure(self, otherwise: str) -> OutriderError:
        """Return the error that fits what the server said since we started it."""
        said = cluster.log_since(self._log_path, self._log_offset_bytes)
        return cluster.failure(
            said,
            otherwise,
            is_confined=self._account is not None and not self._capabilities,
            is_disk_full=cluster.is_full(self._data_dir),
        )


async def _create_database(connection: Any) -> None:
    with contextlib.suppress(asyncpg.DuplicateObjectError):
        await connection.execute(f"CREATE ROLE {cluster.OWNER} LOGIN")
    with contextlib.suppress(asyncpg.DuplicateDatabaseError):
        await connection.execute(f"CREATE DATABASE {cluster.OWNER} OWNER {cluster.OWNER}")
    # The details of an error quote the row: other people's addresses do not belong into a log.
    await connection.execute(f"ALTER DATABASE {cluster.OWNER} SET log_error_verbosity = terse")


class _Patience:
    """How long we still wait for something, and telling so now and then."""

    def __init__(self, clock: Clock, wait_s: float, on_progress: Callable[[str], None] = lambda _: None) -> None:
        self._clock: Final = clock
        self._wait_s: Final = wait_s
        self._on_progress: Final = on_progress
        self._since_s = self._told_s = clock.monotonic_s()

    def renew(self) -> None:
        """Wait from now on."""
        self._since_s = self._clock.monotonic_s()

    def is_left(self, what: str = "") -> bool:
        """Tell whether to wait on."""
        now_s = self._clock.monotonic_s()
        if what and now_s - self._told_s >= _PROGRESS_S:
            self._told_s = now_s
            self._on_progress(f"{what} ({now_s - self._since_s:.0f} s so far).")
        return now_s - self._since_s < self._wait_s


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
