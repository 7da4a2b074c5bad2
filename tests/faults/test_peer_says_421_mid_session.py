"""Fault: the peer closes the session with 421: at once, in the middle of a message, between two, or while at rest.

RFC 5321 §3.8 allows it at any moment. The reply is the answer of whoever had none yet; the session is over; and where a
reused connection says it before it has answered MAIL, the message goes over a fresh one and nobody hears of it.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Envelope

CLOSING = Move(Act.SAY, b"421 4.3.2 shutting down\r\n")
REPLY = Reply(421, "4.3.2", "shutting down")


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_421_is_the_answer_wherever_it_comes(stage: Stage) -> None:
    async with Peer(Script(moves={stage: CLOSING})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), REPLY)}
        assert pool.stats.open_count == 0
        await check_next_mail(pool, peer)


async def test_those_refused_before_keep_their_own_reply() -> None:
    script = Script(refused={TO: b"550 5.1.1 who\r\n"}, moves={Stage.RCPT: CLOSING})
    async with Peer(script) as peer, pool_of() as pool:
        envelope = Envelope(MAIL.sender, (TO, "b@partner.example", "c@partner.example"), MAIL.content)
        answers = (await send(pool, peer.site(), envelope)).answers
        assert answers[TO] == Answer(Phase.RCPT, Reply(550, "5.1.1", "who"))
        assert answers["b@partner.example"] == answers["c@partner.example"] == Answer(Phase.RCPT, REPLY)
        await check_next_mail(pool, peer)


async def test_a_reused_connection_may_say_it_instead_of_answering_mail() -> None:
    async with Peer() as peer, pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.MAIL: Move(Act.SAY, CLOSING.octets, times_max=1)})
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt)
        assert peer.connection_count == 2
        await check_next_mail(pool, peer)


async def test_a_connection_at_rest_may_say_it() -> None:
    async with Peer() as peer, pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        await peer.interject(CLOSING.octets)
        while pool.stats.open_count:
            await asyncio.sleep(0)
        await check_next_mail(pool, peer)
