"""`outrider suppression ...`: addresses that get no mail; add, show, list, count, remove, import, export.

All are about one project, or with `--everybody` about the entries that hold for all. What is added or removed holds
from the next mail on, and for what waits. `import` and `export` read and write CSV a line at a time, so that a file of
any length fits; a bad line is told with its number on stderr, the rest is imported, and the exit code says so.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.base.vocab import SuppressionOrigin, SuppressionScope
from outrider.cli import output, session
from outrider.cli.options import AsJson, Project
from outrider.cli.session import EXIT_DATA
from outrider.engine.sentences import suppression_text
from outrider.services import suppressions
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.suppressions import EVERYBODY, AddressView, BadLine, Loaded, NewEntry, Suppression

suppression = typer.Typer(help="Addresses that get no mail, and why.", no_args_is_help=True)
Everybody = Annotated[bool, typer.Option("--everybody", help="The entries that hold for all projects.")]
Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...")]
Result = TypeVar("Result")
_COUNT: Final = 50


@suppression.command()
def add(
    addresses: Addresses,
    *,
    scope: Annotated[str, typer.Option(help="all, stream:marketing, domain:NAME or list:NAME.")] = "all",
    reason: Annotated[str, typer.Option(help="unsubscribe, complaint, recipient.invalid, ...")] = suppressions.REASON,
    note: Annotated[str, typer.Option(help="How you know; kept as evidence.")] = "",
    days: Annotated[int | None, typer.Option(help="For so many days; without it for ever.")] = None,
    everybody: Everybody = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Send these addresses no more mail. Safe to repeat; what is there and holds for longer stays as it is."""

    async def work(services: Services, project_id: UUID) -> dict[str, object]:
        name, _, subject = scope.partition(":")
        checked, about = suppressions.parse_scope(name, subject)
        expires_at = suppressions.parse_days(days, services.context.clock.now())
        entries = [
            NewEntry(
                address_key=suppressions.parse_address(text),
                scope=checked,
                subject=about,
                reason=suppressions.check_reason(reason),
                evidence=suppressions.clean(note),
                expires_at=expires_at,
            )
            for text in addresses
        ]
        added = 0
        for at in range(0, len(entries), suppressions.BATCH_COUNT):
            part = entries[at : at + suppressions.BATCH_COUNT]
            added += await services.suppressions.add(project_id, part, origin=SuppressionOrigin.OPERATOR)
        return {"added": added, "unchanged": len({one.address_key for one in entries}) - added}

    output.show_facts(_run_in(project, everybody, work), as_json=as_json)


@suppression.command()
def show(
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    everybody: Everybody = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Show all that is known of an address: entries, everybody's too, removed ones, what counts towards one."""
    view = _run_in(project, everybody, lambda services, project_id: services.suppressions.show(project_id, address))
    output.show(view, _tell_address, as_json=as_json)


@suppression.command("list")
def list_entries(
    *,
    reason: Annotated[str, typer.Option(help="Only those for this reason.")] = "",
    contains: Annotated[str, typer.Option(help="Only addresses with this in them.")] = "",
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Entries at most.")] = _COUNT,
    after: Annotated[str, typer.Option(help="Go on behind this entry: what a page says at its end.")] = "",
    everybody: Everybody = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """List the entries that hold, oldest first, a page at a time."""

    async def work(services: Services, project_id: UUID) -> Sequence[Suppression]:
        return await services.suppressions.page(
            project_id, after=suppressions.parse_place(after), count_max=count, reason=reason, part=contains
        )

    found = _run_in(project, everybody, work)
    next_after = suppressions.place_text(found[-1]) if len(found) == count else ""
    if as_json:
        output.show_json({"entries": found, "next": next_after})
        return
    columns = ["ADDRESS", "SCOPE", "REASON", "ORIGIN", "SINCE", "UNTIL"]
    rows = [
        [one.address_key, _scope_text(one), one.reason, one.origin, _day(one.created_at), _day(one.expires_at)]
        for one in found
    ]
    output.show_table(columns, rows, empty="No suppressions.")
    if next_after:
        output.show_text(f"more: --after {next_after}")


@suppression.command()
def counts(everybody: Everybody = False, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """Count the entries that hold, by reason."""
    found = _run_in(project, everybody, lambda services, project_id: services.suppressions.counts(project_id))
    rows = [{"reason": reason, "count": count} for reason, count in found.items()]
    output.show_rows(["REASON", "COUNT"], rows, empty="No suppressions.", as_json=as_json)


@suppression.command()
def remove(
    addresses: Addresses,
    *,
    why: Annotated[str, typer.Option(help="Kept on record with what is removed.")],
    everybody: Everybody = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Let these addresses get mail again. Exit code 65 if none of them had an entry."""
    gone = _run_in(
        project,
        everybody,
        lambda services, project_id: services.suppressions.remove(project_id, addresses, why=why),
    )
    output.show_facts({"removed": len(gone), "addresses": gone if as_json else ", ".join(gone)}, as_json=as_json)
    if not gone:
        raise SystemExit(EXIT_DATA)


@suppression.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV, UTF-8; the first line names the columns.")],
    everybody: Everybody = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Add the entries of a file. Safe to repeat; a line that is wrong is told, and the exit code is 65."""

    async def work(services: Services, project_id: UUID) -> Loaded:
        with _opened(file) as lines, _bar() as bar:
            shown = bar.add_task("Importing", total=file.stat().st_size)
            return await services.suppressions.load(
                project_id,
                _lines(lines),
                on_bad=lambda bad: _complain(bar, bad),
                on_stored=lambda: bar.update(shown, completed=lines.tell()),
            )

    done = _run_in(project, everybody, work)
    output.show(done, _tell_imported, as_json=as_json)
    if done.bad_count:
        raise SystemExit(EXIT_DATA)


@suppression.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv|-", help="Where to; `-` is stdout.", allow_dash=True)],
    everybody: Everybody = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Write the entries that hold as CSV, oldest first. `import` reads it."""

    async def work(services: Services, project_id: UUID) -> int:
        found = services.suppressions.all(project_id)
        if str(file) == "-":
            return await _export(found, _write_out, lambda _: None)
        total = sum((await services.suppressions.counts(project_id)).values())
        try:
            with file.open("w", encoding="utf-8", newline="") as target, _bar() as bar:
                shown = bar.add_task("Exporting", total=total)
                return await _export(found, target.write, lambda count: bar.advance(shown, count))
        except OSError as error:
            raise CallerError(f"{file} cannot be written: {error.strerror}.", field="file") from error

    count = _run_in(project, everybody, work)
    if str(file) != "-":
        output.show_facts({"exported": count})


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; of one that is too long its beginning, which is too long too."""
    while line := file.readline(suppressions.LINE_BYTES_MAX + 1):
        rest = line
        while len(rest) > suppressions.LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = file.readline(suppressions.LINE_BYTES_MAX + 1)
        yield line


async def _export(
    found: AsyncIterator[Sequence[Suppression]], write: Callable[[str], object], on_progress: Callable[[int], None]
) -> int:
    count = 0
    write(suppressions.header_line())
    async for batch in found:
        write(suppressions.file_lines(batch))
        count += len(batch)
        on_progress(len(batch))
    return count


def _run_in(project: str, is_everybody: bool, work: Callable[[Services, UUID], Awaitable[Result]]) -> Result:
    if is_everybody:
        return session.run(lambda services: work(services, EVERYBODY))
    return session.run_in(project, work)


def _bar() -> Progress:
    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise CallerError(f"{file} cannot be read: {error.strerror}.", field="file") from error


def _complain(bar: Progress, bad: BadLine) -> None:
    text = f"line {bad.line}, {bad.field}: {bad.why}"
    if bar.disable:
        sys.stderr.write(text + "\n")
    else:
        bar.console.print(text, markup=False, highlight=False)


def _write_out(text: str) -> None:
    sys.stdout.write(text.replace("\r\n", "\n"))  # A pipe's tools know one end of a line.


def _tell_imported(done: Loaded) -> None:
    output.show_facts(
        {"added": done.added_count, "unchanged": done.entry_count - done.added_count, "bad lines": done.bad_count}
    )


def _tell_address(view: AddressView) -> None:
    if not (view.entries or view.past or view.evidence):
        output.show_text(f"Nothing is known of {view.address}.")
        return
    for one in view.entries:
        output.show_text(suppression_text(one))
        if one.evidence:
            output.show_text(f"    {one.evidence}")
    for gone in view.past:
        output.show_text(f"removed at {_day(gone.removed_at)} UTC: {gone.removed_why}")
        output.show_text(f"    {suppression_text(gone.suppression)}")
    for counted in view.evidence:
        output.show_text(f"counted: {counted.reason} at {_day(counted.at)} UTC, session {counted.message_id}")


def _scope_text(one: Suppression) -> str:
    text = one.scope.value if one.scope is SuppressionScope.ALL else f"{one.scope.value}:{one.subject}"
    return f"{text} (everybody)" if one.project_id == EVERYBODY else text


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
