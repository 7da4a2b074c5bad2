"""The HTTP server of one web process: granian, embedded in our own loop (ADR 0013).

Every web process listens on the same port (SO_REUSEPORT); the kernel deals the connections. Stopping refuses new
connections and lets the requests under way finish.
"""

import asyncio
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from litestar import Litestar

_BACKLOG: Final = 2048  # Ours: a burst of connections waits instead of being refused.
_DRAIN_S: Final = 3  # Ours: requests still running after that are cut off; a stop takes under 5 s.


class HttpServer:
    """Serves `app` while `run` runs."""

    def __init__(self, app: Litestar, host: str, port: int) -> None:
        self._server: Final = Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            log_enabled=False,
        )
        self._server.workers_kill_timeout = _DRAIN_S
        self._stopping = False

    async def run(self) -> None:
        """Serve until `stop`."""
        if self._stopping:
            return
        await self._server.serve()

    def stop(self) -> None:
        """Refuse new connections and let `run` return."""
        if not self._stopping:
            self._stopping = True
            asyncio.get_running_loop().call_soon(self._server.stop)
