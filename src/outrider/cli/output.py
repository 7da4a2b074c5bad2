"""Results on stdout: a table for people, JSON for programs."""

import sys
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table


def show_json(value: object) -> None:
    """Print `value` as one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or the sentence `empty` if it has no rows. What strangers wrote is shown, never interpreted."""
    if not rows:
        sys.stdout.write(empty + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    Console(markup=False, highlight=False).print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Print one `name: value` line each."""
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        sys.stdout.write(f"{name + ':':<{width}} {_plain(value)}\n")


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    # A terminal obeys control characters; a subject or a reply must not.
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
