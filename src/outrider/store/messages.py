"""Messages and their content: what we accepted, immutable.

A body is stored once per project by its hash; a message points to it, and its recipients point to the message. New
ones are stored by `intake`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.mail.render import Template
from outrider.store.pool import Tx


class FileRef(msgspec.Struct, frozen=True, array_like=True):
    """A file of a message: its octets are in `attachment` under the hash."""

    content_hash: bytes
    size_bytes: int
    name: str
    type: str
    content_id: str = ""  # "": attached; else shown by the HTML.


class Body(msgspec.Struct, frozen=True, array_like=True):
    """What `kept.body` holds, as MessagePack: all that is written into the message, but for files' octets.

    New fields come last, with a default: what is stored does not have them.
    """

    text: str | None = None
    html: str | None = None
    shown_to: tuple[str, ...] = ()  # This and the next two: as `mail.mailbox` writes and reads them.
    shown_cc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    files: tuple[FileRef, ...] = ()
    template: Template | None = None  # In place of `text` and `html`: each recipient's mail is rendered from it.
    preheader: str | None = None  # This and the next: the call's own, in place of the template's.
    has_own_subject: bool = False  # Then `Message.subject` counts.
    raw: bytes | None = None  # The whole message as it was handed in; then nothing else is set but these:
    has_null_sender: bool = False  # Its envelope has the null sender: nothing may come back to it.
    pool: str = ""  # Which sources the call asked for, for when it is sent again; "": as the project's settings say.


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
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    send_at: datetime | None = None  # Not before; None: at once.
    track_opens: bool | None = None  # This and the next: None: as the sending domain says.
    track_clicks: bool | None = None
    resent_from: UUID | None = None  # The message whose content this one has.
    template_id: str = ""  # This and the next: which stored template its body was made from; "" and 0: none.
    template_number: int = 0


class Loaded(msgspec.Struct, frozen=True):
    """A message with its body, as the delivery side needs it."""

    message: Message
    body: Body


encode_body: Final = msgspec.msgpack.Encoder().encode
decode_body: Final = msgspec.msgpack.Decoder(Body).decode
_encode: Final = msgspec.json.Encoder().encode
_read_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_read_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode
_TAGS_AT: Final = Message.__struct_fields__.index("tags")
_METADATA_AT: Final = Message.__struct_fields__.index("metadata")

# The queue hands out recipients of every project; their messages are read by id, never by a customer's word.
_LOAD: Final = """
    SELECT message_id, m.project_id, stream, sender, from_name, subject, content_hash, recipient_count, accepted_at,
           expires_at, campaign, list_name, tags::text AS tags, metadata::text AS metadata, send_at, track_opens,
           track_clicks, resent_from, template_id, template_number, body
      FROM message m JOIN content USING (project_id, content_hash)"""
_BY_IDS: Final = f"""{_LOAD}
     WHERE message_id = ANY($1::uuid[])"""
_WITH_BODY: Final = f"""{_LOAD}
     WHERE m.project_id = $1 AND message_id = $2"""
_BY_ID: Final = """
    SELECT message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count, accepted_at,
           expires_at, campaign, list_name, tags::text AS tags, metadata::text AS metadata, send_at, track_opens,
           track_clicks, resent_from, template_id, template_number
      FROM message WHERE project_id = $1 AND message_id = $2"""


def columns(messages: Sequence[Message]) -> list[Sequence[object]]:
    """Return the messages' values, field by field, as the database takes them; at least one message."""
    found: list[Sequence[object]] = list(zip(*map(msgspec.structs.astuple, messages), strict=True))
    for at in (_TAGS_AT, _METADATA_AT):
        found[at] = [_json(value) for value in found[at]]
    return found


async def load(tx: Tx, message_ids: Sequence[UUID]) -> dict[UUID, Loaded]:
    """Return these messages with their bodies; those that are gone are missing from the answer."""
    loaded: dict[UUID, Loaded] = {}
    for row in await tx.fetch(_BY_IDS, message_ids):
        found = _loaded(row)
        loaded[found.message.message_id] = found
    return loaded


async def by_id(tx: Tx, project_id: UUID, message_id: UUID) -> Message | None:
    """Return the project's message, None if it has none of that id."""
    row = await tx.fetch_row(_BY_ID, project_id, message_id)
    return None if row is None else _message(dict(row))


async def with_body(tx: Tx, project_id: UUID, message_id: UUID) -> Loaded | None:
    """Return the project's message with its body, None if it has none of that id."""
    row = await tx.fetch_row(_WITH_BODY, project_id, message_id)
    return None if row is None else _loaded(row)


def _loaded(row: Mapping[str, Any]) -> Loaded:
    values = dict(row)
    body = decode_body(values.pop("body"))
    return Loaded(_message(values), body)


def _message(values: dict[str, Any]) -> Message:
    values["stream"] = Stream(values["stream"])
    values["tags"] = () if values["tags"] == "[]" else _read_tags(values["tags"])
    values["metadata"] = {} if values["metadata"] == "{}" else _read_metadata(values["metadata"])
    return Message(**values)


def _json(value: object) -> str:
    """Nearly all messages have neither tags nor metadata."""
    return _encode(value).decode() if value else "[]" if isinstance(value, tuple) else "{}"
