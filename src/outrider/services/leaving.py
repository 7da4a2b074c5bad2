"""A reader follows the link to unsubscribe in a mail: what the link is about, and what the reader's word does.

    look       what would stop, and what else comes; changes nothing, since scanners of mail open links too
    leave      the list that the mail was for stops, else all marketing mail of the project: the one click of RFC 8058
    leave_all  all marketing mail of the project stops
    choose     topic by topic, as they were shown
    come_back  what was left by this link comes again

What each of them means is `engine.preferences`: the table is there. The token names one recipient and is signed
(`mail.verp`), so a forged one costs no query, and whoever has the mail may use it, as often as they like: who has left
already gets the same answer, and nothing more is written. The link of a transactional mail stops the same: receipts go
on.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import LeavingReason, SubscriptionState
from outrider.engine import preferences
from outrider.engine.preferences import Choices, Reader, TopicChoice, Word
from outrider.mail.verp import ReturnPathError, Signer
from outrider.store import inbound, projects
from outrider.store.inbound import About
from outrider.store.pool import Store, Tx

__all__ = ["Exits", "Leaving", "LeavingReason", "TopicChoice", "Word"]  # With the records a caller meets.

_GONE: Final = "This link does not work: it has expired, or a part of it is missing."
_HOW: Final = "by the link in the mail"


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """What a link is about, and what its reader gets."""

    address: str
    sender: str  # From which address the mail came.
    list_name: str  # What `leave` leaves; "": all marketing mail of the sender's project.
    title: str = ""  # Of the list, for readers; as its topic has it, else its name.
    state: SubscriptionState = SubscriptionState.SUBSCRIBED  # Of mail as that with the link.
    marketing: SubscriptionState = SubscriptionState.SUBSCRIBED  # Of marketing mail that is of no list.
    topics: tuple[TopicChoice, ...] = ()

    @property
    def has_left(self) -> bool:
        """Whether no such mail comes any more."""
        return self.state is not SubscriptionState.SUBSCRIBED

    @property
    def choosable(self) -> tuple[TopicChoice, ...]:
        """The topics that the reader may choose from."""
        return tuple(one for one in self.topics if one.state is not SubscriptionState.BLOCKED)

    @property
    def has_choice(self) -> bool:
        """Whether some topic comes."""
        return any(one.state is SubscriptionState.SUBSCRIBED for one in self.topics)


class Exits:
    """Lets readers go, and come back."""

    def __init__(self, store: Store, signer: Signer, *, clock: Clock) -> None:
        self._store: Final = store
        self._signer: Final = signer
        self._clock: Final = clock

    async def look(self, token: str) -> Leaving:
        """Return what the link is about. Changes nothing.

        Raises:
            NotFoundError: not ours, expired, or of a mail past its retention that was no marketing.
        """
        recipient_id = self._read(token)
        async with self._store.transaction() as tx:
            return await self._seen(tx, await _about(tx, recipient_id))

    async def leave(self, token: str, *, word: Word = preferences.SILENT, client: str = "") -> Leaving:
        """Stop what the link is about. Safe: again. Raises as `look`.

        Args:
            word: why, if it was said.
            client: the address that asked, for the record; left out where the sender's readers are private.
        """
        now = self._clock.now()
        return await self._change(
            token,
            client,
            lambda tx, reader, about: preferences.leave(tx, reader, about.list_name, word, now=now),
        )

    async def leave_all(self, token: str, *, word: Word = preferences.SILENT, client: str = "") -> Leaving:
        """Stop all marketing mail. Arguments, safety and errors as of `leave`."""
        now = self._clock.now()
        return await self._change(token, client, lambda tx, reader, _: preferences.leave(tx, reader, "", word, now=now))

    async def choose(
        self, token: str, wanted: Mapping[str, bool], *, word: Word = preferences.SILENT, client: str = ""
    ) -> Leaving:
        """Let the mail of these topics come, or not. What is none of the project's topics is passed over.

        The rest as of `leave`.
        """
        now = self._clock.now()

        async def act(tx: Tx, reader: Reader, _: About) -> None:
            shown = {one.name for one in (await preferences.choices_of(tx, reader, now=now)).topics}
            known = {name: is_on for name, is_on in wanted.items() if name in shown}
            await preferences.choose(tx, reader, known, word, now=now)

        return await self._change(token, client, act)

    async def come_back(self, token: str, *, client: str = "") -> Leaving:
        """Let mail as that with the link come again, if the reader left it. Arguments, safety, errors as of `leave`."""
        now = self._clock.now()
        return await self._change(
            token, client, lambda tx, reader, about: preferences.come_back(tx, reader, about.list_name, now=now)
        )

    async def _change(self, token: str, client: str, act: Callable[[Tx, Reader, About], Awaitable[object]]) -> Leaving:
        recipient_id = self._read(token)
        async with self._store.transaction() as tx:
            about = await _about(tx, recipient_id)
            await projects.lock(tx, about.project_id)  # Of two clicks at once the second finds that it was done.
            await act(tx, preferences.reader_of(about, _HOW, client), about)
            return await self._seen(tx, about)

    def _read(self, token: str) -> UUID:
        """Return the recipient that the link names. Raises NotFoundError; costs no query."""
        try:
            return self._signer.read_link(token, today=self._clock.now().date()).recipient_id
        except ReturnPathError as error:
            raise NotFoundError(_GONE) from error

    async def _seen(self, tx: Tx, about: About) -> Leaving:
        now, reader = self._clock.now(), preferences.reader_of(about, _HOW)
        choices = await preferences.choices_of(tx, reader, now=now)
        state = preferences.state_of(await preferences.known_of(tx, reader), reader, about.list_name, now=now)
        return _leaving(about, choices, state)


async def _about(tx: Tx, recipient_id: UUID) -> About:
    about = (await inbound.about(tx, [recipient_id])).get(recipient_id)
    if about is None:
        raise NotFoundError(_GONE)
    return about


def _leaving(about: About, choices: Choices, state: SubscriptionState) -> Leaving:
    titles = {one.name: one.title for one in choices.topics}
    return Leaving(
        address=about.address,
        sender=about.sender,
        list_name=about.list_name,
        title=titles.get(about.list_name, about.list_name),
        state=state,
        marketing=choices.marketing,
        topics=choices.topics,
    )
