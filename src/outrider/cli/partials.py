"""`outrider partial ...`: pieces that templates include, by `{% include "NAME" %}`.

A published template holds a copy. `put` changes what is included from now on; `republish` takes it over into what is
sent.
"""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.templates.partials import Partial

partials = typer.Typer(help="Partials: put, list, show, remove; publish again what uses one.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The partial, such as footer or footer.html.")]


@partials.command("list")
def list_partials(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's partials."""
    found = session.run_in(project, lambda services, project_id: services.partials.list(project_id))
    rows = [{"name": one.name, "chars": len(one.source), "updated_at": one.updated_at} for one in found]
    output.show_rows(["NAME", "LENGTH", "CHANGED"], rows, empty="No partials.", as_json=as_json)


@partials.command("show")
def show_partial(name: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Print a partial, and who uses it."""

    async def work(services: Services, project_id: UUID) -> tuple[Partial, list[str]]:
        found = await services.partials.show(project_id, name)
        users = await services.partials.users(project_id, name)
        return found, [one.name for one in users]

    found, users = session.run_in(project, work)
    if as_json:
        output.show_json({"name": found.name, "source": found.source, "used_by": users})
        return
    output.show_facts({"name": found.name, "used_by": ", ".join(users)})
    output.show_text(f"\n{found.source}")


@partials.command("put")
def put_partial(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A file; `-`: stdin.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Store a partial, in place of the one of that name. Safe to repeat."""
    try:
        source = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        session.fail(CallerError(f"{file} cannot be read: {error}.", field="file"))
    put = session.run_in(project, lambda services, project_id: services.partials.put(project_id, name, source))
    output.show_facts({"name": put.name, "updated_at": put.updated_at}, as_json=as_json)


@partials.command("remove")
def remove_partial(name: Name, project: Project = DEFAULT_PROJECT) -> None:
    """Forget a partial that no template uses."""
    session.run_in(project, lambda services, project_id: services.partials.remove(project_id, name))


@partials.command("republish")
def republish_partial(name: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Take a partial over, as it is now, into what is published of the templates that use it."""
    done = session.run_in(project, lambda services, project_id: services.partials.republish(project_id, name))
    rows = [{"id": one.template_id, "name": one.name, "version": one.number, "why": one.why} for one in done]
    output.show_rows(["ID", "NAME", "VERSION", "WHY NOT"], rows, empty="No published template.", as_json=as_json)
