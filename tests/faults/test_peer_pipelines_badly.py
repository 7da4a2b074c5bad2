"""Fault: the peer offers PIPELINING and cannot do it: it loses commands of a packet, answers twice, too early or never.

Replies have no numbers, they belong to commands by their order alone. Once that is in doubt nobody's reply is believed:
a "no such user" taken for a neighbour's would bounce a good address. A reply in pieces, or all in one packet, is fine.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.testing.delivery import MAIL, check_next_mail, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope

FIRST, SECOND, THIRD = (f"{name}@partner.example" for name in ("a", "b", "c"))
ENVELOPE = Envelope(MAIL.sender, (FIRST, SECOND, THIRD), MAIL.content)
YES, NO, GO = b"250 2.1.5 ok\r\n", b"550 5.1.1 no such user\r\n", b"354 go\r\n"


def saying(octets: bytes, *, refused: dict[str, bytes] | None = None) -> Script:
    """All replies of a transaction at once, when MAIL has come; then not a word."""
    nothing = Move(Act.SAY, b"")
    moves = {Stage.MAIL: Move(Act.SAY, octets), Stage.RCPT: nothing, Stage.DATA: nothing, Stage.DOT: nothing}
    return Script(moves=moves, refused=refused or {})


@pytest.mark.parametrize(
    ("octets", "cause"),
    [
        (YES, Cause.TIMEOUT),  # The rest of the packet is lost.
        (YES + NO, Cause.TIMEOUT),  # Whose?
        (YES + YES + NO, Cause.TIMEOUT),
        (YES + NO + YES + GO, Cause.PROTOCOL),  # One RCPT was lost: 354 came for the last.
        (YES + NO + NO + NO, Cause.TIMEOUT),  # All there, but for DATA: or is the last one its reply?
        (YES + YES + NO + YES + YES + GO, Cause.PROTOCOL),  # MAIL was answered twice, so all are off by one.
        (YES + NO + NO + YES + YES + GO, Cause.PROTOCOL),  # The first RCPT was.
        (YES + NO + NO + NO + NO + GO, Cause.PROTOCOL),  # DATA refused, then taken.
        (GO + YES + YES + YES + YES, Cause.PROTOCOL),  # The other way round.
        (YES + NO + GO + YES + YES, Cause.PROTOCOL),
    ],
)
async def test_a_reply_that_may_be_a_neighbours_is_nobodys(octets: bytes, cause: Cause) -> None:
    async with Peer(saying(octets)) as peer, pool_of(command_wait_s=0.1, data_start_wait_s=0.1) as pool:
        answers = (await send(pool, peer.site(), ENVELOPE)).answers
        assert {(answer.reply, answer.cause) for answer in answers.values()} == {(None, cause)}
        assert not any(answer.is_ambiguous for answer in answers.values())
        assert set(answers) == set(ENVELOPE.recipients)
        assert not peer.received
        await check_next_mail(pool, peer)


@pytest.mark.slow
@pytest.mark.parametrize("act", [Act.DRIP, Act.SAY])
async def test_classify_replies_merged_or_split_are_still_in_order(act: Act) -> None:
    replies = Move(Act.SAY, YES + YES + NO + YES + GO) if act is Act.SAY else Move(Act.DRIP)
    script = saying(replies.octets) if act is Act.SAY else Script(moves={Stage.RCPT: replies}, refused={SECOND: NO})
    async with Peer(script) as peer, pool_of(data_end_wait_s=0.1) as pool:
        answers = (await send(pool, peer.site(), ENVELOPE)).answers
        assert answers[SECOND].phase is Phase.RCPT
        assert answers[SECOND].reply is not None
        assert answers[FIRST] == answers[THIRD]
        assert answers[FIRST].phase is Phase.DOT
        await check_next_mail(pool, peer)


async def test_a_timeout_where_each_command_had_its_reply_takes_nothing_back() -> None:
    script = Script(features=(), refused={FIRST: NO}, moves={Stage.RCPT: Move(Act.HOLD)})
    async with Peer(script) as peer, pool_of(command_wait_s=0.1) as pool:
        answers = (await send(pool, peer.site(), ENVELOPE)).answers
        assert answers[FIRST].reply is not None
        assert answers[SECOND] == answers[THIRD] == Answer(Phase.RCPT, None, Cause.TIMEOUT)
        await check_next_mail(pool, peer)
