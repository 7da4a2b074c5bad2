"""Fault: the peer takes some recipients of a mail and refuses others, then the connection is lost.

Each keeps what was said about it: a refusal stands, whoever was taken is tried again. Ambiguous are, after the final
dot, only those who were taken; the refused never are.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Envelope

TAKEN, REFUSED, LATER, ALSO_TAKEN = (f"{name}@partner.example" for name in ("a", "b", "c", "d"))
ENVELOPE = Envelope(MAIL.sender, (TAKEN, REFUSED, LATER, ALSO_TAKEN), MAIL.content)
REFUSALS = {REFUSED: b"550 5.1.1 who\r\n", LATER: b"452 4.2.2 full\r\n"}
SAID = {
    REFUSED: Answer(Phase.RCPT, Reply(550, "5.1.1", "who")),
    LATER: Answer(Phase.RCPT, Reply(452, "4.2.2", "full")),
}


@pytest.mark.parametrize("features", [(), ("PIPELINING",)])
@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
@pytest.mark.parametrize(("stage", "phase"), [(Stage.DATA, Phase.DATA), (Stage.DOT, Phase.DOT)])
async def test_each_keeps_what_was_said_about_it(
    features: tuple[str, ...], act: Act, stage: Stage, phase: Phase
) -> None:
    script = Script(features=features, refused=REFUSALS, moves={stage: Move(act)})
    async with Peer(script) as peer, pool_of() as pool:
        answers = (await send(pool, peer.site(), ENVELOPE)).answers
        lost = Answer(phase, None, Cause.RESET)
        if act is Act.RESET and answers[REFUSED] == lost:  # The reset overtook the replies of this packet.
            assert features
        else:
            assert answers == {**SAID, TAKEN: lost, ALSO_TAKEN: lost}
        assert {name for name, answer in answers.items() if answer.is_ambiguous} == (
            {TAKEN, ALSO_TAKEN} if stage is Stage.DOT else set()
        )
        assert not peer.received
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("features", [(), ("PIPELINING",)])
async def test_without_the_loss_only_those_taken_get_it(features: tuple[str, ...]) -> None:
    async with Peer(Script(features=features, refused=REFUSALS)) as peer, pool_of() as pool:
        answers = (await send(pool, peer.site(), ENVELOPE)).answers
        assert {name: answers[name] for name in SAID} == SAID
        assert peer.received[0].recipients == (TAKEN, ALSO_TAKEN)
        assert answers[TAKEN] == answers[ALSO_TAKEN]
        assert answers[TAKEN].phase is Phase.DOT
