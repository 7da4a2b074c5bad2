"""How many bounces a second are accepted durably, read, and what does a flood of forged ones cost the database?

The smtp role alone takes them, `fsync` on, from this process over several connections with pipelining (MAIL, RCPT and
DATA in one packet): delivery reports of 3 KB, each to a return path of its own; each 250 comes after its commit. Then
a flood of forged return paths: `transactions` is what the database has seen of it (`xact_commit`), the three of asking
included. At last the worker role reads what was kept: from its first settled report to its last.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import asyncpg

from bench import backlog, lines
from bench.backlog import Owner, Pile
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.mail import dsn
from outrider.mail.dsn import Diagnosis
from outrider.mail.verp import Purpose, ReturnPath, Signer
from outrider.services.return_paths import signer_of
from outrider.store import master_key
from outrider.store.vault import vault_of
from outrider.testing.program import HOST, Program

CONNECTIONS: Final = 20
_DOMAIN: Final = "bounces.shop.example"
_ORIGINAL: Final = b"Subject: A backlog\r\nX-Filler: " + b"x" * 900 + b"\r\nX-Filler: " + b"y" * 900 + b"\r\n"
_GUESSES: Final = 100  # Of one conversation; then it is hung up on.
_COMMITS: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_FLUSHED_S: Final = 2.0  # A backend tells its figures a second after its last transaction.
_WAIT_S: Final = 120.0


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure keeping, refusing, reading."""
    del limit  # No signature in it.
    count = 2_000 if is_quick else 20_000
    async with temporary_dir() as path, Program(path / "node") as program:
        await program.start("--role", "web")
        connection: Any = await asyncpg.connect(program.dsn())
        project_id = await connection.fetchval("SELECT project_id FROM project LIMIT 1")
        owner = Owner(project_id, program.sender)
        await backlog.put_in(program.dsn(), Pile(number=1, owner=owner, count=count, lanes=100, suffix="a.example"))
        await connection.execute("UPDATE recipient SET status = 'delivered'; DELETE FROM queue")
        signer = signer_of(vault_of(master_key.find("", program.data_dir, {})))
        found = await connection.fetch("SELECT recipient_id FROM recipient")
        await connection.close()
        await program.stop()
        await program.serve("--role", "smtp")
        port = program.ports["INBOUND"]
        await _await_port(port)
        yield await _keep(port, signer, [row["recipient_id"] for row in found])
        yield await _refuse(port, program.dsn(), Signer(os.urandom(32)), count * 2)
        await program.serve("--role", "worker")
        yield await _read(program.dsn(), count)


async def _keep(port: int, signer: Signer, recipient_ids: Sequence[Any]) -> Line:
    expires_on = (datetime.now(UTC) + timedelta(days=7)).date()  # noqa: TID251 - a real clock.
    to = [signer.mint(ReturnPath(one, Purpose.BOUNCE, expires_on), _DOMAIN) for one in recipient_ids]
    content, taken_s, left = _report(), list[float](), iter(to)

    async def one() -> None:
        reader, writer = await _dial(port)
        for address in left:
            began_s = perf_counter()
            writer.write(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n" % address.encode())
            await _hear(reader, b"250", b"250", b"354")
            writer.write(content)
            await _hear(reader, b"250")
            taken_s.append(perf_counter() - began_s)
        writer.close()

    started_s = perf_counter()
    async with asyncio.timeout(_WAIT_S), asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(one())
    elapsed_s = perf_counter() - started_s
    return Line(
        name="inbound kept",
        n=len(to),
        unit="bounce",
        rate=round(len(to) / elapsed_s),
        p50_ms=lines.share_ms(taken_s, 0.5),
        p99_ms=lines.share_ms(taken_s, 0.99),
        facts={"connections": CONNECTIONS, "bytes": len(content)},
    )


async def _refuse(port: int, dsn_: str, stranger: Signer, count: int) -> Line:
    expires_on = (datetime.now(UTC) + timedelta(days=7)).date()  # noqa: TID251 - a real clock.
    forged = stranger.mint(ReturnPath(UUID(int=9), Purpose.BOUNCE, expires_on), _DOMAIN).encode()
    packet = b"MAIL FROM:<>\r\n" + b"RCPT TO:<%s>\r\n" % forged * _GUESSES
    rounds = itertools.repeat(None, count // _GUESSES)

    async def one() -> None:
        for _ in rounds:
            reader, writer = await _dial(port)
            writer.write(packet)
            await _hear(reader, b"250", *(b"550",) * _GUESSES)
            writer.close()

    before = await _commits(dsn_)
    started_s = perf_counter()
    async with asyncio.timeout(_WAIT_S), asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(one())
    elapsed_s = perf_counter() - started_s
    spent = await _commits(dsn_) - before
    return Line(
        name="inbound refused",
        n=count,
        unit="RCPT",
        rate=round(count / elapsed_s),
        facts={"transactions": spent, "connections": count // _GUESSES},
    )


async def _read(dsn_: str, count: int) -> Line:
    connection: Any = await asyncpg.connect(dsn_)
    marks: list[tuple[float, int]] = []
    async with asyncio.timeout(_WAIT_S):
        while not marks or marks[-1][1] > 0:
            left = await connection.fetchval("SELECT count(*) FROM inbound")
            if left < count:
                marks.append((perf_counter(), left))
    bounced = await connection.fetchval("SELECT count(*) FROM recipient WHERE status = 'bounced'")
    suppressed = await connection.fetchval("SELECT count(*) FROM suppression")
    await connection.close()
    (first_s, first), (last_s, _) = marks[0], marks[-1]
    return Line(
        name="inbound read",
        n=count,
        unit="bounce",
        rate=round(first / max(last_s - first_s, 0.001)),
        facts={"bounced": bounced, "suppressed": suppressed},
    )


def _report() -> bytes:
    told = Diagnosis(
        address="u@a.example", action="failed", status="5.1.1", code=550, text="No such user", remote_mta="mx.a.example"
    )
    message = dsn.build(
        reporting_mta="mx.a.example",
        sender="MAILER-DAEMON@a.example",
        to="x@shop.example",
        date=datetime.now(UTC),  # noqa: TID251 - a real clock.
        message_id="1@a.example",
        diagnoses=[told],
        original=_ORIGINAL,
    )
    return message + b".\r\n"


async def _commits(dsn_: str) -> int:
    """Return what the database has seen, this question's own connection left out."""
    connection: Any = await asyncpg.connect(dsn_)
    try:
        await connection.execute("SELECT pg_sleep($1)", _FLUSHED_S)
        return int(await connection.fetchval(_COMMITS))
    finally:
        await connection.close()


async def _await_port(port: int) -> None:
    async with asyncio.timeout(_WAIT_S):
        while True:
            try:
                _, writer = await _dial(port)
            except OSError:
                await asyncio.sleep(0.05)  # noqa: TID251 - a real clock.
            else:
                writer.close()
                return


async def _dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"EHLO mx.a.example\r\n")
    await _hear(reader, b"220", b"250")
    return reader, writer


async def _hear(reader: asyncio.StreamReader, *codes: bytes) -> None:
    for code in codes:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if line[:3] != code:
            raise RuntimeError(f"{line!r} instead of {code!r}")
