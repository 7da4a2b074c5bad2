"""Letters of our own: each once, and who may not send now holds up nobody else."""

from collections.abc import Sequence, Set
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import BusyError, CallerError, ForbiddenError, LimitReachedError
from outrider.engine.letters import LetterMailer
from outrider.engine.submission import Accepted, Submission
from outrider.store.pool import Store, Tx
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal

pytestmark = pytest.mark.newest
SHOP, OTHER = UUID(int=1), UUID(int=2)


class Note(msgspec.Struct, frozen=True):
    """A letter that waits."""

    project_id: UUID
    letter_id: UUID


class Desk(LetterMailer[Note]):
    """A mailer whose letters are in memory; `refusals` says what station 1 answers to a project's."""

    def __init__(self, store: Store, journal: Journal) -> None:
        super().__init__(store, self._take, "note", every_s=1.0, clock=FakeClock(), logger=journal.logger)
        self.waiting: list[Note] = []
        self.refusals: dict[UUID, Exception] = {}
        self.tried: list[UUID] = []
        self.sent: dict[str, bytes] = {}

    def add(self, project_id: UUID, count: int) -> None:
        first = len(self.waiting) + 1
        self.waiting += [Note(project_id, UUID(int=first + n)) for n in range(count)]

    async def due(self, tx: Tx, *, besides: Set[UUID], count_max: int) -> Sequence[Note]:
        return [one for one in self.waiting if one.project_id not in besides][:count_max]

    async def write(self, waiting: Note) -> Submission:
        return Submission(sender="us@shop.example", recipients=("a@b.example",), subject=waiting.letter_id.hex)

    async def mark(self, tx: Tx, waiting: Note) -> None:
        self.waiting.remove(waiting)

    async def _take(
        self, project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        self.tried.append(project_id)
        if (refusal := self.refusals.get(project_id)) is not None:
            raise refusal
        assert self.sent.setdefault(idempotency_key, request_hash) == request_hash
        return Accepted(None, 1)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def desk(store: Store, journal: Journal) -> Desk:
    return Desk(store, journal)


async def test_all_that_waits_goes_in_one_round(desk: Desk) -> None:
    desk.add(SHOP, 120)
    assert await desk.mail() == 120
    assert (len(desk.sent), desk.waiting) == (120, [])
    assert await desk.mail() == 0


@pytest.mark.parametrize("refusal", [LimitReachedError("quota", retry_after_s=60), ForbiddenError("stopped")])
async def test_a_project_that_may_not_send_now_holds_up_nobody_else(
    desk: Desk, journal: Journal, refusal: Exception
) -> None:
    desk.add(SHOP, 120)
    desk.add(OTHER, 1)
    desk.refusals[SHOP] = refusal
    assert await desk.mail() == 2
    assert desk.tried == [SHOP, OTHER], "of the project's letters one is tried a round"
    assert len(desk.waiting) == 120
    assert journal.count("note_delayed") == 1
    desk.refusals.clear()
    assert await desk.mail() == 120


async def test_a_letter_that_would_be_refused_again_is_done_with(desk: Desk, journal: Journal) -> None:
    desk.add(SHOP, 2)
    desk.refusals[SHOP] = CallerError("no", field="recipients")
    assert await desk.mail() == 2
    assert journal.count("note_not_mailed") == 2
    assert await desk.mail() == 0


async def test_while_we_are_busy_all_wait(desk: Desk) -> None:
    desk.add(SHOP, 2)
    desk.refusals[SHOP] = BusyError("busy")
    with pytest.raises(BusyError):
        await desk.mail()
    assert len(desk.waiting) == 2


async def test_a_stop_leaves_the_rest_for_later(desk: Desk) -> None:
    desk.add(SHOP, 120)
    desk.stop()
    assert await desk.mail() == 0
    assert len(desk.waiting) == 120
