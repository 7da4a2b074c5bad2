"""/v1/suppressions: addresses that get no mail; found, added, removed with a reason, and as CSV in and out.

The entries that hold for all projects count too, and are shown with an address; but only an operator changes them.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import KeyScope, SuppressionOrigin, SuppressionScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.paging import LIMIT_MAX
from outrider.faces.api.v1.routes import Act, Route
from outrider.services import suppressions as service
from outrider.services.suppressions import EVERYBODY, AddressView, NewEntry, Suppression, Suppressions

CSV: Final = "text/csv; charset=utf-8"
_SUBJECT: Final = "Of scope `stream`, `domain`, `list`: which. Empty with `all`."


class NewSuppressions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses that are to get no more mail."""

    addresses: Annotated[list[str], Meta(min_length=1, max_length=service.BATCH_COUNT, examples=[["ann@x.example"]])]
    scope: SuppressionScope = SuppressionScope.ALL
    subject: Annotated[str, Meta(description=_SUBJECT)] = ""
    reason: Annotated[str, Meta(description="`unsubscribe`, `complaint`, `recipient.invalid`, ...")] = "unsubscribe"
    note: Annotated[str, Meta(description="How you know; kept as evidence.")] = ""
    days: Annotated[int | None, Meta(description="For so many days; without it: for ever.")] = None


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What was added."""

    added_count: Annotated[int, Meta(description="New, or for longer now.")]
    unchanged_count: Annotated[int, Meta(description="They were there and hold for as long.")]


class OldSuppressions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses that are to get mail again."""

    addresses: Annotated[list[str], Meta(min_length=1, max_length=service.BATCH_COUNT, examples=[["ann@x.example"]])]
    why: Annotated[str, Meta(min_length=1, description="Kept on record with what is removed.")]


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed."""

    addresses: Annotated[Sequence[str], Meta(description="Those that had an entry.")]


class RemoveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Why it is removed."""

    why: Annotated[str, Meta(min_length=1, description="Kept on record with what is removed.")]


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list."""

    contains: Annotated[str, Meta(description="Only addresses with this in them, in any case.")] = ""
    reason: Annotated[str, Meta(description="Only those for this reason.")] = ""
    after: Annotated[str, Meta(description="`next` of the page before; without it: the oldest.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 100


class SuppressionShown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry."""

    address: str
    scope: SuppressionScope
    subject: str
    reason: str
    origin: SuppressionOrigin
    excepted: Annotated[Sequence[str], Meta(description="Lists whose mail comes all the same: chosen after leaving.")]
    evidence: Annotated[str, Meta(description="The reply or report it comes from, why a reader left, or a note.")]
    is_everybodys: Annotated[bool, Meta(description="It holds for all projects; only an operator removes it.")]
    created_at: datetime
    expires_at: datetime | None


class SuppressionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of those that hold now, oldest first."""

    suppressions: Sequence[SuppressionShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class PastShown(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that was removed."""

    suppression: SuppressionShown
    removed_at: datetime
    why: str


class EvidenceShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that counts towards an entry and makes none alone."""

    reason: str
    at: datetime
    message_id: UUID


class AddressShown(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an address; empty lists if nothing is."""

    address: str
    entries: Sequence[SuppressionShown]
    past: Sequence[PastShown]
    evidence: Sequence[EvidenceShown]


class BadLineShown(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was not imported."""

    line: int
    field: str
    why: str


class ImportDone(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file."""

    added_count: Annotated[int, Meta(description="New, or for longer now.")]
    unchanged_count: int
    bad_count: int
    bad: Annotated[Sequence[BadLineShown], Meta(description="The first hundred lines that are wrong.")]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/suppressions."""
    acts = _Suppressions(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Suppressions", **more)

    return [
        row("POST", "/suppressions", acts.add_suppressions, KeyScope.MANAGE),
        row("GET", "/suppressions", acts.list_suppressions, KeyScope.READ),
        row("POST", "/suppressions/remove", acts.remove_suppressions, KeyScope.MANAGE),
        row("GET", "/suppressions/export", acts.export_suppressions, KeyScope.READ, answer_media_type=CSV),
        row("POST", "/suppressions/import", acts.import_suppressions, KeyScope.MANAGE, body_media_type="text/csv"),
        row("GET", "/suppressions/{address}", acts.show_suppression, KeyScope.READ),
        row("DELETE", "/suppressions/{address}", acts.remove_suppression, KeyScope.MANAGE),
    ]


class _Suppressions:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def add_suppressions(self, call: Call, body: NewSuppressions) -> Added:
        """Send these addresses no more mail. Safe twice; what holds for longer stays as it is."""
        scope, subject = service.parse_scope(body.scope.value, body.subject)
        reason = service.check_reason(body.reason)
        expires_at = service.parse_days(body.days, self._ports.services.clock.now())
        evidence = service.clean(body.note)
        entries = [
            NewEntry(
                address_key=_address(text, f"addresses[{at}]"),
                scope=scope,
                subject=subject,
                reason=reason,
                evidence=evidence,
                expires_at=expires_at,
            )
            for at, text in enumerate(body.addresses)
        ]
        added = await self._service.add(call.project_id, entries, origin=SuppressionOrigin.REQUEST)
        return Added(added_count=added, unchanged_count=len({one.address_key for one in entries}) - added)

    async def list_suppressions(self, call: Call, query: SearchQuery) -> SuppressionList:
        """List and search the entries that hold now, oldest first."""
        found = await self._service.page(
            call.project_id,
            after=service.parse_place(query.after),
            count_max=query.limit + 1,
            reason=query.reason,
            part=query.contains,
        )
        page, next_cursor = paging.cut(found, query.limit, service.place_text)
        return SuppressionList(suppressions=[_shown(one) for one in page], next=next_cursor)

    async def show_suppression(self, call: Call, address: str) -> AddressShown:
        """Show all that is known of an address: entries, everybody's too, removed ones, and what counts towards one."""
        return _address_shown(await self._service.show(call.project_id, address))

    async def remove_suppression(self, call: Call, address: str, query: RemoveQuery) -> None:
        """Let an address get mail again."""
        if not await self._service.remove(call.project_id, [address], why=query.why):
            raise NotFoundError("The project has no entry for that address.", field="address")

    async def remove_suppressions(self, call: Call, body: OldSuppressions) -> Removed:
        """Let these addresses get mail again. Safe twice."""
        keys = [_address(text, f"addresses[{at}]") for at, text in enumerate(body.addresses)]
        return Removed(addresses=await self._service.remove(call.project_id, keys, why=body.why))

    async def export_suppressions(self, call: Call) -> Reply:
        """Export the entries that hold now as CSV, oldest first; `import` reads it."""
        name = b'attachment; filename="suppressions.csv"'
        return Reply(
            content=_export(self._service, call.project_id),
            media_type=CSV,
            headers=((b"content-disposition", name), (b"x-content-type-options", b"nosniff")),
        )

    async def import_suppressions(self, call: Call, body: bytes) -> ImportDone:
        """Import a CSV file in UTF-8 whose first line names the columns. Safe twice; a bad line harms no other."""
        if not body:
            raise CallerError(f"The body is empty; it must be CSV, up to {limits.REQUEST_BODY_BYTES_MAX >> 20} MiB.")
        done = await self._service.load(call.project_id, _lines(body))
        return ImportDone(
            added_count=done.added_count,
            unchanged_count=done.entry_count - done.added_count,
            bad_count=done.bad_count,
            bad=[BadLineShown(line=one.line, field=one.field, why=one.why) for one in done.bad],
        )

    @property
    def _service(self) -> Suppressions:
        return self._ports.services.suppressions


async def _export(suppressions: Suppressions, project_id: UUID) -> AsyncGenerator[bytes, None]:
    yield service.header_line().encode()
    async for batch in suppressions.all(project_id):
        yield service.file_lines(batch).encode()


def _lines(body: bytes) -> Iterator[bytes]:
    """Yield the lines one by one: a list of them would take many times the room of the file."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start) + 1 or len(body)
        yield body[start:end]
        start = end


def _address(text: str, field: str) -> str:
    try:
        return service.parse_address(text)
    except CallerError as error:
        raise CallerError(error.public, field=field) from error


def _shown(one: Suppression) -> SuppressionShown:
    return SuppressionShown(
        address=one.address_key,
        scope=one.scope,
        subject=one.subject,
        reason=one.reason,
        origin=one.origin,
        excepted=one.excepted,
        evidence=one.evidence,
        is_everybodys=one.project_id == EVERYBODY,
        created_at=one.created_at,
        expires_at=one.expires_at,
    )


def _address_shown(view: AddressView) -> AddressShown:
    return AddressShown(
        address=view.address,
        entries=[_shown(one) for one in view.entries],
        past=[
            PastShown(suppression=_shown(one.suppression), removed_at=one.removed_at, why=one.removed_why)
            for one in view.past
        ],
        evidence=[EvidenceShown(reason=one.reason, at=one.at, message_id=one.message_id) for one in view.evidence],
    )
