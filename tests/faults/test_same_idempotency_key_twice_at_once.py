"""Fault: a client loses patience and sends the same request again, to another process, while the first is under way.

One mail, and everybody gets the same answer. If the second is another request under the same key, exactly one of the
two is sent and the other is told. If the first cannot be stored, the key is free for the next try.
"""

import asyncio
from pathlib import Path

import pytest

from outrider.base.errors import ConflictError, StoreError
from outrider.engine.submission import Accepted
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import PROJECT, EngineRoom, Line, running, submission


async def message_count(store: Store) -> int:
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT count(*) FROM message")
    assert row is not None
    return int(row["count"])


async def test_two_processes_and_one_key_make_one_mail(store: Store, clock: RealClock, database_url: str) -> None:
    room = EngineRoom(store, clock)
    async with Store(database_url, StoreSettings()) as other, Store(database_url, StoreSettings()) as third:
        faces = [room.accept, room.acceptor(other), room.acceptor(third)]
        async with running(*faces):
            answers = await asyncio.gather(
                *(face(PROJECT, submission(), idempotency_key="once") for _ in range(50) for face in faces)
            )
    assert len({answer.session_id for answer in answers}) == 1
    assert await message_count(store) == 1


async def test_of_two_requests_under_one_key_one_is_sent(store: Store, clock: RealClock, database_url: str) -> None:
    room = EngineRoom(store, clock)
    async with Store(database_url, StoreSettings()) as other:
        faces = [room.accept, room.acceptor(other)]
        async with running(*faces):
            answers = await asyncio.gather(
                *(
                    face(PROJECT, submission(subject=f"from {at}"), idempotency_key="once")
                    for _ in range(20)
                    for at, face in enumerate(faces)
                ),
                return_exceptions=True,
            )
    sent = {answer.session_id for answer in answers if isinstance(answer, Accepted)}
    assert len(sent) == 1
    assert sum(isinstance(answer, Accepted) for answer in answers) == 20
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 20
    assert await message_count(store) == 1


async def test_a_key_whose_request_was_not_stored_is_free(
    store: Store, clock: RealClock, database_url: str, tmp_path: Path
) -> None:
    room = EngineRoom(store, clock)
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as cut_off:
        face = room.acceptor(cut_off)
        async with running(face, room.accept):
            await line.cut()
            with pytest.raises(StoreError):
                await face(PROJECT, submission(), idempotency_key="once")
            answer = await room.accept(PROJECT, submission(subject="Another"), idempotency_key="once")
            await line.mend()
            with pytest.raises(ConflictError):
                await face(PROJECT, submission(), idempotency_key="once")
    assert answer.recipient_count == 1
    assert await message_count(store) == 1
