"""`outrider stats`: what became of a project's mail, in figures and a chart; `recount` holds them against the log.

By the day, or `--by hour` or `minute` (UTC). The chart is a bar for each, of what was delivered of the requests: in
characters, so it needs no colour and goes through a pipe. `--group` counts for each stream, domain, campaign, template,
tag, provider or ip; `--csv` writes every figure as a line.
"""

import csv
import enum
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base import sheets
from outrider.base.vocab import Stream
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.cli.session import EXIT_DATA
from outrider.policy import figures
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.recount import Recount, Recounter
from outrider.services.stats import Figure, Filters, Span, Stats, Summary

stats = typer.Typer(help="Figures of a project's mail, with a chart; recount.", invoke_without_command=True)
_BAR_COUNT: Final = 50  # Characters of the longest bar.
# With the first, in 80 characters.
_COLUMNS: Final = ("DELIVERED", "BLOCKED", "BOUNCED", "SPAM", "OPENED", "CLICKED", "LEFT")
_SHOWN_COUNT: Final = 20


class Unit(enum.StrEnum):
    """How finely."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Group(enum.StrEnum):
    """For each of what."""

    STREAM = "stream"
    DOMAIN = "domain"
    CAMPAIGN = "campaign"
    TEMPLATE = "template"
    TAG = "tag"
    PROVIDER = "provider"
    IP = "ip"


_FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]
_SINCE: Final = typer.Option(formats=_FORMATS, help="From then on (UTC).")
_UNTIL: Final = typer.Option(formats=_FORMATS, help="Up to then, which is not included (UTC).")


@stats.callback()
def show_stats(
    context: typer.Context,
    *,
    by: Annotated[Unit, typer.Option(help="How finely.")] = Unit.DAY,
    group: Annotated[Group | None, typer.Option(help="Figures for each of these.")] = None,
    since: Annotated[datetime | None, _SINCE] = None,
    until: Annotated[datetime | None, _UNTIL] = None,
    stream: Annotated[Stream | None, typer.Option(help="Only mail of this stream.")] = None,
    domain: Annotated[str, typer.Option(help="Only mail from this domain.")] = "",
    campaign: Annotated[str, typer.Option(help="Only mail of this campaign.")] = "",
    tag: Annotated[str, typer.Option(help="Only mail with this tag.")] = "",
    provider: Annotated[str, typer.Option(help="Only mail to this provider.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every figure as a line of CSV.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show delivery and tracking by time, with a chart and the rates of the whole."""
    if context.invoked_subcommand is not None:
        return
    span = Span(since=_utc(since), until=_utc(until), unit=by.value)
    filters = Filters(stream=stream, domain=domain, campaign=campaign, tag=tag, provider=provider)

    async def read(services: Services, project_id: UUID) -> Sequence[Figure]:
        reader = Stats(services.store, clock=services.context.clock)
        return await reader.read(project_id, span, filters, group="" if group is None else group.value)

    async def summarize(services: Services, project_id: UUID) -> Summary:
        return await Stats(services.store, clock=services.context.clock).summary(project_id, span, filters)

    if as_csv:
        _write_csv(session.run_in(project, read))
    elif group is not None:
        output.show(session.run_in(project, read), lambda found: _tell_group(found, group), as_json=as_json)
    else:
        columns = _columns("provider" if provider else "")
        output.show(session.run_in(project, summarize), lambda summary: _tell(summary, by, columns), as_json=as_json)


@stats.command()
def recount(
    *,
    since: Annotated[datetime | None, _SINCE] = None,
    until: Annotated[datetime | None, _UNTIL] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Replace what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count all projects' figures of whole days again from the event log, and say what differs. Any time."""

    async def count(services: Services) -> Recount:
        recounter = Recounter(services.store, clock=services.context.clock)
        return await recounter.recount(_utc(since), _utc(until), is_repairing=repair)

    found = session.run(count)
    output.show(found, _tell_recount, as_json=as_json)
    if found.differences and not found.is_repaired:
        raise typer.Exit(EXIT_DATA)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


def _write_csv(found: Sequence[Figure]) -> None:
    lines = csv.writer(sys.stdout)
    lines.writerow(Figure.__struct_fields__)
    for one in found:
        lines.writerow((one.at.isoformat(), sheets.cell(output.plain(one.name)), one.metric, one.count))


def _columns(dimension: str) -> Sequence[str]:
    """Return the heads of `_cells`: the first is of what the rates are."""
    return ("REQUESTS" if figures.has_requests(dimension) else "ENDED", *_COLUMNS)


def _tell(summary: Summary, by: Unit, columns: Sequence[str]) -> None:
    form = "%Y-%m-%d" if by is Unit.DAY else "%m-%d %H:%M"
    most = max((max(row.delivery.requests, row.delivery.delivered) for row in summary.rows), default=0)
    rows = [[format(row.at, form), *_cells(row.delivery, row.tracking)] for row in summary.rows]
    if not rows:
        output.show_text("No mail in that time.")
        return
    rows.append(["all", *_cells(summary.delivery, summary.tracking)])
    output.show_table(["UTC", *columns], rows, empty="")
    output.show_text("")
    for row in summary.rows:
        output.show_text(
            f"{format(row.at, form):<11} {_bar(row.delivery, most):<{_BAR_COUNT}} {row.delivery.delivered}"
        )
    output.show_text("")
    output.show_facts(_rates(summary))


def _cells(delivery: figures.DeliveryFigures, tracking: figures.TrackingFigures) -> list[object]:
    return [
        delivery.requests,
        delivery.delivered,
        delivery.blocked,
        delivery.bounced,
        delivery.complained,
        tracking.opens_unique,
        tracking.clicks_unique,
        tracking.unsubscribed,
    ]


def _bar(delivery: figures.DeliveryFigures, most: int) -> str:
    """Return the bar: what was delivered in full, the rest of the requests in light."""
    whole = max(delivery.requests, delivery.delivered)
    length = -(-whole * _BAR_COUNT // most) if most else 0
    full = min(length, delivery.delivered * _BAR_COUNT // most) if most else 0
    return "█" * full + "░" * (length - full)


def _rates(summary: Summary) -> Mapping[str, object]:
    sent, read = summary.delivery, summary.tracking
    rates = {
        "delivered": _percent(sent.delivered_ratio),
        "blocked": _percent(sent.blocked_ratio),
        "bounced": f"{_percent(sent.bounced_ratio)} ({sent.bounced_hard} hard, {sent.bounced_soft} soft)",
        "complained": _percent(sent.complained_ratio),
        "opened": f"{_percent(read.opens_unique_ratio)} (by people: {read.opens_human_unique})",
        "clicked": f"{_percent(read.clicks_unique_ratio)} (by people: {read.clicks_human_unique})",
        "reading conversion": _percent(read.reading_conversion_ratio),
    }
    if summary.inbox is not None and summary.inbox.deliveries:
        times = summary.inbox
        rates["time to inbox"] = (
            f"half in {times.p50_s} s, 90 % {times.p90_s} s, 95 % {times.p95_s} s, 99 % {times.p99_s} s"
        )
    return rates


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2%}"


def _tell_group(found: Sequence[Figure], group: Group) -> None:
    totals: dict[str, dict[str, int]] = {}
    for one in found:
        counts = totals.setdefault(one.name, {})
        counts[one.metric] = counts.get(one.metric, 0) + one.count
    views = [(name, figures.delivery(counts, group), figures.tracking(counts)) for name, counts in totals.items()]
    views.sort(key=lambda view: (-max(view[1].requests, view[1].delivered), view[0]))
    rows = [[name or "-", *_cells(sent, read)] for name, sent, read in views]
    output.show_table(["NAME", *_columns(group)], rows, empty="No mail in that time.")


def _tell_recount(found: Recount) -> None:
    output.show_text(f"{found.days} days from {found.since:%Y-%m-%d} on counted again.")
    rows = [
        [
            one.unit,
            f"{one.at:%Y-%m-%d %H:%M}",
            one.project_id,
            " ".join(filter(None, (one.dimension, one.name, one.stream, one.sender_domain, one.campaign))),
            one.metric,
            one.stored,
            one.counted,
        ]
        for one in found.differences[:_SHOWN_COUNT]
    ]
    output.show_table(
        ["UNIT", "UTC", "PROJECT", "OF", "METRIC", "STORED", "COUNTED"], rows, empty="All as the log says."
    )
    if len(found.differences) > _SHOWN_COUNT:
        output.show_text(f"... and {len(found.differences) - _SHOWN_COUNT} more; --json shows them.")
    if found.is_repaired:
        output.show_text("Replaced by what the log says.")
