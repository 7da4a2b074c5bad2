"""Webhooks: where a project's events are told, and the secrets that sign what is said.

The secrets and the token are sealed (`store.vault`) before they come here, each in a row of its own, so that several
sign at once while one is replaced. What waits to be told is in `webhook_calls`, how it went in `webhook_log`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, WebhookOrdering, WebhookState
from outrider.store import projects
from outrider.store.pool import Row, Tx
from outrider.store.vault import Sealed


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook."""

    webhook_id: UUID
    project_id: UUID
    url: str
    description: str = ""
    kinds: Sequence[EventKind] = ()  # Which events; () for all.
    ordering: WebhookOrdering = WebhookOrdering.NONE
    batch_count: int = 1  # Events in one call at most.
    batch_wait_s: float = 0.0  # How long the first of them may wait for others.
    state: WebhookState = WebhookState.ACTIVE
    state_reason: str = ""  # "": somebody's decision, or it is active.
    state_at: datetime  # Since when.
    failing_since: datetime | None = None  # The first failure since something was taken.
    created_at: datetime
    updated_at: datetime


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of a webhook, or its token."""

    secret_id: UUID
    webhook_id: UUID
    project_id: UUID
    is_token: bool
    sealed: bytes
    created_at: datetime
    ends_at: datetime | None = None  # None: it is the one that counts.

    @property
    def context(self) -> str:
        """The place it is sealed for (`store.vault`)."""
        return context_of(self.secret_id)


class Told(msgspec.Struct, frozen=True):
    """A webhook as the one who makes calls sees it."""

    webhook_id: UUID
    project_id: UUID
    kinds: frozenset[str]  # Empty: all.
    ordering: WebhookOrdering
    wait_s: float  # How long a call may wait for others to travel with.
    batch_count: int
    told_from: datetime  # What happened before then is not told: it came into being, or was enabled again.


BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
_FIRST: Final = str(UUID(int=0))
_COLUMNS: Final = """
    SELECT webhook_id, project_id, url, description, kinds, ordering, batch_count, batch_wait_s, state, state_reason,
           state_at, failing_since, created_at, updated_at
      FROM webhook"""
_INSERT: Final = """
    INSERT INTO webhook (webhook_id, project_id, url, description, kinds, ordering, batch_count, batch_wait_s, state,
                         state_reason, state_at, failing_since, created_at, updated_at, told_from)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $13)"""
_INSERT_TURN: Final = """
    INSERT INTO webhook_turn (webhook_id, project_id) VALUES ($1, $2)"""
_COUNT: Final = """
    SELECT count(*) AS count FROM webhook WHERE project_id = $1"""
_FIND: Final = f"""{_COLUMNS}
     WHERE project_id = $1 AND webhook_id = $2"""
_LOCK: Final = f"""{_FIND} FOR NO KEY UPDATE"""
_OF_PROJECT: Final = f"""{_COLUMNS}
     WHERE project_id = $1 AND (created_at, webhook_id) > ($2, $3) ORDER BY created_at, webhook_id LIMIT $4"""
_CHANGE: Final = """
    UPDATE webhook
       SET url = $3, description = $4, kinds = $5, ordering = $6, batch_count = $7, batch_wait_s = $8, updated_at = $9
     WHERE project_id = $1 AND webhook_id = $2"""
# Danger: while nobody listens the log is not read on, and what happened meanwhile comes by later: `told_from` keeps it
# out.
_SET_STATE: Final = """
    UPDATE webhook
       SET state = $3, state_reason = $4, state_at = $5, updated_at = $5, failing_since = $6,
           told_from = CASE WHEN state = 'disabled' AND $3 <> 'disabled' THEN $5 ELSE told_from END
     WHERE project_id = $1 AND webhook_id = $2"""
_REMOVE_CALLS: Final = """
    DELETE FROM webhook_call WHERE project_id = $1 AND webhook_id = $2"""
_REMOVE_LOG: Final = """
    DELETE FROM webhook_delivery WHERE project_id = $1 AND webhook_id = $2"""
_REMOVE: Final = """
    DELETE FROM webhook WHERE project_id = $1 AND webhook_id = $2"""
_HAS_ANY: Final = """
    SELECT project_id FROM webhook WHERE state <> 'disabled' LIMIT 1"""
_TOLD: Final = """
    SELECT webhook_id, project_id, kinds, ordering, CASE WHEN batch_count > 1 THEN batch_wait_s ELSE 0 END AS wait_s,
           batch_count, told_from
      FROM webhook WHERE project_id = ANY($1::uuid[]) AND state <> 'disabled' ORDER BY webhook_id"""
_BY_IDS: Final = f"""{_COLUMNS}
     WHERE webhook_id = ANY($1::uuid[])"""
_ADD: Final = """
    INSERT INTO webhook_secret (secret_id, webhook_id, project_id, is_token, sealed, created_at, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_END_SECRETS: Final = """
    UPDATE webhook_secret SET ends_at = LEAST(COALESCE(ends_at, 'infinity'), $4)
     WHERE project_id = $1 AND webhook_id = $2 AND is_token = $3"""
_REMOVE_ENDED: Final = """
    DELETE FROM webhook_secret WHERE project_id = $1 AND webhook_id = $2 AND ends_at <= $3"""
_SECRETS: Final = """
    SELECT secret_id, webhook_id, project_id, is_token, sealed, created_at, ends_at
      FROM webhook_secret WHERE webhook_id = ANY($1::uuid[]) AND (ends_at IS NULL OR ends_at > $2)
     ORDER BY webhook_id, ends_at DESC NULLS FIRST, created_at DESC"""
_MARK_FAILING: Final = """
    UPDATE webhook SET failing_since = $3
     WHERE failing_since IS NULL
       AND (project_id, webhook_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"""
_MARK_TAKING: Final = """
    UPDATE webhook SET failing_since = NULL
     WHERE failing_since IS NOT NULL
       AND (project_id, webhook_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"""
_SEALED_OTHERWISE: Final = """
    SELECT secret_id, project_id, sealed
      FROM webhook_secret
     WHERE substr(sealed, 1, length($1::bytea)) <> $1 AND secret_id > $2::text::uuid
     ORDER BY secret_id LIMIT $3 FOR UPDATE"""
_RESEAL: Final = """
    UPDATE webhook_secret SET sealed = $3 WHERE project_id = $1 AND secret_id = $2::text::uuid"""
_COUNT_SEALED: Final = """
    SELECT project_id, substr(sealed, 1, $1) AS mark, count(*) AS count FROM webhook_secret GROUP BY 1, 2"""


async def insert(tx: Tx, webhook: Webhook, *, count_max: int) -> bool:
    """Store a new webhook; False, and nothing is stored: the project has `count_max` already. Safe concurrently."""
    await projects.lock(tx, webhook.project_id)
    row = await tx.fetch_row(_COUNT, webhook.project_id)
    if row is not None and row["count"] >= count_max:
        return False
    await tx.execute(_INSERT, *_values(webhook))
    await tx.execute(_INSERT_TURN, webhook.webhook_id, webhook.project_id)
    return True


async def find(tx: Tx, project_id: UUID, webhook_id: UUID) -> Webhook | None:
    """Return the project's webhook, None if it has no such."""
    row = await tx.fetch_row(_FIND, project_id, webhook_id)
    return None if row is None else _webhook(row)


async def lock(tx: Tx, project_id: UUID, webhook_id: UUID) -> Webhook | None:
    """Return it, and let nobody else change it in this transaction."""
    row = await tx.fetch_row(_LOCK, project_id, webhook_id)
    return None if row is None else _webhook(row)


async def of_project(
    tx: Tx, project_id: UUID, *, after: tuple[datetime, UUID] = BEGINNING, count_max: int
) -> Sequence[Webhook]:
    """Return the project's webhooks, oldest first, behind that of (created_at, id) `after`."""
    return [_webhook(row) for row in await tx.fetch(_OF_PROJECT, project_id, *after, count_max)]


async def change(tx: Tx, webhook: Webhook) -> None:
    """Store what customers choose of a webhook anew; not its state."""
    chosen = (webhook.url, webhook.description, list(webhook.kinds), webhook.ordering)
    more = (webhook.batch_count, webhook.batch_wait_s, webhook.updated_at)
    await tx.execute(_CHANGE, webhook.project_id, webhook.webhook_id, *chosen, *more)


async def set_state(
    tx: Tx, webhook: Webhook, state: WebhookState, *, reason: str, now: datetime, failing_since: datetime | None
) -> None:
    """Store a state; what happened while it was disabled is never told. Its turn is `webhook_calls.hold`, `let_go`."""
    await tx.execute(_SET_STATE, webhook.project_id, webhook.webhook_id, state, reason, now, failing_since)


async def remove(tx: Tx, project_id: UUID, webhook_id: UUID) -> bool:
    """Forget a webhook with its secrets, calls and log; False if the project has no such."""
    await tx.execute(_REMOVE_CALLS, project_id, webhook_id)
    await tx.execute(_REMOVE_LOG, project_id, webhook_id)
    return await tx.execute(_REMOVE, project_id, webhook_id) > 0


async def has_any(tx: Tx) -> bool:
    """Whether anybody is to be told anything."""
    return await tx.fetch_row(_HAS_ANY) is not None


async def told(tx: Tx, project_ids: Sequence[UUID]) -> Sequence[Told]:
    """Return who is to be told of the events of these projects, by id."""
    return [
        Told(
            row["webhook_id"],
            row["project_id"],
            frozenset(row["kinds"]),
            WebhookOrdering(row["ordering"]),
            row["wait_s"],
            row["batch_count"],
            row["told_from"],
        )
        for row in await tx.fetch(_TOLD, project_ids)
    ]


async def by_ids(tx: Tx, webhook_ids: Sequence[UUID]) -> Sequence[Webhook]:
    """Return these webhooks, of any project, in no order; those that are gone are missing."""
    return [_webhook(row) for row in await tx.fetch(_BY_IDS, webhook_ids)]


async def add_secret(tx: Tx, secret: Secret) -> None:
    """Store a secret, or a token."""
    where = (secret.secret_id, secret.webhook_id, secret.project_id)
    await tx.execute(_ADD, *where, secret.is_token, secret.sealed, secret.created_at, secret.ends_at)


async def end_secrets(
    tx: Tx, project_id: UUID, webhook_id: UUID, *, is_token: bool, ends_at: datetime, now: datetime
) -> None:
    """Let those that count end then, and forget those that have ended."""
    await tx.execute(_END_SECRETS, project_id, webhook_id, is_token, ends_at)
    await tx.execute(_REMOVE_ENDED, project_id, webhook_id, now)


async def secrets(tx: Tx, webhook_ids: Sequence[UUID], *, now: datetime) -> Mapping[UUID, Sequence[Secret]]:
    """Return what counts now of each webhook, tokens too: first what does not end, newest first."""
    found: dict[UUID, list[Secret]] = {}
    for row in await tx.fetch(_SECRETS, webhook_ids, now):
        found.setdefault(row["webhook_id"], []).append(Secret(**row))
    return found


async def mark_failing(tx: Tx, which: Sequence[tuple[UUID, UUID]], *, now: datetime) -> None:
    """Remember that these have begun to fail now, unless they had. Each by its project's id and its own."""
    await tx.execute(_MARK_FAILING, [one[0] for one in which], [one[1] for one in which], now)


async def mark_taking(tx: Tx, which: Sequence[tuple[UUID, UUID]]) -> None:
    """Remember that these have taken something. Each by its project's id and its own."""
    await tx.execute(_MARK_TAKING, [one[0] for one in which], [one[1] for one in which])


async def sealed_otherwise(tx: Tx, mark: bytes, *, after: str, count_max: int) -> Sequence[Sealed]:
    """Return, and lock, the next secrets by name that do not begin with `mark`, sealed; [] when none are left."""
    return [
        Sealed(row["project_id"], str(row["secret_id"]), context_of(row["secret_id"]), row["sealed"])
        for row in await tx.fetch(_SEALED_OTHERWISE, mark, after or _FIRST, count_max)
    ]


async def reseal(tx: Tx, project_id: UUID, name: str, octets: bytes) -> None:
    """Store the same secret sealed anew."""
    await tx.execute(_RESEAL, project_id, name, octets)


async def count_sealed(tx: Tx, mark_bytes: int) -> Mapping[bytes, int]:
    """Return how many secrets, of all projects, are sealed under each mark: the first `mark_bytes` octets."""
    counts: Counter[bytes] = Counter()
    for row in await tx.fetch(_COUNT_SEALED, mark_bytes):
        counts[row["mark"]] += row["count"]
    return counts


def context_of(secret_id: UUID) -> str:
    """Return the place that this secret is sealed for (`store.vault`)."""
    return f"webhook:{secret_id}"


def _values(one: Webhook) -> Sequence[object]:
    return (
        one.webhook_id,
        one.project_id,
        one.url,
        one.description,
        list(one.kinds),
        one.ordering,
        one.batch_count,
        one.batch_wait_s,
        one.state,
        one.state_reason,
        one.state_at,
        one.failing_since,
        one.created_at,
        one.updated_at,
    )


def _webhook(row: Row) -> Webhook:
    values = dict(row)
    values["kinds"] = tuple(EventKind(word) for word in values["kinds"])
    values["ordering"], values["state"] = WebhookOrdering(values["ordering"]), WebhookState(values["state"])
    return Webhook(**values)
