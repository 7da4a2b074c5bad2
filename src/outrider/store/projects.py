"""Projects: the tenants. Every other row that belongs to a customer carries a `project_id`.

A project's name is unique and for people; `bounce_domain` is where its return paths are, "" for the shared one. Nothing
here deletes a project.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Project(msgspec.Struct, frozen=True):
    """One tenant."""

    project_id: UUID
    name: str


_ENSURE: Final = """
    INSERT INTO project (project_id, name, created_at) VALUES ($1, $2, $3)
    ON CONFLICT ON CONSTRAINT project_name_taken DO NOTHING"""
_BY_NAME: Final = """
    SELECT project_id, name FROM project WHERE name = $1"""
_NAME: Final = """
    SELECT name FROM project WHERE project_id = $1"""
_BOUNCE_DOMAIN: Final = """
    SELECT bounce_domain FROM project WHERE project_id = $1"""
_SET_BOUNCE_DOMAIN: Final = """
    UPDATE project SET bounce_domain = $2 WHERE project_id = $1"""
_BOUNCE_DOMAINS: Final = """
    SELECT project_id, bounce_domain FROM project WHERE bounce_domain <> ''"""
_LOCK: Final = """
    SELECT FROM project WHERE project_id = $1 FOR NO KEY UPDATE"""


async def ensure(tx: Tx, project: Project, *, now: datetime) -> Project:
    """Create the project unless one of that name exists; return the one that is stored."""
    await tx.execute(_ENSURE, project.project_id, project.name, now)
    stored = await by_name(tx, project.name)
    assert stored is not None
    return stored


async def by_name(tx: Tx, name: str) -> Project | None:
    """Return the project called `name`, None if there is none."""
    row = await tx.fetch_row(_BY_NAME, name)
    return None if row is None else Project(**row)


async def name_of(tx: Tx, project_id: UUID) -> str | None:
    """Return the project's name, None if there is no such project."""
    row = await tx.fetch_row(_NAME, project_id)
    return None if row is None else str(row["name"])


async def lock(tx: Tx, project_id: UUID) -> None:
    """Let nobody else pass here for this project before the transaction ends. Rows that refer to it may be written."""
    await tx.fetch(_LOCK, project_id)


async def bounce_domain_of(tx: Tx, project_id: UUID) -> str:
    """Return the domain of the project's return paths, "" if it has none of its own."""
    row = await tx.fetch_row(_BOUNCE_DOMAIN, project_id)
    return "" if row is None else str(row["bounce_domain"])


async def set_bounce_domain(tx: Tx, project_id: UUID, domain: str) -> None:
    """Give the project's return paths a domain of their own; "" for the shared one."""
    await tx.execute(_SET_BOUNCE_DOMAIN, project_id, domain)


async def bounce_domains(tx: Tx) -> dict[UUID, str]:
    """Return the domain of the return paths of every project that has one of its own."""
    return {row["project_id"]: str(row["bounce_domain"]) for row in await tx.fetch(_BOUNCE_DOMAINS)}
