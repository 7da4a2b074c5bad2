"""Passed, failed, stopped: every way from one to the other, and what of it is news."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from outrider.base.vocab import EventKind, RecordCause, RecordKind, RecordState
from outrider.policy import standing
from outrider.policy.record_finding import Finding
from outrider.policy.records import Wanted
from outrider.policy.standing import Standing

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
GRACE_S = 3 * 86_400.0
GRACE = timedelta(seconds=GRACE_S)
AGO = NOW - timedelta(days=1)
PASSED, FAILED, UNVERIFIED = RecordState.PASSED, RecordState.FAILED, RecordState.UNVERIFIED
NEW = Standing()
WELL = Standing(state=PASSED, checked_at=AGO, passed_at=AGO, is_proven=True)
LOST = Standing(state=FAILED, checked_at=AGO, passed_at=AGO, failing_since=AGO, is_proven=True)
LACKING = Standing(state=FAILED, checked_at=AGO, passed_at=AGO, is_proven=True)  # What it lacks was never seen.
STOPPED = msgspec.structs.replace(LOST, failing_since=NOW - GRACE, stopped_at=AGO)
ON_WORD = Standing(is_proven=True)
MIGRATED = Standing(state=PASSED, is_proven=True)  # Verified before anybody looked.
DKIM, SPF = (RecordKind.DKIM, "dkim.example"), (RecordKind.SPF, "spf.example")


def finding(
    kind: RecordKind, state: RecordState, *, is_required: bool = True, cause: RecordCause = RecordCause.NONE
) -> Finding:
    wanted = Wanted(kind=kind, type="TXT", host=f"{kind}.example", value="v", is_required=is_required, why="")
    return Finding(wanted=wanted, state=state, cause=cause)


def look(dkim: RecordState, spf: RecordState = PASSED, extra: RecordState = FAILED) -> list[Finding]:
    return [
        finding(RecordKind.DKIM, dkim),
        finding(RecordKind.SPF, spf),
        finding(RecordKind.BIMI, extra, is_required=False),
    ]


def before(dkim: RecordState, spf: RecordState = PASSED) -> dict[tuple[RecordKind, str], RecordState]:
    return {(one.wanted.kind, one.wanted.host): one.state for one in look(dkim, spf)}


@pytest.mark.parametrize(
    ("old", "found", "new", "news"),
    [
        (NEW, look(PASSED), WELL, [EventKind.DOMAIN_PASSED]),
        (NEW, look(FAILED), Standing(state=FAILED), []),
        (NEW, look(PASSED, FAILED), Standing(state=FAILED), []),
        (WELL, look(PASSED), WELL, []),
        (WELL, look(FAILED), LOST, [EventKind.DOMAIN_FAILED]),
        (LOST, look(PASSED), WELL, [EventKind.DOMAIN_PASSED]),
        (STOPPED, look(PASSED), WELL, [EventKind.DOMAIN_PASSED]),
        (STOPPED, look(FAILED), STOPPED, []),
        (ON_WORD, look(PASSED), WELL, [EventKind.DOMAIN_PASSED]),
        (ON_WORD, look(FAILED), Standing(state=FAILED, is_proven=True), [EventKind.DOMAIN_FAILED]),
        (MIGRATED, look(FAILED), Standing(state=FAILED, is_proven=True), [EventKind.DOMAIN_FAILED]),
        (MIGRATED, look(PASSED), WELL, []),
        (NEW, [], NEW, []),
    ],
)
def test_what_a_look_makes_of_a_domain(
    old: Standing, found: list[Finding], new: Standing, news: list[EventKind]
) -> None:
    made, told = standing.decide(old, found, {}, had={DKIM, SPF}, now=NOW, grace_s=GRACE_S)
    expected = msgspec.structs.replace(new, checked_at=NOW)
    if new is LOST:
        expected = msgspec.structs.replace(expected, failing_since=NOW)
    if new.state is PASSED:
        expected = msgspec.structs.replace(expected, passed_at=old.passed_at or NOW)
    assert made == expected
    assert list(told) == news


@pytest.mark.parametrize(("failing_for", "is_stopped"), [(GRACE - timedelta(seconds=1), False), (GRACE, True)])
def test_the_grace_period_is_over_to_the_second(failing_for: timedelta, is_stopped: bool) -> None:
    old = msgspec.structs.replace(LOST, failing_since=NOW - failing_for)
    new, news = standing.decide(old, look(FAILED), {}, had={DKIM}, now=NOW, grace_s=GRACE_S)
    assert (new.stopped_at, list(news)) == ((NOW, [EventKind.DOMAIN_STOPPED]) if is_stopped else (None, []))


def test_without_grace_a_domain_is_stopped_with_its_warning() -> None:
    new, news = standing.decide(WELL, look(FAILED), {}, had={DKIM}, now=NOW, grace_s=0.0)
    assert (new.failing_since, new.stopped_at) == (NOW, NOW)
    assert list(news) == [EventKind.DOMAIN_FAILED, EventKind.DOMAIN_STOPPED]


@pytest.mark.parametrize("old", [NEW, WELL, LOST, STOPPED, ON_WORD])
def test_where_nobody_answers_all_stays(old: Standing) -> None:
    new, news = standing.decide(old, look(UNVERIFIED, UNVERIFIED), {}, now=NOW, grace_s=GRACE_S)
    assert new == msgspec.structs.replace(old, checked_at=NOW)
    assert list(news) == []


def test_a_silent_record_counts_as_it_was() -> None:
    new, _ = standing.decide(LOST, look(PASSED, UNVERIFIED), before(FAILED, PASSED), now=NOW, grace_s=GRACE_S)
    assert new.state is PASSED
    new, _ = standing.decide(WELL, look(PASSED, UNVERIFIED), before(PASSED, FAILED), now=NOW, grace_s=GRACE_S)
    assert new.state is FAILED


def test_a_key_that_was_seen_before_proves_nothing_now() -> None:
    new, _ = standing.decide(NEW, look(UNVERIFIED), before(PASSED), now=NOW, grace_s=GRACE_S)
    assert (new.state, new.is_proven) == (PASSED, False)


def test_silence_stops_nobody() -> None:
    old = msgspec.structs.replace(LOST, failing_since=NOW - 2 * GRACE)
    new, news = standing.decide(
        old, look(PASSED, UNVERIFIED), before(PASSED, FAILED), had={SPF}, now=NOW, grace_s=GRACE_S
    )
    assert (new.state, new.stopped_at, list(news)) == (FAILED, None, [])


def test_what_another_project_has_proven_does_not_pass() -> None:
    assert standing.refused(NEW, now=NOW) == Standing(state=FAILED, checked_at=NOW)


@pytest.mark.parametrize(
    ("one", "found", "age", "wait_s"),
    [
        (WELL, look(PASSED), timedelta(days=90), 86_400.0),
        (LOST, look(FAILED), timedelta(days=90), 3_600.0),
        (WELL, [finding(RecordKind.SPF, UNVERIFIED, cause=RecordCause.TIMED_OUT)], timedelta(days=90), 600.0),
        (NEW, look(FAILED), timedelta(hours=1), 600.0),
        (NEW, look(FAILED), timedelta(days=2), 3_600.0),
        (NEW, look(FAILED), timedelta(days=8), 86_400.0),
        (ON_WORD, look(FAILED), timedelta(hours=1), 86_400.0),
    ],
)
def test_it_is_looked_at_again_when_somebody_waits_for_it(
    one: Standing, found: list[Finding], age: timedelta, wait_s: float
) -> None:
    def at(chance: float, recheck_s: float = 86_400.0) -> float:
        due_at = standing.check_due_at(one, found, created_at=NOW - age, now=NOW, recheck_s=recheck_s, chance=chance)
        return (due_at - NOW).total_seconds()

    assert at(0.5) == pytest.approx(wait_s)
    assert at(0.0) == pytest.approx(0.9 * wait_s)
    assert at(1.0) == pytest.approx(1.1 * wait_s)
    assert at(0.5, recheck_s=60.0) == pytest.approx(60.0)


def test_what_was_taken_on_somebodys_word_is_never_lost() -> None:
    """A domain of before this check: verified by hand, `passed` by the migration, and nobody has looked yet."""
    old = MIGRATED
    first, _ = standing.decide(old, look(UNVERIFIED), {}, now=NOW, grace_s=GRACE_S)
    assert first.state is UNVERIFIED
    failed, _ = standing.decide(first, look(FAILED), {}, had={DKIM}, now=NOW + timedelta(days=1), grace_s=GRACE_S)
    later, news = standing.decide(failed, look(FAILED), {}, had={DKIM}, now=NOW + timedelta(days=90), grace_s=GRACE_S)
    assert (failed.failing_since, later.stopped_at, list(news)) == (None, None, [])


# Loss means loss: what was never seen cannot be lost.


@pytest.mark.parametrize("old", [WELL, LACKING])
def test_what_was_never_seen_is_warned_of_and_stops_nobody(old: Standing) -> None:
    """A return path is given to a proven domain and never published: its mail goes on, however long that lasts."""
    new, news = standing.decide(old, look(PASSED, FAILED), {}, had={DKIM}, now=NOW, grace_s=0.0)
    assert (new.state, new.failing_since, new.stopped_at) == (FAILED, None, None)
    assert list(news) == ([EventKind.DOMAIN_FAILED] if old is WELL else [])
    later, news = standing.decide(new, look(PASSED, FAILED), {}, had={DKIM}, now=NOW + 9 * GRACE, grace_s=GRACE_S)
    assert (later.failing_since, later.stopped_at, list(news)) == (None, None, [])


def test_what_is_lost_beside_what_was_never_seen_is_told_and_stops() -> None:
    both = look(FAILED, FAILED)
    lost, news = standing.decide(LACKING, both, {}, had={DKIM}, now=NOW, grace_s=GRACE_S)
    assert (lost.failing_since, lost.stopped_at, list(news)) == (NOW, None, [EventKind.DOMAIN_FAILED])
    stopped, news = standing.decide(lost, both, {}, had={DKIM}, now=NOW + GRACE, grace_s=GRACE_S)
    assert (stopped.stopped_at, list(news)) == (NOW + GRACE, [EventKind.DOMAIN_STOPPED])


def test_a_stop_ends_when_what_was_lost_is_back_though_another_was_never_seen() -> None:
    new, news = standing.decide(STOPPED, look(PASSED, FAILED), {}, had={DKIM}, now=NOW, grace_s=GRACE_S)
    assert (new.state, new.failing_since, new.stopped_at) == (FAILED, None, None)
    assert list(news) == [EventKind.DOMAIN_FAILED], "it is failed again, and stopped no more"


def test_only_a_look_that_sees_the_lost_record_missing_stops() -> None:
    old = msgspec.structs.replace(LOST, failing_since=NOW - 2 * GRACE)
    new, _ = standing.decide(
        old, look(UNVERIFIED, FAILED), before(FAILED, FAILED), had={DKIM}, now=NOW, grace_s=GRACE_S
    )
    assert (new.failing_since, new.stopped_at) == (old.failing_since, None)


def test_who_never_passed_as_a_whole_loses_nothing() -> None:
    new, _ = standing.decide(ON_WORD, look(FAILED), before(PASSED), had={DKIM}, now=NOW, grace_s=0.0)
    assert (new.failing_since, new.stopped_at) == (None, None)


def test_a_record_that_is_waited_for_is_looked_for_hourly() -> None:
    due_at = standing.check_due_at(
        LACKING, look(PASSED, FAILED), created_at=NOW - 90 * GRACE, now=NOW, recheck_s=86_400.0, chance=0.5
    )
    assert (due_at - NOW).total_seconds() == pytest.approx(3_600.0)
