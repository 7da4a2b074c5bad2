"""Rows of a queue in any state, for tests of holds, acts and explanations: by plain SQL, without the engine.

    room = QueueRoom(store, clock)
    lane_id = await room.lane(route="a.example", provider="gmail", paused_until=later, pause_kind="rate", ...)
    mail = await room.mail(lane_id, 3, attempt=2, due_at=later)
    await room.count("queue", "lane_id = $1", lane_id)

All rows are of one project, `room.project_id`, unless they name another.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project

LIFE: Final = timedelta(days=3)
_MAIL: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                         accepted_at, expires_at, send_at)
    VALUES ($1, $2, 'transactional', 'news@shop.example', '', 'Hello', '', $3, $4, $5, $6)"""
_RECIPIENTS: Final = """
    INSERT INTO recipient (recipient_id, message_id, project_id, address, status, reason, reply, attempt, updated_at)
    SELECT id, $2, $3, address, $4, $5, $6, $7, $8 FROM unnest($1::uuid[], $9::text[]) AS given(id, address)"""
_QUEUE: Final = """
    INSERT INTO queue (recipient_id, lane_id, due_at, attempt, expires_at)
    SELECT id, $2, $3, $4, $5 FROM unnest($1::uuid[]) AS given(id)"""
_LOWER: Final = """
    UPDATE lane SET next_due_at = LEAST(next_due_at, $2) WHERE lane_id = $1 AND paused_until IS NULL"""
_NODE: Final = """
    INSERT INTO node (node_id, name, pools, addresses, started_at, seen_at) VALUES ($1, $2, $3, '{}', $4, $4)"""
_GATE: Final = """
    INSERT INTO gate (node_id, source, provider, state, updated_at) VALUES ($1, $2, $3, $4::text::jsonb, $5)"""


class Mail(msgspec.Struct, frozen=True):
    """A session and its recipients, in order."""

    message_id: UUID
    recipient_ids: Sequence[UUID]
    addresses: Sequence[str]


class QueueRoom:
    """Makes rows. The same ids on every run."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.project_id = UUID(int=0)
        self._store: Final = store
        self._clock: Final = clock
        self._chance: Final = random.Random(3)
        self._count = 0

    def new_id(self) -> UUID:
        """Return an id above all before it."""
        self._count += 1
        unix_ms = int(self._clock.now().timestamp() * 1000)
        return ids.from_ms(unix_ms, self._count << 44 | self._chance.getrandbits(44))

    async def open(self) -> "QueueRoom":
        """Make the project."""
        self.project_id = await self.project("shop")
        return self

    async def project(self, name: str) -> UUID:
        """Make another project and return its id."""
        async with self._store.transaction() as tx:
            made = await projects.ensure(tx, Project(self.new_id(), name), now=self._clock.now())
        return made.project_id

    async def lane(self, **columns: object) -> int:
        """Make a lane with these columns (`shard` differs if nothing else does) and return its id."""
        self._count += 1
        values: dict[str, object] = {
            "pool": "default",
            "route": "a.example",
            "stream": "transactional",
            "project_id": self.project_id,
            "sender_domain": "shop.example",
            "shard": self._count,
        } | columns
        if values.get("paused_until") is not None:
            values = {
                "pause_kind": "rate", "pause_reason": "because", "paused_since": self._clock.now(),
                "next_due_at": values["paused_until"],
            } | values  # fmt: skip
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"INSERT INTO lane ({', '.join(values)}) VALUES ({places}) RETURNING lane_id"  # noqa: S608 - a test's own.
        row = (await self.fetch(sql, *values.values()))[0]
        return int(row["lane_id"])

    async def mail(
        self,
        lane_id: int | None,
        count: int = 1,
        *,
        due_at: datetime | None = None,
        send_at: datetime | None = None,
        expires_at: datetime | None = None,
        status: str = "queued",
        reason: str = "",
        reply: str = "",
        attempt: int = 0,
        route: str = "a.example",
        project_id: UUID | None = None,
    ) -> Mail:
        """Store a session of `count` recipients in this state; they are queued in the lane unless that is None.

        They are due at `send_at` unless `due_at` says otherwise.
        """
        now = self._clock.now()
        made = [self.new_id() for _ in range(count)]
        mail = Mail(self.new_id(), made, [f"r{one.int & 0xFFFFFF:06x}@{route}" for one in made])
        whose, expires_at, due_at = project_id or self.project_id, expires_at or now + LIFE, due_at or send_at or now
        async with self._store.transaction() as tx:
            await tx.execute(_MAIL, mail.message_id, whose, count, now, expires_at, send_at)
            state = (status, reason, reply, attempt, now)
            await tx.execute(_RECIPIENTS, made, mail.message_id, whose, *state, mail.addresses)
            if lane_id is not None:
                await tx.execute(_QUEUE, made, lane_id, due_at, attempt, expires_at)
                await tx.execute(_LOWER, lane_id, due_at)
        return mail

    async def node(
        self, name: str = "mta1", pools: Sequence[str] = ("default",), seen_at: datetime | None = None
    ) -> UUID:
        """Store a node, alive unless `seen_at` is long ago, and return its id."""
        node_id = self.new_id()
        await self.execute(_NODE, node_id, name, list(pools), seen_at or self._clock.now())
        return node_id

    async def gate(self, node_id: UUID, source: str, provider: str, **state: object) -> None:
        """Store what a node says about its limits at a provider."""
        text = msgspec.json.encode(state).decode()
        await self.execute(_GATE, node_id, source, provider, text, self._clock.now())

    async def lease(self, lane_id: int, owner: UUID, *, lease_s: float = 60) -> None:
        """Let `owner` hold the lane."""
        until = self._clock.now() + timedelta(seconds=lease_s)
        await self.execute("UPDATE lane SET owner = $2, lease_until = $3 WHERE lane_id = $1", lane_id, owner, until)

    async def give_back(self, lane_id: int) -> None:
        """Let nobody hold the lane."""
        await self.execute("UPDATE lane SET owner = NULL WHERE lane_id = $1", lane_id)

    async def lane_row(self, lane_id: int) -> dict[str, Any]:
        """Return the lane's columns; an instant that is 'infinity' as the year 9999."""
        (row,) = await self.fetch("SELECT * FROM lane WHERE lane_id = $1", lane_id)
        return row

    async def queue_rows(self, lane_id: int) -> list[dict[str, Any]]:
        """Return the lane's rows, in order."""
        return await self.fetch("SELECT * FROM queue WHERE lane_id = $1 ORDER BY due_at, recipient_id", lane_id)

    async def statuses(self, mail: Mail) -> list[str]:
        """Return the statuses of the mail's recipients, in order."""
        rows = await self.fetch(
            "SELECT status FROM recipient WHERE project_id = $1 AND message_id = $2 ORDER BY recipient_id",
            self.project_id,
            mail.message_id,
        )
        return [row["status"] for row in rows]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind, of the project or the installation, in order, their facts decoded."""
        whose = [self.project_id, UUID(int=0)]
        rows = await self.fetch("SELECT * FROM event WHERE project_id = ANY($1::uuid[]) ORDER BY event_id", whose)
        return [row | {"facts": msgspec.json.decode(row["facts"])} for row in rows if row["kind"] == kind]

    async def fetch(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """Run `sql` in a transaction of its own."""
        async with self._store.transaction() as tx:
            return [dict(row) for row in await tx.fetch(sql, *arguments)]

    async def execute(self, sql: str, *arguments: object) -> None:
        """Run `sql` in a transaction of its own."""
        async with self._store.transaction() as tx:
            await tx.execute(sql, *arguments)
