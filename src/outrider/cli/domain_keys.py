"""`outrider domain keys|rotate|bring|drop|selectors|delegate|zone`: the DKIM keys of a domain.

`rotate` makes new keys, `keys` says what to do for each. New keys sign by themselves once their records are seen in
DNS; `--published` takes the operator's word for it. All but `drop` are safe to repeat.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer

from outrider.app import Services
from outrider.base.errors import CallerError
from outrider.base.vocab import KeyState
from outrider.cli import output, session
from outrider.cli.domains import DomainName, domains
from outrider.cli.options import AsJson, Project
from outrider.services.accounts import DEFAULT_PROJECT
from outrider.services.dkim_keys import ZONE_TTL, Brought, KeyEntry, ZoneLine

Published = Annotated[
    bool, typer.Option("--published", help="The records are in DNS everywhere: sign with the new keys now.")
]
_PEM_BYTES_MAX: Final = 65_536  # Ours: a key of 4096 bits takes 3 KB.
_STRING_CHARS: Final = 255  # RFC 1035 §3.3.14: of one string of a TXT record.


@domains.command("keys")
def list_keys(name: DomainName, as_json: AsJson = False, project: Project = DEFAULT_PROJECT) -> None:
    """List a domain's DKIM keys and what to do about each record."""
    found = session.run_in(project, lambda services, project_id: services.keys.entries(project_id, name))
    output.show(found, _tell_entries, as_json=as_json)


@domains.command("rotate")
def rotate(
    name: DomainName,
    *,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Renew only this one; may be given twice. Default: those in use.")
    ] = None,
    published: Published = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Make new DKIM keys. The old ones sign until the new records are seen in DNS. Safe to repeat."""

    async def work(services: Services, project_id: UUID) -> Sequence[KeyEntry]:
        return await services.keys.rotate(project_id, name, algorithms=algorithm or (), is_published=published)

    output.show(session.run_in(project, work), _tell_records, as_json=as_json)


@domains.command("bring")
def bring(
    name: DomainName,
    selector: Annotated[str, typer.Argument(help="Its name in DNS: SELECTOR._domainkey.DOMAIN.")],
    file: Annotated[Path, typer.Argument(help="The private key, PEM without a passphrase; - reads stdin.")],
    *,
    published: Published = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Sign with a key of your own: RSA of 1024 to 4096 bits, or Ed25519. Waits like a rotated one. Safe to repeat."""
    pem = _read(file)

    async def work(services: Services, project_id: UUID) -> Brought:
        return await services.keys.bring(project_id, name, selector, pem, is_published=published)

    brought = session.run_in(project, work)
    if brought.warning:
        sys.stderr.write(f"outrider: {brought.warning}\n")
    output.show([brought.entry], _tell_records, as_json=as_json)


@domains.command("drop")
def drop(
    name: DomainName,
    selector: Annotated[str, typer.Argument(help="Which key.")],
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Sign with a key no more, or forget one that waits or is retired. Never the last one."""
    session.run_in(project, lambda services, project_id: services.keys.take_away(project_id, name, selector))


@domains.command("selectors")
def selectors(
    name: DomainName,
    prefix: Annotated[str, typer.Argument(help="What the selectors of the next keys begin with; '' for ours.")],
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Name the next DKIM keys of a domain: PREFIX, year and month, and r for RSA or e for Ed25519. Safe to repeat."""
    session.run_in(project, lambda services, project_id: services.keys.set_prefix(project_id, name, prefix))


@domains.command("delegate")
def delegate(
    name: DomainName,
    *,
    off: Annotated[bool, typer.Option("--off", help="The domain publishes its keys itself again.")] = False,
    as_json: AsJson = False,
    project: Project = DEFAULT_PROJECT,
) -> None:
    """Keep a domain's DKIM keys in the operator's zone: its owner publishes CNAMEs once. Safe to repeat."""

    async def work(services: Services, project_id: UUID) -> Sequence[KeyEntry]:
        await services.keys.delegate(project_id, name, is_delegated=not off)
        entries = await services.keys.entries(project_id, name)
        return [entry for entry in entries if bool(entry.target) is not off and entry.is_needed]

    output.show(session.run_in(project, work), _tell_records, as_json=as_json)


@domains.command("zone")
def show_zone(as_json: AsJson = False) -> None:
    """Print the records of the operator's zone, [identity] dkim_zone, as lines of a zone file."""

    async def work(services: Services) -> tuple[str, Sequence[ZoneLine]]:
        return services.context.config.identity.dkim_zone, await services.keys.zone()

    zone, lines = session.run(work)
    if as_json:
        output.show_json(lines)
        return
    output.show_text(f"$ORIGIN {zone}.\n$TTL {int(ZONE_TTL.total_seconds())}")
    for line in lines:
        output.show_text(f"{line.name} TXT {_strings(line.record)} ; {line.domain}")


def _tell_entries(entries: Sequence[KeyEntry]) -> None:
    rows = [
        (
            entry.selector,
            entry.algorithm,
            "kept" if entry.state is None else entry.state,
            {True: "published", False: "missing", None: "not seen"}[entry.is_published],
            entry.changed_at,
            _advice(entry),
        )
        for entry in entries
    ]
    output.show_table(["SELECTOR", "ALGORITHM", "STATE", "DNS", "SINCE", "NEXT"], rows, empty="No keys.")


def _advice(entry: KeyEntry) -> str:
    match entry.state:
        case None:
            return f"publish CNAME {entry.host} once, for the next key"
        case KeyState.WAITING if entry.is_published:
            return "signs in some minutes"
        case KeyState.WAITING:
            return f"publish {'CNAME' if entry.target else 'TXT'} {entry.host}"
        case KeyState.SIGNING:
            return "publish its record again" if entry.is_published is False else ""
        case KeyState.RETIRING:
            return f"keep its record until {entry.needed_until:%Y-%m-%d}"
        case KeyState.RETIRED:
            return "" if entry.target else f"remove TXT {entry.host}"


def _tell_records(entries: Sequence[KeyEntry]) -> None:
    for entry in entries:
        kind = "CNAME" if entry.target else "TXT"
        output.show_facts(
            {
                "type": kind,
                "host": entry.host,
                "value": entry.target or entry.record,
                "state": entry.state or "kept for the next key",
            }
        )
        typer.echo()


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(_PEM_BYTES_MAX)
        with file.open("rb") as opened:
            return opened.read(_PEM_BYTES_MAX)
    except OSError as error:
        session.fail(CallerError(f"{file} cannot be read: {error.strerror}.", field="file"))


def _strings(record: str) -> str:
    """Write a TXT record as master files do. Ours hold no quote and no backslash."""
    pieces = [record[at : at + _STRING_CHARS] for at in range(0, len(record), _STRING_CHARS)]
    return " ".join(f'"{piece}"' for piece in pieces)
