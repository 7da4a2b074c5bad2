"""Links, pixels and the page to unsubscribe by https, for hosts with certificates of their own (ADR 0047).

    TLS (certificate by SNI) --> aiohttp's HTTP/1.1 --> the same ASGI apps as on the plain port

granian holds one certificate; here each handshake picks the host's (`net.host_certificates`). What is asked for beside
those paths is not there: neither API nor console nor metrics can be reached on this port. Every web process listens
(SO_REUSEPORT). A port that is taken is tried again and said in the log; the other ports work meanwhile.

Bounded: connections, the time for a handshake, for a request as a whole, and for an answer to leave.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from litestar.types import ASGIApp, HTTPScope, Message
from multidict import CIMultiDict

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.engine.service import Rounds
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics

_ROUND_S: Final = 2.0  # Ours: how soon a renewed certificate counts, and a port that has come free is ours.
_WARN_EVERY_COUNT: Final = 30  # Ours: each minute.
_BACKLOG_COUNT: Final = 2048  # Ours: a burst of connections waits instead of being refused.
_DRAIN_S: Final = 3.0  # Ours: requests still running after that are cut off; a stop takes under 5 s.
_HEADERS: Final = (("server", "outrider"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store"))
_QUIET: Final = (HttpProcessingError, ConnectionError, ssl.SSLError)  # What strangers do is none of our failures.


class Certificates(Protocol):
    """What the port listens with (`net.host_certificates.HostCertificates`)."""

    @property
    def context(self) -> ssl.SSLContext:
        """The same for ever."""

    def refresh(self) -> None:
        """Load what has changed. In a thread, one at a time."""


class SecureServer:
    """The port. A part (`engine.service`)."""

    def __init__(
        self,
        doors: Mapping[str, ASGIApp],
        certificates: Certificates,
        at: tuple[str, int],
        *,
        clock: Clock,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        """`doors` are apps by the path, or the folder of paths with its last slash, that they answer. `at`: where."""
        self._doors: Final = doors
        self._certificates: Final = certificates
        self._at: Final = at
        self._log: Final = log
        self._internal: Final = metrics.internal.labels("web")
        self._rounds: Final = Rounds(_ROUND_S, clock=clock)
        self._http: _Http | None = None
        self._listening: asyncio.Server | None = None
        self._failed_count = 0

    @property
    def is_listening(self) -> bool:
        """Whether the port is ours."""
        return self._listening is not None

    async def run(self) -> None:
        """Listen until `stop`; then let requests under way finish."""
        try:
            async for _ in self._rounds:
                await self._listen()
                await asyncio.to_thread(self._certificates.refresh)
        finally:
            await self._close()

    def stop(self) -> None:
        """Refuse new connections and let `run` return."""
        self._rounds.stop()

    async def _listen(self) -> None:
        if self._listening is not None:
            return
        http = _Http(self._answer, logger=_logger(self._log, self._failed))
        host, port = self._at
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                cast("Any", http),
                host,
                port,
                ssl=self._certificates.context,
                ssl_handshake_timeout=limits.SUBMISSION_TLS_WAIT_S,
                backlog=_BACKLOG_COUNT,
                reuse_port=True,
            )
        except OSError as error:
            if self._failed_count % _WARN_EVERY_COUNT == 0:
                at = f"{host}:{port}"
                self._log.warning("tracking_port_not_open", reason=str(error), at=at, setting="tracking.tls_listen")
            self._failed_count += 1
            return
        self._http, self._failed_count = http, 0

    async def _close(self) -> None:
        server, self._listening = self._listening, None
        if server is not None and self._http is not None:
            server.close()
            self._http.pre_shutdown()
            await self._http.shutdown(_DRAIN_S)
            await server.wait_closed()

    def _failed(self) -> None:
        self._internal.inc()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target, _, query = request.raw_path.partition("?")
        path = unquote(target)
        answer = _Answer(request)
        try:
            async with asyncio.timeout(limits.TRACKING_REQUEST_WAIT_S):
                door = self._doors.get(path) or self._doors.get(path[: path.find("/", 1) + 1])
                if door is None:
                    await answer.refuse()
                else:
                    await door(cast("Any", _scope(request, path, target, query)), answer.receive, answer.send)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return answer.response


class _Answer:
    """What an ASGI app is handed, and what it sent back."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request: Final = request
        self._is_read = False
        self.response = web.StreamResponse(status=500, headers=_HEADERS)

    async def receive(self) -> Any:
        """Return a piece of the body."""
        if self._is_read:
            return {"type": "http.disconnect"}
        try:
            body = await self._request.content.readany()
        except (ConnectionError, ClientPayloadError, HttpProcessingError):
            return {"type": "http.disconnect"}
        self._is_read = self._request.content.at_eof()
        return {"type": "http.request", "body": body, "more_body": not self._is_read}

    async def send(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            headers = CIMultiDict({"server": "outrider"})
            for name, value in message["headers"]:
                headers.add(name.decode("latin-1"), value.decode("latin-1"))
            self.response = web.StreamResponse(status=message["status"], headers=headers)
            await self.response.prepare(self._request)
        elif message["type"] == "http.response.body":
            if message.get("body") and self._request.method != "HEAD":  # As granian: apps need not know of it.
                await self.response.write(message["body"])
            if not message.get("more_body"):
                await self.response.write_eof()

    async def refuse(self) -> None:
        """Say that there is no such page."""
        self.response = web.Response(status=404, headers=_HEADERS, text="No such page.\n")
        await self.response.prepare(self._request)
        await self.response.write_eof()


class _Http(web.Server):
    """aiohttp's server, with bounds."""

    def __init__(self, answer: Any, *, logger: logging.Logger) -> None:
        super().__init__(
            answer,
            logger=logger,
            access_log=None,
            # The time from one answer, or the beginning, to the next request as a whole.
            keepalive_timeout=limits.TRACKING_REQUEST_WAIT_S,
            lingering_time=0,
            auto_decompress=False,
        )

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > limits.TRACKING_CONNECTIONS_COUNT_MAX:
            transport.abort()


class _ToOurs(logging.Handler):
    """Hands on what aiohttp complains of, but for what strangers do."""

    def __init__(self, log: Logger, failed: Any) -> None:
        super().__init__()
        self._log: Final = log
        self._failed: Final = failed

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, _QUIET):
            self._failed()
            self._log.error("page_failed", reason=record.getMessage(), exc_info=error)


def _logger(log: Logger, failed: Any) -> logging.Logger:
    """Return a logger of our own: none of those that all of a process shares."""
    made = logging.Logger("outrider.tracking", logging.WARNING)  # noqa: LOG001 - one that is shared would gather handlers.
    made.addHandler(_ToOurs(log, failed))
    return made


def _scope(request: web.BaseRequest, path: str, target: str, query: str) -> HTTPScope:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": "https",
        "path": path,
        "raw_path": target.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": tuple(peer[:2]) if peer else None,
        "server": None,
        "state": {},
    }
    return cast("HTTPScope", scope)
