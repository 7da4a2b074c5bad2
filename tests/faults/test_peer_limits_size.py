"""Fault: the peer announces a SIZE below the mail's, or a SIZE that says nothing.

Over an announced limit the body is never sent, nor is anything else: the mail bounces as mailbox.too_large and the
connection serves the next one (RFC 1870 §6.1). Without a number we can read, the peer is asked and may say 552 itself.
"""

import pytest

from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import Classifier
from outrider.policy.reason import Reason
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause

SIZE_BYTES = len(MAIL.content)
VERDICT_TOO_LARGE = (Fate.BOUNCED, Reason.MAILBOX_TOO_LARGE)


@pytest.mark.parametrize("more", [(), ("PIPELINING",)])
@pytest.mark.parametrize(
    "size", [f"SIZE {SIZE_BYTES}", "SIZE 0", "SIZE", "SIZE many", "SIZE -1", f"size={SIZE_BYTES}", "SIZE 9" + "9" * 40]
)
async def test_a_mail_within_it_or_with_no_limit_told_is_sent(size: str, more: tuple[str, ...]) -> None:
    async with Peer(Script(features=(size, *more))) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), MAIL))
        assert f"MAIL FROM:<{MAIL.sender}> SIZE={SIZE_BYTES}" in peer.commands


@pytest.mark.parametrize("more", [(), ("PIPELINING",)])
@pytest.mark.parametrize("size", [f"SIZE {SIZE_BYTES - 1}", f"size={SIZE_BYTES - 1}", "SIZE 1"])
async def test_a_mail_over_it_is_refused_before_a_word_is_said(size: str, more: tuple[str, ...]) -> None:
    async with Peer(Script(features=(size, *more))) as peer, pool_of() as pool:
        for _ in range(2):
            attempt = await send(pool, peer.site(), MAIL)
            assert attempt.answers == {TO: Answer(Phase.MAIL, None, Cause.TOO_LARGE)}
        verdict = Classifier(()).judge(attempt.answers[TO])
        assert (verdict.fate, verdict.reason) == VERDICT_TOO_LARGE
        assert [line.split()[0] for line in peer.commands] == ["EHLO"]
        assert peer.connection_count == 1


async def test_without_size_nothing_is_announced() -> None:
    async with Peer(Script(features=())) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), MAIL))
        assert f"MAIL FROM:<{MAIL.sender}>" in peer.commands


@pytest.mark.parametrize(
    ("stage", "phase"), [(Stage.MAIL, Phase.MAIL), (Stage.RCPT, Phase.RCPT), (Stage.DOT, Phase.DOT)]
)
async def test_a_peer_that_tells_no_limit_may_refuse_by_itself(stage: Stage, phase: Phase) -> None:
    refusal = Move(Act.SAY, b"552 5.3.4 message too big for system\r\n")
    async with Peer(Script(features=("SIZE 0",), moves={stage: refusal})) as peer, pool_of() as pool:
        answer = (await send(pool, peer.site(), MAIL)).answers[TO]
        assert answer.phase is phase
        assert answer.reply is not None
        assert answer.reply.code == 552
        await check_next_mail(pool, peer)
