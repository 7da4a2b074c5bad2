"""`outrider guard`: which projects, domains and campaigns do harm, what is done about it, and an operator's word on it.

Without a subcommand it lists all that sent enough in a day to be judged, and all guards. `release` lets one go on; from
then on only new mail counts, so it stays released until the figures of at least 500 new mails say otherwise.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.engine.guard import GuardView, Released, release, views
from outrider.mail import address
from outrider.services.accounts import DEFAULT_PROJECT

guards = typer.Typer(help="Who is slowed or paused for bounces and complaints.", invoke_without_command=True)

_COLUMNS = ("PROJECT", "DOMAIN", "CAMPAIGN", "STREAM", "SENT", "UNKNOWN", "COMPLAINTS", "STATE", "SINCE", "WHY")


@guards.callback()
def list_guards(context: typer.Context, as_json: AsJson = False) -> None:
    """List projects, domains and campaigns with the figures of the last day, their state, since when and why."""
    if context.invoked_subcommand is not None:
        return

    async def work(services: Services) -> Sequence[GuardView]:
        return await views(services.store, clock=services.context.clock)

    output.show(session.run(work), _tell_guards, as_json=as_json)


@guards.command("release")
def release_guard(
    domain: Annotated[str, typer.Argument(help="A sending domain; without it the project's own guard.")] = "",
    *,
    campaign: Annotated[str, typer.Option(help="The guard of this campaign, not of a domain or the project.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Let a domain's, a campaign's or a project's mail go on. From now on only new mail counts."""

    async def work(services: Services) -> Sequence[Released]:
        if domain and campaign:
            raise CallerError("A campaign's guard is of no domain: leave the domain out.", field="domain")
        found = await services.accounts.project(project)
        name = address.parse_domain(domain) if domain else ""
        return await release(services.store, found.project_id, name, campaign=campaign, clock=services.context.clock)

    output.show(session.run(work), _tell_released, as_json=as_json)


def _tell_guards(found: Sequence[GuardView]) -> None:
    output.show_table(_COLUMNS, [_cells(view) for view in found], empty="Nobody sent enough to be judged.")


def _tell_released(released: Sequence[Released]) -> None:
    for guard in released:
        output.show_text(f"released: {guard.stream} mail of {guard.whose}; what was sent before no longer counts")


def _cells(view: GuardView) -> Sequence[object]:
    return [
        view.project,
        view.sender_domain or "(all)",
        view.campaign,
        view.stream,
        f"{view.sent:,}",
        _share(view.invalid, view.sent),
        _share(view.complained, view.sent),
        view.state,
        "-" if view.since is None else f"{view.since:%Y-%m-%d %H:%M:%S} UTC",
        view.sentence,
    ]


def _share(count: int, sent: int) -> str:
    return f"{count:,} ({count / sent:.2%})" if sent > 0 else f"{count:,}"
