"""Mail that waits, by the million: put into the tables by SQL in seconds, as accept would have put it there in an hour.

    await backlog.put_in(dsn, Pile(number=1, owner=owner, count=1_000_000, lanes=20_000, suffix="paused.example", ...))

No other benchmark writes the tables; `soak` reads them at its end. This one keeps the ledger's invariants: a queued
recipient has its message, its content and its queue row; `lane.next_due_at = greatest(earliest due_at, paused_until)`;
a pause says why. Left out: the `accepted` events. Nothing is announced: whoever runs already sees it at its next poll.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from outrider.base.vocab import Stream, WaitKind
from outrider.store import messages
from outrider.store.messages import Body
from outrider.testing.load import make_content

POOL: Final = "default"  # Of every lane.
_PER_MESSAGE: Final = 1000  # Recipients of one accepted call.
_LIFE: Final = timedelta(days=3)
_WAIT_S: Final = 600.0  # For one statement.


class Owner(msgspec.Struct, frozen=True):
    """Whose mail it is."""

    project_id: UUID
    sender: str

    @property
    def domain(self) -> str:
        """The sending domain."""
        return self.sender.partition("@")[2]


class Pile(msgspec.Struct, frozen=True, kw_only=True):
    """Mail that waits in the lanes of one suffix: route0.SUFFIX, route1.SUFFIX and so on in turn."""

    number: int  # Tells the identifiers of piles apart, 0 to 15.
    owner: Owner
    count: int
    suffix: str
    lanes: int = 1
    stream: Stream = Stream.MARKETING
    provider: str = ""
    paused_for_s: float = 0.0  # 0: not paused.
    due_in_s: float = -3600.0  # When the first is due; the others follow, a millisecond each.


_CONTENT: Final = """
    INSERT INTO content (project_id, content_hash, body, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"""
# Identifiers by number, ascending as UUIDv7 are: random ones would scatter the inserts over the whole index.
_MESSAGES: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash,
                         recipient_count, accepted_at, expires_at)
    SELECT ($1 || lpad(to_hex(n), 12, '0'))::uuid, $2, $3::text::stream, $4, 'Example Shop', 'A backlog', $5, $6, $7, $8
      FROM generate_series(0, $9::bigint - 1) AS n"""
_LANES: Final = """
    INSERT INTO lane (pool, route, stream, shard, project_id, sender_domain, provider, next_due_at,
                      paused_until, pause_kind, pause_reason, paused_since)
    SELECT $1, 'route' || n || '.' || $2, $3::text::stream, 0, $4, $5, $6,
           greatest($7::timestamptz + n * interval '1 ms', $8::timestamptz), $8, $9, $10, $11
      FROM generate_series(0, $12::bigint - 1) AS n"""
_RECIPIENTS: Final = """
    INSERT INTO recipient (recipient_id, message_id, project_id, address, updated_at)
    SELECT ($1 || lpad(to_hex(n), 12, '0'))::uuid, ($2 || lpad(to_hex(n / $3::bigint), 12, '0'))::uuid, $4,
           'u' || lpad(n::text, 8, '0') || '@route' || n % $5::bigint || '.' || $6, $7
      FROM generate_series(0, $8::bigint - 1) AS n"""
_QUEUE: Final = """
    INSERT INTO queue (recipient_id, lane_id, due_at, expires_at)
    SELECT ($1 || lpad(to_hex(n), 12, '0'))::uuid, lane_id, $2::timestamptz + n * interval '1 ms', $3
      FROM generate_series(0, $4::bigint - 1) AS n
      JOIN lane ON route = 'route' || n % $5::bigint || '.' || $6 AND project_id = $7 AND stream = $8::text::stream"""


async def put_in(dsn: str, pile: Pile) -> None:
    """Store the pile and refresh the planner's statistics. Cost: about 15 s a million."""
    now = datetime.now(UTC)  # noqa: TID251 - a real clock.
    connection: Any = await asyncpg.connect(dsn, command_timeout=_WAIT_S)
    try:
        async with connection.transaction():
            await _store(connection, pile, now)
        await connection.execute("VACUUM (ANALYZE) lane, queue, recipient, message, content")
    finally:
        await connection.close()


async def _store(connection: Any, pile: Pile, now: datetime) -> None:
    owner, stream = pile.owner, str(pile.stream)
    body = messages.encode_body(Body(html=make_content("3k")))
    content_hash = hashlib.sha256(body).digest()
    message_count = -(-pile.count // _PER_MESSAGE)
    message_ids, recipient_ids = f"01960000-000{pile.number:x}-7000-8000-", f"01960000-000{pile.number:x}-7000-9000-"
    due_at, expires_at = now + timedelta(seconds=pile.due_in_s), now + _LIFE
    await connection.execute(_CONTENT, owner.project_id, content_hash, body, now)
    await connection.execute(
        _MESSAGES,
        *(message_ids, owner.project_id, stream, owner.sender, content_hash, min(_PER_MESSAGE, pile.count)),
        *(now, expires_at, message_count),
    )
    pause: tuple[datetime | str | None, ...] = (None, None, None, None)
    if pile.paused_for_s:
        until = now + timedelta(seconds=pile.paused_for_s)
        pause = (until, str(WaitKind.PAUSE), f"{pile.provider} is paused by the benchmark", now)
    await connection.execute(
        _LANES,
        *(POOL, pile.suffix, stream, owner.project_id, owner.domain, pile.provider),
        *(due_at, *pause, pile.lanes),
    )
    await connection.execute("ANALYZE lane")  # Without it the join below may read them all for each mail.
    await connection.execute(
        _RECIPIENTS,
        *(recipient_ids, message_ids, _PER_MESSAGE, owner.project_id, pile.lanes, pile.suffix, now, pile.count),
    )
    await connection.execute(
        _QUEUE,
        *(recipient_ids, due_at, expires_at, pile.count, pile.lanes, pile.suffix, owner.project_id, stream),
    )


async def owner_at(dsn: str) -> Owner:
    """Return the project and its first sender, as `Program.set_up` made them."""
    connection: Any = await asyncpg.connect(dsn, command_timeout=_WAIT_S)
    try:
        row = await connection.fetchrow("SELECT project_id, address FROM sender ORDER BY sender_id LIMIT 1")
    finally:
        await connection.close()
    return Owner(row["project_id"], row["address"])
