"""Asks the operator's rspamd about messages, over HTTP. What is asked and answered is `wire.rspamd`'s.

The URL is the operator's own, on this machine or beside it, so nothing guards where it leads; but it is called with no
proxy of the environment, no cookies and no redirects, and nothing but the message and its addresses goes there.

Connections are kept and reused, `at_once` of them; who comes then waits, and the wait counts. Failure policy: rspamd
that is away, hangs, or answers what is no answer is a `Silence`, a value; what that means for a mail is
`policy.content`'s. After `_TRIES_COUNT` silences in a row nobody is asked for `_REST_S`, so that each caller does not
wait for one that hangs; then one is asked again.
"""

import asyncio
import io
from typing import Final

import aiohttp
import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import RemoteProtocolError
from outrider.net import dial
from outrider.wire import rspamd
from outrider.wire.answer import Cause
from outrider.wire.rspamd import Question, Score

_REPLY_BYTES_MAX: Final = 1024 * 1024  # Ours: an answer with 50 symbols has 8 KB.
_PIECE_BYTES: Final = 64 * 1024
_TRIES_COUNT: Final = 3  # Ours: one message that it chokes on must not count as all.
_REST_S: Final = 3.0  # Ours: about a restart of it.
_KEPT_S: Final = 15.0  # Ours: a connection that is not used; rspamd's own keep-alive is longer.
_OK: Final = 200


class Silence(msgspec.Struct, frozen=True):
    """Why there is no score."""

    cause: Cause
    said: str = ""  # For the operator.


class RspamdClient:
    """Asks one rspamd. Safe for many callers at once. Opens its connections when it is first asked."""

    def __init__(self, url: str, *, password: str = "", wait_s: float, at_once: int, clock: Clock) -> None:
        """`url` is that of a worker, without a path; `wait_s` for one answer, from when it is asked for."""
        self._url: Final = url.rstrip("/")
        self._password: Final = password
        self._wait_s: Final = wait_s
        self._at_once: Final = at_once
        self._clock: Final = clock
        self._session: aiohttp.ClientSession | None = None
        self._silences_count = 0  # In a row.
        self._rests_until_s = 0.0
        self._last = Silence(Cause.INTERNAL)

    async def ask(self, question: Question, message: bytes) -> Score | Silence:
        """Return what rspamd makes of the message, or why it makes nothing of it. Never raises for what it does.

        Safe: cancellable.
        """
        if self._silences_count >= _TRIES_COUNT and self._clock.monotonic_s() < self._rests_until_s:
            return self._last
        answer = await self._ask(question, message)
        if isinstance(answer, Silence):
            self._silences_count += 1
            self._rests_until_s = self._clock.monotonic_s() + _REST_S
            self._last = answer
        else:
            self._silences_count = 0
        return answer

    async def ping(self) -> Silence | None:
        """Return why rspamd does not answer, None if it does. Costs it nothing."""
        try:
            ping_url = self._url + rspamd.PING_PATH
            async with asyncio.timeout(self._wait_s), self._open().get(ping_url, allow_redirects=False) as reply:
                octets = await _read(reply)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _silence(error)
        is_pong = reply.status == _OK and octets.strip() == rspamd.PONG
        return None if is_pong else Silence(Cause.PROTOCOL, f"it answers {reply.status}, and no pong")

    async def close(self) -> None:
        """Close the connections; the next question opens new ones. Safe twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, question: Question, message: bytes) -> Score | Silence:
        headers = dict(rspamd.fields(question, password=self._password))
        try:
            async with (
                asyncio.timeout(self._wait_s),
                self._open().post(
                    self._url + rspamd.PATH,
                    data=io.BytesIO(message),  # In pieces: of megabytes at once aiohttp warns.
                    headers=headers,
                    allow_redirects=False,
                ) as reply,
            ):
                octets = await _read(reply)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError.
            return _silence(error)
        if reply.status != _OK:
            said = rspamd.plain(octets[:200].decode("utf-8", "replace"), 200)
            return Silence(Cause.PROTOCOL, f"it answers {reply.status}: {said}")
        try:
            return rspamd.read(octets)
        except RemoteProtocolError as error:
            return Silence(Cause.PROTOCOL, rspamd.plain(f"{error.public} {error.detail.get('cause', '')}", 200))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._at_once, keepalive_timeout=_KEPT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # Ours is around all of it.
                headers={"Accept-Encoding": "identity", "User-Agent": "outrider"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    """Return the body. Raises ValueError: it is larger than any answer."""
    pieces, size_bytes = [], 0
    async for piece in reply.content.iter_chunked(_PIECE_BYTES):
        size_bytes += len(piece)
        if size_bytes > _REPLY_BYTES_MAX:
            raise ValueError("its answer is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _silence(error: Exception) -> Silence:
    said = rspamd.plain(str(error), 200)
    match error:
        case aiohttp.ClientConnectorError():
            return Silence(dial.cause_of(error.os_error), said)
        case TimeoutError():
            return Silence(Cause.TIMEOUT, "no answer in time")
        case ConnectionError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return Silence(Cause.RESET, said)
        case OSError():
            return Silence(dial.cause_of(error), said)
        case _:
            return Silence(Cause.PROTOCOL, said)
