"""Events told with their mails, of several projects at once; and cursors as words."""

from uuid import UUID

import pytest

from outrider.base.errors import CallerError
from outrider.engine import story
from outrider.engine.feed import Cursor, read
from outrider.store.pool import Store
from outrider.store.project_feed import Position
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


async def test_events_of_several_projects_are_told_with_their_own_mails(store: Store, mailroom: Mailroom) -> None:
    mails = {}
    for name in ("ours", "theirs"):
        project_id = await mailroom.project(name)
        mails[project_id] = await mailroom.mail(project_id, [f"{name}@a.example"])
    found = await read(store, Cursor(), count_max=10)
    async with store.transaction() as tx:
        told = await story.described(tx, found)
        assert await story.described(tx, []) == ()
    assert [one.message_id for one in told] == [mail.message.message_id for mail in mails.values()]
    assert [one.sender for one in told] == [mail.message.sender for mail in mails.values()]
    assert [story.parse_cursor(one.id).cursor for one in told] == [one.cursor for one in found]


def test_a_cursor_is_read_as_it_was_written(clock: FakeClock) -> None:
    position = Position(Cursor(7, 2**40), clock.now())
    assert story.parse_cursor(story.cursor_text(position)) == position


@pytest.mark.parametrize("word", ["", "1-2", "1-2-3-4-5", "x-2-3", str(UUID(int=1)), "f" * 17 + "-1-1"])
def test_what_is_none_is_refused(word: str) -> None:
    with pytest.raises(CallerError):
        story.parse_cursor(word)
