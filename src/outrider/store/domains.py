"""Sending domains and their DKIM keys.

Any project may claim a name, one may prove it: the database holds at most one verified row per name. Private keys are
sealed (`store.vault`) before they come here and never leave in the clear.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecordKind
from outrider.store.pool import Tx


class Domain(msgspec.Struct, frozen=True):
    """A domain a project sends from. `verified_at` None: nothing may be sent from it yet."""

    domain_id: UUID
    project_id: UUID
    name: str  # Lower-case A-label.
    created_at: datetime
    verified_at: datetime | None = None
    rate_per_minute: int | None = None  # How many mails may leave from it; None: no limit of its own.


class DkimKey(msgspec.Struct, frozen=True):
    """One signing key of a domain."""

    dkim_key_id: UUID
    project_id: UUID
    domain_id: UUID
    selector: str
    algorithm: str  # "rsa-sha256" or "ed25519-sha256".
    private_key_sealed: bytes
    public_record: str  # The TXT value to publish at selector._domainkey.domain.
    created_at: datetime


NAME_TAKEN: Final = "domain_name_taken"  # The constraint.
_INSERT: Final = """
    INSERT INTO domain (domain_id, project_id, name, created_at, verified_at, rate_per_minute)
    VALUES ($1, $2, $3, $4, $5, $6)"""
_VERIFY: Final = """
    UPDATE domain SET verified_at = COALESCE(verified_at, $3) WHERE project_id = $1 AND domain_id = $2"""
_SET_RATE: Final = """
    UPDATE domain SET rate_per_minute = $3 WHERE project_id = $1 AND name = $2"""
_COLUMNS: Final = """
    SELECT domain_id, project_id, name, created_at, verified_at, rate_per_minute FROM domain WHERE project_id = $1"""
_BY_NAME: Final = f"""{_COLUMNS} AND name = $2"""
_OF_PROJECT: Final = f"""{_COLUMNS} ORDER BY name"""
_INSERT_KEY: Final = """
    INSERT INTO dkim_key (dkim_key_id, project_id, domain_id, selector, algorithm,
                          private_key_sealed, public_record, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_KEYS: Final = """
    SELECT dkim_key_id, k.project_id, k.domain_id, selector, algorithm, private_key_sealed, public_record, k.created_at
      FROM dkim_key k JOIN domain d USING (domain_id)
     WHERE d.project_id = $1 AND d.name = $2 ORDER BY algorithm DESC, selector"""
# Given on somebody's word alone (never checked) it is used at once; else while its MX and its SPF record are seen.
_RETURN_PATH: Final = """
    SELECT return_path FROM domain d
     WHERE project_id = $1 AND name = $2 AND verified_at IS NOT NULL AND return_path <> ''
       AND (checked_at IS NULL
            OR (SELECT count(DISTINCT r.kind = ANY($3::text[])) FROM domain_record r
                 WHERE r.domain_id = d.domain_id AND r.project_id = d.project_id AND r.host = d.return_path
                   AND r.kind = ANY($3::text[] || $4::text) AND r.state = 'passed') = 2)"""
_RETURN_PATH_SPF: Final = (RecordKind.RETURN_PATH_SPF, RecordKind.SPF)  # The latter where it is the domain's own host.
# What the world's DNS would answer: there a record has no project. Only the verified owner's counts.
_RECORD: Final = """
    SELECT public_record /* tidy: project-scope public by nature, as in DNS */
      FROM dkim_key JOIN domain USING (domain_id)
     WHERE name = $1 AND selector = $2 AND verified_at IS NOT NULL"""


async def insert(tx: Tx, domain: Domain) -> None:
    """Store a new domain.

    Raises:
        ConflictError: the project has it already (`NAME_TAKEN`), or it is verified and another project's.
    """
    await tx.execute(
        _INSERT,
        domain.domain_id,
        domain.project_id,
        domain.name,
        domain.created_at,
        domain.verified_at,
        domain.rate_per_minute,
    )


async def verify(tx: Tx, project_id: UUID, domain_id: UUID, *, now: datetime) -> None:
    """Mark the domain verified. Safe twice.

    Raises:
        ConflictError: another project has proven it.
    """
    await tx.execute(_VERIFY, project_id, domain_id, now)


async def set_rate(tx: Tx, project_id: UUID, name: str, rate_per_minute: int | None) -> None:
    """Let so many mails a minute leave from the project's domain of that name; None takes the limit away."""
    await tx.execute(_SET_RATE, project_id, name, rate_per_minute)


async def by_name(tx: Tx, project_id: UUID, name: str) -> Domain | None:
    """Return the project's domain of that name (lower-case A-label), None if it has none."""
    row = await tx.fetch_row(_BY_NAME, project_id, name)
    return None if row is None else Domain(**row)


async def of_project(tx: Tx, project_id: UUID) -> Sequence[Domain]:
    """Return the project's domains by name."""
    return [Domain(**row) for row in await tx.fetch(_OF_PROJECT, project_id)]


async def insert_key(tx: Tx, key: DkimKey) -> None:
    """Store a signing key."""
    await tx.execute(
        _INSERT_KEY,
        key.dkim_key_id,
        key.project_id,
        key.domain_id,
        key.selector,
        key.algorithm,
        key.private_key_sealed,
        key.public_record,
        key.created_at,
    )


async def keys_of(tx: Tx, project_id: UUID, name: str) -> Sequence[DkimKey]:
    """Return the signing keys of the project's domain, RSA first; [] if it has no such domain."""
    return [DkimKey(**row) for row in await tx.fetch(_KEYS, project_id, name)]


async def published_record(tx: Tx, name: str, selector: str) -> str | None:
    """Return the TXT value that belongs at selector._domainkey.name, None if no verified domain has it."""
    row = await tx.fetch_row(_RECORD, name, selector)
    return None if row is None else str(row["public_record"])


async def return_path_of(tx: Tx, project_id: UUID, name: str) -> str:
    """Return the host of the return paths of the project's domain, "" if it has none that works."""
    row = await tx.fetch_row(_RETURN_PATH, project_id, name, _RETURN_PATH_SPF, RecordKind.RETURN_PATH)
    return "" if row is None else str(row["return_path"])
