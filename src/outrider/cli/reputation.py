"""`outrider reputation`: how mail is seen by those who get it, rates judged, by provider and source address.

Without `--project` it is all projects together, and each: what an operator looks at.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.policy import alerts as policy
from outrider.policy.alerts import Measure
from outrider.policy.reputation import Judged
from outrider.services.reputation import Part, ReputationView

_COLUMNS = ("OF", "NAME", "VERDICT", "MAILS", "COMPLAINTS", "HARD BOUNCES", "DEFERRALS", "UNSUBSCRIBES")
_ORDER = (
    Measure.COMPLAINT_RATE,
    Measure.HARD_BOUNCE_RATE,
    Measure.DEFERRAL_RATE,
    Measure.UNSUBSCRIBE_RATE,
)


def show_reputation(
    days: Annotated[int, typer.Option(help="1, 7 or 30, up to now.")] = 7,
    project: Annotated[str | None, typer.Option("--project", help="A project's name; without it: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how mail is seen: complaints, bounces, deferrals and unsubscribes, judged by what providers want."""

    async def all_of_them(services: Services) -> ReputationView:
        return await services.reputation.view_all(days=days)

    async def one(services: Services, project_id: UUID) -> ReputationView:
        return await services.reputation.view(project_id, days=days)

    found = session.run(all_of_them) if project is None else session.run_in(project, one)
    output.show(found, _tell, as_json=as_json)


def _tell(found: ReputationView) -> None:
    output.show_facts({"verdict": found.level.value, "days": found.days})
    for one in found.judged:
        output.show_text(f"  {one.level.value:<8} {one.sentence}")
    rows = list(_rows(found))
    if rows:
        output.show_text("")
        output.show_table(_COLUMNS, rows, empty="")
    if found.causes:
        output.show_text(f"\nWhy mail was deferred, among the latest {found.looked_at_max:,} events of a project:")
        causes = [(one.reason, one.provider or "(others)", f"{one.count:,}") for one in found.causes]
        output.show_table(("REASON", "PROVIDER", "ATTEMPTS"), causes, empty="")


def _rows(found: ReputationView) -> Iterator[Sequence[object]]:
    for kind, parts in (("project", found.projects), ("provider", found.providers), ("source", found.ips)):
        for part in parts:
            yield _row(kind, part)


def _row(kind: str, part: Part) -> Sequence[object]:
    by_measure = {one.measure: one for one in part.judged}
    return (
        kind,
        part.name or "(others)",
        part.level.value,
        f"{part.mail_count:,}",
        *(_cell(by_measure[measure]) for measure in _ORDER),
    )


def _cell(one: Judged) -> str:
    return "-" if one.value is None else policy.shown(one.measure, one.value)
