"""API keys: what each may do, its secret's hash, and its secret sealed by the vault for calls that are signed with it.

Whoever reads this table cannot send mail with it: the key of the vault is not in the database.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import KeyScope
from outrider.store.pool import Row, Tx
from outrider.store.vault import Sealed, secret_context


class KeyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may do, from where, and for how long."""

    scopes: frozenset[KeyScope] = frozenset(KeyScope)  # At least one.
    ip_ranges: tuple[str, ...] = ()  # It may be used from these alone, in CIDR notation; (): from anywhere.
    domains: tuple[str, ...] = ()  # It may send from these alone, lower-case A-labels; (): from all of the project's.
    expires_at: datetime | None = None  # None: never.
    rate_per_minute: int | None = None  # Calls; 0: as many as it likes; None: as the settings say.


class ApiKey(msgspec.Struct, frozen=True):
    """One key pair, less its secret. `revoked_at` None: it is valid."""

    access_key_id: str  # 32 lower-case hex characters.
    project_id: UUID
    secret_hash: bytes  # SHA-256 of the secret's text.
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    secret_sealed: bytes | None = None  # By the vault; None: a key of before, or one that is to sign no calls.
    terms: KeyTerms = KeyTerms()
    last_used_at: datetime | None = None  # To about ten seconds; None: never.

    @property
    def allow_signed(self) -> bool:
        """Whether calls signed with it count. Nothing says so twice: without the secret no signature can be checked."""
        return self.secret_sealed is not None


BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), "")
_COLUMNS: Final = """
    access_key_id, project_id, secret_hash, name, created_at, revoked_at, secret_sealed, scopes, ip_ranges, domains,
    expires_at, rate_per_minute, last_used_at"""
_INSERT: Final = """
    INSERT INTO api_key (access_key_id, project_id, secret_hash, name, created_at, secret_sealed, scopes, ip_ranges,
                         domains, expires_at, rate_per_minute)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""
_BY_ID: Final = f"""
    SELECT {_COLUMNS} FROM api_key WHERE access_key_id = $1"""  # noqa: S608 - a constant.
_LOCK: Final = f"""
    SELECT {_COLUMNS} FROM api_key WHERE project_id = $1 AND access_key_id = $2 FOR UPDATE"""  # noqa: S608 - a constant.
_OF_PROJECT: Final = f"""
    SELECT {_COLUMNS} FROM api_key
     WHERE project_id = $1 AND (created_at, access_key_id) > ($2, $3) ORDER BY created_at, access_key_id LIMIT $4"""  # noqa: S608 - a constant.
_CHANGE: Final = f"""
    UPDATE api_key SET name = $3, scopes = $4, ip_ranges = $5, domains = $6, expires_at = $7, rate_per_minute = $8,
           secret_sealed = CASE WHEN $9 THEN secret_sealed END
     WHERE project_id = $1 AND access_key_id = $2
 RETURNING {_COLUMNS}"""  # noqa: S608 - a constant.
_VALID_COUNT: Final = """
    SELECT count(*) AS count FROM api_key WHERE project_id = $1 AND revoked_at IS NULL"""
_REVOKE: Final = """
    UPDATE api_key SET revoked_at = COALESCE(revoked_at, $3)
     WHERE project_id = $1 AND access_key_id = $2"""
_FORGET_REVOKED: Final = """
    DELETE FROM api_key
     WHERE (project_id, access_key_id) IN (
        SELECT project_id, access_key_id FROM api_key WHERE revoked_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""
# Who finds a row locked leaves it: another process is writing the same.
_MARK_USED: Final = """
    UPDATE api_key SET last_used_at = $3
     WHERE access_key_id IN (
        SELECT access_key_id
          FROM api_key JOIN unnest($1::uuid[], $2::text[]) AS used(project_id, access_key_id)
         USING (project_id, access_key_id)
         WHERE last_used_at IS NULL OR last_used_at < $4
           FOR NO KEY UPDATE OF api_key SKIP LOCKED)"""

_SEALED_OTHERWISE: Final = """
    SELECT access_key_id, project_id, secret_sealed
      FROM api_key
     WHERE secret_sealed IS NOT NULL AND substr(secret_sealed, 1, length($1::bytea)) <> $1 AND access_key_id > $2
     ORDER BY access_key_id LIMIT $3 FOR UPDATE"""
_RESEAL: Final = """
    UPDATE api_key SET secret_sealed = $3 WHERE project_id = $1 AND access_key_id = $2"""
_COUNT_SEALED: Final = """
    SELECT project_id, substr(secret_sealed, 1, $1) AS mark, count(*) AS count
      FROM api_key WHERE secret_sealed IS NOT NULL GROUP BY 1, 2"""


async def insert(tx: Tx, key: ApiKey) -> None:
    """Store a new key."""
    who = (key.access_key_id, key.project_id, key.secret_hash, key.name, key.created_at, key.secret_sealed)
    await tx.execute(_INSERT, *who, *_terms_columns(key.terms))


async def by_id(tx: Tx, access_key_id: str) -> ApiKey | None:
    """Return the key, revoked or not; None if there is none. The id is what tells the project."""
    row = await tx.fetch_row(_BY_ID, access_key_id)
    return None if row is None else _key(row)


async def lock(tx: Tx, project_id: UUID, access_key_id: str) -> ApiKey | None:
    """Return the project's key, which nobody else changes before the transaction ends; None if it has none such."""
    row = await tx.fetch_row(_LOCK, project_id, access_key_id)
    return None if row is None else _key(row)


async def of_project(
    tx: Tx, project_id: UUID, *, after: tuple[datetime, str] = BEGINNING, count_max: int | None = None
) -> Sequence[ApiKey]:
    """Return the project's keys, oldest first, revoked ones too, behind that of (created_at, id) `after`.

    All, or so many.
    """
    return [_key(row) for row in await tx.fetch(_OF_PROJECT, project_id, *after, count_max)]


async def valid_count(tx: Tx, project_id: UUID) -> int:
    """Return how many keys of the project are not revoked."""
    row = await tx.fetch_row(_VALID_COUNT, project_id)
    assert row is not None
    return int(row["count"])


async def change(
    tx: Tx, project_id: UUID, access_key_id: str, *, name: str, terms: KeyTerms, keep_secret: bool = True
) -> ApiKey | None:
    """Give the key this name and these terms; return it, None if the project has no such key.

    Args:
        keep_secret: False forgets the sealed secret for good, so that no signed call counts any more.
    """
    row = await tx.fetch_row(_CHANGE, project_id, access_key_id, name, *_terms_columns(terms), keep_secret)
    return None if row is None else _key(row)


async def revoke(tx: Tx, project_id: UUID, access_key_id: str, *, now: datetime) -> bool:
    """Revoke the key from now on; False if the project has no such key. Safe twice: the first instant stays."""
    return await tx.execute(_REVOKE, project_id, access_key_id, now) > 0


async def forget_revoked(tx: Tx, *, before: datetime, count_max: int) -> bool:
    """Delete up to so many keys that were revoked before then; return whether there may be more."""
    return await tx.execute(_FORGET_REVOKED, before, count_max) == count_max


async def mark_used(tx: Tx, used: Sequence[tuple[UUID, str]], *, now: datetime, every: timedelta) -> None:
    """Write down that these keys, by project and id, are in use now, where what stands there is older than `every`."""
    await tx.execute(_MARK_USED, *map(list, zip(*used, strict=True)), now, now - every)


def _terms_columns(terms: KeyTerms) -> tuple[object, ...]:
    scopes = sorted(scope.value for scope in terms.scopes)
    return scopes, list(terms.ip_ranges), list(terms.domains), terms.expires_at, terms.rate_per_minute


def _key(row: Row) -> ApiKey:
    return ApiKey(
        access_key_id=row["access_key_id"],
        project_id=row["project_id"],
        secret_hash=row["secret_hash"],
        name=row["name"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        secret_sealed=row["secret_sealed"],
        terms=KeyTerms(
            scopes=frozenset(KeyScope(scope) for scope in row["scopes"]),
            ip_ranges=tuple(row["ip_ranges"]),
            domains=tuple(row["domains"]),
            expires_at=row["expires_at"],
            rate_per_minute=row["rate_per_minute"],
        ),
        last_used_at=row["last_used_at"],
    )


async def sealed_otherwise(tx: Tx, mark: bytes, *, after: str, count_max: int) -> Sequence[Sealed]:
    """Return, and lock, the next keys by name whose sealed secret does not begin with `mark`; [] when none are left."""
    return [
        Sealed(row["project_id"], row["access_key_id"], secret_context(row["access_key_id"]), row["secret_sealed"])
        for row in await tx.fetch(_SEALED_OTHERWISE, mark, after, count_max)
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
