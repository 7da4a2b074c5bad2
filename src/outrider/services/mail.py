"""The mail of a project, as it stands now: one message with its recipients, and later lists of them.

The records here are what faces render; times are aware UTC, statuses the words of `base.vocab`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.errors import NotFoundError
from outrider.base.vocab import RecipientStatus, Stream
from outrider.store import messages, recipients
from outrider.store.messages import Message
from outrider.store.pool import Store
from outrider.store.recipients import Recipient


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient as it stands now."""

    address: str
    status: RecipientStatus
    reason: str
    reply: str
    attempt_count: int
    next_attempt_at: datetime | None  # None: no further attempt is planned.
    updated_at: datetime


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Recipients come in the order in which the caller gave them."""

    message_id: UUID
    sender: str
    from_name: str
    subject: str
    stream: Stream
    campaign: str
    list_name: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    accepted_at: datetime
    send_at: datetime | None
    expires_at: datetime
    resent_from: UUID | None
    recipients: Sequence[RecipientView]


class Mail:
    """Reads a project's mail."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the message as it stands now.

        Raises:
            NotFoundError: the project has no such message.
        """
        async with self._store.transaction() as tx:
            found = await messages.by_id(tx, project_id, message_id)
            if found is None:
                raise NotFoundError("There is no such email.", field="id")
            rows = await recipients.of_message(tx, project_id, message_id)
        return _view(found, rows)


def _view(message: Message, rows: Sequence[Recipient]) -> MessageView:
    return MessageView(
        message_id=message.message_id,
        sender=message.sender,
        from_name=message.from_name,
        subject=message.subject,
        stream=message.stream,
        campaign=message.campaign,
        list_name=message.list_name,
        tags=message.tags,
        metadata=message.metadata,
        accepted_at=message.accepted_at,
        send_at=message.send_at,
        expires_at=message.expires_at,
        resent_from=message.resent_from,
        recipients=[
            RecipientView(
                address=row.address,
                status=row.status,
                reason=row.reason,
                reply=row.reply,
                attempt_count=row.attempt,
                next_attempt_at=row.due_at,
                updated_at=row.updated_at,
            )
            for row in rows
        ],
    )
