"""Suppressions: addresses that get no mail, of a project or of all, and the evidence that counts towards one.

    scope   all      everything the project sends
            stream   the mail of one stream (subject: its name)
            domain   what comes from one sending domain (subject: the domain)
            list     the mail of one list (subject: its name)

Of scope `stream`, `excepted` names lists whose mail comes all the same: a reader left everything and then chose them.
Who leaves everything again leaves them too (`put`). A complaint takes the place of an unsubscription, never the other
way round, so that nothing which a reader takes back (`take_back`) takes a complaint back.

One truth for every face: whoever asks goes through `among`. An address is named by `mail.address.Address.key`. Rows of
`EVERYBODY` hold for all projects; only an operator writes them. One that is removed stays on record with who wanted it
gone and why (`remove`). What ran out (`expires_at`) counts for nobody and is swept by `sweep`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream, SuppressionOrigin, SuppressionScope
from outrider.mail import address
from outrider.store.pool import Tx, like_literal
from outrider.store.queue import Claim

EVERYBODY: Final = UUID(int=0)


class Asked(msgspec.Struct, frozen=True):
    """An address that is about to get mail."""

    project_id: UUID
    address_key: str
    stream: Stream
    sender_domain: str
    list_name: str = ""  # "": of no list.


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """An address that gets no mail."""

    project_id: UUID
    address_key: str
    scope: SuppressionScope
    subject: str = ""
    reason: str  # A `policy.reason.Reason`.
    origin: SuppressionOrigin
    rule: str = ""
    rules: str = ""  # Version of the rules that decided.
    evidence: str = ""  # The reply or report, for people.
    recipient_id: UUID | None = None  # Whose delivery it came from.
    created_at: datetime
    expires_at: datetime | None = None  # None: until somebody removes it.
    excepted: tuple[str, ...] = ()  # Of scope STREAM: lists whose mail comes all the same.

    def covers(self, asked: Asked) -> bool:
        """Whether it is about that mail."""
        match self.scope:
            case SuppressionScope.ALL:
                return True
            case SuppressionScope.STREAM:
                return self.subject == asked.stream and asked.list_name not in self.excepted
            case SuppressionScope.DOMAIN:
                return self.subject == asked.sender_domain
            case SuppressionScope.LIST:
                return self.subject == asked.list_name != ""


class Past(msgspec.Struct, frozen=True):
    """A suppression that was removed."""

    suppression: Suppression
    removed_at: datetime
    removed_why: str


class Evidence(msgspec.Struct, frozen=True):
    """Something that counts towards a suppression and does not make one alone."""

    project_id: UUID
    address_key: str
    reason: str
    at: datetime
    message_id: UUID


class Place(msgspec.Struct, frozen=True):
    """Where a page of a list ended."""

    created_at: datetime
    address_key: str
    scope: str = "~"  # Behind all of them.
    subject: str = ""


_BEGINNING: Final = Place(datetime(1, 1, 1, tzinfo=UTC), "")
PUT_FIELDS: Final = tuple(field for field in Suppression.__struct_fields__ if field != "excepted")  # And that, as JSON.
_SELECT: Final = """
    SELECT project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
           expires_at, excepted
      FROM suppression"""
# IS TRUE keeps the index by project out of the plan: one made while the table was empty would read all of a project's
# entries for each mail when there are many (measured 2026-11: 15 ms with 300,000, 0.2 ms so; see the test of plans).
_AMONG: Final = f"""{_SELECT}
     WHERE address_key = ANY($1) AND (project_id = ANY($2)) IS TRUE AND (expires_at IS NULL OR expires_at > $3)"""
_OF_ADDRESSES: Final = f"""{_AMONG}
     ORDER BY created_at"""
# The list is the message's, which is read for nobody but who has an entry of a list, or one with lists excepted.
_AMONG_CLAIMS: Final = """
    SELECT asked.recipient_id, s.reason
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::uuid[])
             AS asked(recipient_id, project_id, address_key, lane_id, message_id)
      JOIN suppression s ON s.address_key = asked.address_key AND (s.project_id IN (asked.project_id, $6)) IS TRUE
      JOIN lane l USING (lane_id)
     WHERE (s.expires_at IS NULL OR s.expires_at > $7)
       AND (s.scope = 'all'
            OR (s.scope = 'stream' AND s.subject = l.stream::text AND (s.excepted = '{}' OR (
                SELECT list_name FROM message m
                 WHERE m.message_id = asked.message_id AND m.project_id = asked.project_id) <> ALL(s.excepted)))
            OR (s.scope = 'domain' AND s.subject = l.sender_domain)
            OR (s.scope = 'list' AND s.subject <> '' AND s.subject = (
                SELECT list_name FROM message m
                 WHERE m.message_id = asked.message_id AND m.project_id = asked.project_id)))"""
# What holds for longer stays; of two that hold alike the older, whose evidence came first, but for a complaint and for
# who leaves again: what the reader had chosen meanwhile goes.
_PUT: Final = """
    INSERT INTO suppression AS old (
        project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
        expires_at, excepted)
    SELECT DISTINCT ON (address_key, project_id, scope, subject)
           project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
           expires_at, CASE excepted WHEN '' THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(excepted::jsonb)) END
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                  $9::text[], $10::uuid[], $11::timestamptz[], $12::timestamptz[], $13::text[])
        AS given(project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id,
                 created_at, expires_at, excepted)
     ORDER BY address_key, project_id, scope, subject, expires_at DESC NULLS FIRST, reason = 'complaint' DESC
    ON CONFLICT (address_key, project_id, scope, subject) DO UPDATE
       SET reason = EXCLUDED.reason, origin = EXCLUDED.origin, rule = EXCLUDED.rule, rules = EXCLUDED.rules,
           evidence = EXCLUDED.evidence, recipient_id = EXCLUDED.recipient_id, created_at = EXCLUDED.created_at,
           expires_at = EXCLUDED.expires_at, excepted = EXCLUDED.excepted
     WHERE old.expires_at < COALESCE(EXCLUDED.expires_at, 'infinity')
        OR (EXCLUDED.expires_at IS NULL
            AND ((old.reason = 'unsubscribe' AND EXCLUDED.reason = 'complaint')
                 OR (old.excepted <> '{}' AND EXCLUDED.origin = 'request')))
 RETURNING address_key"""
_REMOVE: Final = """
    WITH gone AS (
        DELETE FROM suppression
         WHERE project_id = $1 AND address_key = ANY($2) AND ($3 = '' OR (scope = $3 AND subject = $4))
     RETURNING *)
    INSERT INTO suppression_past (
        project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
        expires_at, excepted, removed_at, removed_why)
    SELECT gone.*, $5::timestamptz, $6::text FROM gone
 RETURNING address_key"""
# IS TRUE keeps the index by project, through which all of its entries are read, out of the plan.
_REMOVE_OF_RECIPIENTS: Final = """
    WITH gone AS (
        DELETE FROM suppression
         WHERE (project_id = $1) IS TRUE AND recipient_id = ANY($2) AND origin IN ('reply', 'report')
     RETURNING *)
    INSERT INTO suppression_past (
        project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
        expires_at, excepted, removed_at, removed_why)
    SELECT gone.*, $3::timestamptz, $4::text FROM gone
 RETURNING address_key"""
_TAKE_BACK: Final = """
    WITH gone AS (
        DELETE FROM suppression
         WHERE project_id = $1 AND address_key = $2 AND reason = 'unsubscribe' AND origin IN ('request', 'import')
           AND scope = $3 AND subject = $4
     RETURNING *)
    INSERT INTO suppression_past (
        project_id, address_key, scope, subject, reason, origin, rule, rules, evidence, recipient_id, created_at,
        expires_at, excepted, removed_at, removed_why)
    SELECT gone.*, $5::timestamptz, $6::text FROM gone
 RETURNING address_key"""
_EXCEPT: Final = """
    UPDATE suppression SET excepted = $3
     WHERE project_id = $1 AND address_key = $2 AND scope = 'stream' AND subject = 'marketing'
       AND reason = 'unsubscribe'"""
_OF_RECIPIENTS: Final = f"""{_SELECT}
     WHERE recipient_id = ANY($1) AND origin IN ('reply', 'report') AND (project_id = ANY($2)) IS TRUE"""
_PAGE: Final = f"""{_SELECT}
     WHERE project_id = $1 AND (created_at, address_key, scope, subject) > ($2, $3, $4, $5)
       AND ($6 = '' OR reason = $6) AND ($7 = '' OR address_key LIKE '%' || $7 || '%')
       AND (expires_at IS NULL OR expires_at > $8)
     ORDER BY created_at, address_key, scope, subject LIMIT $9"""
_COUNT: Final = """
    SELECT reason, count(*) AS count FROM suppression
     WHERE project_id = $1 AND (expires_at IS NULL OR expires_at > $2) GROUP BY reason ORDER BY reason"""
_OF_ADDRESS: Final = f"""{_SELECT}
     WHERE project_id = ANY($1) AND address_key = $2 ORDER BY created_at"""
_PAST: Final = """
    SELECT * FROM suppression_past
     WHERE project_id = ANY($1) AND address_key = $2 ORDER BY removed_at DESC LIMIT $3"""
# SKIP LOCKED: what is being written at this moment goes next time, and two that sweep never wait for each other.
_SWEEP: Final = """
    DELETE FROM suppression WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM suppression WHERE project_id IS NOT NULL AND expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
 RETURNING 1"""
_NOTE: Final = """
    INSERT INTO evidence (project_id, address_key, reason, at, message_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[])"""
_WITHDRAW: Final = """
    DELETE FROM evidence e
     USING unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[])
             AS wrong(project_id, address_key, reason, at, message_id)
     WHERE (e.project_id, e.address_key, e.reason, e.at, e.message_id)
           = (wrong.project_id, wrong.address_key, wrong.reason, wrong.at, wrong.message_id)"""
_NOTED: Final = """
    SELECT project_id, address_key, reason, at, message_id FROM evidence
     WHERE address_key = ANY($1) AND project_id = ANY($2) AND at >= $3 ORDER BY at"""
# One pass over what is there; with nothing there it costs nothing, however many were delivered.
_LIFT: Final = """
    DELETE FROM evidence e USING unnest($1::uuid[], $2::text[]) AS mended(project_id, address_key)
     WHERE e.address_key = mended.address_key AND e.project_id = mended.project_id"""
_FORGET: Final = """
    DELETE FROM evidence WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM evidence WHERE project_id IS NOT NULL AND at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
 RETURNING 1"""
_ANALYZE: Final = "ANALYZE suppression"


async def among(tx: Tx, asked: Sequence[Asked], *, now: datetime) -> dict[Asked, Suppression]:
    """Return those that may get no mail now, with a suppression that says why.

    Cost: one query; an index look-up an address, however many suppressions there are.
    """
    keys = list({one.address_key for one in asked})
    projects = [*{one.project_id for one in asked}, EVERYBODY]
    rows = [_suppression(row) for row in await tx.fetch(_AMONG, keys, projects, now)]
    if not rows:
        return {}
    by_key: dict[str, list[Suppression]] = {}
    for row in rows:
        by_key.setdefault(row.address_key, []).append(row)
    found: dict[Asked, Suppression] = {}
    for one in asked:
        for row in by_key.get(one.address_key, ()):
            if row.project_id in (one.project_id, EVERYBODY) and row.covers(one):
                found[one] = row
                break
    return found


async def among_claims(tx: Tx, claims: Sequence[Claim], *, now: datetime) -> dict[UUID, str]:
    """Return the reason of each of these recipients that may get no mail now, by its id. `among`, for what is due."""
    rows = await tx.fetch(
        _AMONG_CLAIMS,
        [one.recipient_id for one in claims],
        [one.project_id for one in claims],
        [address.key_of(one.address) for one in claims],
        [one.lane_id for one in claims],
        [one.message_id for one in claims],
        EVERYBODY,
        now,
    )
    return {row["recipient_id"]: row["reason"] for row in rows}


async def put(tx: Tx, suppressions: Sequence[Suppression]) -> int:
    """Store these; one that is there already and holds for as long stays as it is. Returns how many are new or changed.

    What a reader asked for (origin REQUEST) ends the exceptions of one that is there; a complaint replaces it.

    Safe: again, and concurrently: the rows are locked in the order of the key.
    """
    columns = [[getattr(one, field) for one in suppressions] for field in PUT_FIELDS]
    columns.append([msgspec.json.encode(one.excepted).decode() if one.excepted else "" for one in suppressions])
    return len(await tx.fetch(_PUT, *columns))


async def remove(
    tx: Tx,
    project_id: UUID,
    address_keys: Sequence[str],
    *,
    scope: SuppressionScope | None = None,
    subject: str = "",
    why: str,
    now: datetime,
) -> list[str]:
    """Let these addresses get mail again; keep on record what was removed and why. Returns those that had an entry.

    Args:
        scope: only entries of that scope and subject; None: all of them.
    """
    rows = await tx.fetch(_REMOVE, project_id, address_keys, scope or "", subject, now, why)
    return [row["address_key"] for row in rows]


async def remove_of_recipients(
    tx: Tx, project_id: UUID, recipient_ids: Sequence[UUID], *, why: str, now: datetime
) -> list[str]:
    """The same for what replies and reports about these recipients led to: they were misunderstood."""
    rows = await tx.fetch(_REMOVE_OF_RECIPIENTS, project_id, recipient_ids, now, why)
    return [row["address_key"] for row in rows]


async def take_back(
    tx: Tx, project_id: UUID, address_key: str, scope: SuppressionScope, subject: str, *, why: str, now: datetime
) -> bool:
    """Remove an unsubscription that the reader asked for, or one that was imported; keep it on record.

    Returns: whether there was one. What else stands there, such as a complaint or an operator's entry, stays.
    """
    return bool(await tx.fetch(_TAKE_BACK, project_id, address_key, scope, subject, now, why))


async def except_lists(tx: Tx, project_id: UUID, address_key: str, lists: Sequence[str]) -> None:
    """Let the mail of these lists, and of no others, come though the reader left all marketing mail."""
    await tx.execute(_EXCEPT, project_id, address_key, lists)


async def of_recipients(tx: Tx, project_ids: Sequence[UUID], recipient_ids: Sequence[UUID]) -> list[Suppression]:
    """Return what replies and reports about these recipients led to and nobody has removed, also what ran out."""
    return [_suppression(row) for row in await tx.fetch(_OF_RECIPIENTS, recipient_ids, project_ids)]


async def page(
    tx: Tx,
    project_id: UUID,
    *,
    after: Place | None,
    count_max: int,
    now: datetime,
    reason: str = "",
    part: str = "",
) -> list[Suppression]:
    """Return up to `count_max` of the project's, oldest first, behind `after`.

    Args:
        reason: only those for it; "" for all.
        part: only addresses that contain it; "" for all. Reads the project's entries one by one.
    """
    place = after or _BEGINNING
    rows = await tx.fetch(
        _PAGE,
        project_id,
        place.created_at,
        place.address_key,
        place.scope,
        place.subject,
        reason,
        like_literal(part),
        now,
        count_max,
    )
    return [_suppression(row) for row in rows]


def place_of(last: Suppression) -> Place:
    """Return the place behind the last one of a page."""
    return Place(last.created_at, last.address_key, last.scope, last.subject)


async def counts(tx: Tx, project_id: UUID, *, now: datetime) -> dict[str, int]:
    """Return how many hold now, by reason."""
    return {row["reason"]: row["count"] for row in await tx.fetch(_COUNT, project_id, now)}


async def of_address(tx: Tx, project_id: UUID, address_key: str) -> list[Suppression]:
    """Return all entries of the address that concern the project, everybody's too, those that ran out too."""
    return [_suppression(row) for row in await tx.fetch(_OF_ADDRESS, [project_id, EVERYBODY], address_key)]


async def of_addresses(
    tx: Tx, project_id: UUID, address_keys: Sequence[str], *, now: datetime
) -> dict[str, list[Suppression]]:
    """Return what holds now for these addresses and concerns the project, everybody's too, oldest first, by address."""
    found: dict[str, list[Suppression]] = {}
    for row in await tx.fetch(_OF_ADDRESSES, address_keys, [project_id, EVERYBODY], now):
        found.setdefault(row["address_key"], []).append(_suppression(row))
    return found


async def past(tx: Tx, project_id: UUID, address_key: str, *, count_max: int = 20) -> list[Past]:
    """Return what was removed for the address, of everybody's too, the latest first."""
    found = []
    for row in await tx.fetch(_PAST, [project_id, EVERYBODY], address_key, count_max):
        values = dict(row)
        removed_at, removed_why = values.pop("removed_at"), values.pop("removed_why")
        found.append(Past(_suppression(values), removed_at, removed_why))
    return found


async def sweep(tx: Tx, *, now: datetime, evidence_before: datetime, count_max: int) -> bool:
    """Delete what ran out, and evidence too old to count, up to so many of each. Returns whether there may be more."""
    swept = await tx.fetch(_SWEEP, now, count_max)
    forgotten = await tx.fetch(_FORGET, evidence_before, count_max)
    return max(len(swept), len(forgotten)) == count_max


async def analyze(tx: Tx) -> None:
    """Let the planner know how many there are, after many were put."""
    await tx.execute(_ANALYZE)


async def note(tx: Tx, evidence: Sequence[Evidence]) -> None:
    """Keep evidence."""
    await tx.execute(
        _NOTE,
        [one.project_id for one in evidence],
        [one.address_key for one in evidence],
        [one.reason for one in evidence],
        [one.at for one in evidence],
        [one.message_id for one in evidence],
    )


async def withdraw(tx: Tx, evidence: Sequence[Evidence]) -> int:
    """Forget exactly this evidence: it was misunderstood. Returns how much was there."""
    columns = [[getattr(one, field) for one in evidence] for field in Evidence.__struct_fields__]
    return await tx.execute(_WITHDRAW, *columns)


async def noted(tx: Tx, pairs: Sequence[tuple[UUID, str]], *, since: datetime) -> list[Evidence]:
    """Return the evidence about these (project, address) pairs, oldest first."""
    keys, projects = list({key for _, key in pairs}), list({project_id for project_id, _ in pairs})
    found = [Evidence(**row) for row in await tx.fetch(_NOTED, keys, projects, since)]
    wanted = set(pairs)
    return [one for one in found if (one.project_id, one.address_key) in wanted]


async def lift(tx: Tx, pairs: Sequence[tuple[UUID, str]]) -> None:
    """Forget the evidence about addresses that took a mail: whatever it was, it is mended."""
    await tx.execute(_LIFT, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _suppression(row: object) -> Suppression:
    values = dict(row)  # type: ignore[call-overload]
    values["scope"] = SuppressionScope(values["scope"])
    values["origin"] = SuppressionOrigin(values["origin"])
    values["excepted"] = tuple(values["excepted"])
    return Suppression(**values)
