"""`outrider template ...`: what mail is made from: written, published, approved, tried out.

`edit` writes a new version and keeps the old ones; nothing is sent of it before `publish`. `approve`, `reject` and
`review` are an operator's, for projects whose templates need approval (`outrider project approval`); so is `disable`
here: what it switches off, the project cannot switch on. A template is named by its id or its name.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import typer

from outrider.app import Services
from outrider.base.errors import CallerError, OutriderError
from outrider.base.vocab import Stream, TemplateState
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.engine.submission import Accepted
from outrider.mail.templating import Markup, Source, SourceVariant, Syntax
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.templates.templates import ListedTemplate, TemplateChoice, TemplateDetails, VersionFacts

templates = typer.Typer(help="Templates: write, publish, approve, preview, test; their versions.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="ID|NAME", help="The template.")]
_File = Annotated[Path, typer.Argument(metavar="FILE", help="HTML, MJML (.mjml) or plain text (.txt); `-`: stdin.")]
_Text = Annotated[Path | None, typer.Option(help="A file with the plain text beside it; else it is made.")]
_Variables = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="A variable; repeat it. Else a sample.")
]
_VariablesFile = Annotated[Path | None, typer.Option("--vars", help="A file with a JSON object of variables.")]
_Locale = Annotated[str, typer.Option(help="The language to show: de, pt-BR.")]
_Number = Annotated[int | None, typer.Option("--version", help="A version; else the newest.")]
_Publish = Annotated[bool, typer.Option("--publish", help="Publish it at once.")]
_STDIN: Final = Path("-")
_COUNT_MAX: Final = 500  # Ours: on one screen.


@templates.command("list")
def list_templates(
    *,
    name: Annotated[str, typer.Option(help="Somewhere in the name.")] = "",
    state: Annotated[list[TemplateState] | None, typer.Option(help="In this state; repeat it.")] = None,
    stream: Annotated[Stream | None, typer.Option(help="Of this kind of mail.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """List the project's templates, those changed last first."""
    choice = TemplateChoice(name=name, states=state or None, stream=stream, is_by_update=True, count_max=_COUNT_MAX)
    found = session.run_in(project, lambda services, project_id: services.templates.page(project_id, choice))
    columns = ["ID", "NAME", "TYPE", "STATE", "SENT", "EDITED", "SUBJECT", "CHANGED"]
    output.show_rows(columns, [_listed(one) for one in found], empty="No templates.", as_json=as_json)


@templates.command("show")
def show_template(
    template: Name, number: _Number = None, as_json: AsJson = False, project: Project = DEFAULT_PROJECT
) -> None:
    """Show a template and what is written in it."""

    async def work(services: Services, project_id: UUID) -> TemplateDetails:
        if number is None:
            return await services.templates.show(project_id, template)
        return await services.templates.version(project_id, template, number)

    output.show(session.run_in(project, work), _tell, as_json=as_json)


@templates.command("create")
def create_template(
    name: Annotated[str, typer.Argument(help="Its name.")],
    file: _File,
    *,
    subject: Annotated[str, typer.Option(help="With variables, as the body.")],
    preheader: Annotated[str, typer.Option(help="What a list of mail shows behind the subject.")] = "",
    text: _Text = None,
    stream: Annotated[Stream, typer.Option(help="The mail it is for.")] = Stream.TRANSACTIONAL,
    syntax: Annotated[Syntax, typer.Option(help="jinja: {{ name }}; braces: {name}.")] = Syntax.JINJA,
    publish: _Publish = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Store a new template."""
    variant = SourceVariant(
        subject=subject, preheader=preheader, body=_read(file), text=None if text is None else _read(text)
    )
    source = Source(markup=_markup(file), syntax=syntax, variants=(variant,))
    made = session.run_in(
        project,
        lambda services, project_id: services.templates.create(project_id, name, stream, source, is_published=publish),
    )
    output.show_facts(_facts(made), as_json=as_json)


@templates.command("edit")
def edit_template(
    template: Name,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A new body; `-`: stdin.")] = None,
    *,
    subject: Annotated[str | None, typer.Option(help="A new subject.")] = None,
    preheader: Annotated[str | None, typer.Option(help="A new preheader; an empty one: none.")] = None,
    text: _Text = None,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    stream: Annotated[Stream | None, typer.Option(help="The mail it is for.")] = None,
    publish: _Publish = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Write a new version: what is not given stays. Name and type count at once."""
    given = {
        "subject": subject,
        "preheader": preheader,
        "body": None if file is None else _read(file),
        "text": None if text is None else _read(text),
    }
    new: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if file is not None:
        new.setdefault("text", None)  # What was made from the old body goes with it.

    def edit(source: Source) -> Source:
        first, *others = source.variants
        changed = msgspec.structs.replace(source, variants=(msgspec.structs.replace(first, **new), *others))
        is_named = file is not None and file != _STDIN
        return msgspec.structs.replace(changed, markup=_markup(file)) if is_named and file else changed

    changed = session.run_in(
        project,
        lambda services, project_id: services.templates.change(
            project_id, template, edit if new else None, name=name, stream=stream, is_published=publish
        ),
    )
    output.show_facts(_facts(changed), as_json=as_json)


@templates.command("publish")
def publish_template(
    template: Name, number: _Number = None, as_json: AsJson = False, project: Project = DEFAULT_PROJECT
) -> None:
    """Send the newest version, with today's partials, or that one as it is; where somebody must approve, hand it in."""
    done = session.run_in(
        project, lambda services, project_id: services.templates.publish(project_id, template, number)
    )
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("review")
def review_template(template: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Tell the project that its version which waits is being looked at."""
    done = session.run_in(project, lambda services, project_id: services.templates.review(project_id, template))
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("approve")
def approve_template(template: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Publish the version that waits for it."""
    done = session.run_in(project, lambda services, project_id: services.templates.approve(project_id, template))
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("reject")
def reject_template(
    template: Name,
    why: Annotated[str, typer.Option(help="A sentence for its author.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Refuse the version that waits. What was published before is still sent."""
    done = session.run_in(project, lambda services, project_id: services.templates.reject(project_id, template, why))
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("disable")
def disable_template(
    template: Name,
    why: Annotated[str, typer.Option(help="A sentence for its author.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Take no more mail of a template, within a second. Only `enable` here lets it be sent again."""
    done = session.run_in(
        project,
        lambda services, project_id: services.templates.disable(project_id, template, reason=why, by_operator=True),
    )
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("enable")
def enable_template(template: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Put a disabled template back where it was."""
    done = session.run_in(
        project, lambda services, project_id: services.templates.enable(project_id, template, by_operator=True)
    )
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("delete")
def delete_template(template: Name, project: Project = DEFAULT_PROJECT) -> None:
    """Delete a template; it cannot be used, within a second. What was accepted goes out."""
    session.run_in(project, lambda services, project_id: services.templates.remove(project_id, template))


@templates.command("versions")
def list_versions(template: Name, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List the versions of a template, newest first."""
    found = session.run_in(project, lambda services, project_id: services.templates.list_versions(project_id, template))
    columns = ["VERSION", "STATE", "SUBJECT", "VARIABLES", "PARTIALS", "WRITTEN", "PUBLISHED"]
    output.show_rows(columns, [_version(one) for one in found], empty="No versions.", as_json=as_json)


@templates.command("restore")
def restore_version(
    template: Name,
    number: Annotated[int, typer.Argument(help="The version.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make what an old version says the newest draft."""
    done = session.run_in(
        project, lambda services, project_id: services.templates.restore(project_id, template, number)
    )
    output.show_facts(_facts(done), as_json=as_json)


@templates.command("preview")
def preview_template(
    template: Name,
    *,
    variables: _Variables = None,
    variables_file: _VariablesFile = None,
    locale: _Locale = "",
    number: _Number = None,
    html: Annotated[Path | None, typer.Option(help="Write the HTML part into this file.")] = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show what a mail looks like."""
    given = _filling(variables, variables_file)
    rendered = session.run_in(
        project,
        lambda services, project_id: services.trial.preview(project_id, template, given, number=number, locale=locale),
    )
    if html is not None:
        html.write_text(rendered.html or "", "utf-8")
    if as_json:
        output.show_json(rendered)
        return
    output.show_facts({"subject": rendered.subject})
    output.show_text(f"\n{rendered.text or ''}")
    for fault in rendered.faults:
        output.show_text(f"{'error' if fault.is_error else 'warning'}: {fault.sentence} {fault.where}".rstrip())


@templates.command("test")
def send_test(
    template: Name,
    to: Annotated[list[str], typer.Argument(help="Up to 10 addresses.")],
    *,
    variables: _Variables = None,
    variables_file: _VariablesFile = None,
    locale: _Locale = "",
    number: _Number = None,
    sender: Annotated[str, typer.Option("--from", help="A sender; else the project's default.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Send a template to a few people, its subject marked as a test."""
    given = _filling(variables, variables_file)

    async def send(services: Services, project_id: UUID) -> Accepted | OutriderError:
        try:
            return await services.trial.test(
                project_id, template, to, given, number=number, locale=locale, sender=sender
            )
        except OutriderError as error:
            return error  # A task group would wrap it.

    async def work(services: Services, project_id: UUID) -> Accepted:
        async with asyncio.TaskGroup() as group:
            group.create_task(services.accept.run())
            sent = await send(services, project_id)
            services.accept.stop()
        if isinstance(sent, OutriderError):
            raise sent
        return sent

    accepted = session.run_in(project, work)
    facts: dict[str, object] = {"session": accepted.session_id, "accepted": accepted.recipient_count}
    facts |= {f"not {one.address}": one.reason for one in accepted.rejected}
    output.show(accepted, lambda _: output.show_facts(facts), as_json=as_json)
    if accepted.session_id is None:
        raise SystemExit(session.EXIT_DATA)


def _tell(details: TemplateDetails) -> None:
    output.show_facts(_facts(details) | {"variables": ", ".join(details.version.variables)})
    for variant in details.source.variants:
        facts = {"locale": variant.locale, "subject": variant.subject, "preheader": variant.preheader}
        sys.stdout.write("\n")
        output.show_facts({name: value for name, value in facts.items() if value})
        output.show_text(f"\n{variant.body}")


def _facts(details: TemplateDetails) -> dict[str, object]:
    template, version = details.template, details.version
    return {
        "id": template.template_id,
        "name": template.name,
        "stream": template.stream,
        "state": template.state,
        "reason": template.state_reason,
        "sent_version": template.published_number,
        "version": version.number,
        "version_state": version.state,
    }


def _listed(one: ListedTemplate) -> dict[str, object]:
    template = one.template
    return {
        "id": template.template_id,
        "name": template.name,
        "stream": template.stream,
        "state": template.state,
        "sent_version": template.published_number,
        "version": template.head_number,
        "subject": one.subject,
        "updated_at": template.updated_at,
    }


def _version(facts: VersionFacts) -> dict[str, object]:
    return {
        "number": facts.number,
        "state": facts.state,
        "subject": facts.subject,
        "variables": ", ".join(facts.variables),
        "partials": ", ".join(facts.partials),
        "created_at": facts.created_at,
        "published_at": facts.published_at,
    }


def _filling(given: list[str] | None, file: Path | None) -> dict[str, object]:
    """Return the variables of the options; those given one by one before those of the file."""
    filled: dict[str, object] = {}
    if file is not None:
        try:
            filled |= msgspec.json.decode(_read(file), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise typer.BadParameter(f"not a JSON object: {error}", param_hint="--vars") from error
    for pair in given or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{pair!r} is not of the form NAME=VALUE", param_hint="--var")
        filled[name] = value
    return filled


def _markup(file: Path | None) -> Markup:
    suffix = "" if file is None else file.suffix.lower()
    return {".mjml": Markup.MJML, ".txt": Markup.TEXT}.get(suffix, Markup.HTML)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if file == _STDIN else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        session.fail(CallerError(f"{file} cannot be read: {error}.", field="file"))
