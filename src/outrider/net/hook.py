"""Makes the calls of webhooks: one POST to a URL that a customer chose, and what came of it, as a value.

Connections are kept and used again; each new one goes to an address that `net.wall` let through, asked for at that
moment, so a name that leads elsewhere the second time leads nowhere. Redirects are answers, not ways. Nothing of ours
travels along: no cookies, no credentials, no proxy of the environment; a compressed answer is not unpacked.

Failure policy: whatever the other side does is a `HookAnswer`. Bounded: seconds in all, octets read of an answer.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver

from outrider.base import digits, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.net import guard, wall
from outrider.policy.hook import HookAnswer

_PORTS_LOW_END: Final = 1024  # Ports below it belong to other protocols than HTTP. RFC 6335 §6.
_IDLE_S: Final = 30.0  # Ours: how long a connection is kept for the next call.
_ERROR_CHARS_MAX: Final = 200  # Ours: of a sentence that is kept in the log of deliveries.


class HookPoster:
    """Makes calls. Open with `async with`."""

    def __init__(
        self,
        *,
        clock: Clock,
        is_allowed: Callable[[str], bool] = guard.is_public,
        allows_http: bool = False,
        wait_s: float = limits.WEBHOOK_WAIT_S,
        connections_max: int = 256,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`wait_s` is for one call, name and connection included."""
        self._clock: Final = clock
        self._is_allowed: Final = is_allowed
        self._allows_http: Final = allows_http
        self._wait_s: Final = wait_s
        self._connections_max: Final = connections_max
        self._resolver: Final = resolver
        self._tls: Final = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=wall.GuardedResolver(self._resolver or wall.SystemResolver(), self._is_allowed),
            use_dns_cache=False,
            limit=self._connections_max,
            keepalive_timeout=_IDLE_S,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def check(self, url: str) -> None:
        """Refuse a URL that is not called, whatever its name resolves to.

        Raises:
            CallerError: `field` is "url".
        """
        if len(url) > limits.WEBHOOK_URL_CHARS_MAX:
            raise CallerError(f"A URL has at most {limits.WEBHOOK_URL_CHARS_MAX} characters.", field="url")
        named = wall.read(url, "url", what="A webhook is called")
        if named.scheme != "https" and not self._allows_http:
            raise CallerError("A webhook has an https URL; [webhooks] allow_http allows others.", field="url")
        if named.port < _PORTS_LOW_END and named.port not in wall.SCHEMES.values():
            raise CallerError("Webhooks are called at ports 80, 443, and 1024 and above.", field="url")
        if named.is_address and not self._is_allowed(named.host):  # A resolver is not asked for these.
            raise CallerError("Webhooks are not called at that address.", field="url")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HookAnswer:
        """Make the call; return what came of it, whatever it is."""
        assert self._session is not None
        began_s = self._clock.monotonic_s()
        try:
            self.check(url)  # The settings, or what an older version took, may be others by now.
            async with asyncio.timeout(self._wait_s):
                answer = await self._post(url, headers, body)
        except CallerError as error:
            answer = HookAnswer(error=error.public)
        except TimeoutError:
            answer = HookAnswer(error=f"no answer within {self._wait_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            answer = HookAnswer(error=_sentence(error))
        return HookAnswer(
            status=answer.status,
            error=answer.error,
            retry_after_s=answer.retry_after_s,
            duration_s=self._clock.monotonic_s() - began_s,
            excerpt=answer.excerpt,
        )

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> HookAnswer:
        assert self._session is not None
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            excerpt, size_bytes = b"", 0
            async for piece in answer.content.iter_any():
                size_bytes += len(piece)
                excerpt += piece[: limits.WEBHOOK_ANSWER_CHARS_KEPT_MAX - len(excerpt)]
                if size_bytes > limits.WEBHOOK_ANSWER_BYTES_MAX:
                    answer.close()  # What it says beside its status is of no interest; the connection goes with it.
                    break
            return HookAnswer(
                status=answer.status,
                retry_after_s=self._retry_after_s(answer.headers.get("Retry-After", "")),
                excerpt=_shown(excerpt),
            )

    def _retry_after_s(self, text: str) -> float | None:
        """Return the seconds that a Retry-After asks for. Source: RFC 9110 §10.2.3."""
        seconds = digits.parse(text)
        if seconds is not None:
            return float(seconds)
        try:
            at = parsedate_to_datetime(text) if text else None
        except (ValueError, OverflowError):  # A year of twenty digits.
            return None
        return None if at is None else (_aware(at) - self._clock.now()).total_seconds()


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _shown(excerpt: bytes) -> str:
    return excerpt.decode("utf-8", "replace").replace("\x00", "")


def _sentence(error: Exception) -> str:
    """Say what went wrong, without an address of ours."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name leads to no address that may be called"
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLError() | aiohttp.ClientSSLError():
            return f"TLS failed: {error}"[:_ERROR_CHARS_MAX]
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "the connection was closed without an answer"
        case aiohttp.ClientConnectorError():
            return f"no connection: {error.os_error.strerror or error.os_error}"[:_ERROR_CHARS_MAX]
        case aiohttp.ClientError() | ValueError():
            return "the answer is no HTTP"
        case _:
            return "no connection"
