"""What operators and their tools ask: is it alive, is it ready, how is it doing, and what is this at all.

    /healthz   200 as long as this process answers
    /readyz    200 when it can do its work, else 503; for load balancers and start scripts
    /metrics   Prometheus text, of the whole node
    /          a page for people who open the port in a browser

None of them needs a key, so none of them says anything about mail, projects or the machine.
"""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from typing import Final

import litestar
import msgspec
from litestar import MediaType, Response
from litestar.handlers import HTTPRouteHandler

from outrider.base import limits
from outrider.base.errors import OutriderError
from outrider.faces.api.ports import Ports

METRICS_TYPE: Final = "text/plain; version=0.0.4"  # Prometheus text exposition format; Litestar adds the charset.


class Health(msgspec.Struct, frozen=True):
    """The answer of /healthz and /readyz."""

    status: str


def routes(ports: Ports) -> Sequence[HTTPRouteHandler]:
    """Return the route handlers."""
    page = _front_page(has_mailbox=ports.has_mailbox)

    @litestar.get("/healthz", sync_to_thread=False)
    def healthz() -> Response[Health]:
        return Response(Health("alive"), headers=_NO_STORE)

    @litestar.get("/readyz")
    async def readyz() -> Response[Health]:
        if await _is_ready(ports):
            return Response(Health("ready"), headers=_NO_STORE)
        return Response(Health("not ready"), status_code=503, headers=_NO_STORE)

    @litestar.get("/metrics", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        return Response(ports.metrics.render(), media_type=METRICS_TYPE, headers=_NO_STORE)

    @litestar.get("/", sync_to_thread=False)
    def front() -> Response[str]:
        return Response(page, media_type=MediaType.HTML, headers=_PAGE_HEADERS)

    return [healthz, readyz, metrics, front]


async def _is_ready(ports: Ports) -> bool:
    try:
        async with asyncio.timeout(limits.READY_WAIT_S):
            return await ports.is_ready()
    except (OutriderError, TimeoutError):
        return False


_NO_STORE: Final = {"cache-control": "no-store"}
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin: 0 } p { margin: .4rem 0 1.2rem; opacity: .8 }
ul { list-style: none; padding: 0; border-top: 1px solid #8884 }
li { border-bottom: 1px solid #8884 } a { display: block; padding: .55rem .1rem; text-decoration: none; color: inherit }
a:hover { background: #8881 } code { font-size: .92em } small { float: right; opacity: .65 }
"""
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LINKS: Final = (
    ("/docs", "the API, to read and to try"),
    ("/readyz", "ready to work?"),
    ("/healthz", "alive?"),
    ("/metrics", "Prometheus metrics"),
)


def _front_page(*, has_mailbox: bool) -> str:
    links = [("/mailbox", "the mail that was caught"), *_LINKS] if has_mailbox else list(_LINKS)
    rows = "".join(f'<li><a href="{path}"><code>{path}</code> <small>{says}</small></a></li>' for path, says in links)
    mode = "Catch mode: no mail leaves this machine." if has_mailbox else "It delivers mail."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Outrider</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        "<h1>Outrider</h1>"
        f"<p>An email platform. Programs send with <code>POST /v1/emails</code>. {mode}</p>"
        f"<ul>{rows}</ul></body></html>"
    )
