"""How many recipients a project may have a day and a month, by UTC: who of those that come at once still gets in.

Pure. A call is taken whole or refused whole: half of one would leave its caller with a list to sort out. So a call that
is too large for what is left is refused while a smaller one behind it still gets in.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.errors import LimitReachedError

NEAR_COUNT: Final = 50_000  # Ours: over what some twenty processes commit at once ([engine] accept_weight_max each).


class Quota(msgspec.Struct, frozen=True):
    """What a project may have. None: as much as it likes."""

    day: int | None = None
    month: int | None = None


class Used(msgspec.Struct, frozen=True):
    """What a project has had, in recipients accepted."""

    day: int = 0
    month: int = 0


class Wanted(msgspec.Struct, frozen=True):
    """A call of a project that has a quota."""

    message_id: UUID
    project_id: UUID
    recipient_count: int
    quota: Quota


NOTHING: Final = Used()


def is_near(wanted: Sequence[Wanted], used: Mapping[UUID, Used]) -> bool:
    """Whether the quota of one of these could end while others count too, so that they must take turns."""
    return any(
        most is not None and most - had < NEAR_COUNT
        for call in wanted
        for _, most, had in _spans(call, used.get(call.project_id, NOTHING))
    )


def judge(
    wanted: Sequence[Wanted], used: Mapping[UUID, Used], now: datetime
) -> tuple[Mapping[UUID, int], Mapping[UUID, LimitReachedError]]:
    """Return how many recipients each project gets, and why which messages are refused; in the order of `wanted`."""
    taken: dict[UUID, int] = {}
    refused: dict[UUID, LimitReachedError] = {}
    for call in wanted:
        before = taken.get(call.project_id, 0)
        over = [
            _refusal(call, span, most, most - had - before, now)
            for span, most, had in _spans(call, used.get(call.project_id, NOTHING))
            if most is not None and had + before + call.recipient_count > most
        ]
        if over:
            refused[call.message_id] = over[-1]  # The month's, if both: it is the later to end.
        else:
            taken[call.project_id] = before + call.recipient_count
    return taken, refused


def ends_at(span: str, now: datetime) -> datetime:
    """Return the instant at which the "day" or "month" of `now` ends."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if span == "day":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def _spans(call: Wanted, used: Used) -> Sequence[tuple[str, int | None, int]]:
    return ("day", call.quota.day, used.day), ("month", call.quota.month, used.month)


def _refusal(call: Wanted, span: str, most: int, left: int, now: datetime) -> LimitReachedError:
    end = ends_at(span, now)
    return LimitReachedError(
        f"The project's quota is {most} recipients a {span}; {max(left, 0)} are left and this call has"
        f" {call.recipient_count}. The next {span} begins at {end:%Y-%m-%dT%H:%M:%SZ}.",
        retry_after_s=(end - now).total_seconds(),
        field="recipients",
        span=span,
    )
