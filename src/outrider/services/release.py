"""Gives up a domain that was proven, with all that belongs to it, so that another project may prove it.

    stop     new mail from it is refused everywhere within a second, nothing leaves any more
    drop     what waits is cancelled, if that was asked for; else a domain whose mail waits is not given up
    forget   its senders, keys and records; the project's bounce domain, if that is below it; event and notice

What went out stays in the history, as do the suppressions that are about it: they count again if it comes back. Its
return path is the project's no more, so bounces that come later are refused. Mail that an operator holds stays held,
and cannot go out.

Failure policy: until the last step, one transaction, nothing is lost but what was dropped. Who dies before it leaves a
stopped domain, which says so; giving it up again goes on from there, and a look at its records that passes ends the
stop.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.errors import ConflictError, NotFoundError
from outrider.base.vocab import EventKind, WaitKind
from outrider.mail import address
from outrider.store import dkim_keys, domains, events, lanes, notices, projects, senders, waiting
from outrider.store.domains import Domain
from outrider.store.events import Facts, NewEvent
from outrider.store.notices import Notice
from outrider.store.pool import Store, Tx

_NOTICED_S: Final = 1.0  # Ours: twice as long as any process goes by what it remembers of a domain or a sender.
_LOOK_SOON: Final = timedelta(minutes=10)  # Ours: if nothing follows the stop, a look at the records may end it.
_TRIES_COUNT: Final = 3  # Ours: passes over what waits; the second finds what was being accepted meanwhile.
_WAITING_COUNT_MAX: Final = 100_000  # Ours: counted to be told; then it is "at least".
_LANES_COUNT: Final = 1_000  # Ours: read at once.


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """What was given up."""

    name: str
    dropped_count: int  # Mails that waited and were cancelled.
    bounce_domain: str  # The project's, which was below it and is no more; "": it had none, or has it still.


class Releases:
    """Gives domains up."""

    def __init__(
        self,
        store: Store,
        drop_lane: Callable[[int], Awaitable[int]],
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
    ) -> None:
        """`drop_lane` cancels what waits in a lane and returns how many (`engine.control`)."""
        self._store: Final = store
        self._drop_lane: Final = drop_lane
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def release(self, project_id: UUID, name: str, *, is_dropping: bool = False) -> Released:
        """Give the project's domain up, proven or not. Takes a second, and as long as dropping does.

        Args:
            is_dropping: cancel the mail that waits to leave from it.

        Raises:
            CallerError: `name` is no domain name.
            NotFoundError: the project has no such domain.
            ConflictError: mail from it waits, and is not to be dropped; or some is handed in all the time.
        """
        name = address.parse_domain(name)
        async with self._store.transaction() as tx:
            domain = await domains.by_name(tx, project_id, name)
            if domain is None:
                raise NotFoundError(f"The project has no domain {name!r}.", field="domain")
            count = await waiting.count_of_domain(tx, project_id, name, count_max=_WAITING_COUNT_MAX)
            if count and not is_dropping:
                raise _still_waiting(name, count)
            now = self._clock.now()
            stopped_at = domain.stopped_at or now
            await domains.stop(tx, project_id, domain.domain_id, stopped_at, check_due_at=now + _LOOK_SOON)
        await self._clock.sleep(_NOTICED_S)
        dropped_count = 0
        for _ in range(_TRIES_COUNT):
            if is_dropping:
                dropped_count += await self._drop(project_id, name)
            async with self._store.transaction() as tx:
                count = await waiting.count_of_domain(tx, project_id, name, count_max=_WAITING_COUNT_MAX)
                if not count:
                    return await self._forget(tx, domain, dropped_count)
            if not is_dropping:
                break
        async with self._store.transaction() as tx:
            await domains.stop(tx, project_id, domain.domain_id, domain.stopped_at, check_due_at=now + _LOOK_SOON)
            await lanes.end_pauses(tx, project_id, name, WaitKind.DOMAIN, now=self._clock.now())
        raise _still_waiting(name, count)

    async def _drop(self, project_id: UUID, name: str) -> int:
        count, after = 0, 0
        while True:
            async with self._store.transaction() as tx:
                found = await waiting.lanes_of_domain(tx, project_id, name, after=after, count_max=_LANES_COUNT)
            for lane_id in found:
                count += await self._drop_lane(lane_id)
            if len(found) < _LANES_COUNT:
                return count
            after = found[-1]

    async def _forget(self, tx: Tx, domain: Domain, dropped_count: int) -> Released:
        """Delete it with all that belongs to it."""
        project_id, name = domain.project_id, domain.name
        if await domains.lock_whole(tx, project_id, domain.domain_id) is None:
            raise NotFoundError(f"The project has no domain {name!r} any more.", field="domain")
        await senders.remove_of_domain(tx, project_id, domain.domain_id)
        await dkim_keys.remove_all(tx, project_id, domain.domain_id)
        await domains.release(tx, project_id, domain.domain_id)
        bounce_domain = await projects.bounce_domain_of(tx, project_id)
        left = [one.name for one in await domains.of_project(tx, project_id) if one.verified_at is not None]
        if not _is_within(bounce_domain, name) or any(_is_within(bounce_domain, other) for other in left):
            bounce_domain = ""
        else:
            await projects.set_bounce_domain(tx, project_id, "")
        await self._tell(tx, domain, dropped_count)
        return Released(name=name, dropped_count=dropped_count, bounce_domain=bounce_domain)

    async def _tell(self, tx: Tx, domain: Domain, dropped_count: int) -> None:
        now, kind, name = self._clock.now(), EventKind.DOMAIN_RELEASED, domain.name
        facts: Facts = {"domain": name, "dropped_count": dropped_count}
        await events.append(tx, [NewEvent(now, domain.project_id, events.NIL, None, kind, facts=facts)])
        notice = Notice(
            notice_id=ids.uuid7(now, self._random_bits(74)),
            project_id=domain.project_id,
            kind=kind,
            subject=f"{name} was given up",
            text=f"The project sends from {name} no more: its senders and keys are gone, and another project may prove"
            f" it. {dropped_count} mails that waited were cancelled. Leave its DKIM records in DNS for a week: mail"
            " that left is checked for some days.",
            at=now,
        )
        await notices.insert(tx, notice)


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _still_waiting(name: str, count: int) -> ConflictError:
    some = f"at least {count}" if count == _WAITING_COUNT_MAX else str(count)
    return ConflictError(
        f"{some} mails from {name} wait to go out: wait for them, or give it up with them.", field="domain"
    )
