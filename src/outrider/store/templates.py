"""Templates, their versions, and the partials they share. What they mean is `services.templates`' business.

    template          one row, the same for its life: its name, its stream, whether its mail may be sent
    template_version  what somebody wrote (`source`) and what is made of it (`content`); neither ever changes
    partial           a piece that templates include; a version holds a copy of those it was made with

`published_number` is the version that is sent, `head_number` the one that an editor goes on from. A deleted template
keeps its rows and gives its name free; no function here finds it again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream, TemplateState, VersionState
from outrider.store.pool import Row, Tx


class StoredTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A template without its versions."""

    template_id: str
    project_id: UUID
    name: str
    stream: Stream
    state: TemplateState
    state_reason: str = ""  # Why its last version was rejected, or it was disabled.
    is_blocked: bool = False  # An operator has disabled it, so its owner cannot enable it.
    published_number: int | None = None
    head_number: int
    created_at: datetime
    updated_at: datetime


class ListedTemplate(msgspec.Struct, frozen=True):
    """A template as a list shows it, with the version that is sent, else the one to be edited."""

    template: StoredTemplate
    subject: str
    variables: Sequence[str]


class VersionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A version without what it is made of."""

    number: int
    state: VersionState
    subject: str
    variables: Sequence[str] = ()
    partials: Sequence[str] = ()
    created_at: datetime
    published_at: datetime | None = None


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what it is made of."""

    facts: VersionFacts
    source: bytes  # MessagePack of `mail.templating.Source`.
    content: bytes  # MessagePack of `mail.render.Template`.
    sample: bytes  # MessagePack of a mapping: a value for each variable, for a preview.


class TemplateChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which templates, in which order. What is None or "" leaves none out."""

    template_ids: Sequence[str] | None = None
    name: str = ""  # Somewhere in it; case of ASCII letters does not matter.
    subject: str = ""  # The same.
    stream: Stream | None = None
    states: Sequence[TemplateState] | None = None
    before: str = ""  # Ids that were made before this one: a keyset, for the order of ids.
    is_by_update: bool = False  # Those changed last first, else those made last.
    offset: int = 0
    count_max: int = 20


class Partial(msgspec.Struct, frozen=True):
    """A piece that templates include."""

    name: str
    source: str
    updated_at: datetime


_INSERT: Final = """
    INSERT INTO template (template_id, project_id, name, stream, state, head_number, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"""
_COUNT_ALL: Final = """
    SELECT count(*) AS n FROM template WHERE project_id = $1 AND deleted_at IS NULL"""
_COLUMNS: Final = """
    SELECT t.template_id, t.project_id, t.name, t.stream, t.state, t.state_reason, t.is_blocked,
           t.published_number, t.head_number, t.created_at, t.updated_at"""
_FIND: Final = f"""{_COLUMNS}
      FROM template t WHERE t.project_id = $1 AND (t.template_id = $2 OR t.name = $2) AND t.deleted_at IS NULL
     ORDER BY t.template_id = $2 DESC LIMIT 1"""
_LOCK: Final = f"""{_COLUMNS}
      FROM template t WHERE t.project_id = $1 AND t.template_id = $2 AND t.deleted_at IS NULL FOR UPDATE"""
_UPDATE: Final = """
    UPDATE template SET name = $3, stream = $4, state = $5, state_reason = $6, is_blocked = $7, published_number = $8,
           head_number = $9, updated_at = $10
     WHERE project_id = $1 AND template_id = $2"""
_DELETE: Final = """
    UPDATE template SET deleted_at = $3 WHERE project_id = $1 AND template_id = $2 AND deleted_at IS NULL"""
_CHOSEN: Final = """
      FROM template t JOIN template_version v
        ON v.project_id = t.project_id AND v.template_id = t.template_id
           AND v.number = COALESCE(t.published_number, t.head_number)
     WHERE t.project_id = $1 AND t.deleted_at IS NULL
       AND ($2::text[] IS NULL OR t.template_id = ANY($2))
       AND ($3::text = '' OR strpos(lower(t.name), lower($3)) > 0)
       AND ($4::text = '' OR strpos(lower(v.subject), lower($4)) > 0)
       AND ($5::text IS NULL OR t.stream::text = $5)
       AND ($6::text[] IS NULL OR t.state = ANY($6))
       AND ($7::text = '' OR t.template_id < $7)"""
_COUNT: Final = f"""
    SELECT count(*) AS n {_CHOSEN}"""
_PAGE: Final = f"""{_COLUMNS}, v.subject, v.variables {_CHOSEN}
     ORDER BY CASE WHEN $8::boolean THEN t.updated_at END DESC, t.template_id DESC
    OFFSET $9 LIMIT $10"""
_INSERT_VERSION: Final = """
    INSERT INTO template_version (template_id, project_id, number, state, subject, source, content, sample,
                                  variables, partials, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""
_LAST: Final = """
    SELECT max(number) AS n FROM template_version WHERE project_id = $1 AND template_id = $2"""
_FACTS: Final = """
    SELECT number, state, subject, variables, partials, created_at, published_at"""
_VERSION: Final = f"""{_FACTS}, source, content, sample FROM template_version
     WHERE project_id = $1 AND template_id = $2 AND number = $3"""
_VERSION_FACTS: Final = f"""{_FACTS} FROM template_version WHERE project_id = $1 AND template_id = $2 AND number = $3"""
_PENDING: Final = f"""{_FACTS} FROM template_version WHERE project_id = $1 AND template_id = $2 AND state = 'pending'"""
_VERSIONS: Final = f"""{_FACTS} FROM template_version
     WHERE project_id = $1 AND template_id = $2 AND number < $3 ORDER BY number DESC LIMIT $4"""
_MOVE: Final = """
    UPDATE template_version SET state = $4 WHERE project_id = $1 AND template_id = $2 AND state = $3"""
_SET_STATE: Final = """
    UPDATE template_version SET state = $4, published_at = COALESCE($5, published_at)
     WHERE project_id = $1 AND template_id = $2 AND number = $3"""
_TRIM: Final = """
    DELETE FROM template_version v USING template t
     WHERE v.project_id = $1 AND v.template_id = $2 AND t.project_id = $1 AND t.template_id = $2
       AND v.number <= $3 AND v.state NOT IN ('published', 'pending') AND v.number <> t.head_number"""
_PUT_PARTIAL: Final = """
    INSERT INTO partial (project_id, name, source, updated_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (project_id, name) DO UPDATE SET source = excluded.source, updated_at = excluded.updated_at"""
_PARTIALS: Final = """
    SELECT name, source, updated_at FROM partial WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3"""
_PARTIAL: Final = """
    SELECT name, source, updated_at FROM partial WHERE project_id = $1 AND name = $2"""
_COUNT_PARTIALS: Final = """
    SELECT count(*) AS n FROM partial WHERE project_id = $1 AND name <> $2"""
_REMOVE_PARTIAL: Final = """
    DELETE FROM partial WHERE project_id = $1 AND name = $2"""
_USERS: Final = f"""{_COLUMNS}
      FROM template t WHERE t.project_id = $1 AND t.deleted_at IS NULL
       AND EXISTS (SELECT FROM template_version v
                    WHERE v.project_id = $1 AND v.template_id = t.template_id AND $2 = ANY(v.partials)
                      AND (v.number = t.head_number OR v.state IN ('published', 'pending')))
     ORDER BY t.template_id"""


async def insert(tx: Tx, template: StoredTemplate) -> None:
    """Store a new template. Raises ConflictError: the project has one of that name, or anybody one of that id."""
    await tx.execute(
        _INSERT,
        template.template_id,
        template.project_id,
        template.name,
        template.stream,
        template.state,
        template.head_number,
        template.created_at,
    )


async def count(tx: Tx, project_id: UUID) -> int:
    """Return how many templates the project has."""
    return await _number(tx, _COUNT_ALL, project_id)


async def find(tx: Tx, project_id: UUID, name: str) -> StoredTemplate | None:
    """Return the project's template of that id, else of that name, None if it has none."""
    row = await tx.fetch_row(_FIND, project_id, name)
    return None if row is None else _template(row)


async def lock(tx: Tx, project_id: UUID, template_id: str) -> StoredTemplate | None:
    """Return the project's template and let nobody else change it until the transaction ends; None if it has none."""
    row = await tx.fetch_row(_LOCK, project_id, template_id)
    return None if row is None else _template(row)


async def update(tx: Tx, template: StoredTemplate) -> None:
    """Write what may change of a template. Raises ConflictError: the project has another of that name."""
    await tx.execute(
        _UPDATE,
        template.project_id,
        template.template_id,
        template.name,
        template.stream,
        template.state,
        template.state_reason,
        template.is_blocked,
        template.published_number,
        template.head_number,
        template.updated_at,
    )


async def remove(tx: Tx, project_id: UUID, template_id: str, *, now: datetime) -> bool:
    """Delete the template; its rows stay for what was sent. Returns whether there was one."""
    return await tx.execute(_DELETE, project_id, template_id, now) > 0


async def page(tx: Tx, project_id: UUID, choice: TemplateChoice) -> Sequence[ListedTemplate]:
    """Return the templates chosen."""
    rows = await tx.fetch(_PAGE, *_chosen(project_id, choice), choice.is_by_update, choice.offset, choice.count_max)
    return [ListedTemplate(_template(row), row["subject"], row["variables"]) for row in rows]


async def total(tx: Tx, project_id: UUID, choice: TemplateChoice) -> int:
    """Return how many templates are chosen, on all pages. Looks at all templates of the project."""
    return await _number(tx, _COUNT, *_chosen(project_id, choice))


async def insert_version(
    tx: Tx, project_id: UUID, template_id: str, version: StoredVersion, *, kept_count_max: int
) -> None:
    """Store a new version, and let go of old ones over so many: never what is sent, waits, or is being edited."""
    facts = version.facts
    await tx.execute(
        _INSERT_VERSION,
        template_id,
        project_id,
        facts.number,
        facts.state,
        facts.subject,
        version.source,
        version.content,
        version.sample,
        facts.variables,
        facts.partials,
        facts.created_at,
    )
    await tx.execute(_TRIM, project_id, template_id, facts.number - kept_count_max)


async def last_number(tx: Tx, project_id: UUID, template_id: str) -> int:
    """Return the number of the template's last version; 0 if it has none."""
    return await _number(tx, _LAST, project_id, template_id)


async def version(tx: Tx, project_id: UUID, template_id: str, number: int) -> StoredVersion | None:
    """Return a version with what it is made of, None if there is none."""
    row = await tx.fetch_row(_VERSION, project_id, template_id, number)
    if row is None:
        return None
    return StoredVersion(facts=_facts(row), source=row["source"], content=row["content"], sample=row["sample"])


async def version_facts(tx: Tx, project_id: UUID, template_id: str, number: int) -> VersionFacts | None:
    """Return a version without what it is made of, None if there is none."""
    row = await tx.fetch_row(_VERSION_FACTS, project_id, template_id, number)
    return None if row is None else _facts(row)


async def pending(tx: Tx, project_id: UUID, template_id: str) -> VersionFacts | None:
    """Return the version that waits for approval, None if there is none."""
    row = await tx.fetch_row(_PENDING, project_id, template_id)
    return None if row is None else _facts(row)


async def versions(tx: Tx, project_id: UUID, template_id: str, *, below: int, count_max: int) -> Sequence[VersionFacts]:
    """Return the versions with a smaller number than `below`, the last first."""
    return [_facts(row) for row in await tx.fetch(_VERSIONS, project_id, template_id, below, count_max)]


async def move(tx: Tx, project_id: UUID, template_id: str, *, source: VersionState, target: VersionState) -> None:
    """Put the template's versions that are in one state into another."""
    await tx.execute(_MOVE, project_id, template_id, source, target)


async def set_version_state(
    tx: Tx,
    project_id: UUID,
    template_id: str,
    number: int,
    state: VersionState,
    *,
    published_at: datetime | None = None,
) -> None:
    """Put a version into a state; `published_at` None leaves that as it is."""
    await tx.execute(_SET_STATE, project_id, template_id, number, state, published_at)


async def put_partial(tx: Tx, project_id: UUID, partial: Partial) -> None:
    """Store a partial, in place of the project's of that name."""
    await tx.execute(_PUT_PARTIAL, project_id, partial.name, partial.source, partial.updated_at)


async def partials(tx: Tx, project_id: UUID, *, after: str = "", count_max: int | None = None) -> Sequence[Partial]:
    """Return the project's partials by name, behind that name; all, or so many."""
    return [Partial(**row) for row in await tx.fetch(_PARTIALS, project_id, after, count_max)]


async def partial(tx: Tx, project_id: UUID, name: str) -> Partial | None:
    """Return the project's partial, None if it has none of that name."""
    row = await tx.fetch_row(_PARTIAL, project_id, name)
    return None if row is None else Partial(**row)


async def other_partials_count(tx: Tx, project_id: UUID, name: str) -> int:
    """Return how many partials the project has beside that of this name."""
    return await _number(tx, _COUNT_PARTIALS, project_id, name)


async def remove_partial(tx: Tx, project_id: UUID, name: str) -> bool:
    """Forget a partial; versions keep their copies. Returns whether there was one."""
    return await tx.execute(_REMOVE_PARTIAL, project_id, name) > 0


async def users_of_partial(tx: Tx, project_id: UUID, name: str) -> Sequence[StoredTemplate]:
    """Return the templates with the partial in the version that is sent, waits for approval, or is being edited."""
    return [_template(row) for row in await tx.fetch(_USERS, project_id, name)]


def _chosen(project_id: UUID, choice: TemplateChoice) -> tuple[object, ...]:
    states = None if choice.states is None else [state.value for state in choice.states]
    stream = None if choice.stream is None else choice.stream.value
    return (project_id, choice.template_ids, choice.name, choice.subject, stream, states, choice.before)


async def _number(tx: Tx, sql: str, *arguments: object) -> int:
    row = await tx.fetch_row(sql, *arguments)
    assert row is not None
    return int(row["n"] or 0)


def _template(row: Row) -> StoredTemplate:
    fields: dict[str, Any] = {name: row[name] for name in StoredTemplate.__struct_fields__}
    return StoredTemplate(**fields | {"stream": Stream(row["stream"]), "state": TemplateState(row["state"])})


def _facts(row: Row) -> VersionFacts:
    fields: dict[str, Any] = {name: row[name] for name in VersionFacts.__struct_fields__}
    return VersionFacts(**fields | {"state": VersionState(row["state"])})
