"""What one reader gets of a project's marketing mail, asked and changed by its sender: for a page of the sender's own.

The same wishes as on the page behind the link in a mail (`engine.preferences`), so both always agree. Whoever asks
speaks for the reader: only what the reader could do is done. What is blocked, by a complaint above all, is refused.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import SubscriptionState
from outrider.engine import preferences
from outrider.engine.preferences import Choices, Reader, TopicChoice, Word
from outrider.mail import address
from outrider.store import projects
from outrider.store.pool import Store

__all__ = ["Choices", "Preferences", "TopicChoice", "Wanted", "Word"]  # With the records a caller meets.

_HOW: Final = "by the sender's own page"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; what is not named stays."""

    marketing: bool | None = None  # False: the reader leaves everything, but for the topics that are chosen here.
    topics: Mapping[str, bool] = {}
    word: Word = preferences.SILENT
    client: str = ""  # Where the reader was, for the record.


class Preferences:
    """The preferences of all readers of all projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def show(self, project_id: UUID, text: str) -> Choices:
        """Return what the reader at that address gets. Raises CallerError: it is none."""
        reader = _reader(project_id, text)
        async with self._store.transaction() as tx:
            return await preferences.choices_of(tx, reader, now=self._clock.now())

    async def change(self, project_id: UUID, text: str, wanted: Wanted) -> Choices:
        """Do as the reader wants: first with all marketing mail, then with the topics. Returns what it comes to.

        Raises:
            CallerError: no address; field "client": nothing that can be shown.
            NotFoundError: a topic that the project has not got.
            ConflictError: something is to come again that is blocked. Nothing was changed.
        Safe: again.
        """
        reader, now = _reader(project_id, text, wanted.client), self._clock.now()
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            before = await preferences.choices_of(tx, reader, now=now)
            _check(before, wanted)
            chosen = dict(wanted.topics)
            if wanted.marketing is False and (kept := _kept_of(before)):
                chosen = dict.fromkeys(kept, False) | chosen  # Left already: to leave again would be told as news.
            elif wanted.marketing is False:
                await preferences.leave(tx, reader, "", wanted.word, now=now)
            elif wanted.marketing is True:
                await preferences.come_back(tx, reader, "", now=now)
            await preferences.choose(tx, reader, chosen, wanted.word, now=now)
            return await preferences.choices_of(tx, reader, now=now)


def _kept_of(before: Choices) -> list[str]:
    """Return the topics that somebody who left everything gets all the same."""
    if before.marketing is SubscriptionState.SUBSCRIBED:
        return []
    return [one.name for one in before.topics if one.state is SubscriptionState.SUBSCRIBED]


def _check(before: Choices, wanted: Wanted) -> None:
    states = {one.name: one.state for one in before.topics}
    for name in wanted.topics:
        if name not in states:
            raise NotFoundError("The project has no such topic.", field=f"topics.{name}")
    if wanted.marketing and before.marketing is SubscriptionState.BLOCKED:
        raise ConflictError("It is blocked; see the suppressions of the address.", field="marketing")
    for name, is_on in wanted.topics.items():
        if is_on and states[name] is SubscriptionState.BLOCKED:
            raise ConflictError("It is blocked; see the suppressions of the address.", field=f"topics.{name}")


def _reader(project_id: UUID, text: str, client: str = "") -> Reader:
    try:
        key = address.parse(text).key
    except CallerError as error:
        raise CallerError(f"Not an address, {text[:100]!r}: {error.public}.", field="address") from error
    if not client.isprintable():  # The database refuses NUL, and half a character.
        raise CallerError("It has characters that cannot be shown.", field="client")
    return Reader(project_id=project_id, address_key=key, client=client, how=_HOW)
