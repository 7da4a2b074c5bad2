"""Why mail was deferred: the project's own, the most first, no further back than asked."""

from datetime import timedelta
from uuid import UUID

from outrider.base.vocab import EventKind
from outrider.store import events, reputation
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.reputation import Cause
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT
from outrider.testing.mailroom import Mailroom


async def test_causes_are_counted(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    def event(
        reason: str, provider: str = "", *, project_id: UUID = PROJECT, kind: EventKind = EventKind.DEFERRED
    ) -> NewEvent:
        facts = {"provider": provider} if provider else {}
        clock.advance(1)
        return NewEvent(clock.now(), project_id, mailroom.new_id(), None, kind, 1, reason, facts=facts)

    since = clock.now()
    async with store.transaction() as tx:
        await events.append(
            tx,
            [
                event("greylist"),
                event("rate.provider", "gmail"),
                event("rate.provider", "gmail"),
                event("recipient.invalid", "gmail", kind=EventKind.BOUNCED),
                event("network", project_id=OTHER_PROJECT),
            ],
        )

    async def of(*ids: UUID, look_max: int = 100, count_max: int = 10, offset_s: float = 0) -> list[Cause]:
        async with store.transaction() as tx:
            return list(
                await reputation.causes(
                    tx,
                    ids or [PROJECT],
                    since=since + timedelta(seconds=offset_s),
                    until=clock.now() + timedelta(seconds=1),
                    look_max=look_max,
                    count_max=count_max,
                )
            )

    assert await of() == [Cause("rate.provider", "gmail", 2), Cause("greylist", "", 1)]
    assert await of(look_max=2) == [Cause("rate.provider", "gmail", 1)]
    assert await of(count_max=1) == [Cause("rate.provider", "gmail", 2)]
    assert await of(offset_s=2.5) == [Cause("rate.provider", "gmail", 1)]
    assert Cause("network", "", 1) in await of(PROJECT, OTHER_PROJECT)
