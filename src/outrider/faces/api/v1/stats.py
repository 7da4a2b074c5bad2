"""/v1/stats: what became of a project's mail, in figures by minute, hour or day, by stream, domain, campaign and more.

The figures are counted beside the mail, a few seconds late (`services.stats`); a minute, hour or day in which nothing
happened is left out. `summary` has the rates, `export` the figures as CSV.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from outrider.base import sheets
from outrider.base.vocab import KeyScope, Stream
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.routes import Route
from outrider.services.stats import Figure, Filters, Span, Summary

_CSV: Final = "text/csv"


class SummaryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which mail, of when."""

    since: Annotated[
        datetime | None,
        Meta(description="Without it: 30 days before `until`; by the hour one day, by the minute one hour."),
    ] = None
    until: Annotated[datetime | None, Meta(description="Not included; without it: now.")] = None
    by: Annotated[
        Literal["minute", "hour", "day"],
        Meta(description="UTC. By the hour for up to 32 days, by the minute for one; minutes are kept for two days."),
    ] = "day"
    stream: Annotated[Stream | None, Meta(description="Only that of this stream.")] = None
    domain: Annotated[str, Meta(description="Only that sent from this domain.")] = ""
    campaign: Annotated[str, Meta(description="Only that of this campaign.")] = ""
    template: Annotated[str, Meta(description="Only that made from the template with this id.")] = ""
    tag: Annotated[str, Meta(description="Only that with this tag.")] = ""
    provider: Annotated[str, Meta(description="Only that which went to this provider.")] = ""
    ip: Annotated[str, Meta(description="Only that which left from this source, by its name.")] = ""


class StatsQuery(SummaryQuery, frozen=True, kw_only=True):
    """Which figures."""

    group: Annotated[
        Literal["", "stream", "domain", "campaign", "template", "tag", "provider", "ip"],
        Meta(description="Figures for each of these; empty: all together."),
    ] = ""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one minute, hour or day, and of one of the group."""

    at: Annotated[datetime, Meta(description="When it begins.")]
    name: Annotated[str, Meta(description="Which of the group; empty without one.")]
    counts: Annotated[Mapping[str, int], Meta(description="By metric; 0 is left out.")]


class StatsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Figures, a few seconds old. `deferred` counts attempts, `opens` and `clicks` hits, most others recipients."""

    totals: Annotated[Mapping[str, int], Meta(description="Of all buckets together.")]
    buckets: Sequence[Bucket]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/stats."""

    async def show_stats(call: Call, query: StatsQuery) -> StatsShown:
        """Count what became of the mail: accepted, delivered, bounced, opened, clicked, and more."""
        return _shown(
            await ports.services.stats.read(call.project_id, _span(query), _filters(query), group=query.group)
        )

    async def summarize_stats(call: Call, query: SummaryQuery) -> Summary:
        """Show delivery and tracking with their rates, as a whole and by time, and how long delivery took."""
        return await ports.services.stats.summary(call.project_id, _span(query), _filters(query))

    async def export_stats(call: Call, query: StatsQuery) -> Reply:
        """Give the figures as CSV: a line for each time, name and metric."""
        found = await ports.services.stats.read(call.project_id, _span(query), _filters(query), group=query.group)
        headers = ((b"content-disposition", b'attachment; filename="stats.csv"'),)
        return Reply(content=_csv(found), media_type=_CSV, headers=headers)

    return [
        Route(method="GET", path="/stats", act=show_stats, scope=KeyScope.READ, tag="Figures"),
        Route(method="GET", path="/stats/summary", act=summarize_stats, scope=KeyScope.READ, tag="Figures"),
        Route(
            method="GET",
            path="/stats/export",
            act=export_stats,
            scope=KeyScope.READ,
            tag="Figures",
            answer_media_type=_CSV,
        ),
    ]


def _span(query: SummaryQuery) -> Span:
    return Span(since=query.since, until=query.until, unit=query.by)


def _filters(query: SummaryQuery) -> Filters:
    return Filters(**{name: getattr(query, name) for name in Filters.__struct_fields__})


def _shown(figures: Sequence[Figure]) -> StatsShown:
    totals: dict[str, int] = {}
    buckets: dict[tuple[datetime, str], dict[str, int]] = {}
    for one in figures:
        totals[one.metric] = totals.get(one.metric, 0) + one.count
        buckets.setdefault((one.at, one.name), {})[one.metric] = one.count
    return StatsShown(
        totals=totals, buckets=[Bucket(at=at, name=name, counts=counts) for (at, name), counts in buckets.items()]
    )


def _csv(figures: Sequence[Figure]) -> bytes:
    file = io.StringIO()
    lines = csv.writer(file)
    lines.writerow(Figure.__struct_fields__)
    for one in figures:
        lines.writerow((f"{one.at:%Y-%m-%dT%H:%M:%SZ}", sheets.cell(one.name), one.metric, one.count))
    return file.getvalue().encode()
