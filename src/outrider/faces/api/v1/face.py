"""The envelope around every call under /v1: find its row, guard it, read it, let its function act, write the answer.

One raw ASGI application takes the whole of /v1: handing in mail is the hottest path of the web process, and what a
framework's typed handler costs is more than all of the work here (bench/native_call.py). What the framework would
give is in the rows: types, validation, the document.

Every answer has `X-Request-Id`. Whatever goes wrong is a problem (`problem`), unknown paths and methods included.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from outrider.base import digits, limits
from outrider.base.errors import CallerError, OutriderError, UnauthenticatedError
from outrider.faces.api.body import CallerGoneError, Places, discard_body, is_large, read_body
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import problem, reading
from outrider.faces.api.v1.call import JSON, Call, Chunks, Reply
from outrider.faces.api.v1.entry import Entrance
from outrider.faces.api.v1.routes import ROOT, Bound, Found, Route, Router, WrongMethodError
from outrider.obs.log import Logger

_NO_ROUTE: Final = "unknown"  # In the metrics: paths that are no call.
_encode: Final = msgspec.json.Encoder().encode


def mount(ports: Ports, routes: Sequence[Route]) -> ASGIRouteHandler:
    """Return the one route handler of /v1."""
    face = _Face(ports, routes)

    @asgi(ROOT, is_mount=True, copy_scope=False)
    async def native(scope: Scope, receive: Receive, send: Send) -> None:
        await face.respond(cast("HTTPScope", scope), receive, send)

    return native


class _Face:
    def __init__(self, ports: Ports, routes: Sequence[Route]) -> None:
        self._ports: Final = ports
        self._router: Final = Router(routes)
        self._entrance: Final = Entrance(ports)
        self._large: Final = Places()

    async def respond(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request. Never raises for anything it holds; the outermost layer of this face."""
        request_id = self._ports.new_request_id()
        call = Call(scope, receive, str(request_id))
        found: Found | None = None
        try:
            found = self._router.find(scope["method"], scope["raw_path"])  # Not the path, where %2F is a slash already.
            reply = await self._act(call, found)
        except CallerGoneError:
            return
        except OutriderError as error:
            problem.note(self._ports.log, error, call.request_id)
            reply = _refusal(error, request_id, found)
        except Exception:  # The face's outermost layer: the caller gets a problem, the operator the log.
            self._ports.metrics.internal.labels("v1").inc()
            self._ports.log.exception("v1_call_failed", request_id=call.request_id)
            reply = _refusal(OutriderError(""), request_id, found)
        route = found.bound.route if found else None
        self._ports.metrics.v1_calls.labels(f"{route.method} {route.path}" if route else _NO_ROUTE, reply.status).inc()
        if not call.is_read and scope["method"] not in ("GET", "HEAD"):
            bytes_max = route.body_bytes_max if route else limits.REQUEST_BODY_BYTES_MAX
            await discard_body(scope, receive, call.length_bytes, bytes_max=bytes_max)
        await _send(call, reply, send, self._ports.log)

    async def _act(self, call: Call, found: Found) -> Reply:
        bound = found.bound
        route = bound.route
        for name, value in call.scope["headers"]:
            if name == b"content-length":
                call.length_bytes = digits.parse(value.decode("latin-1"))
            elif name == b"idempotency-key" and route.is_keyed:
                call.idempotency_key = _idempotency_key(value)
        if not route.is_open:
            await self._entrance.admit(call, route.scope)
        arguments = dict(found.arguments)
        if bound.query_type is not None:
            arguments["query"] = reading.query(call.scope["query_string"], bound.query_type)
        elif call.scope["query_string"]:
            raise CallerError("This call has no parameters behind a question mark.")
        if bound.body_type is None:
            return await _answer(call, bound, arguments)
        async with self._large.take(is_needed=is_large(call.length_bytes)):
            return await _read_and_answer(call, bound, arguments)


async def _read_and_answer(call: Call, bound: Bound, arguments: dict[str, Any]) -> Reply:
    octets = await read_body(call.receive, call.length_bytes, bytes_max=bound.route.body_bytes_max)
    call.is_read = True
    arguments["body"] = octets if bound.decode is None else reading.body(octets, bound.decode)
    return await _answer(call, bound, arguments)


async def _answer(call: Call, bound: Bound, arguments: dict[str, Any]) -> Reply:
    answer = await bound.route.act(call, **arguments)
    if answer is None:
        return Reply(content=b"", media_type="", status=204)
    if isinstance(answer, Reply):
        return answer
    return Reply(content=_encode(answer), status=bound.route.status)


def _refusal(error: OutriderError, request_id: UUID, found: Found | None) -> Reply:
    rendered = problem.render(error, request_id, found.bound.route.fields if found else {})
    headers: list[tuple[bytes, bytes]] = []
    if rendered.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, -(-rendered.retry_after_s // 1))))
    if isinstance(error, UnauthenticatedError):  # Not Basic: a browser would ask its user for a password.
        headers.append((b"www-authenticate", b'Bearer realm="outrider"'))
    if isinstance(error, WrongMethodError):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return Reply(
        content=_encode(rendered), media_type=problem.MEDIA_TYPE, status=rendered.status, headers=tuple(headers)
    )


def _idempotency_key(value: bytes) -> str:
    if not 1 <= len(value) <= limits.IDEMPOTENCY_KEY_CHARS_MAX or any(not 0x21 <= octet <= 0x7E for octet in value):
        allowed = f"1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters"
        raise CallerError(f"The header Idempotency-Key must have {allowed}.", field="idempotency_key")
    return value.decode("ascii")


async def _send(call: Call, reply: Reply, send: Send, log: Logger) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"cache-control", b"no-store"),
        (b"x-request-id", call.request_id.encode()),
        *call.answer_headers,
        *reply.headers,
    ]
    if reply.media_type:
        headers.append((b"content-type", reply.media_type.encode()))
    content = reply.content
    if isinstance(content, bytes) and reply.status != 204:
        headers.append((b"content-length", b"%d" % len(content)))
    await send(HTTPResponseStartEvent(type="http.response.start", status=reply.status, headers=headers))
    if isinstance(content, bytes):
        await send({"type": "http.response.body", "body": content, "more_body": False})
    else:
        await _stream(call, content, send, log)


async def _stream(call: Call, chunks: Chunks, send: Send, log: Logger) -> None:
    """Send what comes until it ends, the caller hangs up, or takes nothing for `limits.STREAM_WRITE_WAIT_S`.

    What ends before its time, for whatever reason, ends without the last chunk: the caller can tell.
    """

    async def pump() -> None:
        try:
            async for chunk in chunks:
                async with asyncio.timeout(limits.STREAM_WRITE_WAIT_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                # Danger: without it a stream to nobody would never let `watch` hear of that: such a send does not wait.
                await asyncio.sleep(0)  # noqa: TID251 - gives `watch` its turn.
            async with asyncio.timeout(limits.STREAM_WRITE_WAIT_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("v1_stream_too_slow", request_id=call.request_id)
        except OutriderError as error:
            problem.note(log, error, call.request_id)
        except Exception:  # As in `respond`: the answer has begun, so the log alone can say it.
            log.exception("v1_stream_failed", request_id=call.request_id)
        watching.cancel()

    async def watch() -> None:
        while (await call.receive())["type"] != "http.disconnect":
            pass
        pumping.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            pumping = group.create_task(pump())
            watching = group.create_task(watch())
    finally:
        await chunks.aclose()


__all__ = ["JSON", "ROOT", "mount"]
