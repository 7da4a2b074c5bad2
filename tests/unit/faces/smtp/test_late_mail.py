"""The simulator's outbox on real sockets: later, from the null sender, again if need be, and then no more."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from outrider.app import SystemClock
from outrider.base.vocab import Phase
from outrider.faces.smtp import late_mail
from outrider.faces.smtp.late_mail import QUEUE_COUNT_MAX, Letter, Outbox, Route
from outrider.net.dialler import Dialler
from outrider.net.settings import NetSettings
from outrider.net.site import Site
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.testing.peer import ADDRESS, Act, Move, Peer, Script, Stage
from outrider.testing.program import free_ports
from outrider.wire.answer import Answer, Cause

LETTER: Final = Letter("bounces@shop.example", b"Subject: late\r\n\r\nhello\r\n")
WAIT_S: Final = 10.0


class Log(io.StringIO):
    """What was logged; `until` waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def write(self, text: str) -> int:
        self._news.set()
        return super().write(text)

    async def until(self, event: str, *, count: int = 1) -> None:
        async with asyncio.timeout(WAIT_S):
            while self.getvalue().count(event) < count:
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def sending(
    route: Route, *, after_s: float = 0.0, again_s: Sequence[float] = (0.01, 0.01)
) -> AsyncIterator[tuple[Outbox, Log]]:
    """Yield an outbox that runs, and its log."""
    text, clock = Log(), SystemClock()
    outbox = Outbox(
        route,
        Dialler(NetSettings(ehlo_name="mx.simulator.outrider.test"), clock=clock),
        after_s=after_s,
        again_s=again_s,
        clock=clock,
        log=make_logger(LogSettings(format="json"), "smtp", text),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.run())
        yield outbox, text
        outbox.stop()


async def test_a_letter_goes_later_and_from_the_null_sender() -> None:
    loop = asyncio.get_running_loop()
    async with Peer() as peer, sending(late_mail.to_one(ADDRESS, peer.port), after_s=0.1) as (outbox, log):
        started_s = loop.time()
        outbox.post(LETTER)
        await log.until("late_mail_sent")
        assert loop.time() - started_s >= 0.1
        (mail,) = peer.received
    assert (mail.sender, mail.recipients, mail.content) == ("", ("bounces@shop.example",), LETTER.message)


async def test_the_log_names_no_return_path_whole() -> None:
    secret = "0123456789abcdefghijklmnopqrstuv0123456789abcdef"
    to = f"bounce-{secret}@bounces.shop.example"
    script = Script(refused={to: f"550 5.1.1 <{to}> no such address\r\n".encode()})
    async with Peer(script) as peer, sending(late_mail.to_one(ADDRESS, peer.port)) as (outbox, log):
        outbox.post(Letter(to, LETTER.message))
        await log.until("late_mail_given_up")
        outbox.post(Letter(f"unsubscribe-{secret}@bounces.shop.example", LETTER.message))
        await log.until("late_mail_sent")
    assert secret not in log.getvalue()
    assert log.getvalue().count("-***@bounces.shop.example") == 3


async def test_a_server_that_is_busy_is_tried_again() -> None:
    script = Script(moves={Stage.RCPT: Move(Act.SAY, b"451 4.3.0 later\r\n", times_max=1)})
    async with Peer(script) as peer, sending(late_mail.to_one(ADDRESS, peer.port)) as (outbox, log):
        outbox.post(LETTER)
        await log.until("late_mail_sent")
        assert len(peer.received) == 1
    assert "late_mail_given_up" not in log.getvalue()


async def test_a_refusal_is_final() -> None:
    script = Script(moves={Stage.RCPT: Move(Act.SAY, b"550 5.7.1 forged\r\n")})
    async with Peer(script) as peer, sending(late_mail.to_one(ADDRESS, peer.port)) as (outbox, log):
        outbox.post(LETTER)
        await log.until("late_mail_given_up")
        assert "550 5.7.1 forged" in log.getvalue()
        assert peer.connection_count == 1


async def test_nobody_there_is_given_up_after_a_few_tries() -> None:
    asked: list[str] = []

    async def route(domain: str) -> Site | Answer:
        asked.append(domain)
        if len(asked) == 1:
            return Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
        return await late_mail.to_one(ADDRESS, free_ports(1)[0])(domain)

    async with sending(route) as (outbox, log):
        outbox.post(LETTER)
        await log.until("late_mail_given_up")
    assert asked == ["shop.example"] * 3


async def test_the_simulator_is_never_written_to_and_the_heap_is_bounded() -> None:
    async with sending(late_mail.to_one(ADDRESS, 1), after_s=60.0) as (outbox, log):
        outbox.post(Letter("complaint@gmail.simulator.outrider.test", b""))
        assert "late_mail_not_sent" in log.getvalue()
        outbox.post(Letter("bounce-0@bounces.simulator.outrider.test", b""))  # Outrider's own return path.
        assert log.getvalue().count("late_mail_not_sent") == 1
        for _ in range(QUEUE_COUNT_MAX - 1):
            outbox.post(LETTER)
        assert "late_mail_dropped" not in log.getvalue()
        outbox.post(LETTER)
        assert "late_mail_dropped" in log.getvalue()


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.DOT])
async def test_a_stop_waits_for_nobody(stage: Stage) -> None:
    async with Peer(Script(moves={stage: Move(Act.HOLD)})) as peer:
        async with asyncio.timeout(WAIT_S), sending(late_mail.to_one(ADDRESS, peer.port)) as (outbox, _):
            outbox.post(LETTER)
            await peer.reached(stage)
        peer.tear_down()
