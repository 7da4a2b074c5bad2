"""Letters of Outrider itself: what waits is handed to station 1, each once, whoever dies in the middle.

    due(besides) --> write --> accept, under a key made of the letter's id --> mark
                                 |  its project may not send now (a quota, a stopped domain): it waits, the project's
                                 |  others with it for this round, and nobody else's
                                 +- it would fail again: marked, and said in the log

Which letters wait, and what each says, is the service's that derives its mailer from this. Any number of processes may
run one: who comes second is given the first one's answer.
"""

import abc
import hashlib
from collections.abc import Sequence, Set
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, CallerError, ForbiddenError, LimitReachedError, StoreError
from outrider.engine.service import Outage, Recurring
from outrider.engine.submission import Accepted, Submission
from outrider.obs.log import Logger
from outrider.store.pool import Store, Tx


class Waiting(Protocol):
    """A letter that can be sent, as its store has it."""

    @property
    def letter_id(self) -> UUID:
        """Its own, for ever."""

    @property
    def project_id(self) -> UUID:
        """Whose mail it is."""


W = TypeVar("W", bound=Waiting)

_BATCH_COUNT: Final = 50  # Ours: letters that are read at once.


class Send(Protocol):
    """Station 1 (`engine.accept`), for a letter of Outrider itself."""

    async def __call__(
        self, project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        """Accept the submission: its mail is on disk when this returns."""


class LetterMailer(Recurring, abc.ABC, Generic[W]):
    """Sends letters while `run` runs."""

    def __init__(self, store: Store, send: Send, kind: str, *, every_s: float, clock: Clock, logger: Logger) -> None:
        """`kind` is what the letters are called in the log and in their keys: "notice"."""
        outage = Outage(logger, f"{kind}s_delayed", kinds=(StoreError, BusyError))
        super().__init__(self.mail, every_s, clock=clock, outage=outage)
        self._store: Final = store
        self._send: Final = send
        self._kind: Final = kind
        self._logger: Final = logger

    @abc.abstractmethod
    async def due(self, tx: Tx, *, besides: Set[UUID], count_max: int) -> Sequence[W]:
        """Return letters that are not sent and can be, oldest first, but those of the projects `besides`."""

    @abc.abstractmethod
    async def write(self, waiting: W) -> Submission:
        """Return what is sent. Raises StoreError."""

    @abc.abstractmethod
    async def mark(self, tx: Tx, waiting: W) -> None:
        """Remember that it went out, or never can."""

    async def mail(self) -> int:
        """Send all that waits and can be sent; return how many were tried. Raises StoreError, BusyError."""
        delayed: set[UUID] = set()
        tried_count, is_more = 0, True
        while is_more and not self._is_stopping:
            async with self._store.transaction() as tx:
                found = await self.due(tx, besides=delayed, count_max=_BATCH_COUNT)
            for one in found:
                if one.project_id not in delayed and not self._is_stopping:
                    tried_count += 1
                    if not await self._try(one):
                        delayed.add(one.project_id)
            is_more = len(found) == _BATCH_COUNT
        return tried_count

    async def _try(self, one: W) -> bool:
        """Hand it over; False if it may go later."""
        submission = await self.write(one)
        key = f"{self._kind}:{one.letter_id}"
        # Of the key alone: what it says may have changed since somebody died who had sent it.
        request_hash = hashlib.sha256(key.encode()).digest()
        try:
            await self._send(one.project_id, submission, idempotency_key=key, request_hash=request_hash)
        except (LimitReachedError, ForbiddenError) as error:  # A quota, a stopped domain: that passes.
            self._logger.warning(f"{self._kind}_delayed", letter_id=str(one.letter_id), error=error.public)
            return False
        except CallerError as error:  # It would fail again. Where it came from, it is listed: that must do.
            self._logger.warning(f"{self._kind}_not_mailed", letter_id=str(one.letter_id), error=error.public)
        async with self._store.transaction() as tx:
            await self.mark(tx, one)
        return True
