"""What may happen at a gate, and why not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.vocab import WaitKind
from outrider.policy import adapt, throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Act, Limits, Rate, Reaction
from outrider.policy.throttle import Blocked, Ceiling

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00 UTC.
DAY = 739_996  # The same, as proleptic ordinal.
FREE = Limits(connections=5)


def admit_all(gate: Gate, limits: Limits, now_s: float, ceiling: Ceiling | None = None) -> tuple[int, Blocked]:
    """Admit until it is refused; return how many passed, and the refusal."""
    for count in range(10_000):
        if (blocked := throttle.admit(gate, limits, now_s, ceiling=ceiling)) is not None:
            return count, blocked
    raise AssertionError("never refused")


def test_a_rate_blocks_until_just_when_the_next_may_pass() -> None:
    gate, limits = Gate(), Limits(rates=(Rate(10, 60.0),))
    count, blocked = admit_all(gate, limits, NOW_S)
    assert count == 2
    assert blocked.kind is WaitKind.RATE
    assert blocked.sentence == "10/min, next in 7 s"
    assert throttle.admit(gate, limits, blocked.until_s - 0.01) is not None
    assert throttle.admit(gate, limits, blocked.until_s) is None


def test_all_rates_are_taken_together_or_none() -> None:
    gate, limits = Gate(), Limits(rates=(Rate(100, 1.0), Rate(1, 3600.0)))
    assert throttle.admit(gate, limits, NOW_S) is None
    before = msgspec.structs.asdict(gate)
    blocked = throttle.admit(gate, limits, NOW_S + 5)
    assert blocked is not None
    assert blocked.sentence == "1/h, next in 60 min"
    assert msgspec.structs.asdict(gate) == before


@given(st.lists(st.floats(0, 0.3), min_size=30, max_size=150))
def test_no_window_of_any_rate_is_exceeded(gaps: list[float]) -> None:
    gate, rates = Gate(), (Rate(3, 1.0), Rate(20, 10.0))
    now_s, passed = NOW_S, []
    for gap in gaps:
        now_s += gap
        if throttle.admit(gate, Limits(rates=rates), now_s) is None:
            passed.append(now_s)
    for rate in rates:
        assert all(b - a >= rate.window_s for a, b in zip(passed, passed[rate.count :], strict=False))


def test_the_learned_rate_blocks_and_says_so() -> None:
    gate = Gate()
    adapt.start(gate, 5.0, NOW_S)
    _, blocked = admit_all(gate, FREE, NOW_S)
    assert blocked.kind is WaitKind.THROTTLE
    assert blocked.sentence == "slowed to 5/s by the provider's replies, next in 0.2 s"


@pytest.mark.parametrize(("act", "kind", "verb"), [
    (Act.PAUSE, WaitKind.PAUSE, "paused"), (Act.REST, WaitKind.REST, "resting")
])  # fmt: skip
def test_a_pause_and_a_rest_stop_everything_and_name_their_rule(act: Act, kind: WaitKind, verb: str) -> None:
    gate = Gate()
    assert throttle.react(gate, Reaction(rule="yahoo.tss04", act=act, for_s=7200), NOW_S, said="Yahoo said [TSS04]")
    expected = Blocked(
        NOW_S + 7200, kind, "yahoo.tss04", f"Yahoo said [TSS04]: {verb} until 10:00 UTC by rule yahoo.tss04"
    )
    assert throttle.stopped(gate, NOW_S + 1) == expected
    assert throttle.admit(gate, FREE, NOW_S + 1) == expected
    assert throttle.take_connection(gate, FREE, 0, NOW_S + 1) == expected
    assert throttle.admit(gate, FREE, NOW_S + 7200) is None


def test_a_stop_halves_the_rate_once() -> None:
    gate, stop = Gate(), Reaction(rule="gmail.rate", act=Act.PAUSE, for_s=600)
    adapt.start(gate, 8.0, NOW_S)
    for second in range(5):
        throttle.react(gate, stop, NOW_S + second)
    assert gate.rate == 4.0
    assert gate.pause_until_s == NOW_S + 604


def test_a_rule_acts_at_its_last_needed_hit() -> None:
    gate, rest = Gate(), Reaction(rule="a.b", act=Act.REST, for_s=60, hits=3, within_s=100)
    assert [throttle.react(gate, rest, NOW_S + at_s) for at_s in (0, 99, 101, 150)] == [False, False, False, True]


@pytest.mark.parametrize("act", [Act.SLOW, Act.RECONNECT])
def test_other_acts_change_nothing_here(act: Act) -> None:
    gate = Gate()
    assert not throttle.react(gate, Reaction(rule="a.b", act=act), NOW_S)
    assert gate == Gate()


def test_a_cap_lowers_limits_for_a_while() -> None:
    gate, limits = Gate(), Limits(connections=5, messages_per_connection=50)
    cap = Reaction(rule="ms.busy", act=Act.CAP, for_s=900, rate=Rate(1, 60.0), connections=1, messages_per_connection=2)
    throttle.react(gate, cap, NOW_S)
    _, blocked = admit_all(gate, limits, NOW_S)
    assert blocked.rule == "ms.busy"
    assert blocked.sentence == "1/min until 08:15 UTC by rule ms.busy, next in 61 s"
    assert throttle.take_connection(gate, limits, 0, NOW_S) is None
    full = throttle.take_connection(gate, limits, 0, NOW_S)
    assert full is not None
    assert full.sentence == "1 of 1 connections in use, by rule ms.busy"
    assert throttle.messages_per_connection(gate, limits, NOW_S) == 2
    assert throttle.connections_max(gate, limits, NOW_S + 900) == 5
    assert throttle.messages_per_connection(gate, limits, NOW_S + 900) == 50


def test_of_two_caps_the_stricter_holds() -> None:
    gate = Gate()
    throttle.react(gate, Reaction(rule="a", act=Act.CAP, for_s=900, rate=Rate(1, 60.0), connections=3), NOW_S)
    throttle.react(gate, Reaction(rule="b", act=Act.CAP, for_s=60, rate=Rate(9, 60.0), connections=1), NOW_S)
    assert (gate.cap_count, gate.cap_connections, gate.cap_until_s) == (1, 1, NOW_S + 900)


@pytest.mark.parametrize("act", [Act.PAUSE, Act.REST, Act.CAP])
def test_after_a_step_back_a_stop_lasts_as_long_as_it_was_meant_to(act: Act) -> None:
    gate = Gate()
    throttle.react(gate, Reaction(rule="a", act=act, for_s=600, rate=Rate(1, 60.0)), NOW_S)
    throttle.admit(gate, FREE, NOW_S - 86_400)
    assert max(gate.pause_until_s, gate.rest_until_s, gate.cap_until_s) == NOW_S - 86_400 + 600


def test_connections_are_counted_over_all_slots() -> None:
    gate = Gate()
    assert [throttle.take_connection(gate, FREE, slot, NOW_S) for slot in (0, 1, 2, 0, 1)] == [None] * 5
    blocked = throttle.take_connection(gate, FREE, 3, NOW_S)
    assert blocked == Blocked(NOW_S + 1, WaitKind.CONNECTIONS, "", "5 of 5 connections in use")
    throttle.give_connection(gate, 1)
    assert throttle.take_connection(gate, FREE, 3, NOW_S) is None
    throttle.give_connection(gate, 40)
    assert sum(gate.connections) == 5
    throttle.forget_slot(gate, 0)
    assert sum(gate.connections) == 3


def test_new_connections_have_a_rate() -> None:
    gate, limits = Gate(), Limits(connections=9, connection_rate=Rate(1, 60.0))
    assert throttle.take_connection(gate, limits, 0, NOW_S) is None
    blocked = throttle.take_connection(gate, limits, 0, NOW_S)
    assert blocked is not None
    assert blocked.sentence == "1/min new connections, next in 61 s"


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("slots", [2, 3, 8])
def test_shares_become_fair_and_stay_so(bound: int, slots: int) -> None:
    gate, limits, now_s = Gate(), Limits(connections=bound), NOW_S
    for _ in range(bound):
        throttle.take_connection(gate, limits, 0, now_s)
    held = [0] * slots
    for _ in range(200):
        now_s += 0.5
        for slot in range(slots):
            if throttle.should_yield(gate, limits, slot, now_s):
                throttle.give_connection(gate, slot)
            elif throttle.take_connection(gate, limits, slot, now_s) is not None:
                throttle.want(gate, slot, now_s)
            held[slot] += gate.connections[slot]
        assert sum(gate.connections) <= bound
    assert max(gate.connections[:slots]) - min(gate.connections[:slots]) <= 1
    assert min(held) > 0.3 * sum(held) / slots


def test_one_who_wants_no_more_holds_up_nobody() -> None:
    gate, limits = Gate(), Limits(connections=2)
    throttle.take_connection(gate, limits, 0, NOW_S)
    throttle.take_connection(gate, limits, 0, NOW_S)
    throttle.want(gate, 1, NOW_S)
    assert throttle.should_yield(gate, limits, 0, NOW_S)
    assert not throttle.should_yield(gate, limits, 0, NOW_S + throttle.WANT_S)
    assert not throttle.should_yield(gate, limits, 1, NOW_S)


def test_who_holds_less_takes_what_became_free() -> None:
    gate, limits = Gate(), Limits(connections=3)
    for _ in range(3):
        throttle.take_connection(gate, limits, 0, NOW_S)
    throttle.want(gate, 1, NOW_S)
    throttle.give_connection(gate, 0)
    blocked = throttle.take_connection(gate, limits, 0, NOW_S)
    assert blocked is not None
    assert "another process's turn" in blocked.sentence
    assert throttle.take_connection(gate, limits, 1, NOW_S) is None


def test_a_ceiling_is_spread_over_the_day_and_used_up_by_its_end() -> None:
    gate, ceiling = Gate(), Ceiling(DAY, 100)
    midnight_s = NOW_S - 8 * 3600
    sent: list[float] = []
    for minute in range(24 * 60):
        now_s = midnight_s + 60 * minute
        while throttle.admit(gate, FREE, now_s, ceiling=ceiling) is None:
            sent.append(now_s)
    assert len(sent) == 100
    by_noon = sum(at_s < midnight_s + 12 * 3600 for at_s in sent)
    assert 50 <= by_noon <= 58
    assert sent[-1] > midnight_s + 22 * 3600


def test_mail_that_comes_late_in_the_day_leaves_a_little_faster() -> None:
    gate, ceiling = Gate(), Ceiling(DAY, 240)
    count, blocked = admit_all(gate, FREE, NOW_S + 8 * 3600, ceiling)
    assert count <= 40
    assert blocked.kind is WaitKind.WARMUP
    assert blocked.sentence.startswith(f"warm-up: {count} of 240 of the day sent, next in ")
    assert blocked.until_s - NOW_S - 8 * 3600 < 360


def test_a_used_up_ceiling_waits_for_midnight() -> None:
    gate = Gate()
    assert throttle.admit(gate, FREE, NOW_S, ceiling=Ceiling(DAY, 1)) is None
    blocked = throttle.admit(gate, FREE, NOW_S, ceiling=Ceiling(DAY, 1))
    assert blocked is not None
    assert blocked.until_s == NOW_S + 16 * 3600
    assert throttle.admit(gate, FREE, blocked.until_s, ceiling=Ceiling(DAY + 1, 1)) is None


def test_a_gate_is_idle_only_when_nothing_of_it_matters() -> None:
    assert throttle.is_idle(Gate(), NOW_S)
    limits = Limits(rates=(Rate(1, 60.0),))
    gate = Gate()
    throttle.admit(gate, limits, NOW_S)
    assert not throttle.is_idle(gate, NOW_S)
    assert throttle.is_idle(gate, NOW_S + 120)
    throttle.take_connection(gate, limits, 7, NOW_S)
    assert not throttle.is_idle(gate, NOW_S + 120)
    throttle.forget_slot(gate, 7)
    gate = adapt.start(Gate(), 5.0, NOW_S)
    assert not throttle.is_idle(gate, NOW_S + 3600)
    assert throttle.is_idle(gate, NOW_S + 90_000)


def test_a_description_leaves_out_what_is_over() -> None:
    gate, limits = Gate(), Limits(connections=5, rates=(Rate(10, 60.0),))
    throttle.take_connection(gate, limits, 0, NOW_S)
    throttle.react(gate, Reaction(rule="a.b", act=Act.REST, for_s=60), NOW_S)
    view = throttle.describe(gate, limits, NOW_S)
    assert (view.connections, view.connections_max, view.rates) == (1, 5, ("10/min",))
    assert (view.resting_until_s, view.rest_rule) == (NOW_S + 60, "a.b")
    assert throttle.describe(gate, limits, NOW_S + 61).rest_rule == ""
    assert msgspec.json.decode(msgspec.json.encode(view), type=throttle.GateView) == view


def test_a_raised_rate_or_a_step_back_is_forgotten_at_the_first_look() -> None:
    gate, slow, fast = Gate(), Limits(rates=(Rate(1, 86400),)), Limits(rates=(Rate(600, 60),))
    assert throttle.admit(gate, slow, NOW_S) is None
    blocked = throttle.admit(gate, fast, NOW_S + 1)
    assert blocked is not None
    assert blocked.until_s < NOW_S + 2
    assert throttle.admit(gate, fast, blocked.until_s) is None
