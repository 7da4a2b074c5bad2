"""Notices of a project: listed, marked as seen, and mailed to the address that it gave for them.

They are mailed through `accept` like any mail, from a sender of the project that may send transactional mail: its
default one if that can. While there is none they wait, `_LIFE` at most: what is older is history, and is only listed.
The notice's id is the idempotency key, so that one is sent once, whoever dies in the middle.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from outrider.base import places
from outrider.base.clock import Clock
from outrider.base.errors import BusyError, CallerError, ForbiddenError, LimitReachedError, NotFoundError, StoreError
from outrider.base.vocab import Stream
from outrider.engine.service import Rounds
from outrider.engine.submission import Accepted, Submission
from outrider.mail import address
from outrider.obs.log import Logger
from outrider.store import notices
from outrider.store.notices import Letter, Notice
from outrider.store.pool import Store

__all__ = ["Notice", "NoticeMailer", "Notices"]  # With the record a caller meets.

_LIFE: Final = timedelta(days=2)  # Ours.
_ROUND_S: Final = 15.0  # Ours.
_BATCH_COUNT: Final = 50  # Ours: a round's letters.
_LIST_COUNT_MAX: Final = 500  # Ours: what anybody reads.


class Accept(Protocol):
    """Station 1 (`engine.accept`)."""

    async def __call__(self, project_id: UUID, submission: Submission, *, idempotency_key: str = "") -> Accepted:
        """Accept the submission: its mail is on disk when this returns."""


class Notices:
    """What people read and set."""

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

    async def set_address(self, project_id: UUID, text: str) -> str:
        """Mail the project's notices there from now on; "" for nowhere. Returns it as it is kept.

        Raises:
            CallerError: not an address.
        """
        try:
            parsed = address.parse(text).text if text else ""
        except CallerError as error:
            raise CallerError(f"Not an address: {error.public}", field="notice_address") from error
        async with self._store.transaction() as tx:
            await notices.set_address(tx, project_id, parsed)
        return parsed


def place_of(notice: Notice) -> str:
    """Return the cursor behind that notice."""
    return places.text(notice.at, notice.notice_id.hex)


class NoticeMailer:
    """Mails what is not mailed yet, every `_ROUND_S` until `stop`. Any number of processes may run one."""

    def __init__(self, store: Store, accept: Accept, *, clock: Clock, logger: Logger) -> None:
        self._store: Final = store
        self._accept: Final = accept
        self._clock: Final = clock
        self._logger: Final = logger
        self._rounds: Final = Rounds(_ROUND_S, clock=clock)

    async def mail(self) -> int:
        """Mail what waits and can be mailed; return how many were. Raises StoreError."""
        async with self._store.transaction() as tx:
            letters = await notices.unmailed(tx, since=self._clock.now() - _LIFE, count_max=_BATCH_COUNT)
        for letter in letters:
            await self._mail(letter)
        return len(letters)

    async def run(self) -> None:
        """Mail until `stop`."""
        async for _ in self._rounds:
            try:
                await self.mail()
            except (StoreError, BusyError) as error:
                self._logger.warning("notices_delayed", error=str(error))

    def stop(self) -> None:
        """Let `run` return."""
        self._rounds.stop()

    async def _mail(self, letter: Letter) -> None:
        notice = letter.notice
        submission = Submission(
            sender=letter.sender,
            recipients=(letter.recipient,),
            subject=notice.subject,
            text=notice.text,
            stream=Stream.TRANSACTIONAL,
        )
        try:
            await self._accept(notice.project_id, submission, idempotency_key=f"notice:{notice.notice_id}")
        except (LimitReachedError, ForbiddenError) as error:  # A quota, a stopped domain: that passes.
            self._logger.warning("notice_delayed", notice_id=str(notice.notice_id), error=error.public)
            return
        except CallerError as error:  # It would fail again: the notice is listed, that must do.
            self._logger.warning("notice_not_mailed", notice_id=str(notice.notice_id), error=error.public)
        async with self._store.transaction() as tx:
            await notices.mark_mailed(tx, notice.project_id, notice.notice_id, now=self._clock.now())
