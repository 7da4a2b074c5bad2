"""One child of `serve`: it ends with its parent, or with a line in the log, never with a bare traceback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.testing.postgres import ThrowawayPostgres, migrated
from outrider.testing.program import free_ports

pytestmark = pytest.mark.slow

WAIT_S = 20


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def postgres() -> Iterator[ThrowawayPostgres]:
    """A database to run on."""
    with migrated() as server:
        yield server


@contextlib.contextmanager
def child(
    folder: Path,
    role: str,
    port: int,
    dsn: str = "postgresql://nobody@/nowhere?host=/nonexistent",
    **ports: int,
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start a role as the supervisor does; yield it and our end of its pipe."""
    theirs, ours = os.pipe()
    env = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    env |= {
        "OUTRIDER_DATA_DIR": str(folder),
        "OUTRIDER_DATABASE_URL": dsn,
        "OUTRIDER_CATCH_PORT": str(port),
        **{
            f"OUTRIDER_{name}_PORT": str(free)
            for name, free in zip(("SIMULATOR", "INBOUND"), free_ports(2), strict=True)
        },
        **{f"OUTRIDER_{name}_PORT": str(number) for name, number in ports.items()},
        "OUTRIDER_PARENT_FD": str(theirs),
        "OUTRIDER_LOG__FORMAT": "json",
    }
    command = [sys.executable, "-m", "outrider.cli.role", role, "0"]
    with subprocess.Popen(command, env=env, pass_fds=[theirs], stderr=subprocess.PIPE, text=True) as running:
        os.close(theirs)
        try:
            yield running, ours
        finally:
            running.kill()
            with contextlib.suppress(OSError):  # The test may have closed it.
                os.close(ours)


def line_of(running: "subprocess.Popen[str]") -> dict[str, object]:
    assert running.stderr is not None
    found: dict[str, object] = json.loads(running.stderr.readline())
    return found


@pytest.mark.parametrize("way", ["parent gone", "terminated"])
def test_it_runs_until_its_parent_is_gone_or_it_is_told(
    tmp_path: Path, port: int, postgres: ThrowawayPostgres, way: str
) -> None:
    with child(tmp_path, "smtp", port, postgres.dsn) as (running, ours):
        assert line_of(running)["event"] == "role_started"
        running.send_signal(signal.SIGINT)  # The terminal's, for the parent to act on.
        if way == "parent gone":
            os.close(ours)
        else:
            running.terminate()
        assert running.wait(WAIT_S) == 0
        while (line := line_of(running))["level"] == "warning":  # That database has no tables.
            assert line["event"] == "bounce_domains_not_read"
        assert line["event"] == "role_stopped"


def test_without_its_database_it_ends_and_says_why(tmp_path: Path, port: int) -> None:
    with child(tmp_path, "worker", port) as (running, _):
        assert running.wait(WAIT_S) == 1
        assert line_of(running)["event"] == "role_started"
        line = line_of(running)
    assert (line["event"], line["role"], line["slot"], line["level"]) == ("role_failed", "worker", 0, "error")
    assert line["error"] == "The database is not available."


@pytest.mark.parametrize("name", ["INBOUND", "CATCH"])
def test_a_taken_port_is_named_and_the_other_faces_go_on(
    tmp_path: Path, port: int, postgres: ThrowawayPostgres, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"SIMULATOR": free_ports(1)[0], name: taken.getsockname()[1]}
        with child(tmp_path, "smtp", port, postgres.dsn, **ports) as (running, _):
            while (line := line_of(running))["event"] != "port_not_listening":
                assert line["event"] in ("role_started", "bounce_domains_not_read")
            assert (line["face"], line["port"]) == (name.lower(), ports[name])
            assert (line["level"], line["setting"]) == ("error", f"OUTRIDER_{name}_PORT")
            with socket.create_connection(("127.0.0.1", ports["SIMULATOR"]), WAIT_S) as other:
                assert other.recv(4) == b"220 "
            running.terminate()
            assert running.wait(WAIT_S) == 0
