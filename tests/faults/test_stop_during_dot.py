"""Fault: we are told to stop while messages are on their way, one of them past the final dot.

The one past the dot may finish: hanging up on it makes a duplicate. All others are broken off, unambiguously. If the
peer takes longer than the stop may, the one past the dot is broken off too, and says so: ambiguous.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, TO, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause


async def test_a_message_past_the_dot_is_finished() -> None:
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as peer, pool_of() as pool:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(send(pool, peer.site(), MAIL))
            await peer.reached(Stage.DOT)
            closing = group.create_task(pool.close())
            await asyncio.sleep(0)
            assert not closing.done()
            peer.release()
        assert is_delivered(sent.result())
        assert len(peer.received) == 1
        assert peer.commands[-1] == "QUIT"


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
async def test_a_message_before_the_dot_is_broken_off(stage: Stage) -> None:
    async with Peer(Script(moves={stage: Move(Act.HOLD)})) as peer, pool_of() as pool:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(send(pool, peer.site(), MAIL))
            await peer.reached(stage)
            await pool.close()
        answer = sent.result().answers[TO]
        assert answer.cause is Cause.RESET
        assert not answer.is_ambiguous
        assert pool.stats.open_count == 0


async def test_a_stop_does_not_wait_for_ever() -> None:
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as peer, pool_of() as pool:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(send(pool, peer.site(), MAIL))
            await peer.reached(Stage.DOT)
            await pool.close(wait_s=0.05)
        assert sent.result().answers == {TO: Answer(Phase.DOT, None, Cause.RESET)}
        assert sent.result().answers[TO].is_ambiguous
        assert pool.stats.open_count == 0


async def test_a_cancelled_stop_leaves_nothing_open() -> None:
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as peer, pool_of() as pool:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(send(pool, peer.site(), MAIL))
            await peer.reached(Stage.DOT)
            closing = group.create_task(pool.close())
            await asyncio.sleep(0)
            closing.cancel()
        assert sent.result().answers[TO].is_ambiguous
