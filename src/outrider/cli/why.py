"""`outrider why SUBJECT`, `outrider show RECIPIENT`: what mail waits for, and all that happened to one recipient.

`why` takes a recipient (address or id), a session, a lane's number or a domain, and answers a line for each cause:
`41 wait: gmail, 5 of 5 connections in use from mta1, since 14:01:05 UTC; next look in 12 s`. Recipients and sessions
are those of one project.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.engine.explain import Explanation, Shown
from outrider.services.accounts import DEFAULT_PROJECT


def why(
    subject: Annotated[str, typer.Argument(help="An address, a recipient's or a session's id, a lane, a domain.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Say what mail waits for: which limit, rule or hold, since when, until when."""
    told = session.run_in(
        project, lambda services, project_id: session.explainer(services).why(subject, project_id=project_id)
    )
    output.show(told, _tell_why, as_json=as_json)


def show(
    recipient: Annotated[str, typer.Argument(help="A recipient's id, or an address: its newest mail.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show a recipient's record and every attempt with what was said."""
    shown = session.run_in(
        project, lambda services, project_id: session.explainer(services).show(recipient, project_id=project_id)
    )
    output.show(shown, _tell_recipient, as_json=as_json)


def _tell_why(told: Sequence[Explanation]) -> None:
    for explanation in told:
        output.show_text(explanation.subject)
        for line in explanation.lines:
            output.show_text(f"  {line.sentence}")


def _tell_recipient(shown: Shown) -> None:
    seen = shown.recipient
    names = ("recipient_id", "address", "message_id", "status", "reason", "reply", "attempt")
    record = msgspec.structs.asdict(seen)
    facts = {name.replace("_id", "").replace("message", "session"): record[name] for name in names}
    times = {"accepted": seen.accepted_at, "expires": seen.expires_at, "next try": seen.due_at}
    facts |= {name: at for name, at in times.items() if at is not None}
    facts |= {"from": seen.sender, "subject": seen.subject}
    names_given = {"campaign": seen.campaign, "list": seen.list_name}
    output.show_facts(facts | {name: value for name, value in names_given.items() if value})
    for line in shown.why:
        output.show_text(f"why: {line.sentence}")
    for spoken in shown.events:
        output.show_text(f"\n{spoken.headline}")
        for words in spoken.dialogue:
            output.show_text(f"    {words}")
