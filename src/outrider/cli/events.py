"""`outrider events`: the event log, in its order or searched.

Alone it reads the log by cursor: a cursor printed once shows where to go on, and no event is skipped. `search` finds
what happened to a project's mail by anything in its life, newest first.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import typer

from outrider.app import Services
from outrider.base import digits
from outrider.base.errors import CallerError
from outrider.base.vocab import EventKind
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.engine import feed
from outrider.engine.feed import Cursor, Event
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.log_search import EVER, EventSearch, LoggedEvent, Search

events = typer.Typer(help="The event log of this installation; search in a project's.")
_PAGE_COUNT: Final = 500  # Events read at a time.
_FOLLOW_S: Final = 0.5  # How often --follow looks.
_TOLD: Final = ("url", "host", "ip", "client", "send_at")  # Facts for people, the first that is there.


@events.callback(invoke_without_command=True)
def log(
    context: typer.Context,
    after: Annotated[str, typer.Option(help="A cursor printed before, as XID-ID.")] = "0-0",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the event log of this installation, in its order, one line an event."""
    if context.invoked_subcommand is not None:
        return

    async def work(services: Services) -> None:
        cursor = _parse_cursor(after)
        while True:
            page = await feed.read(services.store, cursor, count_max=_PAGE_COUNT)
            for event in page:
                cursor = event.cursor
                sys.stdout.write(_event_line(event, as_json=as_json))
            sys.stdout.flush()
            if not page:
                if not follow:
                    return
                await services.context.clock.sleep(_FOLLOW_S)

    try:
        session.run(work)
    except KeyboardInterrupt:
        return  # The way to end --follow.


@events.command("search")
def search(
    words: Annotated[str, typer.Argument(help="A part of an address, subject, reply, reason, link, host or tag.")] = "",
    *,
    message: Annotated[str, typer.Option("--session", help="Of this mail.")] = "",
    kind: Annotated[list[EventKind] | None, typer.Option(help="Only these; may be given often.")] = None,
    recipient: Annotated[str, typer.Option(help="A part of the address, such as @x.example.")] = "",
    sender: Annotated[str, typer.Option("--from", help="A part of the sender's address.")] = "",
    subject: Annotated[str, typer.Option(help="A part of it.")] = "",
    template: Annotated[str, typer.Option(help="The id of a template.")] = "",
    campaign: Annotated[str, typer.Option(help="Exactly this.")] = "",
    list_name: Annotated[str, typer.Option("--list", help="Exactly this.")] = "",
    tag: Annotated[str, typer.Option(help="Exactly this.")] = "",
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be given often.")] = None,
    reason: Annotated[str, typer.Option(help="Exactly this.")] = "",
    provider: Annotated[str, typer.Option(help="Where it went.")] = "",
    source: Annotated[str, typer.Option(help="Which of our sources it left from.")] = "",
    remote: Annotated[str, typer.Option(help="A part of the other server's name or IP.")] = "",
    tls: Annotated[str, typer.Option(help="A part of what is known of the encryption.")] = "",
    reply: Annotated[str, typer.Option(help="A part of what the other server said.")] = "",
    url: Annotated[str, typer.Option(help="A part of a link that was clicked.")] = "",
    agent: Annotated[str, typer.Option(help="A part of a reader's agent or mail program.")] = "",
    country: Annotated[str, typer.Option(help="A reader's, two letters.")] = "",
    since: Annotated[str, typer.Option(help="Not before, as 2026-12-24T08:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Events at most.")] = 50,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Find what happened to a project's mail by anything in its life, newest first. All that is given holds together.

    It looks back until it has found as many as were asked for: say --since where that is long.
    """
    attempt = {"reason": reason, "provider": provider, "source": source, "remote": remote, "tls": tls, "reply": reply}
    reader = {"url": url, "agent": agent, "country": country}
    mail = {"recipient": recipient, "sender": sender, "subject": subject, "template_id": template}
    marks = {"campaign": campaign, "list_name": list_name, "tag": tag, "words": words}
    try:
        asked = Search(
            since=_instant(since, "since") or EVER,
            message_id=session.parse_session(message) if message else None,
            kinds=kind or (),
            metadata=dict(_pair(text) for text in metadata or ()),
        )
        before = _instant(until, "until")
    except CallerError as error:
        session.fail(error)
    wanted = msgspec.structs.replace(asked, **attempt, **reader, **mail, **marks)

    async def work(services: Services, project_id: UUID) -> Sequence[LoggedEvent]:
        return await _look(services, project_id, wanted, before, limit)

    output.show(session.run_in(project, work), _tell, as_json=as_json)


async def _look(
    services: Services, project_id: UUID, wanted: Search, until: datetime | None, count_max: int
) -> Sequence[LoggedEvent]:
    """Return up to `count_max` events, however far back they lie."""
    log = EventSearch(services.store, clock=services.context.clock)
    found: list[LoggedEvent] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < count_max:
        most = min(_PAGE_COUNT, count_max - len(found))
        page = await log.page(project_id, wanted, until=until, cursor=cursor, count_max=most)
        found += page.events
        cursor = page.next_cursor
    return found


def _tell(found: Sequence[LoggedEvent]) -> None:
    rows = [
        [f"{one.at:%Y-%m-%d %H:%M:%S}", one.kind, one.recipient, one.subject, one.reason, one.reply or _told(one)]
        for one in found
    ]
    output.show_table(["AT", "KIND", "RECIPIENT", "SUBJECT", "REASON", "WHAT"], rows, empty="Nothing was found.")


def _told(one: LoggedEvent) -> str:
    return next((str(one.facts[name]) for name in _TOLD if one.facts.get(name)), "")


def _instant(text: str, field: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError as error:
        raise CallerError("An instant looks like 2026-12-24T08:00:00Z.", field=field) from error


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise CallerError("It is written as KEY=VALUE.", field="metadata")
    return key, value


def _parse_cursor(text: str) -> Cursor:
    before, _, after = text.partition("-")
    xid, event_id = digits.parse(before), digits.parse(after)
    if xid is None or event_id is None:
        raise CallerError("A cursor is two numbers, such as 0-0.", field="after")
    return Cursor(xid, event_id)


def _event_line(event: Event, *, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(event).decode() + "\n"
    place = f"{event.cursor.xid}-{event.cursor.event_id}"
    whose = event.recipient_id or event.message_id
    return f"{event.at:%Y-%m-%dT%H:%M:%S}Z {place} {event.kind} {whose} {event.reason} {event.reply}".rstrip() + "\n"
