"""`outrider send`, `outrider status`: put mail in, see what became of it.

`send` is one more door to `engine.accept`, with the same rules as the API; the mail leaves when Outrider runs.
"""

import asyncio
import mimetypes
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError, OutriderError
from outrider.base.vocab import Stream
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.cli.session import EXIT_DATA
from outrider.engine.accept import Acceptor
from outrider.engine.sentences import suppression_text
from outrider.engine.submission import Accepted, Attachment, Submission
from outrider.mail import mailbox
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.reports import SessionView


def send(
    to: Annotated[
        list[str], typer.Argument(help="Recipients, up to 100; without --cc and --bcc each sees itself alone.")
    ],
    *,
    sender: Annotated[str, typer.Option("--from", help="A sender of the project.")],
    subject: Annotated[str, typer.Option(help="Up to 200 characters.")],
    text: Annotated[str | None, typer.Option(help="Plain text; `-` reads stdin.")] = None,
    html: Annotated[Path | None, typer.Option(help="A file with the HTML part.")] = None,
    from_name: Annotated[str, typer.Option(help="Display name.")] = "",
    stream: Annotated[Stream, typer.Option(help="Never mixed: guards and suppressions tell them apart.")] = (
        Stream.TRANSACTIONAL
    ),
    campaign: Annotated[str, typer.Option(help="The mailing it belongs to; guards judge its mail together.")] = "",
    list_name: Annotated[str, typer.Option("--list", help="The list it is for; who left that list is refused.")] = "",
    cc: Annotated[list[str] | None, typer.Option(help="Copies; then all see each other in To and Cc.")] = None,
    bcc: Annotated[list[str] | None, typer.Option(help="Blind copies; nobody sees them.")] = None,
    reply_to: Annotated[list[str] | None, typer.Option(help="Where answers go.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="A further field, as `Name: value`.")] = None,
    attach: Annotated[list[Path] | None, typer.Option(help="A file; may be given again.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word of yours to find and count mail by.")] = None,
    send_at: Annotated[str, typer.Option(help="Not before, as 2026-12-24T08:00:00Z; within 30 days.")] = "",
    pool: Annotated[str, typer.Option(help="Which pool of sources carries it.")] = "",
    key: Annotated[str, typer.Option("--idempotency-key", help="Sent again with the same key: sent once.")] = "",
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Send a mail. It is stored at once, and delivered as soon as Outrider runs."""
    is_shared = bool(cc or bcc)
    submission = Submission(
        sender=sender,
        recipients=tuple(_bare(one) for one in (*to, *(cc or ()), *(bcc or ()))),
        subject=subject,
        from_name=from_name,
        text=sys.stdin.read() if text == "-" else text,
        html=_read(html) if html else None,
        stream=stream,
        campaign=campaign,
        list_name=list_name,
        shown_to=tuple(to) if is_shared else (),
        shown_cc=tuple(cc or ()),
        reply_to=tuple(reply_to or ()),
        headers=tuple(_field(line) for line in header or ()),
        attachments=tuple(_file(path) for path in attach or ()),
        tags=tuple(tag or ()),
        send_at=_instant(send_at) if send_at else None,
        pool=pool,
    )
    accepted = session.run_in(project, lambda services, project_id: _hand_in(services, project_id, submission, key))
    output.show(accepted, _tell_accepted, as_json=as_json)
    if accepted.session_id is None:
        raise SystemExit(EXIT_DATA)


async def _hand_in(services: Services, project_id: UUID, submission: Submission, key: str) -> Accepted:
    async with asyncio.TaskGroup() as group:
        group.create_task(services.accept.run())
        result = await _accept(services.accept, project_id, submission, key)
        services.accept.stop()
    if isinstance(result, OutriderError):
        raise result
    return result


def _bare(text: str) -> str:
    """Return the address of a recipient that may have a name beside it; what is none is refused later, for itself."""
    try:
        return mailbox.parse(text).address.text
    except CallerError:
        return text


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise typer.BadParameter(f"{line!r} is not of the form Name: value", param_hint="--header")
    return name.strip(), value.strip()


def _file(path: Path) -> Attachment:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--attach") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Attachment(name=path.name, type=kind, content=content)


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("an instant looks like 2026-12-24T08:00:00Z", param_hint="--send-at") from None


def status(
    subject: Annotated[str, typer.Argument(metavar="SESSION", help="What the API calls SessionNo.")],
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show what became of a session: each recipient with its status and events."""
    view = session.run_in(
        project, lambda services, project_id: services.reports.session(project_id, session.parse_session(subject))
    )
    output.show(view, _tell_session, as_json=as_json)


def _tell_accepted(accepted: Accepted) -> None:
    if accepted.session_id:
        output.show_facts({"session": accepted.session_id, "recipients": accepted.recipient_count})
    rows = [[one.address, one.reason] for one in accepted.rejected]
    if rows:
        output.show_table(["REFUSED", "REASON"], rows, empty="")


def _tell_session(view: SessionView) -> None:
    rows = [
        [r.address, r.status, r.reason, r.reply, r.attempt_count, r.next_attempt_at, r.updated_at]
        for r in view.recipients
    ]
    columns = ["RECIPIENT", "STATUS", "REASON", "REPLY", "ATTEMPTS", "NEXT", "UPDATED"]
    output.show_table(columns, rows, empty="No recipients.")
    for known in (one for recipient in view.recipients for one in recipient.suppressions):
        output.show_text(suppression_text(known))


async def _accept(acceptor: Acceptor, project_id: UUID, submission: Submission, key: str) -> Accepted | OutriderError:
    """Accept; an error of ours is returned, since a task group would wrap it."""
    try:
        return await acceptor(project_id, submission, idempotency_key=key)
    except OutriderError as error:
        return error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"{path} cannot be read as UTF-8 text: {error}", field="html") from error
