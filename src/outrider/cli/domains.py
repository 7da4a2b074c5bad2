"""`outrider domain ...`: the domains a project sends from, and what DNS says of them.

All are safe to repeat: what is there already is shown, not refused. `domain add --verified` takes the operator's word
that the records are published. `domain verify` ends with 0 when the domain passes, else with 1. `domain rate` without
a number shows the rate, `domain bounces` without a name where bounces come back to. Other tools rely on
`domain dns NAME --json` printing a list with `type`, `host` and `value` of each record. `domain release` asks first, or
wants --yes.
"""

import enum
import sys
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError
from outrider.base.vocab import MtaSts, RecordState, Stream
from outrider.cli import output, records, session
from outrider.cli.options import AsJson, Project
from outrider.mail import orgdomain
from outrider.mail.dkim import ALGORITHMS
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.identity import BounceDomain, Domain
from outrider.services.release import Released
from outrider.services.verification import DomainReport

domains = typer.Typer(
    help="Sending domains: add, DNS records, verify, show, list, set, remove, release, rate, bounces.",
    no_args_is_help=True,
)
DomainName = Annotated[str, typer.Argument(help="The domain, such as mail.shop.example.")]
_NONE = "none"
_EXIT_FAILED = 1


class MailType(enum.StrEnum):
    """What a domain is for, as it is asked for."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"
    BOTH = "both"


_TypeOption = Annotated[
    MailType | None, typer.Option("--type", help="The only mail it is to send; the other is refused. Default: both.")
]
_ReturnPath = Annotated[
    str | None,
    typer.Option(help="The host its bounces come back to, or none. Default: bounces.NAME; with --verified, none."),
]
_Tracking = Annotated[str | None, typer.Option(help="The host of its tracked links, such as track.NAME, or none.")]


@domains.command("add")
def add_domain(
    name: DomainName,
    *,
    verified: Annotated[
        bool, typer.Option("--verified", help="It is ours and its records are published: allow sending now.")
    ] = False,
    mail_type: _TypeOption = None,
    return_path: _ReturnPath = None,
    tracking: _Tracking = None,
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
            made.project_id,
            name,
            is_verified=verified,
            algorithms=algorithm or ALGORITHMS,
            stream=_stream_of(mail_type),
            return_path=_host(return_path),
            tracking_host=_host(tracking) or "",
        )

    domain = session.run(work)
    output.show_facts(records.facts_of(domain), as_json=as_json)
    if as_json:
        return
    if orgdomain.of(domain.name) == domain.name and not verified:
        typer.echo(
            f"\nAdvice: a sub-domain, say mail.{domain.name}, keeps the reputation of what you send, and its records,"
            f" apart from those of {domain.name} itself."
        )
    output.show_facts({"next": f"outrider domain dns {domain.name}"})


@domains.command("list")
def list_domains(as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the project's domains."""
    found = session.run_in(project, lambda services, project_id: services.identity.list_domains(project_id))
    if as_json:
        output.show_json([records.facts_of(one) for one in found])
        return
    columns = ["DOMAIN", "TYPE", "STATUS", "RECORDS", "PER MINUTE", "CHECKED"]
    output.show_table(columns, records.rows_of(found), empty="No domains.")


@domains.command("dns")
def show_dns(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Print the DNS records to publish for a domain, merged with those that were seen. Asks nobody.

    With them the address to register with feedback loops (Yahoo CFL, Microsoft JMRP).
    """

    async def work(services: Services, project_id: UUID) -> tuple[DomainReport, BounceDomain]:
        report = await services.verification.report(project_id, name)
        own = report.domain.return_path
        bounces = BounceDomain(own, is_shared=False) if own else await services.identity.bounce_domain(project_id)
        return report, bounces

    report, bounces = session.run_in(project, work)
    if as_json:
        output.show_json(report.records)
        return
    records.tell(report, with_state=False)
    if bounces.feedback_address:
        output.show_facts({"feedback_address": bounces.feedback_address})
    output.show_facts({"next": f"publish them, then outrider domain verify {report.domain.name}"})


@domains.command("show")
def show_domain(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Show a domain with its records, and what DNS said of each last. Asks nobody."""
    report = session.run_in(project, lambda services, project_id: services.verification.report(project_id, name))
    output.show(report, records.tell, as_json=as_json)


@domains.command("verify")
def verify_domain(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Ask DNS about a domain's records now. Ends with 0 when it passes, else with 1."""
    report = session.run_in(project, lambda services, project_id: services.verification.verify(project_id, name))
    output.show(report, records.tell, as_json=as_json)
    if report.domain.state is not RecordState.PASSED:
        raise SystemExit(_EXIT_FAILED)


@domains.command("set")
def set_domain(
    name: DomainName,
    *,
    mail_type: _TypeOption = None,
    return_path: Annotated[str | None, typer.Option(help="The host its bounces come back to, or none.")] = None,
    tracking: _Tracking = None,
    mta_sts: Annotated[
        MtaSts | None,
        typer.Option(help="The policy for mail to its return path: testing, then enforce; none, then off, to end it."),
    ] = None,
    bimi_logo: Annotated[str | None, typer.Option(help="The https URL of its logo, an SVG, or none.")] = None,
    bimi_certificate: Annotated[
        str | None, typer.Option(help="The https URL of the logo's mark certificate, or none.")
    ] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Change what a domain is for, where its hosts are, and its optional records.

    Of one that is proven, type and hosts that are set already stay.
    """
    given: dict[str, object] = {
        "return_path": _host(return_path),
        "tracking_host": _host(tracking),
        "mta_sts": mta_sts,
        "bimi_logo": _host(bimi_logo),
        "bimi_certificate": _host(bimi_certificate),
    }
    changes = {part: value for part, value in given.items() if value is not None}
    if mail_type is not None:
        changes["stream"] = _stream_of(mail_type)

    async def work(services: Services, project_id: UUID) -> Domain:
        return await services.identity.change_domain(project_id, name, changes)

    output.show_facts(records.facts_of(session.run_in(project, work)), as_json=as_json)


@domains.command("remove")
def remove_domain(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Remove a domain that was never proven, with its keys and senders."""
    removed = session.run_in(project, lambda services, project_id: services.identity.remove_domain(project_id, name))
    output.show_facts({"removed": removed.name}, as_json=as_json)


@domains.command("release")
def release_domain(
    name: DomainName,
    *,
    drop: Annotated[bool, typer.Option("--drop", help="Cancel its mail that waits; else it is not given up.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Give up a domain, proven or not, with its keys and senders: another project may prove it. No way back."""
    if not yes:
        _ask(f"Give up {name} with its keys and senders{' and the mail that waits' if drop else ''}?")

    async def work(services: Services, project_id: UUID) -> Released:
        return await services.releases.release(project_id, name, is_dropping=drop)

    released = session.run_in(project, work)
    output.show_facts(
        {
            "released": released.name,
            "dropped_count": released.dropped_count,
            "bounce_domain_ended": released.bounce_domain,
        },
        as_json=as_json,
    )


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
        return await services.identity.change_domain(project_id, name, {"rate_per_minute": _parse_rate(per_minute)})

    output.show_facts(records.facts_of(session.run_in(project, work)), as_json=as_json)


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


def _ask(question: str) -> None:
    """Return if somebody says yes; end the program else."""
    if not sys.stdin.isatty():
        session.fail(CallerError("Nobody is there to ask: say --yes.", field="yes"))
    typer.confirm(question, abort=True, err=True)


def _stream_of(mail_type: MailType | None) -> Stream | None:
    return None if mail_type in (None, MailType.BOTH) else Stream(mail_type.value)


def _host(text: str | None) -> str | None:
    return "" if text == _NONE else text


def _parse_rate(text: str) -> int | None:
    if text == "none":
        return None
    if (rate := digits.parse(text)) is None:
        raise CallerError("A rate is a number of mails a minute, or none.", field="rate_per_minute")
    return rate
