"""Fault: Outrider dies at any instant and its embedded server does not, or was not even finished.

The next start must adopt the server, finish what was begun, or begin again; the last user then stops it. Ctrl-C, which
a terminal sends to everybody in it, must reach Outrider and not the server.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from outrider.store import postmaster
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.settings import EmbeddedSettings
from outrider.testing.clock import RealClock, until
from outrider.testing.postgres import make_folder

pytestmark = pytest.mark.slow

OUTRIDER = """
import asyncio, sys
from pathlib import Path
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.settings import EmbeddedSettings
from outrider.testing.clock import RealClock

async def serve():
    server = EmbeddedPostgres(Path(sys.argv[1]), EmbeddedSettings(), clock=RealClock())
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


def user_of(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, EmbeddedSettings(), clock=RealClock(), dies_with_us=True)


def outrider(folder: Path) -> subprocess.Popen[str]:
    """Start another Outrider on `folder`, in a process group of its own, as a shell does."""
    command = [sys.executable, "-c", OUTRIDER, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0)


async def server_pid_of(other: subprocess.Popen[str]) -> int:
    assert other.stdout is not None
    return int(await asyncio.to_thread(other.stdout.readline))


async def count(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize("is_server_killed", [False, True])
async def test_the_next_start_takes_over(folder: Path, is_server_killed: bool) -> None:
    with outrider(folder) as other:
        left = await server_pid_of(other)
        other.kill()
    if is_server_killed:
        os.kill(left, signal.SIGKILL)
        await until(lambda: not postmaster.is_server(left, folder / "postgres"))
    user = user_of(folder)
    assert await count(await user.start(), "SELECT 1") == 1
    assert (user.pid == left) is not is_server_killed
    await user.stop()
    assert not postmaster.is_server(left, folder / "postgres")
    assert postmaster.claimed_pid(folder / "postgres") is None


async def test_the_server_stays_while_somebody_else_uses_it(folder: Path) -> None:
    user = user_of(folder)
    await user.start()
    with outrider(folder) as other:
        assert await server_pid_of(other) == user.pid
        other.kill()
    assert await user.ensure() is False
    await user.stop()
    assert postmaster.claimed_pid(folder / "postgres") is None


async def test_ctrl_c_reaches_outrider_alone(folder: Path) -> None:
    user = user_of(folder)
    with outrider(folder) as other:
        left = await server_pid_of(other)
        os.killpg(other.pid, signal.SIGINT)
    await user.start()
    assert user.pid == left
    assert (folder / "log/postgres.log").read_text().count("shutdown request") == 0
    await user.stop()


@pytest.mark.parametrize(
    "trace",
    [
        "run/postgres.start.lock",
        "postgres.new-*",
        "postgres.new-*/global",
        "postgres.new-*/global/pg_control",
        "postgres.new-*/postgresql.conf.new",
        "postgres",
        "postgres/outrider.conf",
        "postgres/postmaster.pid",
        "run/pg/.s.PGSQL.5432",
    ],
)
async def test_a_first_start_cut_off_anywhere_is_made_good(folder: Path, trace: str) -> None:
    with outrider(folder) as other:
        await until(lambda: any(folder.glob(trace)) or any(folder.glob("run/pg/.s.*")))
        other.kill()
    user = user_of(folder)
    assert await count(await user.start(), "SELECT 1") == 1
    await user.stop()
    assert postmaster.children_left(folder / "postgres") == []
    assert postmaster.children_left(folder / "postgres.new-*") == []


async def test_an_initdb_left_running_does_no_harm(folder: Path) -> None:
    """It lost its parent, not its life: it may still write while the next start begins again."""
    with outrider(folder) as other:
        await until(lambda: any(folder.glob("postgres.new-*/base")))
        other.kill()
    users = [user_of(folder) for _ in range(3)]
    assert len(set(await asyncio.gather(*(user.start() for user in users)))) == 1
    await asyncio.gather(*(user.stop() for user in users))
