"""Listening for SMTP: what the relay and the receivers of catch mode and of what comes back have in common.

A `Listener` hands each connection to the protocol that its subclass makes; those that are conversations stand in
`conversations` and are hung up on by `stop`. The relay's is its own, the receivers' is aiosmtpd's (`LibraryTalk`), run
on the loop of the program: uvloop, whose transports are none of asyncio's classes, so nothing here asks for their kind.

A port that is taken must not keep the other faces of the process from working, nor be taken in silence:
`PatientListener` is the part that listens when it can.
"""

import asyncio
import ssl
from typing import Any, Final, Protocol, cast

from aiosmtpd.smtp import SMTP

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.engine.service import Rounds
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics

_BACKLOG_COUNT: Final = 512  # Ours: connections that nobody has accepted yet.
AGAIN_S: Final = 5.0  # Ours: how soon a port that has come free is ours.
WARN_EVERY_COUNT: Final = 12  # Ours: each minute.
_BUSY: Final = b"421 4.3.2 Too many conversations; try again later\r\n"


class Talk(Protocol):
    """An open connection."""

    async def end(self) -> None:
        """Hang up and return when nothing of it runs any more."""


class LibraryTalk(SMTP):
    """One connection whose protocol is aiosmtpd's."""

    async def end(self) -> None:
        """Hang up and return when nothing of the conversation runs any more."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.wait([self._handler_coroutine])


class Listener:
    """Listens on `host` from `start` to `stop`; both are safe twice."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """`port` 0 takes a free one; `tls`: for connections that begin with it."""
        self._tls: Final = tls
        self._host: Final = host
        self._asked_port: Final = port
        self._server: asyncio.Server | None = None
        self.conversations: Final[set[Any]] = set()  # Each a `Talk`.
        """Those that are open; who makes them keeps this true."""

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for while it does not listen."""
        return self._server.sockets[0].getsockname()[1] if self._server else self._asked_port

    async def start(self) -> None:
        """Return when it listens.

        Raises:
            OSError: the port is taken.
        """
        if self._server is None:
            loop = asyncio.get_running_loop()
            wait_s = limits.SUBMISSION_TLS_WAIT_S if self._tls else None
            self._server = await loop.create_server(
                self.make_protocol,
                self._host,
                self._asked_port,
                ssl=self._tls,
                ssl_handshake_timeout=wait_s,
                backlog=_BACKLOG_COUNT,
            )

    async def stop(self) -> None:
        """Stop listening and end all conversations. What was not answered 250 counts as not received."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        talks: tuple[Talk, ...] = tuple(self.conversations)
        async with asyncio.TaskGroup() as group:
            for talk in talks:
                group.create_task(talk.end())
        await server.wait_closed()

    def make_protocol(self) -> asyncio.BaseProtocol:
        """Return what a new connection talks to."""
        raise AssertionError("a subclass says so")


class PatientListener:
    """The part that keeps a listener listening: at once, or as soon as its port is free.

    While it is not, the log says so each minute and names the setting, and `outrider_smtp_listening` is 0.
    """

    def __init__(
        self, listener: Listener, face: str, setting: str, *, clock: Clock, log: Logger, metrics: Metrics
    ) -> None:
        """`setting` is the one that names another port."""
        self._listener: Final = listener
        self._face: Final = face
        self._setting: Final = setting
        self._log: Final = log
        self._gauge: Final = metrics.listening.labels(face=face)
        self._rounds: Final = Rounds(AGAIN_S, clock=clock)
        self._failed_count = 0

    async def run(self) -> None:
        """Listen until `stop`."""
        self._gauge.set(0)
        try:
            async for _ in self._rounds:
                await self._try()
        finally:
            self._gauge.set(0)
            await self._listener.stop()

    def stop(self) -> None:
        """Let `run` stop listening, hang up and return."""
        self._rounds.stop()

    async def _try(self) -> None:
        try:
            await self._listener.start()  # Nothing, if it listens already.
        except OSError as error:
            if self._failed_count % WARN_EVERY_COUNT == 0:
                port = self._listener.port
                self._log.error(
                    "port_not_listening", face=self._face, port=port, reason=str(error), setting=self._setting
                )
            self._failed_count += 1
            return
        self._gauge.set(1)
        if self._failed_count:
            self._failed_count = 0
            self._log.info("port_listening", face=self._face, port=self._listener.port)


def refuse(transport: asyncio.BaseTransport, reply: bytes = _BUSY) -> None:
    """Say that we are full, or another last word, and hang up."""
    writing = cast("asyncio.Transport", transport)
    writing.write(reply)
    writing.close()
