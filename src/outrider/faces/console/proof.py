"""The page behind the link that proves a mailbox.

    GET  /senders/prove?token=...    says who asks to send in whose name; changes nothing, since scanners open links too
    POST /senders/prove?token=...    the button: says yes

Open to everybody who has the link, from anywhere. The token is in the query, so that no path in a log holds it. Links
that were used, have expired or never were get one answer, and nobody may ask often: guessing 256 bits is hopeless, but
each guess is a query.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import litestar
from litestar import Request, Response, Router
from litestar.params import FromQuery

from outrider.base import limits, networks
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, LimitReachedError, OutriderError
from outrider.base.networks import Network
from outrider.faces.console.pages import Pages
from outrider.obs.log import Logger
from outrider.policy import gcra
from outrider.services.proofs import PATH, Proof

_PEERS_COUNT_MAX: Final = 10_000  # Ours: addresses remembered; past it all may begin anew.


class Proofs(Protocol):
    """Links and what they are about (`services.proofs`)."""

    async def look(self, token: str) -> Proof:
        """Return what the link is about. Raises NotFoundError."""

    async def confirm(self, token: str) -> Proof:
        """Use the link up. Raises NotFoundError."""


def routes(proofs: Proofs, clock: Clock, log: Logger, *, proxies: Sequence[Network] = ()) -> list[Router]:
    """Return the route handlers. `proxies` are believed when they say for whom they ask."""
    pages = Pages(clock, may_submit=True)
    door = Door(clock, limits.PROOF_PAGES_A_MINUTE_COUNT_MAX)

    @litestar.get("/")
    async def ask(request: Request[Any, Any, Any], token: FromQuery[str] = "") -> Response[str]:
        return await answer(request, token, proofs.look, "proof.html")

    @litestar.post("/", status_code=200)
    async def confirm(request: Request[Any, Any, Any], token: FromQuery[str] = "") -> Response[str]:
        return await answer(request, token, proofs.confirm, "proven.html")

    async def answer(
        request: Request[Any, Any, Any], token: str, work: Callable[[str], Awaitable[Proof]], template: str
    ) -> Response[str]:
        door.enter(caller_of(request, proxies))
        proof = await work(token)
        return pages.render(template, proof=proof, token=token)

    def sorry(_: Request[Any, Any, Any], error: OutriderError) -> Response[str]:
        sentence = error.public
        if not isinstance(error, CallerError):
            log.error("proof_page_refused", code=error.code)
            sentence = "This cannot be done just now. The link stays good; try again in a moment."
        page = pages.render("unproven.html", error.status, sentence=sentence)
        if isinstance(error, LimitReachedError):
            page.headers["retry-after"] = f"{error.retry_after_s:.0f}"
        return page

    return [Router(PATH, route_handlers=[ask, confirm], exception_handlers={OutriderError: sorry})]


def caller_of(request: Request[Any, Any, Any], proxies: Sequence[Network]) -> str:
    """Return the address that asks, through however many of these proxies; "" over a socket that has none."""
    peer = request.client.host if request.client else ""
    forwarded = ",".join(request.headers.getall("x-forwarded-for", []))
    return networks.caller(peer, forwarded.encode("latin-1"), proxies) if forwarded else peer


class Door:
    """Lets each peer, or whoever has a link, in so often."""

    def __init__(self, clock: Clock, a_minute_count_max: int) -> None:
        self._clock: Final = clock
        self._pace: Final = gcra.pace_of(a_minute_count_max, 60.0)
        self._tats: Final[dict[str, float]] = {}

    def enter(self, peer: str) -> None:
        """Count one visit. Raises LimitReachedError."""
        now_s = self._clock.monotonic_s()
        tat_s = self._tats.get(peer, 0.0)
        wait_s = gcra.due_at_s(tat_s, now_s, self._pace) - now_s
        if wait_s > 0:
            raise LimitReachedError("That was too often; try again in a minute.", retry_after_s=max(wait_s, 1.0))
        if len(self._tats) >= _PEERS_COUNT_MAX:
            self._tats.clear()
        self._tats[peer] = gcra.passed(tat_s, now_s, self._pace)
