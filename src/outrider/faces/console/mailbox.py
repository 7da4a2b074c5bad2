"""The pages of the catch mailbox.

    GET /mailbox                 the messages, newest first; ?before=NAME pages, ?refresh=5 reloads by itself
    GET /mailbox/NAME            one message: header, text, HTML in a frame, signatures, attachments
    GET /mailbox/NAME/html       its HTML part, for the frame
    GET /mailbox/NAME/source     all of it, as it came

Shown on this machine only (`local_only`). What is shown was written by strangers: templates escape everything, pages
run no script and fetch nothing, and the HTML part lives in a sandbox without scripts, forms or network
(`_FRAME_POLICY`). No policy stops a browser from dialling, ahead of need, the host of a `<link>` or of a frame that it
will then refuse to load, so such elements become unknown ones on the way out. tests/browser/test_mailbox.py looks from
inside Chromium.
"""

import asyncio
import re
from typing import Final

import litestar
from litestar import MediaType, Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery

from outrider.base import digits
from outrider.base.clock import Clock
from outrider.base.errors import ForbiddenError, NotFoundError
from outrider.faces.console import local_only
from outrider.faces.console.pages import SAFE, Pages
from outrider.mail import parse
from outrider.services import signatures
from outrider.services.catch import Mailbox
from outrider.services.signatures import PublishedRecord

PAGE_COUNT: Final = 50  # Ours: messages on a page.
REFRESH_S: Final = 5  # Ours: what the link offers.
REFRESH_S_MAX: Final = 3600  # Ours: what the address may ask for.

_DIALLING: Final = re.compile(
    r"<(?=(?:link|i?frame|frameset|fencedframe|portal|object|embed|applet)[\s/>])", re.IGNORECASE
)
_FRAME_POLICY: Final = (
    "sandbox; default-src 'none'; img-src data: cid:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_Request = Request[object, object, State]


def routes(mailbox: Mailbox, published_record: PublishedRecord, clock: Clock) -> list[Router]:
    """Return the route handlers. `published_record` finds the key that signatures are checked against."""
    pages = Pages(clock, refresh_offered_s=REFRESH_S)

    @litestar.get("/")
    async def messages(before: FromQuery[str] = "", refresh: FromQuery[str] = "") -> Response[str]:
        page = await mailbox.list(PAGE_COUNT, before)
        refresh_s = min(digits.parse(refresh) or 0, REFRESH_S_MAX)
        return pages.render("list.html", page=page, before=before, refresh_s=refresh_s)

    @litestar.get("/{name:str}")
    async def message(name: FromPath[str]) -> Response[str]:
        content = await mailbox.read(name)
        parsed = await asyncio.to_thread(parse.parse, content)
        checked = await signatures.check(content, published_record)
        return pages.render("message.html", name=name, parsed=parsed, signatures=checked)

    @litestar.get("/{name:str}/html")
    async def html(name: FromPath[str]) -> Response[bytes]:
        parsed = await asyncio.to_thread(parse.parse, await mailbox.read(name))
        if parsed.html is None:
            raise NotFoundError("This message has no HTML part.")
        headers = SAFE | {"content-security-policy": _FRAME_POLICY, "x-frame-options": "SAMEORIGIN"}
        shown = _DIALLING.sub("<x-", parsed.html).encode()
        return Response(shown, media_type=MediaType.HTML, headers=headers)

    @litestar.get("/{name:str}/source")
    async def source(name: FromPath[str]) -> Response[bytes]:
        headers = SAFE | {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}
        return Response(await mailbox.read(name), media_type=MediaType.TEXT, headers=headers)

    def absent(_: _Request, error: NotFoundError) -> Response[str]:
        return pages.render("sorry.html", 404, heading="Not found", sentence=error.public, is_allowed=True)

    def forbidden(_: _Request, error: ForbiddenError) -> Response[str]:
        return pages.render("sorry.html", 403, heading="Not here", sentence=error.public, is_allowed=False)

    return [
        Router(
            "/mailbox",
            route_handlers=[messages, message, html, source],
            guards=[_guard],
            exception_handlers={NotFoundError: absent, ForbiddenError: forbidden},
        )
    ]


def _guard(connection: ASGIConnection[BaseRouteHandler, object, object, State], _: BaseRouteHandler) -> None:
    peer = connection.scope["client"]
    reason = local_only.refusal(peer[0] if peer else None, connection.scope["headers"])
    if reason:
        raise ForbiddenError(reason)
