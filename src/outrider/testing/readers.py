"""Readers of a running program's mail: each has a tracked link of its own to follow, and may be asked what was counted.

readers = await Readers.of(program, 50)
answered = await readers.follow(range(50))
await program.until(readers.all_counted)
"""

import asyncio
import http.client
import os
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from outrider.services.tracking_terms import tokens_of
from outrider.store import master_key
from outrider.store.vault import vault_of
from outrider.testing.program import HOST, Program, ProgramError

TARGET: Final = "https://shop.example/offer?a=1"
_WAIT_S: Final = 10.0  # For one answer.
_PER_CALL: Final = 100
_BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
_RECIPIENTS: Final = """
    SELECT recipient_id FROM recipient
     WHERE project_id = (SELECT project_id FROM sender ORDER BY sender_id LIMIT 1) ORDER BY address"""
_CLICKS: Final = """
    SELECT recipient_id, clicks FROM engagement
     WHERE project_id = (SELECT project_id FROM sender ORDER BY sender_id LIMIT 1)"""


class Followed(msgspec.Struct, frozen=True):
    """A link that was followed, and where it led."""

    number: int  # The reader's.
    at_s: float  # When it was answered, by `perf_counter`.
    waited_s: float


class Readers:
    """The recipients of all mail of a program, numbered by their addresses."""

    def __init__(self, program: Program, recipient_ids: Sequence[UUID]) -> None:
        tokens = tokens_of(vault_of(master_key.find("", program.data_dir, os.environ)))
        self.count: Final = len(recipient_ids)
        self._program: Final = program
        self._numbers: Final = {recipient_id: number for number, recipient_id in enumerate(recipient_ids)}
        self._links: Final = [f"/t/{tokens.link(one, 1, TARGET, host='')}" for one in recipient_ids]

    @classmethod
    async def of(cls, program: Program, count: int) -> "Readers":
        """Send that many mails; whether they are delivered is not waited for."""
        addresses = [f"r{number:05d}@a.example" for number in range(count)]
        for first in range(0, count, _PER_CALL):
            answer = await program.send(addresses[first : first + _PER_CALL])
            assert answer["RetCode"] == 0, answer
        found = await _rows(program, _RECIPIENTS)
        assert len(found) == count
        return cls(program, [row["recipient_id"] for row in found])

    async def follow(self, numbers: Iterable[int], *, every_s: float = 0.0) -> Sequence[Followed]:
        """Follow the links of these, one after the other, over one connection; `every_s` apart at least.

        Raises:
            OSError, http.client.HTTPException: the program went away meanwhile.
        """
        followed: list[Followed] = []
        await self.follow_into(followed, numbers, every_s=every_s)
        return followed

    async def follow_into(self, followed: list[Followed], numbers: Iterable[int], *, every_s: float = 0.0) -> None:
        """Do the same, and add to `followed` as they are answered."""
        connection = http.client.HTTPConnection(HOST, self._program.ports["HTTP"], timeout=_WAIT_S)
        try:
            for number in numbers:
                asked_at_s = perf_counter()
                location = await asyncio.to_thread(_follow, connection, self._links[number])
                assert location == TARGET
                at_s = perf_counter()
                followed.append(Followed(number, at_s, at_s - asked_at_s))
                await asyncio.sleep(max(0.0, every_s - followed[-1].waited_s))  # noqa: TID251 - real time.
        finally:
            connection.close()

    async def counted(self) -> Mapping[int, int]:
        """Return how many clicks the database has of each reader; it must be there."""
        return {self._numbers[row["recipient_id"]]: row["clicks"] for row in await _rows(self._program, _CLICKS)}

    async def all_counted(self) -> bool:
        """Whether the database has clicks of each; False where it is away."""
        try:
            return len(await self.counted()) == self.count
        except (OSError, ProgramError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False


def _follow(connection: http.client.HTTPConnection, path: str) -> str | None:
    connection.request("GET", path, headers={"User-Agent": _BROWSER})
    answer = connection.getresponse()
    answer.read()
    return answer.getheader("location") if answer.status == http.HTTPStatus.FOUND else None


async def _rows(program: Program, sql: str) -> Sequence[Mapping[str, Any]]:
    connection: Any = await asyncpg.connect(program.dsn(), timeout=_WAIT_S)
    try:
        rows: Sequence[Mapping[str, Any]] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()
