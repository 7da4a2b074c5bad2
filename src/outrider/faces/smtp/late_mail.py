"""The simulator's outbox: mails that are due a little later, sent by real SMTP from the null sender.

    post --> heap, by instant --due--> route, dial, deliver --no luck--> again after 1, 5, 30 s --> given up, and logged

Memory only: what the simulator promises it promises for as long as it runs. Bounded: past `QUEUE_COUNT_MAX` mails, new
ones are dropped with a line in the log; so many are sent at once. A 5xx is final. It never writes to the simulator
itself, so no two answers answer each other; the return paths below the simulator's domain are Outrider's.
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from outrider.base.clock import Clock
from outrider.mail import verp
from outrider.net.dialler import Dialler
from outrider.net.site import Host, Site, Way
from outrider.obs.log import Logger
from outrider.policy import classify, simulate
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import Envelope, TlsMode

QUEUE_COUNT_MAX: Final = 1_000  # Ours: 5 MB of reports, 20 at worst.
_SENT_AT_ONCE_MAX: Final = 8
_LOOK_S: Final = 0.25  # Ours: how soon a new letter is seen that is due before the others.
AGAIN_S: Final = (1.0, 5.0, 30.0)  # Ours: for a receiver that is just starting; then it is not coming.

Route = Callable[[str], Awaitable[Site | Answer]]


class Letter(msgspec.Struct, frozen=True):
    """One mail from the null sender."""

    to: str
    message: bytes
    tries: int = 0


class Outbox:
    """Sends what is posted, `after_s` later. A part of its process: `run`, `stop`."""

    def __init__(
        self,
        route: Route,
        dialler: Dialler,
        *,
        after_s: float,
        clock: Clock,
        log: Logger,
        again_s: Sequence[float] = AGAIN_S,
    ) -> None:
        self._again_s: Final = again_s
        self._route: Final = route
        self._dialler: Final = dialler
        self._after_s: Final = after_s
        self._clock: Final = clock
        self._log: Final = log
        self._order: Final = itertools.count()
        self._waiting: Final[list[tuple[float, int, Letter]]] = []
        self._places: Final = asyncio.Semaphore(_SENT_AT_ONCE_MAX)
        self._came: Final = asyncio.Event()
        self._stop_asked: Final = asyncio.Event()

    def post(self, letter: Letter) -> None:
        """Have it sent. Returns at once."""
        domain = letter.to.rpartition("@")[2].lower()
        if simulate.is_simulated(domain) and domain != simulate.BOUNCE_DOMAIN:
            self._log.info(
                "late_mail_not_sent", to=verp.masked(letter.to), reason="it would be to the simulator itself"
            )
        else:
            self._put(letter, self._after_s)

    async def run(self) -> None:
        """Send until `stop`. What is not sent by then is lost."""
        async with asyncio.TaskGroup() as everything:
            sending = everything.create_task(self._send_all())
            await self._stop_asked.wait()
            sending.cancel()

    def stop(self) -> None:
        """Ask `run` to return soon. Safe twice."""
        self._stop_asked.set()

    def _put(self, letter: Letter, wait_s: float) -> None:
        if len(self._waiting) >= QUEUE_COUNT_MAX:
            self._log.warning("late_mail_dropped", to=verp.masked(letter.to), reason="too many wait")
            return
        heapq.heappush(self._waiting, (self._clock.monotonic_s() + wait_s, next(self._order), letter))
        self._came.set()

    async def _send_all(self) -> None:
        """Send what is due, again and again. Cancelled, it takes what is under way with it."""
        async with asyncio.TaskGroup() as group:
            while True:
                while self._waiting and self._waiting[0][0] <= self._clock.monotonic_s():
                    await self._places.acquire()
                    group.create_task(self._send(heapq.heappop(self._waiting)[2]))
                if self._waiting:
                    await self._clock.sleep(min(_LOOK_S, self._waiting[0][0] - self._clock.monotonic_s()))
                else:
                    self._came.clear()
                    await self._came.wait()

    async def _send(self, letter: Letter) -> None:
        try:
            answer = await self._deliver(letter)
        finally:
            self._places.release()
        reply = answer.reply
        if reply is not None and reply.severity == 2:
            self._log.info("late_mail_sent", to=verp.masked(letter.to))
        elif letter.tries >= len(self._again_s) or (reply is not None and reply.severity == 5):
            what = classify.line_of(reply) if reply is not None else str(answer.cause)
            self._log.warning(
                "late_mail_given_up", to=verp.masked(letter.to), tries=letter.tries + 1, reason=verp.masked(what)[:200]
            )
        else:
            self._put(Letter(letter.to, letter.message, letter.tries + 1), self._again_s[letter.tries])

    async def _deliver(self, letter: Letter) -> Answer:
        site = await self._route(letter.to.rpartition("@")[2])
        if isinstance(site, Answer):
            return site
        opened = await self._dialler.open(site, Way("simulator", ehlo_name=simulate.HOST_NAME), site.tls)
        if isinstance(opened, Answer):
            return opened
        gone = asyncio.Event()
        opened.watch(lambda _: gone.set())
        if opened.failure is not None:
            return opened.failure
        envelope = Envelope("", (letter.to,), letter.message, not letter.to.isascii(), not letter.message.isascii())
        try:
            answers = await opened.deliver(envelope)
            opened.quit()
            await gone.wait()  # `quit` sees to it that this is soon.
        finally:
            opened.abort()
        return answers[letter.to]


def to_one(host: str, port: int) -> Route:
    """Return the route that leads all mail to one server."""
    site = Site(f"{host}:{port}", (Host(host, (host,)),), port, TlsMode.OPPORTUNISTIC)

    async def route(_domain: str) -> Site | Answer:
        return site

    return route
