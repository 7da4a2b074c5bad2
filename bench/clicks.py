"""Readers who open and click, cheaper than what they measure: raw protocols over connections that are kept.

    python -m bench.clicks '{"port": 8025, "data_dir": "...", "count": 50000, ...}'     prints a line of JSON, `Clicked`

Requests are rendered beforehand, with tokens that the real code makes. Without `rate` each connection asks again once
it is answered. With it requests are due at even instants, whoever is free asks, and what takes long counts from the
instant it was due: a server that stalls cannot hide it.
"""

import asyncio
import os
import resource
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, cast
from uuid import UUID

import msgspec
import uvloop

from bench.lines import share_ms
from outrider.services.tracking_terms import tokens_of
from outrider.store import master_key
from outrider.store.vault import vault_of
from outrider.testing.program import HOST

_AGENT: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"
_TICK_S: Final = 0.001
_PATIENCE_S: Final = 120.0  # Of a run.
_TARGET: Final = "https://shop.example/products/winter-sale?item=4711&colour=blue#reviews"


class Clicks(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for."""

    port: int
    data_dir: str  # The installation's, whose tokens they are.
    recipients: str  # What the ids of the recipients begin with: 24 digits; their numbers follow.
    first: int = 0
    count: int
    kind: str = "click"  # Or "open"; "same": all of them one link of one recipient.
    connections: int = 32
    rate: float = 0.0  # Requests a second; 0: as fast as they are answered.


class Clicked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    statuses: dict[str, int]
    elapsed_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float  # Of the generator.


class _Run:
    """The requests, and what is known of their answers."""

    def __init__(self, clicks: Clicks) -> None:
        self.requests: Final = deque(_requests(clicks))
        self.due_at_s: Final[deque[float]] = deque()  # Of requests that nobody was free for.
        self.idle: Final[list[_Reader]] = []
        self.is_paced: Final = bool(clicks.rate)
        self.statuses: Final[Counter[str]] = Counter()
        self.taken_s: Final[list[float]] = []
        self.done: Final = asyncio.Event()
        self.count: Final = clicks.count

    def settle(self, status: str, asked_at_s: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.taken_s.append(perf_counter() - asked_at_s)
        if len(self.taken_s) == self.count:
            self.done.set()

    def fail(self) -> None:
        """A connection broke; a run that loses requests measures nothing."""
        if not self.done.is_set():
            self.statuses["lost"] += 1
            self.done.set()


class _Reader(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run: Final = run
        self._rest = b""
        self._asked_at_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, asked_at_s: float) -> None:
        """Send the next request."""
        assert self._transport is not None
        self._asked_at_s = asked_at_s
        self._transport.write(self._run.requests.popleft())

    def data_received(self, data: bytes) -> None:
        rest = self._rest + data if self._rest else data
        end = rest.find(b"\r\n\r\n")
        at = rest.find(b"content-length: ", 0, end) + 16
        if end < 0 or len(rest) < end + 4 + int(rest[at : rest.find(b"\r", at)]):
            self._rest = rest
            return
        self._rest = b""
        run = self._run
        run.settle(rest[9:12].decode("ascii"), self._asked_at_s)
        if not run.is_paced:
            if run.requests:
                self.ask(perf_counter())
        elif run.due_at_s:
            self.ask(run.due_at_s.popleft())
        else:
            run.idle.append(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._run.fail()


def _requests(clicks: Clicks) -> Sequence[bytes]:
    tokens = tokens_of(vault_of(master_key.find("", Path(clicks.data_dir), os.environ)))
    tail = (
        f" HTTP/1.1\r\nHost: {HOST}:{clicks.port}\r\nUser-Agent: {_AGENT}\r\n"
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en,de;q=0.7\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n"
    )
    if clicks.kind == "same":
        return [f"GET /t/{tokens.link(_id(clicks, 0), 1, _TARGET, host='')}{tail}".encode()] * clicks.count
    numbers = range(clicks.first, clicks.first + clicks.count)
    if clicks.kind == "open":
        return [f"GET /o/{tokens.pixel(_id(clicks, number), host='')}.gif{tail}".encode() for number in numbers]
    return [f"GET /t/{tokens.link(_id(clicks, number), 1, _TARGET, host='')}{tail}".encode() for number in numbers]


def _id(clicks: Clicks, number: int) -> UUID:
    return UUID(f"{clicks.recipients}{number:012x}")


async def _click(clicks: Clicks) -> Clicked:
    run, loop = _Run(clicks), asyncio.get_running_loop()
    readers = [
        (await loop.create_connection(lambda: _Reader(run), HOST, clicks.port))[1]
        for _ in range(min(clicks.connections, clicks.count))
    ]
    cpu_s, started_s = _cpu_s(), perf_counter()
    async with asyncio.timeout(_PATIENCE_S):
        if clicks.rate:
            run.idle.extend(readers)
            await _pace(run, clicks, started_s)
        else:
            for reader in readers:
                reader.ask(perf_counter())
        await run.done.wait()
    return Clicked(
        statuses=dict(run.statuses),
        elapsed_s=perf_counter() - started_s,
        p50_ms=share_ms(run.taken_s, 0.5),
        p99_ms=share_ms(run.taken_s, 0.99),
        max_ms=share_ms(run.taken_s, 1.0),
        cpu_s=_cpu_s() - cpu_s,
    )


async def _pace(run: _Run, clicks: Clicks, started_s: float) -> None:
    """Let each request be asked when it is due, or, where nobody is free then, by who is first."""
    number = 0
    while number < clicks.count and not run.done.is_set():
        while number < clicks.count and (due_at_s := started_s + number / clicks.rate) <= perf_counter():
            number += 1
            if run.idle:
                run.idle.pop().ask(due_at_s)
            else:
                run.due_at_s.append(due_at_s)
        await asyncio.sleep(_TICK_S)  # noqa: TID251 - real time.


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def clicked(clicks: Clicks) -> Clicked:
    """Run the generator in a process of its own, to its end.

    Raises:
        RuntimeError: a request was lost or refused; the run measures nothing.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.clicks", msgspec.json.encode(clicks).decode()), stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(2 * _PATIENCE_S):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"the generator ended with {child.returncode}")
    report = msgspec.json.decode(said, type=Clicked)
    wanted = {"200" if clicks.kind == "open" else "302": clicks.count}
    if report.statuses != wanted:
        raise RuntimeError(f"not all was answered: {report.statuses}")
    return report


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.argv[1], type=Clicks)
    sys.stdout.write(msgspec.json.encode(uvloop.run(_click(asked))).decode() + "\n")
