"""Webhook calls over real sockets: whatever the other side does is a value, and nothing of ours goes along."""

from collections.abc import AsyncIterator, Callable

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.net import guard, wall
from outrider.net.hook import HookPoster
from outrider.policy.hook import HookAnswer
from outrider.testing.clock import RealClock
from outrider.testing.hookroom import Names
from outrider.testing.http_peer import Act, HttpPeer, answer, drip, hang, say

INSIDE = wall.is_open_to(with_loopback=True)


def poster(
    *,
    is_allowed: Callable[[str], bool] = INSIDE,
    allows_http: bool = True,
    wait_s: float = 5.0,
    names: Names | None = None,
) -> HookPoster:
    return HookPoster(
        clock=RealClock(),
        is_allowed=is_allowed,
        allows_http=allows_http,
        wait_s=wait_s,
        resolver=names or Names({"shop.example": ["127.0.0.1"]}),
    )


@pytest.fixture
async def opened() -> AsyncIterator[HookPoster]:
    async with poster() as made:
        yield made


async def called(made: HookPoster, *acts: Act) -> HookAnswer:
    with HttpPeer(acts) as peer:
        return await made.post(f"http://shop.example:{peer.port}/hooks", {}, b"{}")


async def test_a_call_goes_with_our_headers_and_nothing_else(opened: HookPoster) -> None:
    with HttpPeer([answer(200, b"thanks")]) as peer:
        said = await opened.post(f"{peer.url}/hooks", {"webhook-id": "a"}, b'{"a":1}')
        await opened.post(f"{peer.url}/hooks", {"webhook-id": "b"}, b"{}")
    first, second = peer.heard
    assert (said.status, said.excerpt, said.is_taken, first.body) == (200, "thanks", True, b'{"a":1}')
    assert first.headers["webhook-id"] == "a"
    assert not {"cookie", "authorization", "referer"} & set(first.headers)
    assert first.connection == second.connection == 0, "connections are kept"


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (say(b""), "the connection was closed without an answer"),
        (say(b"garbage\r\n\r\n"), "the answer is no HTTP"),
    ],
)
async def test_what_is_no_answer_is_a_value(opened: HookPoster, act: Act, error: str) -> None:
    said = await called(opened, act)
    assert (said.status, said.error, said.is_taken) == (0, error, False)


@pytest.mark.parametrize("act", [hang(), hang(b"HTTP/1.1 200 OK\r\n"), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000)])
async def test_one_deadline_is_for_everything(act: Act) -> None:
    async with poster(wait_s=0.3) as made:
        said = await called(made, act)
    assert (said.status, said.error) == (0, "no answer within 0.3 s")
    assert said.duration_s < 2


async def test_an_endless_answer_is_read_so_far_and_no_further(opened: HookPoster) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"
    said = await called(opened, say(endless, b"x" * limits.WEBHOOK_ANSWER_BYTES_MAX * 4))
    assert (said.status, len(said.excerpt)) == (200, limits.WEBHOOK_ANSWER_CHARS_KEPT_MAX)


async def test_a_redirect_is_an_answer(opened: HookPoster) -> None:
    with HttpPeer([answer(200)]) as inner:
        said = await called(opened, answer(302, headers={"Location": f"{inner.url}/admin"}))
    assert (said.status, said.is_taken, inner.heard) == (302, False, [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("soon", None),
        ("", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
async def test_it_is_heard_when_to_come_back(opened: HookPoster, text: str, seconds: float | None) -> None:
    assert (await called(opened, answer(503, headers={"Retry-After": text}))).retry_after_s == seconds


async def test_a_date_says_it_too(opened: HookPoster) -> None:
    said = await called(opened, answer(429, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}))
    assert said.retry_after_s is not None
    assert said.retry_after_s < 0
    assert said.pause_s == 0


async def test_a_name_that_leads_inside_is_not_called() -> None:
    names = Names({"shop.example": ["127.0.0.1"]})
    async with poster(is_allowed=guard.is_public, names=names) as made:
        with HttpPeer([answer(200)]) as peer:
            said = await made.post(f"http://shop.example:{peer.port}/", {}, b"{}")
    assert (said.status, said.error, peer.connection_count) == (0, "its name leads to no address that may be called", 0)


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/", "https://shop.example:25/", "https://127.0.0.1/", "https://[::1]/",
     "https://169.254.169.254/latest", "https://" + "a" * 2000, "ftp://shop.example/", "https://u:p@shop.example/"],
)  # fmt: skip
async def test_what_is_not_called_is_refused_and_not_called_either(url: str) -> None:
    async with poster(is_allowed=guard.is_public, allows_http=False) as made:
        with pytest.raises(CallerError) as caught:
            made.check(url)
        assert caught.value.field == "url"
        assert (await made.post(url, {}, b"{}")).error == caught.value.public


def test_an_honest_url_is_taken() -> None:
    for url in ("https://shop.example/hooks", "https://shop.example:8443/", "https://8.8.8.8/"):
        poster(is_allowed=guard.is_public, allows_http=False).check(url)
