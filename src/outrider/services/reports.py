"""What became of an accepted call: one session, its recipients, their events.

The records here are what faces render; times are aware UTC, statuses and kinds the words of `base.vocab`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus
from outrider.mail import address
from outrider.store import events, messages, recipients, suppressions
from outrider.store.events import Event
from outrider.store.pool import Store
from outrider.store.recipients import Recipient
from outrider.store.suppressions import Suppression


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the life of a recipient."""

    kind: EventKind
    at: datetime
    reason: str = ""  # The word of the rule that judged, "" where nothing was judged.
    reply: str = ""  # What the other server said, "" if it said nothing.
    facts: Mapping[str, str | int | float | bool] = {}  # Such as host, ip, tls, duration_ms, ambiguous.


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient as it stands now."""

    address: str
    status: RecipientStatus
    reason: str = ""  # Why it is in this status, "" if there is nothing to say.
    reply: str = ""  # The last thing another server said about it.
    attempt_count: int = 0  # Attempts made so far.
    next_attempt_at: datetime | None = None  # None: no further attempt is planned.
    updated_at: datetime
    suppressions: tuple[Suppression, ...] = ()  # What the address does not get now, and why; oldest first.
    events: tuple[EventView, ...] = ()  # Oldest first.


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted call. Recipients come in the order in which the caller gave them."""

    session_id: UUID
    accepted_at: datetime
    recipients: tuple[RecipientView, ...]


class Reports:
    """What became of what a project sent."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def session(self, project_id: UUID, session_id: UUID) -> SessionView:
        """Return the session as it stands now.

        Raises:
            NotFoundError: the project has no such session.
        """
        async with self._store.transaction() as tx:
            message = await messages.by_id(tx, project_id, session_id)
            if message is None:
                raise NotFoundError("There is no such session.", field="session_id")
            rows = await recipients.of_message(tx, project_id, session_id)
            log = await events.of_message(tx, project_id, session_id, accepted_at=message.accepted_at)
            keys = [address.key_of(row.address) for row in rows]
            known = await suppressions.of_addresses(tx, project_id, keys, now=self._clock.now())
        return SessionView(
            session_id=session_id,
            accepted_at=message.accepted_at,
            recipients=tuple(_view(row, log, known.get(address.key_of(row.address), ())) for row in rows),
        )


def _view(row: Recipient, log: Sequence[Event], known: Sequence[Suppression]) -> RecipientView:
    return RecipientView(
        address=row.address,
        status=row.status,
        reason=row.reason,
        reply=row.reply,
        attempt_count=row.attempt,
        next_attempt_at=row.due_at,
        updated_at=row.updated_at,
        suppressions=tuple(known),
        events=tuple(
            EventView(kind=event.kind, at=event.at, reason=event.reason, reply=event.reply, facts=event.facts)
            for event in log
            if event.is_about(row.recipient_id)
        ),
    )
