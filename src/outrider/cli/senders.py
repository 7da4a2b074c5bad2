"""`outrider sender ...`: the From addresses a project may use. All are safe to repeat."""

from typing import Annotated

import typer

from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.identity import Sender

senders = typer.Typer(help="From addresses: add, list.", no_args_is_help=True)


@senders.command("add")
def add_sender(
    address: Annotated[str, typer.Argument(help="The From address, on a domain of the project.")],
    name: Annotated[str, typer.Option(help="Display name used when a call gives none.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Let the project send as this address. Safe to repeat."""
    made = session.run_in(project, lambda services, project_id: services.identity.add_sender(project_id, address, name))
    output.show_facts(_sender_facts(made), as_json=as_json)


@senders.command("list")
def list_senders(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's senders."""
    found = session.run_in(project, lambda services, project_id: services.identity.list_senders(project_id))
    columns = ["ADDRESS", "NAME", "DOMAIN", "DEFAULT", "ENABLED", "MAY SEND"]
    output.show_rows(columns, [_sender_facts(sender) for sender in found], empty="No senders.", as_json=as_json)


def _sender_facts(sender: Sender) -> dict[str, object]:
    return {
        "address": sender.address,
        "name": sender.name,
        "domain": sender.domain,
        "is_default": sender.is_default,
        "is_enabled": sender.is_enabled,
        "may_send": sender.is_enabled and sender.is_domain_verified,
    }
