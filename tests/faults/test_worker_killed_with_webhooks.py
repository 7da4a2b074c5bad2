"""Fault: kill -9 of the worker while it makes calls of events, and calls of webhooks, again and again.

What must hold: every event is told at least once, under its own name; calls that were under way come again under the
same name when the lease has run out; nothing waits in the end.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from outrider.testing.api import Api
from outrider.testing.clock import RealClock, until
from outrider.testing.http_peer import HttpPeer, answer
from outrider.testing.postgres import make_folder
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROUNDS, EVENTS_A_ROUND = 2, 400
INSERT = """
    INSERT INTO event (at, project_id, message_id, kind, reason)
    SELECT now(), $1, $2, 'delivered', 'n' || n FROM generate_series($3::int, $4::int) AS n"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


async def kill_worker(program: Program) -> None:
    async def find() -> int | None:  # What was heard may have come from the one before, whose successor still starts.
        return next((pid for pid, role in program.processes().items() if role == "worker"), None)

    await program.kill(await program.until(find))


async def test_none_is_lost(folder: Path) -> None:
    with HttpPeer([answer(200)]) as peer:
        async with Program(folder / "node") as program:
            await program.start()
            assert program.key is not None
            api = Api(program, program.key)
            await api.post("/webhooks", {"url": peer.url, "kinds": ["delivered"]})
            connection: Any = await asyncpg.connect(program.dsn())
            project_id = await connection.fetchval("SELECT project_id FROM webhook")
            for number in range(ROUNDS):
                first = number * EVENTS_A_ROUND
                await connection.execute(INSERT, project_id, uuid4(), first, first + EVENTS_A_ROUND - 1)
                heard = len(peer.heard)
                await until(lambda heard=heard: len(peer.heard) > heard, 60.0)  # type: ignore[misc]
                await kill_worker(program)
            wanted = {f"n{number}" for number in range(ROUNDS * EVENTS_A_ROUND)}
            await until(lambda: wanted <= {reason(one.body) for one in list(peer.heard)}, 90.0)
            while await connection.fetchval("SELECT count(*) FROM webhook_call"):
                await RealClock().sleep(0.1)
            await connection.close()
    names = {(one.headers["webhook-id"], reason(one.body)) for one in peer.heard}
    assert len(names) == len(wanted), "what is told twice is told under the same name"


def reason(body: bytes) -> str:
    return str(msgspec.json.decode(body)["data"]["reason"])
