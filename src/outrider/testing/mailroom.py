"""Rows for tests, put where the engine would put them, and a way to see that a statement waits for a lock.

    room = Mailroom(store, clock)
    project_id = await room.project()
    mail = await room.mail(project_id, ["ann@a.example", "bob@b.example"])     # queued, lanes woken, event written

Everything due is due at the clock's now. Ids sort in the order in which they are made, as the engine's do.
"""

import asyncio
import hashlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.vocab import Stream
from outrider.mail import address
from outrider.store import domains, intake, lanes, messages, projects, senders
from outrider.store.domains import Domain
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.lanes import LaneKey
from outrider.store.messages import Body, Message
from outrider.store.pool import Store, Tx
from outrider.store.projects import Project

POOL: Final = "default"
SENDER_DOMAIN: Final = "shop.example"
LANE_PROJECT: Final = UUID(int=7)  # Of lanes that a test makes without mail.
WAIT_S: Final = 10.0  # Ours: a test that waits longer waits for nothing.
_LIFE: Final = timedelta(days=3)
_BLOCKED: Final = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"""


class Mail(msgspec.Struct, frozen=True):
    """A message with its recipients, in the order given, and their lanes by domain."""

    message: Message
    recipient_ids: Sequence[UUID]
    lane_ids: dict[str, int]


class Mailroom:
    """Makes projects, lanes and mail. The same ids on every run."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._chance: Final = random.Random(2026)
        self._count = 0

    def new_id(self) -> UUID:
        """Return an id above all before it."""
        self._count += 1
        unix_ms = int(self._clock.now().timestamp() * 1000)
        return ids.from_ms(unix_ms, self._count << 44 | self._chance.getrandbits(44))

    async def sender(self, project_id: UUID, text: str, *, name: str = "Shop") -> None:
        """Give the project this sender, on a proven domain of its own."""
        parsed, now, domain_id = address.parse(text), self._clock.now(), self.new_id()
        async with self._store.transaction() as tx:
            await domains.insert(tx, Domain(domain_id, project_id, parsed.domain, now, now))
            await senders.insert(
                tx,
                sender_id=self.new_id(),
                project_id=project_id,
                domain_id=domain_id,
                address=parsed.text,
                address_key=parsed.key,
                name=name,
                now=now,
            )

    async def project(self, name: str = "shop") -> UUID:
        """Make a project and return its id."""
        async with self._store.transaction() as tx:
            project = await projects.ensure(tx, Project(self.new_id(), name), now=self._clock.now())
        return project.project_id

    async def lane(
        self,
        route: str,
        stream: Stream = Stream.TRANSACTIONAL,
        *,
        pool: str = POOL,
        project_id: UUID = LANE_PROJECT,
    ) -> int:
        """Make a lane, asleep, and return its id."""
        key = LaneKey(pool, route, stream, project_id, SENDER_DOMAIN)
        async with self._store.transaction() as tx:
            return (await lanes.ensure(tx, [key]))[key]

    async def mail(
        self,
        project_id: UUID,
        addresses: Sequence[str],
        *,
        stream: Stream = Stream.TRANSACTIONAL,
        due_at: datetime | None = None,
    ) -> Mail:
        """Accept a message to these addresses, due at `due_at` or now."""
        routes = {address.rpartition("@")[2] for address in addresses}
        keys = [LaneKey(POOL, route, stream, project_id, SENDER_DOMAIN) for route in routes]
        async with self._store.transaction() as tx:
            made = await lanes.ensure(tx, keys)
        mail = Mail(
            self.message(project_id, len(addresses), stream=stream),
            [self.new_id() for _ in addresses],
            {key.route: lane_id for key, lane_id in made.items()},
        )
        async with self._store.transaction() as tx:
            await self._write(tx, mail, addresses, due_at or self._clock.now())
        return mail

    def message(self, project_id: UUID, recipient_count: int = 1, *, stream: Stream = Stream.TRANSACTIONAL) -> Message:
        """Return a message that is not stored yet; its body is `Body("Hello")`."""
        now = self._clock.now()
        return Message(
            message_id=self.new_id(),
            project_id=project_id,
            stream=stream,
            sender=f"news@{SENDER_DOMAIN}",
            from_name="Shop",
            subject="Hello",
            content_hash=hashlib.sha256(messages.encode_body(Body("Hello"))).digest(),
            recipient_count=recipient_count,
            accepted_at=now,
            expires_at=now + _LIFE,
        )

    async def _write(self, tx: Tx, mail: Mail, addresses: Sequence[str], due_at: datetime) -> None:
        message, now = mail.message, self._clock.now()
        recipients = [
            NewRecipient(
                recipient_id,
                message.message_id,
                message.project_id,
                address,
                mail.lane_ids[address.rpartition("@")[2]],
                due_at,
                message.expires_at,
            )
            for recipient_id, address in zip(mail.recipient_ids, addresses, strict=True)
        ]
        await intake.insert(tx, [NewMail(message, messages.encode_body(Body("Hello")), recipients)], now=now)
        await lanes.touch(tx, sorted(set(mail.lane_ids.values())), due_at=due_at)


def with_body(message: Message, body: Body) -> NewMail:
    """Return the message as mail with this body and no recipients, not stored yet."""
    octets = messages.encode_body(body)
    told = msgspec.structs.replace(message, content_hash=hashlib.sha256(octets).digest())
    return NewMail(told, octets, ())


async def blocked_pids(store: Store) -> set[int]:
    """Return the backends of this database that wait for somebody's lock now."""
    async with store.transaction() as tx:
        return {row["pid"] for row in await tx.fetch(_BLOCKED)}


async def wait_blocked(store: Store, count: int = 1) -> None:
    """Return when at least `count` statements wait for somebody's lock.

    Raises:
        TimeoutError: not within `WAIT_S`.
    """
    async with asyncio.timeout(WAIT_S):
        while len(await blocked_pids(store)) < count:
            continue
