"""Fault: the peer's reply never ends: line after line, or one line without an end.

It is cut off at `REPLY_LINES_MAX` and `REPLY_LINE_BYTES_MAX`: memory is bounded by what we read, not by what is sent.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize("act", [Act.ENDLESS_REPLY, Act.ENDLESS_LINE])
@pytest.mark.parametrize(
    ("stage", "phase"),
    [(Stage.GREETING, Phase.GREETING), (Stage.EHLO, Phase.EHLO), (Stage.MAIL, Phase.MAIL), (Stage.DOT, Phase.DOT)],
)
async def test_an_endless_reply_is_cut_off(act: Act, stage: Stage, phase: Phase) -> None:
    async with Peer(Script(moves={stage: Move(act)})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(phase, None, Cause.PROTOCOL)}
        assert pool.stats.open_count == 0
        await peer.until_idle()  # It was told to stop.
        await check_next_mail(pool, peer)
