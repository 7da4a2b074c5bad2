"""`outrider init`, `outrider key ...`: projects and API keys.

`init` is safe to repeat and always prints a key pair that works: in catch mode the quick start's own, kept in the data
directory; in the other modes a new one, since a secret cannot be read again. Other tools rely on `init --json` and
`key create --json` printing `access_key_id` and `access_key_secret`.
"""

from typing import Annotated

import msgspec
import typer

from outrider.app import Services
from outrider.cli import output, quickstart, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT, KeyPair

keys = typer.Typer(help="API key pairs: create, list, revoke.", no_args_is_help=True)


def init(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Set up the data directory and the database, make the project, and print a key pair for it. Safe to repeat."""

    async def work(services: Services) -> KeyPair:
        if services.context.config.is_catch and project == DEFAULT_PROJECT:
            return await quickstart.ensure(services)
        made = await services.accounts.ensure_project(project)
        return await services.accounts.create_key(made.project_id, "init")

    _show_pair(session.run(work), as_json=as_json)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "cli",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make a key pair and print it; the secret is shown this once."""

    async def work(services: Services) -> KeyPair:
        made = await services.accounts.ensure_project(project)
        return await services.accounts.create_key(made.project_id, name)

    _show_pair(session.run(work), as_json=as_json)


@keys.command("list")
def list_keys(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's keys, revoked ones too."""
    found = session.run_in(project, lambda services, project_id: services.accounts.list_keys(project_id))
    rows = [
        {
            "access_key_id": key.access_key_id,
            "name": key.name,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
        }
        for key in found
    ]
    columns = ["ACCESS KEY ID", "NAME", "CREATED", "REVOKED"]
    output.show_rows(columns, rows, empty="No keys.", as_json=as_json)


@keys.command("revoke")
def revoke_key(
    access_key_id: Annotated[str, typer.Argument(help="The id, 32 hex characters.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make a key worthless everywhere within a second. Safe to repeat."""
    session.run_in(project, lambda services, project_id: services.accounts.revoke_key(project_id, access_key_id))
    if as_json:
        output.show_json({"access_key_id": access_key_id, "revoked": True})
    else:
        output.show_facts({"revoked": access_key_id})


def _show_pair(pair: KeyPair, *, as_json: bool) -> None:
    if as_json:
        output.show_json(msgspec.structs.asdict(pair))
    else:
        output.show_facts({"access key id": pair.access_key_id, "access key secret": pair.access_key_secret})
