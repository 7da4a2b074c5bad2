"""Fault: the peer takes the whole message, then closes before its reply to the final dot.

With a reset, with TLS's good-bye, or in the middle of its reply: what is not a whole reply is none.
We cannot know whether it was accepted (RFC 5321 §4.5.3.2.6; RFC 1047). The only honest answer is "ambiguous"; it must
not be tried again on the quiet, for the engine has to mark the next attempt as a possible duplicate.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
@pytest.mark.parametrize("is_reused", [False, True])
@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
async def test_silence_after_the_dot_is_ambiguous_and_not_repeated(act: Act, is_reused: bool, tls: TlsKind) -> None:
    async with Peer(Script(tls=tls)) as peer, pool_of() as pool:
        if is_reused:
            await send(pool, peer.site(), MAIL)
        peer.script = Script(tls=tls, moves={Stage.DOT: Move(act)})
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase.DOT, None, Cause.RESET)}
        assert attempt.answers[TO].is_ambiguous
        assert peer.commands.count("DATA") == 1 + is_reused
        assert peer.connection_count == 1
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("octets", [b"", b"2", b"25", b"250", b"250 2.0.0 queued", b"250 2.0.0 queued\r", b"250-a\r\n"])
@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
async def test_a_part_of_a_reply_is_none(octets: bytes, is_reset: bool, tls: TlsKind) -> None:
    script = Script(tls=tls, moves={Stage.DOT: Move(Act.SAY, octets)})
    async with Peer(script) as peer, pool_of() as pool, asyncio.TaskGroup() as group:
        attempt = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.DOT)
        if is_reset:
            peer.tear_down()
        else:
            peer.hang_up()
        answers = (await attempt).answers
        assert answers == {TO: Answer(Phase.DOT, None, Cause.RESET)}
        assert answers[TO].is_ambiguous
        await check_next_mail(pool, peer)


async def test_a_reply_to_the_dot_is_not_ambiguous() -> None:
    async with Peer() as peer, pool_of() as pool:
        peer.script = Script(moves={Stage.DOT: Move(Act.SAY, b"451 4.3.0 try later\r\n")})
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers[TO].phase is Phase.DOT
        assert not attempt.answers[TO].is_ambiguous
        await check_next_mail(pool, peer)
