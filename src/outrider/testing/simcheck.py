"""What must be true of every simulation (STYLE.md "Simulation checkers"): each check returns its complaints.

    assert not all_of(story)

no recipient lost            `lost`: what a customer was told of is queued, held or has its end
never two terminal states    `endings`
each attempt has one end     `attempts`: numbered without a gap, one event each
delivered means seen         `delivered_unseen`
duplicates explained         `duplicates`: each one more than once by an ambiguous end or a lane that was taken over
windows                      `rates`, `warmups`: no window over its limit, over all processes of a node
connections                  `connections`: at once, as the peers count them
reasons and turns            `Story.complaints`, by `simwatch` while it ran
memory                       `Story.leftovers`: what stopped in good order holds nothing; the queue's index is its rows
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from outrider.base.vocab import EventKind, RecipientStatus
from outrider.policy import gcra
from outrider.policy.shaping import Rate
from outrider.store.events import NewEvent
from outrider.testing.simstory import Story

_ENDS: Final = frozenset(
    {EventKind.DELIVERED, EventKind.BOUNCED, EventKind.EXPIRED, EventKind.CANCELLED, EventKind.SUPPRESSED}
)
_OF_ATTEMPTS: Final = frozenset(
    {EventKind.DEFERRED, EventKind.DELIVERED, EventKind.BOUNCED, EventKind.EXPIRED, EventKind.HELD}
)
_SLACK_S: Final = 1e-6  # Instants are rounded to microseconds.


def all_of(story: Story) -> list[str]:
    """Return every complaint."""
    return [complaint for check in CHECKS for complaint in check(story)]


def lost(story: Story) -> list[str]:
    """What was accepted is somewhere: in the queue if and only if it is `queued`."""
    database = story.database
    found = []
    told = Counter(row.message_id for row in database.recipients.values())
    for session_id in story.accepted:
        message = database.messages.get(session_id)
        if message is None or told[session_id] != message["recipient_count"]:
            found.append(f"session {session_id} was accepted and has {told[session_id]} recipients")
    for row in database.recipients.values():
        has_row = row.recipient_id in database.queue
        if (row.status is RecipientStatus.QUEUED) != has_row:
            found += [f"{row.address} is {row.status} and {'' if has_row else 'not '}queued"]
    return found


def endings(story: Story) -> list[str]:
    """A recipient has one end at most; it is its status, and nothing comes after it."""
    found = []
    for recipient_id, told in _by_recipient(story).items():
        ends = [event for event in told if event.kind in _ENDS]
        status = story.database.recipients[recipient_id].status
        if len(ends) > 1:
            found.append(f"{recipient_id} ended {len(ends)} times: {[str(event.kind) for event in ends]}")
        if ends and (told[-1].kind not in _ENDS or str(ends[-1].kind) != str(status)):
            found.append(f"{recipient_id} ended as {ends[-1].kind}, then {told[-1].kind}; it is {status}")
        if not ends and status.is_final:
            found.append(f"{recipient_id} is {status} and nobody said so")
    return found


def attempts(story: Story) -> list[str]:
    """Attempts of a recipient are numbered from 1 without a gap, each with one event."""
    found = []
    for recipient_id, told in _by_recipient(story).items():
        numbers = [event.attempt for event in told if event.kind in _OF_ATTEMPTS]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{recipient_id} has attempts {numbers}")
    return found


def delivered_unseen(story: Story) -> list[str]:
    """Who is `delivered` was taken by a peer."""
    taken = {one.recipient_id for one in story.net.taken}
    delivered = [event for event in story.database.events if event.kind is EventKind.DELIVERED]
    return [f"{event.recipient_id} was delivered to nobody" for event in delivered if event.recipient_id not in taken]


def duplicates(story: Story) -> list[str]:
    """Whoever was sent a mail more than once: each time more has an end that says why."""
    database, told = story.database, _by_recipient(story)
    taken_over = Counter(database.taken_over)
    found = []
    for recipient_id, count in Counter(one.recipient_id for one in story.net.taken).items():
        ambiguous_count = sum(bool(event.facts.get("ambiguous")) for event in told.get(recipient_id, []))
        excuses_count = ambiguous_count + taken_over[database.lane_of[recipient_id]]
        if count - 1 > excuses_count:
            found.append(f"{recipient_id} was taken {count} times; {excuses_count} times more are excused")
    return found


def rates(story: Story) -> list[str]:
    """No window of any configured rate holds more than its limit, wherever it begins."""
    by_gate: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    by_domain: defaultdict[tuple[str, str, UUID], list[float]] = defaultdict(list)
    limits: dict[tuple[str, str], tuple[Rate, ...]] = {}
    for one in story.admissions:
        gate = (one.source, one.key)
        by_gate[gate].append(one.at_s)
        limits[gate] = story.shaping.limits(one.provider, one.pool).rates
        by_domain[one.node, one.sender_domain, one.project_id].append(one.at_s)
    found = []
    for gate, instants in by_gate.items():
        for rate in limits[gate]:
            found += _over(story, f"{gate[0]} to {gate[1]}", rate, instants)
    for (node, domain, _), instants in by_domain.items():
        if (per_minute := story.plan.per_minute.get(domain)) is not None:
            found += _over(story, f"{domain} on {node}", Rate(per_minute, 60.0), instants)
    return found


def warmups(story: Story) -> list[str]:
    """No day's ceiling is passed."""
    counts = Counter((one.source, one.provider, one.wall_at.date()) for one in story.admissions)
    ceilings = story.plan.ceilings
    return [
        f"{source} sent {count} to {provider} on {day}; its warm-up allows {ceilings[source, provider]}"
        for (source, provider, day), count in counts.items()
        if count > ceilings.get((source, provider), math.inf)
    ]


def connections(story: Story) -> list[str]:
    """No peer ever saw more connections from a source than its limit; at the end there are none."""
    found = []
    names = {source.address: name for node in story.plan.nodes for name, source in node.egress.sources.items()}
    for (address, key), most in story.net.most.items():
        bound = story.shaping.limits(key, "default").connections
        if most > bound:
            found.append(f"{names[address]} had {most} connections to {key}; {bound} are allowed")
    return found + [f"{gate} has {count} connections at the end" for gate, count in story.net.open.items() if count]


def watched(story: Story) -> list[str]:
    """What the watch had to complain of."""
    return story.complaints


def memory(story: Story) -> list[str]:
    """Nothing is kept of what is over."""
    database = story.database
    indexed = sum(len(rows) for rows in database.of_lane.values())
    found = [] if indexed == len(database.queue) else [f"the index has {indexed} rows, the queue {len(database.queue)}"]
    return found + story.leftovers


CHECKS: Final[Sequence[Callable[[Story], list[str]]]] = (
    lost,
    endings,
    attempts,
    delivered_unseen,
    duplicates,
    rates,
    warmups,
    connections,
    watched,
    memory,
)


def _by_recipient(story: Story) -> Mapping[UUID, list[NewEvent]]:
    told: defaultdict[UUID, list[NewEvent]] = defaultdict(list)
    for event in story.database.events:
        if event.recipient_id is not None:
            told[event.recipient_id].append(event)
    return told


def _over(story: Story, what: str, rate: Rate, instants: Iterable[float]) -> list[str]:
    """Return the first window that holds too many. One with a step of the wall clock forward may hold a burst more."""
    ordered = sorted(instants)
    burst = math.ceil(min(rate.count * gcra.BURST_RATIO, gcra.BURST_COUNT_MAX)) + 2
    for at, first_s in enumerate(ordered):
        count = bisect_left(ordered, first_s + rate.window_s - _SLACK_S, lo=at) - at
        if count <= rate.count:
            continue
        steps_count = sum(first_s <= when_s <= first_s + rate.window_s and d > 0 for when_s, d in story.steps)
        if count > rate.count + burst * steps_count:
            return [f"{what}: {count} in {rate.window_s:g} s from {first_s:.3f}; {rate.count} are allowed"]
    return []
