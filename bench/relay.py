"""How many messages a second does the SMTP relay accept durably, what does the protocol cost, and an idle connection?

`relay accepted`: the smtp role alone, `fsync` on, 20 connections with TLS and AUTH from this process, one message of
3 KB at a time on each (MAIL, RCPT and DATA in one packet, or each for itself); each 250 comes after its commit.
`relay protocol`: the same from a server that does nothing with a message, ours and aiosmtpd's (`bench.relay_servers`).
`relay idle`: what 500 logged-in connections that say nothing add to the process.
"""

import asyncio
import base64
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final

from bench import lines, relay_servers
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.testing import usage
from outrider.testing.program import HOST, Program

CONNECTIONS: Final = 20
IDLE_COUNT: Final = 500
_BODY: Final = b"".join(
    b"Line %03d of a mail that somebody hands in, some seventy octets long...\r\n" % n for n in range(40)
)
_WAIT_S: Final = 180.0


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure the protocol, acceptance, idle connections."""
    del limit  # No signature in it.
    count = 1_000 if is_quick else 20_000
    for name in relay_servers.NAMES:
        async with _server(name) as (port, pid):
            before_s = usage.measure_one(pid).cpu_s
            line = await _load(f"relay protocol {name}", port, "a:b", "noreply@shop.example", count, is_pipelined=False)
            spent_s = usage.measure_one(pid).cpu_s - before_s
            yield lines.with_facts(line, server_us=round(spent_s / count * 1e6, 1))
    async with temporary_dir() as path, Program(path / "node", env={"OUTRIDER_LOG__LEVEL": "warning"}) as program:
        await program.start("--role", "web")
        assert program.key is not None
        pair, sender = program.key.pair, program.sender
        await program.stop()
        await program.serve("--role", "smtp")
        port = program.ports["SUBMISSIONS"]
        await _await_port(port)
        for is_pipelined in (True, False):
            before = program.usage()
            name = f"relay accepted{'' if is_pipelined else ' unpipelined'}"
            line = await _load(name, port, pair, sender, count, is_pipelined=is_pipelined)
            spent = {role: one.cpu_s - before[role].cpu_s for role, one in program.usage().items() if role in before}
            yield lines.with_facts(line, **{f"{role}_us": round(cpu / count * 1e6) for role, cpu in spent.items()})
        yield await _idle(program, port, pair)


@contextlib.asynccontextmanager
async def _server(name: str) -> AsyncIterator[tuple[int, int]]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.relay_servers", name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        async with asyncio.timeout(30.0):
            port = int(await child.stdout.readline())
        yield port, child.pid
    finally:
        child.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                await child.wait()
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _load(name: str, port: int, pair: str, sender: str, count: int, *, is_pipelined: bool) -> Line:
    taken_s = list[float]()
    numbers = iter(range(count))

    async def one() -> None:
        reader, writer = await _log_in(port, pair)
        for number in numbers:
            began_s = perf_counter()
            to = b"user%d@partner%d.example" % (number, number % 50)
            commands = (b"MAIL FROM:<%s>\r\n" % sender.encode(), b"RCPT TO:<%s>\r\n" % to, b"DATA\r\n")
            codes = (b"250", b"250", b"354")
            if is_pipelined:
                writer.write(b"".join(commands))
                await _hear(reader, *codes)
            else:
                for command, code in zip(commands, codes, strict=True):
                    writer.write(command)
                    await _hear(reader, code)
            writer.write(
                b"From: Shop <%s>\r\nTo: %s\r\nSubject: Your order %d\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\n"
                b"Message-ID: <%d@shop.example>\r\n\r\n%s.\r\n" % (sender.encode(), to, number, number, _BODY)
            )
            await _hear(reader, b"250")
            taken_s.append(perf_counter() - began_s)
        writer.close()

    started_s = perf_counter()
    async with asyncio.timeout(_WAIT_S), asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(one())
    elapsed_s = perf_counter() - started_s
    return Line(
        name=name,
        n=count,
        unit="mail",
        rate=round(count / elapsed_s),
        p50_ms=lines.share_ms(taken_s, 0.5),
        p99_ms=lines.share_ms(taken_s, 0.99),
        facts={"connections": CONNECTIONS, "bytes": len(_BODY)},
    )


async def _idle(program: Program, port: int, pair: str) -> Line:
    before = program.usage()["smtp"]
    started_s = perf_counter()
    open_ones = [await _log_in(port, pair) for _ in range(IDLE_COUNT)]
    elapsed_s = perf_counter() - started_s
    after = program.usage()["smtp"]
    for _, writer in open_ones:
        writer.close()
    return Line(
        name="relay idle",
        n=IDLE_COUNT,
        unit="login",
        rate=round(IDLE_COUNT / elapsed_s),
        facts={
            "rss_mb_more": round((after.rss_bytes - before.rss_bytes) / 1e6, 1),
            "pss_mb_more": round((after.pss_bytes - before.pss_bytes) / 1e6, 1),
        },
    )


async def _log_in(port: int, pair: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    await _hear(reader, b"220")
    writer.write(b"EHLO bench.example\r\n")
    await _hear(reader, b"250")
    name, _, secret = pair.partition(":")
    writer.write(b"AUTH PLAIN %s\r\n" % base64.b64encode(f"\0{name}\0{secret}".encode()))
    await _hear(reader, b"235")
    return reader, writer


async def _hear(reader: asyncio.StreamReader, *codes: bytes) -> None:
    for code in codes:
        while True:
            line = await reader.readline()
            if not line.startswith(code):
                raise RuntimeError(f"{code!r} wanted, the relay said {line!r}")
            if line[3:4] == b" ":
                break


async def _await_port(port: int) -> None:
    async with asyncio.timeout(30.0):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)  # noqa: TID251 - a real clock.
                continue
            writer.close()
            return
