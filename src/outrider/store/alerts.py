"""Alerts: what a project has watched, and how each stands.

    raised_at      since when it is raised; NULL: it is quiet
    check_due_at   when it is looked at next

Whoever looks at one holds its row until its own end (`take_due`), and writes what follows in the same transaction, so
an alert is raised once, whoever dies and however many look.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.instants import EPOCH
from outrider.policy.alerts import AlertRule
from outrider.store.pool import Row, Tx


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert."""

    alert_id: UUID
    project_id: UUID
    name: str  # Unique in the project.
    rule: AlertRule
    notify: tuple[str, ...] = ()  # Addresses; (): where the project's notices go.
    is_enabled: bool = True
    raised_at: datetime | None = None
    value: float | None = None  # When it was last looked at; None: never, or there was no mail to make a rate of.
    checked_at: datetime | None = None
    check_due_at: datetime
    created_at: datetime


NAME_TAKEN: Final = "alert_name_taken"  # The constraint.
BEGINNING: Final = (EPOCH, UUID(int=0))
_COLUMNS: Final = """alert_id, project_id, name, rule::text AS rule, notify, is_enabled, raised_at, value, checked_at,
           check_due_at, created_at"""
_INSERT: Final = """
    INSERT INTO alert (alert_id, project_id, name, rule, notify, is_enabled, check_due_at, created_at)
    SELECT $1, $2, $3, $4::jsonb, $5, $6, $7, $8
     WHERE (SELECT count(*) FROM alert WHERE project_id = $2) < $9"""
_CHANGE: Final = """
    UPDATE alert SET name = $3, rule = $4::jsonb, notify = $5, is_enabled = $6, raised_at = $7, check_due_at = $8
     WHERE project_id = $1 AND alert_id = $2"""
_REMOVE: Final = """
    DELETE FROM alert WHERE project_id = $1 AND alert_id = $2"""
_FIND: Final = f"""
    SELECT {_COLUMNS} FROM alert WHERE project_id = $1 AND alert_id = $2"""  # noqa: S608 - a constant.
_LOCK: Final = f"""{_FIND} FOR UPDATE"""
_BY_NAME: Final = f"""
    SELECT {_COLUMNS} FROM alert WHERE project_id = $1 AND name = $2"""  # noqa: S608 - a constant.
_OF_PROJECT: Final = f"""
    SELECT {_COLUMNS} FROM alert
     WHERE project_id = $1 AND (created_at, alert_id) > ($2, $3) ORDER BY created_at, alert_id LIMIT $4"""  # noqa: S608 - a constant.
_TAKE_DUE: Final = f"""
    SELECT {_COLUMNS} FROM alert
     WHERE project_id IS NOT NULL AND is_enabled AND check_due_at <= $1
     ORDER BY check_due_at LIMIT $2 FOR UPDATE SKIP LOCKED"""  # noqa: S608 - a constant.
_STAND: Final = """
    UPDATE alert SET raised_at = $3, value = $4, checked_at = $5, check_due_at = $6
     WHERE project_id = $1 AND alert_id = $2"""


async def insert(tx: Tx, alert: Alert, *, count_max: int) -> bool:
    """Store a new alert; False if the project has so many already. The caller holds the project (`projects.lock`).

    Raises:
        ConflictError: the project has one of that name (`NAME_TAKEN`).
    """
    return (
        await tx.execute(
            _INSERT,
            alert.alert_id,
            alert.project_id,
            alert.name,
            _rule_text(alert.rule),
            list(alert.notify),
            alert.is_enabled,
            alert.check_due_at,
            alert.created_at,
            count_max,
        )
        == 1
    )


async def change(tx: Tx, alert: Alert) -> None:
    """Store what people may change of it, and whether it is raised. The caller holds it.

    Raises:
        ConflictError: the project has another of that name (`NAME_TAKEN`).
    """
    await tx.execute(
        _CHANGE,
        alert.project_id,
        alert.alert_id,
        alert.name,
        _rule_text(alert.rule),
        list(alert.notify),
        alert.is_enabled,
        alert.raised_at,
        alert.check_due_at,
    )


async def remove(tx: Tx, project_id: UUID, alert_id: UUID) -> bool:
    """Forget an alert; False if the project has no such alert."""
    return await tx.execute(_REMOVE, project_id, alert_id) == 1


async def find(tx: Tx, project_id: UUID, alert_id: UUID) -> Alert | None:
    """Return the project's alert, None if it has no such alert."""
    row = await tx.fetch_row(_FIND, project_id, alert_id)
    return None if row is None else _alert(row)


async def lock(tx: Tx, project_id: UUID, alert_id: UUID) -> Alert | None:
    """Return the alert and let nobody else change or look at it before the transaction ends; None if it is gone."""
    row = await tx.fetch_row(_LOCK, project_id, alert_id)
    return None if row is None else _alert(row)


async def by_name(tx: Tx, project_id: UUID, name: str) -> Alert | None:
    """Return the project's alert of that name, None if it has none."""
    row = await tx.fetch_row(_BY_NAME, project_id, name)
    return None if row is None else _alert(row)


async def of_project(
    tx: Tx, project_id: UUID, *, after: tuple[datetime, UUID] = BEGINNING, count_max: int
) -> Sequence[Alert]:
    """Return the project's alerts, oldest first, behind that place."""
    return [_alert(row) for row in await tx.fetch(_OF_PROJECT, project_id, *after, count_max)]


async def take_due(tx: Tx, *, now: datetime, count_max: int) -> Sequence[Alert]:
    """Return alerts of all projects that are to be looked at, longest first; others step over them until the end."""
    return [_alert(row) for row in await tx.fetch(_TAKE_DUE, now, count_max)]


async def stand(tx: Tx, alert: Alert) -> None:
    """Store how it stands: `raised_at`, `value`, `checked_at`, `check_due_at`. The caller holds it."""
    await tx.execute(
        _STAND,
        alert.project_id,
        alert.alert_id,
        alert.raised_at,
        alert.value,
        alert.checked_at,
        alert.check_due_at,
    )


def _rule_text(rule: AlertRule) -> str:
    return msgspec.json.encode(rule).decode()


def _alert(row: Row) -> Alert:
    values = dict(row)
    rule = msgspec.json.decode(values["rule"], type=AlertRule)
    return Alert(**values | {"rule": rule, "notify": tuple(values["notify"])})
