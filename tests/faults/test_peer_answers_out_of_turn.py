"""Fault: the peer answers what nobody asked: twice, early, or with a reply of the wrong kind.

Replies have no numbers; one too many and every later one belongs to somebody else. A wrong "delivered" loses mail and a
wrong "no such user" loses a subscriber, so the session ends with PROTOCOL, and nothing said out of turn is believed.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause

STEPWISE = ("SIZE 52428800",)


@pytest.mark.parametrize(
    ("stage", "words", "phase"),
    [
        (Stage.GREETING, b"220 hi\r\n250 hi\r\n", Phase.EHLO),
        (Stage.EHLO, b"250 hi\r\n250 hi\r\n", Phase.MAIL),
        (Stage.MAIL, b"354 go\r\n", Phase.MAIL),
        (Stage.MAIL, b"250 ok\r\n550 5.1.1 who\r\n", Phase.RCPT),
        (Stage.RCPT, b"250 ok\r\n354 go\r\n", Phase.DATA),
        (Stage.DATA, b"250 ok\r\n", Phase.DATA),
        (Stage.DATA, b"354 go\r\n250 2.0.0 queued\r\n", Phase.DATA),
        (Stage.DOT, b"354 go\r\n", Phase.DOT),
    ],
)
async def test_what_is_said_out_of_turn_is_not_believed(stage: Stage, words: bytes, phase: Phase) -> None:
    script = Script(features=STEPWISE, moves={stage: Move(Act.SAY, words)})
    async with Peer(script) as peer, pool_of() as pool:
        answer = (await send(pool, peer.site(), MAIL)).answers[TO]
        assert answer == Answer(phase, None, Cause.PROTOCOL)
        assert not peer.received
        await check_next_mail(pool, peer)


async def test_a_second_reply_to_the_dot_ends_the_session_but_not_the_delivery() -> None:
    twice = Move(Act.SAY, b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n")
    async with Peer(Script(moves={Stage.DOT: twice})) as peer, pool_of() as pool:
        answer = (await send(pool, peer.site(), MAIL)).answers[TO]
        assert answer.phase is Phase.DOT
        assert answer.reply is not None
        assert pool.stats.idle_count == 0  # The next message would get the second reply.
        await check_next_mail(pool, peer)


async def test_a_word_at_rest_ends_the_connection() -> None:
    async with Peer() as peer, pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        await peer.interject(b"250 2.0.0 by the way\r\n")
        while pool.stats.open_count:
            await asyncio.sleep(0)
        await check_next_mail(pool, peer)
