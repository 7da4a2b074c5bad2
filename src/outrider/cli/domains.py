"""`outrider domain ...`: the domains a project sends from.

All are safe to repeat: what is there already is shown, not refused. `domain add --verified` takes the operator's word
until DNS checks come. `domain rate` without a number shows the rate, `domain bounces` without a name where bounces
come back to. Other tools rely on `domain dns NAME --json` printing a list of `{type, host, value}`.
"""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.identity import ALGORITHMS, BounceDomain, DnsRecord, Domain

domains = typer.Typer(help="Sending domains: add, list, DNS records, rate, bounces.", no_args_is_help=True)
DomainName = Annotated[str, typer.Argument(help="The domain, such as mail.shop.example.")]


@domains.command("add")
def add_domain(
    name: DomainName,
    *,
    verified: Annotated[
        bool, typer.Option("--verified", help="It is ours and its records are published: allow sending now.")
    ] = False,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Sign with this only; may be given twice. Default: both.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Add a domain with its DKIM keys (RSA-2048 and Ed25519). Safe to repeat."""

    async def work(services: Services) -> Domain:
        made = await services.accounts.ensure_project(project)
        return await services.identity.add_domain(
            made.project_id, name, is_verified=verified, algorithms=algorithm or ALGORITHMS
        )

    domain = session.run(work)
    output.show_facts(_domain_facts(domain), as_json=as_json)
    if not as_json:
        output.show_facts({"next": f"outrider domain dns {domain.name}"})


@domains.command("list")
def list_domains(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's domains."""
    found = session.run_in(project, lambda services, project_id: services.identity.list_domains(project_id))
    rows = [_domain_facts(domain) for domain in found]
    output.show_rows(["DOMAIN", "STATUS", "ADDED", "PER MINUTE"], rows, empty="No domains.", as_json=as_json)


@domains.command("dns")
def show_dns(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Print the DNS records to publish for a domain, and the address to register with feedback loops."""

    async def work(services: Services, project_id: UUID) -> tuple[Sequence[DnsRecord], BounceDomain]:
        records = await services.identity.dns_records(project_id, name)
        return records, await services.identity.bounce_domain(project_id)

    records, bounces = session.run_in(project, work)
    output.show(records, _tell_records, as_json=as_json)
    if bounces.feedback_address and not as_json:
        output.show_facts({"feedback_address": bounces.feedback_address})


@domains.command("rate")
def set_rate(
    name: DomainName,
    per_minute: Annotated[
        str | None, typer.Argument(metavar="[N|none]", help="Mails a minute; none: no limit.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set how many mails a minute may leave from a domain. Effective within a second, for waiting mail too."""

    async def work(services: Services, project_id: UUID) -> Domain:
        if per_minute is None:
            return await services.identity.domain(project_id, name)
        return await services.identity.set_rate(project_id, name, _parse_rate(per_minute))

    output.show_facts(_domain_facts(session.run_in(project, work)), as_json=as_json)


@domains.command("bounces")
def set_bounce_domain(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A verified domain of the project, or one below it.")
    ] = None,
    *,
    shared: Annotated[
        bool, typer.Option("--shared", help="Use the installation's, [inbound] bounce_domain, again.")
    ] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set the domain that the project's bounces come back to. Used within half a minute.

    The feedback_address is for the forms of feedback loops (Yahoo CFL, Microsoft JMRP): complaints then come by
    themselves.
    """
    if name is not None and shared:
        raise typer.BadParameter("a name or --shared, not both", param_hint="--shared")

    async def work(services: Services, project_id: UUID) -> BounceDomain:
        if name is None and not shared:
            return await services.identity.bounce_domain(project_id)
        return await services.identity.set_bounce_domain(project_id, name or "")

    found = session.run_in(project, work)
    facts = {"bounce_domain": found.name, "is_shared": found.is_shared, "feedback_address": found.feedback_address}
    output.show_facts(facts, as_json=as_json)
    if name is not None and not as_json:
        output.show_facts({"next": "outrider domain dns DOMAIN prints its MX and SPF records too"})


def _tell_records(records: Sequence[DnsRecord]) -> None:
    for record in records:
        output.show_facts(msgspec.structs.asdict(record))
        typer.echo()


def _domain_facts(domain: Domain) -> dict[str, object]:
    status = "verified" if domain.verified_at else "unverified"
    return {
        "name": domain.name,
        "status": status,
        "created_at": domain.created_at,
        "rate_per_minute": domain.rate_per_minute,
    }


def _parse_rate(text: str) -> int | None:
    if text == "none":
        return None
    if (rate := digits.parse(text)) is None:
        raise CallerError("A rate is a number of mails a minute, or none.", field="rate_per_minute")
    return rate
