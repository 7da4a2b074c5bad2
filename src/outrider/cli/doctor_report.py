"""How a check-up is read: a coloured table by area for people, and a page to share.

The page goes to strangers (a forum, a support desk), so it is not the table: mail addresses lose what is before the @,
key material and whatever looks like it is cut out, and the home directory is `~`. Secrets among the settings are masked
before they come here. Domain names and sending addresses stay: they are public, and the help that is asked for is about
them.
"""

import html
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from outrider.cli import output
from outrider.config import Origin, Setting
from outrider.policy.checkup import Area, Check, CheckState

_SIGNS: Final = {CheckState.OK: "✔", CheckState.WARN: "!", CheckState.FAIL: "✘", CheckState.SKIP: "-"}
_STYLES: Final = {CheckState.OK: "green", CheckState.WARN: "yellow", CheckState.FAIL: "red", CheckState.SKIP: "dim"}
_TITLES: Final = {
    Area.SETTINGS: "Settings",
    Area.DATABASE: "Database",
    Area.CLOCK: "Clock",
    Area.PORTS: "Ports",
    Area.QUEUE: "Queue",
    Area.TLS: "TLS",
    Area.EGRESS: "Sending addresses",
    Area.BLOCKLIST: "Block lists",
    Area.DOMAIN: "Domains",
}
_MAILBOX: Final = re.compile(r"[^\s<>@\"',;:()\[\]=]+@(?=[\w-]+\.)")
_KEY: Final = re.compile(r"(?<![\w/+.-])[A-Za-z0-9+/]{32,}={0,2}(?![\w.-])|(?<=\bp=)[A-Za-z0-9+/=\s]{8,}")


_Blocks = Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A check-up: what `--json` prints."""

    state: CheckState  # The worst of all.
    at: datetime
    version: str
    counts: Mapping[CheckState, int]
    checks: Sequence[Check]
    settings: Sequence[Setting]


def tell(report: Report) -> None:
    """Print the settings, the checks by area, and what they come to."""
    console = Console(markup=False, highlight=False, file=sys.stdout)
    console.print(_settings_table(report.settings))
    for area, checks in groupby(report.checks, key=lambda one: one.area):
        console.print()
        console.print(Text(_TITLES[area], style="bold"))
        console.print(_checks_table(list(checks)))
    console.print()
    console.print(_summary(report))


def page(report: Report, *, is_html: bool) -> str:
    """Return the page to share, in Markdown or HTML."""
    cells = [
        [_TITLES[one.area], f"{_SIGNS[one.state]} {one.state}", one.name, one.subject, one.seen, one.advice]
        for one in report.checks
    ]
    changed = [[one.key, one.value, one.origin.value] for one in report.settings if one.origin is not Origin.DEFAULT]
    title = f"Outrider {report.version}: check-up of {report.at:%Y-%m-%d %H:%M} UTC"
    blocks: _Blocks = [
        (["Area", "State", "Check", "About", "Seen", "To do"], [[shared(cell) for cell in row] for row in cells]),
        (["Setting", "Value", "From"], [[shared(cell) for cell in row] for row in changed]),
    ]
    return (_html if is_html else _markdown)(title, _summary(report).plain, blocks)


def shared(text: str) -> str:
    """Return a text without what strangers should not read."""
    home = str(Path.home())
    text = text.replace(f"{home}/", "~/") if len(home) > 1 else text
    return _KEY.sub("...", _MAILBOX.sub("...@", output.plain(text)))


def _settings_table(settings: Sequence[Setting]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("SETTING", "VALUE", "FROM"):
        table.add_column(column, overflow="fold")
    for one in settings:
        style = "dim" if one.origin is Origin.DEFAULT else ""
        table.add_row(one.key, output.plain(one.value), one.place or one.origin, style=style)
    return table


def _checks_table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in checks:
        text = Text(f"{one.subject}: " if one.subject else "", style="bold")
        text.append(output.plain(one.seen), style="dim" if one.state is CheckState.SKIP else "not bold")
        if one.advice and one.state is not CheckState.OK:
            text.append(f"\n→ {output.plain(one.advice)}", style="not bold cyan")
        name = one.name.partition(".")[2].replace("_", " ")
        table.add_row(Text(f"  {_SIGNS[one.state]} {one.state:<4}", style=_STYLES[one.state]), name, text)
    return table


def _summary(report: Report) -> Text:
    counts = report.counts
    failed, warned = counts[CheckState.FAIL], counts[CheckState.WARN]
    told = f"{counts[CheckState.OK]} ok, {warned} warnings, {failed} failures, {counts[CheckState.SKIP]} skipped"
    return Text(f"{_SIGNS[report.state]} {told}", style=f"bold {_STYLES[report.state]}")


def _markdown(title: str, summary: str, blocks: _Blocks) -> str:
    def lines() -> Iterator[str]:
        yield f"# {title}\n\n{summary}\n"
        for head, rows in blocks:
            yield f"| {' | '.join(head)} |"
            yield "|" + "---|" * len(head)
            for row in rows:
                yield f"| {' | '.join(_cell(one) for one in row)} |"
            yield ""

    return "\n".join(lines())


def _cell(text: str) -> str:
    """Return a text that ends no cell and means nothing to Markdown or HTML."""
    text = html.escape(text.replace("\n", " "), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)


def _html(title: str, summary: str, blocks: _Blocks) -> str:
    def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        heads = "".join(f"<th>{html.escape(one)}</th>" for one in head)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(one)}</td>' for one in row)}</tr>\n" for row in rows)
        return f"<table><tr>{heads}</tr>\n{body}</table>"

    tables = "\n".join(table(head, rows) for head, rows in blocks)
    style = "body{font:15px system-ui;margin:2rem}td,th{text-align:left;padding:.2rem .6rem;vertical-align:top}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>\n"
        f"{tables}\n</body></html>\n"
    )
