"""`outrider topic ...`: lists that readers are shown, to choose from, on the page behind the link to unsubscribe.

A topic's name is the `--list` of the mail it is about. Removing one lets nobody back in who left.
"""

from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.topics import Topic

topics = typer.Typer(help="Topics: lists that readers choose from; add, list, edit, remove.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The list, as mail names it.")]
Position = Annotated[int | None, typer.Option(help="The lowest is shown first.")]


@topics.command("add")
def add_topic(
    name: Name,
    *,
    title: Annotated[str, typer.Option(help="What readers see.")],
    description: Annotated[str, typer.Option(help="What they see below it.")] = "",
    position: Position = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show a list to readers."""

    async def work(services: Services, project_id: UUID) -> Topic:
        return await services.topics.add(project_id, name, title=title, description=description, position=position)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@topics.command("list")
def list_topics(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's topics, as readers see them."""
    found = session.run_in(project, lambda services, project_id: services.topics.list(project_id))
    columns = ["NAME", "TITLE", "DESCRIPTION", "POSITION", "SINCE"]
    output.show_rows(columns, [_facts(one) for one in found], empty="No topics.", as_json=as_json)


@topics.command("edit")
def edit_topic(
    name: Name,
    *,
    title: Annotated[str | None, typer.Option(help="What readers see.")] = None,
    description: Annotated[str | None, typer.Option(help="What they see below it.")] = None,
    position: Position = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change what readers see of a topic; what is not given stays."""

    async def work(services: Services, project_id: UUID) -> Topic:
        return await services.topics.change(project_id, name, title=title, description=description, position=position)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@topics.command("remove")
def remove_topic(name: Name, project: Project = DEFAULT_PROJECT) -> None:
    """Show a topic to nobody any more. Who left the list stays out of it."""
    session.run_in(project, lambda services, project_id: services.topics.remove(project_id, name))


def _facts(topic: Topic) -> dict[str, object]:
    return {
        "name": topic.name,
        "title": topic.title,
        "description": topic.description,
        "position": topic.position,
        "created_at": topic.created_at,
    }
