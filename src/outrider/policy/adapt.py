"""The rate that a provider's replies teach: down in proportion to what it refuses, up by degrees, with a memory.

Until the first "slower" a gate has no rate of this kind. Then it goes by rounds of observation:

    throttled   a = throttled / answered of the round, once it has `ANSWERS_COUNT` answers or lasts long enough:
                rate *= 1 - max(a, 0.1) / 2; if a > 0.5, down to what was accepted, at most to 1/8, but not far under
                what went through in the last ten seconds (who counts in windows refuses everything at the end of
                each). Never under `RATE_MIN`. The first time it starts from the measured attempt rate.
    calm        after `CALM_S` without a "slower", if the rate was used: below `learned` half the distance to it, then
                `step`, a twentieth of the rate at the last decrease; always less than double. Around `learned`, where
                the limit is believed to be, calm must last `PROBE_S` and the step is smaller: asking costs refusals.
    idle        a rate that was not used has not been tested; it stays (RFC 7661 has the same for TCP).

One congestion event counts once: replies to attempts begun before the last decrease say nothing about the new speed.
`learned` is what the provider took when it refused, smoothed; a round in which it took nothing says that it is shut,
not where its limit is. A new source starts from its pool's (`lesson`, `keep`, `start`). Rate and memory end after a day
of calm, or when the rate has grown to 20 times `learned`.

Only delivered and throttled replies are evidence; an unknown user or a time-out says nothing about speed.
Sources: RFC 8257 (DCTCP: decrease by the share of marks), RFC 5681 §3.1 (additive increase), RFC 7661.
"""

from math import exp
from typing import Final

from outrider.policy import gcra
from outrider.policy.gate import ADAPTIVE_TAT, Gate
from outrider.policy.gcra import Pace

RATE_MIN: Final = 0.1  # Ours: a mail in ten seconds still finds out when the provider has calmed down.
SHARE_MIN: Final = 0.1  # Ours: one refusal is worth 5 %; less would not end the refusals.
DROP_RATIO_MAX: Final = 0.125  # Ours: an eighth at one step; more on one round's evidence undershoots.
STEP_RATIO: Final = 0.05  # Ours: from a limit to three times of it in 40 steps.
ANSWERS_COUNT: Final = 10  # Ours: fewer say little about a share.
ROUND_S: Final = 1.0  # Ours: between two decreases at least.
ROUND_S_MAX: Final = 5.0  # Ours: with fewer answers than that; but see `_is_ripe` for slow rates.
CALM_S: Final = 5.0  # Ours: longer than most replies take.
PROBE_S: Final = 8.0  # Ours: see the figures in tests/sim/test_throttle_settles.py.
PROBE_FROM_RATIO: Final = 0.97  # Ours: of `learned`, as the next.
PROBE_TO_RATIO: Final = 1.1
USED_RATIO: Final = 0.7  # Ours: of the rate; less is idle.
TAKEN_RATIO: Final = 0.9  # Ours: a floor of a decrease; but a provider that takes nothing is followed down.
TRUST_RATIO: Final = 0.85  # Ours: of `FADE_S`; what went through in less time is mostly the provider's burst.
RISE_RATIO_MAX: Final = 0.75  # providers.md 1.1: never double volume at a step.
PROBE_STEP_RATIO: Final = 0.4  # Ours: of a step; what is over the limit is refused.
FADE_S: Final = 10.0  # Ours: providers count by the second, some by the minute.
FORGET_S: Final = 86400.0  # Ours: limits of providers are of the day.
FORGET_RATIO: Final = 20.0  # Ours: nothing of the old limit is left.
BURST_S: Final = 0.02  # Ours: mails due so soon leave together; more is refused by who counts each second anew.


def pace_of(rate: float) -> Pace:
    """Return the pace of a learned rate."""
    return Pace(1 / rate, BURST_S)


def due_at_s(gate: Gate, now_s: float) -> float:
    """Return when the learned rate lets the next mail pass; 0 if there is none."""
    return gcra.due_at_s(gate.tats[ADAPTIVE_TAT], now_s, pace_of(gate.rate)) if gate.rate else 0.0


def attempt(gate: Gate, now_s: float, *, count: int = 1) -> None:
    """Count attempts that were let through."""
    _mend(gate, now_s)
    if gate.rate:
        gate.tats[ADAPTIVE_TAT] = gcra.passed(gate.tats[ADAPTIVE_TAT], now_s, pace_of(gate.rate))
    elif now_s - gate.round_at_s >= CALM_S:
        gate.seen_rate = gate.seen / (now_s - gate.round_at_s)
        _begin_round(gate, now_s)
    gate.seen += count


def answer(
    gate: Gate,
    now_s: float,
    *,
    started_at_s: float,
    is_throttled: bool,
    is_delivered: bool,
    delivered_count: int = 1,
) -> None:
    """Learn from the reply to an attempt that was let through at `started_at_s`; or from many that were delivered."""
    if not (is_throttled or is_delivered):
        return
    _mend(gate, now_s)
    _count_taken(gate, now_s, count=delivered_count if is_delivered else 0)
    if started_at_s <= gate.decreased_at_s:
        return
    gate.answered += delivered_count if is_delivered else 1
    if is_throttled:
        gate.throttled += 1
        gate.throttled_at_s = now_s
    if gate.rate == 0:
        if is_throttled:
            _start_from_measured(gate, now_s)
    elif gate.throttled:
        if _is_ripe(gate, now_s):
            _decrease(gate, now_s)
    else:
        _raise(gate, now_s)


def halve(gate: Gate, now_s: float) -> None:
    """Go on at half the rate, and find back by steps alone: what a pause is followed by."""
    offered = gate.rate or max(_seen_rate(gate, now_s), gate.seen_rate)
    if offered == 0:
        return  # Nothing was sent here: the record of a pool.
    gate.learned = gate.rate = max(RATE_MIN, offered / 2)
    gate.step = STEP_RATIO * gate.rate
    gate.throttled_at_s = now_s
    gate.decreased_at_s = now_s
    _begin_round(gate, now_s)


def lesson(gate: Gate, now_s: float) -> float:
    """Return the learned rate, if it was learned just now and is worth telling the pool's other sources; else 0.

    It is if enough went through lately. A new address that is refused at its first mails says something about itself,
    and nothing about how much the provider takes.
    """
    return gate.learned if gate.decreased_at_s == now_s and gate.taken >= ANSWERS_COUNT else 0.0


def keep(pool: Gate, learned: float, now_s: float) -> None:
    """Keep in the pool's record what one of its sources has learned; the latest counts half."""
    pool.learned = ((recall(pool, now_s) or learned) + learned) / 2
    pool.throttled_at_s = now_s


def recall(pool: Gate, now_s: float) -> float:
    """Return what the pool's record remembers; 0: nothing, or nothing fresh."""
    return pool.learned if now_s - pool.throttled_at_s < FORGET_S else 0.0


def is_new(gate: Gate, now_s: float) -> bool:
    """Tell whether the source knows nothing of its own: nothing learned, and nothing sent for a day."""
    return gate.rate == gate.learned == 0 and now_s - gate.round_at_s >= FORGET_S


def start(gate: Gate, learned: float, now_s: float) -> Gate:
    """Start a new source from what its pool remembers; return the gate."""
    if is_new(gate, now_s):
        gate.rate = gate.learned = max(RATE_MIN, learned)
        gate.step = STEP_RATIO * gate.rate
        gate.throttled_at_s = now_s
        _begin_round(gate, now_s)
    return gate


def _begin_round(gate: Gate, now_s: float) -> None:
    gate.round_at_s = now_s
    gate.seen = gate.answered = gate.throttled = 0


def _seen_rate(gate: Gate, now_s: float) -> float:
    return gate.seen / max(now_s - gate.round_at_s, ROUND_S)


def _taken_rate(gate: Gate) -> float:
    return gate.taken / max(gate.taken_span_s, ROUND_S)


def _count_taken(gate: Gate, now_s: float, *, count: int) -> None:
    kept = exp((gate.taken_at_s - now_s) / FADE_S) if gate.taken_at_s else 1.0
    gate.taken = gate.taken * kept + count
    gate.taken_span_s = gate.taken_span_s * kept + FADE_S * (1 - kept)
    gate.taken_at_s = now_s


def _start_from_measured(gate: Gate, now_s: float) -> None:
    gate.rate = max(_seen_rate(gate, now_s), gate.seen_rate)
    share = gate.throttled / gate.answered
    gate.rate = max(RATE_MIN, gate.rate * (1 - max(share, SHARE_MIN) / 2))
    gate.learned = gate.learned or gate.rate
    _decreased(gate, now_s)


def _is_ripe(gate: Gate, now_s: float) -> bool:
    """Tell whether the round has seen enough to judge a share. Four mails' time, where that is longer, is enough."""
    elapsed_s = now_s - gate.round_at_s
    return elapsed_s >= ROUND_S and (gate.answered >= ANSWERS_COUNT or elapsed_s >= max(ROUND_S_MAX, 4 / gate.rate))


def _decrease(gate: Gate, now_s: float) -> None:
    share = gate.throttled / gate.answered
    offered = min(gate.rate, _seen_rate(gate, now_s) * PROBE_TO_RATIO)
    accepted, taken = offered * (1 - share), _taken_rate(gate)
    rate = offered * (1 - max(share, SHARE_MIN) / 2)
    if share > 0.5:
        rate = min(rate, max(accepted, offered * DROP_RATIO_MAX))
        rate = max(rate, min(taken * TAKEN_RATIO, offered * (1 - SHARE_MIN / 2)))
    if gate.throttled < gate.answered or gate.taken_span_s < TRUST_RATIO * FADE_S:
        gate.learned = (gate.learned + max(accepted, min(taken, offered))) / 2
    gate.rate = max(RATE_MIN, rate)
    _decreased(gate, now_s)


def _decreased(gate: Gate, now_s: float) -> None:
    gate.step = STEP_RATIO * max(gate.rate, gate.learned)
    gate.decreased_at_s = now_s
    _begin_round(gate, now_s)


def _raise(gate: Gate, now_s: float) -> None:
    elapsed_s = now_s - gate.round_at_s
    is_near = PROBE_FROM_RATIO * gate.learned <= gate.rate <= PROBE_TO_RATIO * gate.learned
    if elapsed_s < max(PROBE_S if is_near else CALM_S, 1 / gate.rate):
        return
    if now_s - gate.throttled_at_s >= FORGET_S or gate.rate >= FORGET_RATIO * gate.learned:
        gate.rate = gate.learned = gate.step = 0.0
    elif gate.seen >= USED_RATIO * gate.rate * elapsed_s:
        rise = max(gate.step * (PROBE_STEP_RATIO if is_near else 1), (gate.learned - gate.rate) / 2)
        gate.rate += min(rise, gate.rate * RISE_RATIO_MAX)
    _begin_round(gate, now_s)


def _mend(gate: Gate, now_s: float) -> None:
    """After a step back of the wall clock, let nothing have happened in the future."""
    if gate.round_at_s > now_s or gate.taken_at_s > now_s or gate.decreased_at_s > now_s:
        gate.round_at_s = min(gate.round_at_s, now_s)
        gate.taken_at_s = min(gate.taken_at_s, now_s)
        gate.decreased_at_s = min(gate.decreased_at_s, now_s)
        gate.throttled_at_s = min(gate.throttled_at_s, now_s)
