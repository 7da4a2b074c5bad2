"""Fault: the peer takes the whole message, then closes before its reply to the final dot.

We cannot know whether it was accepted (RFC 5321 §4.5.3.2.6; RFC 1047). The only honest answer is "ambiguous"; it must
not be tried again on the quiet, for the engine has to mark the next attempt as a possible duplicate.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
@pytest.mark.parametrize("is_reused", [False, True])
async def test_silence_after_the_dot_is_ambiguous_and_not_repeated(act: Act, is_reused: bool) -> None:
    async with Peer() as peer, pool_of() as pool:
        if is_reused:
            await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.DOT: Move(act)})
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase.DOT, None, Cause.RESET)}
        assert attempt.answers[TO].is_ambiguous
        assert peer.commands.count("DATA") == 1 + is_reused
        assert peer.connection_count == 1
        await check_next_mail(pool, peer)


async def test_a_reply_to_the_dot_is_not_ambiguous() -> None:
    async with Peer() as peer, pool_of() as pool:
        peer.script = Script(moves={Stage.DOT: Move(Act.SAY, b"451 4.3.0 try later\r\n")})
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers[TO].phase is Phase.DOT
        assert not attempt.answers[TO].is_ambiguous
        await check_next_mail(pool, peer)
