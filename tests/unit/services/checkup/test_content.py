"""The junk filter as a check-up sees it: there, or not, and how bad that is."""

import pytest

from outrider.net.rspamd import RspamdClient
from outrider.policy.checkup import Check, CheckState
from outrider.policy.content import WhenDown
from outrider.services.checkup import run
from outrider.services.checkup.content import ContentCheckup
from outrider.testing.clock import RealClock
from outrider.testing.http_peer import Act, HttpPeer, answer


async def seen(act: Act, when_down: WhenDown = WhenDown.PASS) -> Check:
    with HttpPeer([act]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=1, clock=RealClock())
        (found,) = await run.run(ContentCheckup(peer.url, client, when_down=when_down).probes(), wait_s=5.0)
    assert found.name == "content.filter"
    return found


async def test_one_that_answers_is_well() -> None:
    assert (await seen(answer(200, b"pong\r\n"))).state is CheckState.OK


@pytest.mark.parametrize(
    ("when_down", "state", "words"),
    [(WhenDown.PASS, CheckState.WARN, "Mail passes unseen."), (WhenDown.HOLD, CheckState.FAIL, "All mail is held.")],
)
async def test_one_that_does_not_is_as_bad_as_the_policy_makes_it(
    when_down: WhenDown, state: CheckState, words: str
) -> None:
    found = await seen(answer(404, b"Not found"), when_down)
    assert found.state is state
    assert found.seen.endswith(words)
    assert "OUTRIDER_CONTENT__RSPAMD_URL" in found.advice
