"""An event loop whose time is a number: hours of waiting in seconds, the same every time. No sockets, no threads.

    story = run_virtually(play)         # `async def play(loop)`; `VirtualClock(loop)` is its time.

When nobody is ready, time moves to the next timer at once. So `asyncio.timeout`, `call_later` and `VirtualClock.sleep`
share one time, and a program that never touches the world runs alike each time. Two bugs that only hang a real loop
are raised here: nobody is ready and no timer is set (`StuckError`), and the ready ones keep each other busy without any
time passing (`SpinningError`).

Connections go to `network`, if it is set (`testing.simnet`); without one, connecting is an error, and so is a socket.
"""

import asyncio
import selectors
import ssl
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from outrider.testing.clock import EPOCH

T = TypeVar("T")

TURNS_COUNT_MAX: Final = 100_000  # Ours: of the loop without a tick of time; a burst of a thousand mails takes a tenth.


class StuckError(RuntimeError):
    """Everybody waits for somebody else."""


class SpinningError(RuntimeError):
    """The ready ones wake each other for ever, and time stands still."""


class Network(Protocol):
    """Where connections of a virtual loop go."""

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], ip: str, port: int, source: str
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect as `create_connection` does, or raise its OSError."""

    async def start_tls(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        """Agree on TLS, or raise OSError."""


class _Selector(selectors.SelectSelector):
    """Never waits: it moves the loop's time instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0
        self._turns_count = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StuckError(f"at {self.time_s:.3f} s everybody waits, and no timer is set")
        if timeout > 0:
            self.time_s += timeout
            self._turns_count = 0
            return []
        self._turns_count += 1
        if self._turns_count > TURNS_COUNT_MAX:
            self._turns_count = 0
            raise SpinningError(f"{TURNS_COUNT_MAX} turns at {self.time_s:.3f} s")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. A context manager that closes itself."""

    def __init__(self) -> None:
        self._virtual: Final = _Selector()
        self.network: Network | None = None
        super().__init__(self._virtual)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # Whoever still waits hears of it now, not from the garbage collector.
            left = asyncio.all_tasks(self)
            for waiting in left:
                waiting.cancel()
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.close()

    def time(self) -> float:
        """Return the seconds that have passed on this loop."""
        return self._virtual.time_s

    async def pass_s(self, delay_s: float) -> None:
        """Return when `delay_s` have passed; at once, but not before the others' turn, if that is 0."""
        woken = self.create_future()
        timer = self.call_later(max(delay_s, 0.0), _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        *,
        local_addr: tuple[str, int] | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect through the network."""
        assert not options, f"the network of a virtual loop knows no {list(options)}"
        assert self.network is not None, "a virtual loop has no sockets"
        return await self.network.connect(protocol_factory, host, port, local_addr[0] if local_addr else "")

    async def start_tls(
        self,
        transport: asyncio.BaseTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        **_options: Any,
    ) -> asyncio.Transport:
        """Let the network decide whether both sides agree on TLS."""
        del protocol, sslcontext
        assert self.network is not None, "a virtual loop has no sockets"
        return await self.network.start_tls(transport)


class VirtualClock:
    """A `base.clock.Clock` on a virtual loop's time. `step_wall` moves the wall clock alone, back too."""

    def __init__(self, loop: VirtualLoop, now: datetime = EPOCH) -> None:
        assert now.tzinfo is not None
        self._loop: Final = loop
        self._start: Final = now
        self._offset_s = 0.0

    def now(self) -> datetime:
        """Return the present instant of the wall clock."""
        return self._start + timedelta(seconds=self._loop.time() + self._offset_s)

    def monotonic_s(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        """Return when `delay_s` have passed; at once, but not before the others' turn, if that is 0."""
        await self._loop.pass_s(delay_s)

    def step_wall(self, delta_s: float) -> None:
        """Move the wall clock. Nobody wakes: sleep is monotonic."""
        self._offset_s += delta_s


def run_virtually(play: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `await play(loop)` on a virtual loop of its own and return what it returns."""
    with VirtualLoop() as loop:
        return loop.run_until_complete(play(loop))


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
