"""`outrider project ...`: what a project may send, how long its mail is kept, who approves its templates.

Each counts everywhere within a second. Without options a command shows what holds.
"""

from typing import Annotated
from uuid import UUID

import msgspec
import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.policy.quota import Quota
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.quotas import QuotaView
from outrider.services.retention import Retention

projects = typer.Typer(
    help="Projects: how much each may send; how long its mail is kept; approval of templates.", no_args_is_help=True
)
NONE = "none"


@projects.command("quota")
def quota(
    day: Annotated[str | None, typer.Option(metavar="N|none", help="Recipients a day, by UTC.")] = None,
    month: Annotated[str | None, typer.Option(metavar="N|none", help="Recipients a month, by UTC.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set how many recipients a project may have accepted a day and a month; what is not given stays.

    Counts everywhere within a second. Recipients are counted while there is a quota; changing it forgets none.
    """

    async def work(services: Services, project_id: UUID) -> QuotaView:
        view = await services.quotas.view(project_id)
        if day is None and month is None:
            return view
        wanted = Quota(_parse(day, view.day, "day"), _parse(month, view.month, "month"))
        return await services.quotas.change(project_id, wanted)

    output.show_facts(msgspec.structs.asdict(session.run_in(project, work)), as_json=as_json)


@projects.command("approval")
def approval(
    templates: Annotated[
        bool | None, typer.Option("--templates-need-approval/--templates-need-none", help="From now on.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set whether an operator has to approve the project's templates before they are sent.

    What is published stays so. `outrider template list --state pending` shows what waits.
    """

    async def work(services: Services, project_id: UUID) -> bool:
        if templates is not None:
            await services.templates.set_needs_approval(project_id, is_needed=templates)
        return await services.templates.needs_approval(project_id)

    output.show_facts({"templates_need_approval": session.run_in(project, work)}, as_json=as_json)


@projects.command("retention")
def retention(
    days: Annotated[str | None, typer.Option(metavar="N|none", help="Days; none: as [retention] days says.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set for how many days the project's mail and its events are kept.

    What is older is deleted for good within ten minutes, but for mail that still waits. Figures are kept apart.
    """

    async def work(services: Services, project_id: UUID) -> Retention:
        if days is not None:
            count = None if days == NONE else digits.parse(days)
            if count is None and days != NONE:
                raise CallerError("It is a number of days, or none.", field="days")
            await services.project_terms.change(project_id, {"kept_days": count})
        return await services.retentions.view(project_id)

    output.show_facts(msgspec.structs.asdict(session.run_in(project, work)), as_json=as_json)


def _parse(text: str | None, known: int | None, field: str) -> int | None:
    if text is None:
        return known
    if text == NONE:
        return None
    count = digits.parse(text)
    if count is None:
        raise CallerError("A quota is a number of recipients, or none.", field=field)
    return count
