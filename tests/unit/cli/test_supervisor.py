"""The parent of `outrider serve`: who runs, who may run, and in which order they stop.

The children here are doubles; real ones are killed and stopped in tests/e2e and tests/faults/test_killed_under_load.py.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from outrider.base.errors import ConfigError, StoreUnavailableError
from outrider.cli import supervisor
from outrider.cli.role import PARENT_FD
from outrider.cli.supervisor import ROLES, Slot, Supervisor, check_port, lock_roles, running_roles, slots_of
from outrider.config import Config, load
from outrider.database import Database
from outrider.store.embedded import EmbeddedPostgres
from outrider.testing.clock import FakeClock, turns
from outrider.testing.engineroom import Journal

WAIT_S = 10.0


def settings(folder: Path, **env: str) -> Config:
    return load({"OUTRIDER_DATA_DIR": str(folder)} | {f"OUTRIDER_{name}": value for name, value in env.items()})


# Who runs.


def test_each_role_gets_the_processes_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, FACES__WEB_WORKERS="3", ENGINE__DELIVER_WORKERS="2")
    assert [(slot.role, slot.number) for slot in slots_of(config, ROLES)] == [
        *(("web", number) for number in range(3)),
        ("smtp", 0),
        *(("deliver", number) for number in range(2)),
        ("worker", 0),
    ]
    assert slots_of(config, ["worker"]) == [Slot("worker", 0)]
    assert slots_of(config, []) == []


@pytest.mark.parametrize("delivery", ["direct", "smarthost://mx.example:25"])
def test_the_simulator_runs_in_every_mode(tmp_path: Path, delivery: str) -> None:
    assert "smtp" in {slot.role for slot in slots_of(settings(tmp_path, DELIVERY=delivery), ROLES)}


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 2), (8, 8), (96, 8), (None, 1)])
def test_deliver_takes_a_core_each_and_at_most_eight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, count: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert len(slots_of(settings(tmp_path), ["deliver"])) == count


# Who may run.


@contextlib.contextmanager
def closing(descriptors: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


async def test_a_second_supervisor_is_refused_and_told_what_to_set(tmp_path: Path) -> None:
    with closing(await lock_roles(tmp_path, ["web", "deliver"], clock=FakeClock())):
        with pytest.raises(ConfigError) as caught:
            await lock_roles(tmp_path, ["smtp", "deliver"], clock=FakeClock())
        for word in ("role deliver", str(os.getpid()), "OUTRIDER_DATA_DIR", "ports"):
            assert word in caught.value.public
        with closing(await lock_roles(tmp_path, ["smtp", "worker"], clock=FakeClock())):
            assert (tmp_path / "smtp.lock").read_text() == str(os.getpid()), "what it had got it gave back"
    with closing(await lock_roles(tmp_path, ["web", "deliver"], clock=FakeClock())):
        pass


HOLDER = """
import asyncio, os, subprocess, sys
from pathlib import Path
from outrider.cli.supervisor import lock_roles
from outrider.testing.clock import FakeClock
locks = asyncio.run(lock_roles(Path(sys.argv[1]), ["deliver"], clock=FakeClock()))
subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=locks, stderr=subprocess.DEVNULL)
os._exit(0)
"""


@contextlib.asynccontextmanager
async def orphan(folder: Path) -> AsyncIterator[Any]:
    """Leave a child that inherited the lock of a supervisor that is dead; yield the pipe whose end ends it."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE) as parent:
        await asyncio.to_thread(parent.wait, WAIT_S)
        yield parent.stdin


@pytest.mark.slow
async def test_a_new_one_waits_for_the_children_of_one_that_was_killed(tmp_path: Path) -> None:
    clock = FakeClock()
    async with orphan(tmp_path) as pipe:
        locking = asyncio.ensure_future(lock_roles(tmp_path, ["web", "deliver"], clock=clock))
        await clock.wait_for_sleepers(1)
        await clock.run_for(5.0)
        assert not locking.done()
        pipe.close()
        async with asyncio.timeout(WAIT_S):
            while not locking.done():
                await clock.run_for(0.001)
    with closing(await locking):
        assert (tmp_path / "deliver.lock").read_text() == str(os.getpid())


@pytest.mark.slow
async def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    clock = FakeClock()
    async with orphan(tmp_path):
        locking = asyncio.ensure_future(lock_roles(tmp_path, ["deliver"], clock=clock))
        await clock.wait_for_sleepers(1)
        await clock.run_for(16.0)
        with pytest.raises(ConfigError, match="role deliver"):
            await locking


async def test_what_a_dead_one_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "web.lock").write_text("1")  # The number of a process that lives, but holds no lock.
    with closing(await lock_roles(tmp_path, ["web"], clock=FakeClock())):
        assert (tmp_path / "web.lock").read_text() == str(os.getpid())


async def test_a_directory_that_cannot_be_written_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "web.lock").mkdir()
    with pytest.raises(ConfigError, match=r"web\.lock"):
        await lock_roles(tmp_path, ["web"], clock=FakeClock())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_named_with_its_setting(host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            check_port(host, port, "OUTRIDER_HTTP_PORT")
    assert caught.value.public == f"Cannot listen on {host}:{port}: Address already in use. Set OUTRIDER_HTTP_PORT."
    check_port(host, port, "OUTRIDER_HTTP_PORT")


def test_a_port_shared_by_others_is_taken_too() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError):
            check_port("127.0.0.1", taken.getsockname()[1], "OUTRIDER_HTTP_PORT")


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:8025.*OUTRIDER_HTTP_PORT"):
        check_port("192.0.2.1", 8025, "OUTRIDER_HTTP_PORT")


# Keeping and stopping.


class Child:
    """A process that lives until a signal, or the test, ends it."""

    def __init__(self, role: str, number: str, env: Mapping[str, str], descriptors: tuple[int, ...]) -> None:
        self.slot = Slot(role, int(number))
        self.env = env
        self.descriptors = descriptors
        self.signals: list[int] = []
        self.is_stubborn = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def die(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def send_signal(self, number: int) -> None:
        if self._ended.done():
            raise ProcessLookupError
        self.signals.append(number)
        if number == signal.SIGKILL or not self.is_stubborn:
            self.die(-number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)


class Node:
    """A supervisor and every child it ever started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, server: object = None, **env: str) -> None:
        self.journal = Journal()
        self.children: list[Child] = []
        self.order: list[str] = []
        self.clock = FakeClock()
        self.came = asyncio.Event()
        self.asked = asyncio.Event()
        self.config = settings(folder, **{"ENGINE__DELIVER_WORKERS": "2"} | env)
        database = Database("postgresql://db/x", cast("EmbeddedPostgres | None", server))
        slots = slots_of(self.config, ROLES)
        self.supervisor = Supervisor(self.config, database, slots, [], clock=self.clock, log=self.journal.logger)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self._spawn)

    async def _spawn(self, *command: str, env: Mapping[str, str], pass_fds: tuple[int, ...], stdin: int) -> Child:
        child = Child(command[-2], command[-1], env, pass_fds)
        child._ended.add_done_callback(lambda _: self.order.append(child.slot.role))
        self.children.append(child)
        self.came.set()
        return child

    def of(self, role: str, number: int = 0) -> list[Child]:
        return [child for child in self.children if child.slot == Slot(role, number)]

    async def until(self, count: int) -> None:
        """Return when so many children were started."""
        async with asyncio.timeout(WAIT_S):
            while len(self.children) < count:
                self.came.clear()
                await self.came.wait()
        await turns()


@contextlib.asynccontextmanager
async def running(node: Node) -> AsyncIterator[None]:
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(node.supervisor.run(node.asked))
        yield
        node.asked.set()


async def test_children_get_what_they_need_and_stop_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, monkeypatch)
    async with running(node):
        await node.until(6)
        for child in node.children:
            assert child.env["OUTRIDER_DATABASE_URL"] == "postgresql://db/x"
            assert child.env["OUTRIDER_DATA_DIR"] == str(tmp_path)
            assert Path(child.env["PROMETHEUS_MULTIPROC_DIR"]).is_dir()
            assert int(child.env[PARENT_FD]) in child.descriptors
    assert {tuple(child.signals) for child in node.children} == {(signal.SIGTERM,)}
    assert sorted(node.order[:3]) == ["web", "web", "worker"]
    assert node.order[3:] == ["deliver", "deliver", "smtp"]


async def test_a_child_that_dies_is_started_again_and_slower_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_PAUSE_S_MIN", 0.001)
    node = Node(tmp_path, monkeypatch)
    async with running(node):
        await node.until(6)
        for count in range(1, 4):
            node.of("deliver", 1)[-1].die(-9)
            await node.until(6 + count)
        node.clock.advance(31)  # It has been well for long enough to be forgiven.
        node.of("deliver", 1)[-1].die(1)
        await node.until(10)
    died = [line for line in node.journal.lines if line["event"] == "role_died"]
    assert [(line["role"], line["slot"], line["exit_code"]) for line in died] == [("deliver", 1, -9)] * 3 + [
        ("deliver", 1, 1)
    ]
    assert [line["restart_in_s"] for line in died] == [0.001, 0.002, 0.004, 0.001]
    assert len(node.of("web")) == 1, "the others do not notice"


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_STOP_WAIT_S", 0.01)
    node = Node(tmp_path, monkeypatch)
    async with running(node):
        await node.until(6)
        node.of("deliver")[0].is_stubborn = True
    assert node.of("deliver")[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert node.of("smtp")[0].signals == [signal.SIGTERM]
    assert [line["role"] for line in node.journal.lines if line["event"] == "role_killed"] == ["deliver"]


async def test_nothing_is_started_again_while_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, monkeypatch)
    async with running(node):
        await node.until(6)
        node.of("web")[0].die(1)  # Its restart is due in a moment.
        await turns()
    assert len(node.children) == 6


class Server:
    """A database server that cannot be started the first time."""

    def __init__(self) -> None:
        self.calls = 0
        self.enough = asyncio.Event()

    async def ensure(self) -> bool:
        self.calls += 1
        if self.calls == 3:
            self.enough.set()
        if self.calls == 1:
            raise StoreUnavailableError("The embedded PostgreSQL does not answer.", log="FATAL: no")
        return True


async def test_the_database_is_looked_after_and_its_trouble_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_WATCH_S", 0.001)
    server = Server()
    node = Node(tmp_path, monkeypatch, server)
    async with running(node):
        await server.enough.wait()
    (line,) = [line for line in node.journal.lines if line["event"] == "database_not_started"]
    assert (line["error"], line["log"]) == ("The embedded PostgreSQL does not answer.", "FATAL: no")


async def test_metrics_of_the_dead_are_cleared_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run" / "metrics"
    folder.mkdir(parents=True)
    living, dead = folder / f"counter_{os.getpid()}.db", folder / "gauge_livesum_999999999.db"
    for path in (living, dead):
        path.touch()
    node = Node(tmp_path, monkeypatch)
    async with running(node):
        await node.until(6)
    assert living.exists()
    assert not dead.exists()


async def test_roles_that_run_are_told_by_their_locks_and_none_is_taken(tmp_path: Path) -> None:
    assert running_roles(tmp_path / "gone") == frozenset()
    locks = await lock_roles(tmp_path, ["web", "smtp"], clock=FakeClock())
    assert running_roles(tmp_path) == {"web", "smtp"}
    for lock in locks:
        os.close(lock)
    assert running_roles(tmp_path) == frozenset()
    again = await lock_roles(tmp_path, ["web"], clock=FakeClock())
    assert running_roles(tmp_path) == {"web"}
    os.close(again[0])
