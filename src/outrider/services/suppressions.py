"""Suppressions for people and their files: add, read, search, remove; the lines of a CSV file in and out.

What is learned from replies and reports is `engine.protect`'s; here is what somebody says by hand. A caller may give
only reasons that are about the reader (`GIVEN`); a file may also hold what Outrider itself found, so that an export can
be imported again. Times, origins and rules of a file are not taken over: the entry is one of today.

    address,scope,subject,reason,evidence,expires_at      the header; `address` must be there, the order is free
    ann@shop.example,stream,marketing,unsubscribe,,       one entry a line, also where a field is quoted

`excepted` are the lists that a reader chose after leaving all marketing mail, as JSON: ["News"]. Invariant: an address
that is written is exactly the one that is suppressed. What strangers wrote never begins as a formula does for a
spreadsheet. Failure: a `CallerError` names the field.
"""

import base64
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits, sheets
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream, SuppressionOrigin, SuppressionScope
from outrider.engine.submission import check_name
from outrider.mail import address
from outrider.policy import suppress
from outrider.policy.reason import Reason
from outrider.store import suppressions
from outrider.store.pool import Store
from outrider.store.suppressions import EVERYBODY, Evidence, Past, Place, Suppression, place_of

__all__ = [
    "EVERYBODY",
    "AddressView",
    "BadLine",
    "Loaded",
    "NewEntry",
    "Place",
    "Suppression",
    "SuppressionFile",
    "Suppressions",
    "place_of",
]

GIVEN: Final = frozenset(
    reason
    for reason in suppress.SUPPRESSING
    if reason in (Reason.COMPLAINT, Reason.UNSUBSCRIBE) or reason.startswith("recipient.")
)
REASON: Final = Reason.UNSUBSCRIBE  # Where none is given: somebody asked to get no more.
BATCH_COUNT: Final = 1_000  # Ours: entries a transaction.
# The last two are for people: an import is its own origin.
COLUMNS: Final = ("address", "scope", "subject", "reason", "evidence", "expires_at", "excepted", "origin", "created_at")
LINE_BYTES_MAX: Final = 40_000  # Ours: an address, a reply, and the names of all lists that a project may have.
BAD_KEPT_COUNT: Final = 100  # Ours: bad lines in a result; whoever wants all listens.
_DAYS_MAX: Final = 36_500
_TEXT_CHARS_MAX: Final = 500  # As of what is learned.
_ANALYZE_COUNT: Final = 1_000  # Ours: from here on the planner should know of them.


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to be made, checked."""

    address_key: str
    scope: SuppressionScope = SuppressionScope.ALL
    subject: str = ""
    reason: str = REASON
    evidence: str = ""
    expires_at: datetime | None = None
    excepted: tuple[str, ...] = ()


class AddressView(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one address."""

    address: str
    entries: Sequence[Suppression]  # Everybody's too; also those that ran out and were not swept yet.
    past: Sequence[Past]  # Removed ones, the latest first.
    evidence: Sequence[Evidence]  # What counts towards a suppression, oldest first.


class BadLine(msgspec.Struct, frozen=True):
    """A line that was not imported."""

    line: int
    field: str
    why: str


class Loaded(msgspec.Struct):
    """What became of a file."""

    entry_count: int = 0
    added_count: int = 0  # New, or for longer than before.
    bad_count: int = 0
    bad: list[BadLine] = []  # The first hundred.


class Suppressions:
    """The suppressions of a project, or (`EVERYBODY`) of all."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def add(self, project_id: UUID, entries: Sequence[NewEntry], *, origin: SuppressionOrigin) -> int:
        """Store up to `BATCH_COUNT` in one transaction; return how many are new, or hold for longer now. Safe twice."""
        assert len(entries) <= BATCH_COUNT
        now = self._clock.now()
        rows = [
            Suppression(
                project_id=project_id,
                address_key=one.address_key,
                scope=one.scope,
                subject=one.subject,
                reason=one.reason,
                origin=origin,
                evidence=one.evidence,
                created_at=now,
                expires_at=one.expires_at,
                excepted=one.excepted,
            )
            for one in entries
        ]
        async with self._store.transaction() as tx:
            return await suppressions.put(tx, rows)

    async def remove(self, project_id: UUID, addresses: Sequence[str], *, why: str) -> Sequence[str]:
        """Let these get mail again and keep on record why. Returns those that had an entry.

        Raises:
            CallerError: one is no address, or there is no why.
        """
        why = clean(why)
        if not why:
            raise CallerError("Say why it is removed; it is kept on record.", field="why")
        keys = [parse_address(text) for text in addresses]
        async with self._store.transaction() as tx:
            gone = await suppressions.remove(tx, project_id, keys, why=why, now=self._clock.now())
        return sorted(set(gone))

    async def show(self, project_id: UUID, text: str) -> AddressView:
        """Return all that is known of an address. Raises CallerError: it is none."""
        key = parse_address(text)
        since = self._clock.now() - suppress.EVIDENCE_LIFE
        async with self._store.transaction() as tx:
            entries = await suppressions.of_address(tx, project_id, key)
            past = await suppressions.past(tx, project_id, key)
            evidence = await suppressions.noted(tx, [(project_id, key)], since=since)
        return AddressView(address=key, entries=entries, past=past, evidence=evidence)

    async def page(
        self, project_id: UUID, *, after: Place | None = None, count_max: int, reason: str = "", part: str = ""
    ) -> Sequence[Suppression]:
        """Return a page of those that hold now, oldest first, behind `after`.

        Args:
            reason: only those for it; "" for all.
            part: only addresses that contain it, without case; "" for all.

        Raises:
            CallerError: no such reason.
        """
        if reason:
            check_reason(reason, suppress.SUPPRESSING)
        now, part = self._clock.now(), clean(part).casefold()
        async with self._store.transaction() as tx:
            return await suppressions.page(
                tx, project_id, after=after, count_max=count_max, now=now, reason=reason, part=part
            )

    async def all(self, project_id: UUID) -> AsyncIterator[Sequence[Suppression]]:
        """Yield all that hold, oldest first, a batch at a time; each batch is its own transaction."""
        after: Place | None = None
        while found := await self.page(project_id, after=after, count_max=BATCH_COUNT):
            yield found
            after = place_of(found[-1])

    async def counts(self, project_id: UUID) -> dict[str, int]:
        """Return how many hold now, by reason."""
        async with self._store.transaction() as tx:
            return await suppressions.counts(tx, project_id, now=self._clock.now())

    async def load(
        self,
        project_id: UUID,
        lines: Iterable[bytes],
        *,
        on_bad: Callable[["BadLine"], None] = lambda _: None,
        on_stored: Callable[[], None] = lambda: None,
    ) -> "Loaded":
        """Add the entries of a CSV file's lines, a batch a transaction. Safe twice; a bad line harms no other.

        Args:
            on_bad: hears of each bad line at once.
            on_stored: is called after each batch.

        Raises:
            CallerError: the first line is no header of ours; nothing was stored.
            StoreError: the database is away; whole batches were stored.
        """
        numbered = enumerate(lines, start=1)
        read = SuppressionFile(next(numbered, (1, b""))[1], now=self._clock.now())
        done = Loaded()
        batch: list[NewEntry] = []

        async def store() -> None:
            done.added_count += await self.add(project_id, batch, origin=SuppressionOrigin.IMPORT)
            if done.entry_count == len(batch):  # The first: from now on each is looked up by the index.
                await self.settle_in(len(batch))
            batch.clear()
            on_stored()

        for number, line in numbered:
            try:
                entry = read.read(line)
            except CallerError as error:
                bad = BadLine(number, error.field, error.public)
                done.bad_count += 1
                done.bad += [bad] if len(done.bad) < BAD_KEPT_COUNT else []
                on_bad(bad)
                continue
            if entry is not None:
                batch.append(entry)
                done.entry_count += 1
            if len(batch) == BATCH_COUNT:
                await store()
        if batch:
            await store()
        await self.settle_in(done.added_count)
        return done

    async def settle_in(self, added_count: int) -> None:
        """Tell the planner of many new entries, so that the next mail is looked up by the index at once."""
        if added_count >= _ANALYZE_COUNT:
            async with self._store.transaction() as tx:
                await suppressions.analyze(tx)


class SuppressionFile:
    """Reads the lines of one CSV file. Knows its header after the first line."""

    def __init__(self, header: bytes, *, now: datetime) -> None:
        """Take the first line. Raises CallerError: it is no header of ours; `field` is "header"."""
        names = [name.strip().lower() for name in _fields(header.removeprefix(b"\xef\xbb\xbf"))]
        if "address" not in names:
            raise CallerError("The first line must name the columns; `address` is not among them.", field="header")
        for name in names:
            if name not in COLUMNS or names.count(name) > 1:
                raise CallerError(f"Column {name!r}: each of {', '.join(COLUMNS)} once at most.", field="header")
        self._names: Final = names
        self._now: Final = now

    def read(self, line: bytes) -> NewEntry | None:
        """Return the entry of a line, None if it is blank. Raises CallerError: it is wrong; `field` says where."""
        values = [value.strip() for value in _fields(line)]
        if not any(values):
            return None
        if len(values) > len(self._names):
            raise CallerError(f"{len(values)} fields, the header has {len(self._names)}.", field="line")
        given = {name: value for name, value in zip(self._names, values, strict=False) if value}
        scope, subject = parse_scope(given.get("scope", "all"), sheets.text(given.get("subject", "")))
        return NewEntry(
            address_key=parse_address(given.get("address", "")),
            scope=scope,
            subject=subject,
            reason=check_reason(given.get("reason", REASON), suppress.SUPPRESSING),
            evidence=clean(given.get("evidence", "")),
            expires_at=_parse_instant(given["expires_at"], self._now) if "expires_at" in given else None,
            excepted=_parse_excepted(given["excepted"], scope, subject) if "excepted" in given else (),
        )


def place_text(last: Suppression) -> str:
    """Return the cursor behind an entry, as one word."""
    place = place_of(last)
    fields = (place.created_at.isoformat(), place.address_key, place.scope, place.subject)
    return base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode()


def parse_place(text: str) -> Place | None:
    """Return the place of a cursor, None for "". Raises CallerError: it is none of ours; `field` is "after"."""
    if not text:
        return None
    try:
        at, *rest = msgspec.json.decode(base64.urlsafe_b64decode(text), type=tuple[datetime, str, str, str])
    except ValueError as error:
        raise CallerError("Give what the page before said at its end.", field="after") from error
    if at.tzinfo is None or any("\x00" in part for part in rest):
        raise CallerError("Give what the page before said at its end.", field="after")
    return Place(at, *rest)


def header_line() -> str:
    """Return the first line of an export, with its end."""
    return ",".join(COLUMNS) + "\r\n"


def file_lines(entries: Sequence[Suppression]) -> str:
    """Return the lines of these entries, each with its end; fields are quoted where they must be."""
    text = io.StringIO()
    csv.writer(text).writerows(
        (
            one.address_key,
            one.scope.value,
            sheets.cell(one.subject),
            one.reason,
            sheets.cell(clean(one.evidence)),
            one.expires_at.isoformat() if one.expires_at else "",
            msgspec.json.encode(one.excepted).decode() if one.excepted else "",
            one.origin.value,
            one.created_at.isoformat(),
        )
        for one in entries
    )
    return text.getvalue()


def parse_address(text: str) -> str:
    """Return the key of an address. Raises CallerError with the field "address"."""
    try:
        return address.parse(text).key
    except CallerError as error:
        raise CallerError(f"Not an address, {text[:100]!r}: {error.public}.", field="address") from error


def parse_scope(scope: str, subject: str) -> tuple[SuppressionScope, str]:
    """Check a scope and its subject: the stream, the domain, the name of the list.

    Raises:
        CallerError: `field` is "scope" or "subject".
    """
    match scope:
        case "all":
            if subject:
                raise CallerError("Scope all has no subject.", field="subject")
            return SuppressionScope.ALL, ""
        case "stream":
            if subject not in list(Stream):
                raise CallerError(f"A stream is {' or '.join(Stream)}.", field="subject")
            return SuppressionScope.STREAM, subject
        case "domain":
            try:
                return SuppressionScope.DOMAIN, address.parse_domain(subject)
            except CallerError as error:
                raise CallerError(error.public, field="subject") from error
        case "list":
            if not subject:
                raise CallerError("Name the list.", field="subject")
            check_name(subject, limits.LIST_NAME_CHARS_MAX, field="subject")
            return SuppressionScope.LIST, subject
        case _:
            raise CallerError("A scope is all, stream, domain or list.", field="scope")


def check_reason(reason: str, allowed: frozenset[Reason] = GIVEN) -> str:
    """Return a reason that may suppress. Raises CallerError with the field "reason"."""
    if reason not in allowed:
        raise CallerError(f"A reason is one of {', '.join(sorted(allowed))}.", field="reason")
    return reason


def parse_days(days: int | None, now: datetime) -> datetime | None:
    """Return when an entry ends that holds so many days; None: never. Raises CallerError with the field "days"."""
    if days is None:
        return None
    if not 1 <= days <= _DAYS_MAX:
        raise CallerError(f"Between 1 and {_DAYS_MAX} days.", field="days")
    return now + timedelta(days=days)


def clean(text: str) -> str:
    """Return a text for people on one line, bounded, with nothing in it that a terminal or the database refuses."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip()[:_TEXT_CHARS_MAX]


def _fields(line: bytes) -> list[str]:
    if len(line) > LINE_BYTES_MAX:
        raise CallerError(f"More than {LINE_BYTES_MAX} bytes.", field="line")
    try:
        text = line.decode().rstrip("\r\n")
        return next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        problem = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise CallerError(f"It cannot be read as CSV: {problem}.", field="line") from error


def _parse_excepted(text: str, scope: SuppressionScope, subject: str) -> tuple[str, ...]:
    try:
        names = msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.MsgspecError as error:
        raise CallerError('The names of lists are written as JSON: ["News"].', field="excepted") from error
    if (scope, subject) != (SuppressionScope.STREAM, Stream.MARKETING):
        raise CallerError("Only who left all marketing mail has chosen lists again.", field="excepted")
    if len(names) > limits.TOPICS_STORED_COUNT_MAX or not all(names):
        raise CallerError(f"At most {limits.TOPICS_STORED_COUNT_MAX} lists, each with a name.", field="excepted")
    for name in names:
        check_name(name, limits.LIST_NAME_CHARS_MAX, field="excepted")
    return tuple(dict.fromkeys(names))


def _parse_instant(text: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CallerError("An instant is written as 2027-01-31T12:00:00Z.", field="expires_at") from error
    if at <= now:
        raise CallerError("It is over already.", field="expires_at")
    return at
