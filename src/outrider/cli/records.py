"""How the DNS records of a sending domain are shown to people: a block for each, ready to be copied from.

Below one that failed stands what was seen, why it does not do, and what to do about it. A value is never broken into
lines: whoever copies it gets it whole.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.cli import output
from outrider.mail import sts_policy
from outrider.services.verification import Domain, DomainReport, RecordReport

_NAMES: Final = {
    RecordKind.SPF: "SPF",
    RecordKind.DKIM: "DKIM",
    RecordKind.DMARC: "DMARC",
    RecordKind.RETURN_PATH: "MX of the return path",
    RecordKind.RETURN_PATH_SPF: "SPF of the return path",
    RecordKind.TRACKING: "Tracking host",
    RecordKind.MTA_STS: "MTA-STS",
    RecordKind.TLS_RPT: "TLS reports",
    RecordKind.BIMI: "BIMI",
}
_SIGNS: Final = {RecordState.PASSED: "✔", RecordState.FAILED: "✘", RecordState.UNVERIFIED: "?"}
_STYLES: Final = {RecordState.PASSED: "green", RecordState.FAILED: "red", RecordState.UNVERIFIED: "yellow"}
_WIDTH: Final = 10  # Of the words before the values.


def status_of(domain: Domain) -> str:
    """Say whether mail may leave from the domain: stopped, verified, or unverified."""
    if domain.stopped_at is not None:
        return "stopped"
    return "verified" if domain.verified_at is not None else "unverified"


def tell(report: DomainReport, *, with_state: bool = True) -> None:
    """Print the domain and its records; without their states, where only publishing matters."""
    console = Console(markup=False, highlight=False, soft_wrap=True, file=sys.stdout)
    if with_state:
        console.print(_headline(report))
        for sentence in _sentences(report):
            console.print(sentence)
        console.print()
    for record in report.records:
        for line in _lines(record, with_state=with_state):
            console.print(line)
        console.print()
    for line in _afterwards(report):
        console.print(line)


def _headline(report: DomainReport) -> Text:
    domain = report.domain
    style = "red" if domain.stopped_at is not None else _STYLES[domain.state]
    passed_count = sum(one.state is RecordState.PASSED for one in report.records if one.is_required)
    needed_count = sum(one.is_required for one in report.records)
    kind = f"{domain.stream} mail" if domain.stream is not None else "all mail"
    return Text.assemble(
        (domain.name, "bold"),
        "  ",
        (f"{_SIGNS[domain.state]} {domain.state}", style),
        f"  {status_of(domain)}, for {kind}; {passed_count} of {needed_count} required records pass",
        "" if domain.checked_at is None else f", checked {_instant(domain.checked_at)}",
    )


def _sentences(report: DomainReport) -> Iterator[str]:
    """What follows from the domain's state."""
    domain = report.domain
    if report.note:
        yield f"  {report.note}"
    if domain.stopped_at is not None:
        yield f"  Stopped since {_instant(domain.stopped_at)}: new mail is refused, queued mail waits for the records."
    elif report.stops_at is not None:
        yield f"  Records fail that had passed. Mail still goes out; it stops at {_instant(report.stops_at)}."
    elif domain.verified_at is None and domain.state is RecordState.FAILED:
        yield "  It may send once all required ones pass. New ones take 3 to 10 minutes, sometimes a day, to be seen."
    elif domain.verified_at is None:
        yield f"  Publish these records, then: outrider domain verify {domain.name}"
    elif domain.state is not RecordState.PASSED and domain.passed_at is not None:
        yield "  Mail goes out: records it needs have never been seen, so nothing is lost, and it is not stopped."
    elif domain.state is not RecordState.PASSED:
        yield "  It sends on your word: its records have not been seen to pass."


def _afterwards(report: DomainReport) -> Iterator[Text]:
    """What is no DNS record to publish: the policy file, and what may be removed."""
    if report.mta_sts_policy:
        host = sts_policy.host_of(report.domain.return_path)
        yield Text.assemble(("MTA-STS policy", "bold"), f"  at https://{host}{sts_policy.PATH}")
        for line in report.mta_sts_policy.splitlines():
            yield Text(f"  {line}")
        yield Text()
    if report.removable:
        yield Text.assemble(("Not needed any more", "bold"), "  remove what is there")
        for one in report.removable:
            drop = f"then: outrider domain drop {report.domain.name} {one.selector}"
            yield _line("host", f"{one.host}  {one.type}  {drop}")
        yield Text()


def _lines(record: RecordReport, *, with_state: bool) -> Iterator[Text]:
    state = (f"  {_SIGNS[record.state]} {record.state}", _STYLES[record.state])
    need = ("required", "bold") if record.is_required else ("needed", "") if record.is_needed else ("optional", "dim")
    yield Text.assemble((_NAMES[record.kind], "bold"), "  ", need, state if with_state else "")
    if not with_state or record.state is not RecordState.PASSED:
        yield Text.assemble(("  " + record.why, "dim"))
    yield _line("host", record.host)
    yield _line("type", record.type)
    yield _line("value", record.value)
    if len(record.strings) > 1:
        yield _line("or in parts", " ".join(f'"{one}"' for one in record.strings))
    if with_state and record.state is not RecordState.PASSED and record.checked_at is not None:
        yield from _findings(record)
    elif with_state and record.advice:
        yield _line("note", record.advice, "yellow")


def _findings(record: RecordReport) -> Iterator[Text]:
    """What is wrong with a record that was looked at."""
    style = _STYLES[record.state]
    for number, seen in enumerate(record.seen or ("nothing",)):
        yield _line("seen" if number == 0 else "", seen, style)
    if record.cause is not RecordCause.NONE:
        since = "" if record.failing_since is None else f", since {_instant(record.failing_since)}"
        yield _line("cause", f"{record.cause.replace('_', ' ')}{since}", style)
    if record.advice:
        yield _line("to do", record.advice, "bold")


def _line(word: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"  {word:<{_WIDTH}} ", "dim"), (output.plain(value), style))


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def facts_of(domain: Domain) -> dict[str, object]:
    """Return what programs and people read of a domain."""
    return {
        "name": domain.name,
        "status": status_of(domain),
        "state": domain.state,
        "type": domain.stream or "both",
        "return_path": domain.return_path,
        "tracking_host": domain.tracking_host,
        "mta_sts": domain.mta_sts,
        "bimi_logo": domain.bimi_logo,
        "bimi_certificate": domain.bimi_certificate,
        "created_at": domain.created_at,
        "checked_at": domain.checked_at,
        "failing_since": domain.failing_since,
        "stopped_at": domain.stopped_at,
        "rate_per_minute": domain.rate_per_minute,
    }


def rows_of(found: Sequence[Domain]) -> Sequence[Sequence[object]]:
    """Return a row of the list for each domain: name, type, status, state, rate, checked."""
    return [
        [
            one.name,
            one.stream or "both",
            status_of(one),
            f"{_SIGNS[one.state]} {one.state}",
            one.rate_per_minute,
            None if one.checked_at is None else f"{one.checked_at:%d %b %H:%M}",
        ]
        for one in found
    ]
