"""The page behind the link to unsubscribe, which every marketing mail has and any mail may show.

    GET  /unsubscribe?token=...    says what would stop and what else comes; changes nothing: scanners open links too
    HEAD                           the same without the page
    POST /unsubscribe?token=...    a mail program's one click (RFC 8058 §3.2), or a button of the page (`leaving_form`)

Open to everybody who has the link, from anywhere, without a cookie or a redirect; it works without a script. Links that
are forged or have expired get one answer, which costs no query. Each link may be asked for so often, whoever asks:
providers click for all of their readers from a few addresses. It speaks the reader's language (`words`).
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

import litestar
from litestar import HttpMethod, Request, Response, Router
from litestar.params import FromQuery

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, LimitReachedError, OutriderError, TooLargeError
from outrider.base.networks import Network
from outrider.base.vocab import LeavingReason, SubscriptionState
from outrider.faces.console import leaving_form, words
from outrider.faces.console.leaving_form import LeavingForm
from outrider.faces.console.pages import Pages
from outrider.faces.console.proof import Door, caller_of
from outrider.faces.console.words import Books
from outrider.obs.log import Logger
from outrider.services.leaving import Leaving, Word
from outrider.services.return_paths import UNSUBSCRIBE_PATH

_TOKEN_CHARS_MAX: Final = 64  # Ours: a good one has 48.
_LATER: Final = "This cannot be done just now. The link stays good; try again in a moment."
_DONE: Final = {"choose": "saved", "resubscribe": "returned"}  # What is said of it; of leaving the page's heading does.


class Exits(Protocol):
    """Links and what they are about (`services.leaving`)."""

    async def look(self, token: str) -> Leaving:
        """Return what the link is about. Raises NotFoundError, as do all of these."""

    async def leave(self, token: str, *, word: Word, client: str) -> Leaving:
        """Unsubscribe from what the mail was for."""

    async def leave_all(self, token: str, *, word: Word, client: str) -> Leaving:
        """Unsubscribe from all marketing mail."""

    async def choose(self, token: str, wanted: Mapping[str, bool], *, word: Word, client: str) -> Leaving:
        """Subscribe to some topics, unsubscribe from others."""

    async def come_back(self, token: str, *, client: str) -> Leaving:
        """Take it back."""


def routes(exits: Exits, clock: Clock, log: Logger, *, proxies: Sequence[Network] = ()) -> list[Router]:
    """Return the route handlers. `proxies` are believed when they say for whom they ask."""
    pages = Pages(clock, may_submit=True, fill=words.fill, why_choices=list(LeavingReason), states=SubscriptionState)
    door, books = Door(clock, limits.UNSUBSCRIBE_PAGES_A_MINUTE_COUNT_MAX), Books()

    @litestar.route("/", http_method=[HttpMethod.GET, HttpMethod.HEAD], status_code=200)
    async def ask(request: Request[Any, Any, Any], token: FromQuery[str] = "") -> Response[str]:
        door.enter(token[:_TOKEN_CHARS_MAX])
        return page(request, token, await exits.look(token))

    @litestar.post("/", status_code=200)
    async def act(request: Request[Any, Any, Any], token: FromQuery[str] = "") -> Response[str]:
        door.enter(token[:_TOKEN_CHARS_MAX])
        asked = leaving_form.read(
            await _body(request), request.headers.get("content-type", "").encode("latin-1", "replace")
        )
        left = await _act(exits, token, asked, caller_of(request, proxies))
        return page(request, token, left, done=_DONE.get(asked.action, ""))

    def page(request: Request[Any, Any, Any], token: str, leaving: Leaving, done: str = "") -> Response[str]:
        found = books.choose(request.headers.get("accept-language", ""))
        known = {"address": leaving.address, "sender": leaving.sender, "list": leaving.title}
        shown = pages.render(
            "unsubscribe.html",
            leaving=leaving,
            token=token,
            say=found.say,
            lang=found.lang,
            dir=found.say.dir,
            known=known,
            done=getattr(found.say, done) if done else "",
        )
        shown.headers["content-language"] = found.lang
        return shown

    def sorry(_: Request[Any, Any, Any], error: OutriderError) -> Response[str]:
        is_theirs = isinstance(error, CallerError)
        if not is_theirs:
            log.error("unsubscribe_page_refused", code=error.code)
        page = pages.render("still_subscribed.html", error.status, sentence=error.public if is_theirs else _LATER)
        if isinstance(error, LimitReachedError):
            page.headers["retry-after"] = f"{error.retry_after_s:.0f}"
        return page

    return [Router(UNSUBSCRIBE_PATH, route_handlers=[ask, act], exception_handlers={OutriderError: sorry})]


def _act(exits: Exits, token: str, asked: LeavingForm, client: str) -> Awaitable[Leaving]:
    match asked.action:
        case "leave_all":
            return exits.leave_all(token, word=asked.word, client=client)
        case "choose":
            return exits.choose(token, asked.wanted, word=asked.word, client=client)
        case "resubscribe":
            return exits.come_back(token, client=client)
        case _:  # What the link is for.
            return exits.leave(token, word=asked.word, client=client)


async def _body(request: Request[Any, Any, Any]) -> bytes:
    """Return the form. Raises TooLargeError; CallerError: it did not come, or not in time."""
    octets = b""
    try:
        async with asyncio.timeout(limits.REQUEST_BODY_WAIT_S):
            while True:
                event = await request.receive()
                if event["type"] != "http.request":
                    raise CallerError("The form did not arrive.")
                octets += event["body"]
                if len(octets) > limits.UNSUBSCRIBE_FORM_BYTES_MAX:
                    raise TooLargeError("The form is too large.")
                if not event["more_body"]:
                    return octets
    except TimeoutError:
        raise CallerError("The form did not arrive in time.") from None
