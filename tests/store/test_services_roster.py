"""The roster: what a caller says of senders, read as addresses and domains are read everywhere."""

from uuid import UUID

import pytest

from outrider.base.errors import CallerError
from outrider.services.roster import Roster, SenderQuery
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest


@pytest.fixture
async def project_id(store: Store, clock: FakeClock, mailroom: Mailroom) -> UUID:
    """A project that may send as josé@bücher.example."""
    project_id = await mailroom.project()
    await mailroom.sender(project_id, "José@bücher.example", name="Bücher")
    return project_id


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (SenderQuery(), 1),
        (SenderQuery(address="josé@BÜCHER.example"), 1),
        (SenderQuery(address="José@xn--bcher-kva.example"), 1),
        (SenderQuery(domain="Bücher.example"), 1),
        (SenderQuery(domain="xn--bcher-kva.example", address="José@bücher.example", words="cher"), 1),
        (SenderQuery(address="jose@bücher.example"), 0),
        (SenderQuery(address="no address"), 0),
        (SenderQuery(domain="no domain"), 0),
        (SenderQuery(domain="x" * 1000), 0),
        (SenderQuery(words="'; DROP TABLE sender; --"), 0),
    ],
)
async def test_senders_are_found_as_people_write_them(
    store: Store, project_id: UUID, query: SenderQuery, count: int
) -> None:
    page = await Roster(store).page(project_id, query)
    assert (page.total_count, len(page.senders)) == (count, count)


@pytest.mark.parametrize("words", ["a\x00b", "\ud800"])
async def test_text_that_no_database_has_is_refused(store: Store, project_id: UUID, words: str) -> None:
    with pytest.raises(CallerError) as caught:
        await Roster(store).page(project_id, SenderQuery(words=words))
    assert caught.value.field == "words"
