"""Messages and their content: what we accepted, immutable.

A body is stored once per project by its hash; a message points to it, and its recipients point to the message.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.store.pool import Tx


class Body(msgspec.Struct, frozen=True, array_like=True):
    """What `content.body` holds, as MessagePack: the text, the HTML or both."""

    text: str | None = None
    html: str | None = None


class Message(msgspec.Struct, frozen=True):
    """One accepted call: envelope and headers; the body is `content_hash`."""

    message_id: UUID  # Customers know it as the session.
    project_id: UUID
    stream: Stream
    sender: str
    from_name: str
    subject: str
    content_hash: bytes
    recipient_count: int
    accepted_at: datetime
    expires_at: datetime
    campaign: str = ""  # This and the next: "" for none.
    list_name: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """A message with its body, as the delivery side needs it."""

    message: Message
    body: Body


encode_body: Final = msgspec.msgpack.Encoder().encode
decode_body: Final = msgspec.msgpack.Decoder(Body).decode

_INSERT_CONTENT: Final = """
    INSERT INTO content (project_id, content_hash, body, created_at)
    SELECT project_id, content_hash, body, $4
      FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS given(project_id, content_hash, body)
     ORDER BY project_id, content_hash
    ON CONFLICT DO NOTHING"""
_INSERT: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash,
                         recipient_count, accepted_at, expires_at, campaign, list_name)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::stream[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                         $8::int[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[])"""
# The queue hands out recipients of every project; their messages are read by id, never by a customer's word.
_LOAD: Final = """
    SELECT message_id, m.project_id, stream, sender, from_name, subject, content_hash,
           recipient_count, accepted_at, expires_at, campaign, list_name, body
      FROM message m JOIN content USING (project_id, content_hash)
     WHERE message_id = ANY($1::uuid[])"""
_BY_ID: Final = """
    SELECT message_id, project_id, stream, sender, from_name, subject, content_hash,
           recipient_count, accepted_at, expires_at, campaign, list_name
      FROM message WHERE project_id = $1 AND message_id = $2"""


async def insert_contents(tx: Tx, contents: Sequence[tuple[UUID, bytes, bytes]], *, now: datetime) -> None:
    """Store (project, hash, body) rows that are not there yet. In hash order, so that two nodes cannot deadlock."""
    columns = list(zip(*contents, strict=True))
    await tx.execute(_INSERT_CONTENT, *columns, now)


async def insert(tx: Tx, messages: Sequence[Message]) -> None:
    """Store new messages."""
    columns = zip(*(msgspec.structs.astuple(message) for message in messages), strict=True)
    await tx.execute(_INSERT, *map(list, columns))


async def load(tx: Tx, message_ids: Sequence[UUID]) -> dict[UUID, Loaded]:
    """Return these messages with their bodies; those that are gone are missing from the answer."""
    loaded: dict[UUID, Loaded] = {}
    for row in await tx.fetch(_LOAD, message_ids):
        values: dict[str, Any] = dict(row)
        body = decode_body(values.pop("body"))
        message = Message(**values | {"stream": Stream(values["stream"])})
        loaded[message.message_id] = Loaded(message, body)
    return loaded


async def by_id(tx: Tx, project_id: UUID, message_id: UUID) -> Message | None:
    """Return the project's message, None if it has none of that id."""
    row = await tx.fetch_row(_BY_ID, project_id, message_id)
    return None if row is None else Message(**dict(row) | {"stream": Stream(row["stream"])})
