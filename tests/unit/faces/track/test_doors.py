"""Pixels and links: answered from the token alone, counted once each, and leading nowhere that was not sealed."""

from collections.abc import Mapping
from uuid import UUID

import pytest

from outrider.base import networks
from outrider.faces.api.app import make_app
from outrider.faces.track.doors import Doors
from outrider.mail.link_tokens import Tokens
from outrider.obs.metrics import Metrics
from outrider.policy.engagement import Hit
from outrider.testing.web import Heard, ask
from tests.unit.faces.conftest import ApiFace, StillClock

ANN = UUID(int=1)
TARGET = "https://shop.example/offer?a=1"


class Porch:
    """Both doors in the whole app, and what came through them."""

    def __init__(self, face: ApiFace, clock: StillClock, *, proxies: tuple[str, ...] = ()) -> None:
        self.tokens, self.hits, self.metrics = Tokens(b"k" * 32), list[Hit](), Metrics()
        doors = Doors(
            self.tokens,
            self.hits.append,
            proxies=[networks.parse(one) for one in proxies],
            clock=clock,
            metrics=self.metrics,
        )
        self.app = make_app(face.ports(), quick=doors.paths())

    def link(self, target: str = TARGET, host: str = "") -> str:
        return "/t/" + self.tokens.link(ANN, 3, target, host=host)

    def pixel(self, host: str = "") -> str:
        return "/o/" + self.tokens.pixel(ANN, host=host) + ".gif"

    async def ask(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Heard:
        return await ask(self.app, method, path, headers=headers, peer="192.0.2.7")


@pytest.fixture
def porch(face: ApiFace, clock: StillClock) -> Porch:
    return Porch(face, clock)


async def test_a_link_leads_where_it_was_sealed_to_and_is_counted(porch: Porch, clock: StillClock) -> None:
    heard = await porch.ask(porch.link(), headers={"user-agent": "Mozilla/5.0 X\x01"})
    assert (heard.status, heard.headers["location"], heard.body) == (302, TARGET, b"")
    assert heard.headers["cache-control"] == "no-store, max-age=0"
    assert heard.headers["referrer-policy"] == "no-referrer"
    (hit,) = porch.hits
    assert (hit.recipient_id, hit.is_click, hit.number, hit.target) == (ANN, True, 3, TARGET)
    assert (hit.at, hit.ip, hit.agent, hit.is_prefetch) == (clock.now(), "192.0.2.7", "Mozilla/5.0 X", False)


async def test_a_pixel_is_a_gif_that_nobody_keeps(porch: Porch) -> None:
    heard = await porch.ask(porch.pixel())
    assert (heard.status, heard.headers["content-type"], len(heard.body)) == (200, "image/gif", 43)
    assert heard.body.startswith(b"GIF89a")
    assert "no-store" in heard.headers["cache-control"]
    assert [hit.is_click for hit in porch.hits] == [False]


async def test_head_is_answered_the_same_and_not_counted(porch: Porch) -> None:
    for path in (porch.link(), porch.pixel()):
        got, headed = await porch.ask(path), await porch.ask(path, "HEAD")
        assert (headed.status, headed.headers, headed.body) == (got.status, got.headers, b"")
    assert len(porch.hits) == 2
    assert (await porch.ask(porch.link(), "POST")).status == 405


@pytest.mark.parametrize("where", [0, 10, 30, -1])
async def test_a_token_that_was_changed_leads_nowhere(porch: Porch, where: int) -> None:
    for path, end in ((porch.link(), ""), (porch.pixel(), ".gif")):
        token = path[3:].removesuffix(".gif")
        place = where % len(token)
        other = token[:place] + ("A" if token[place] != "A" else "E") + token[place + 1 :]
        heard = await porch.ask(path[:3] + other + end)
        assert (heard.status, heard.headers.get("location")) == (404, None)
    assert porch.hits == []


async def test_a_token_counts_for_its_use_and_host_alone(porch: Porch) -> None:
    link, pixel = porch.link(), porch.pixel()
    assert (await porch.ask("/t/" + pixel[3:-4])).status == 404
    assert (await porch.ask(f"/o/{link[3:]}.gif")).status == 404
    assert (await porch.ask(pixel.removesuffix(".gif"))).status == 404
    bound = porch.link(host="go.shop.example")
    assert (await porch.ask(bound)).status == 404
    assert (await porch.ask(bound, headers={"host": "go.other.example"})).status == 404
    assert (await porch.ask(bound, headers={"x-forwarded-host": "go.shop.example"})).status == 404
    assert (await porch.ask(bound, headers={"host": "Go.Shop.example:8025"})).status == 302


@pytest.mark.parametrize("target", ["javascript:alert(1)", "//evil.example/", "data:text/html,x"])
async def test_not_even_what_is_sealed_leads_to_what_is_no_web_page(porch: Porch, target: str) -> None:
    heard = await porch.ask(porch.link(target))
    assert (heard.status, heard.headers.get("location"), porch.hits) == (404, None, [])


@pytest.mark.parametrize("path", ["/t/", "/o/", "/t", "/t/https://evil.example/", "/t/%0d%0aLocation:%20//e", "/t//e"])
async def test_no_path_is_a_way_out(porch: Porch, path: str) -> None:
    heard = await porch.ask(path)
    assert (heard.status, heard.headers.get("location")) == (404, None)


async def test_a_trusted_proxy_says_for_whom_and_to_which_host_it_calls(face: ApiFace, clock: StillClock) -> None:
    porch = Porch(face, clock, proxies=("192.0.2.0/24",))
    told = {"x-forwarded-for": "203.0.113.9", "x-forwarded-host": "go.shop.example"}
    assert (await porch.ask(porch.link(host="go.shop.example"), headers=told)).status == 302
    assert [hit.ip for hit in porch.hits] == ["203.0.113.9"]


@pytest.mark.parametrize("name", ["purpose", "sec-purpose", "x-moz"])
async def test_who_fetches_ahead_says_so(porch: Porch, name: str) -> None:
    await porch.ask(porch.link(), headers={name: "prefetch"})
    assert [hit.is_prefetch for hit in porch.hits] == [True]


async def test_nul_in_a_target_is_not_handed_on(porch: Porch) -> None:
    await porch.ask(porch.link("https://shop.example/\0a"))
    assert [hit.target for hit in porch.hits] == ["https://shop.example/a"]
