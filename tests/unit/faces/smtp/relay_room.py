"""A relay on doubles: keys that are given, an engine that remembers, a clock that is moved; and clients that talk."""

import asyncio
import base64
import ssl
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from uuid import UUID

from outrider.base.errors import OutriderError, UnauthenticatedError
from outrider.base.networks import Network
from outrider.faces.smtp.login import Login
from outrider.faces.smtp.submission import Relay, SubmissionServer
from outrider.faces.smtp.transaction import Desk
from outrider.net.pem_files import Certificate, self_signed
from outrider.obs.metrics import Metrics
from outrider.services.access import Allowance, Caller, Credentials
from outrider.testing.clock import FakeClock
from outrider.testing.engine import PublishedTemplates, RecordingEngine
from outrider.testing.engineroom import Journal
from tests.unit.faces.smtp.test_catch import Client

HOST = "127.0.0.1"
PROJECT = UUID(int=7)
USER, SECRET = "key1", "secret1"
MAIL = b"From: Shop <noreply@shop.example>\r\nTo: b@partner.example\r\nSubject: Hello\r\n\r\nbody\r\n"
PLAIN = "AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{SECRET}".encode()).decode()


class Keys:
    """One key; it may be changed, and calls may be made to fail."""

    def __init__(self) -> None:
        self.caller = Caller(project_id=PROJECT, access_key_id=USER)
        self.error: OutriderError | None = None
        self.spend_error: OutriderError | None = None
        self.shown: list[Credentials] = []
        self.trusted: list[tuple[str, str]] = []
        self.spent_count = 0

    async def authenticate(self, credentials: Credentials) -> Caller:
        self.shown.append(credentials)
        if self.error is not None:
            raise self.error
        if (credentials.access_key_id, credentials.access_key_secret) != (USER, SECRET):
            raise UnauthenticatedError("The access key is not valid.")
        return self.caller

    async def trust(self, access_key_id: str, client: str) -> Caller:
        self.trusted.append((access_key_id, client))
        if self.error is not None:
            raise self.error
        return self.caller

    def spend(self, caller: Caller) -> Allowance:
        assert caller.access_key_id == USER
        if self.spend_error is not None:
            raise self.spend_error
        self.spent_count += 1
        return Allowance(0, 0, 0.0)


class GatedEngine(RecordingEngine):
    """A `RecordingEngine` that may be told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def __call__(self, *arguments: object, **named: object) -> object:  # type: ignore[override]
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return await super().__call__(*arguments, **named)  # type: ignore[arg-type]


class RelayRoom:
    """A relay that runs, both ports open, while the block lasts."""

    def __init__(
        self,
        folder: Path,
        *,
        networks: Sequence[tuple[Network, str]] = (),
        is_plain_auth_on_loopback: bool = True,
        is_strict: bool = False,
        clock: FakeClock | None = None,
    ) -> None:
        self.keys = Keys()
        self.engine = GatedEngine()
        self.templates = PublishedTemplates()
        self.clock = clock or FakeClock()
        self.journal = Journal()
        self.metrics = Metrics()
        log, bits = self.journal.logger, Random(1).getrandbits
        self.login = Login(self.keys, networks, clock=self.clock, log=log, metrics=self.metrics)
        desk = Desk(
            self.engine,  # type: ignore[arg-type]
            self.templates,
            host_name="relay.example",
            is_strict=is_strict,
            clock=self.clock,
            random_bits=bits,
            log=log,
        )
        self.relay = Relay(
            self.login,
            desk,
            Certificate(self_signed(folder, "relay.example"), None, setting="submission.certificate", log=log),
            host_name="relay.example",
            is_plain_auth_on_loopback=is_plain_auth_on_loopback,
            clock=self.clock,
            log=log,
            metrics=self.metrics,
        )
        self.open_port = SubmissionServer(self.relay, HOST, 0, is_tls_first=False)
        self.tls_port = SubmissionServer(self.relay, HOST, 0, is_tls_first=True)
        self._clients: list[Client] = []
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop().create_task(self.relay.run())
        await self.clock.wait_for_sleepers(1)
        await self.open_port.start()
        await self.tls_port.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        if self.engine.gate is not None:
            self.engine.gate.set()
        await self.stop()

    async def stop(self) -> None:
        """Close the ports, then the relay, as the role does."""
        await self.tls_port.stop()
        await self.open_port.stop()
        self.relay.stop()
        if self._running is not None:
            await self._running

    async def dial(self, *, has_tls: bool = False) -> Client:
        port = self.tls_port.port if has_tls else self.open_port.port
        client = Client(*await asyncio.open_connection(HOST, port, ssl=trusting() if has_tls else None))
        self._clients.append(client)
        return client

    async def logged_in(self) -> Client:
        client = await self.dial()
        await client.greet()
        assert (await client.say(PLAIN)).startswith("235 ")
        return client


def trusting() -> ssl.SSLContext:
    """Return a client's context that checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
