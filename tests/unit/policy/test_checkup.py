"""Checks are arranged by area, counted, and come to the worst of them."""

import pytest

from outrider.policy import checkup
from outrider.policy.checkup import Area, Check, CheckState

OK, WARN = checkup.ok("queue.due", "Well."), checkup.warn("tls.names", "Odd.", "Look.")
SKIP = checkup.skip("egress.ptr", "Nobody asked.", "Ask.", "192.0.2.7")
BAD = checkup.fail("database.server", "Gone.", "Start it.", "one")


def test_a_check_says_what_was_seen_and_what_to_do() -> None:
    assert Check("queue.due", CheckState.OK, "Well.") == OK
    assert Check("tls.names", CheckState.WARN, "Odd.", "Look.") == WARN
    assert Check("database.server", CheckState.FAIL, "Gone.", "Start it.", "one") == BAD
    assert Check("egress.ptr", CheckState.SKIP, "Nobody asked.", "Ask.", "192.0.2.7") == SKIP
    assert (BAD.area, SKIP.area) == (Area.DATABASE, Area.EGRESS)


def test_a_name_without_an_area_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        _ = checkup.ok("nonsense.due", "Well.").area


@pytest.mark.parametrize(
    ("checks", "state"),
    [
        ([], CheckState.OK),
        ([SKIP], CheckState.SKIP),
        ([SKIP, OK], CheckState.OK),
        ([SKIP, OK, WARN], CheckState.WARN),
        ([WARN, BAD, OK], CheckState.FAIL),
    ],
)
def test_the_worst_counts_and_what_was_skipped_does_not(checks: list[Check], state: CheckState) -> None:
    assert checkup.worst(checks) is state


def test_they_are_arranged_by_area_then_subject_then_badness() -> None:
    good = checkup.ok("egress.ehlo", "Well.", "192.0.2.7")
    bad = checkup.fail("egress.spf", "No.", "Do.", "192.0.2.7")
    other = checkup.fail("egress.spf", "No.", "Do.", "192.0.2.8")
    assert checkup.arranged([other, SKIP, good, WARN, bad, OK, BAD]) == [BAD, OK, WARN, bad, good, SKIP, other]


def test_all_states_are_counted() -> None:
    assert checkup.counted([OK, OK, SKIP]) == {
        CheckState.OK: 2,
        CheckState.WARN: 0,
        CheckState.FAIL: 0,
        CheckState.SKIP: 1,
    }
