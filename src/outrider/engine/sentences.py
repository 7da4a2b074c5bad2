"""Why mail waits, in sentences. No database here: groups of recipients and what surrounds them go in, lines come out.

A line is `41 wait: gmail, 5 of 5 connections in use from mta1, since 14:01:05 UTC; next look in 12 s`: how many, their
state, the cause, since when, until when. Every group gets one; a state without a sentence would be a bug, and so says
the one for which there is no cause.

Order of causes of what is due: a hold, a pause, no node for the pool, being sent, a lease run out, its turn.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from outrider.base.vocab import HoldScope, RecipientStatus, SuppressionOrigin, SuppressionScope, WaitKind
from outrider.engine.nodes import SEEN_S
from outrider.store.holds import Hold
from outrider.store.queue_views import Group, LaneSeen, NodeSeen
from outrider.store.suppressions import EVERYBODY, Suppression

_FINAL: Final = frozenset(status.value for status in RecipientStatus if status.is_final)
_OF_SENDER: Final = frozenset({WaitKind.GUARD, WaitKind.DOMAIN})  # Whoever receives.
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_ASLEEP_S: Final = 2.0  # Ours: a lane that is due and asleep that long has lost its wake-up.
_REPLY_CHARS_MAX: Final = 120  # Ours: a line stays a line; `outrider show` has all of it.


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about `count` recipients."""

    count: int
    is_capped: bool  # There are more than `count`.
    state: str  # A final status, or held, deferred, wait, unserved, sending, due, asleep, lost.
    text: str  # Cause and times.
    since: datetime | None = None
    until: datetime | None = None  # When something will be tried or looked at next; None: nobody knows.

    @property
    def sentence(self) -> str:
        """The line for people."""
        return f"{self.count}{'+' if self.is_capped else ''} {self.state}: {self.text}"


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds the recipients that are explained."""

    now: datetime
    lanes: Mapping[int, LaneSeen]
    holds: Sequence[Hold]
    nodes: Sequence[NodeSeen]
    before_count: int | None = None  # How many of the lane are due before the one recipient that is asked about.


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A state and its reason; lines with the same two are told as one."""

    state: str
    head: str
    since: datetime | None = None
    until: datetime | None = None
    last_at: datetime | None = None


def tell(groups: Sequence[Group], scene: Scene) -> list[Line]:
    """Return the lines of these groups, those that wait first, then the most."""
    merged: dict[tuple[str, str], tuple[Cause, int, bool]] = {}
    for group in groups:
        cause = cause_of(group, scene)
        key = (cause.state, cause.head)
        if key in merged:
            other, count, is_capped = merged[key]
            merged[key] = _merge(other, cause), count + group.count, is_capped or group.is_capped
        else:
            merged[key] = cause, group.count, group.is_capped
    lines = [_line(cause, count, scene.now, is_capped=is_capped) for cause, count, is_capped in merged.values()]
    return sorted(lines, key=lambda line: (line.state in _FINAL, -line.count, line.text))


def cause_of(group: Group, scene: Scene) -> Cause:
    """Say why these recipients are where they are."""
    match group.status:
        case RecipientStatus.QUEUED:
            return _queued(group, scene)
        case RecipientStatus.HELD:
            return _held(group, scene)
        case RecipientStatus.DELIVERED:
            head = _quoted(group.reply) or "a server took it"
        case RecipientStatus.BOUNCED:
            head = _joined(group.reason, _quoted(group.reply)) or "refused for good"
        case RecipientStatus.EXPIRED:
            head = _joined("its time was over", f"last {group.reason}" if group.reason else "", _quoted(group.reply))
        case RecipientStatus.SUPPRESSED:
            head = _joined("never tried, the address is blocked", group.reason)
        case RecipientStatus.CANCELLED:
            head = "by the operator" if group.reason == "operator" else _joined("withdrawn", group.reason)
    return Cause(state=group.status.value, head=head, since=group.first_at, last_at=group.last_at)


def lane_cause(lane: LaneSeen, scene: Scene, due_at: datetime | None) -> Cause:
    """Say what keeps mail of this lane that has been due since `due_at`."""
    hold = hold_of(lane, scene.holds)
    if hold is not None:
        return _hold_cause(hold)
    if lane.is_paused:
        reason = lane.pause_reason or (lane.pause_kind or "paused")
        is_said = lane.pause_kind in _OF_SENDER or _names_provider(reason, lane)
        head = reason if is_said else f"{lane.provider}, {reason}"
        return Cause(state="wait", head=head, since=lane.paused_since, until=lane.paused_until)
    if not any(is_alive(node, scene.now) and lane.pool in node.pools for node in scene.nodes):
        head = f"nobody serves pool {lane.pool}: start `outrider serve --role deliver` on a node that has its sources"
        return Cause(state="unserved", head=head, since=due_at)
    if lane.is_leased:
        before = "" if scene.before_count is None else f": {scene.before_count} due before it"
        return Cause(state="sending", head=f"by {owner_name(lane, scene)}{before}", since=due_at)
    if lane.owner is not None:
        head = f"{owner_name(lane, scene)} let its lease run out; the next look takes it over"
        return Cause(state="due", head=head, since=due_at)
    if lane.is_asleep and due_at is not None and (scene.now - due_at).total_seconds() > _ASLEEP_S:
        head = f"its lane sleeps, which is a bug of ours; `outrider queue flush lane {lane.lane_id}` wakes it"
        return Cause(state="asleep", head=head, since=due_at)
    return Cause(state="due", head="takes its turn", since=due_at)


def _names_provider(reason: str, lane: LaneSeen) -> bool:
    """Whether the reason says already whom the lane waits for, or nobody knows.

    The key of a smart host has its address behind the name, "smarthost relay.example:587": the name is enough.
    """
    return not lane.provider or lane.provider in reason or reason.startswith(f"{lane.provider.split()[0]}:")


def hold_of(lane: LaneSeen, holds: Sequence[Hold]) -> Hold | None:
    """Return a hold that the lane is in, None if it is in none."""
    subjects = {
        HoldScope.PROJECT: str(lane.project_id),
        HoldScope.PROVIDER: lane.provider or None,
        HoldScope.LANE: str(lane.lane_id),
    }
    named = [hold for hold in holds if hold.hold_id == lane.hold_id]
    return next(iter(named), None) or next((h for h in holds if subjects.get(h.scope) == h.subject), None)


def of_hold(hold: Hold) -> str:
    """Say who holds what, and the note if there is one. `lane.pause_reason` of a lane that is paused for it."""
    by = f"held by the operator ({hold.scope.value} {hold.subject})"
    return f"{by}: {hold.note}" if hold.note else by


def suppression_text(one: Suppression) -> str:
    """Say which mail an address does not get, why, who says so, since when and until when."""
    what = {
        SuppressionScope.ALL: "no mail",
        SuppressionScope.STREAM: f"no {one.subject} mail",
        SuppressionScope.DOMAIN: f"no mail from {one.subject}",
        SuppressionScope.LIST: f"no mail of list {one.subject}",
    }[one.scope]
    whose = " from any project" if one.project_id == EVERYBODY else ""
    but = f" but of {', '.join(one.excepted)}" if one.excepted else ""
    until = f"until {one.expires_at:%Y-%m-%d %H:%M} UTC" if one.expires_at else "until it is removed"
    since = f"since {one.created_at:%Y-%m-%d %H:%M:%S} UTC"
    rule = f", rule {one.rule}" if one.rule else ""
    return f"{one.address_key} gets {what}{but}{whose}: {one.reason}, {_ORIGINS[one.origin]}{rule}, {since}, {until}"


_ORIGINS: Final = {
    SuppressionOrigin.REPLY: "a server's reply",
    SuppressionOrigin.REPORT: "a bounce that came back",
    SuppressionOrigin.REQUEST: "the reader's wish",
    SuppressionOrigin.IMPORT: "imported",
    SuppressionOrigin.OPERATOR: "by the operator",
}


def is_alive(node: NodeSeen, now: datetime) -> bool:
    """Whether the node has spoken lately."""
    return (now - node.seen_at).total_seconds() <= SEEN_S


def owner_name(lane: LaneSeen, scene: Scene) -> str:
    """Name who holds the lane, "-" if nobody does.

    An owner is one run of one process (ADR 0014) and says nothing of its node. So it is named by the node if only one
    serves the pool, else by the beginning of its own id.
    """
    if lane.owner is None:
        return "-"
    serving = {node.name for node in scene.nodes if is_alive(node, scene.now) and lane.pool in node.pools}
    return serving.pop() if len(serving) == 1 else lane.owner.hex[:8]


def at_text(at: datetime, now: datetime) -> str:
    """Write an instant, with its day if that is not today."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def duration_text(delta: timedelta) -> str:
    """Write a duration in the two units that matter; never negative."""
    total_s = max(0.0, delta.total_seconds())
    if total_s < 10:
        return f"{total_s:.1f} s"
    seconds = round(total_s)
    if seconds < 2 * _MINUTE_S:
        return f"{seconds} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds // _MINUTE_S} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S} min"
    return f"{seconds // _DAY_S} d {seconds % _DAY_S // _HOUR_S} h"


def _queued(group: Group, scene: Scene) -> Cause:
    lane = None if group.lane_id is None else scene.lanes.get(group.lane_id)
    if lane is None or group.due_at is None:
        return Cause(
            state="lost", head="it is in no lane, which is a bug of ours: please report it", since=group.first_at
        )
    session = _session_hold(group, scene)
    if session is not None:
        return _hold_cause(session)
    if group.is_due:
        return lane_cause(lane, scene, group.due_at)
    if group.attempt:
        head = _joined(group.reason, _quoted(group.reply), f"attempt {group.attempt}")
        state = "deferred"
    else:
        head, state = "scheduled, its first try is for later", "wait"
    hold = hold_of(lane, scene.holds)
    if hold is not None:
        head += f"; and its lane is {of_hold(hold)}"
    elif lane.is_paused and (lane.paused_until is None or lane.paused_until > group.due_at):
        head += f"; and its lane waits: {lane_cause(lane, scene, group.due_at).head}"
    return Cause(state=state, head=head, since=group.first_at, until=group.due_at)


def _held(group: Group, scene: Scene) -> Cause:
    session = _session_hold(group, scene)
    if group.reason == "operator":
        note = f": {session.note}" if session is not None and session.note else ""
        head = f"by the operator{note}; `outrider queue resume session {group.message_id or 'SESSION'}` releases it"
    elif group.reason == "internal":
        head = _joined("parked after repeated errors of ours, which the log shows (internal)", _quoted(group.reply))
    elif group.reason == "content":
        session_id = group.message_id or "SESSION"
        head = f"for its content, as its events say; `outrider queue release {session_id}` lets it go"
    else:
        head = _joined("parked", group.reason, _quoted(group.reply))
    return Cause(state="held", head=head, since=group.first_at)


def _session_hold(group: Group, scene: Scene) -> Hold | None:
    subject = str(group.message_id)
    return next((h for h in scene.holds if h.scope is HoldScope.SESSION and h.subject == subject), None)


def _hold_cause(hold: Hold) -> Cause:
    return Cause(state="wait", head=of_hold(hold), since=hold.created_at)


def _merge(one: Cause, other: Cause) -> Cause:
    return Cause(
        state=one.state,
        head=one.head,
        since=min((at for at in (one.since, other.since) if at is not None), default=None),
        until=min((at for at in (one.until, other.until) if at is not None), default=None),
        last_at=max((at for at in (one.last_at, other.last_at) if at is not None), default=None),
    )


def _line(cause: Cause, count: int, now: datetime, *, is_capped: bool) -> Line:
    parts = [cause.head] if cause.head else []
    is_final = cause.state in _FINAL
    if cause.since is not None:
        word = "at" if is_final else "since"
        parts.append(f"{word} {at_text(cause.since, now)}")
        if is_final and cause.last_at is not None and at_text(cause.last_at, now) != at_text(cause.since, now):
            parts[-1] += f" to {at_text(cause.last_at, now)}"
        if cause.state in ("due", "unserved", "asleep"):
            parts[-1] += f" ({duration_text(now - cause.since)})"
    text = ", ".join(parts)
    if cause.until is not None:
        word = "next look" if cause.state == "wait" else "next try"
        text += f"; {word} {at_text(cause.until, now)}, in {duration_text(cause.until - now)}"
    return Line(count=count, is_capped=is_capped, state=cause.state, text=text, since=cause.since, until=cause.until)


def _quoted(reply: str) -> str:
    if not reply:
        return ""
    return f"'{reply}'" if len(reply) <= _REPLY_CHARS_MAX else f"'{reply[:_REPLY_CHARS_MAX]}...'"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
