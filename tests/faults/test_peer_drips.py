"""Fault: the peer sends its reply one byte at a time, each before any idle timer would fire.

The deadline is for a whole reply, so dripping buys nothing; and one slow reply does not eat the next one's time.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize(
    ("stage", "phase", "wait"),
    [
        (Stage.GREETING, Phase.GREETING, "greeting_wait_s"),
        (Stage.DATA, Phase.DATA, "data_start_wait_s"),
        (Stage.DOT, Phase.DOT, "data_end_wait_s"),
    ],
)
async def test_dripping_buys_no_time(stage: Stage, phase: Phase, wait: str) -> None:
    # A drop every 20 ms, some 20 of them; the deadline is 100 ms.
    async with Peer(Script(moves={stage: Move(Act.DRIP)})) as peer, pool_of(**{wait: 0.1}) as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(phase, None, Cause.TIMEOUT)}
        assert pool.stats.open_count == 0
        await check_next_mail(pool, peer)
