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
import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import Final

import jinja2
import litestar
from litestar import MediaType, Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery
from markupsafe import Markup

from outrider.base import digits
from outrider.base.clock import Clock
from outrider.base.errors import ForbiddenError, NotFoundError
from outrider.faces.console import local_only
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
_SAFE: Final = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
}
_Request = Request[object, object, State]


def routes(mailbox: Mailbox, published_record: PublishedRecord, clock: Clock) -> list[Router]:
    """Return the route handlers. `published_record` finds the key that signatures are checked against."""
    pages = _Pages(clock)

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
        headers = _SAFE | {"content-security-policy": _FRAME_POLICY, "x-frame-options": "SAMEORIGIN"}
        shown = _DIALLING.sub("<x-", parsed.html).encode()
        return Response(shown, media_type=MediaType.HTML, headers=headers)

    @litestar.get("/{name:str}/source")
    async def source(name: FromPath[str]) -> Response[bytes]:
        headers = _SAFE | {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}
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


class _Pages:
    """The templates, read once."""

    def __init__(self, clock: Clock) -> None:
        loader = jinja2.PackageLoader("outrider.faces.console")
        self._environment: Final = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {"iso": _iso, "instant": _instant, "when": _when, "size": _size}
        style, _, _ = loader.get_source(self._environment, "style.css")
        style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._environment.globals |= {"style": Markup(style), "refresh_offered_s": REFRESH_S}  # noqa: S704 - our file.
        self._headers: Final = _SAFE | {
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{style_hash}'; img-src data:; "
            "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "x-frame-options": "DENY",
        }
        self._clock: Final = clock

    def render(self, template: str, status: int = 200, **values: object) -> Response[str]:
        """Return a page; `values` are what its template needs."""
        values = {"refresh_s": 0, "now": self._clock.now(), **values}
        page = self._environment.get_template(template).render(values)
        return Response(page, status_code=status, media_type=MediaType.HTML, headers=self._headers)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _when(at: datetime, now: datetime) -> str:
    """Say when it was, as short as today allows."""
    at = at.astimezone(UTC)
    if at.date() == now.astimezone(UTC).date():
        return at.strftime("%H:%M:%S")
    return at.strftime("%Y-%m-%d %H:%M")


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"
