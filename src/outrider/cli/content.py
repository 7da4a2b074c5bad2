"""`outrider content ...`: how a mail would be judged, and what becomes of it for that.

`check` shows a file to the junk filter and the lint, as they would see it when it is handed in; nothing is sent or
kept. `policy` shows or sets what a project says itself in place of [content] in the settings; an operator may always.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.base.vocab import ContentAction, Stream
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.cli.session import EXIT_DATA
from outrider.engine.content import Candidate
from outrider.mail import address
from outrider.policy.content import ContentVerdict
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.content import PolicyView

content = typer.Typer(help="What mail says: how it would be judged, and what follows.", no_args_is_help=True)
DEFAULT: Final = "default"
_SCORE_HELP = "From this score on; 0: as the filter says itself; default: as the installation."
Score = Annotated[str | None, typer.Option(metavar="N|default", help=_SCORE_HELP)]
Action = Annotated[str | None, typer.Option(metavar="pass|tag|hold|refuse|default", help="What becomes of such mail.")]


@content.command()
def check(
    file: Annotated[Path, typer.Argument(help="A whole message (.eml), or the HTML or text of one (.html, .txt).")],
    *,
    sender: Annotated[str, typer.Option("--from", help="Of HTML or text: who sends it.")] = "sender@example.com",
    to: Annotated[str, typer.Option(help="Of HTML or text: who gets it.")] = "recipient@example.com",
    subject: Annotated[str, typer.Option(help="Of HTML or text.")] = "",
    stream: Annotated[Stream, typer.Option(help="Marketing must be easy to leave.")] = Stream.TRANSACTIONAL,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Say how a mail would be judged. Ends with 65 if it would be refused, else 0."""
    octets = _read(file)

    async def work(services: Services, project_id: UUID) -> ContentVerdict:
        try:
            if file.suffix.lower() == ".eml":
                return await services.contents.check_message(project_id, octets, stream=stream)
            is_html = file.suffix.lower() in (".html", ".htm")
            text = octets.decode("utf-8", "replace")
            candidate = Candidate(
                project_id=project_id,
                stream=stream,
                sender=address.parse(sender),
                from_name="",
                to=address.parse(to),
                subject=subject,
                text=None if is_html else text,
                html=text if is_html else None,
            )
            return await services.contents.check(candidate)
        finally:
            await services.contents.close()

    verdict = session.run_in(project, work)
    output.show(verdict, _tell_verdict, as_json=as_json)
    if verdict.action is ContentAction.REFUSE:
        raise SystemExit(EXIT_DATA)


@content.command()
def policy(
    *,
    tag: Score = None,
    hold: Score = None,
    refuse: Score = None,
    when_down: Annotated[
        str | None, typer.Option(metavar="pass|hold|default", help="While the junk filter does not answer.")
    ] = None,
    lint_errors: Action = None,
    lint_warnings: Action = None,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show or set what becomes of a project's mail for its content; what is not given stays. Counts within a second."""
    given = {
        "tag_score": tag,
        "hold_score": hold,
        "refuse_score": refuse,
        "when_down": when_down,
        "lint_errors": lint_errors,
        "lint_warnings": lint_warnings,
    }
    changes = {name: _value(name, text) for name, text in given.items() if text is not None}

    async def work(services: Services, project_id: UUID) -> PolicyView:
        if changes:
            await services.project_terms.change(project_id, {"content": changes}, by_operator=True)
        return await services.contents.policy(project_id)

    output.show(session.run_in(project, work), _tell_policy, as_json=as_json)


def _value(name: str, text: str) -> Any:
    if text == DEFAULT:
        return None
    if not name.endswith("_score"):
        return text
    try:
        return float(text)
    except ValueError:
        session.fail(CallerError(f"{name} is a number, or {DEFAULT}.", field=name))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error


def _tell_verdict(verdict: ContentVerdict) -> None:
    facts: dict[str, object] = {"it would": _WORDS[verdict.action]}
    if verdict.sentence:
        facts["why"] = verdict.sentence
    if verdict.score is not None:
        facts["score"] = f"{verdict.score:g} (the filter refuses from {verdict.required:g} on)"
    output.show_facts(facts)
    if verdict.symbols:
        sys.stdout.write("\n")
        rows = [[f"{one.score:+g}", one.name, one.words] for one in verdict.symbols]
        output.show_table(["SCORE", "RULE", "WHAT IT LOOKS FOR"], rows, empty="")
    if verdict.faults:
        sys.stdout.write("\n")
        rows = [["error" if one.is_error else "warning", one.code, one.sentence, one.where] for one in verdict.faults]
        output.show_table(["SEVERITY", "FAULT", "WHAT IS WRONG", "WHERE"], rows, empty="")


_WORDS: Final = {
    ContentAction.PASS: "pass",
    ContentAction.TAG: "be tagged with its score, and go out",
    ContentAction.HOLD: "be held until somebody releases it",
    ContentAction.REFUSE: "be refused",
}


def _tell_policy(view: PolicyView) -> None:
    facts: dict[str, object] = {}
    for name in view.counts.__struct_fields__:
        value = getattr(view.counts, name)
        shown = "as the filter says" if name.endswith("_score") and not value else value
        facts[name] = f"{shown} (the project's own)" if getattr(view.own, name) is not None else shown
    facts["junk filter"] = "there is one" if view.has_filter else "none: [content] rspamd_url names it"
    facts["judged when handed in"] = "yes" if view.is_on else "no"
    output.show_facts(facts)
