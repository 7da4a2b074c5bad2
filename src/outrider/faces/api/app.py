"""The HTTP application: all faces' route handlers in one Litestar app, without anything that needs a start or a stop.

Errors of routes under /api are the dialect's; the rest answers in Litestar's own JSON (`status_code`, `detail`). What a
face does not catch ends here: the stranger gets one bland sentence, the operator the log, and a bug the counter of
internal errors.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import ClientException
from litestar.exceptions.responses import create_exception_response
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR
from litestar.types import (
    ASGIApp,
    ControllerRouterHandler,
    HTTPScope,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Receive,
    Scope,
    Send,
)

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, OutriderError
from outrider.faces.api import operational, reference
from outrider.faces.api.dialects import uspeedo
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import face, table

_BUSIEST: Final = f"{uspeedo.ROOT}/v1/email/SendEmail"
NOTHING_QUICK: Final[Mapping[str, ASGIApp]] = {}
_PLAIN_HOST: Final = re.compile(rb"[A-Za-z0-9.-]{1,255}(?::[0-9]{1,5})?")


class _App(Litestar):
    """Litestar, which the busiest calls go past: its routing and wrapping cost a third of what the face does."""

    def __init__(self, quick: Mapping[str, ASGIApp], **settings: Any) -> None:
        """`quick` answers a path, or, where its name ends in a slash, all below it: "/t/"."""
        super().__init__(**settings)
        self._quick = quick

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        """Answer one request."""
        request = cast("HTTPScope", scope)
        quick = self._quick_of(request["path"]) if scope["type"] == ScopeType.HTTP else None
        if quick is not None and _has_plain_host(request):
            await quick(request, cast("Receive", receive), cast("Send", send))
        else:
            await super().__call__(scope, receive, send)

    def _quick_of(self, path: str) -> ASGIApp | None:
        return self._quick.get(path) or self._quick.get(path[: path.find("/", 1) + 1])


def _mounted(app: ASGIApp, root: str) -> ASGIApp:
    """Return the app as its mount at `root` would call it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        request = cast("HTTPScope", scope)
        request["path"] = request["path"].removeprefix(root)
        await app(scope, receive, send)

    return call


def _has_plain_host(scope: HTTPScope) -> bool:
    """Whether Litestar would have nothing to say about the Host header; False where only it knows."""
    for name, value in scope["headers"]:
        if name == b"host":
            return _PLAIN_HOST.fullmatch(value) is not None
    return False


def make_app(
    ports: Ports, more: Sequence[ControllerRouterHandler] = (), *, quick: Mapping[str, ASGIApp] = NOTHING_QUICK
) -> Litestar:
    """Return the app; `more` are the route handlers of other faces, which do not know each other.

    `quick` are plain ASGI apps of theirs by the path, or the folder of paths with its last slash, that they answer.
    """

    def refused(request: Request[Any, Any, Any], error: OutriderError) -> Response[Any]:
        if not isinstance(error, CallerError | BusyError):
            detail = {f"detail_{name}": value for name, value in error.detail.items()}
            ports.log.error("page_refused", method=request.method, path=request.url.path, code=error.code, **detail)
        return Response({"status_code": error.status, "detail": error.public}, status_code=error.status)

    def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        ports.metrics.internal.labels("web").inc()
        ports.log.error("page_failed", method=request.method, path=request.url.path, exc_info=error)
        return create_exception_response(request, error)

    def malformed(request: Request[Any, Any, Any], error: ClientException) -> Response[Any]:
        # Litestar looks at the Host header before it looks for a route (RFC 9110 §7.2).
        if request.scope["path"].startswith(f"{uspeedo.ROOT}/") or request.scope["path"] == uspeedo.ROOT:
            return uspeedo.malformed(ports, error.status_code, error.detail)
        return create_exception_response(request, error)

    native = face.mount(ports, table.routes(ports))
    dialect = uspeedo.routes(ports)
    return _App(
        {_BUSIEST: _mounted(dialect[0].fn, uspeedo.ROOT), **quick},
        route_handlers=[*dialect, native, *reference.routes(), *operational.routes(ports), *more],
        # Litestar's own log would be a second one, of another form.
        logging_config=None,
        exception_handlers={
            OutriderError: refused,
            ClientException: malformed,
            HTTP_500_INTERNAL_SERVER_ERROR: unexpected,
        },
        openapi_config=None,
        request_max_body_size=limits.REQUEST_BODY_BYTES_MAX,
    )
