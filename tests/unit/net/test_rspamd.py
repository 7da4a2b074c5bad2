"""The client of the junk filter against peers that answer, hang, lie and are not there."""

import asyncio
import json
import socket
from collections.abc import Sequence

import pytest

from outrider.net.rspamd import RspamdClient, Silence
from outrider.testing.clock import RealClock
from outrider.testing.http_peer import Act, HttpPeer, answer, drip, hang, say
from outrider.wire.answer import Cause
from outrider.wire.rspamd import Question, Score

GOOD = json.dumps({"score": 1.5, "required_score": 15.0, "action": "no action", "symbols": {}}).encode()
QUESTION = Question(sender="a@shop.example", recipient="b@x.example", user="p1")


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


async def said(acts: Sequence[Act], clock: RealClock, *, wait_s: float = 5.0) -> Score | Silence:
    with HttpPeer(acts) as peer:
        client = RspamdClient(peer.url, wait_s=wait_s, at_once=4, clock=clock)
        try:
            return await client.ask(QUESTION, b"a message")
        finally:
            await client.close()


async def test_a_message_is_posted_with_what_is_said_of_it(clock: RealClock) -> None:
    with HttpPeer([answer(200, GOOD)]) as peer:
        client = RspamdClient(peer.url + "/", password="secret", wait_s=5.0, at_once=4, clock=clock)
        found = await client.ask(QUESTION, b"From: a\r\n\r\nHello\r\n")
        await client.close()
        (heard,) = peer.heard
    assert isinstance(found, Score)
    assert (found.score, found.action) == (1.5, "no action")
    assert (heard.method, heard.target, heard.body) == ("POST", "/checkv2", b"From: a\r\n\r\nHello\r\n")
    said = {name: heard.headers[name] for name in ("from", "rcpt", "user", "password", "accept-encoding")}
    assert said == {
        "from": "a@shop.example", "rcpt": "b@x.example", "user": "p1", "password": "secret",
        "accept-encoding": "identity",
    }  # fmt: skip


async def test_connections_are_kept(clock: RealClock) -> None:
    with HttpPeer([answer(200, GOOD)]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=4, clock=clock)
        for _ in range(3):
            assert isinstance(await client.ask(QUESTION, b"x"), Score)
        await client.close()
        assert peer.connection_count == 1


async def test_a_message_of_megabytes_is_posted_whole(clock: RealClock) -> None:
    message = b"x" * 3_000_000
    with HttpPeer([answer(200, GOOD)]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=4, clock=clock)
        assert isinstance(await client.ask(QUESTION, message), Score)
        await client.close()
        assert peer.heard[0].body == message


async def test_one_that_closes_after_each_answer_is_asked_all_the_same(clock: RealClock) -> None:
    """So does rspamd 3.4's worker."""
    with HttpPeer([answer(200, GOOD, headers={"Connection": "close"}, is_kept=False)]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=4, clock=clock)
        found = [await client.ask(QUESTION, b"x") for _ in range(4)]
        await client.close()
    assert all(isinstance(one, Score) for one in found)


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        (answer(200, b"not json"), Cause.PROTOCOL),
        (answer(200, GOOD.replace(b"1.5", b"NaN")), Cause.PROTOCOL),
        (answer(200, b""), Cause.PROTOCOL),
        (answer(200, GOOD + b" " * 2_000_000), Cause.PROTOCOL),
        (answer(200, GOOD, headers={"Content-Length": "100000"}, is_kept=False), Cause.PROTOCOL),
        (answer(403, b"Unauthorized\x1b[31m"), Cause.PROTOCOL),
        (answer(500, GOOD), Cause.PROTOCOL),
        (answer(302, GOOD, headers={"Location": "http://127.0.0.1:1/"}), Cause.PROTOCOL),
        (answer(200, GOOD, headers={"Content-Encoding": "gzip"}), None),
        (say(b"SSH-2.0-OpenSSH_9\r\n"), Cause.PROTOCOL),
        (say(b""), Cause.RESET),
    ],
    ids=["text", "nan", "empty", "huge", "cut", "403", "500", "302", "gzip", "ssh", "hung-up"],
)
async def test_one_that_lies_is_silent(clock: RealClock, act: Act, cause: Cause | None) -> None:
    found = await said([act], clock)
    if cause is None:
        assert isinstance(found, Score), "the encoding was not asked for and is not believed"
    else:
        assert isinstance(found, Silence)
        assert (found.cause, found.said.isprintable()) == (cause, True)


@pytest.mark.parametrize("act", [hang(), hang(b"HTTP/1.1 200 OK\r\n"), drip(b"HTTP/1.1 200 OK\r\n" * 99)])
async def test_one_that_hangs_is_left(clock: RealClock, act: Act) -> None:
    assert await said([act], clock, wait_s=0.15) == Silence(Cause.TIMEOUT, "no answer in time")


async def test_one_that_is_not_there_is_told(clock: RealClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    client = RspamdClient(f"http://127.0.0.1:{port}", wait_s=5.0, at_once=1, clock=clock)
    found = await client.ask(QUESTION, b"x")
    assert isinstance(found, Silence)
    assert found.cause is Cause.REFUSED
    assert (await client.ping()) == Silence(Cause.REFUSED, found.said)
    await client.close()


async def test_after_three_silences_nobody_is_made_to_wait_for_a_while(clock: RealClock) -> None:
    with HttpPeer([answer(500)] * 3 + [answer(200, GOOD)]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=4, clock=clock)
        for _ in range(6):
            assert isinstance(await client.ask(QUESTION, b"x"), Silence)
        assert len(peer.heard) == 3
        clock.jump(3.1)
        assert isinstance(await client.ask(QUESTION, b"x"), Score)
        assert isinstance(await client.ask(QUESTION, b"x"), Score)
        await client.close()


async def test_so_many_are_asked_at_once_and_the_wait_for_a_place_counts(clock: RealClock) -> None:
    with HttpPeer([hang()]) as peer:
        client = RspamdClient(peer.url, wait_s=0.2, at_once=2, clock=clock)
        found = await asyncio.gather(*(client.ask(QUESTION, b"x") for _ in range(5)))
        await client.close()
        assert len(peer.heard) <= 4
    assert {one.cause for one in found if isinstance(one, Silence)} == {Cause.TIMEOUT}


async def test_a_cancelled_question_leaves_nothing_open(clock: RealClock) -> None:
    with HttpPeer([hang()]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=1, clock=clock)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.ask(QUESTION, b"x")
        await client.close()
        await client.close()


@pytest.mark.parametrize(("act", "is_there"), [(answer(200, b"pong\r\n"), True), (answer(200, b"Hello"), False)])
async def test_a_ping_tells_rspamd_from_others(clock: RealClock, act: Act, is_there: bool) -> None:
    with HttpPeer([act]) as peer:
        client = RspamdClient(peer.url, wait_s=5.0, at_once=1, clock=clock)
        found = await client.ping()
        await client.close()
    assert (found is None) == is_there
