"""Results on stdout: a table for people, JSON for programs. Complaints are `cli.session`'s and go to stderr.

A command hands over its result and says how people read it (`show`); `--json` prints the record itself, so what a
program reads never depends on a table's columns. Invariant: what strangers wrote holds nothing that a terminal obeys.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

Shown = TypeVar("Shown")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # All but tab and LF.


def show_json(value: object) -> None:
    """Print `value` as one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def show(value: Shown, tell: Callable[[Shown], None], *, as_json: bool) -> None:
    """Print `value` as JSON, or let `tell` print it for people."""
    if as_json:
        show_json(value)
    else:
        tell(value)


def show_rows(columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, empty: str, as_json: bool) -> None:
    """Print `rows` as JSON, or as a table whose columns are their values in order."""
    if as_json:
        show_json(rows)
    else:
        show_table(columns, [list(row.values()) for row in rows], empty=empty)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or the sentence `empty` if it has no rows. What strangers wrote is shown, never interpreted."""
    if not rows:
        sys.stdout.write(empty + "\n")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    Console(markup=False, highlight=False).print(table)


def show_facts(facts: Mapping[str, object], *, as_json: bool = False) -> None:
    """Print one `name: value` line each, or all as JSON."""
    if as_json:
        show_json(facts)
        return
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        sys.stdout.write(f"{name + ':':<{width}} {plain(value)}\n")


def show_text(text: str) -> None:
    """Print a text of many lines that strangers wrote; a terminal finds nothing in it to obey."""
    sys.stdout.write(_CONTROL.sub("?", text) + "\n")


def plain(value: object) -> str:
    """Return what stands for `value` in a table; a terminal finds nothing in it to obey."""
    text = "" if value is None else str(value)
    # A terminal obeys control characters; a subject or a reply must not.
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
