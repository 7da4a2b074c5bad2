"""What may happen at a gate, and what replies do to it. Pure: `now_s` is an argument, the gate given is changed.

    admit            one mail: pause, rest, warm-up, cap, hard rates (`policy.gcra`), learned rate (`policy.adapt`).
                     All allow it and each counts it, or nothing is counted and `Blocked` says until when, and why.
    take_connection  one more connection of a slot (a process of the node), within the limit and its fair share
    answer, react    a reply: it teaches the rate; its rule's hits are counted, and pause, rest or cap begin
    catch_up         many mails that passed while nothing held them back, and how many were taken, counted afterwards
    forget_slot      the slot's process is gone, and its connections with it

Fair shares: a slot that wants a connection and gets none says so (`want`). While it does, one that holds at least two
more closes one (`should_yield`), and what became free goes to who holds least, then to who wants for longest. If there
are fewer connections than slots that want one, they go round. A want ends after `WANT_S` unless it is renewed, so that
a dead process holds up nobody.

A `Blocked` is for people: its sentence goes into the lane and from there to `outrider why`. Its instant is the earliest
at which asking again is of use; it never says more than that.

The wall clock may step back: a running pause, rest or cap then begins anew instead of lasting as long as the step, and
rates block for no longer than their own window.
"""

from collections.abc import Callable
from datetime import date
from typing import Final

import msgspec

from outrider.base.vocab import WaitKind
from outrider.policy import adapt, gcra, hits
from outrider.policy.gate import ADAPTIVE_TAT, CAP_TAT, CONNECTION_TAT, RULE_BYTES_MAX, SAID_BYTES_MAX, Gate
from outrider.policy.sentence import clock_of, rate_of, span_of, speed_of
from outrider.policy.shaping import Act, Limits, Rate, Reaction

CONNECTION_LOOK_S: Final = 1.0  # Ours: nobody knows when a connection ends; who waits is also told (net.pool, on_free).
WANT_S: Final = 5.0  # Ours: a want is renewed every `CONNECTION_LOOK_S`.
PATIENCE_S: Final = 1.0  # Ours: a slot's only connection does some work before it goes to the next slot.
WARMUP_BURST_RATIO: Final = 0.05  # Ours: of the day's ceiling may leave together.
WARMUP_HASTE_RATIO: Final = 4.0  # Ours: how much faster than evenly a ceiling is made up late in the day.
DAY_S: Final = 86400.0
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

Explain = Callable[[float], "Blocked"]  # Given the instant.


class Ceiling(msgspec.Struct, frozen=True, gc=False):
    """How many mails a source that is being warmed up may send to a provider in a UTC day."""

    day: int  # Proleptic ordinal.
    count: int


class Blocked(msgspec.Struct, frozen=True, gc=False):
    """Why not now."""

    until_s: float  # Ask again then. Unix seconds.
    kind: WaitKind
    rule: str  # The reply rule behind it, "" if it is a limit of ours.
    sentence: str  # "5 of 5 connections in use", "10/min, next in 6 s".


class GateView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gate as people read it."""

    connections: int = 0
    connections_max: int = 0
    rate_per_s: float = 0.0  # Learned from replies; 0: as fast as the other limits let.
    learned_per_s: float = 0.0
    rates: tuple[str, ...] = ()  # The hard ones that hold now: "10/min".
    paused_until_s: float = 0.0
    pause_rule: str = ""
    resting_until_s: float = 0.0
    rest_rule: str = ""
    capped_until_s: float = 0.0
    cap_rule: str = ""


def admit(gate: Gate, limits: Limits, now_s: float, *, ceiling: Ceiling | None = None) -> Blocked | None:
    """Let one mail pass and count it for every rate, or count nothing and say until when it must wait."""
    if (blocked := stopped(gate, now_s)) is not None:
        return blocked
    mend(gate, limits, now_s, ceiling=ceiling)
    worst_s: float = now_s
    explain: Explain | None = None
    assert len(limits.rates) <= CONNECTION_TAT
    paces = [gcra.pace_of(rate.count, rate.window_s) for rate in limits.rates]
    for rate, pace, tat_s in zip(limits.rates, paces, gate.tats, strict=False):
        if (due_s := gcra.due_at_s(tat_s, now_s, pace)) > worst_s:
            worst_s, explain = due_s, _by_rate(rate, now_s)
    cap = _cap_rate(gate, now_s)
    if cap is not None:
        cap_pace = gcra.pace_of(cap.count, cap.window_s)
        if (due_s := gcra.due_at_s(gate.tats[CAP_TAT], now_s, cap_pace)) > worst_s:
            worst_s, explain = due_s, _by_cap(gate, cap, now_s)
    if (due_s := adapt.due_at_s(gate, now_s)) > worst_s:
        worst_s, explain = due_s, _by_replies(gate, now_s)
    if ceiling is not None and (due_s := _warm_due_at_s(gate, ceiling, now_s)) > worst_s:
        worst_s, explain = due_s, _by_warmup(gate, ceiling, now_s)
    if explain is not None:
        return explain(worst_s)
    for at, pace in enumerate(paces):
        gate.tats[at] = gcra.passed(gate.tats[at], now_s, pace)
    if cap is not None:
        gate.tats[CAP_TAT] = gcra.passed(gate.tats[CAP_TAT], now_s, cap_pace)
    adapt.attempt(gate, now_s)
    if ceiling is not None:
        _count_warm(gate, ceiling, now_s)
    return None


def mend(gate: Gate, limits: Limits, now_s: float, *, ceiling: Ceiling | None = None) -> None:
    """Let no mail be further off than its rates can mean: the clock stepped back, or a rate was raised.

    `admit` does so. Who asks a copy and keeps it not calls this when the answer was no.
    """
    for at, rate in enumerate(limits.rates):
        gate.tats[at] = gcra.cut(gate.tats[at], now_s, gcra.pace_of(rate.count, rate.window_s))
    if (cap := _cap_rate(gate, now_s)) is not None:
        gate.tats[CAP_TAT] = gcra.cut(gate.tats[CAP_TAT], now_s, gcra.pace_of(cap.count, cap.window_s))
    if gate.rate:
        gate.tats[ADAPTIVE_TAT] = gcra.cut(gate.tats[ADAPTIVE_TAT], now_s, adapt.pace_of(gate.rate))
    if ceiling is not None:
        furthest_s = now_s + WARMUP_BURST_RATIO * DAY_S + DAY_S / ceiling.count
        gate.warm_due_at_s = min(gate.warm_due_at_s, furthest_s)


def stopped(gate: Gate, now_s: float) -> Blocked | None:
    """Tell whether the gate is paused or rests; the longer of the two. The pool's record is asked this alone."""
    if gate.pause_until_s == gate.rest_until_s == gate.cap_until_s == 0:
        return None
    _mend_clock(gate, now_s)
    until_s, rule, said, verb, kind = max(
        (gate.pause_until_s, gate.pause_rule, gate.pause_said, "paused", WaitKind.PAUSE),
        (gate.rest_until_s, gate.rest_rule, gate.rest_said, "resting", WaitKind.REST),
    )
    if until_s <= now_s:
        return None
    lead = f"{said}: " if said else ""
    by = f" by rule {rule}" if rule else ""
    return Blocked(until_s, kind, rule, f"{lead}{verb} until {clock_of(until_s, now_s)}{by}")


def take_connection(gate: Gate, limits: Limits, slot: int, now_s: float) -> Blocked | None:
    """Count one more connection of the slot, if the limit, the rate of connections and its fair share allow it."""
    if (blocked := stopped(gate, now_s)) is not None:
        return blocked
    used, bound = sum(gate.connections), connections_max(gate, limits, now_s)
    if used >= bound:
        rule = gate.cap_rule if bound < limits.connections else ""
        sentence = f"{used} of {bound} connections in use" + (f", by rule {rule}" if rule else "")
        return Blocked(now_s + CONNECTION_LOOK_S, WaitKind.CONNECTIONS, rule, sentence)
    if bound - used <= _before(gate, slot, now_s):
        sentence = f"{used} of {bound} connections in use, the next is another process's turn"
        return Blocked(now_s + CONNECTION_LOOK_S, WaitKind.CONNECTIONS, "", sentence)
    if (rate := limits.connection_rate) is not None:
        pace = gcra.pace_of(rate.count, rate.window_s)
        if (due_s := gcra.due_at_s(gate.tats[CONNECTION_TAT], now_s, pace)) > now_s:
            sentence = f"{rate_of(rate)} new connections, next in {span_of(due_s - now_s)}"
            return Blocked(due_s, WaitKind.CONNECTIONS, "", sentence)
        gate.tats[CONNECTION_TAT] = gcra.passed(gate.tats[CONNECTION_TAT], now_s, pace)
    gate.connections[slot] += 1
    gate.wants[slot] = 0.0
    return None


def give_connection(gate: Gate, slot: int) -> None:
    """Count one connection of the slot less. More given than taken changes nothing: the slot was forgotten between."""
    if gate.connections[slot]:
        gate.connections[slot] -= 1


def want(gate: Gate, slot: int, now_s: float) -> None:
    """Say that the slot waits for a connection; to be repeated while it does."""
    if not _is_wanting(gate.wants[slot], now_s):
        gate.wants[slot] = now_s


def should_yield(gate: Gate, limits: Limits, slot: int, now_s: float) -> bool:
    """Tell whether the slot should close a connection, because another wants one and this one holds more."""
    bound = connections_max(gate, limits, now_s)
    used, held = sum(gate.connections), gate.connections[slot]
    if used > bound:
        return held > 0  # A cap came meanwhile.
    if held == 0 or used < bound:
        return False
    for other, since_s in enumerate(gate.wants):
        if other != slot and _is_wanting(since_s, now_s):
            lead = held - gate.connections[other]
            if lead >= 2 or (lead == 1 and held == 1 and now_s - since_s >= PATIENCE_S):
                return True
    return False


def connections_max(gate: Gate, limits: Limits, now_s: float) -> int:
    """Return how many connections all slots together may have now."""
    is_capped = gate.cap_connections > 0 and gate.cap_until_s > now_s
    return min(limits.connections, gate.cap_connections) if is_capped else limits.connections


def messages_per_connection(gate: Gate, limits: Limits, now_s: float) -> int:
    """Return after how many mails a connection is to be closed now."""
    is_capped = gate.cap_messages > 0 and gate.cap_until_s > now_s
    return min(limits.messages_per_connection, gate.cap_messages) if is_capped else limits.messages_per_connection


def answer(gate: Gate, now_s: float, *, started_at_s: float, is_throttled: bool, is_delivered: bool) -> None:
    """Learn from the reply to an attempt admitted at `started_at_s`. Neither throttled nor delivered: no evidence."""
    adapt.answer(gate, now_s, started_at_s=started_at_s, is_throttled=is_throttled, is_delivered=is_delivered)


def catch_up(gate: Gate, now_s: float, *, since_s: float, attempt_count: int, delivered_count: int) -> None:
    """Count what passed since `since_s`, while a look said that nothing holds back: no rate, no cap, nothing learned.

    If something does by now, they count as evidence of what the provider takes, not about the new speed.
    """
    # Not before what the gate knows already: that would look like a clock that stepped back.
    at_s = min(max(since_s, gate.round_at_s, gate.taken_at_s, gate.decreased_at_s), now_s)
    adapt.attempt(gate, at_s, count=attempt_count)
    if delivered_count:
        adapt.answer(
            gate, now_s, started_at_s=since_s, is_throttled=False, is_delivered=True, delivered_count=delivered_count
        )


def react(gate: Gate, reaction: Reaction, now_s: float, *, said: str = "") -> bool:
    """Count a hit of the rule; begin its pause, rest or cap if that was the last one needed. Tell whether it began.

    SLOW and RECONNECT change nothing here: the first is `answer`'s, the second the connection pool's.

    Args:
        said: the words that it answers, for the sentence: "'421 4.7.0 [TSS04] Messages from 192.0.2.7'".
    """
    if reaction.act not in (Act.PAUSE, Act.REST, Act.CAP):
        return False
    _mend_clock(gate, now_s)
    if reaction.hits > 1:
        gate.hits, is_enough = hits.count(
            gate.hits, reaction.rule, now_s, hits_needed=reaction.hits, within_s=reaction.within_s
        )
        if not is_enough:
            return False
    until_s = now_s + reaction.for_s
    rule, said = reaction.rule[:RULE_BYTES_MAX], said[:SAID_BYTES_MAX]
    if reaction.act is Act.CAP:
        _cap(gate, reaction, now_s)
        gate.cap_rule = rule
        return True
    if stopped(gate, now_s) is None:
        adapt.halve(gate, now_s)  # Once for each stop: replies still under way when it began bring nothing new.
    if reaction.act is Act.PAUSE and until_s > gate.pause_until_s:
        gate.pause_since_s, gate.pause_until_s, gate.pause_rule, gate.pause_said = now_s, until_s, rule, said
    elif reaction.act is Act.REST and until_s > gate.rest_until_s:
        gate.rest_since_s, gate.rest_until_s, gate.rest_rule, gate.rest_said = now_s, until_s, rule, said
    return True


def forget_slot(gate: Gate, slot: int) -> None:
    """Forget the slot's connections and wants: its process is gone."""
    gate.connections[slot] = 0
    gate.wants[slot] = 0.0


def is_idle(gate: Gate, now_s: float) -> bool:
    """Tell whether a new gate would behave the same, so that this one may be dropped."""
    if any(gate.connections) or any(_is_wanting(since_s, now_s) for since_s in gate.wants):
        return False
    if max(*gate.tats, gate.pause_until_s, gate.rest_until_s, gate.cap_until_s) > now_s:
        return False
    is_remembering = max(gate.rate, gate.learned) > 0 and now_s - gate.throttled_at_s < adapt.FORGET_S
    is_warming = gate.warm_count > 0 and gate.warm_day >= _day_of(now_s)
    return not (is_remembering or is_warming or hits.last_at_s(gate.hits) > now_s - DAY_S)


def describe(gate: Gate, limits: Limits, now_s: float) -> GateView:
    """Return the gate as people read it; what is over is left out."""
    rates = [rate_of(rate) for rate in limits.rates]
    if (cap := _cap_rate(gate, now_s)) is not None:
        rates.append(rate_of(cap))
    is_paused, is_resting = gate.pause_until_s > now_s, gate.rest_until_s > now_s
    is_capped = gate.cap_until_s > now_s
    return GateView(
        connections=sum(gate.connections),
        connections_max=connections_max(gate, limits, now_s),
        rate_per_s=gate.rate,
        learned_per_s=gate.learned,
        rates=tuple(rates),
        paused_until_s=gate.pause_until_s if is_paused else 0.0,
        pause_rule=gate.pause_rule if is_paused else "",
        resting_until_s=gate.rest_until_s if is_resting else 0.0,
        rest_rule=gate.rest_rule if is_resting else "",
        capped_until_s=gate.cap_until_s if is_capped else 0.0,
        cap_rule=gate.cap_rule if is_capped else "",
    )


def _is_wanting(since_s: float, now_s: float) -> bool:
    return 0 <= now_s - since_s < WANT_S


def _before(gate: Gate, slot: int, now_s: float) -> int:
    """Count the slots whose turn comes before this one's: they want one too, and hold less or want it for longer."""
    mine = (gate.connections[slot], gate.wants[slot] or now_s)
    return sum(
        _is_wanting(since_s, now_s) and (gate.connections[other], since_s) < mine
        for other, since_s in enumerate(gate.wants)
        if other != slot and since_s
    )


def _cap_rate(gate: Gate, now_s: float) -> Rate | None:
    is_running = gate.cap_count > 0 and gate.cap_until_s > now_s
    return Rate(gate.cap_count, gate.cap_window_s) if is_running else None


def _cap(gate: Gate, reaction: Reaction, now_s: float) -> None:
    """Begin a cap. What another has set and still runs stays where it is the stricter; both end with the later."""
    until_s = now_s + reaction.for_s
    rates = [rate for rate in (_cap_rate(gate, now_s), reaction.rate) if rate is not None]
    connections, messages = [reaction.connections], [reaction.messages_per_connection]
    if gate.cap_until_s > now_s:
        until_s = max(until_s, gate.cap_until_s)
        connections.append(gate.cap_connections)
        messages.append(gate.cap_messages)
    slowest = min(rates, key=lambda rate: rate.count / rate.window_s, default=Rate(0, 0.0))
    gate.cap_since_s, gate.cap_until_s = now_s, until_s
    gate.cap_count, gate.cap_window_s = slowest.count, slowest.window_s
    gate.cap_connections = min(filter(None, connections), default=0)
    gate.cap_messages = min(filter(None, messages), default=0)


def _mend_clock(gate: Gate, now_s: float) -> None:
    """Let nothing have begun in the future: what then runs still lasts as long as it was meant to."""
    if gate.pause_since_s > now_s:
        gate.pause_until_s -= gate.pause_since_s - now_s
        gate.pause_since_s = now_s
    if gate.rest_since_s > now_s:
        gate.rest_until_s -= gate.rest_since_s - now_s
        gate.rest_since_s = now_s
    if gate.cap_since_s > now_s:
        gate.cap_until_s -= gate.cap_since_s - now_s
        gate.cap_since_s = now_s


def _day_of(now_s: float) -> int:
    return _EPOCH_DAY + int(now_s // DAY_S)


def _day_begins_at_s(day: int) -> float:
    return (day - _EPOCH_DAY) * DAY_S


def _warm_due_at_s(gate: Gate, ceiling: Ceiling, now_s: float) -> float:
    """Return when the day's next mail is due: spread evenly over what is left of the day, late mail a little faster."""
    count = gate.warm_count if gate.warm_day == ceiling.day else 0
    if count >= ceiling.count:
        return _day_begins_at_s(ceiling.day + 1)
    if count == 0:
        return 0.0
    even_s = DAY_S / ceiling.count
    return min(gate.warm_due_at_s - WARMUP_BURST_RATIO * DAY_S, now_s + even_s)


def _count_warm(gate: Gate, ceiling: Ceiling, now_s: float) -> None:
    if gate.warm_day != ceiling.day:
        gate.warm_day, gate.warm_count, gate.warm_due_at_s = ceiling.day, 0, 0.0
    gate.warm_count += 1
    left_s = max(_day_begins_at_s(ceiling.day + 1) - now_s, 0.0)
    even_s = DAY_S / ceiling.count
    interval_s = max(min(even_s, left_s / max(ceiling.count - gate.warm_count, 1)), even_s / WARMUP_HASTE_RATIO)
    gate.warm_due_at_s = max(min(gate.warm_due_at_s, now_s + WARMUP_BURST_RATIO * DAY_S + even_s), now_s) + interval_s


def _by_rate(rate: Rate, now_s: float) -> Explain:
    return lambda at_s: Blocked(at_s, WaitKind.RATE, "", f"{rate_of(rate)}, next in {span_of(at_s - now_s)}")


def _by_cap(gate: Gate, rate: Rate, now_s: float) -> Explain:
    until = clock_of(gate.cap_until_s, now_s)
    return lambda at_s: Blocked(
        min(at_s, gate.cap_until_s),
        WaitKind.RATE,
        gate.cap_rule,
        f"{rate_of(rate)} until {until} by rule {gate.cap_rule}, next in {span_of(at_s - now_s)}",
    )


def _by_replies(gate: Gate, now_s: float) -> Explain:
    sentence = f"slowed to {speed_of(gate.rate)} by the provider's replies"
    return lambda at_s: Blocked(at_s, WaitKind.THROTTLE, "", f"{sentence}, next in {span_of(at_s - now_s)}")


def _by_warmup(gate: Gate, ceiling: Ceiling, now_s: float) -> Explain:
    count = gate.warm_count if gate.warm_day == ceiling.day else 0
    sentence = f"warm-up: {count} of {ceiling.count} of the day sent"
    return lambda at_s: Blocked(at_s, WaitKind.WARMUP, "", f"{sentence}, next in {span_of(at_s - now_s)}")
