"""How many events a second are told to a fast server of a customer's, and what does one cost?

    python -m bench.webhooks PORT      the server: it reads a call, says 200, and counts; GET says how many

The web role and the worker role run, with the database, `fsync` on. The log gets its events,
`delivered` of as many recipients, and everything is measured from there to the last call: made out of the log, kept,
signed, sent over kept connections, and its outcome stored. The rate is from the first call to the last, as the server
saw them. All of it shares this machine.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, Final

import asyncpg
import msgspec
import uvloop

from bench import backlog
from bench.backlog import Owner, Pile
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.testing import usage
from outrider.testing.clock import RealClock
from outrider.testing.program import HOST, Program, free_ports

_WAIT_S: Final = 180.0
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_EVENTS: Final = """
    INSERT INTO event (at, project_id, message_id, recipient_id, kind, attempt, reason, reply, facts)
    SELECT now(), project_id, message_id, recipient_id, 'delivered', 1, 'accepted', '250 2.0.0 queued as 4Xb2',
           '{"source": "default", "host": "mx.a.example", "seconds": 0.4}' FROM recipient"""


class Counted(msgspec.Struct):
    """What the server saw."""

    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0


class _Server(asyncio.Protocol):
    """Reads calls and says 200."""

    def __init__(self, counted: Counted) -> None:
        self._counted: Final = counted
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            if self._rest.startswith(b"GET"):
                said = msgspec.json.encode(self._counted)
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
                self._rest = b""
                return
            head = self._rest[:end].lower()
            at = head.find(b"content-length:") + 15
            whole = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._rest) < whole:
                return
            self._rest = self._rest[whole:]
            counted = self._counted
            counted.count, counted.last_s = counted.count + 1, perf_counter()
            counted.first_s = counted.first_s or counted.last_s
            self._transport.write(_OK)


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure one webhook, then ten that share the events."""
    del limit  # No signature of a mail in it.
    for webhooks in (1, 10):
        yield await _measure(count=2_000 if is_quick else 20_000, webhooks=webhooks)


async def _measure(*, count: int, webhooks: int) -> Line:
    (port,) = free_ports(1)
    async with temporary_dir() as path, Program(path / "node") as program, _running(port) as server_pid:
        await program.start("--role", "web", "--role", "worker")
        connection: Any = await asyncpg.connect(program.dsn())
        project_id = await connection.fetchval("SELECT project_id FROM project LIMIT 1")
        owner = Owner(project_id, program.sender)
        pile = Pile(number=1, owner=owner, count=count // webhooks, lanes=100, suffix="a.example")
        await backlog.put_in(program.dsn(), pile)
        for number in range(webhooks):
            url = f"http://{HOST}:{port}/{number}"
            await program.command_json("webhook", "add", url)
        await connection.execute("UPDATE recipient SET status = 'delivered'; DELETE FROM queue")
        await _until_reading(connection)
        before = {role: one.cpu_s for role, one in program.usage().items()}
        server_s = usage.measure_one(server_pid).cpu_s
        await connection.execute(_EVENTS)
        counted = await _until_told(port, count)
        while await connection.fetchval("SELECT count(*) FROM webhook_call"):
            await RealClock().sleep(0.05)
        spent = {role: one.cpu_s - before.get(role, 0.0) for role, one in program.usage().items()}
        spent["receiver"] = usage.measure_one(server_pid).cpu_s - server_s
        logged = await connection.fetchval("SELECT count(*) FROM webhook_delivery WHERE outcome = 'taken'")
        await connection.close()
    return Line(
        name=f"webhooks {webhooks}",
        n=count,
        unit="call",
        rate=round(count / (counted.last_s - counted.first_s)),
        cpu_us={role: round(cpu_s / count * 1e6, 1) for role, cpu_s in spent.items()},
        facts={"received": counted.count, "logged": logged},
    )


async def _until_reading(connection: Any) -> None:
    """Return when the worker has its place in the log."""
    async with asyncio.timeout(_WAIT_S):
        while not await connection.fetchval("SELECT count(*) FROM feed_cursor WHERE consumer = 'webhooks'"):
            await RealClock().sleep(0.05)


async def _until_told(port: int, count: int) -> Counted:
    async with asyncio.timeout(_WAIT_S):
        while (counted := await _ask(port)).count < count:
            await RealClock().sleep(0.2)
    return counted


async def _ask(port: int) -> Counted:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    said = msgspec.json.decode(await reader.read(1000), type=Counted)
    writer.close()
    return said


@contextlib.asynccontextmanager
async def _running(port: int) -> AsyncIterator[int]:
    """Yield the process id of the server; it is killed when the block ends."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.webhooks", str(port))
    try:
        async with asyncio.timeout(_WAIT_S):
            while True:
                with contextlib.suppress(OSError):
                    await _ask(port)
                    break
                await RealClock().sleep(0.05)
        yield child.pid
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _serve(port: int) -> None:
    counted = Counted()
    server = await asyncio.get_running_loop().create_server(lambda: _Server(counted), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
