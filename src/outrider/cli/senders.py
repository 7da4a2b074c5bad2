"""`outrider sender ...`: the From addresses a project may use. All but `prove` are safe to repeat.

`prove` mails a link to a mailbox on a domain that is not the project's; `alignment` says what becomes of its mail,
which would fail DMARC. `allow` and `alignment` without a word show what holds.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import OutriderError
from outrider.base.vocab import SenderRule, UnalignedFrom
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.senders import Listed, Sender

senders = typer.Typer(help="From addresses: add, list, change, prove; what may be in From.", no_args_is_help=True)
SenderAddress = Annotated[str, typer.Argument(help="A sender of the project.")]


@senders.command("add")
def add_sender(
    address: Annotated[str, typer.Argument(help="The From address, on a domain of the project.")],
    name: Annotated[str, typer.Option(help="Display name used when a call gives none.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Let the project send as this address."""
    made = session.run_in(project, lambda services, project_id: services.senders.add(project_id, address, name))
    output.show_facts(_facts(made), as_json=as_json)


@senders.command("list")
def list_senders(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's senders; ALIGNED is what DMARC can go by."""
    found = session.run_in(project, lambda services, project_id: services.senders.list(project_id))
    columns = ["ADDRESS", "NAME", "DOMAIN", "DEFAULT", "ENABLED", "MAY SEND", "PROVEN", "ALIGNED"]
    output.show_rows(columns, [_listed(one) for one in found], empty="No senders.", as_json=as_json)


@senders.command("rename")
def rename_sender(
    address: SenderAddress,
    name: Annotated[str, typer.Argument(help="The new display name; an empty one leaves the bare address.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change a sender's display name."""
    _change(address, project, {"name": name}, as_json=as_json)


@senders.command("enable")
def enable_sender(address: SenderAddress, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Let a disabled sender send again. Effective within a second."""
    _change(address, project, {"is_enabled": True}, as_json=as_json)


@senders.command("disable")
def disable_sender(address: SenderAddress, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Take no more mail from a sender. Effective within a second; what was accepted goes out."""
    _change(address, project, {"is_enabled": False}, as_json=as_json)


@senders.command("default")
def choose_default(address: SenderAddress, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Make a sender the project's default."""
    _change(address, project, {"is_default": True}, as_json=as_json)


@senders.command("remove")
def remove_sender(address: SenderAddress, project: Project = DEFAULT_PROJECT) -> None:
    """Forget a sender. Effective within a second; what was accepted goes out."""
    session.run_in(project, lambda services, project_id: services.senders.remove(project_id, address))


@senders.command("allow")
def allow(
    domain: Annotated[str, typer.Argument(help="A domain of the project.")],
    rule: Annotated[SenderRule | None, typer.Argument(help="Which of its addresses may send.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set whether any address of a domain may send, or only those listed. Effective within a second."""

    async def work(services: Services, project_id: UUID) -> dict[str, object]:
        if rule is not None:
            await services.identity.change_domain(project_id, domain, {"senders": rule})
        said = await services.senders.rule(project_id, domain)
        return {"domain": said.name, "senders": said.rule}

    output.show_facts(session.run_in(project, work), as_json=as_json)


@senders.command("alignment")
def alignment(
    mode: Annotated[UnalignedFrom | None, typer.Argument(help="Refuse it, or re-write its From.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set what becomes of mail that would fail DMARC. Effective within a second."""

    async def work(services: Services, project_id: UUID) -> UnalignedFrom:
        if mode is not None:
            await services.project_terms.change(project_id, {"unaligned_from": mode})
        return await services.senders.alignment(project_id)

    output.show_facts({"alignment": session.run_in(project, work)}, as_json=as_json)


@senders.command("prove")
def prove(
    address: Annotated[str, typer.Argument(help="A mailbox on a domain that is not the project's.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Mail a link to a mailbox, by which its owner lets the project send in its name. It works once, for a day."""

    async def work(services: Services, project_id: UUID) -> Sender:
        async with asyncio.TaskGroup() as group:
            group.create_task(services.accept.run())
            offered = await _offer(services, project_id, address)
            services.accept.stop()
        if isinstance(offered, OutriderError):
            raise offered
        return offered

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


async def _offer(services: Services, project_id: UUID, address: str) -> Sender | OutriderError:
    """Mail the link; an error of ours is returned, since a task group would wrap it."""
    try:
        return await services.proofs.offer(project_id, address)
    except OutriderError as error:
        return error


def _change(address: str, project: str, changes: Mapping[str, object], *, as_json: bool) -> None:
    changed = session.run_in(
        project, lambda services, project_id: services.senders.change(project_id, address, changes)
    )
    output.show_facts(_facts(changed), as_json=as_json)


def _facts(sender: Sender) -> dict[str, object]:
    return {
        "address": sender.address,
        "name": sender.name,
        "domain": sender.domain,
        "is_default": sender.is_default,
        "is_enabled": sender.is_enabled,
        "may_send": sender.may_send,
        "proven_at": sender.proven_at,
    }


def _listed(one: Listed) -> dict[str, object]:
    names = [name for name, is_aligned in (("dkim", one.alignment.dkim), ("spf", one.alignment.spf)) if is_aligned]
    return _facts(one.sender) | {"aligned": ", ".join(names)}
