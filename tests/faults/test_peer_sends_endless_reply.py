"""Fault: the peer's reply never ends: line after line, or one line without an end.

It is cut off at `REPLY_LINES_MAX` and `REPLY_LINE_BYTES_MAX`: memory is bounded by what we read, not by what is sent.
"""

import pytest

from outrider.base import limits
from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize("act", [Act.ENDLESS_REPLY, Act.ENDLESS_LINE])
@pytest.mark.parametrize(
    ("stage", "phase"),
    [
        (Stage.GREETING, Phase.GREETING),
        (Stage.EHLO, Phase.EHLO),
        (Stage.MAIL, Phase.MAIL),
        (Stage.RCPT, Phase.RCPT),
        (Stage.DATA, Phase.DATA),
        (Stage.DOT, Phase.DOT),
    ],
)
async def test_an_endless_reply_is_cut_off(act: Act, stage: Stage, phase: Phase) -> None:
    async with Peer(Script(moves={stage: Move(act)})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(phase, None, Cause.PROTOCOL)}
        assert pool.stats.open_count == 0
        await peer.until_idle()  # It was told to stop.
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("line_count", [limits.REPLY_LINES_MAX, limits.REPLY_LINES_MAX + 1])
async def test_a_long_reply_that_ends_is_one_up_to_the_bound(line_count: int) -> None:
    reply = b"250-2.0.0 more\r\n" * (line_count - 1) + b"250 2.0.0 queued\r\n"
    async with Peer(Script(moves={Stage.DOT: Move(Act.SAY, reply)})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt) == (line_count <= limits.REPLY_LINES_MAX)
        assert attempt.answers[TO].is_ambiguous == (line_count > limits.REPLY_LINES_MAX)
        await check_next_mail(pool, peer)
