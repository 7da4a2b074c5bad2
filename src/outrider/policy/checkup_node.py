"""How the node itself is: its database, clock, queue, disk and certificate. Figures in, a check out; thresholds here.

Thresholds are ours where no other source is named: a warning leaves days to act in, a failure means that mail waits.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from outrider.policy import checkup, sentence
from outrider.policy.checkup import Check

_CLOCK_WARN_S: Final = 2.0  # Nodes' clocks must agree within a few seconds (store/nodes.py).
_CLOCK_FAIL_S: Final = 10.0
_DISK_WARN_BYTES: Final = 2_000_000_000  # The write-ahead log alone may take so much ([embedded] max_wal_size_mb).
_DISK_FAIL_BYTES: Final = 300_000_000
_DISK_WARN_RATIO: Final = 0.1
_LONG_WARN_S: Final = 60.0  # A transaction that long holds back every reader of the event log (store/events.py).
_LONG_FAIL_S: Final = 3600.0
_DUE_WARN_S: Final = 900.0
_NOBODY_FAIL_S: Final = 60.0  # Due that long while no node delivers.
_CERTIFICATE_WARN: Final = timedelta(days=21)  # Let's Encrypt renews 30 days before the end.
_VERSION_MIN: Final = 16
_PARTITIONS_AHEAD_COUNT: Final = 2  # The upkeep makes six days; with two left it has been away for days.
_CONNECTIONS_WARN_RATIO: Final = 0.9
_NAMED_COUNT_MAX: Final = 5  # Ours: what a sentence holds.


class ServerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a database says of itself."""

    version: str  # "18.1".
    is_standby: bool
    size_bytes: int
    connections_count: int
    connections_max: int
    long_count: int  # Transactions open for over a minute.
    longest_s: float


class QueueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, in the whole installation."""

    count: int  # Recipients; bounded by who counted.
    is_capped: bool
    due_for_s: float | None  # How long the first that could go now has been due; None: nothing is.
    paused_count: int  # Lanes that wait for a limit.
    held_count: int  # Lanes that an operator holds.
    hold_notes: Sequence[str]  # "project 0193...: for the move".
    guard_sentences: Sequence[str]
    nodes: Sequence[str]  # Those that deliver, seen a moment ago.


class CertificateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says."""

    names: Sequence[str]
    begins_at: datetime
    ends_at: datetime
    is_self_signed: bool


def judge_version(server: ServerFigures) -> Check:
    """Return whether the server is one that we know, and takes writes."""
    name, seen = "database.server", f"PostgreSQL {server.version}, {_size(server.size_bytes)}."
    major = server.version.partition(".")[0]
    if major.isdecimal() and int(major) < _VERSION_MIN:
        return checkup.fail(name, seen, f"Upgrade it to {_VERSION_MIN} or newer.")
    if server.is_standby:
        return checkup.fail(name, f"{seen} It is a standby and takes no writes.", "Name the primary in database_url.")
    return checkup.ok(name, seen)


def judge_connections(server: ServerFigures) -> Check:
    """Return whether there is room for more connections."""
    name, seen = "database.connections", f"{server.connections_count} of {server.connections_max} in use."
    if server.connections_count >= server.connections_max * _CONNECTIONS_WARN_RATIO:
        advice = "Raise max_connections (OUTRIDER_EMBEDDED__MAX_CONNECTIONS), or lower OUTRIDER_STORE__POOL_SIZE."
        return checkup.warn(name, seen, advice)
    return checkup.ok(name, seen)


def judge_transactions(server: ServerFigures) -> Check:
    """Return whether somebody holds a transaction open for long."""
    name = "database.transactions"
    if server.longest_s < _LONG_WARN_S:
        return checkup.ok(name, "none is open for long.")
    seen = f"{server.long_count} open for over a minute, the longest for {sentence.span_of(server.longest_s)}."
    advice = "Find it in pg_stat_activity by xact_start and end it: events, and what reads them, wait for it."
    return (checkup.fail if server.longest_s >= _LONG_FAIL_S else checkup.warn)(name, seen, advice)


def judge_migrations(version: str | None, head: str) -> Check:
    """Return whether the tables are those of this program. `version` None: there are none yet."""
    name = "database.migrations"
    if version == head:
        return checkup.ok(name, f"version {version}, as this program needs.")
    if version is None:
        return checkup.warn(name, "there are no tables yet.", "`outrider serve`, or `outrider init`, makes them.")
    if version > head:
        advice = "Upgrade Outrider on this machine."
        return checkup.fail(name, f"version {version} is newer than this program, which knows {head}.", advice)
    return checkup.fail(name, f"version {version}, this program needs {head}.", "Start it anew: `outrider serve`.")


def judge_partitions(days_ahead: int) -> Check:
    """Return whether the event log has room for the days to come; today counts as 0, -1 means none for today."""
    name = "database.partitions"
    if days_ahead < 0:
        advice = "Start a worker: `outrider serve`. Nothing is accepted without it."
        return checkup.fail(name, "the event log has no partition for today.", advice)
    seen = f"the event log has partitions for {days_ahead} days to come."
    if days_ahead < _PARTITIONS_AHEAD_COUNT:
        return checkup.warn(name, seen, "No worker has run for days: `outrider serve --role worker`.")
    return checkup.ok(name, seen)


def judge_unsubscribe(*, has_links: bool, lacking: Sequence[str]) -> Check:
    """Return whether readers of marketing mail can unsubscribe: by a link, with one click (RFC 8058), or by mail.

    Args:
        has_links: there is an address for links to lead to.
        lacking: what no bounce domain takes mail for: sending domains, or "this installation".
    """
    name = "settings.unsubscribe"
    if has_links:
        return checkup.ok(name, "marketing mail has a link to unsubscribe, and one click.")
    advice = "Set [faces] public_url, OUTRIDER_FACES__PUBLIC_URL=https://mail.shop.example: Gmail and Yahoo ask for it."
    if lacking:
        named = ", ".join(lacking[:_NAMED_COUNT_MAX]) + (" and others" if len(lacking) > _NAMED_COUNT_MAX else "")
        return checkup.warn(name, f"marketing mail of {named} goes out without any way to unsubscribe.", advice)
    return checkup.warn(name, "marketing mail has an address to unsubscribe by, and no link for one click.", advice)


def judge_clock(offset_s: float, trip_s: float) -> Check:
    """Return whether our clock and the database's agree, as exactly as a question of `trip_s` can tell."""
    name = "clock.database"
    apart_s = max(0.0, abs(offset_s) - trip_s / 2)
    seen = f"{apart_s:.1f} s {'ahead of' if offset_s > 0 else 'behind'} the database's."
    if apart_s < _CLOCK_WARN_S:
        return checkup.ok(name, "it agrees with the database's.")
    advice = "Let both machines keep time: `timedatectl set-ntp true`."
    return (checkup.fail if apart_s >= _CLOCK_FAIL_S else checkup.warn)(name, seen, advice)


def judge_disk(path: str, free_bytes: int, total_bytes: int) -> Check:
    """Return whether the data directory's disk has room."""
    name, seen = "database.disk", f"{_size(free_bytes)} of {_size(total_bytes)} free at {path}."
    advice = "Make room, or set OUTRIDER_DATA_DIR to a larger disk: with a full one nothing is accepted."
    if free_bytes < _DISK_FAIL_BYTES:
        return checkup.fail(name, seen, advice)
    if free_bytes < _DISK_WARN_BYTES or free_bytes < total_bytes * _DISK_WARN_RATIO:
        return checkup.warn(name, seen, advice)
    return checkup.ok(name, seen)


def judge_queue(queue: QueueFigures) -> list[Check]:
    """Return whether what may go goes, and what stands in the way of the rest."""
    why = "`outrider queue` shows what waits, `outrider why ADDRESS` for what."
    waiting = f"{queue.count:,}{' or more' if queue.is_capped else ''} recipients wait"
    due_s = queue.due_for_s or 0.0
    since = f", the first that could go has been due for {sentence.span_of(due_s)}" if due_s else ""
    if due_s >= _NOBODY_FAIL_S and not queue.nodes:
        due = checkup.fail("queue.due", f"{waiting}{since}; nobody delivers.", "Start it: `outrider serve`.")
    elif due_s >= _DUE_WARN_S:
        due = checkup.warn("queue.due", f"{waiting}{since}.", why)
    else:
        due = checkup.ok("queue.due", f"{waiting}{since}.")
    return [due, _judge_nodes(queue), _judge_held(queue), _judge_guards(queue), _judge_paused(queue, why)]


def judge_certificate(certificate: CertificateFigures | None, host: str, now: datetime) -> list[Check]:
    """Return whether the certificate for mail that comes back is valid and names the MX host. None: unreadable."""
    name, names_name = "tls.certificate", "tls.names"
    renew = "Renew it and put it where [inbound] certificate says; then restart `outrider serve`."
    if certificate is None:
        return [checkup.fail(name, "its certificate cannot be read.", renew)]
    found = _judge_terms(name, certificate, now, renew)
    listed = _listed(certificate)
    if not host or host.startswith("["):
        return [found, checkup.skip(names_name, f"it names {listed}; the MX host's name is not known here.")]
    if any(_covers(one, host) for one in certificate.names):
        return [found, checkup.ok(names_name, f"it names {host}, the MX host.")]
    advice = f"Get one for {host}, or set OUTRIDER_NET__EHLO_NAME to a name that it has."
    return [found, checkup.warn(names_name, f"it names {listed}, not {host}, the MX host.", advice)]


def judge_relay_certificate(certificate: CertificateFigures | None, now: datetime) -> Check:
    """Return whether the SMTP relay's certificate is valid; None: unreadable. By which name it is called is unknown."""
    name, renew = "tls.submission", "Renew it where [submission] certificate says; it is read again by itself."
    if certificate is None:
        return checkup.fail(name, "its certificate cannot be read.", renew)
    return _judge_terms(name, certificate, now, renew, f"it names {_listed(certificate)}: ")


def judge_host_certificate(certificate: CertificateFigures | None, host: str, now: datetime) -> Check:
    """Return whether a tracking host's certificate is valid; None: there is none."""
    name, renew = "tls.tracking", "Get it anew where [tracking] certificates says; it is read again by itself."
    if certificate is None:
        seen = "there is no certificate: its readers see a warning in place of what they clicked."
        return checkup.fail(name, seen, "Get one, and put it with its key where [tracking] certificates says.", host)
    return msgspec.structs.replace(_judge_terms(name, certificate, now, renew), subject=host)


def _judge_terms(name: str, certificate: CertificateFigures, now: datetime, renew: str, before: str = "") -> Check:
    until = f"{certificate.ends_at:%Y-%m-%d}"
    if certificate.ends_at <= now:
        return checkup.fail(name, f"{before}it ended on {until}.", renew)
    if certificate.begins_at > now:
        begins = f"{certificate.begins_at:%Y-%m-%d}"
        return checkup.fail(name, f"{before}it begins on {begins}.", "Look at this machine's clock, or renew it.")
    if certificate.ends_at - now < _CERTIFICATE_WARN:
        return checkup.warn(name, f"{before}it ends on {until}.", renew)
    if certificate.is_self_signed:
        signed = f"{before}it is signed by itself, until {until}."
        return checkup.warn(name, signed, "Take one of a public authority's.")
    return checkup.ok(name, f"{before}valid until {until}.")


def _listed(certificate: CertificateFigures) -> str:
    return ", ".join(certificate.names[:5]) or "nobody"


def _judge_nodes(queue: QueueFigures) -> Check:
    if queue.nodes:
        return checkup.ok("queue.nodes", f"delivering: {', '.join(queue.nodes)}.")
    return checkup.warn("queue.nodes", "no node delivers now.", "Start one: `outrider serve`.")


def _judge_held(queue: QueueFigures) -> Check:
    if not queue.hold_notes:
        return checkup.ok("queue.holds", "nothing is held by hand.")
    seen = f"{queue.held_count} lanes are held: {'; '.join(queue.hold_notes)}."
    return checkup.warn("queue.holds", seen, "`outrider queue resume` lets them go on.")


def _judge_guards(queue: QueueFigures) -> Check:
    if not queue.guard_sentences:
        return checkup.ok("queue.guards", "no guard slows or pauses anything.")
    return checkup.warn("queue.guards", " ".join(queue.guard_sentences), "Look at `outrider guard list`.")


def _judge_paused(queue: QueueFigures, why: str) -> Check:
    seen = f"{queue.paused_count} lanes wait for a limit."
    return checkup.ok("queue.paused", seen if queue.paused_count == 0 else f"{seen} {why}")


def _covers(pattern: str, host: str) -> bool:
    """Whether a certificate's name is the host's. Source: RFC 6125 §6.4.3: a star is the whole first label."""
    pattern, host = pattern.lower().removesuffix("."), host.lower()
    return pattern == host or (pattern.startswith("*.") and pattern[2:] == host.partition(".")[2])


def _size(count_bytes: int) -> str:
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.0f} MB"
