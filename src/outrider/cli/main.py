"""`outrider`: all commands together. Imports late, so that `outrider --help` is quick.

The order here is the order of `outrider --help`. A group of commands is one module; those of `outrider domain` are two,
with `domain_keys`. What a command does on an error of ours is `session`'s.
"""

import sys

import typer

from outrider.cli import (
    accounts,
    doctor,
    domain_keys,
    domains,
    guard,
    mail,
    mailbox,
    notices,
    queue,
    rules,
    senders,
    serve,
    simulator,
    suppression,
    vault,
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
app.command()(doctor.doctor)
app.add_typer(accounts.keys, name="key")
domains.domains.command("keys")(domain_keys.list_keys)
domains.domains.command("rotate")(domain_keys.rotate)
domains.domains.command("bring")(domain_keys.bring)
domains.domains.command("drop")(domain_keys.drop)
domains.domains.command("selectors")(domain_keys.selectors)
domains.domains.command("delegate")(domain_keys.delegate)
domains.domains.command("zone")(domain_keys.show_zone)
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
app.add_typer(vault.vault, name="vault")
app.add_typer(notices.notices, name="notice")
app.command()(serve.sink)
app.command()(simulator.simulator)


def run() -> None:
    """The program."""
    if not __debug__:
        # Assertions are how programmer errors speak (STYLE.md); without them wrong data would travel on.
        sys.stderr.write("outrider: it does not run under python -O.\n")
        raise SystemExit(EXIT_SOFTWARE)
    app()
