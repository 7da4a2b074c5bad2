"""Two ways to talk to the HTTP app in a test.

`ask` hands it one request directly and returns what it sent back: fast, for tables of good and bad input. `serving`
puts it on a loopback socket with the server that is shipped: for what only a real connection shows.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.types import ASGIApp

from outrider.faces.api.server import HttpServer
from outrider.testing.program import free_ports

HOST: Final = "127.0.0.1"
START_WAIT_S: Final = 10.0  # Ours: granian takes 50 ms.


class Heard(msgspec.Struct, frozen=True):
    """The app's answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode()


async def ask(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | Sequence[bytes] = b"",
    peer: str | None = HOST,
    is_sized: bool = True,
) -> Heard:
    """Hand the app one request and return its answer.

    Args:
        app: any ASGI app.
        method: in capitals.
        target: path and query, percent-encoded.
        headers: beside Host and Content-Length, which they may replace.
        body: whole, or in the chunks in which it arrives.
        peer: the address it comes from; None if it came over a socket without one.
        is_sized: whether Content-Length is sent.
    """
    chunks = [body] if isinstance(body, bytes) else list(body)
    given = {"host": "127.0.0.1:8025"}
    if is_sized:
        given["content-length"] = str(sum(map(len, chunks)))
    given |= headers or {}
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": urllib.parse.unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": (peer, 40000) if peer else None,
        "server": (HOST, 8025),
        "state": {},
    }
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]
    start, *rest = sent
    return Heard(
        start["status"],
        {name.decode(): value.decode("latin-1") for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in rest),
    )


@contextlib.asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[int]:
    """Serve `app` on a socket while the block runs; its value is the port."""
    (port,) = free_ports(1)
    server = HttpServer(app, HOST, port)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        try:
            async with asyncio.timeout(START_WAIT_S):
                await _answers(port)
            yield port
        finally:
            server.stop()
            await asyncio.wait([running])


async def _answers(port: int) -> None:
    """Return when somebody listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0)  # noqa: TID251 - only gives granian its turn.
        else:
            writer.close()
            await writer.wait_closed()
            return
