"""Fault: what answers is no mail server: a web server, or noise.

An answer with cause PROTOCOL, in the phase it came; nothing more is said to it, and nothing is read into it.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause

STAGES = [Stage.GREETING, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT]
NOISE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x00\xff\x80\n",
    b"SSH-2.0-x\r\n",
    b"250-a\r\n550 b\r\n",
    b"2 50 ok\r\n",
]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("noise", NOISE)
async def test_garbage_is_told_from_a_reply(stage: Stage, noise: bytes) -> None:
    async with Peer(Script(moves={stage: Move(Act.SAY, noise)})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), None, Cause.PROTOCOL)}
        assert pool.stats.open_count == 0
        await check_next_mail(pool, peer)
