"""Figures of a node become checks; each threshold on both sides."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from outrider.policy import checkup_node
from outrider.policy.checkup import Check, CheckState
from outrider.policy.checkup_node import CertificateFigures, QueueFigures, ServerFigures

OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP
NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
SERVER = ServerFigures(
    version="18.1",
    is_standby=False,
    size_bytes=9_000_000,
    connections_count=5,
    connections_max=60,
    long_count=0,
    longest_s=0.2,
)
QUEUE = QueueFigures(
    count=3,
    is_capped=False,
    due_for_s=None,
    paused_count=0,
    held_count=0,
    hold_notes=(),
    guard_sentences=(),
    nodes=("mail.us.example",),
)
GOOD = CertificateFigures(
    names=("mx.us.example",), begins_at=NOW - timedelta(days=1), ends_at=NOW + timedelta(days=60), is_self_signed=False
)


def server(**changes: object) -> ServerFigures:
    return msgspec.structs.replace(SERVER, **changes)


def queue(**changes: object) -> dict[str, Check]:
    return {one.name: one for one in checkup_node.judge_queue(msgspec.structs.replace(QUEUE, **changes))}


@pytest.mark.parametrize(
    ("changes", "state"),
    [({}, OK), ({"version": "16.4"}, OK), ({"version": "15.9 (Debian)"}, FAIL), ({"is_standby": True}, FAIL)],
)
def test_an_old_server_and_a_standby_do_not_do(changes: dict[str, object], state: CheckState) -> None:
    assert checkup_node.judge_version(server(**changes)).state is state


def test_connections_run_out_with_a_warning() -> None:
    assert checkup_node.judge_connections(server(connections_count=53)).state is OK
    assert checkup_node.judge_connections(server(connections_count=54)).state is WARN


@pytest.mark.parametrize(("longest_s", "state"), [(59.9, OK), (60.0, WARN), (3599.0, WARN), (3600.0, FAIL)])
def test_a_long_transaction_is_told(longest_s: float, state: CheckState) -> None:
    assert checkup_node.judge_transactions(server(longest_s=longest_s, long_count=1)).state is state


@pytest.mark.parametrize(("version", "state"), [("0004", OK), (None, WARN), ("0003", FAIL), ("0005", FAIL)])
def test_tables_are_of_this_program_or_not(version: str | None, state: CheckState) -> None:
    assert checkup_node.judge_migrations(version, "0004").state is state


@pytest.mark.parametrize(("count", "state"), [(6, OK), (2, OK), (1, WARN), (0, WARN), (-1, FAIL)])
def test_partitions_run_out_with_a_warning(count: int, state: CheckState) -> None:
    assert checkup_node.judge_partitions(count).state is state


@pytest.mark.parametrize(
    ("offset_s", "trip_s", "state", "words"),
    [
        (0.0, 0.001, OK, "agrees"),
        (1.9, 0.0, OK, "agrees"),
        (-2.5, 0.0, WARN, "2.5 s behind"),
        (2.5, 2.0, OK, "agrees"),
        (11.0, 0.1, FAIL, "ahead of"),
        (-86_400.0, 0.1, FAIL, "behind"),
    ],
)
def test_a_clock_is_as_far_off_as_a_question_can_tell(
    offset_s: float, trip_s: float, state: CheckState, words: str
) -> None:
    check = checkup_node.judge_clock(offset_s, trip_s)
    assert (check.state, words in check.seen) == (state, True)


@pytest.mark.parametrize(
    ("free_bytes", "total_bytes", "state"),
    [
        (50_000_000_000, 100_000_000_000, OK),
        (2_000_000_000, 10_000_000_000, OK),
        (1_999_000_000, 10_000_000_000, WARN),
        (9_000_000_000, 100_000_000_000, WARN),
        (299_000_000, 300_000_000, FAIL),
    ],
)
def test_a_disk_fills_with_a_warning(free_bytes: int, total_bytes: int, state: CheckState) -> None:
    assert checkup_node.judge_disk("/data", free_bytes, total_bytes).state is state


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OK),
        ({"due_for_s": 5.0}, OK),
        ({"due_for_s": 899.0}, OK),
        ({"due_for_s": 900.0}, WARN),
        ({"due_for_s": 59.0, "nodes": ()}, OK),
        ({"due_for_s": 60.0, "nodes": ()}, FAIL),
        ({"nodes": ()}, OK),
    ],
)
def test_what_may_go_goes(changes: dict[str, object], state: CheckState) -> None:
    assert queue(**changes)["queue.due"].state is state


def test_what_stands_in_the_way_is_named() -> None:
    found = queue(hold_notes=("project x (for the move)",), held_count=2, guard_sentences=("Too much.",), nodes=())
    assert [found[f"queue.{name}"].state for name in ("holds", "guards", "nodes", "paused")] == [WARN, WARN, WARN, OK]
    assert "2 lanes are held: project x (for the move)." in found["queue.holds"].seen
    assert {one.state for one in queue(paused_count=7, is_capped=True).values()} == {OK}
    assert "3 or more recipients wait" in queue(is_capped=True)["queue.due"].seen


def certificate(host: str, /, **changes: object) -> tuple[CheckState, CheckState | None]:
    found = checkup_node.judge_certificate(msgspec.structs.replace(GOOD, **changes), host, NOW)
    return found[0].state, found[1].state if len(found) > 1 else None


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OK),
        ({"ends_at": NOW + timedelta(days=20)}, WARN),
        ({"ends_at": NOW}, FAIL),
        ({"begins_at": NOW + timedelta(days=1)}, FAIL),
        ({"is_self_signed": True}, WARN),
    ],
)
def test_a_certificate_is_valid_for_a_while_yet(changes: dict[str, object], state: CheckState) -> None:
    assert certificate("mx.us.example", **changes) == (state, OK)


@pytest.mark.parametrize(
    ("names", "host", "state"),
    [
        (("MX.us.example",), "mx.us.example", OK),
        (("a.example", "*.us.example"), "mx.us.example", OK),
        (("*.us.example",), "us.example", WARN),
        (("*.us.example",), "a.mx.us.example", WARN),
        (("*.example",), "mx.us.example", WARN),
        ((), "mx.us.example", WARN),
        (("mx.us.example",), "", SKIP),
        (("mx.us.example",), "[127.0.0.1]", SKIP),
    ],
)
def test_a_certificate_names_the_mx_host(names: tuple[str, ...], host: str, state: CheckState) -> None:
    assert certificate(host, names=names) == (OK, state)


def test_a_tracking_host_has_a_certificate_that_lasts() -> None:
    good = checkup_node.judge_host_certificate(GOOD, "t.us.example", NOW)
    soon = msgspec.structs.replace(GOOD, ends_at=NOW + timedelta(days=13))
    ending, lacking = (checkup_node.judge_host_certificate(one, "t.us.example", NOW) for one in (soon, None))
    assert [(one.state, one.subject) for one in (good, ending, lacking)] == [
        (state, "t.us.example") for state in (OK, WARN, FAIL)
    ]


def test_the_relays_certificate_is_judged_without_a_name() -> None:
    good = checkup_node.judge_relay_certificate(GOOD, NOW)
    assert (good.name, good.state) == ("tls.submission", OK)
    over = checkup_node.judge_relay_certificate(msgspec.structs.replace(GOOD, ends_at=NOW), NOW)
    assert (over.state, "[submission]" in over.advice) == (FAIL, True)
    assert checkup_node.judge_relay_certificate(None, NOW).state is FAIL


def test_one_that_cannot_be_read_fails() -> None:
    (check,) = checkup_node.judge_certificate(None, "mx.us.example", NOW)
    assert check.state is FAIL


@pytest.mark.parametrize(
    ("has_links", "lacking", "state", "seen"),
    [
        (True, [], OK, "one click"),
        (True, ["shop.example"], OK, "one click"),
        (False, [], WARN, "no link for one click"),
        (False, ["shop.example"], WARN, "of shop.example goes out without any way"),
        (False, list("abcdefg"), WARN, "a, b, c, d, e and others"),
    ],
)
def test_readers_of_marketing_mail_can_leave(has_links: bool, lacking: list[str], state: CheckState, seen: str) -> None:
    check = checkup_node.judge_unsubscribe(has_links=has_links, lacking=lacking)
    assert (check.state, seen in check.seen) == (state, True)
    assert ("public_url" in check.advice) is (state is WARN)
