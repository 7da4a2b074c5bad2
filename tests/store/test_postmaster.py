"""Processes of the server: found, told from strangers, buried."""

import os
import sys
from pathlib import Path

import pytest

from outrider.store import postmaster
from outrider.testing.clock import until


@pytest.mark.parametrize(
    ("text", "pid"),
    [
        ("4711\n/data\n1700000000\n5432\n/run/pg\n", 4711),
        ("4711", 4711),
        ("-4711\n", 4711),  # An operator's `postgres --single`.
        ("0\n", None),
        ("", None),
        ("\0\0\0", None),
        ("nonsense\n", None),
    ],
)
def test_a_claimed_number_is_read_or_there_is_none(tmp_path: Path, text: str, pid: int | None) -> None:
    assert postmaster.claimed_pid(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(text)
    assert postmaster.claimed_pid(tmp_path) == pid


@pytest.mark.parametrize("pid", [pytest.param(os.getpid(), id="ours"), 1, 2**22 + 1, 10**30])
def test_a_stranger_is_not_the_server(pid: int) -> None:
    assert not postmaster.is_server(pid, Path.cwd())


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_stranger_in_our_directory_is_no_child_of_ours() -> None:
    assert os.getpid() not in postmaster.children_left(Path.cwd())


async def test_what_is_spawned_speaks_to_the_log_and_is_buried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/elsewhere")
    log = tmp_path / "log"
    log.write_text("before\n")
    child = postmaster.spawn(["/bin/sh", "-c", "echo out; echo err >&2; echo $PGDATA$LC_ALL; read x; exit 7"], log)
    assert os.getsid(child) in (child, os.getsid(0))  # Its own, once it has got that far.
    seen: list[int | None] = []
    await until(lambda: seen.append(postmaster.exit_status(child)) or seen[-1] is not None)  # type: ignore[func-returns-value]
    assert seen[-1] == 7
    assert log.read_text() == "before\nout\nerr\nC\n"
    assert postmaster.exit_status(child) is not None  # Asking twice is safe.


def test_no_log_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"log|symbolic"):
        postmaster.spawn(["/bin/echo", "x"], tmp_path / "log")
    assert not (tmp_path / "victim").exists()
