"""`outrider notice ...`: what a project should know of: domains that passed, fail or are stopped.

`notice address` without an address shows where they are mailed; `none` ends that.
"""

from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.notices import Notice

notices = typer.Typer(help="What you should know of: list, seen, address.", no_args_is_help=True)


@notices.command("list")
def list_notices(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that were seen, too.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """List the project's notices, newest first."""
    found = session.run_in(
        project, lambda services, project_id: services.notices.list(project_id, with_seen=everything)
    )
    if as_json:
        output.show_json(found)
    elif not found:
        typer.echo("No notices." if everything else "No new notices; --all shows those that were seen.")
    else:
        for one in found:
            _tell(one)
        output.show_facts({"next": "outrider notice seen NOTICE, or outrider notice seen --all"})


@notices.command("seen")
def mark_seen(
    notice: Annotated[str | None, typer.Argument(metavar="[NOTICE]", help="The id of a notice.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of the project's.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Mark a notice, or all, as seen. Safe to repeat."""
    if (notice is None) is not everything:
        raise typer.BadParameter("a notice or --all", param_hint="NOTICE")

    async def work(services: Services, project_id: UUID) -> int:
        if notice is None:
            return await services.notices.see_all(project_id)
        await services.notices.see(project_id, _parse_id(notice))
        return 1

    output.show_facts({"seen": session.run_in(project, work)}, as_json=as_json)


@notices.command("address")
def set_address(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS|none]", help="Where to mail them.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set where the project's notices are mailed, from its own senders."""

    async def work(services: Services, project_id: UUID) -> str:
        if address is not None:
            await services.project_terms.change(project_id, {"notice_address": "" if address == "none" else address})
        return await services.notices.address(project_id)

    output.show_facts({"notice_address": session.run_in(project, work)}, as_json=as_json)


def _tell(notice: Notice) -> None:
    typer.echo(f"{notice.at:%Y-%m-%d %H:%M} UTC  {'' if notice.seen_at is None else 'seen  '}{notice.notice_id}")
    output.show_text(f"{notice.subject}\n{notice.text}\n")


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CallerError("A notice is a UUID; `outrider notice list` shows them.", field="notice_id") from error
