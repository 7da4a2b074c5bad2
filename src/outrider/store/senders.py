"""Senders: the From addresses a project may use.

    on a domain of the project's   `domain_id`; whether mail may be sent is asked of the domain too
    a single mailbox               no `domain_id`; `proven_at` once the link that was mailed to it has been confirmed

Of a link only the hash is kept (`proof_hash`), until it is used, replaced or withdrawn. Addresses are told apart by
`address_key`, which ignores case. A project's first sender on a domain is its default.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import SenderRule, Stream
from outrider.store.pool import Tx


class Sender(msgspec.Struct, frozen=True):
    """One From address. `is_domain_verified` and `is_domain_stopped` come from its domain; a mailbox has neither."""

    sender_id: UUID
    project_id: UUID
    domain_id: UUID | None  # None: a single mailbox, on a domain that is not the project's.
    domain: str  # Of the address.
    address: str
    name: str  # The display name used when a submission gives none.
    is_default: bool
    is_enabled: bool
    is_domain_verified: bool
    is_domain_stopped: bool
    proven_at: datetime | None  # Of a mailbox: its owner said yes.
    proof_expires_at: datetime | None  # A link is on its way.
    created_at: datetime
    updated_at: datetime

    @property
    def may_send(self) -> bool:
        """Its domain signs, or its mailbox is proven (and then its From is re-written)."""
        if self.domain_id is None:
            return self.is_enabled and self.proven_at is not None
        return self.is_enabled and self.is_domain_verified and not self.is_domain_stopped


class SendingDomain(msgspec.Struct, frozen=True):
    """What a domain of the project's says of senders."""

    domain_id: UUID
    name: str
    rule: SenderRule
    is_verified: bool


class Proof(msgspec.Struct, frozen=True):
    """What a link is about, for whoever opens it."""

    sender_id: UUID
    project_id: UUID
    project: str  # Its name.
    address: str


BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
_INSERT: Final = """
    INSERT INTO sender (sender_id, project_id, domain_id, address, address_key, name,
                        is_default, is_enabled, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6,
            $3::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM sender WHERE project_id = $2 AND is_default),
            true, $7, $7)"""
_COLUMNS: Final = """
    SELECT sender_id, s.project_id, s.domain_id, COALESCE(d.name, substring(address FROM '[^@]*$')) AS domain, address,
           s.name, is_default, is_enabled, COALESCE(d.verified_at IS NOT NULL, false) AS is_domain_verified,
           COALESCE(d.stopped_at IS NOT NULL, false) AS is_domain_stopped, proven_at, proof_expires_at,
           s.created_at, s.updated_at
      FROM sender s LEFT JOIN domain d USING (domain_id)"""
_BY_KEY: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 AND address_key = $2"""
_OF_PROJECT: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 AND (s.created_at, sender_id) > ($2, $3) ORDER BY s.created_at, sender_id LIMIT $4"""
_OF_DOMAIN: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 AND s.domain_id = $2 LIMIT $3"""
_SPOKESMAN: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 AND is_enabled AND d.verified_at IS NOT NULL AND d.stopped_at IS NULL
       AND (d.stream IS NULL OR d.stream = $2::stream)
     ORDER BY is_default DESC, s.created_at, sender_id LIMIT 1"""
_DOMAIN: Final = """
    SELECT domain_id, name, senders AS rule, verified_at IS NOT NULL AS is_verified
      FROM domain WHERE project_id = $1 AND name = $2"""
_SET_RULE: Final = """
    UPDATE domain SET senders = $3 WHERE project_id = $1 AND name = $2"""
_ADOPT: Final = """
    UPDATE sender SET domain_id = $2, proof_hash = NULL, proof_expires_at = NULL
     WHERE project_id = $1 AND domain_id IS NULL AND substring(address FROM '[^@]*$') = $3"""
_SET_NAME: Final = """
    UPDATE sender SET name = $3, updated_at = $4 WHERE project_id = $1 AND sender_id = $2"""
_SET_ENABLED: Final = """
    UPDATE sender SET is_enabled = $3, updated_at = $4
     WHERE project_id = $1 AND sender_id = $2 AND is_enabled <> $3"""
_DROP_DEFAULT: Final = """
    UPDATE sender SET is_default = false, updated_at = $3
     WHERE project_id = $1 AND is_default AND sender_id <> $2"""
_SET_DEFAULT: Final = """
    UPDATE sender SET is_default = true, updated_at = $3 WHERE project_id = $1 AND sender_id = $2 AND NOT is_default"""
_REMOVE: Final = """
    DELETE FROM sender WHERE project_id = $1 AND sender_id = $2"""
_OFFER: Final = """
    UPDATE sender SET proof_hash = $3, proof_expires_at = $4 WHERE project_id = $1 AND sender_id = $2"""
_WITHDRAW: Final = """
    UPDATE sender SET proof_hash = NULL, proof_expires_at = NULL
     WHERE project_id = $1 AND sender_id = $2 AND proof_hash = $3"""
_OFFERED: Final = """
    SELECT count(*) AS n FROM sender WHERE project_id = $1 AND proof_expires_at > $2"""
# Who has the link is no project: the mailbox's owner, and the link is all they need to show.
_BY_PROOF: Final = """
    SELECT sender_id, s.project_id, p.name AS project, address
      FROM sender s JOIN project p USING (project_id)
     WHERE proof_hash = $1 AND proof_expires_at > $2"""
_PROVE: Final = """
    UPDATE sender SET proven_at = $2, updated_at = $2, proof_hash = NULL, proof_expires_at = NULL
     WHERE proof_hash = $1 AND proof_expires_at > $2
 RETURNING sender_id, project_id, '' AS project, address"""
_REMOVE_OF_DOMAIN: Final = """
    DELETE FROM sender WHERE project_id = $1 AND domain_id = $2"""


async def insert(
    tx: Tx,
    *,
    sender_id: UUID,
    project_id: UUID,
    domain_id: UUID | None,
    address: str,
    address_key: str,
    name: str,
    now: datetime,
) -> None:
    """Store a new sender; a project's first on a domain becomes its default.

    Args:
        domain_id: None for a single mailbox.
        address_key: what tells addresses apart, `mail.address.Address.key`.

    Raises:
        ConflictError: the project has it already.
    """
    await tx.execute(_INSERT, sender_id, project_id, domain_id, address, address_key, name, now)


async def by_key(tx: Tx, project_id: UUID, address_key: str) -> Sender | None:
    """Return the project's sender with that address key, None if it has none."""
    row = await tx.fetch_row(_BY_KEY, project_id, address_key)
    return None if row is None else Sender(**row)


async def of_project(
    tx: Tx, project_id: UUID, *, after: tuple[datetime, UUID] = BEGINNING, count_max: int | None = None
) -> Sequence[Sender]:
    """Return the project's senders, oldest first, behind that of (created_at, id) `after`; all, or so many."""
    return [Sender(**row) for row in await tx.fetch(_OF_PROJECT, project_id, *after, count_max)]


async def of_domain(tx: Tx, project_id: UUID, domain_id: UUID, *, count_max: int) -> Sequence[Sender]:
    """Return at most so many of the domain's senders, in no order."""
    return [Sender(**row) for row in await tx.fetch(_OF_DOMAIN, project_id, domain_id, count_max)]


async def spokesman(tx: Tx, project_id: UUID, stream: Stream) -> Sender | None:
    """Return who speaks for the project in that stream: its default if that may send, else its oldest that may."""
    row = await tx.fetch_row(_SPOKESMAN, project_id, stream)
    return None if row is None else Sender(**row)


async def sending_domain(tx: Tx, project_id: UUID, name: str) -> SendingDomain | None:
    """Return what the project's domain of that name (lower-case A-label) says of senders, None if it has none."""
    row = await tx.fetch_row(_DOMAIN, project_id, name)
    return None if row is None else SendingDomain(**dict(row) | {"rule": SenderRule(row["rule"])})


async def set_rule(tx: Tx, project_id: UUID, name: str, rule: SenderRule) -> bool:
    """Say which addresses of the project's domain may send. Returns whether it has such a domain."""
    return await tx.execute(_SET_RULE, project_id, name, rule) > 0


async def adopt(tx: Tx, project_id: UUID, domain_id: UUID, name: str) -> None:
    """Make the project's single mailboxes on a domain that has become its own that domain's senders."""
    await tx.execute(_ADOPT, project_id, domain_id, name)


async def set_name(tx: Tx, project_id: UUID, sender_id: UUID, name: str, *, now: datetime) -> None:
    """Give the sender another display name."""
    await tx.execute(_SET_NAME, project_id, sender_id, name, now)


async def set_enabled(tx: Tx, project_id: UUID, sender_id: UUID, *, is_enabled: bool, now: datetime) -> None:
    """Let the sender send, or not. Safe twice."""
    await tx.execute(_SET_ENABLED, project_id, sender_id, is_enabled, now)


async def set_default(tx: Tx, project_id: UUID, sender_id: UUID, *, now: datetime) -> None:
    """Make the sender the project's default instead of another. Take the project's lock before. Safe twice."""
    await tx.execute(_DROP_DEFAULT, project_id, sender_id, now)
    await tx.execute(_SET_DEFAULT, project_id, sender_id, now)


async def remove(tx: Tx, project_id: UUID, sender_id: UUID) -> None:
    """Forget the sender, and a link that is on its way to it. Mail that was accepted still goes out."""
    await tx.execute(_REMOVE, project_id, sender_id)


async def offer(tx: Tx, project_id: UUID, sender_id: UUID, proof_hash: bytes, *, until: datetime) -> None:
    """Let the link with that hash prove the mailbox, and no other link, until `until`."""
    await tx.execute(_OFFER, project_id, sender_id, proof_hash, until)


async def withdraw(tx: Tx, project_id: UUID, sender_id: UUID, proof_hash: bytes) -> None:
    """Take back the link with that hash; one that has replaced it meanwhile stays good."""
    await tx.execute(_WITHDRAW, project_id, sender_id, proof_hash)


async def offered_count(tx: Tx, project_id: UUID, now: datetime) -> int:
    """Return how many links of the project are on their way."""
    row = await tx.fetch_row(_OFFERED, project_id, now)
    assert row is not None
    return int(row["n"])


async def by_proof(tx: Tx, proof_hash: bytes, now: datetime) -> Proof | None:
    """Return what the link with that hash is about; None: unknown, used, replaced or expired."""
    row = await tx.fetch_row(_BY_PROOF, proof_hash, now)
    return None if row is None else Proof(**row)


async def prove(tx: Tx, proof_hash: bytes, *, now: datetime) -> Proof | None:
    """Use the link with that hash up: its mailbox is proven. None as in `by_proof`; of two at once one gets None."""
    row = await tx.fetch_row(_PROVE, proof_hash, now)
    return None if row is None else Proof(**row)


async def remove_of_domain(tx: Tx, project_id: UUID, domain_id: UUID) -> None:
    """Delete the senders of a domain that goes."""
    await tx.execute(_REMOVE_OF_DOMAIN, project_id, domain_id)
