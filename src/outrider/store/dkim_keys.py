"""The DKIM keys of sending domains, with their states; `services.dkim_keys` has the table of moves.

Private keys are sealed (`store.vault`) before they come here and never leave in the clear; a retired key has none any
more. Who changes the states of a domain's keys holds the domain (`hold`), so that two never judge from the same rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import KeyState
from outrider.store.pool import Row, Tx
from outrider.store.vault import Sealed


class DkimKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a domain."""

    dkim_key_id: UUID
    project_id: UUID
    domain_id: UUID
    selector: str
    algorithm: str  # "rsa-sha256" or "ed25519-sha256".
    private_key_sealed: bytes  # Empty: erased, it is retired.
    public_record: str  # The TXT value at selector._domainkey.domain.
    created_at: datetime
    state: KeyState = KeyState.WAITING
    is_own: bool = False  # Brought by the customer, not made by us.
    is_delegated: bool = False  # Its TXT record is in the operator's zone; the customer publishes a CNAME to it.
    seen_at: datetime | None = None  # Since when its record has been seen in DNS; None: never, or it is gone.
    missing_at: datetime | None = None  # Since when DNS says that there is none; None: not asked yet, or it is there.
    signing_at: datetime | None = None  # When it began to sign, the last time.
    retiring_at: datetime | None = None  # When it stopped signing.
    retired_at: datetime | None = None

    @property
    def context(self) -> str:
        """The place its private half is sealed for (`store.vault`)."""
        return context_of(self.domain_id, self.selector)


class KeyOwner(msgspec.Struct, frozen=True, kw_only=True):
    """What of a domain matters to its keys."""

    domain_id: UUID
    project_id: UUID
    name: str
    dkim_prefix: str  # What the selectors of its keys begin with, "" for ours.
    is_delegated: bool  # New keys of it are published in the operator's zone.
    is_verified: bool


class InZone(msgspec.Struct, frozen=True):
    """A key in the operator's zone."""

    project_id: UUID
    name: str  # Of its domain.
    domain_id: UUID
    selector: str
    public_record: str


class KeyRef(msgspec.Struct, frozen=True):
    """A domain by its project and name."""

    project_id: UUID
    name: str


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS said of a key's record."""

    selector: str
    record: str  # The text that was looked for.
    is_published: bool


SELECTOR_TAKEN: Final = "dkim_selector_taken"  # The constraint.
_OWNER: Final = """
    SELECT domain_id, project_id, name, dkim_prefix, is_delegated, verified_at IS NOT NULL AS is_verified
      FROM domain WHERE project_id = $1 AND name = $2"""
# Not FOR UPDATE: a sender may be added meanwhile, whose foreign key locks the row too.
_HOLD: Final = f"""{_OWNER} FOR NO KEY UPDATE"""
_SET_PREFIX: Final = """
    UPDATE domain SET dkim_prefix = $3 WHERE project_id = $1 AND domain_id = $2"""
_SET_DELEGATED: Final = """
    UPDATE domain SET is_delegated = $3 WHERE project_id = $1 AND domain_id = $2"""
_INSERT: Final = """
    INSERT INTO dkim_key (dkim_key_id, project_id, domain_id, selector, algorithm, private_key_sealed, public_record,
                          created_at, state, is_own, is_delegated, seen_at, missing_at, signing_at, retiring_at,
                          retired_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"""
_COLUMNS: Final = """
    SELECT dkim_key_id, k.project_id, k.domain_id, selector, algorithm, private_key_sealed, public_record, k.created_at,
           k.state, is_own, k.is_delegated, seen_at, missing_at, signing_at, retiring_at, retired_at
      FROM dkim_key k JOIN domain d USING (domain_id)"""
_OF_DOMAIN: Final = f"""{_COLUMNS}
     WHERE d.project_id = $1 AND d.name = $2 ORDER BY algorithm DESC, k.created_at, selector"""
_SIGNING: Final = f"""{_COLUMNS}
     WHERE d.project_id = $1 AND d.name = $2 AND k.state = 'signing' ORDER BY algorithm DESC, selector"""
_SAW: Final = """
    UPDATE dkim_key k
       SET seen_at = CASE WHEN $4 THEN LEAST(k.seen_at, $5::timestamptz) END,
           missing_at = CASE WHEN NOT $4 THEN LEAST(k.missing_at, $5::timestamptz) END
     WHERE project_id = $1 AND domain_id = $2 AND selector = $3 AND public_record = $6"""
_MOVE: Final = """
    UPDATE dkim_key
       SET state = $3,
           signing_at = CASE WHEN $3 = 'signing' THEN $4 ELSE signing_at END,
           retiring_at = CASE WHEN $3 = 'retiring' THEN $4 WHEN $3 = 'retired' THEN retiring_at END,
           retired_at = CASE WHEN $3 = 'retired' THEN $4::timestamptz END,
           private_key_sealed = CASE WHEN $3 = 'retired' THEN ''::bytea ELSE private_key_sealed END
     WHERE project_id = $1 AND dkim_key_id = $2"""
_TRUST: Final = """
    UPDATE dkim_key SET state = 'signing', signing_at = $3
     WHERE project_id = $1 AND domain_id = $2 AND state = 'waiting'
       AND NOT EXISTS (SELECT 1 FROM dkim_key o
                        WHERE o.domain_id = dkim_key.domain_id AND o.algorithm = dkim_key.algorithm
                          AND o.state = 'signing')"""
_REMOVE: Final = """
    DELETE FROM dkim_key WHERE project_id = $1 AND dkim_key_id = $2"""
_REMOVE_ALL: Final = """
    DELETE FROM dkim_key WHERE project_id = $1 AND domain_id = $2"""
# What the world's DNS would answer: there a record has no project. Only the verified owner's counts.
_RECORD: Final = """
    SELECT public_record /* tidy: project-scope public by nature, as in DNS */
      FROM dkim_key JOIN domain USING (domain_id)
     WHERE name = $1 AND selector = $2 AND verified_at IS NOT NULL"""
_ZONE: Final = """
    SELECT k.project_id, d.name, k.domain_id, selector, public_record
      FROM dkim_key k JOIN domain d USING (domain_id)
     WHERE k.is_delegated AND k.state <> 'retired' ORDER BY d.name, k.domain_id, selector"""
# The worker looks after every project's.
_UNFINISHED: Final = """
    SELECT DISTINCT k.project_id, d.name
      FROM dkim_key k JOIN domain d USING (domain_id)
     WHERE (k.state = 'retiring' AND k.retiring_at <= $1) OR (k.state = 'waiting' AND k.seen_at <= $2)
     LIMIT $3"""
_OLD: Final = """
    SELECT k.project_id, d.name
      FROM dkim_key k JOIN domain d USING (domain_id)
     WHERE d.is_delegated = $1 AND d.verified_at IS NOT NULL
     GROUP BY k.project_id, d.name, d.is_delegated
    HAVING NOT bool_or(k.state = 'waiting') AND NOT bool_or(k.is_own AND k.state = 'signing')
       AND NOT (d.is_delegated AND bool_or(k.state = 'retiring'))  -- It may have no name free.
       AND max(k.signing_at) FILTER (WHERE k.state = 'signing') <= $2
     LIMIT $3"""
_FIRST: Final = str(UUID(int=0))
_SEALED_OTHERWISE: Final = """
    SELECT dkim_key_id, project_id, domain_id, selector, private_key_sealed
      FROM dkim_key
     WHERE private_key_sealed <> '' AND substr(private_key_sealed, 1, length($1::bytea)) <> $1
       AND dkim_key_id > $2::text::uuid
     ORDER BY dkim_key_id LIMIT $3 FOR UPDATE"""
_RESEAL: Final = """
    UPDATE dkim_key SET private_key_sealed = $3 WHERE project_id = $1 AND dkim_key_id = $2::text::uuid"""
_COUNT_SEALED: Final = """
    SELECT project_id, substr(private_key_sealed, 1, $1) AS mark, count(*) AS count
      FROM dkim_key WHERE private_key_sealed <> '' GROUP BY 1, 2"""


async def owner_of(tx: Tx, project_id: UUID, name: str) -> KeyOwner | None:
    """Return the project's domain of that name (lower-case A-label), None if it has none."""
    row = await tx.fetch_row(_OWNER, project_id, name)
    return None if row is None else KeyOwner(**row)


async def hold(tx: Tx, project_id: UUID, name: str) -> KeyOwner | None:
    """Like `owner_of`, and let nobody else hold the domain until the transaction ends."""
    row = await tx.fetch_row(_HOLD, project_id, name)
    return None if row is None else KeyOwner(**row)


async def set_prefix(tx: Tx, project_id: UUID, domain_id: UUID, prefix: str) -> None:
    """Let the selectors of the domain's next keys begin with `prefix`, "" for ours."""
    await tx.execute(_SET_PREFIX, project_id, domain_id, prefix)


async def set_delegated(tx: Tx, project_id: UUID, domain_id: UUID, *, is_delegated: bool) -> None:
    """Say where the records of the domain's next keys are: in the operator's zone, or in its own."""
    await tx.execute(_SET_DELEGATED, project_id, domain_id, is_delegated)


async def insert(tx: Tx, key: DkimKey) -> None:
    """Store a key. Raises ConflictError: the domain has that selector already (`SELECTOR_TAKEN`)."""
    await tx.execute(_INSERT, *msgspec.structs.astuple(key))


async def of_domain(tx: Tx, project_id: UUID, name: str) -> Sequence[DkimKey]:
    """Return all keys of the project's domain, RSA first, then the oldest; [] if it has no such domain."""
    return [_made(row) for row in await tx.fetch(_OF_DOMAIN, project_id, name)]


async def signing(tx: Tx, project_id: UUID, name: str) -> Sequence[DkimKey]:
    """Return those that sign, RSA first; [] if the project has no such domain."""
    return [_made(row) for row in await tx.fetch(_SIGNING, project_id, name)]


async def saw(tx: Tx, project_id: UUID, domain_id: UUID, sight: Sight, *, now: datetime) -> None:
    """Write down what DNS said of a key's record. The instant of a first sight, or first miss, stays. Safe twice.

    Nothing is written where another key has that selector by now: nobody has looked for its record.
    """
    await tx.execute(_SAW, project_id, domain_id, sight.selector, sight.is_published, now, sight.record)


async def move(tx: Tx, project_id: UUID, dkim_key_id: UUID, state: KeyState, *, now: datetime) -> None:
    """Put a key into another state. One that is retired loses its private half for ever."""
    await tx.execute(_MOVE, project_id, dkim_key_id, state, now)


async def trust(tx: Tx, project_id: UUID, domain_id: UUID, *, now: datetime) -> None:
    """Let the domain's first keys sign on somebody's word, where none of the algorithm signs yet. Safe twice."""
    await tx.execute(_TRUST, project_id, domain_id, now)


async def remove(tx: Tx, project_id: UUID, dkim_key_id: UUID) -> None:
    """Forget a key."""
    await tx.execute(_REMOVE, project_id, dkim_key_id)


async def remove_all(tx: Tx, project_id: UUID, domain_id: UUID) -> None:
    """Forget all keys of a domain that goes."""
    await tx.execute(_REMOVE_ALL, project_id, domain_id)


async def published_record(tx: Tx, name: str, selector: str) -> str | None:
    """Return the TXT value that belongs at selector._domainkey.name, None if no verified domain has it."""
    row = await tx.fetch_row(_RECORD, name, selector)
    return None if row is None else str(row["public_record"])


async def in_zone(tx: Tx) -> Sequence[InZone]:
    """Return the keys of all projects whose records are in the operator's zone, by domain and selector."""
    return [InZone(**row) for row in await tx.fetch(_ZONE)]


async def unfinished(tx: Tx, *, retiring_before: datetime, seen_before: datetime, count_max: int) -> Sequence[KeyRef]:
    """Return domains whose keys have waited long enough: to be retired, or to sign after they were seen."""
    return [KeyRef(**row) for row in await tx.fetch(_UNFINISHED, retiring_before, seen_before, count_max)]


async def due(tx: Tx, *, is_delegated: bool, signing_before: datetime, count_max: int) -> Sequence[KeyRef]:
    """Return verified domains that have signed with the same keys of ours since before then, and have none waiting."""
    return [KeyRef(**row) for row in await tx.fetch(_OLD, is_delegated, signing_before, count_max)]


async def sealed_otherwise(tx: Tx, mark: bytes, *, after: str, count_max: int) -> Sequence[Sealed]:
    """Return, and lock, the next keys by name whose sealed form does not begin with `mark`; [] when none are left."""
    return [
        Sealed(
            row["project_id"],
            str(row["dkim_key_id"]),
            context_of(row["domain_id"], row["selector"]),
            row["private_key_sealed"],
        )
        for row in await tx.fetch(_SEALED_OTHERWISE, mark, after or _FIRST, count_max)
    ]


async def reseal(tx: Tx, project_id: UUID, name: str, octets: bytes) -> None:
    """Store the same private key sealed anew."""
    await tx.execute(_RESEAL, project_id, name, octets)


async def count_sealed(tx: Tx, mark_bytes: int) -> Mapping[bytes, int]:
    """Return how many keys, of all projects, are sealed under each mark: the first `mark_bytes` octets."""
    counts: Counter[bytes] = Counter()
    for row in await tx.fetch(_COUNT_SEALED, mark_bytes):
        counts[row["mark"]] += row["count"]
    return counts


def context_of(domain_id: UUID, selector: str) -> str:
    """Return the place that the private half of this key is sealed for (`store.vault`)."""
    return f"dkim:{domain_id}:{selector}"


def _made(row: Row) -> DkimKey:
    return DkimKey(**dict(row) | {"state": KeyState(row["state"])})
