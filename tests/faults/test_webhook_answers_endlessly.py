"""Fault: a customer's server says 200 and then goes on for ever; or what it says is garbage.

What must hold: of an answer so much is read, and no more; its status counts; the next call gets another connection.
"""

import pytest

from outrider.base import limits
from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import HookRoom
from outrider.testing.http_peer import HttpPeer, answer, say

pytestmark = [pytest.mark.slow, pytest.mark.newest]
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


async def test_an_endless_answer_is_cut_and_counts_as_what_it_began_with(store: Store) -> None:
    with HttpPeer([say(ENDLESS, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 50), answer(200)]) as peer:
        async with HookRoom(store) as hooks:
            made = await hooks.add(peer.url)
            await hooks.happen()
            (logged,) = await hooks.until_logged(made, 1)
            assert (logged.outcome, logged.status) == (WebhookOutcome.TAKEN, 200)
            assert logged.excerpt == "x" * limits.WEBHOOK_ANSWER_CHARS_KEPT_MAX
            await hooks.happen()
            await hooks.until_logged(made, 2)
    assert [one.connection for one in peer.heard] == [0, 1]


async def test_garbage_is_no_answer_and_the_call_is_tried_again(store: Store) -> None:
    with HttpPeer([say(b"\x16\x03\x01\x00\xff\r\n\r\n"), say(b"HTTP/1.1 banana\r\n\r\n"), answer(204)]) as peer:
        async with HookRoom(store) as hooks:
            made = await hooks.add(peer.url)
            await hooks.happen()
            for count in (1, 2, 3):
                logged = await hooks.until_logged(made, count)
                await hooks.hurry()
    assert [one.status for one in logged] == [0, 0, 204]
    assert len({one.headers["webhook-id"] for one in peer.heard}) == 1
