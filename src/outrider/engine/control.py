"""What an operator does to mail that waits: pause, resume, flush, drop; on a lane, a provider, a project or a session.

    act     lane, provider, project                             session
    pause   a hold; free lanes are paused at once, leased       recipients leave the queue and are `held`
            ones by their owner when it sees the hold
    resume  the hold ends, its lanes are due as their queues    held recipients are queued again, due now or when they
            say                                                 are scheduled, attempts and end of time kept
    flush   deferred mail is due now, pauses by limits end;     the same, but the lanes' pauses stand
            scheduled mail keeps its time
    drop    a hold, a moment for owners to let go, then all     all that waits or is held is `cancelled`
            that is queued is `cancelled`; the hold ends
    release -                                                   what a rule held (its content, repeated errors of ours)
                                                                is queued again as by resume; an operator's hold stands

Each act but release leaves one event (paused, resumed, flushed, dropped), and each leaves one for every recipient that
it moves (held, released, cancelled). For a lane and a provider it names no project: the nil UUID is the installation.
All acts are safe twice.

Rows are moved in batches, each in its own transaction, so that nobody waits long and the event log's readers are not
held back; an act that dies half way is ended by saying it again. An attempt under way is not broken off: if a recipient
is taken from it, its event says `may_repeat`, for the server may have the mail.
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import digits, ids
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import EventKind, HoldScope, RecipientStatus
from outrider.engine import moves, sentences
from outrider.store import events, holds, messages, projects, waiting
from outrider.store.events import Facts, NewEvent
from outrider.store.holds import Hold
from outrider.store.pool import Store, Tx
from outrider.store.waiting import OPERATOR, PARKED, Place, Taken

__all__ = ["Control", "Done", "Hold", "Target"]  # With the record a reader meets.

_BATCH_COUNT: Final = 1000  # Ours: recipients or lanes per transaction; tens of milliseconds.
_PASS_COUNT: Final = 3  # Ours: a pass skips what a settle has in its hands; that is over in milliseconds.
# Ours: how long a drop waits for leased lanes: they see a hold within 0.5 s, an attempt may last.
_YIELD_S: Final = 3.0
_SESSION_YIELD_S: Final = 0.9  # A pause takes effect within 1 s (issue 3).
_LOOK_S: Final = 0.1
_NOTE_CHARS_MAX: Final = 200  # Ours.


class Target(msgspec.Struct, frozen=True):
    """What an act is about. Make it with `lane`, `provider`, `project` or `session`."""

    scope: HoldScope
    subject: str
    project_id: UUID = events.NIL
    message_id: UUID = events.NIL

    @classmethod
    def lane(cls, lane_id: int) -> "Target":
        """One lane."""
        return cls(HoldScope.LANE, str(lane_id))

    @classmethod
    def provider(cls, key: str) -> "Target":
        """All lanes whose limits are counted by this key."""
        return cls(HoldScope.PROVIDER, key)

    @classmethod
    def project(cls, project_id: UUID) -> "Target":
        """All lanes of a project."""
        return cls(HoldScope.PROJECT, str(project_id), project_id)

    @classmethod
    def session(cls, project_id: UUID, message_id: UUID) -> "Target":
        """One accepted call of a project."""
        return cls(HoldScope.SESSION, str(message_id), project_id, message_id)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What an act has changed."""

    kind: EventKind
    scope: HoldScope
    subject: str
    note: str = ""
    lane_count: int = 0  # Lanes paused or woken by it.
    recipient_count: int = 0  # Recipients held, released, made due or cancelled.
    leased_lane_count: int = 0  # Lanes that a process was working on; it lets go within a second.


Progress = Callable[[int], None]


class Control:
    """The acts. `random_bits(n)` is for new ids."""

    def __init__(self, store: Store, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def pause(self, target: Target, *, note: str = "") -> Done:
        """Let nothing of the target start any more, within a second everywhere. A second pause renews the note.

        Raises:
            NotFoundError: there is no such thing; `field` is its scope.
            CallerError: the note is too long.
        """
        _check_note(note)
        async with self._store.transaction() as tx:
            await self._require(tx, target)
            hold = await holds.put(tx, self._new_hold(target, note))
        if target.scope is HoldScope.SESSION:
            moved_count = await self._empty_session(target, RecipientStatus.HELD, hold.note)
            return await self._record(target, EventKind.PAUSED, note=hold.note, recipient_count=moved_count)
        lane_count, leased_count = await self._pause_free(target, hold), await self._leased_count(target)
        return await self._record(
            target, EventKind.PAUSED, note=hold.note, lane_count=lane_count, leased_lane_count=leased_count
        )

    async def resume(self, target: Target, *, note: str = "") -> Done:
        """End the target's hold. Without one it changes nothing, but that a dead operator's half resume is ended.

        Raises:
            NotFoundError: there is no such thing.
        """
        _check_note(note)
        async with self._store.transaction() as tx:
            hold = await holds.find(tx, target.scope, target.subject)
            if hold is None:
                await self._require(tx, target)
            else:
                await holds.remove(tx, hold.hold_id)
            gone_ids = await holds.orphan_ids(tx)
        if target.scope is HoldScope.SESSION:
            moved_count = await self._release_session(target, [OPERATOR])
            return await self._record(target, EventKind.RESUMED, note=note, recipient_count=moved_count)
        lane_count = 0
        for hold_id in gone_ids:
            lane_count += await self._wake(hold_id)
        return await self._record(target, EventKind.RESUMED, note=note, lane_count=lane_count)

    async def release(self, target: Target, *, note: str = "") -> Done:
        """Let mail of a session go on that no operator but a rule holds. Safe twice.

        Raises:
            NotFoundError: there is no such session.
            ConflictError: an operator holds the session; `resume` ends that.
        """
        assert target.scope is HoldScope.SESSION
        _check_note(note)
        async with self._store.transaction() as tx:
            await self._require(tx, target)
            hold = await holds.find(tx, target.scope, target.subject)
        if hold is not None:
            raise ConflictError("An operator has paused this session; it must be resumed first.", field="session")
        moved_count = await self._release_session(target, PARKED, note=note)
        return Done(
            kind=EventKind.RELEASED,
            scope=target.scope,
            subject=target.subject,
            note=note,
            recipient_count=moved_count,
        )

    async def flush(self, target: Target, *, note: str = "", on_progress: Progress | None = None) -> Done:
        """Make everything deferred in the target due now, and end its lanes' pauses by limits.

        Holds and schedules stand. A limit that is still reached pauses its lanes anew, with its reason.

        Raises:
            NotFoundError: there is no such thing.
        """
        _check_note(note)
        async with self._store.transaction() as tx:
            await self._require(tx, target)
        if target.scope is HoldScope.SESSION:
            count = await self._flush_session(target)
        else:
            count = await self._flush_lanes(target, on_progress)
        return await self._record(target, EventKind.FLUSHED, note=note, recipient_count=count)

    async def drop(self, target: Target, *, note: str = "", on_progress: Progress | None = None) -> Done:
        """Cancel what waits in the target, however much it is. An operator's hold stays, from before or put meanwhile.

        Of a session, what is `held` is cancelled too. Cut off in the middle it leaves the target in a hold: drop again,
        or resume.

        Args:
            on_progress: hears how many are cancelled so far, after each batch.

        Raises:
            NotFoundError: there is no such thing.
        """
        _check_note(note)
        async with self._store.transaction() as tx:
            await self._require(tx, target)
            hold = await holds.put(tx, self._new_hold(target, holds.DROPPING))
        if target.scope is HoldScope.SESSION:
            count = await self._empty_session(target, RecipientStatus.CANCELLED, note, wait_s=_YIELD_S)
            count += await self._cancel_held(target, note)
        else:
            await self._wait_for_owners(target, hold)
            count = await self._cancel_lanes(target, note, on_progress or _ignore)
        async with self._store.transaction() as tx:
            is_over = await holds.remove_drops(tx, hold.hold_id)
        if is_over:
            await self._wake(hold.hold_id)
        return await self._record(target, EventKind.DROPPED, note=note, recipient_count=count)

    async def holds(self) -> Sequence[Hold]:
        """Return what operators hold now, oldest first."""
        async with self._store.transaction() as tx:
            return await holds.all(tx)

    async def _require(self, tx: Tx, target: Target) -> None:
        """Raise NotFoundError unless the target exists."""
        field = target.scope.value
        match target.scope:
            case HoldScope.LANE:
                if digits.parse(target.subject) is None or not await waiting.lane_ids(
                    tx, target.scope, target.subject, after_id=0, count_max=1
                ):
                    raise NotFoundError(f"There is no lane {target.subject}.", field=field)
            case HoldScope.PROVIDER:
                if not target.subject or not await waiting.is_provider_known(tx, target.subject):
                    raise NotFoundError(f"No mail has gone to a provider {target.subject!r} yet.", field=field)
            case HoldScope.PROJECT:
                if await projects.name_of(tx, target.project_id) is None:
                    raise NotFoundError("There is no such project.", field=field)
            case HoldScope.SESSION:
                if await messages.by_id(tx, target.project_id, target.message_id) is None:
                    raise NotFoundError("There is no such session.", field=field)

    def _new_hold(self, target: Target, note: str) -> Hold:
        now = self._clock.now()
        return Hold(ids.uuid7(now, self._random_bits(74)), target.scope, target.subject, note, now)

    async def _pause_free(self, target: Target, hold: Hold) -> int:
        """Pause the scope's free lanes for the hold; return how many."""
        lane_count = 0
        while True:
            async with self._store.transaction() as tx:
                page = await waiting.free_lane_ids(tx, target.scope, target.subject, count_max=_BATCH_COUNT)
                paused = await holds.pause_lanes(
                    tx, hold.hold_id, page, reason=sentences.of_hold(hold), since=hold.created_at
                )
            lane_count += len(paused)
            if not paused:  # None is left, they are taken meanwhile, or the hold was removed.
                return lane_count

    async def _leased_count(self, target: Target) -> int:
        async with self._store.transaction() as tx:
            return await waiting.leased_count(tx, target.scope, target.subject, now=self._clock.now())

    async def _wait_for_owners(self, target: Target, hold: Hold) -> None:
        """Return when no process works on the scope's lanes, or after a while all the same."""
        until_s = self._clock.monotonic_s() + _YIELD_S
        while True:
            await self._pause_free(target, hold)
            if not await self._leased_count(target) or self._clock.monotonic_s() >= until_s:
                return
            await self._clock.sleep(_LOOK_S)

    async def _wake(self, hold_id: UUID) -> int:
        lane_count = 0
        while True:
            async with self._store.transaction() as tx:
                woken_count = await holds.wake(tx, hold_id, lane_count_max=_BATCH_COUNT)
            lane_count += woken_count
            if not woken_count:
                return lane_count

    async def _flush_lanes(self, target: Target, on_progress: Progress | None) -> int:
        now, after_id, count = self._clock.now(), 0, 0
        while page := await self._page(target, after_id):
            after_id, batch_count = page[-1], _BATCH_COUNT
            while batch_count == _BATCH_COUNT:
                async with self._store.transaction() as tx:
                    batch_count = await waiting.flush(tx, page, now=now, count_max=_BATCH_COUNT)
                count += batch_count
                (on_progress or _ignore)(count)
        return count

    async def _flush_session(self, target: Target) -> int:
        now, count, batch_count = self._clock.now(), 0, _BATCH_COUNT
        while batch_count == _BATCH_COUNT:
            async with self._store.transaction() as tx:
                batch_count = await waiting.flush_session(
                    tx, target.project_id, target.message_id, now=now, count_max=_BATCH_COUNT
                )
            count += batch_count
        return count

    async def _cancel_lanes(self, target: Target, note: str, on_progress: Progress) -> int:
        count = 0
        for _ in range(_PASS_COUNT):
            after_id, before_count = 0, count
            while page := await self._page(target, after_id):
                after_id, places, batch_count = page[-1], [Place(lane_id) for lane_id in page], _BATCH_COUNT
                while batch_count == _BATCH_COUNT:
                    now = self._clock.now()
                    async with self._store.transaction() as tx:
                        taken, places = await waiting.cancel(tx, places, now=now, count_max=_BATCH_COUNT)
                        await events.append(tx, [self._moved(EventKind.CANCELLED, one, note) for one in taken])
                    batch_count = len(taken)
                    count += batch_count
                    on_progress(count)
            if count == before_count:
                break
        return count

    async def _page(self, target: Target, after_id: int) -> list[int]:
        async with self._store.transaction() as tx:
            return await waiting.lane_ids(tx, target.scope, target.subject, after_id=after_id, count_max=_BATCH_COUNT)

    async def _empty_session(
        self, target: Target, status: RecipientStatus, note: str, *, wait_s: float = _SESSION_YIELD_S
    ) -> int:
        """Take the session out of the queue; what may be under way is given a moment to end by itself."""
        kind = EventKind.HELD if status is RecipientStatus.HELD else EventKind.CANCELLED
        until_s, count = self._clock.monotonic_s() + wait_s, 0
        while True:
            is_patient = self._clock.monotonic_s() < until_s
            async with self._store.transaction() as tx:
                taken = await waiting.take_session(
                    tx,
                    target.project_id,
                    target.message_id,
                    status,
                    now=self._clock.now(),
                    is_patient=is_patient,
                    count_max=_BATCH_COUNT,
                )
                await events.append(tx, [self._moved(kind, one, note) for one in taken])
                is_left = await waiting.is_session_queued(tx, target.project_id, target.message_id)
            count += len(taken)
            if not is_left or (not is_patient and not taken):
                return count
            if not taken:
                await self._clock.sleep(_LOOK_S)

    async def _cancel_held(self, target: Target, note: str) -> int:
        count = 0
        while True:
            async with self._store.transaction() as tx:
                taken = await waiting.cancel_held(
                    tx, target.project_id, target.message_id, now=self._clock.now(), count_max=_BATCH_COUNT
                )
                await events.append(tx, [self._moved(EventKind.CANCELLED, one, note) for one in taken])
            count += len(taken)
            if not taken:
                return count

    async def _release_session(self, target: Target, reasons: Sequence[str], *, note: str = "") -> int:
        count = 0
        while True:
            async with self._store.transaction() as tx:
                taken = await waiting.release_session(
                    tx, target.project_id, target.message_id, reasons, now=self._clock.now(), count_max=_BATCH_COUNT
                )
                await events.append(tx, [self._moved(EventKind.RELEASED, one, note) for one in taken])
            count += len(taken)
            if not taken:
                return count

    def _moved(self, kind: EventKind, taken: Taken, note: str) -> NewEvent:
        return moves.event(kind, taken, at=self._clock.now(), note=note)

    async def _record(
        self,
        target: Target,
        kind: EventKind,
        *,
        note: str,
        lane_count: int = 0,
        recipient_count: int = 0,
        leased_lane_count: int = 0,
    ) -> Done:
        """Leave the act's event."""
        facts: Facts = {
            "scope": target.scope.value,
            "subject": target.subject,
            "note": note,
            "count": recipient_count or lane_count,
        }
        event = NewEvent(
            at=self._clock.now(),
            project_id=target.project_id,
            message_id=target.message_id,
            recipient_id=None,
            kind=kind,
            reason=OPERATOR,
            facts=facts,
        )
        async with self._store.transaction() as tx:
            await events.append(tx, [event])
        return Done(
            kind=kind,
            scope=target.scope,
            subject=target.subject,
            note=note,
            lane_count=lane_count,
            recipient_count=recipient_count,
            leased_lane_count=leased_lane_count,
        )


def _check_note(note: str) -> None:
    if len(note) > _NOTE_CHARS_MAX or not (note.isprintable() or note == ""):
        raise CallerError(f"A note has up to {_NOTE_CHARS_MAX} printable characters.", field="note")


def _ignore(_: int) -> None:
    """Nobody watches the progress."""
