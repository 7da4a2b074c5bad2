"""`outrider`: all commands together. A command imports its own module and no other, so that each is quick.

Invariant: what is said is the same as if all had been imported. A word that is no command, and `--help`, get them all.
Failure: without assertions (`python -O`) nothing runs.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Final

import typer

from outrider.cli.session import EXIT_SOFTWARE

# In the order of `outrider --help`: each command, or group of them, and where it is.
_HOMES: Final[Mapping[str, tuple[str, str]]] = {
    "init": ("accounts", "init"),
    "serve": ("serve", "serve"),
    "doctor": ("doctor", "doctor"),
    "key": ("accounts", "keys"),
    "project": ("projects", "projects"),
    "domain": ("domain_keys", "domains"),  # With those of `domains`.
    "sender": ("senders", "senders"),
    "template": ("templates", "templates"),
    "partial": ("partials", "partials"),
    "send": ("mail", "send"),
    "status": ("mail", "status"),
    "events": ("events", "events"),
    "queue": ("queue", "queue"),
    "content": ("content", "content"),
    "why": ("why", "why"),
    "show": ("why", "show"),
    "suppression": ("suppression", "suppression"),
    "topic": ("topics", "topics"),
    "mailbox": ("mailbox", "mailbox"),
    "warmup": ("warmup", "warmups"),
    "rules": ("rules", "rules"),
    "guard": ("guard", "guards"),
    "vault": ("vault", "vault"),
    "notice": ("notices", "notices"),
    "tracking": ("tracking", "tracking"),
    "alert": ("alerts", "alerts"),
    "reputation": ("reputation", "show_reputation"),
    "stats": ("stats", "stats"),
    "webhook": ("webhooks", "webhooks"),
    "sink": ("serve", "sink"),
    "simulator": ("simulator", "simulator"),
}


def run() -> None:
    """The program."""
    if not __debug__:
        # Assertions are how programmer errors speak (STYLE.md); without them wrong data would travel on.
        sys.stderr.write("outrider: it does not run under python -O.\n")
        raise SystemExit(EXIT_SOFTWARE)
    assemble(sys.argv[1] if len(sys.argv) > 1 else "")()


def assemble(wanted: str = "") -> typer.Typer:
    """Return the program with the command `wanted` alone, or with all of them where it is not one, such as `--help`.

    Cost: with `roles` apart, 0.57 -> 0.36 s of CPU for `outrider key list` (tests/e2e, 2026-11).
    """
    app = typer.Typer(
        help="Outrider: a self-hosted email platform. `outrider serve` starts it; `outrider init` prints a key pair.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_nothing)  # Without it a lone command is the whole program to typer, its name an argument.
    for name in [wanted] if wanted in _HOMES else _HOMES:
        module, home = _HOMES[name]
        found = getattr(importlib.import_module(f"outrider.cli.{module}"), home)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _nothing() -> None:
    pass
