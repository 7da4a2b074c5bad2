"""Sending domains. Their DKIM keys are in `store.dkim_keys`.

    verified_at   proven: somebody may send from it                 never taken back
    state         what the last check saw of its records            `policy.standing` decides
    stopped_at    it failed for too long; nothing leaves from it    until it passes again

Any project may claim a name, one may prove it: the database holds at most one verified row per name.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import MtaSts, RecordKind, RecordState, Stream
from outrider.policy.standing import Standing
from outrider.store.pool import Row, Tx


class Domain(msgspec.Struct, frozen=True):
    """A domain a project sends from. `verified_at` None: nothing may be sent from it yet."""

    domain_id: UUID
    project_id: UUID
    name: str  # Lower-case A-label.
    created_at: datetime
    verified_at: datetime | None = None  # Since when it is proven, by its records or on the operator's word.
    rate_per_minute: int | None = None  # How many mails may leave from it; None: no limit of its own.
    stream: Stream | None = None  # The only kind of mail it sends; None: both.
    state: RecordState = RecordState.UNVERIFIED  # What the last check saw of all the records it needs.
    checked_at: datetime | None = None  # None: nobody has looked yet.
    failing_since: datetime | None = None  # It had passed a check and has failed since then.
    stopped_at: datetime | None = None  # It failed for too long: nothing leaves from it.
    return_path: str = ""  # The host that its bounces come back to; "": none of its own.
    tracking_host: str = ""  # "": none.
    dkim_prefix: str = ""  # How its selectors begin; "": as usual.
    is_delegated: bool = False  # Its DKIM records are CNAMEs into the operator's zone.
    senders: str = "listed"  # "listed", or "any" address at it.
    passed_at: datetime | None = None  # When it first passed a check as a whole; None: it never has.
    mta_sts: MtaSts = MtaSts.OFF  # The policy for mail to its return path.
    bimi_logo: str = ""  # An https URL; "": none.
    bimi_certificate: str = ""  # An https URL of the mark's certificate; "": none.


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a domain while nobody has proven it."""

    stream: Stream | None
    return_path: str
    tracking_host: str


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a domain at any time: records that are optional."""

    mta_sts: MtaSts
    bimi_logo: str
    bimi_certificate: str


class Stopped(msgspec.Struct, frozen=True):
    """A domain that nothing leaves from."""

    project_id: UUID
    name: str
    stopped_at: datetime
    failing_since: datetime | None


NAME_TAKEN: Final = "domain_name_taken"  # The constraint.
_INSERT: Final = """
    INSERT INTO domain (domain_id, project_id, name, created_at, verified_at, rate_per_minute, stream, state,
                        return_path, tracking_host, dkim_prefix, is_delegated, senders, check_due_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""
_VERIFY: Final = """
    UPDATE domain SET verified_at = COALESCE(verified_at, $3) WHERE project_id = $1 AND domain_id = $2"""
_SET_RATE: Final = """
    UPDATE domain SET rate_per_minute = $3 WHERE project_id = $1 AND name = $2"""
_SET_TERMS: Final = """
    UPDATE domain SET stream = $3, return_path = $4, tracking_host = $5, check_due_at = $6
     WHERE project_id = $1 AND domain_id = $2"""
_SET_OPTIONS: Final = """
    UPDATE domain SET mta_sts = $3, bimi_logo = $4, bimi_certificate = $5, check_due_at = $6
     WHERE project_id = $1 AND domain_id = $2"""
# What has been proven stays: mail that left says its name. Giving it up is another matter (`release`).
_REMOVE: Final = """
    DELETE FROM domain WHERE project_id = $1 AND domain_id = $2 AND verified_at IS NULL"""
_RELEASE: Final = """
    DELETE FROM domain WHERE project_id = $1 AND domain_id = $2"""
_STOP: Final = """
    UPDATE domain SET stopped_at = $3, check_due_at = LEAST(check_due_at, $4)
     WHERE project_id = $1 AND domain_id = $2"""
_COLUMNS: Final = """
    SELECT domain_id, project_id, name, created_at, verified_at, rate_per_minute, stream, state, checked_at,
           failing_since, stopped_at, return_path, tracking_host, dkim_prefix, is_delegated, senders,
           passed_at, mta_sts, bimi_logo, bimi_certificate
      FROM domain WHERE project_id = $1"""
_BY_NAME: Final = f"""{_COLUMNS} AND name = $2"""
_LOCK: Final = f"""{_COLUMNS} AND domain_id = $2 FOR NO KEY UPDATE"""
# Waits for those who add a sender or a key, and lets none be added: their foreign keys lock the row, too.
_LOCK_WHOLE: Final = f"""{_COLUMNS} AND domain_id = $2 FOR UPDATE"""
_OF_PROJECT: Final = f"""{_COLUMNS} AND name > $2 ORDER BY name LIMIT $3"""
# SKIP LOCKED: of several workers each takes others. Those that have waited longest come first.
_TAKE_DUE: Final = """
    UPDATE domain SET check_due_at = $2
     WHERE domain_id IN (SELECT domain_id FROM domain WHERE project_id IS NOT NULL AND check_due_at <= $1
                          ORDER BY check_due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
 RETURNING domain_id, project_id, name, created_at, verified_at, rate_per_minute, stream, state, checked_at,
           failing_since, stopped_at, return_path, tracking_host, dkim_prefix, is_delegated, senders,
           passed_at, mta_sts, bimi_logo, bimi_certificate"""
_STAND: Final = """
    UPDATE domain SET state = $3, checked_at = $4, failing_since = $5, stopped_at = $6, check_due_at = $7,
           verified_at = COALESCE(verified_at, CASE WHEN $8 THEN $4::timestamptz END), passed_at = $9
     WHERE project_id = $1 AND domain_id = $2"""
_STOPPED: Final = """
    SELECT project_id, name, stopped_at, failing_since FROM domain WHERE stopped_at IS NOT NULL"""
# Given on somebody's word alone (never checked) it is used at once; else while its MX record is seen, and the SPF
# record that is wanted there: none where nobody knows the addresses that mail leaves from.
_RETURN_PATH: Final = """
    SELECT return_path FROM domain d
     WHERE project_id = $1 AND name = $2 AND verified_at IS NOT NULL AND return_path <> ''
       AND (checked_at IS NULL
            OR (SELECT bool_and(r.state = 'passed') AND bool_or(r.kind = $3) FROM domain_record r
                 WHERE r.domain_id = d.domain_id AND r.project_id = d.project_id AND r.host = d.return_path
                   AND r.kind = ANY($4::text[])))"""
_RETURN_PATHS: Final = """
    SELECT project_id, return_path FROM domain WHERE verified_at IS NOT NULL AND return_path <> ''"""
# Of several that name one return path, the domain that was proven first speaks for it.
_MTA_STS: Final = """
    SELECT DISTINCT ON (return_path) project_id, return_path, mta_sts FROM domain
     WHERE mta_sts <> 'off' AND return_path <> '' AND verified_at IS NOT NULL
     ORDER BY return_path, verified_at, domain_id"""
_RETURN_PATH_KINDS: Final = (RecordKind.RETURN_PATH, RecordKind.RETURN_PATH_SPF, RecordKind.SPF)


async def insert(tx: Tx, domain: Domain, *, check_due_at: datetime | None = None) -> None:
    """Store a new domain; nobody has looked at its records yet. It is due to be looked at then, None: at once.

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
        domain.stream,
        domain.state,
        domain.return_path,
        domain.tracking_host,
        domain.dkim_prefix,
        domain.is_delegated,
        domain.senders,
        check_due_at or domain.created_at,
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


async def set_terms(tx: Tx, project_id: UUID, domain_id: UUID, terms: Terms, *, check_due_at: datetime) -> None:
    """Change what the domain is for and where its hosts are."""
    await tx.execute(
        _SET_TERMS, project_id, domain_id, terms.stream, terms.return_path, terms.tracking_host, check_due_at
    )


async def set_options(tx: Tx, project_id: UUID, domain_id: UUID, options: Options, *, check_due_at: datetime) -> None:
    """Change which optional records the domain has. It is due to be looked at then."""
    await tx.execute(
        _SET_OPTIONS,
        project_id,
        domain_id,
        options.mta_sts,
        options.bimi_logo,
        options.bimi_certificate,
        check_due_at,
    )


async def stop(
    tx: Tx, project_id: UUID, domain_id: UUID, stopped_at: datetime | None, *, check_due_at: datetime
) -> None:
    """Let nothing leave from the domain from then on; None: go on. The next look, due then, may end it."""
    await tx.execute(_STOP, project_id, domain_id, stopped_at, check_due_at)


async def release(tx: Tx, project_id: UUID, domain_id: UUID) -> None:
    """Delete a domain, proven or not, with what was seen of it.

    The caller holds it whole (`lock_whole`), and has deleted its keys and senders.
    """
    await tx.execute(_RELEASE, project_id, domain_id)


async def remove(tx: Tx, project_id: UUID, domain_id: UUID) -> bool:
    """Delete a domain that was never proven, with what was seen of it; False if it was.

    The caller holds it, and has deleted its keys and senders.
    """
    return await tx.execute(_REMOVE, project_id, domain_id) == 1


async def by_name(tx: Tx, project_id: UUID, name: str) -> Domain | None:
    """Return the project's domain of that name (lower-case A-label), None if it has none."""
    row = await tx.fetch_row(_BY_NAME, project_id, name)
    return None if row is None else _domain(row)


async def lock(tx: Tx, project_id: UUID, domain_id: UUID) -> Domain | None:
    """Return the domain and let nobody else change it before the transaction ends; None if it is gone."""
    row = await tx.fetch_row(_LOCK, project_id, domain_id)
    return None if row is None else _domain(row)


async def lock_whole(tx: Tx, project_id: UUID, domain_id: UUID) -> Domain | None:
    """Like `lock`, and let nobody add a key or a sender to it either."""
    row = await tx.fetch_row(_LOCK_WHOLE, project_id, domain_id)
    return None if row is None else _domain(row)


async def of_project(tx: Tx, project_id: UUID, *, after: str = "", count_max: int | None = None) -> Sequence[Domain]:
    """Return the project's domains by name, behind the name `after`; all, or so many."""
    return [_domain(row) for row in await tx.fetch(_OF_PROJECT, project_id, after, count_max)]


async def take_due(tx: Tx, *, now: datetime, taken_until: datetime, count_max: int) -> Sequence[Domain]:
    """Return domains of all projects whose check is due, longest first; nobody else is given them until then."""
    return [_domain(row) for row in await tx.fetch(_TAKE_DUE, now, taken_until, count_max)]


async def stand(tx: Tx, project_id: UUID, domain_id: UUID, standing: Standing, *, check_due_at: datetime) -> None:
    """Write what a check found, and when the next is due. Who is proven stays so.

    Raises:
        ConflictError: it is proven now, and another project has proven it before.
    """
    await tx.execute(
        _STAND,
        project_id,
        domain_id,
        standing.state,
        standing.checked_at,
        standing.failing_since,
        standing.stopped_at,
        check_due_at,
        standing.is_proven,
        standing.passed_at,
    )


async def stopped(tx: Tx) -> Sequence[Stopped]:
    """Return every project's domains that nothing leaves from."""
    return [Stopped(**row) for row in await tx.fetch(_STOPPED)]


async def return_path_of(tx: Tx, project_id: UUID, name: str) -> str:
    """Return the host of the return paths of the project's domain, "" if it has none that works."""
    row = await tx.fetch_row(_RETURN_PATH, project_id, name, RecordKind.RETURN_PATH, _RETURN_PATH_KINDS)
    return "" if row is None else str(row["return_path"])


async def mta_sts_modes(tx: Tx) -> Mapping[str, MtaSts]:
    """Return what the policy for mail to each return path asks, of all projects; without those that have none."""
    return {row["return_path"]: MtaSts(row["mta_sts"]) for row in await tx.fetch(_MTA_STS)}


async def return_paths(tx: Tx) -> frozenset[str]:
    """Return the return paths of every verified domain, whether they are used now or not: mail may be under way."""
    return frozenset(row["return_path"] for row in await tx.fetch(_RETURN_PATHS))


def _domain(row: Row) -> Domain:
    values = dict(row)
    stream = values.pop("stream")
    words = {"state": RecordState(values["state"]), "mta_sts": MtaSts(values["mta_sts"])}
    return Domain(**values | words, stream=None if stream is None else Stream(stream))
