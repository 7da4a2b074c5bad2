"""Accepted mail: contents, messages, recipients, their places in the queue and the event of each, in one statement.

Five tables, but one round trip: with a statement for each, a small commit spent more on asking than on writing (7 % of
the CPU of a mail at 1 recipient a call, 12 % at 100; bench/accept_only.py, both at the same moment, 2026-11). Reading
and changing them is the business of `messages`, `recipients`, `queue` and `events`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store import events, messages
from outrider.store.events import Facts
from outrider.store.messages import Message
from outrider.store.pool import Tx


class NewRecipient(msgspec.Struct, frozen=True, gc=False):
    """A recipient about to be stored, with its place in the queue."""

    recipient_id: UUID
    message_id: UUID
    project_id: UUID
    address: str
    lane_id: int
    due_at: datetime
    expires_at: datetime
    personal: bytes | None = None  # What its mail is filled in with (`engine.submission.Personal`); None: nothing.


class NewMail(msgspec.Struct, frozen=True):
    """A message about to be stored."""

    message: Message
    body: bytes  # As `messages.encode_body` made it; `message.content_hash` is its hash.
    recipients: Sequence[NewRecipient]
    facts: Facts = {}  # Of its event, `accepted`. One with a later `send_at` has an event `scheduled` too.


_NO_RECIPIENTS: Final = ((),) * len(NewRecipient.__struct_fields__)
# Contents in hash order, so that two nodes cannot deadlock.
_INSERT: Final = """
    WITH content_new AS (
        INSERT INTO content (project_id, content_hash, body, created_at)
        SELECT project_id, content_hash, body, $1
          FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS given(project_id, content_hash, body)
         ORDER BY project_id, content_hash
        ON CONFLICT DO NOTHING
    ), recipient_new AS (
        INSERT INTO recipient (recipient_id, message_id, project_id, address, updated_at, personal)
        SELECT recipient_id, message_id, project_id, address, $1, personal
          FROM unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $12::bytea[])
            AS given(recipient_id, message_id, project_id, address, personal)
    ), queue_new AS (
        INSERT INTO queue (recipient_id, lane_id, due_at, expires_at)
        SELECT * FROM unnest($5::uuid[], $9::bigint[], $10::timestamptz[], $11::timestamptz[])
    ), event_new AS (
        INSERT INTO event (at, project_id, message_id, kind, facts)
        SELECT accepted_at, project_id, message_id, 'accepted', facts
          FROM unnest($22::timestamptz[], $15::uuid[], $14::uuid[], $13::jsonb[])
            AS given(accepted_at, project_id, message_id, facts)
        UNION ALL
        SELECT accepted_at, project_id, message_id, 'scheduled', jsonb_build_object('send_at', send_at)
          FROM unnest($22::timestamptz[], $15::uuid[], $14::uuid[], $28::timestamptz[])
            AS given(accepted_at, project_id, message_id, send_at)
         WHERE send_at > accepted_at
    )
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash,
                         recipient_count, accepted_at, expires_at, campaign, list_name,
                         tags, metadata, send_at, track_opens, track_clicks, resent_from, template_id, template_number)
    SELECT * FROM unnest($14::uuid[], $15::uuid[], $16::stream[], $17::text[], $18::text[], $19::text[], $20::bytea[],
                         $21::int[], $22::timestamptz[], $23::timestamptz[], $24::text[], $25::text[],
                         $26::jsonb[], $27::jsonb[], $28::timestamptz[], $29::boolean[], $30::boolean[], $31::uuid[],
                         $32::text[], $33::int[])"""

_HOLD: Final = """
    WITH held AS (
        UPDATE recipient r SET status = 'held', reason = $3, updated_at = $4
          FROM unnest($1::uuid[], $2::uuid[]) AS given(project_id, message_id)
         WHERE r.project_id = given.project_id AND r.message_id = given.message_id
     RETURNING r.recipient_id)
    DELETE FROM queue q USING held WHERE q.recipient_id = held.recipient_id"""


async def insert(tx: Tx, mails: Sequence[NewMail], *, now: datetime) -> None:
    """Store new mail, at least one. A content that the project has already stays as it is.

    Raises:
        StoreValueError: a text that the database cannot hold: with a NUL or half a character.
    """
    contents = {(one.message.project_id, one.message.content_hash): one.body for one in mails}
    rows = [msgspec.structs.astuple(to) for one in mails for to in one.recipients]
    await tx.execute(
        _INSERT,
        now,
        *zip(*((*key, body) for key, body in contents.items()), strict=True),
        *(zip(*rows, strict=True) if rows else _NO_RECIPIENTS),
        [events.facts_text(one.facts) for one in mails],
        *messages.columns([one.message for one in mails]),
    )


async def hold(tx: Tx, named: Sequence[tuple[UUID, UUID]], *, reason: str, now: datetime) -> None:
    """Take messages that this transaction has stored out of the queue again: their recipients are `held`.

    A statement of its own, so that mail which is not held, nearly all, pays nothing for it.

    Args:
        named: each as its project's id and its own.
    """
    await tx.execute(_HOLD, [pair[0] for pair in named], [pair[1] for pair in named], reason, now)
