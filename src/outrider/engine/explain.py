"""Why mail waits, what the queue holds, what became of one recipient: answers for operators, read-only.

    why     a recipient (address or id), a session, a lane's number, a domain: lines, each a cause and its count
    queue   the deepest lanes with owner, state and the rate of their provider
    show    one recipient's record with every attempt

The sentences are made in `engine.sentences`; here is what they are made of. Counts are bounded (`store.queue_views`),
so an answer takes milliseconds with a million rows waiting. Recipients and sessions are those of one project; lanes
and domains are everybody's, as the engine sees them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import digits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import RecipientStatus
from outrider.engine import sentences, transcript
from outrider.engine.sentences import Line, Scene
from outrider.mail import address
from outrider.mail.address import Address
from outrider.store import events, holds, queue_views, suppressions
from outrider.store.events import Event
from outrider.store.holds import Hold
from outrider.store.pool import Store, Tx
from outrider.store.queue_views import Depth, GateSeen, Group, LaneSeen, Seen

__all__ = ["Explainer", "Explanation", "Line", "QueueRow", "QueueView", "Shown"]

_NEWEST_COUNT: Final = 20  # Ours: recipients of one address that are explained; who wants another names it by id.
_LANE_COUNT_MAX: Final = 1000  # Ours: lanes of one domain that are looked into.
_FRESH: Final = timedelta(seconds=10)  # A node tells its limits every second; older than that they are nobody's.
_NOBODY: Final = "There is no recipient, session, lane or domain like that."
_NO_RECIPIENT: Final = "There is no such recipient."


class Explanation(msgspec.Struct, frozen=True):
    """What is to be said about one thing. At least one line."""

    subject: str
    lines: Sequence[Line]


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as operators see it."""

    lane_id: int
    project: str
    stream: str
    route: str
    sender_domain: str
    campaign: str
    pool: str
    shard: int
    provider: str
    depth: int
    is_depth_capped: bool
    oldest_due_at: datetime | None
    oldest_age_s: float | None  # For how long the oldest has been due; negative: it is due later.
    owner: str  # The node that holds it, or a process's id where several nodes serve its pool; "-": nobody.
    state: str  # As `Line.state`, or "empty".
    why: str
    rate: str  # What its provider gets now: connections, and what bounds the mails; "" if no node has said.
    paused_until: datetime | None


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest lanes, and all there are."""

    lanes: Sequence[QueueRow]
    lane_count: int
    recipient_count: int
    holds: Sequence[Hold]


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a recipient, with what was said."""

    at: datetime
    kind: str
    attempt: int
    reason: str
    reply: str
    facts: Mapping[str, str | int | float | bool]
    headline: str
    dialogue: Sequence[str]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient's record and all its events, oldest first."""

    recipient: Seen
    why: Sequence[Line]
    events: Sequence[Spoken]


class Explainer:
    """The answers."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def why(self, subject: str, *, project_id: UUID) -> Sequence[Explanation]:
        """Say what becomes of `subject` and why. Of an address: what is suppressed, then each of its newest recipients.

        Raises:
            NotFoundError: nothing is called so, in that project.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            if (identifier := _uuid(subject)) is not None:
                return await _of_identifier(tx, project_id, identifier, now)
            if (lane_id := digits.parse(subject)) is not None:
                return [await _of_lanes(tx, f"lane {lane_id}", [lane_id], now)]
            if "@" in subject:
                return await _of_address(tx, project_id, subject, now)
            try:
                route = address.parse_domain(subject)
            except CallerError as error:
                raise NotFoundError(_NOBODY, field="subject") from error
            lane_ids = await queue_views.lanes_of_route(tx, route, count_max=_LANE_COUNT_MAX)
            return [await _of_lanes(tx, f"domain {route}", lane_ids, now)]

    async def queue(
        self,
        *,
        project_id: UUID | None = None,
        provider: str = "",
        route: str = "",
        is_paused_only: bool = False,
        count_max: int = 50,
    ) -> QueueView:
        """Return the deepest lanes. None and "" do not restrict; the totals are of what the filters let through."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            found, lane_count, recipient_count = await queue_views.deepest(
                tx,
                now=now,
                project_id=project_id,
                provider=provider,
                route=route,
                is_paused_only=is_paused_only,
                count_max=count_max,
            )
            scene = await _scene(tx, [], now)
            providers = sorted({depth.lane.provider for depth in found})
            gates = await queue_views.gates(tx, providers, since=now - _FRESH)
        return QueueView(
            lanes=[_queue_row(depth, scene, gates) for depth in found],
            lane_count=lane_count,
            recipient_count=recipient_count,
            holds=scene.holds,
        )

    async def show(self, subject: str, *, project_id: UUID) -> Shown:
        """Return one recipient with all its attempts; of an address, the newest.

        Raises:
            NotFoundError: the project has no such recipient.
        """
        now = self._clock.now()
        async with self._store.transaction() as tx:
            if (identifier := _uuid(subject)) is not None:
                found = await queue_views.recipient(tx, project_id, identifier)
            else:
                found = next(iter(await _newest(tx, project_id, _parse_address(subject))), None)
            if found is None:
                raise NotFoundError(_NO_RECIPIENT, field="recipient")
            log = await events.of_message(tx, project_id, found.message_id, accepted_at=found.accepted_at)
            lines = (await _of_recipient(tx, found, now)).lines
            suppressed = await _suppressed(tx, project_id, address.key_of(found.address), now)
        spoken = [_spoken(event, found) for event in log if event.is_about(found.recipient_id)]
        return Shown(recipient=found, why=[*lines, *(line for one in suppressed for line in one.lines)], events=spoken)


async def _of_address(tx: Tx, project_id: UUID, subject: str, now: datetime) -> Sequence[Explanation]:
    """Explain an address, if it is suppressed, and each of its newest recipients. Raises NotFoundError: neither."""
    parsed = _parse_address(subject)
    told = await _suppressed(tx, project_id, parsed.key, now)
    for one in await _newest(tx, project_id, parsed):
        told.append(await _of_recipient(tx, one, now))
    if not told:
        raise NotFoundError(_NO_RECIPIENT, field="recipient")
    return told


async def _suppressed(tx: Tx, project_id: UUID, address_key: str, now: datetime) -> list[Explanation]:
    """Say which mail the address does not get, in one explanation; [] if it gets all."""
    found = await suppressions.of_addresses(tx, project_id, [address_key], now=now)
    lines = [
        Line(
            count=1,
            is_capped=False,
            state=RecipientStatus.SUPPRESSED.value,
            text=sentences.suppression_text(one),
            since=one.created_at,
            until=one.expires_at,
        )
        for one in found.get(address_key, ())
    ]
    return [Explanation(f"address {address_key}", lines)] if lines else []


async def _of_identifier(tx: Tx, project_id: UUID, identifier: UUID, now: datetime) -> Sequence[Explanation]:
    """Explain the recipient or the session of that id."""
    found = await queue_views.recipient(tx, project_id, identifier)
    if found is not None:
        of_recipient = await _of_recipient(tx, found, now)
        return [of_recipient, *await _suppressed(tx, project_id, address.key_of(found.address), now)]
    groups = await queue_views.groups_of_session(tx, project_id, identifier, now=now)
    if not groups:
        raise NotFoundError(_NOBODY, field="subject")
    scene = await _scene(tx, [group.lane_id for group in groups if group.lane_id is not None], now)
    return [Explanation(f"session {identifier}", sentences.tell(groups, scene))]


async def _of_recipient(tx: Tx, found: Seen, now: datetime) -> Explanation:
    is_due = found.due_at is not None and found.due_at <= now
    scene = await _scene(tx, [found.lane_id] if found.lane_id is not None else [], now)
    if is_due and found.lane_id is not None and found.due_at is not None:
        before_count = await queue_views.due_before(tx, found.lane_id, found.due_at, found.recipient_id)
        scene = msgspec.structs.replace(scene, before_count=before_count)
    group = Group(
        status=found.status,
        message_id=found.message_id,
        reason=found.reason,
        reply=found.reply,
        attempt=found.attempt,
        lane_id=found.lane_id,
        is_due=is_due,
        due_at=found.due_at,
        first_at=found.updated_at,
        last_at=found.updated_at,
    )
    heading = f"recipient {found.recipient_id}, {found.address}, session {found.message_id}"
    return Explanation(heading, sentences.tell([group], scene))


async def _of_lanes(tx: Tx, heading: str, lane_ids: Sequence[int], now: datetime) -> Explanation:
    """Explain what waits in these lanes; if nothing does, what would keep it waiting."""
    scene = await _scene(tx, lane_ids, now)
    if not scene.lanes:
        raise NotFoundError(_NOBODY, field="subject")
    groups = await queue_views.groups_of_lanes(tx, list(scene.lanes), now=now)
    lines = sentences.tell(groups, scene)
    busy = {group.lane_id for group in groups}
    stopped = [lane for lane in scene.lanes.values() if lane.lane_id not in busy and _is_stopped(lane, scene)]
    empty = [
        Group(status=RecipientStatus.QUEUED, lane_id=lane.lane_id, is_due=True, due_at=now, count=0) for lane in stopped
    ]
    lines += sentences.tell(empty, scene)
    return Explanation(heading, lines or [Line(count=0, is_capped=False, state="empty", text="nothing waits")])


def _parse_address(subject: str) -> Address:
    try:
        return address.parse(subject)
    except CallerError as error:
        raise NotFoundError(_NO_RECIPIENT, field="recipient") from error


async def _newest(tx: Tx, project_id: UUID, parsed: Address) -> Sequence[Seen]:
    """Return the project's newest recipients of an address."""
    wanted = f"{parsed.local.lower()}@{parsed.domain}"
    return await queue_views.recipients(tx, project_id, wanted, parsed.domain, count_max=_NEWEST_COUNT)


async def _scene(tx: Tx, lane_ids: Sequence[int], now: datetime) -> Scene:
    return Scene(
        now=now,
        lanes=await queue_views.lanes(tx, lane_ids, now=now) if lane_ids else {},
        holds=await holds.all(tx),
        nodes=await queue_views.nodes(tx),
    )


def _is_stopped(lane: LaneSeen, scene: Scene) -> bool:
    return lane.is_paused or sentences.hold_of(lane, scene.holds) is not None


def _queue_row(depth: Depth, scene: Scene, gates: Sequence[GateSeen]) -> QueueRow:
    lane, oldest_at = depth.lane, depth.oldest_due_at
    if depth.count == 0 and not _is_stopped(lane, scene):
        state, why = "empty", "nothing waits"
    else:
        group = Group(
            status=RecipientStatus.QUEUED,
            lane_id=lane.lane_id,
            is_due=oldest_at is None or oldest_at <= scene.now,
            due_at=oldest_at or scene.now,
            attempt=depth.oldest_attempt,
        )
        around = msgspec.structs.replace(scene, lanes={lane.lane_id: lane})
        (line,) = sentences.tell([group], around)
        state, why = line.state, line.text
    return QueueRow(
        lane_id=lane.lane_id,
        project=lane.project,
        stream=lane.stream.value,
        route=lane.route,
        sender_domain=lane.sender_domain,
        campaign=lane.campaign,
        pool=lane.pool,
        shard=lane.shard,
        provider=lane.provider,
        depth=depth.count,
        is_depth_capped=depth.is_capped,
        oldest_due_at=oldest_at,
        oldest_age_s=None if oldest_at is None else (scene.now - oldest_at).total_seconds(),
        owner=sentences.owner_name(lane, scene),
        state=state,
        why=why,
        rate=rate_text([gate.state for gate in gates if lane.provider and gate.provider == lane.provider]),
        paused_until=lane.paused_until,
    )


def rate_text(states: Sequence[Mapping[str, Any]]) -> str:
    """Write what several gates of one provider do now, summed over them: whatever of it they tell."""

    def total(name: str) -> float:
        return sum(float(state.get(name) or 0) for state in states)

    if not states:
        return ""
    most = f" of {total('connections_max'):.0f}" if total("connections_max") else ""
    parts = [f"{total('connections'):.0f}{most} conn"]
    if total("rate_per_s"):
        parts.append(f"at most {total('rate_per_s'):.3g}/s")
    parts += sorted({str(rate) for state in states for rate in state.get("rates") or ()})
    return ", ".join(parts)


def _spoken(event: Event, found: Seen) -> Spoken:
    return Spoken(
        at=event.at,
        kind=event.kind.value,
        attempt=event.attempt,
        reason=event.reason,
        reply=event.reply,
        facts=event.facts,
        headline=transcript.headline(event),
        dialogue=transcript.dialogue_lines(event, sender=found.sender, recipient=found.address),
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
