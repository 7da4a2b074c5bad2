"""`outrider`: all commands together. Imports late, so that `outrider --help` is quick."""

import sys

import typer

from outrider.cli import (
    accounts,
    domains,
    guard,
    mail,
    mailbox,
    projects,
    queue,
    rules,
    senders,
    serve,
    simulator,
    suppression,
    warmup,
    why,
)
from outrider.cli.session import EXIT_SOFTWARE

app = typer.Typer(
    help="Outrider: a self-hosted email platform. `outrider serve` starts it; `outrider init` prints a key pair.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(accounts.init)
app.command()(serve.serve)
app.add_typer(accounts.keys, name="key")
app.add_typer(projects.projects, name="project")
app.add_typer(domains.domains, name="domain")
app.add_typer(senders.senders, name="sender")
app.command()(mail.send)
app.command()(mail.status)
app.command()(mail.events)
app.add_typer(queue.queue, name="queue")
app.command()(why.why)
app.command()(why.show)
app.add_typer(suppression.suppression, name="suppression")
app.command()(mailbox.mailbox)
app.add_typer(warmup.warmups, name="warmup")
app.add_typer(rules.rules, name="rules")
app.add_typer(guard.guards, name="guard")
app.command()(serve.sink)
app.command()(simulator.simulator)


def run() -> None:
    """The program."""
    if not __debug__:
        # Assertions are how programmer errors speak (STYLE.md); without them wrong data would travel on.
        sys.stderr.write("outrider: it does not run under python -O.\n")
        raise SystemExit(EXIT_SOFTWARE)
    app()
