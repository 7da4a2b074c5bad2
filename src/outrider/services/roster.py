"""A project's senders by the page: what a caller chooses from them.

Who may send is not asked here: `identity` tells that for each mail.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.errors import CallerError
from outrider.mail import address
from outrider.store import sender_pages
from outrider.store.pool import Store
from outrider.store.sender_pages import ListedSender, SenderChoice, SenderPage

__all__ = ["ListedSender", "Roster", "SenderPage", "SenderQuery"]  # With the records a caller meets.

_NOBODY: Final[Sequence[ListedSender]] = ()


class SenderQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which senders, in which order. What is None or "" leaves none out."""

    address: str = ""  # This one, however it is spelled.
    domain: str = ""  # On this one, not below it.
    is_default: bool | None = None
    words: str = ""  # Somewhere in the address or name; case of ASCII letters does not matter.
    is_default_first: bool = True  # Before all that follows.
    is_by_update: bool = False  # By when they were changed last, else by when they were made.
    is_newest_first: bool = True
    offset: int = 0
    count_max: int = 20


class Roster:
    """Lists senders."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store

    async def page(self, project_id: UUID, query: SenderQuery) -> SenderPage:
        """Return the project's senders that fit; none, if what was asked for is no address or domain at all.

        Raises:
            CallerError: a NUL or half a character in `words`, which no sender has.
        """
        if "\x00" in query.words or any("\ud800" <= char <= "\udfff" for char in query.words):
            raise CallerError("There is a character in it that no text has.", field="words")
        try:
            address_key = address.parse(query.address).key if query.address else None
            domain = address.parse_domain(query.domain) if query.domain else None
        except CallerError:
            return SenderPage(0, _NOBODY)
        choice = SenderChoice(
            address_key=address_key,
            domain=domain,
            is_default=query.is_default,
            words=query.words,
            is_default_first=query.is_default_first,
            is_by_update=query.is_by_update,
            is_newest_first=query.is_newest_first,
            offset=query.offset,
            count_max=query.count_max,
        )
        async with self._store.transaction() as tx:
            return await sender_pages.page(tx, project_id, choice)
