"""Fault: the peer sends its reply one byte at a time, each before any idle timer would fire; or reads a body so.

The deadline is for a whole reply, so dripping buys nothing; and one slow reply does not eat the next one's time. Of a
peer that reads slowly nothing more is asked than to go on reading (test_peer_stalls_in_data.py).
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


@pytest.mark.parametrize(
    ("stage", "phase", "wait"),
    [
        (Stage.GREETING, Phase.GREETING, "greeting_wait_s"),
        (Stage.EHLO, Phase.EHLO, "command_wait_s"),
        (Stage.MAIL, Phase.MAIL, "command_wait_s"),
        (Stage.RCPT, Phase.RCPT, "command_wait_s"),
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


@pytest.mark.slow
async def test_each_reply_has_its_own_time() -> None:
    # Each takes half a second and more, all together over the second that one may take.
    slow = dict.fromkeys((Stage.MAIL, Stage.RCPT, Stage.DATA), Move(Act.DRIP))
    waits = {"command_wait_s": 1.0, "data_start_wait_s": 1.0}
    async with Peer(Script(features=(), moves=slow)) as peer, pool_of(**waits) as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt)
        assert attempt.duration_s > 1.0
        await check_next_mail(pool, peer)
