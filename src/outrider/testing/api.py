"""A caller of /v1 on a running program: `Api` asks, `Listening` hears its events.

api = Api(program, key)
(await api.get("/domains"))["domains"]
async with api.listen() as events: (await events.next())["kind"]
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from outrider.testing.program import Answered, Key, Program

_HOST: Final = "127.0.0.1"
_WAIT_S: Final = 10.0  # Ours: what happens at once takes well under one.


class Heard(msgspec.Struct, frozen=True):
    """One message of a stream; `event` "": it only says where the stream is."""

    id: str
    event: str
    data: Any


class Listening:
    """One stream, read frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader: Final = reader
        self._writer: Final = writer
        self._rest = b""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.is_whole = False  # It ended with the last chunk.

    async def begin(self) -> None:
        """Read the head of the answer."""
        async with asyncio.timeout(_WAIT_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def next(self, wait_s: float = _WAIT_S) -> Heard | None:
        """Return the next message, None at the end. Raises TimeoutError."""
        async with asyncio.timeout(wait_s):
            while True:
                frame, end, rest = self._rest.partition(b"\n\n")
                if end:
                    self._rest = rest
                    fields = dict(
                        line.split(": ", 1) for line in frame.decode().split("\n") if not line.startswith(":")
                    )
                    if "id" in fields:
                        data = msgspec.json.decode(fields["data"]) if "data" in fields else None
                        return Heard(fields["id"], fields.get("event", ""), data)
                elif chunk := await self._chunk():
                    self._rest += chunk
                else:
                    return None

    async def until_end(self, wait_s: float = _WAIT_S) -> None:
        """Return when the stream has ended. Raises TimeoutError."""
        async with asyncio.timeout(wait_s):
            while await self._chunk():
                pass

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _chunk(self) -> bytes:
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            chunk = await self._reader.readexactly(size + 2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.is_whole = not size
        return chunk[:-2]


class Api:
    """Calls with one key."""

    def __init__(self, program: Program, key: Key | str) -> None:
        """`key` may be a token."""
        self.program: Final = program
        shown = key if isinstance(key, str) else f"{key.access_key_id}.{key.access_key_secret}"
        self.headers: Final = {"Authorization": f"Bearer {shown}"}

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Call `path`, which begins below /v1, and return the answer, whatever it is."""
        return await self.program.request(method, f"/v1{path}", body, headers=self.headers | dict(headers or {}))

    async def get(self, path: str) -> Any:
        """Return what `path` shows. Raises AssertionError: it was refused."""
        return await self._good("GET", path, None)

    async def post(self, path: str, body: object = None) -> Any:
        """Do it; return what it says. Raises AssertionError: it was refused."""
        return await self._good("POST", path, body)

    async def put(self, path: str, body: object) -> Any:
        """Put it there; return what it says. Raises AssertionError: it was refused."""
        return await self._good("PUT", path, body)

    async def patch(self, path: str, body: object) -> Any:
        """Change it; return what it says. Raises AssertionError: it was refused."""
        return await self._good("PATCH", path, body)

    async def delete(self, path: str) -> None:
        """Remove it. Raises AssertionError: it was refused."""
        await self._good("DELETE", path, None)

    async def refused(self, method: str, path: str, body: object = None) -> tuple[int, str, str]:
        """Return status, code and field of a refusal. Raises AssertionError: it was none."""
        answer = await self.ask(method, path, body)
        assert answer.status >= 400, answer.body
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        return answer.status, problem["code"], problem.get("field", "")

    async def key(self, *scopes: str, **terms: object) -> Key:
        """Make another key of the same project."""
        made = await self.post("/keys", {"name": "made", "scopes": scopes or ["send", "read", "manage"], **terms})
        return Key(made["id"], made["secret"])

    @contextlib.asynccontextmanager
    async def listen(self, query: str = "", *, last_event_id: str = "") -> AsyncIterator[Listening]:
        """Open a stream of events."""
        reader, writer = await asyncio.open_connection(_HOST, self.program.ports["HTTP"], limit=2**22)
        stream = Listening(reader, writer)
        given = {"Host": "x", **self.headers} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"GET /v1/events/stream{query} HTTP/1.1\r\n{lines}\r\n".encode())
        try:
            await stream.begin()
            yield stream
        finally:
            await stream.close()

    async def _good(self, method: str, path: str, body: object) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.json() if answer.body else None
