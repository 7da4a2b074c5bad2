"""Topics: lists of a project that its readers are shown, to choose from.

A topic's name is the `list` of the mail it is about. Who has left it has an entry in `suppressions`, of scope list;
nothing here knows of readers, and a topic that is removed leaves those entries as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A list as its readers see it."""

    name: str  # As `list` of the mail.
    title: str  # For readers.
    description: str = ""
    position: int = 0  # The lowest is shown first; of equals, by name.
    created_at: datetime


_INSERT: Final = """
    INSERT INTO topic (project_id, name, title, description, position, created_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (project_id, name) DO NOTHING
 RETURNING name"""
_UPDATE: Final = """
    UPDATE topic SET title = $3, description = $4, position = $5 WHERE project_id = $1 AND name = $2"""
_DELETE: Final = """
    DELETE FROM topic WHERE project_id = $1 AND name = $2 RETURNING name"""
_BY_NAME: Final = """
    SELECT name, title, description, position, created_at FROM topic WHERE project_id = $1 AND name = $2"""
_ALL: Final = """
    SELECT name, title, description, position, created_at FROM topic WHERE project_id = $1 ORDER BY position, name"""


async def insert(tx: Tx, project_id: UUID, topic: Topic) -> bool:
    """Store a new one. Returns False if the project has one of that name, which stays as it is."""
    fields = (topic.name, topic.title, topic.description, topic.position, topic.created_at)
    return bool(await tx.fetch(_INSERT, project_id, *fields))


async def update(tx: Tx, project_id: UUID, topic: Topic) -> None:
    """Change what readers see of the one of that name."""
    await tx.execute(_UPDATE, project_id, topic.name, topic.title, topic.description, topic.position)


async def remove(tx: Tx, project_id: UUID, name: str) -> bool:
    """Show it to nobody any more. Returns whether it was there."""
    return bool(await tx.fetch(_DELETE, project_id, name))


async def by_name(tx: Tx, project_id: UUID, name: str) -> Topic | None:
    """Return the project's topic of that name, None if there is none."""
    row = await tx.fetch_row(_BY_NAME, project_id, name)
    return None if row is None else Topic(**row)


async def all_of(tx: Tx, project_id: UUID) -> Sequence[Topic]:
    """Return the project's topics as readers see them, the first first."""
    return [Topic(**row) for row in await tx.fetch(_ALL, project_id)]
