"""`outrider queue ...`: what waits, and an operator's hand on it.

`queue` alone lists the deepest lanes. `pause`, `resume`, `flush` and `drop` take a scope (lane, provider, project,
session) and its subject: a lane's number, a provider's key, a project's name or id, a session's id; `release` lets a
session go that was held for its content. All are safe to repeat, leave an event, and take effect within a second
wherever mail is delivered. `drop` asks first, or wants --yes.
"""

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import HoldScope
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.engine.control import Control, Done, Target
from outrider.engine.explain import QueueRow, QueueView
from outrider.engine.sentences import duration_text
from outrider.services.accounts import DEFAULT_PROJECT

queue = typer.Typer(help="What waits, and why; pause, resume, flush or drop it.", invoke_without_command=True)
Scope = Annotated[HoldScope, typer.Argument(help="What SUBJECT is.", metavar="lane|provider|project|session")]
Subject = Annotated[str, typer.Argument(help="A lane's number, a provider's key, a project's name, a session's id.")]
Note = Annotated[str, typer.Option(help="Why; others read it in `outrider why` and in the event.")]
_COUNT = 50
Result = TypeVar("Result")


@queue.callback()
def show(
    context: typer.Context,
    *,
    project: Annotated[str, typer.Option(help="Lanes of this project only.")] = "",
    provider: Annotated[str, typer.Option(help="Lanes to this provider only.")] = "",
    route: Annotated[str, typer.Option(help="Lanes to this domain only.")] = "",
    paused: Annotated[bool, typer.Option("--paused", help="Lanes that are paused only.")] = False,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Lanes at most.")] = _COUNT,
    as_json: AsJson = False,
) -> None:
    """Show the lanes with the most mail: depth, oldest, owner, state and why, rate now."""
    if context.invoked_subcommand is not None:
        return

    async def work(services: Services) -> QueueView:
        project_id = (await services.accounts.project(project)).project_id if project else None
        return await session.explainer(services).queue(
            project_id=project_id, provider=provider, route=route, is_paused_only=paused, count_max=count
        )

    output.show(session.run(work), _tell_view, as_json=as_json)


@queue.command()
def pause(
    scope: Scope, subject: Subject, note: Note = "", as_json: AsJson = False, project: Project = DEFAULT_PROJECT
) -> None:
    """Start nothing more of it until it is resumed. A session's recipients become `held`."""
    _act(scope, subject, project, as_json, lambda control, target: control.pause(target, note=note))


@queue.command()
def resume(
    scope: Scope, subject: Subject, note: Note = "", as_json: AsJson = False, project: Project = DEFAULT_PROJECT
) -> None:
    """End a pause; what waited goes on where it was."""
    _act(scope, subject, project, as_json, lambda control, target: control.resume(target, note=note))


@queue.command()
def release(
    subject: Annotated[str, typer.Argument(metavar="SESSION", help="What the API calls SessionNo, or id.")],
    note: Note = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Let a session go that a rule holds: for its content, or after repeated errors of ours."""
    _act(HoldScope.SESSION, subject, project, as_json, lambda control, target: control.release(target, note=note))


@queue.command()
def flush(
    scope: Scope, subject: Subject, note: Note = "", as_json: AsJson = False, project: Project = DEFAULT_PROJECT
) -> None:
    """Try now what was deferred, and end pauses by limits; not those by operators."""
    _act(
        scope,
        subject,
        project,
        as_json,
        lambda control, target: watched("Flushing", lambda heard: control.flush(target, note=note, on_progress=heard)),
    )


@queue.command()
def drop(
    scope: Scope,
    subject: Subject,
    *,
    note: Note = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Cancel all that waits in it. It cannot be taken back."""
    if not yes:
        _ask(scope, subject)
    _act(
        scope,
        subject,
        project,
        as_json,
        lambda control, target: watched("Dropping", lambda heard: control.drop(target, note=note, on_progress=heard)),
    )


def _act(
    scope: HoldScope,
    subject: str,
    project: str,
    as_json: bool,
    act: Callable[[Control, Target], Awaitable[Done]],
) -> None:
    async def work(services: Services) -> Done:
        control = Control(services.store, clock=services.context.clock, random_bits=services.context.chance.getrandbits)
        return await act(control, await _target(services, scope, subject, project))

    output.show(session.run(work), _tell_done, as_json=as_json)


def _tell_done(done: Done) -> None:
    facts: dict[str, object] = {done.kind.value: f"{done.scope.value} {done.subject}"}
    if done.note:
        facts["note"] = done.note
    facts |= {"recipients": done.recipient_count} if done.recipient_count else {}
    facts |= {"lanes": done.lane_count} if done.lane_count else {}
    if done.leased_lane_count:
        facts["still worked on"] = f"{done.leased_lane_count} lanes, for a second at most"
    output.show_facts(facts)


async def _target(services: Services, scope: HoldScope, subject: str, project: str) -> Target:
    match scope:
        case HoldScope.LANE:
            if (lane_id := digits.parse(subject)) is None:
                raise CallerError("A lane is named by its number; `outrider queue` shows it.", field="lane")
            return Target.lane(lane_id)
        case HoldScope.PROVIDER:
            return Target.provider(subject)
        case HoldScope.PROJECT:
            return Target.project(await _project_id(services, subject))
        case HoldScope.SESSION:
            found = await services.accounts.project(project)
            return Target.session(found.project_id, session.parse_session(subject))


async def _project_id(services: Services, subject: str) -> UUID:
    """A project by its name, or by its id."""
    try:
        return (await services.accounts.project(subject)).project_id
    except NotFoundError:
        try:
            return UUID(subject)
        except ValueError:
            pass
        raise


async def watched(words: str, act: Callable[[Callable[[int], None]], Awaitable[Result]]) -> Result:
    """Run an act that tells how far it is, with a bar on a terminal's stderr."""
    screen = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as bar:
        shown = bar.add_task(words, total=None)
        return await act(lambda count: bar.update(shown, completed=count))


def _ask(scope: HoldScope, subject: str) -> None:
    """Return if the operator means it; end the program if not."""
    if not sys.stdin.isatty():
        session.fail(CallerError("Nobody is there to ask: say --yes to drop.", field="yes"))
    typer.confirm(f"Cancel all mail that waits in {scope.value} {subject}?", abort=True, err=True)


def _tell_view(view: QueueView) -> None:
    rows = [_cells(row) for row in view.lanes]
    columns = ["LANE", "PROJECT", "STREAM", "ROUTE", "PROVIDER", "POOL", "DEPTH", "OLDEST", "OWNER", "STATE", "RATE"]
    output.show_table(columns, rows, empty="Nothing waits.")
    if view.lanes:
        shown = "" if len(view.lanes) == view.lane_count else f"{len(view.lanes)} shown of "
        output.show_text(f"{shown}{view.lane_count} lanes, {view.recipient_count} recipients waiting")
    for hold in view.holds:
        note = f": {hold.note}" if hold.note else ""
        at = f"{hold.created_at:%Y-%m-%d %H:%M:%S} UTC"
        output.show_text(f"held by the operator since {at}: {hold.scope.value} {hold.subject}{note}")


def _cells(row: QueueRow) -> list[object]:
    age_s = row.oldest_age_s
    age = "" if age_s is None else duration_text(timedelta(seconds=age_s)) if age_s >= 0 else "later"
    route = row.route if row.shard == 0 else f"{row.route} #{row.shard}"
    depth = f"{row.depth}+" if row.is_depth_capped else str(row.depth)
    state = f"{row.state}: {row.why}"
    stream = f"{row.stream}, {row.campaign}" if row.campaign else row.stream
    return [
        row.lane_id, row.project, stream, route, row.provider, row.pool, depth, age, row.owner, state, row.rate
    ]  # fmt: skip
