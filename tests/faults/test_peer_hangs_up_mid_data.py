"""Fault: the peer closes while the body is still on its way, with a last word or without.

The final dot had not left us, so the peer cannot have taken the message: a plain retry, never "ambiguous". A refusal
said before closing counts if it reaches us; a reset may overtake it.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import LARGE_MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
async def test_a_connection_lost_in_the_body_is_not_ambiguous(act: Act, tls: TlsKind) -> None:
    async with Peer(Script(moves={Stage.BODY: Move(act)}, tls=tls)) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), LARGE_MAIL)
        assert attempt.answers == {TO: Answer(Phase.DATA, None, Cause.RESET)}
        assert not attempt.answers[TO].is_ambiguous
        while pool.stats.open_count:  # TLS takes a few turns of the loop to close.
            await asyncio.sleep(0)
        await check_next_mail(pool, peer)


async def test_a_refusal_in_the_body_is_taken_if_it_arrives() -> None:
    refusal = Move(Act.SAY, b"552 5.3.4 too big\r\n")
    async with Peer(Script(moves={Stage.BODY: refusal})) as peer, pool_of() as pool:
        answer = (await send(pool, peer.site(), LARGE_MAIL)).answers[TO]
        assert answer.phase is Phase.DATA
        assert answer.cause is Cause.RESET or (answer.reply is not None and answer.reply.code == 552)
        await check_next_mail(pool, peer)
