"""Fault: the peer closes the session with 421: at once, in the middle of a message, between two, or while at rest.

RFC 5321 §3.8 allows it at any moment. The reply is the answer of whoever had none yet; the session is over; and where a
reused connection says it before it has answered MAIL, the message goes over a fresh one and nobody hears of it.
"""

import asyncio

import msgspec
import pytest

from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import Classifier
from outrider.testing.delivery import LARGE_MAIL, MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, Envelope, TlsMode

CLOSING = Move(Act.SAY, b"421 4.3.2 shutting down\r\n")
REPLY = Reply(421, "4.3.2", "shutting down")
EVERYTHING = Script(tls=TlsKind.GOOD, mechanisms=("PLAIN",))
STEPWISE = Script(tls=TlsKind.GOOD, mechanisms=("PLAIN",), features=())
STAGES = [
    Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT,
]  # fmt: skip


def check_is_deferred(answer: Answer) -> None:
    assert Classifier(()).judge(answer).fate is Fate.DEFERRED
    assert not answer.is_ambiguous


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("usual", [EVERYTHING, STEPWISE], ids=["pipelined", "stepwise"])
async def test_421_is_the_answer_wherever_it_comes(stage: Stage, usual: Script) -> None:
    script = msgspec.structs.replace(usual, moves={stage: CLOSING})
    async with Peer(script) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(credentials=Credentials("us", "word", may_go_plain=True)), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), REPLY)}
        check_is_deferred(attempt.answers[TO])
        assert not peer.received
        count = peer.connection_count
        await check_next_mail(pool, peer)
        assert peer.connection_count == count + 1  # Never the one that was closed.


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
async def test_421_in_answer_to_the_second_ehlo_is_one_under_tls(mode: TlsMode) -> None:
    held = Script(tls=TlsKind.GOOD, moves={Stage.STARTTLS: Move(Act.HOLD)})
    async with Peer(held) as peer, pool_of(ca_pem=peer.certificate.pem) as pool, asyncio.TaskGroup() as group:
        attempt = group.create_task(send(pool, peer.site(tls=mode), MAIL))
        await peer.reached(Stage.STARTTLS)
        peer.script = Script(tls=TlsKind.GOOD, moves={Stage.EHLO: CLOSING})
        peer.release()
        assert (await attempt).answers == {TO: Answer(Phase.EHLO, REPLY)}
        assert peer.connection_count == 1  # It is no failure of TLS: not tried in the clear.
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("features", [(), ("PIPELINING",)])
async def test_421_to_the_second_recipient_is_the_answer_of_all_who_had_none(features: tuple[str, ...]) -> None:
    last = "z@partner.example"
    async with Peer(Script(features=features, refused={last: CLOSING.octets})) as peer, pool_of() as pool:
        answers = (await send(pool, peer.site(), Envelope(MAIL.sender, (TO, last), MAIL.content))).answers
        assert answers == dict.fromkeys((TO, last), Answer(Phase.RCPT, REPLY))
        assert not peer.received
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("tls", [TlsKind.NONE, TlsKind.GOOD])
async def test_421_in_the_body_is_never_ambiguous(tls: TlsKind) -> None:
    async with Peer(Script(tls=tls, moves={Stage.BODY: CLOSING})) as peer, pool_of() as pool:
        answer = (await send(pool, peer.site(), LARGE_MAIL)).answers[TO]
        # A reset may overtake it.
        assert answer in (Answer(Phase.DATA, REPLY), Answer(Phase.DATA, None, Cause.RESET))
        check_is_deferred(answer)
        await check_next_mail(pool, peer)


async def test_those_refused_before_keep_their_own_reply() -> None:
    script = Script(refused={TO: b"550 5.1.1 who\r\n"}, moves={Stage.RCPT: CLOSING})
    async with Peer(script) as peer, pool_of() as pool:
        envelope = Envelope(MAIL.sender, (TO, "b@partner.example", "c@partner.example"), MAIL.content)
        answers = (await send(pool, peer.site(), envelope)).answers
        assert answers[TO] == Answer(Phase.RCPT, Reply(550, "5.1.1", "who"))
        assert answers["b@partner.example"] == answers["c@partner.example"] == Answer(Phase.RCPT, REPLY)
        await check_next_mail(pool, peer)


async def test_a_reused_connection_may_say_it_instead_of_answering_mail() -> None:
    async with Peer() as peer, pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.MAIL: Move(Act.SAY, CLOSING.octets, times_max=1)})
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt)
        assert peer.connection_count == 2
        await check_next_mail(pool, peer)


async def test_a_connection_at_rest_may_say_it() -> None:
    async with Peer() as peer, pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        await peer.interject(CLOSING.octets)
        while pool.stats.open_count:
            await asyncio.sleep(0)
        await check_next_mail(pool, peer)
