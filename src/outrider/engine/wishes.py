"""From what a client asked to hear by mail (RFC 3461) to what is stored, in the commit that takes its mail.

Of who was rejected beside others there is no row, and nothing will happen to them: their reports are written at once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from outrider.base.errors import CallerError
from outrider.engine.submission import Rejected, ReportsAsked, ReportWish
from outrider.mail import address
from outrider.store import status_reports
from outrider.store.intake import NewRecipient
from outrider.store.messages import Message
from outrider.store.pool import Tx
from outrider.store.status_reports import NewReport, Wish


class Asked(msgspec.Struct, frozen=True):
    """One mail of which somebody wants to hear."""

    reports: ReportsAsked
    message: Message
    recipients: Sequence[NewRecipient]
    rejected: Sequence[Rejected]


async def write(tx: Tx, mails: Sequence[Asked], new_ids: Callable[[int], Sequence[UUID]]) -> None:
    """Store what is to be heard of these mails, which are new. `new_ids` makes so many ids."""
    wished = [one for mail in mails for one in of(mail.reports, mail.recipients, mail.message.accepted_at)]
    lost = [
        one
        for mail in mails
        if mail.rejected
        for one in of_rejected(mail.reports, mail.message, mail.rejected, new_ids(len(mail.rejected)))
    ]
    if wished or lost:
        await status_reports.wish(tx, [*wished, *(wish for wish, _ in lost)])
    if lost:
        heard = await status_reports.wished(tx, [(wish.project_id, wish.recipient_id) for wish, _ in lost])
        if told := [report for wish, report in lost if wish.recipient_id in heard]:
            await status_reports.insert(tx, told)


def of(asked: ReportsAsked, recipients: Sequence[NewRecipient], now: datetime) -> list[Wish]:
    """Return what is to be stored for those of the recipients that want to be heard of."""
    by_key = _by_key(asked)
    found = [(to, by_key.get(address.key_of(to.address))) for to in recipients]
    return [
        _wish(asked, one, to.project_id, to.message_id, recipient_id=to.recipient_id, now=now)
        for to, one in found
        if one is not None
    ]


def of_rejected(
    asked: ReportsAsked, message: Message, rejected: Sequence[Rejected], ids: Sequence[UUID]
) -> list[tuple[Wish, NewReport]]:
    """Return what is to be stored for those that were rejected beside others, and wanted to hear of a failure.

    They have no row of their own, so their reports are written at once, under `ids`, one for each of `rejected`.
    """
    by_key, now = _by_key(asked), message.accepted_at
    made = []
    for lost, recipient_id in zip(rejected, ids, strict=True):
        one = by_key.get(_key(lost.address))
        if one is None or "FAILURE" not in one.kinds:
            continue
        wish = _wish(asked, one, message.project_id, message.message_id, recipient_id=recipient_id, now=now)
        report = NewReport(
            report_id=recipient_id,
            project_id=message.project_id,
            recipient_id=recipient_id,
            action="failed",
            reply=lost.reason,
            host="",
            at=now,
        )
        made.append((msgspec.structs.replace(wish, address=lost.address), report))
    return made


def _wish(
    asked: ReportsAsked, one: ReportWish, project_id: UUID, message_id: UUID, *, recipient_id: UUID, now: datetime
) -> Wish:
    return Wish(
        project_id=project_id,
        recipient_id=recipient_id,
        message_id=message_id,
        return_to=asked.return_to,
        kinds=one.kinds,
        is_full=asked.is_full,
        envelope_id=asked.envelope_id,
        original=one.original,
        wished_at=now,
    )


def _by_key(asked: ReportsAsked) -> dict[str, ReportWish]:
    return {_key(one.address): one for one in reversed(asked.wishes)}  # Of a recipient given twice the first counts.


def _key(given: str) -> str:
    """Return the key of an address as the client gave it, "" of one that was not accepted because it is none."""
    try:
        return address.parse(given).key
    except CallerError:
        return ""
