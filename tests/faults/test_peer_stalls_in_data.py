"""Fault: the peer goes silent in DATA: before its 354, while the body goes out, or after the final dot.

Each has its own deadline (RFC 5321 §4.5.3.2.4 to .6). Only the last is ambiguous: before the dot has left us the peer
cannot have taken the message. The same under TLS, whose buffer is empty while the socket's is full.
"""

import asyncio

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import LARGE_MAIL, MAIL, TO, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope


@pytest.mark.parametrize(
    ("stage", "wait", "envelope", "phase"),
    [
        (Stage.DATA, "data_start_wait_s", MAIL, Phase.DATA),
        (Stage.BODY, "data_block_wait_s", LARGE_MAIL, Phase.DATA),
        (Stage.BODY, "data_end_wait_s", MAIL, Phase.DOT),  # It fits into the buffers: nobody can see it unread.
        (Stage.DOT, "data_end_wait_s", MAIL, Phase.DOT),
    ],
)
@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
@pytest.mark.parametrize("is_reused", [False, True])
async def test_silence_is_a_timeout_and_ambiguous_only_after_the_dot(
    stage: Stage, wait: str, envelope: Envelope, phase: Phase, tls: TlsKind, is_reused: bool
) -> None:
    async with Peer(Script(tls=tls)) as peer, pool_of(**{wait: 0.2}) as pool:
        if is_reused:
            await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={stage: Move(Act.HOLD)}, tls=tls)
        attempt = await send(pool, peer.site(), envelope)
        assert attempt.answers == {TO: Answer(phase, None, Cause.TIMEOUT)}
        assert attempt.answers[TO].is_ambiguous == (phase is Phase.DOT)
        while pool.stats.open_count:  # TLS takes a few turns of the loop to close.
            await asyncio.sleep(0)
        await check_next_mail(pool, peer)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
async def test_a_slow_reader_is_not_a_silent_one(tls: TlsKind) -> None:
    script = Script(moves={Stage.BODY: Move(Act.SIP)}, tls=tls)
    async with Peer(script) as peer, pool_of(data_block_wait_s=0.5, data_end_wait_s=2) as pool:
        attempt = await send(pool, peer.site(), LARGE_MAIL)
        assert attempt.duration_s > 0.5
        assert attempt.answers[TO].phase is Phase.DOT
        assert peer.received[0].content == LARGE_MAIL.content
        await check_next_mail(pool, peer)
