"""The HTTP application: all faces' route handlers in one Litestar app, without anything that needs a start or a stop.

Errors of routes under /api are the dialect's; the rest answers in Litestar's own JSON (`status_code`, `detail`).
"""

from collections.abc import Sequence

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from outrider.base import limits
from outrider.faces.api import operational
from outrider.faces.api.dialects import uspeedo
from outrider.faces.api.ports import Ports


def make_app(ports: Ports, more: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the app; `more` are the route handlers of other faces, which do not know each other."""
    return Litestar(
        route_handlers=[*uspeedo.routes(ports), *operational.routes(ports), *more],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=limits.REQUEST_BODY_BYTES_MAX,
    )
