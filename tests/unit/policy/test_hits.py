"""A rule acts at its n-th hit within its time, and rules do not disturb each other."""

import pytest

from outrider.policy import hits
from outrider.policy.gate import HIT_RULES_COUNT, Gate

NOW_S = 1_800_000_000.0


def feed(
    packed: bytes, rule: str, instants: list[float], needed: int, within_s: float = 100
) -> tuple[bytes, list[bool]]:
    found = []
    for at_s in instants:
        packed, is_enough = hits.count(packed, rule, NOW_S + at_s, hits_needed=needed, within_s=within_s)
        found.append(is_enough)
    return packed, found


@pytest.mark.parametrize("needed", [1, 2, 5, 8, 9, 24, 100])
def test_the_last_needed_hit_is_enough_and_begins_anew(needed: int) -> None:
    _, found = feed(Gate().hits, "a.b", [0.1 * n for n in range(2 * needed)], needed)
    assert [n for n, is_enough in enumerate(found, 1) if is_enough] == [needed, 2 * needed]


def test_old_hits_do_not_count() -> None:
    _, found = feed(Gate().hits, "a.b", [0, 90, 101, 150], 3)
    assert found == [False, False, False, True]


def test_hits_from_the_future_do_not_count() -> None:
    _, found = feed(Gate().hits, "a.b", [500, 0, 1], 3)
    assert found == [False, False, False]


def test_rules_count_for_themselves() -> None:
    packed = Gate().hits
    for number in range(HIT_RULES_COUNT):
        packed, _ = feed(packed, f"rule.{number}", [number], 2)
    for number in range(HIT_RULES_COUNT):
        packed, found = feed(packed, f"rule.{number}", [10 + number], 2)
        assert found == [True]


def test_the_rule_longest_silent_makes_room() -> None:
    packed = Gate().hits
    for number in range(HIT_RULES_COUNT + 1):
        packed, _ = feed(packed, f"rule.{number}", [number + 1], 2)
    assert feed(packed, "rule.1", [20], 2)[1] == [True]
    assert feed(packed, "rule.0", [20], 2)[1] == [False]


def test_the_last_hit_is_known() -> None:
    assert hits.last_at_s(Gate().hits) == 0
    packed, _ = feed(Gate().hits, "a.b", [1, 7], 5)
    assert hits.last_at_s(packed) == NOW_S + 7
