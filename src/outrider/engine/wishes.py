"""From what a client asked to hear by mail (RFC 3461) to what is stored with its recipients. Without I/O."""

from collections.abc import Sequence
from datetime import datetime

from outrider.base.errors import CallerError
from outrider.engine.submission import ReportsAsked
from outrider.mail import address
from outrider.store.intake import NewRecipient
from outrider.store.status_reports import Wish


def of(asked: ReportsAsked, recipients: Sequence[NewRecipient], now: datetime) -> list[Wish]:
    """Return what is to be stored for those of the recipients that want to be heard of."""
    by_key = {_key(one.address): one for one in reversed(asked.wishes)}  # Of a recipient given twice the first counts.
    found = [(to, by_key.get(address.key_of(to.address))) for to in recipients]
    return [
        Wish(
            project_id=to.project_id,
            recipient_id=to.recipient_id,
            message_id=to.message_id,
            return_to=asked.return_to,
            kinds=one.kinds,
            is_full=asked.is_full,
            envelope_id=asked.envelope_id,
            original=one.original,
            wished_at=now,
        )
        for to, one in found
        if one is not None
    ]


def _key(given: str) -> str:
    """Return the key of an address as the client gave it, "" of one that was not accepted because it is none."""
    try:
        return address.parse(given).key
    except CallerError:
        return ""
