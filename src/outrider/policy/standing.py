"""Where a sending domain stands after its records were looked at: passed, failed, stopped; what of it is news.

    unverified --> passed            every record it needs is right, its own DKIM key among them: proven, it may send
               --> failed            one is missing or wrong; it was never proven, so nothing is lost
    passed     --> failed            warned; mail goes on. If a record is lost, `failing_since` begins
    failed     --> failed, stopped   after the grace period, if a record is lost: nothing leaves from it
               --> passed            mail goes on

Lost is a record that it needs, that had passed a look and fails now, of a domain that had passed one as a whole. What
was never seen (a return path that was given later, a key that signs on somebody's word) is warned of and stops nobody;
nor is anybody stopped who may send on an operator's word. A temporary failure of DNS changes nothing: the record's
state of before stands, and nobody is stopped by a look that saw nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from outrider.base.vocab import EventKind, RecordKind, RecordState
from outrider.policy.record_finding import Finding

RecordName = tuple[RecordKind, str]  # Kind and host.
_NEW: Final = timedelta(days=1)  # Ours: somebody is at work on its records just now.
_YOUNG: Final = timedelta(days=7)
_NEW_S: Final = 600.0  # Ours: DNS takes 3 to 10 minutes mostly (shared/uspeedo.md 5.2).
_SOON_S: Final = 3600.0  # Ours.
_JITTER_RATIO: Final = 0.1


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a domain stands."""

    state: RecordState = RecordState.UNVERIFIED
    checked_at: datetime | None = None  # None: nobody has looked yet.
    passed_at: datetime | None = None  # When it first passed as a whole; None: it never has.
    failing_since: datetime | None = None  # It had passed a check, and has lost a record since then.
    stopped_at: datetime | None = None  # Nothing leaves from it.
    is_proven: bool = False  # It is the project's: by its own DKIM record, or on an operator's word.


def states(findings: Sequence[Finding], before: Mapping[RecordName, RecordState]) -> Sequence[RecordState]:
    """Return the state of each record: what was found, or that of before where nobody answered."""
    return [
        before.get((one.wanted.kind, one.wanted.host), one.state) if one.state is RecordState.UNVERIFIED else one.state
        for one in findings
    ]


def decide(
    old: Standing,
    findings: Sequence[Finding],
    before: Mapping[RecordName, RecordState],
    *,
    had: Collection[RecordName] = (),
    now: datetime,
    grace_s: float,
) -> tuple[Standing, Sequence[EventKind]]:
    """Return where the domain stands now, and what of that is news, in order.

    Args:
        before: the states of its records after the check before this one.
        had: the records that had passed a check once.
        grace_s: how long a domain that had passed may lack what it lost before it is stopped.
    """
    needed = [
        (one, state) for one, state in zip(findings, states(findings, before), strict=True) if one.wanted.is_required
    ]
    if needed and all(state is RecordState.PASSED for _, state in needed):
        is_proven = old.is_proven or any(_is_proof(one) for one in findings)
        return _passed(old, now, is_proven=is_proven)
    failed = [one for one, state in needed if state is RecordState.FAILED]
    if failed:
        lost = [one for one in failed if old.is_proven and old.passed_at and _name_of(one) in had]
        return _failed(old, lost, now, grace_s)
    # What nobody has looked at yet was taken on somebody's word: it has not passed, and cannot be lost.
    state = old.state if old.checked_at is not None else RecordState.UNVERIFIED
    return msgspec.structs.replace(old, state=state, checked_at=now), ()


def refused(old: Standing, *, now: datetime) -> Standing:
    """Return where a domain stands whose records are right while another project has proven it."""
    return msgspec.structs.replace(old, state=RecordState.FAILED, checked_at=now)


def check_due_at(
    standing: Standing,
    findings: Sequence[Finding],
    *,
    created_at: datetime,
    now: datetime,
    recheck_s: float,
    chance: float,
) -> datetime:
    """Return when to look again: `recheck_s` from now, sooner where somebody waits for it.

    Args:
        chance: from 0 to 1; spreads what began together.
    """
    wait_s = recheck_s
    if any(one.wanted.is_required and one.cause.is_temporary for one in findings):
        wait_s = _NEW_S
    elif standing.passed_at is not None and standing.state is RecordState.FAILED:
        wait_s = _SOON_S
    elif not standing.is_proven and now - created_at < _YOUNG:
        wait_s = _NEW_S if now - created_at < _NEW else _SOON_S
    return now + timedelta(seconds=min(wait_s, recheck_s) * (1 - _JITTER_RATIO + 2 * _JITTER_RATIO * chance))


def first_check_at(created_at: datetime) -> datetime:
    """Return when to look at a new domain for the first time: nobody has published anything yet."""
    return created_at + timedelta(seconds=_NEW_S)


def _passed(old: Standing, now: datetime, *, is_proven: bool) -> tuple[Standing, Sequence[EventKind]]:
    new = Standing(state=RecordState.PASSED, checked_at=now, passed_at=old.passed_at or now, is_proven=is_proven)
    is_news = old.state is not RecordState.PASSED or old.is_proven is not is_proven
    return new, (EventKind.DOMAIN_PASSED,) if is_news else ()


def _failed(
    old: Standing, lost: Sequence[Finding], now: datetime, grace_s: float
) -> tuple[Standing, Sequence[EventKind]]:
    failing_since = (old.failing_since or now) if lost else None
    stopped_at = old.stopped_at if lost else None
    # Also when the first record is lost of a domain that lacked another, and when one that was stopped goes on.
    is_news = (
        old.state is not RecordState.FAILED
        or (failing_since is not None and old.failing_since is None)
        or (stopped_at is None and old.stopped_at is not None)
    )
    news = [EventKind.DOMAIN_FAILED] if old.is_proven and is_news else []
    is_seen = any(one.state is RecordState.FAILED for one in lost)
    if (
        stopped_at is None
        and failing_since is not None
        and is_seen
        and (now - failing_since).total_seconds() >= grace_s
    ):
        stopped_at = now
        news.append(EventKind.DOMAIN_STOPPED)
    new = msgspec.structs.replace(
        old, state=RecordState.FAILED, checked_at=now, failing_since=failing_since, stopped_at=stopped_at
    )
    return new, news


def _name_of(finding: Finding) -> RecordName:
    return finding.wanted.kind, finding.wanted.host


def _is_proof(finding: Finding) -> bool:
    """Whether it was seen now that DNS names a key that only we hold for the project."""
    return finding.wanted.kind is RecordKind.DKIM and finding.state is RecordState.PASSED
