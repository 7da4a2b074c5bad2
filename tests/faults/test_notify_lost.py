"""Fault: the notification that mail was accepted never arrives.

It is a hint; the poll is the truth. The mail leaves within `poll_s`, even if nobody can listen at all, and when the
listening connection comes back, what was notified meanwhile is looked for at once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom, Line, OneWay, running
from outrider.testing.peer import Peer

pytestmark = pytest.mark.slow


class Deaf(Store):
    """A store through which nothing is heard."""

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, on_notify: Callable[[str], None]) -> AsyncIterator[Callable[[], bool]]:
        yield lambda: True


class Mute(Store):
    """A store whose server takes no listener."""

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, on_notify: Callable[[str], None]) -> AsyncIterator[Callable[[], bool]]:
        raise StoreUnavailableError("The database is not available.")
        yield


async def test_without_any_notification_the_poll_finds_it(store: Store, clock: RealClock, database_url: str) -> None:
    for kind in (Deaf, Mute):
        room = EngineRoom(store, clock, poll_s=0.2)
        async with (
            kind(database_url, StoreSettings()) as unheard,
            Peer() as peer,
            running(room.accept, room.deliverer(OneWay(peer.site()), store=unheard)),
        ):
            await room.until_settled(await room.send("ann@a.example"))
            started_s = clock.monotonic_s()
            await room.until_settled(await room.send("bob@b.example"))
            assert clock.monotonic_s() - started_s < 5
        assert len(peer.received) == 2


async def test_what_was_notified_while_nobody_listened_is_found_at_once(
    store: Store, clock: RealClock, database_url: str, tmp_path: Path
) -> None:
    room = EngineRoom(store, clock, poll_s=3600.0)
    async with (
        Line(database_url, tmp_path) as line,
        Store(line.dsn, StoreSettings()) as cut_off,
        Peer() as peer,
        running(room.accept, room.deliverer(OneWay(peer.site()), store=cut_off)),
    ):
        await room.until_settled(await room.send("ann@a.example"))
        await line.cut()
        async with asyncio.timeout(10):
            while not room.journal.count("listen_lost"):
                await clock.sleep(0.01)
        session = await room.send("bob@b.example")
        await line.mend()
        await room.until_settled(session)
    assert len(peer.received) == 2
