"""`outrider vault ...`: the master keys, which open the private keys in the database.

None of them is ever printed but a new one that `make` makes.
`rotate`, `reseal` and `forget` may be stopped at any place and given again; the server goes on meanwhile.
"""

import sys
from typing import Annotated

import msgspec
import typer

from outrider.app import SystemClock
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.cli.session import EXIT_DATA
from outrider.services import master_keys
from outrider.services.master_keys import Resealed, Shown

vault = typer.Typer(help="The master keys: show, rotate, reseal, forget, make.", no_args_is_help=True)


@vault.command()
def show(as_json: AsJson = False) -> None:
    """List the master keys and how many secrets each has sealed."""
    output.show(session.run(lambda services: services.master_keys.show()), _tell, as_json=as_json)


@vault.command()
def rotate(
    *,
    shared: Annotated[
        bool, typer.Option("--shared", help="Several nodes run, and all read this one key file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new master key and seal everything with it. Finishes first what was begun."""
    _tell_resealed(session.run(lambda services: services.master_keys.rotate(is_shared=shared)), as_json=as_json)


@vault.command()
def reseal(as_json: AsJson = False) -> None:
    """Seal everything with the first master key, after one was put there by hand. Safe to repeat."""
    _tell_resealed(session.run(lambda services: services.master_keys.reseal()), as_json=as_json)


@vault.command()
def forget(as_json: AsJson = False) -> None:
    """Take master keys out of the key file that nothing needs any more. Backups from before then need the old file."""
    gone = session.run(lambda services: services.master_keys.forget())
    output.show_facts({"forgotten": len(gone), "names": [one.name for one in gone]}, as_json=as_json)


@vault.command("make")
def new_key() -> None:
    """Print a line with a new master key, to be put where the keys are by hand. It is a secret."""
    output.show_text(master_keys.new_line(SystemClock().now().date()))


def _tell(shown: Shown) -> None:
    rows = [
        (
            key.name,
            key.made_on or "at the first start",
            "seals" if key.is_sealing else "opens",
            key.sealed_count,
            key.forget_on,
        )
        for key in shown.keys
    ]
    output.show_table(["KEY", "MADE", "USE", "SECRETS", "NEEDED UNTIL"], rows, empty="No keys.")
    if shown.other_count:
        output.show_facts({"other secrets": shown.other_count, "next": "outrider vault reseal"})


def _tell_resealed(found: Resealed, *, as_json: bool) -> None:
    output.show_facts(msgspec.structs.asdict(found), as_json=as_json)
    if found.closed_count:
        sys.stderr.write(f"outrider: {found.closed_count} secrets open with no master key that is here.\n")
        raise SystemExit(EXIT_DATA)
