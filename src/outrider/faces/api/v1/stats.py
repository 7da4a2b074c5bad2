"""/v1/stats: what became of a project's mail, in figures by hour or day, stream, domain or tag.

The figures are counted beside the mail, a few seconds late (`services.stats`); an hour or day in which nothing happened
is left out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outrider.base.vocab import EventKind, KeyScope, Stream
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.routes import Route
from outrider.services.stats import Figure


class StatsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures."""

    since: Annotated[datetime | None, Meta(description="Without it: 30 days before `until`, or one by the hour.")] = (
        None
    )
    until: Annotated[datetime | None, Meta(description="Not included; without it: now.")] = None
    by: Annotated[Literal["hour", "day"], Meta(description="UTC. By the hour for up to 32 days.")] = "day"
    group: Annotated[
        Literal["", "stream", "domain", "tag"], Meta(description="Figures for each of these; empty: all together.")
    ] = ""
    stream: Annotated[Stream | None, Meta(description="Only that of this stream.")] = None
    domain: Annotated[str, Meta(description="Only that sent from this domain.")] = ""
    tag: Annotated[str, Meta(description="Only that with this tag.")] = ""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one hour or day, and of one of the group."""

    at: Annotated[datetime, Meta(description="When it begins.")]
    name: Annotated[str, Meta(description="Which of the group; empty without one.")]
    counts: Annotated[Mapping[EventKind, int], Meta(description="Recipients, by what happened; 0 is left out.")]


class StatsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Figures, a few seconds old. `deferred` counts attempts, all others recipients; mail counts under each tag."""

    totals: Annotated[Mapping[EventKind, int], Meta(description="Of all buckets together.")]
    buckets: Sequence[Bucket]


def routes(ports: Ports) -> list[Route]:
    """Return the row of /v1/stats."""

    async def show_stats(call: Call, query: StatsQuery) -> StatsShown:
        """Count what became of the mail: accepted, delivered, deferred, bounced, complained, unsubscribed."""
        figures = await ports.services.stats.read(
            call.project_id,
            since=query.since,
            until=query.until,
            unit=query.by,
            group=query.group,
            stream=query.stream,
            domain=query.domain,
            tag=query.tag,
        )
        return _shown(figures)

    return [Route(method="GET", path="/stats", act=show_stats, scope=KeyScope.READ, tag="Figures")]


def _shown(figures: Sequence[Figure]) -> StatsShown:
    totals: dict[EventKind, int] = {}
    buckets: dict[tuple[datetime, str], dict[EventKind, int]] = {}
    for one in figures:
        totals[one.kind] = totals.get(one.kind, 0) + one.count
        buckets.setdefault((one.at, one.name), {})[one.kind] = one.count
    return StatsShown(
        totals=totals, buckets=[Bucket(at=at, name=name, counts=counts) for (at, name), counts in buckets.items()]
    )
