"""`outrider mailbox`: the built-in mailbox of catch mode, in the terminal.

Needs no running server: it reads the Maildir in the data directory, and the database only to check signatures, against
the keys as DNS should have them. Text is shown with control characters replaced: a terminal would obey them.
"""

import asyncio
import sys
from typing import Annotated

import typer

from outrider import app
from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.mail import parse
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services import signatures
from outrider.services.catch import CaughtPage


def mailbox(
    name: Annotated[str | None, typer.Argument(help="A message to show; without it, list them.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=limits.CAUGHT_LIST_COUNT_MAX, help="How many to list, newest first.")
    ] = 20,
    source: Annotated[bool, typer.Option("--source", help="Print the message as it was received.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Delete every message.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the mail that catch mode received, or show one message with its signature check."""
    config = session.settings()
    box = app.make_mailbox(app.make_context(config, "", make_logger(LogSettings(level="warning"), "cli")))
    try:
        if clear:
            output.show_facts({"deleted_count": asyncio.run(box.clear())}, as_json=as_json)
        elif name is None:
            _show_list(asyncio.run(box.list(limit)), as_json=as_json)
        elif source:
            sys.stdout.buffer.write(asyncio.run(box.read(name)))
        else:
            _show_message(name, asyncio.run(box.read(name)), as_json=as_json)
    except CallerError as error:
        session.fail(error)
    finally:
        box.close()


def _show_list(page: CaughtPage, *, as_json: bool) -> None:
    if as_json:
        output.show_json(page.messages)
        return
    rows = [
        [f"{m.caught_at:%Y-%m-%d %H:%M:%S}", m.author, ", ".join(m.envelope_recipients), m.subject, m.name]
        for m in page.messages
    ]
    output.show_table(["CAUGHT (UTC)", "FROM", "TO", "SUBJECT", "NAME"], rows, empty="The mailbox is empty.")
    if page.has_more:
        sys.stderr.write(f"... of {page.total_count}; --limit shows more.\n")


def _show_message(name: str, content: bytes, *, as_json: bool) -> None:
    parsed = parse.parse(content)
    checks = session.run(lambda services: signatures.check(content, services.keys.published_record))
    facts = {"from": parsed.sender, "to": parsed.to, "date": parsed.date, "subject": parsed.subject}
    if as_json:
        output.show_json({"name": name, **facts, "message": parsed, "signatures": checks})
        return
    output.show_facts(facts)
    for check in checks:
        output.show_facts({f"dkim {check.algorithm}": f"{check.result}  {check.selector}._domainkey.{check.domain}"})
    output.show_text("\n" + (parsed.text or parsed.html or ""))
