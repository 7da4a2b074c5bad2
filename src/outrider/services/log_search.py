"""The event log of a project searched by anything in a mail's life: page by page behind a cursor, newest first.

A page costs what it looks at. One that finds little goes on for up to half a second, then says where to look on: it may
be empty though more follow.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.engine import story
from outrider.engine.story import LoggedEvent
from outrider.store import log_search
from outrider.store.log_search import Search, SearchPlace
from outrider.store.pool import Store

__all__ = ["EventSearch", "LoggedEvent", "Search", "SearchPage"]  # With the records a caller meets.

EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOKS_FOR_S: Final = 0.5  # Ours: a caller waits that long and one statement more.
_TEXT_CHARS_MAX: Final = 500  # Ours: longer than any of these is.
_FIELDS: Final = {"words": "q", "sender": "from", "list_name": "list", "template_id": "template"}  # As callers say.
_ID_MAX: Final = 2**63 - 1
_cursor: Final = re.compile(r"([0-9a-f]{1,14})-([0-9a-f]{1,16})-([0-9a-f]{1,16})").fullmatch


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, newest first. It may be empty though more follow."""

    events: Sequence[LoggedEvent]
    next_cursor: str | None  # None: there are no more.


class EventSearch:
    """Searches the events of projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def page(
        self, project_id: UUID, search: Search, *, until: datetime | None = None, cursor: str = "", count_max: int
    ) -> SearchPage:
        """Return the project's events that match, newest first, behind `cursor`; "" begins with the newest.

        Args:
            until: without a cursor: what happened then or later is passed over.

        Raises:
            CallerError: the cursor is none of ours (`field` is "after"), an instant without a zone, a text that no
                event can hold.
            StoreError: the database is away.
        """
        _check(search)
        search = msgspec.structs.replace(search, since=_aware(search.since, "since"))
        before: SearchPlace | None = _parse(cursor) if cursor else _start(until)
        found: list[LoggedEvent] = []
        ends_at_s = self._clock.monotonic_s() + _LOOKS_FOR_S
        while before is not None and len(found) < count_max:
            async with self._store.transaction() as tx:
                one = await log_search.page(tx, project_id, search, before, count_max=count_max - len(found))
                found += await story.described(tx, one.events)
            before = one.next_place
            if self._clock.monotonic_s() >= ends_at_s:
                break
        return SearchPage(events=found, next_cursor=None if before is None else _cursor_text(before))


def _start(until: datetime | None) -> SearchPlace:
    if until is None:
        return SearchPlace(instants.of_micros(instants.MICROS_MAX), _ID_MAX, _ID_MAX)
    return SearchPlace(_aware(until, "until"), 0, 0)


def _check(search: Search) -> None:
    """Raises CallerError: a text that no event can hold, or is longer than any."""
    for name in search.__struct_fields__:
        value = getattr(search, name)
        texts = [*value, *value.values()] if name == "metadata" else [value] if isinstance(value, str) else []
        field = _FIELDS.get(name, name)
        for text in texts:
            if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
                raise CallerError("It has a character that no mail can have.", field=field)
            if len(text) > _TEXT_CHARS_MAX:
                raise CallerError(f"At most {_TEXT_CHARS_MAX} characters.", field=field)


def _aware(at: datetime, field: str) -> datetime:
    return min(max(instants.aware(at, field), EVER), instants.of_micros(instants.MICROS_MAX))


def _cursor_text(place: SearchPlace) -> str:
    return f"{instants.micros(place.at):x}-{place.xid:x}-{place.event_id:x}"


def _parse(text: str) -> SearchPlace:
    matched = _cursor(text)
    if matched is not None:
        at, xid, event_id = (int(part, 16) for part in matched.groups())
        if at <= instants.MICROS_MAX and max(xid, event_id) <= _ID_MAX:
            return SearchPlace(instants.of_micros(at), xid, event_id)
    raise CallerError("That is no cursor of a search; take `next` as it is.", field="after")
