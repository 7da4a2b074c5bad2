"""Two SMTP servers that take everything and store nothing: ours and aiosmtpd's, for `bench.relay`, each as a process.

`python -m bench.relay_servers ours|aiosmtpd` prints its port (TLS from the first octet, AUTH needed) and serves until
its standard input ends. What they do with a message is the same: nothing. So what differs is the protocol's own cost.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast
from uuid import UUID

import uvloop
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from outrider.app import SystemClock
from outrider.base import limits
from outrider.faces.smtp.login import Login
from outrider.faces.smtp.submission import Relay, SubmissionServer
from outrider.faces.smtp.transaction import Desk, Handed
from outrider.net.pem_files import Certificate, self_signed
from outrider.obs.log import make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.services.access import Allowance, Caller, Credentials

NAMES: Final = ("ours", "aiosmtpd")
HOST: Final = "127.0.0.1"
_CALLER: Final = Caller(project_id=UUID(int=1), access_key_id="bench")


class _Everybody:
    async def authenticate(self, credentials: Credentials) -> Caller:
        del credentials
        return _CALLER

    async def trust(self, access_key_id: str, client: str) -> Caller:
        del access_key_id, client
        return _CALLER

    def spend(self, caller: Caller) -> Allowance:
        del caller
        return Allowance(0, 0, 0.0)


class _Nothing:
    async def take(self, handed: Handed) -> str:
        del handed
        return "250 2.0.0 Taken"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del server, session, envelope
        return "250 2.0.0 Taken"


async def serve(name: str, folder: Path) -> None:
    """Serve until the standard input ends."""
    clock, log = SystemClock(), make_logger(LogSettings(), "bench")
    certificate = Certificate(self_signed(folder, "bench.example"), None, setting="submission.certificate", log=log)
    metrics = Metrics()
    login = Login(_Everybody(), (), clock=clock, log=log, metrics=metrics)
    relay = Relay(
        login,
        cast("Desk", _Nothing()),
        certificate,
        host_name="bench.example",
        is_plain_auth_on_loopback=False,
        clock=clock,
        log=log,
        metrics=metrics,
    )
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(relay.run())
        if name == "ours":
            server = SubmissionServer(relay, HOST, 0, is_tls_first=True)
            await server.start()
            port = server.port
        else:
            theirs = await loop.create_server(lambda: _aiosmtpd(loop), HOST, 0, ssl=certificate.context)
            port = theirs.sockets[0].getsockname()[1]
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)
        relay.stop()
        if name == "ours":
            await server.stop()
        else:
            theirs.close()


def _aiosmtpd(loop: asyncio.AbstractEventLoop) -> SMTP:
    def yes(*_: Any) -> AuthResult:
        return AuthResult(success=True)

    return SMTP(
        _Nothing(),
        data_size_limit=limits.SUBMISSION_MESSAGE_BYTES_MAX,
        enable_SMTPUTF8=True,
        decode_data=False,
        hostname="bench.example",
        auth_required=True,
        auth_require_tls=False,
        authenticator=yes,
        loop=loop,
    )


if __name__ == "__main__":
    with (
        TemporaryDirectory(prefix="outrider-bench-") as place,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as it,
    ):
        it.run(serve(sys.argv[1], Path(place)))
