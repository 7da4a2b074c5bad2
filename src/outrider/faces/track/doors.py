"""Pixels and tracked links: answered from the token alone, so they work while the database is away.

    GET /o/TOKEN.gif   a GIF of one transparent pixel
    GET /t/TOKEN       302 to what the token seals

The answer goes out first; what is known of the hit goes to `services.tracking`, which never waits. HEAD is answered the
same and counts for nothing. Nobody is led to what no key of ours sealed, and to nothing but web pages. A token counts
at the host that it was made for; the host is that of the request, or what a trusted proxy says.

`Referrer-Policy: no-referrer`: the URL of a link is one reader's alone, and none of the target's business. Who wants to
know there where visitors come from adds UTM parameters.

Plain ASGI, beside Litestar: `faces.api.app` hands it these paths straight.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast
from uuid import UUID

import msgspec
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from outrider.base import networks
from outrider.base.clock import Clock
from outrider.base.networks import Network
from outrider.mail.link_tokens import ForgedLinkError, Kind, Tokens, Told
from outrider.mail.locations import location_of
from outrider.obs.metrics import Metrics
from outrider.policy.engagement import Hit

LINKS: Final = "/t/"
PIXELS: Final = "/o/"
_PIXEL_ENDING: Final = ".gif"
_AGENT_CHARS_MAX: Final = 400  # Ours: the longest of browsers have some 250.
_GIF: Final = bytes.fromhex(  # One pixel of the colour that is transparent.
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_GONE: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>No such link</title>"
    b"<p>This link does not work: a part of it is missing or was changed."
)
_NO_STORE: Final = [
    (b"cache-control", b"no-store, max-age=0"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
_PAGE: Final = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", b"default-src 'none'")]
_METHODS: Final = frozenset({"GET", "HEAD"})


class _Caller(msgspec.Struct, frozen=True):
    """What a request says of who makes it."""

    host: str
    ip: str
    agent: str
    is_prefetch: bool


class Doors:
    """Both paths."""

    def __init__(
        self, tokens: Tokens, take: Callable[[Hit], None], *, proxies: Sequence[Network], clock: Clock, metrics: Metrics
    ) -> None:
        """`take` gets each hit; `proxies` are believed when they say for whom they call, and to which host."""
        self._tokens: Final = tokens
        self._take: Final = take
        self._proxies: Final = tuple(proxies)
        self._clock: Final = clock
        self._forged: Final = metrics.hits.labels("forged")

    def paths(self) -> Mapping[str, ASGIApp]:
        """Return what answers below which path."""
        return {LINKS: self.follow, PIXELS: self.show}

    async def follow(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request below /t/."""
        request = cast("HTTPScope", scope)
        caller = _read(request, self._proxies)
        told = self._told(request["path"].removeprefix(LINKS), Kind.LINK, caller.host)
        location = location_of(told.target) if told else ""
        if not _is_answered(request):
            await _answer(request, send, 405, [(b"allow", b"GET, HEAD")], b"")
        elif told is None or not location:
            await _gone(request, send)
        else:
            await _answer(request, send, 302, [*_NO_STORE, (b"location", location.encode("ascii"))], b"")
            self._hand_on(request, caller, told.recipient_id, number=told.number, target=told.target)

    async def show(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request below /o/."""
        request = cast("HTTPScope", scope)
        caller = _read(request, self._proxies)
        name = request["path"].removeprefix(PIXELS)
        told = self._told(name.removesuffix(_PIXEL_ENDING), Kind.PIXEL, caller.host)
        if not _is_answered(request):
            await _answer(request, send, 405, [(b"allow", b"GET, HEAD")], b"")
        elif told is None or not name.endswith(_PIXEL_ENDING):
            await _gone(request, send)
        else:
            await _answer(request, send, 200, [*_NO_STORE, (b"content-type", b"image/gif")], _GIF)
            self._hand_on(request, caller, told.recipient_id)

    def _told(self, token: str, kind: Kind, host: str) -> Told | None:
        try:
            return self._tokens.read(token, kind, host=host)
        except ForgedLinkError:
            self._forged.inc()
            return None

    def _hand_on(
        self, request: HTTPScope, caller: _Caller, recipient_id: UUID, *, number: int = 0, target: str = ""
    ) -> None:
        if request["method"] == "HEAD":
            return
        self._take(
            Hit(
                recipient_id=recipient_id,
                is_click=request["path"].startswith(LINKS),
                number=number,
                target=target.replace("\0", ""),  # The database holds none.
                at=self._clock.now(),
                ip=caller.ip,
                agent=caller.agent,
                is_prefetch=caller.is_prefetch,
            )
        )


def _read(request: HTTPScope, proxies: Sequence[Network]) -> _Caller:
    host = agent = forwarded_host = b""
    is_prefetch = False
    forwarded: list[bytes] = []
    for name, value in request["headers"]:
        match name:
            case b"host":
                host = value
            case b"user-agent":
                agent = value
            case b"x-forwarded-for" if proxies:
                forwarded.append(value)
            case b"x-forwarded-host" if proxies:
                forwarded_host = value
            case b"purpose" | b"sec-purpose" | b"x-purpose" | b"x-moz":
                is_prefetch = is_prefetch or value.lower().startswith((b"prefetch", b"preview"))
            case _:
                pass
    client = request.get("client")
    peer = client[0] if client else ""
    ip = networks.caller(peer, b",".join(forwarded), proxies) if forwarded else peer
    if forwarded_host and networks.contain(proxies, peer):
        host = forwarded_host.partition(b",")[0].strip()
    text = agent[:_AGENT_CHARS_MAX].decode("latin-1")
    return _Caller(
        host=host.decode("latin-1").partition(":")[0].lower(),
        ip=ip,
        agent=text if text.isprintable() else "".join(filter(str.isprintable, text)),
        is_prefetch=is_prefetch,
    )


def _is_answered(request: HTTPScope) -> bool:
    return request["method"] in _METHODS


async def _gone(request: HTTPScope, send: Send) -> None:
    await _answer(request, send, 404, [*_NO_STORE, *_PAGE], _GONE)


async def _answer(request: HTTPScope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    sized = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    shown = b"" if request["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": shown, "more_body": False})
