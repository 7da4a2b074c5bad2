"""Suppressions by hand and by file: what may be said, what is kept, and that an export comes back as it was."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import SuppressionOrigin, SuppressionScope
from outrider.policy import suppress
from outrider.policy.reason import Reason
from outrider.services import suppressions as service
from outrider.services.suppressions import (
    BATCH_COUNT,
    EVERYBODY,
    GIVEN,
    NewEntry,
    Suppression,
    SuppressionFile,
    Suppressions,
)
from outrider.store import suppressions as stored
from outrider.store.pool import Store
from outrider.store.suppressions import Evidence, Place
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest

ONE, TWO = UUID(int=1), UUID(int=2)
ANN, BOB = "ann@a.example", "bob@b.example"
OPERATOR = SuppressionOrigin.OPERATOR


@pytest.fixture
def book(store: Store, clock: FakeClock) -> Suppressions:
    return Suppressions(store, clock=clock)


async def add(book: Suppressions, *keys: str, project_id: UUID = ONE, **values: Any) -> int:
    return await book.add(project_id, [NewEntry(address_key=key, **values) for key in keys], origin=OPERATOR)


async def everything(book: Suppressions, project_id: UUID = ONE) -> list[Suppression]:
    return [one async for batch in book.all(project_id) for one in batch]


async def test_what_is_added_holds_and_is_counted_once(book: Suppressions, clock: FakeClock) -> None:
    assert await add(book, ANN, BOB, ANN, evidence="by phone") == 2
    assert await add(book, ANN) == 0
    assert await book.counts(ONE) == {"unsubscribe": 2}
    (ann, _) = await everything(book)
    assert (ann.address_key, ann.origin, ann.evidence, ann.created_at) == (ANN, OPERATOR, "by phone", clock.now())
    assert await book.counts(TWO) == {}


async def test_an_address_is_shown_with_all_that_concerns_it(
    book: Suppressions, store: Store, clock: FakeClock
) -> None:
    await add(book, ANN, scope=SuppressionScope.STREAM, subject="marketing", reason="complaint")
    await add(book, ANN, project_id=EVERYBODY)
    await add(book, ANN, project_id=TWO)
    noted = Evidence(ONE, ANN, "recipient.full", clock.now(), UUID(int=9))
    old = Evidence(ONE, ANN, "recipient.full", clock.now() - suppress.EVIDENCE_LIFE * 2, UUID(int=8))
    async with store.transaction() as tx:
        await stored.note(tx, [noted, old])
    await book.remove(EVERYBODY, ["Ann@A.example"], why="a\nmistake")
    clock.advance(1)
    await add(book, ANN, project_id=EVERYBODY)
    view = await book.show(ONE, "ANN@a.example")
    assert [(one.project_id, one.reason) for one in view.entries] == [(ONE, "complaint"), (EVERYBODY, "unsubscribe")]
    assert [(one.removed_why, one.suppression.project_id) for one in view.past] == [("a mistake", EVERYBODY)]
    assert view.evidence == [noted]


async def test_what_is_removed_says_why(book: Suppressions) -> None:
    await add(book, ANN)
    with pytest.raises(CallerError) as caught:
        await book.remove(ONE, [ANN], why=" \n")
    assert caught.value.field == "why"
    assert await book.remove(TWO, [ANN], why="not theirs") == []
    assert await book.remove(ONE, [ANN, BOB], why="she is back") == [ANN]
    assert await book.counts(ONE) == {}


async def test_search_is_by_reason_and_part(book: Suppressions) -> None:
    await add(book, ANN, BOB)
    await add(book, "cy@a.example", reason="complaint")

    async def found(**by: str) -> list[str]:
        return [one.address_key for one in await book.page(ONE, count_max=10, **by)]

    assert await found(part="@A.EX") == [ANN, "cy@a.example"]
    assert await found(reason="complaint") == ["cy@a.example"]
    assert await found(reason="complaint", part="bob") == []
    with pytest.raises(CallerError, match="reason") as caught:
        await found(reason="boredom")
    assert caught.value.field == "reason"


async def test_pages_miss_nothing_where_one_address_has_many_entries(book: Suppressions) -> None:
    entries = [NewEntry(address_key=ANN, scope=SuppressionScope.LIST, subject=str(number)) for number in range(5)]
    await book.add(ONE, entries, origin=OPERATOR)
    seen: list[str] = []
    after: Place | None = None
    while found := await book.page(ONE, after=after, count_max=2):
        seen += [one.subject for one in found]
        after = service.place_of(found[-1])
    assert seen == list("01234")


async def test_an_export_is_imported_as_it_was(book: Suppressions, clock: FakeClock) -> None:
    until = clock.now() + timedelta(days=90)
    await add(book, ANN, reason="unknown.hard", evidence='550 "no", she said;\n=cmd()', expires_at=until)
    await add(book, BOB, scope=SuppressionScope.DOMAIN, subject="shop.example", evidence="=1+1")
    await add(book, '"a,b"@c.example', "=1+1@d.example", "münchen@e.example")
    await add(book, BOB, scope=SuppressionScope.LIST, subject="-20% for you")
    await add(book, BOB, scope=SuppressionScope.STREAM, subject="marketing", excepted=("@home", 'a "b", c'))
    text = service.header_line() + "".join([service.file_lines(batch) async for batch in book.all(ONE)])
    header, *lines = text.encode().splitlines(keepends=True)
    file = SuppressionFile(header, now=clock.now())
    entries = [file.read(line) for line in lines]
    await book.add(TWO, [one for one in entries if one], origin=SuppressionOrigin.IMPORT)

    def facts(found: list[Suppression]) -> list[tuple[object, ...]]:
        return sorted((o.address_key, o.scope, o.subject, o.reason, o.expires_at, o.excepted) for o in found)

    assert facts(await everything(book, TWO)) == facts(await everything(book))
    said = {one.address_key: one.evidence for one in await everything(book, TWO) if one.evidence}
    assert said[ANN] == '550 "no", she said; =cmd()'
    assert said[BOB] == "'=1+1", "a spreadsheet must not run what a stranger said"


async def test_all_of_many_are_read_once_in_order(book: Suppressions) -> None:
    keys = [f"u{number:05}@a.example" for number in range(2 * BATCH_COUNT + 1)]
    for at in range(0, len(keys), BATCH_COUNT):
        await add(book, *keys[at : at + BATCH_COUNT])
    await book.settle_in(len(keys))
    assert [one.address_key for one in await everything(book)] == keys


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"ann\n", "address"),
        (b',"all"\n', "address"),
        (b"ann@a.example,planet\n", "scope"),
        (b"ann@a.example,stream,news\n", "subject"),
        (b"ann@a.example,all,news\n", "subject"),
        (b"ann@a.example,domain,a b\n", "subject"),
        (b"ann@a.example,list\n", "subject"),
        (b"ann@a.example,,,content.spam\n", "reason"),
        (b"ann@a.example,,,,,yesterday\n", "expires_at"),
        (b"ann@a.example,,,,,2001-01-01T00:00:00Z\n", "expires_at"),
        (b"ann@a.example,,,,,0001-01-01T00:00:00+14:00\n", "expires_at"),
        (b"ann@a.example,,,,,,,too many\n", "line"),
        (b'"ann@a.example,,,\n', "line"),
        (b"\xff@a.example\n", "line"),
        (b"ann@a.example\x00\n", "address"),
        (b"a" * 50_000, "line"),
        (b"ann@a.example,stream,marketing,,,,News\n", "excepted"),
        (b'ann@a.example,stream,marketing,,,,"[""""]"\n', "excepted"),
        (b'ann@a.example,stream,transactional,,,,"[""News""]"\n', "excepted"),
        (b'ann@a.example,stream,marketing,,,,"[""a\tb""]"\n', "excepted"),
    ],
)
def test_a_bad_line_names_its_field_and_the_next_is_read(clock: FakeClock, line: bytes, field: str) -> None:
    file = SuppressionFile(
        b"\xef\xbb\xbfAddress,scope,subject,reason,evidence,expires_at,excepted\r\n", now=clock.now()
    )
    with pytest.raises(CallerError) as caught:
        file.read(line)
    assert caught.value.field == field
    assert file.read(b"Ann@A.example\r\n") == NewEntry(address_key=ANN)
    assert file.read(b" , \r\n") is None
    assert file.read(b"") is None


@pytest.mark.parametrize("header", [b"", b"ann@a.example\n", b"address,expires\n", b"address,scope,scope\n", b"\xff\n"])
def test_a_header_that_is_none_is_refused(clock: FakeClock, header: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        SuppressionFile(header, now=clock.now())
    assert caught.value.field in ("header", "line")


def test_an_operator_may_say_only_what_is_about_the_reader() -> None:
    assert frozenset(suppress.SUPPRESSING) - GIVEN == {Reason.UNKNOWN_HARD, Reason.RELAY_DENIED}
    for reason in ("unknown.hard", "content.spam", "ip.reputation", ""):
        with pytest.raises(CallerError):
            service.check_reason(reason)


@pytest.mark.parametrize("days", [0, -1, 99_999])
def test_days_are_bounded(clock: FakeClock, days: int) -> None:
    with pytest.raises(CallerError) as caught:
        service.parse_days(days, clock.now())
    assert caught.value.field == "days"
    assert service.parse_days(None, clock.now()) is None
