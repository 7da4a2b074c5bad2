"""Webhooks on a real database, for their tests: events written, made into calls, and called over real sockets.

    async with HookRoom(store, clock) as room:
        made = await room.add(peer.url + "/hooks")
        await room.happen(3)
        await room.until(lambda: len(peer.heard) == 3)

The dispatcher and the sender run while the block does; loopback may be called, names are given in `names`. A second
sender (`sender`) is another process's. The project has a mailbox of its own: whatever happens is about nobody's mail.
"""

import asyncio
import contextlib
import io
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

from aiohttp.abc import AbstractResolver, ResolveResult

from outrider.base.clock import Clock
from outrider.base.vocab import EventKind
from outrider.engine.service import Part, run_all
from outrider.net import wall
from outrider.net.hook import HookPoster
from outrider.obs.log import make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.services.webhooks.dispatch import Dispatcher
from outrider.services.webhooks.endpoints import Made, Webhooks, Wish
from outrider.services.webhooks.sending import HookSender
from outrider.services.webhooks.standing import Standing
from outrider.services.webhooks.upkeep import WebhookKeeper
from outrider.store import events
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.store.webhook_log import Delivery
from outrider.testing.clock import RealClock

PROJECT: Final = UUID("01970000-0000-7000-8000-00000000000a")
OTHER_PROJECT: Final = UUID("01970000-0000-7000-8000-00000000000b")
WAIT_S: Final = 15.0  # Ours: for what takes milliseconds on a quiet machine.
_PROJECTS: Final = """
    INSERT INTO project (project_id, name, created_at) VALUES ($1, 'hooks', $3), ($2, 'others', $3)"""


class Names(AbstractResolver):
    """Names to addresses; each question takes the next of a name's addresses, the last one again and again."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names: Final = {name: list(addresses) for name, addresses in names.items()}
        self.asked: Final[list[str]] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return one address. Raises OSError: there is no such name."""
        self.asked.append(host)
        if host not in self._names:
            raise OSError("no such name")
        addresses = self._names[host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to close."""


class HookRoom:
    """Everything that webhooks need, for one database."""

    def __init__(
        self,
        store: Store,
        clock: Clock | None = None,
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        wait_s: float = 2.0,
        in_flight_max: int = 64,
        is_guarded: bool = False,
    ) -> None:
        """`is_guarded`: loopback may not be called, as in real life."""
        self.store: Final = store
        self.clock: Final = clock or RealClock()
        self.metrics: Final = Metrics()
        self.journal: Final = io.StringIO()
        self.names: Final = Names(names or {})
        self._logger: Final = make_logger(LogSettings(format="json"), "worker", self.journal)
        self._vault: Final = Vault(bytes(32))
        self._bits: Final = random.SystemRandom().getrandbits
        self._wait_s: Final = wait_s
        self._in_flight_max: Final = in_flight_max
        self._is_guarded: Final = is_guarded
        self.webhooks: Final = Webhooks(store, self._vault, self.poster, clock=self.clock, random_bits=self._bits)
        self._stack: Final = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with self.store.transaction() as tx:
            await tx.execute(_PROJECTS, PROJECT, OTHER_PROJECT, self.clock.now())
        dispatcher = self.dispatcher()
        await dispatcher.step()  # Its place in the log.
        await self._stack.enter_async_context(self.sending())
        await self._stack.enter_async_context(running(dispatcher))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def poster(self) -> HookPoster:
        """Return one who makes calls, not open yet."""
        return HookPoster(
            clock=self.clock,
            is_allowed=wall.is_open_to(with_loopback=not self._is_guarded),
            allows_http=True,
            wait_s=self._wait_s,
            resolver=self.names,
        )

    def dispatcher(self) -> Dispatcher:
        """Return one who makes calls of events."""
        return Dispatcher(self.store, clock=self.clock, logger=self._logger)

    def keeper(self) -> WebhookKeeper:
        """Return one who gives up and forgets."""
        return WebhookKeeper(self.store, log_kept_s=86_400.0, clock=self.clock, logger=self._logger)

    @contextlib.asynccontextmanager
    async def sending(self, store: Store | None = None) -> AsyncIterator[HookSender]:
        """Let another sender run, as in another process."""
        kept = store or self.store
        async with self.poster() as poster:
            sender = HookSender(
                kept,
                self._vault,
                poster,
                Standing(kept, clock=self.clock, random_bits=self._bits),
                owner=uuid4(),
                in_flight_max=self._in_flight_max,
                clock=self.clock,
                chance=lambda: 0.0,
                logger=self._logger,
                metrics=self.metrics,
            )
            async with running(sender):
                yield sender

    async def add(self, url: str, **wish: Any) -> Made:
        """Make a webhook of the project."""
        more = {name: wish.pop(name) for name in ("token", "secret") if name in wish}
        return await self.webhooks.add(PROJECT, Wish(url=url, **wish), **more)

    async def happen(
        self,
        count: int = 1,
        *,
        kind: EventKind = EventKind.DELIVERED,
        message_id: UUID | None = None,
        project_id: UUID = PROJECT,
    ) -> None:
        """Let something happen `count` times; `reason` tells each from the others."""
        now = self.clock.now()
        told = [
            NewEvent(now, project_id, message_id or uuid4(), None, kind, reason=f"n{number}") for number in range(count)
        ]
        async with self.store.transaction() as tx:
            await events.append(tx, told)

    async def log(self, made: Made) -> Sequence[Delivery]:
        """Return how its calls went, oldest first."""
        found = await self.webhooks.deliveries(PROJECT, made.webhook.webhook_id, count_max=1000)
        return list(reversed(found))

    async def waiting_count(self, made: Made) -> int:
        """Return how many events wait to be told."""
        return (await self.webhooks.show(PROJECT, made.webhook.webhook_id)).backlog.count

    async def age(self, made: Made, **columns: datetime) -> None:
        """Set instants of a webhook's row, as if they had come by themselves."""
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        async with self.store.transaction() as tx:
            sql = f"UPDATE webhook SET {sets} WHERE webhook_id = $1 AND project_id IS NOT NULL"  # noqa: S608 - a test's own names.
            await tx.execute(sql, made.webhook.webhook_id, *columns.values())

    async def hurry(self) -> None:
        """Let all that waits be due now."""
        now = self.clock.now()
        async with self.store.transaction() as tx:
            await tx.execute("UPDATE webhook_call SET due_at = $1 WHERE project_id IS NOT NULL", now)
            await tx.execute(
                "UPDATE webhook_turn SET next_due_at = $1, paused_until = '-infinity' WHERE project_id IS NOT NULL", now
            )

    async def until(self, is_so: Callable[[], object], wait_s: float = WAIT_S) -> None:
        """Return when it is so. Fails the test after `wait_s`: others' sockets do not tell us."""
        clock = RealClock()
        end_s = clock.monotonic_s() + wait_s
        while not is_so():
            assert clock.monotonic_s() < end_s, f"still not so after {wait_s} s; the log: {self.journal.getvalue()}"
            await clock.sleep(0.01)

    async def until_logged(self, made: Made, count: int) -> Sequence[Delivery]:
        """Return how its calls went, as soon as so many have gone."""
        clock = RealClock()
        end_s = clock.monotonic_s() + WAIT_S
        while len(found := await self.log(made)) < count:
            assert clock.monotonic_s() < end_s, f"{len(found)} of {count}; the log: {self.journal.getvalue()}"
            await clock.sleep(0.02)
        return found


@contextlib.asynccontextmanager
async def running(part: Part) -> AsyncIterator[None]:
    """Let a part run while the block does."""
    asked = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_all([part], asked))
        try:
            yield
        finally:
            asked.set()
