"""Topics: the lists of a project that its readers may choose from, on the page behind the link to unsubscribe.

A list needs no topic: mail may name any, and its readers can leave it. A topic makes it one that is shown to all
readers, with a title. Its name is that of the list and never changes. Removing one changes nothing for who left it.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.engine.submission import check_name
from outrider.store import projects, topics
from outrider.store.pool import Store, Tx
from outrider.store.topics import Topic

__all__ = ["Topic", "Topics"]  # With the record a caller meets.

_POSITION_MAX: Final = 1_000_000


class Topics:
    """The topics of all projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def add(
        self, project_id: UUID, name: str, *, title: str, description: str = "", position: int | None = None
    ) -> Topic:
        """Show a list to readers.

        Args:
            position: the lowest is shown first; None: behind all others.

        Raises:
            CallerError: a name that no list can have, a title that is none, or the project has as many as it may.
            ConflictError: the project has one of that name.
        """
        _check(name, title, description, position)
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            known = await topics.all_of(tx, project_id)
            if position is None:
                position = min(max((one.position for one in known), default=0) + 1, _POSITION_MAX)
            made = Topic(
                name=name, title=title, description=description, position=position, created_at=self._clock.now()
            )
            if any(one.name == name for one in known):
                raise ConflictError("The project has a topic of that name.", field="name")
            if len(known) >= limits.TOPICS_STORED_COUNT_MAX:
                raise CallerError(f"A project has at most {limits.TOPICS_STORED_COUNT_MAX} topics.", field="name")
            await topics.insert(tx, project_id, made)
        return made

    async def change(
        self,
        project_id: UUID,
        name: str,
        *,
        title: str | None = None,
        description: str | None = None,
        position: int | None = None,
    ) -> Topic:
        """Change what readers see; None stays. Raises NotFoundError, CallerError."""
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            known = await _of_name(tx, project_id, name)
            changed = msgspec.structs.replace(
                known,
                title=known.title if title is None else title,
                description=known.description if description is None else description,
                position=known.position if position is None else position,
            )
            _check(name, changed.title, changed.description, changed.position)
            await topics.update(tx, project_id, changed)
        return changed

    async def show(self, project_id: UUID, name: str) -> Topic:
        """Return the project's topic. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            return await _of_name(tx, project_id, name)

    async def list(self, project_id: UUID) -> Sequence[Topic]:
        """Return the project's topics as readers see them."""
        async with self._store.transaction() as tx:
            return await topics.all_of(tx, project_id)

    async def remove(self, project_id: UUID, name: str) -> None:
        """Show it to nobody any more. Who left the list stays out of it. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            await _of_name(tx, project_id, name)
            await topics.remove(tx, project_id, name)


async def _of_name(tx: Tx, project_id: UUID, name: str) -> Topic:
    found = await topics.by_name(tx, project_id, name) if name.isprintable() else None
    if found is None:
        raise NotFoundError("The project has no such topic.", field="name")
    return found


def _check(name: str, title: str, description: str, position: int | None) -> None:
    if not name:
        raise CallerError("Name the list.", field="name")
    check_name(name, limits.LIST_NAME_CHARS_MAX, field="name")
    if not title:
        raise CallerError("Give it a title; readers see that.", field="title")
    check_name(title, limits.TOPIC_TITLE_CHARS_MAX, field="title")
    check_name(description, limits.TOPIC_DESCRIPTION_CHARS_MAX, field="description")
    if position is not None and not 0 <= position <= _POSITION_MAX:
        raise CallerError(f"A position is 0 to {_POSITION_MAX}.", field="position")
