"""Processes as Linux shows them in /proc: who is alive, whose child, and what each role of Outrider costs.

CPU includes children that ended and were waited for (a PostgreSQL backend's time moves to its postmaster), so two
readings subtract well. PSS divides shared pages among those who share them and adds up; RSS counts them once for each.
PSS moves when others start or end who share our libraries: whether a process grows, its private pages say.
"""

import contextlib
import os
import select
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Usage(msgspec.Struct, frozen=True):
    """The processes of one role together."""

    process_count: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0
    private_bytes: int = 0  # Pages that nobody else has.

    def plus(self, other: "Usage") -> "Usage":
        """Add two."""
        return Usage(
            self.process_count + other.process_count,
            self.cpu_s + other.cpu_s,
            self.rss_bytes + other.rss_bytes,
            self.pss_bytes + other.pss_bytes,
            self.private_bytes + other.private_bytes,
        )


class Process(msgspec.Struct, frozen=True):
    """One process at one instant."""

    pid: int
    parent_pid: int
    is_alive: bool  # False: a zombie.
    cpu_s: float
    rss_bytes: int


def look(pid: int) -> Process | None:
    """Return the process, None if there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # The name before it may hold anything. proc_pid_stat(5).
    ticks = sum(map(int, fields[11:15]))
    return Process(pid, int(fields[1]), fields[0] not in "ZX", ticks / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES)


def everybody() -> Iterator[Process]:
    """Return all living processes of the machine that we may see."""
    for path in _PROC.iterdir():
        if path.name.isdecimal() and (process := look(int(path.name))) and process.is_alive:
            yield process


def words_of(pid: int, file: str = "cmdline") -> list[str]:
    """Return its command line (or its environment, `environ`), [] if it is gone or not ours to read."""
    try:
        return (_PROC / str(pid) / file).read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """Return `pid` and its living descendants, parents first; [] if it is gone."""
    alive = {process.pid: process.parent_pid for process in everybody()}
    found = [pid] if pid in alive else []
    for parent in found:
        found += [child for child, its_parent in alive.items() if its_parent == parent]
    return found


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Return when the process has ended, a zombie included; False: the time was up. Blocks its thread."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def measure(roles: Mapping[int, str]) -> dict[str, Usage]:
    """Return the usage by role of these processes; one that ended meanwhile counts nothing.

    Cost: the kernel walks the page tables of each process for its PSS, about 1 ms for 100 MB.
    """
    found: dict[str, Usage] = {}
    for pid, role in roles.items():
        found[role] = found.get(role, Usage()).plus(measure_one(pid))
    return found


def measure_one(pid: int) -> Usage:
    """Return the usage of one process, nothing if it is gone."""
    process = look(pid)
    if process is None or not process.is_alive:
        return Usage()
    shares = _shares(pid)
    private_bytes = shares.get("Private_Clean", 0) + shares.get("Private_Dirty", 0)
    return Usage(1, process.cpu_s, process.rss_bytes, shares.get("Pss", 0), private_bytes)


def descriptor_count(pid: int) -> int:
    """Return how many files and sockets the process has open, 0 if it is gone or not ours to see."""
    try:
        return len(os.listdir(_PROC / str(pid) / "fd"))  # noqa: PTH208 - names only: no object for each of thousands.
    except OSError:
        return 0


def _shares(pid: int) -> dict[str, int]:
    """Return the bytes of its memory by name, {} if it is gone. proc_pid_smaps_rollup(5)."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):  # It has just ended.
        for line in (_PROC / str(pid) / "smaps_rollup").read_text("ascii").splitlines()[1:]:
            name, _, amount = line.partition(":")
            found[name] = int(amount.split()[0]) * 1024
    return found
