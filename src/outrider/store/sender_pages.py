"""A project's senders by the page, chosen and ordered as a caller asks.

For lists that are looked at; who may send is asked of `senders`, for each mail. Pages go by place, as the callers of
this list count them: a sender that comes or goes between two pages moves the others by one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.store.pool import Row, Tx


class ListedSender(msgspec.Struct, frozen=True):
    """One From address, as a list shows it."""

    sender_id: UUID
    address: str
    name: str  # The display name used when a submission gives none.
    domain: str  # Of the address, a lower-case A-label.
    stream: Stream | None  # The only mail that its domain sends; None: any.
    is_default: bool
    may_send: bool
    created_at: datetime
    updated_at: datetime


class SenderChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which senders, in which order. What is None or "" leaves none out."""

    address_key: str | None = None  # `mail.address.Address.key`.
    domain: str | None = None  # Lower-case A-label.
    is_default: bool | None = None
    words: str = ""  # Somewhere in the address or name; case of ASCII letters does not matter.
    is_default_first: bool = True  # Before all that follows.
    is_by_update: bool = False  # By when they were changed last, else by when they were made.
    is_newest_first: bool = True
    offset: int = 0
    count_max: int = 20


class SenderPage(msgspec.Struct, frozen=True):
    """A page, and how many there are in all."""

    total_count: int
    senders: Sequence[ListedSender]


# A mailbox on somebody else's domain sends only where the project has its From re-written (ADR 0030).
_COLUMNS: Final = """
    SELECT sender_id, address, s.name, COALESCE(d.name, substring(address FROM '[^@]*$')) AS domain, d.stream,
           is_default, s.created_at, s.updated_at,
           is_enabled AND CASE WHEN d.domain_id IS NULL THEN proven_at IS NOT NULL AND p.alignment = 'rewrite'
                               ELSE d.verified_at IS NOT NULL AND d.stopped_at IS NULL END AS may_send"""
_CHOSEN: Final = """
      FROM sender s JOIN project p USING (project_id) LEFT JOIN domain d USING (domain_id)
     WHERE s.project_id = $1
       AND ($2::text IS NULL OR address_key = $2)
       AND ($3::text IS NULL OR COALESCE(d.name, substring(address FROM '[^@]*$')) = $3)
       AND ($4::boolean IS NULL OR is_default = $4)
       AND ($5::text = '' OR strpos(lower(address), lower($5)) > 0 OR strpos(lower(s.name), lower($5)) > 0)"""
_COUNT: Final = f"""
    SELECT count(*) AS total {_CHOSEN}"""
_PAGE: Final = f"""{_COLUMNS} {_CHOSEN}
     ORDER BY $6::boolean AND is_default DESC,
              extract(epoch FROM CASE WHEN $7 THEN s.updated_at ELSE s.created_at END)
                  * CASE WHEN $8 THEN -1 ELSE 1 END,
              sender_id
    OFFSET $9 LIMIT $10"""


async def page(tx: Tx, project_id: UUID, choice: SenderChoice) -> SenderPage:
    """Return the senders chosen. Two queries; each looks at all senders of the project."""
    chosen = (project_id, choice.address_key, choice.domain, choice.is_default, choice.words)
    row = await tx.fetch_row(_COUNT, *chosen)
    assert row is not None
    order = (choice.is_default_first, choice.is_by_update, choice.is_newest_first)
    rows = await tx.fetch(_PAGE, *chosen, *order, choice.offset, choice.count_max)
    return SenderPage(int(row["total"]), [_listed(row) for row in rows])


def _listed(row: Row) -> ListedSender:
    stream = row["stream"]
    return ListedSender(**{**row, "stream": None if stream is None else Stream(stream)})
