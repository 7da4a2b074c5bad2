"""`outrider tracking ...`: which opens and clicks are tracked, of a project's mail or of one domain's.

What a domain says counts over its project, field by field. It counts within a second, for mail that nobody has begun to
compose.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.base.vocab import TrackedMail
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.mail import address
from outrider.policy.tracking import Terms
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.tracking_terms import TermsView

tracking = typer.Typer(help="Tracking: opens, clicks, parameters of links, the footer.", no_args_is_help=True)
Domain = Annotated[str, typer.Option("--domain", metavar="NAME", help="One of its domains; without it the project.")]


@tracking.command("show")
def show(domain: Domain = "", as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Show what is tracked, and what links begin with."""

    async def work(services: Services, project_id: UUID) -> TermsView:
        name = await _known(services, project_id, domain)
        return await services.tracking_terms.view(project_id, name)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


@tracking.command("set")
def set_terms(
    *,
    opens: Annotated[TrackedMail | None, typer.Option(help="Whose opens, by a pixel in HTML.")] = None,
    clicks: Annotated[TrackedMail | None, typer.Option(help="Whose clicks, by links that lead here first.")] = None,
    text_links: Annotated[bool | None, typer.Option(help="Links in plain text, too.")] = None,
    utm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Appended to links, such as utm_source=news.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Links there stay as they are; *.HOST: all below it.")
    ] = None,
    privacy: Annotated[bool | None, typer.Option(help="Store neither addresses nor agents of readers.")] = None,
    footer: Annotated[bool | None, typer.Option(help="A line to unsubscribe in marketing mail without one.")] = None,
    honey_link: Annotated[bool | None, typer.Option(help="A link that only machines follow.")] = None,
    reset: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Say nothing of it any more.")] = None,
    domain: Domain = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Say what is tracked from now on; what is not given stays. --utm and --exclude replace all of theirs."""
    said: dict[str, object] = {
        "opens": opens,
        "clicks": clicks,
        "text_links": text_links,
        "utm": _pairs(utm) if utm else None,
        "excluded_hosts": exclude or None,
        "is_private": privacy,
        "footer": footer,
        "honey_link": honey_link,
    }
    changes = {name: value for name, value in said.items() if value is not None}

    async def work(services: Services, project_id: UUID) -> TermsView:
        name = await _known(services, project_id, domain)
        return await services.tracking_terms.change(project_id, changes | _nothing(reset or ()), domain=name)

    output.show_facts(_facts(session.run_in(project, work)), as_json=as_json)


async def _known(services: Services, project_id: UUID, domain: str) -> str:
    """Return the name of a domain that the project has, "" for none. Raises NotFoundError, CallerError."""
    return (await services.identity.domain(project_id, address.parse_domain(domain))).name if domain else ""


def _nothing(fields: Sequence[str]) -> dict[str, object]:
    for field in fields:
        if field not in Terms.__struct_fields__:
            raise CallerError(f"There is {', '.join(Terms.__struct_fields__)}; not {field}.", field="reset")
    return {field: None for field in fields}  # noqa: C420 - of that type.


def _pairs(texts: Sequence[str]) -> Mapping[str, str]:
    for text in texts:
        if "=" not in text:
            raise CallerError(f"--utm takes NAME=VALUE, such as utm_source=news; not {text!r}.", field="utm")
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def _facts(view: TermsView) -> Mapping[str, object]:
    own = {name: getattr(view.own, name) for name in Terms.__struct_fields__}
    counts = {name: getattr(view.terms, name) for name in Terms.__struct_fields__}
    return {
        **{name: _shown(value) for name, value in counts.items()},
        "said_here": ", ".join(name for name, value in own.items() if value is not None),
        "links_begin_with": view.base_url or "(nothing: [faces] public_url is not set, so nothing is tracked)",
    }


def _shown(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return ", ".join(value) if isinstance(value, list) else value
