"""Projects: the tenants. Every other row that belongs to a customer carries a `project_id`.

A project's name is unique and for people; `bounce_domain` is where its return paths are, "" for the shared one;
`alignment` says what becomes of its mail that would fail DMARC, `content_policy` what of its mail that looks like junk.
Nothing here deletes a project.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import UnalignedFrom
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
_ALIGNMENT: Final = """
    SELECT alignment FROM project WHERE project_id = $1"""
_SET_ALIGNMENT: Final = """
    UPDATE project SET alignment = $2 WHERE project_id = $1"""
_CONTENT_POLICY: Final = """
    SELECT content_policy::text AS content_policy FROM project WHERE project_id = $1"""
_SET_CONTENT_POLICY: Final = """
    UPDATE project SET content_policy = $2::text::jsonb WHERE project_id = $1"""
_NEEDS_APPROVAL: Final = """
    SELECT templates_need_approval FROM project WHERE project_id = $1"""
_SET_NEEDS_APPROVAL: Final = """
    UPDATE project SET templates_need_approval = $2 WHERE project_id = $1"""
_NAMES: Final = """
    SELECT project_id, name FROM project ORDER BY name"""
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


async def names(tx: Tx) -> dict[UUID, str]:
    """Return the names of all projects, in their order."""
    return {row["project_id"]: str(row["name"]) for row in await tx.fetch(_NAMES)}


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


async def alignment_of(tx: Tx, project_id: UUID) -> UnalignedFrom:
    """Return what becomes of the project's mail that would fail DMARC."""
    row = await tx.fetch_row(_ALIGNMENT, project_id)
    return UnalignedFrom.REFUSE if row is None else UnalignedFrom(row["alignment"])


async def set_alignment(tx: Tx, project_id: UUID, mode: UnalignedFrom) -> None:
    """Say what becomes of the project's mail that would fail DMARC."""
    await tx.execute(_SET_ALIGNMENT, project_id, mode)


async def content_policy_of(tx: Tx, project_id: UUID) -> str:
    """Return what the project has said of its content, as JSON; "{}" if it has said nothing."""
    row = await tx.fetch_row(_CONTENT_POLICY, project_id)
    return "{}" if row is None else str(row["content_policy"])


async def set_content_policy(tx: Tx, project_id: UUID, policy: str) -> None:
    """Keep what the project says of its content, as JSON."""
    await tx.execute(_SET_CONTENT_POLICY, project_id, policy)


async def templates_need_approval(tx: Tx, project_id: UUID) -> bool:
    """Return whether somebody has to approve the project's templates before they are sent."""
    row = await tx.fetch_row(_NEEDS_APPROVAL, project_id)
    return row is not None and bool(row["templates_need_approval"])


async def set_templates_need_approval(tx: Tx, project_id: UUID, *, is_needed: bool) -> None:
    """Say whether somebody has to approve the project's templates before they are sent."""
    await tx.execute(_SET_NEEDS_APPROVAL, project_id, is_needed)
