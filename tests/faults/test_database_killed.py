"""Fault: the embedded server, its children or the whole machine die without a word, and leave their traces behind.

The next `ensure` or `start` must bring the server back without help, with everything that was committed, whatever the
traces are: children that still work, a postmaster.pid whose number a stranger has got, sockets, shared memory.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from outrider.store import cluster, postmaster, unprivileged
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.settings import EmbeddedSettings
from outrider.testing.clock import RealClock, until
from outrider.testing.postgres import make_folder

pytestmark = pytest.mark.slow

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="finds the server's children in /proc")
GONE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)  # All that asyncpg says.


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def server(folder: Path, cluster_made: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A running server that has committed one row."""
    shutil.copytree(cluster_made, folder / "postgres")
    started = EmbeddedPostgres(folder, EmbeddedSettings(), clock=RealClock(), dies_with_us=True)
    await started.start()
    await ask(started, "CREATE TABLE kept (n int)")
    await ask(started, "INSERT INTO kept VALUES (7)")
    yield started
    await started.stop()


async def ask(server: EmbeddedPostgres, sql: str) -> Any:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def kill_server(server: EmbeddedPostgres, folder: Path) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


def kill_children(server: EmbeddedPostgres, folder: Path) -> None:
    for pid in postmaster.children_left(folder / "postgres"):
        if pid != server.pid:
            postmaster.send_signal(pid, signal.SIGKILL)


def kill_all(server: EmbeddedPostgres, folder: Path) -> None:
    for pid in postmaster.children_left(folder / "postgres"):
        postmaster.send_signal(pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_server, pytest.param(kill_all, marks=ON_LINUX)])
async def test_a_killed_server_comes_back_with_what_was_committed(
    server: EmbeddedPostgres, folder: Path, kill: Callable[[EmbeddedPostgres, Path], None]
) -> None:
    killed = server.pid
    kill(server, folder)
    await until(lambda: not server.is_running())
    assert await server.ensure() is True
    assert server.pid not in (None, killed)
    assert await ask(server, "SELECT n FROM kept") == 7
    assert await server.ensure() is False


@ON_LINUX
async def test_killed_children_are_replaced_by_the_server_itself(server: EmbeddedPostgres, folder: Path) -> None:
    open_all_along = await asyncpg.connect(server.dsn)
    kill_children(server, folder)
    await until(open_all_along.is_closed)
    assert await server.ensure() is False
    assert await server.start() == server.dsn
    assert await answer_when_back(server, "SELECT n FROM kept") == 7


@ON_LINUX
async def test_children_at_work_do_not_stop_a_new_server(server: EmbeddedPostgres, folder: Path) -> None:
    """A child inside a long computation does not notice that its server is gone, and holds its shared memory."""
    connection = await asyncpg.connect(server.dsn)
    busy = await connection.fetchval("SELECT pg_backend_pid()")
    working = asyncio.ensure_future(connection.execute("DO 'BEGIN LOOP END LOOP; END'"))
    state = f"SELECT state FROM pg_stat_activity WHERE pid = {busy}"
    async with asyncio.timeout(20):
        while await ask(server, state) != "active":
            await asyncio.sleep(0)
    kill_server(server, folder)
    await until(lambda: not server.is_running())
    assert busy in postmaster.children_left(folder / "postgres")
    assert await server.ensure() is True
    assert busy not in postmaster.children_left(folder / "postgres")
    with pytest.raises(GONE):
        await working
    connection.terminate()
    assert await ask(server, "SELECT n FROM kept") == 7


@contextlib.contextmanager
def stranger() -> Iterator[int]:
    """A process of another program, run by the user that runs the server: PostgreSQL alone would be fooled by it."""
    account = unprivileged.accounts()[0] if os.geteuid() == 0 else None
    command = unprivileged.wrap(["/bin/sleep", "600"], account)
    with subprocess.Popen(command) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("text", ["{pid}", "-{pid}", "", "\0\0\0\0", "nonsense\n", "0", "1", "4194304", "9" * 30])
async def test_a_rumour_in_postmaster_pid_fools_nobody(server: EmbeddedPostgres, folder: Path, text: str) -> None:
    path = folder / "postgres/postmaster.pid"
    rest = path.read_text().partition("\n")[2]
    kill_all(server, folder)
    await until(lambda: not server.is_running())
    with stranger() as pid:
        first = text.format(pid=pid)
        cluster.replace_file(path, f"{first}\n{rest}" if "pid" in text else first)
        lock = folder / "run/pg" / f"{cluster.SOCKET_NAME}.lock"
        lock.write_text(f"{first}\n{rest}")
        assert await server.ensure() is True
        os.kill(pid, 0)  # It lives.
    assert await ask(server, "SELECT n FROM kept") == 7


async def test_a_full_set_of_leftovers_is_cleared_away(server: EmbeddedPostgres, folder: Path) -> None:
    """A start that was cut off at its worst: the settings and the socket half done."""
    kill_all(server, folder)
    await until(lambda: not server.is_running())
    (folder / "postgres/outrider.conf").write_text("fsync = off\nport")
    (folder / "postgres/outrider.conf.new").write_text("fsy")
    assert (folder / "run/pg" / cluster.SOCKET_NAME).is_socket()
    assert await server.ensure() is True
    assert await ask(server, "SELECT current_setting('fsync')") == "on"
    assert await ask(server, "SELECT n FROM kept") == 7


@ON_LINUX
@pytest.mark.parametrize("seed", range(3))
async def test_acknowledged_commits_survive_a_kill_under_load(
    server: EmbeddedPostgres, folder: Path, seed: int
) -> None:
    known = 0

    async def write() -> None:
        nonlocal known
        connection = await asyncpg.connect(server.dsn)
        try:
            while True:
                await connection.execute("INSERT INTO kept SELECT $1 FROM generate_series(1, 50)", known + 1)
                known += 1
        except GONE:
            connection.terminate()

    writing = asyncio.ensure_future(write())
    await until(lambda: known >= 20 * (seed + 1))
    kill_all(server, folder)
    await writing
    await until(lambda: not server.is_running())
    assert await server.ensure() is True
    # The last one may have been committed although nobody heard of it.
    assert await ask(server, "SELECT (count(*) - 1) / 50 FROM kept") in (known, known + 1)


async def answer_when_back(server: EmbeddedPostgres, sql: str) -> Any:
    """Ask again while the server restarts its children."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await ask(server, sql)
            except GONE:
                await asyncio.sleep(0)
