"""Guards: which projects, sending domains and campaigns are warned, slowed or paused, by stream (`policy.guard`).

A row is changed only by whoever still sees it as it is (`move`), so of several workers that judge at once one changes
it, and an operator's release is not undone by a judge that had looked before. A row that says `ok` was released: it
remembers from when on figures count.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream
from outrider.policy.guard import GuardLevel
from outrider.store.pool import Row, Tx


class Guard(msgspec.Struct, frozen=True):
    """One row."""

    project_id: UUID
    sender_domain: str  # "" is the whole project; of a campaign, whatever it is sent from.
    stream: Stream
    level: GuardLevel
    sentence: str  # Why, as it was when it began.
    since: datetime
    released_at: datetime | None = None  # What was sent before does not count.
    excused_sent: int = 0  # This and the next two: what had been sent in the hour of the release.
    excused_invalid: int = 0
    excused_complained: int = 0
    campaign: str = ""  # "": of the domain or project.

    @property
    def whose(self) -> str:
        """Whose mail it is about, for people."""
        return f"campaign {self.campaign}" if self.campaign else self.sender_domain or "the project"


_COLUMNS: Final = """
    SELECT project_id, sender_domain, stream, state, sentence, since, released_at,
           excused_sent, excused_invalid, excused_complained, campaign
      FROM guard"""
_ORDER: Final = "ORDER BY project_id, sender_domain, stream, campaign"
_ALL: Final = f"""{_COLUMNS} {_ORDER}"""
_IN_FORCE: Final = f"""{_COLUMNS} WHERE state IN ('slow', 'pause') {_ORDER}"""
_OF: Final = f"""{_COLUMNS} WHERE project_id = $1 AND sender_domain = $2 AND campaign = $3 ORDER BY stream"""
_BEGIN: Final = """
    INSERT INTO guard (project_id, sender_domain, stream, state, sentence, since, released_at,
                       excused_sent, excused_invalid, excused_complained, campaign)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT DO NOTHING"""
_MOVE: Final = """
    UPDATE guard SET state = $7, sentence = $8, since = $9, released_at = $10, excused_sent = $11,
           excused_invalid = $12, excused_complained = $13
     WHERE project_id = $1 AND sender_domain = $2 AND stream = $3 AND campaign = $4 AND state = $5 AND since = $6"""
_END: Final = """
    DELETE FROM guard
     WHERE project_id = $1 AND sender_domain = $2 AND stream = $3 AND campaign = $4 AND state = $5 AND since = $6"""


async def read_all(tx: Tx) -> list[Guard]:
    """Return every row, by project, domain, stream and campaign."""
    return [_guard(row) for row in await tx.fetch(_ALL)]


async def in_force(tx: Tx) -> list[Guard]:
    """Return those that slow or pause."""
    return [_guard(row) for row in await tx.fetch(_IN_FORCE)]


async def of_subject(tx: Tx, project_id: UUID, sender_domain: str, campaign: str = "") -> list[Guard]:
    """Return the guards of one domain, of one campaign, with neither of the project itself: at most one a stream."""
    return [_guard(row) for row in await tx.fetch(_OF, project_id, sender_domain, campaign)]


async def begin(tx: Tx, guard: Guard) -> bool:
    """Write a first row; False, and nothing is written, if there is one already."""
    return await tx.execute(_BEGIN, *msgspec.structs.astuple(guard)) == 1


async def move(tx: Tx, old: Guard, new: Guard) -> bool:
    """Write `new` in the place of `old`; False, and nothing is written, if somebody has changed it meanwhile."""
    _, _, _, *changed, _ = msgspec.structs.astuple(new)
    return await tx.execute(_MOVE, *_seen(old), *changed) == 1


async def end(tx: Tx, old: Guard) -> bool:
    """Delete a row; False if somebody has changed it meanwhile."""
    return await tx.execute(_END, *_seen(old)) == 1


def _seen(guard: Guard) -> tuple[UUID, str, Stream, str, GuardLevel, datetime]:
    return guard.project_id, guard.sender_domain, guard.stream, guard.campaign, guard.level, guard.since


def _guard(row: Row) -> Guard:
    project_id, sender_domain, stream, state, *rest = row.values()
    return Guard(project_id, sender_domain, Stream(stream), GuardLevel(state), *rest)
