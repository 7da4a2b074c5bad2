"""The parts of the program double that need no program; tests/e2e runs the rest."""

import socket
from pathlib import Path

import pytest

from outrider.testing.program import Program, ProgramError, free_ports, role_of


def test_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_port_is_not_given_twice_before_it_can_be_used() -> None:
    assert not set(free_ports(6)) & set(free_ports(6))


def test_a_port_that_somebody_has_is_not_given() -> None:
    (port,) = free_ports(1)
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))
        assert port not in free_ports(199)


async def test_a_program_that_never_started_has_no_processes_and_stops(tmp_path: Path) -> None:
    async with Program(tmp_path / "node") as program:
        assert program.processes() == {}
        assert program.serving_pids == []
        assert await program.stop() < 1.0
        assert program.log_tail() == ""


async def test_waiting_for_what_never_is_ends(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ProgramError):
        await Program(tmp_path / "node").until(never, 0.01)


def test_a_stranger_has_no_role_of_ours() -> None:
    assert role_of(1) == "other"


def test_the_database_is_found_by_the_file_it_keeps(tmp_path: Path) -> None:
    program = Program(tmp_path / "node")
    with pytest.raises(ProgramError):
        program.dsn()
    (tmp_path / "node" / "postgres").mkdir(parents=True)
    pid_file = tmp_path / "node" / "postgres" / "postmaster.pid"
    pid_file.write_text("1\n")  # Half written.
    with pytest.raises(ProgramError):
        program.dsn()
    pid_file.write_text("1\n/x/postgres\n1700000000\n5432\n/run/a b\n\n  1 2\nready\n")
    assert program.dsn() == "postgresql://outrider@/outrider?host=/run/a%20b&port=5432"
