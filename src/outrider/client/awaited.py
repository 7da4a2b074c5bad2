"""`AsyncOutrider`: the client for asyncio programs. Carries out the core's steps over aiohttp.

aiohttp is imported with the first call, so that `import outrider.client` stays quick for programs that never await.
One object serves any number of calls at once, within one event loop.
"""

import asyncio
import os
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, cast

from outrider.client import config
from outrider.client.config import Patience, Place
from outrider.client.core import Core
from outrider.client.steps import (
    Close,
    Failure,
    Open,
    Opened,
    Pause,
    Read,
    Request,
    Step,
    Steps,
    Yielded,
    YieldingSteps,
)
from outrider.client.surface import Awaited, Surface

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


class AsyncTimer(Protocol):
    """Time as an asyncio program has it. The server's `Clock` is one."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""


class AsyncSystemTimer:
    """The real time. A program that imports this client has no app.py to take one from."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        return time.monotonic()  # noqa: TID251 - the client's one real clock.

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        await asyncio.sleep(delay_s)  # noqa: TID251 - the client's one real clock.


class AsyncOutrider(Awaited, Surface):
    """A client for asyncio. Close it when done, or use it as `async with AsyncOutrider() as outrider`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
        tls: ssl.SSLContext | None = None,
        timer: AsyncTimer | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: where Outrider is; None: as OUTRIDER_URL says.
            api_key: None: as OUTRIDER_API_KEY says.
            patience: how long and how often to try.
            tls: whom to trust; None: whom the system trusts.
            timer: for tests.
            chance: for tests; draws pauses and idempotency keys.

        Raises:
            SetupError: says which of them to change.
        """
        place = config.place(url, os.environ)
        patience, self._timer = patience or Patience(), timer or AsyncSystemTimer()
        self.core = Core(
            place,
            config.authorization(api_key, os.environ),
            patience=patience,
            monotonic_s=self._timer.monotonic_s,
            chance=chance or random.SystemRandom(),
        )
        self._line: Final = _Line(place, patience, tls)

    async def carry_out(self, steps: Steps[T]) -> T:
        """Return what the steps return."""
        async with aclosing(_Talk(self._line)) as talk:
            reply: object = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as end:
                    return cast("T", end.value)
                reply = await self._take(talk, step)

    async def go_through(self, steps: YieldingSteps[T]) -> AsyncIterator[T]:
        """Give what the steps yield."""
        async with aclosing(_Talk(self._line)) as talk:
            reply: object = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration:
                    return
                if isinstance(step, Yielded):
                    reply = None
                    yield step.value
                else:
                    reply = await self._take(talk, step)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _take(self, talk: "_Talk", step: Step) -> object:
        match step:
            case Open():
                return await talk.open(step.request, step.timeout_s)
            case Read():
                return await talk.read(step.timeout_s)
            case Close():
                await talk.aclose()
            case Pause():
                await self._timer.sleep(step.delay_s)
        return None


class _Line:
    """aiohttp's session, made when it is first needed: it belongs to the loop that runs then."""

    def __init__(self, place: Place, patience: Patience, tls: ssl.SSLContext | None) -> None:
        self.origin: Final = place.origin
        self._patience: Final = patience
        self._tls: Final = tls
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> "aiohttp.ClientSession":
        """Return the session."""
        if self._session is None:
            import aiohttp

            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect_s),
                auto_decompress=False,
                trace_configs=[trace],
            )
        return self._session

    async def close(self) -> None:
        """Close it; the next call makes another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _Talk:
    """The request and answer under way."""

    def __init__(self, line: _Line) -> None:
        self._line: Final = line
        self._answer: aiohttp.ClientResponse | None = None
        self.is_kept = False  # The connection under way had been kept from a call before.

    async def open(self, request: Request, timeout_s: float) -> Opened | Failure:
        import aiohttp
        from yarl import URL

        await self.aclose()
        self.is_kept = False
        try:
            async with asyncio.timeout(timeout_s):
                self._answer = await self._line.session().request(
                    request.method,
                    URL(self._line.origin + request.target, encoded=True),
                    data=request.body,
                    headers=request.headers,
                    allow_redirects=False,
                    trace_request_ctx=self,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a head that is no HTTP.
            return _failure(error, is_kept=self.is_kept)
        return Opened(self._answer.status, {name.lower(): value for name, value in self._answer.headers.items()})

    async def read(self, timeout_s: float) -> bytes | Failure:
        import aiohttp

        assert self._answer is not None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            await self.aclose()
            return _failure(error)

    async def aclose(self) -> None:
        """Be done with the answer; aiohttp keeps the connection if it was read to the end."""
        answer, self._answer = self._answer, None
        if answer is not None and not answer.closed:
            answer.close()


async def _note_reuse(_session: object, context: Any, _parameters: object) -> None:
    context.trace_request_ctx.is_kept = True


def _failure(error: Exception, *, is_kept: bool = False) -> Failure:
    import aiohttp

    is_unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return Failure(
        str(error) or type(error).__name__,
        is_sent=not is_unsent,
        is_timeout=isinstance(error, TimeoutError),
        is_stale=is_kept and isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError),
        is_final=isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL),
    )
