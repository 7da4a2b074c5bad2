"""The HTTP application: all faces' route handlers in one Litestar app, without anything that needs a start or a stop.

Errors of routes under /api are the dialect's; the rest answers in Litestar's own JSON (`status_code`, `detail`). What a
face does not catch ends here: the stranger gets one bland sentence, the operator the log, and a bug the counter of
internal errors.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import ClientException
from litestar.exceptions.responses import create_exception_response
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR
from litestar.types import ControllerRouterHandler

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, OutriderError
from outrider.faces.api import operational, reference
from outrider.faces.api.dialects import uspeedo
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import face, table


def make_app(ports: Ports, more: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the app; `more` are the route handlers of other faces, which do not know each other."""

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
    return Litestar(
        route_handlers=[*uspeedo.routes(ports), native, *reference.routes(), *operational.routes(ports), *more],
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
