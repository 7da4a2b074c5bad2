"""Notices of a project: listed, marked as seen, and mailed to the address that it gave for them, or that they name.

They are mailed like any mail, once (`engine.letters`), from a sender of the project that may send transactional mail:
its default one if that can. While there is none they wait, `_LIFE` at most: what is older is history, and only listed.
"""

from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Final
from uuid import UUID

from outrider.base import places
from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import Stream
from outrider.engine.letters import LetterMailer, Send
from outrider.engine.submission import Submission
from outrider.obs.log import Logger
from outrider.store import notices
from outrider.store.notices import Letter, Notice
from outrider.store.pool import Store, Tx

__all__ = ["Notice", "NoticeMailer", "Notices"]  # With the record a caller meets.

_LIFE: Final = timedelta(days=2)  # Ours.
_ROUND_S: Final = 15.0  # Ours.
_LIST_COUNT_MAX: Final = 500  # Ours: what anybody reads.


class Notices:
    """What people read."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def list(self, project_id: UUID, *, with_seen: bool = False) -> Sequence[Notice]:
        """Return the project's notices, newest first, 500 at most; those that were seen too if asked for."""
        async with self._store.transaction() as tx:
            return await notices.of_project(tx, project_id, with_seen=with_seen, count_max=_LIST_COUNT_MAX)

    async def page(self, project_id: UUID, *, with_seen: bool, cursor: str = "", count_max: int) -> Sequence[Notice]:
        """Return a page of the same, behind `cursor` (`place_of`). Raises CallerError: the cursor is none of ours."""
        before = notices.END
        if cursor:
            at, hex_id = places.parse(cursor)
            before = (at, UUID(hex_id))
        async with self._store.transaction() as tx:
            return await notices.of_project(tx, project_id, with_seen=with_seen, count_max=count_max, before=before)

    async def see(self, project_id: UUID, notice_id: UUID) -> None:
        """Mark a notice as seen. Safe twice. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            is_known = await notices.see(tx, project_id, notice_id, now=self._clock.now())
        if not is_known:
            raise NotFoundError(f"The project has no notice {notice_id}.", field="notice_id")

    async def see_all(self, project_id: UUID) -> int:
        """Mark all of the project's notices as seen; return how many were not."""
        async with self._store.transaction() as tx:
            return await notices.see_all(tx, project_id, now=self._clock.now())

    async def address(self, project_id: UUID) -> str:
        """Return where the project's notices are mailed, "" for nowhere."""
        async with self._store.transaction() as tx:
            return await notices.address_of(tx, project_id)


def place_of(notice: Notice) -> str:
    """Return the cursor behind that notice."""
    return places.text(notice.at, notice.notice_id.hex)


class NoticeMailer(LetterMailer[Letter]):
    """Mails what is not mailed yet, every `_ROUND_S`. Any number of processes may run one."""

    def __init__(self, store: Store, send: Send, *, clock: Clock, logger: Logger) -> None:
        super().__init__(store, send, "notice", every_s=_ROUND_S, clock=clock, logger=logger)

    async def due(self, tx: Tx, *, besides: Set[UUID], count_max: int) -> Sequence[Letter]:
        """As `LetterMailer` asks: those that are no history yet."""
        since = self._clock.now() - _LIFE
        return await notices.unmailed(tx, since=since, besides=besides, count_max=count_max)

    async def write(self, waiting: Letter) -> Submission:
        """As `LetterMailer` asks: the notice as a mail of text."""
        return Submission(
            sender=waiting.sender,
            recipients=waiting.recipients,
            subject=waiting.notice.subject,
            text=waiting.notice.text,
            stream=Stream.TRANSACTIONAL,
        )

    async def mark(self, tx: Tx, waiting: Letter) -> None:
        """As `LetterMailer` asks; it stays listed."""
        await notices.mark_mailed(tx, waiting.project_id, waiting.letter_id, now=self._clock.now())
