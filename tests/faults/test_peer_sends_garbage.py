"""Fault: what answers is no mail server: a web server, or noise; or one whose words are meant for a terminal.

An answer with cause PROTOCOL, in the phase it came; nothing more is said to it, and nothing is read into it. What can
be read as a reply is one, but its text can steer nothing: no NUL, no escape sequence, no half character, no line
of a log.
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
    b"000 a\r\n",
    b"150 a\r\n",
    b"600 a\r\n",
    b"999 a\r\n",
    b"25 ok\r\n",
    b"2500 ok\r\n",
    b"-250 ok\r\n",
    "\u0662\u0665\u0660 ok\r\n".encode(),  # Digits to some.
    b"250-a\r\n250-b\r\n451 c\r\n",
    b"250-a\r\nb\r\n250 c\r\n",
    b"\r\n",
]
HOSTILE = b"550 5.1.1 a\0b\x1b[2Jc\x07d\xff\xfee\x9bf\xe2\x80\xaeg\rh\x7f \xc3\xbc\r\n"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("noise", NOISE)
async def test_garbage_is_told_from_a_reply(stage: Stage, noise: bytes) -> None:
    async with Peer(Script(moves={stage: Move(Act.SAY, noise)})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), None, Cause.PROTOCOL)}
        assert pool.stats.open_count == 0
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_what_steers_a_terminal_is_gone_from_the_text(stage: Stage) -> None:
    async with Peer(Script(moves={stage: Move(Act.SAY, HOSTILE)})) as peer, pool_of() as pool:
        reply = (await send(pool, peer.site(), MAIL)).answers[TO].reply
        assert reply is not None
        assert (reply.code, reply.enhanced) == (550, "5.1.1")
        assert reply.text.isprintable()
        assert reply.text.endswith("ü")
        assert reply.text.encode()  # No half characters.
        await check_next_mail(pool, peer)
