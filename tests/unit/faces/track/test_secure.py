"""The port for tracking hosts: real TLS, real HTTP; links and pages to unsubscribe, and nothing else."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from outrider.base.clock import Clock
from outrider.faces.track.doors import Doors
from outrider.faces.track.secure import SecureServer
from outrider.mail.link_tokens import Tokens
from outrider.net.host_certificates import HostCertificates
from outrider.net.selfsigned import SelfSigned
from outrider.obs.metrics import Metrics
from outrider.policy.engagement import Hit
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import Journal
from outrider.testing.program import free_ports

ANN, HOST, TARGET = UUID(int=1), "t.one.example", "https://shop.example/offer?a=1"


class Porch:
    """The server with two hosts' certificates, and what it heard."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.tokens, self.hits, self.metrics, self.journal = Tokens(b"k" * 32), list[Hit](), Metrics(), Journal()
        self.made = {name: SelfSigned(name) for name in (HOST, "t.two.example")}
        for name, made in self.made.items():
            (folder / f"{name}.key").write_text(made.key_and_pem)
            (folder / f"{name}.crt").write_text(made.pem)
        doors = Doors(self.tokens, self.hits.append, proxies=(), clock=clock, metrics=self.metrics)
        (self.port,) = free_ports(1)
        self.server = SecureServer(
            {**doors.paths(), "/unsubscribe": self.page, "/odd/": self.odd},
            HostCertificates(folder, log=self.journal.logger),
            ("127.0.0.1", self.port),
            clock=clock,
            log=self.journal.logger,
            metrics=self.metrics,
        )

    async def page(self, scope: Any, receive: Any, send: Any) -> None:
        """Say what was asked, in two pieces without a length."""
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        said = f"{scope['method']} {scope['query_string'].decode()} {scope['scheme']} {scope['client'][0]} ".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": said, "more_body": True})
        await send({"type": "http.response.body", "body": body})

    async def odd(self, _scope: Any, _receive: Any, _send: Any) -> None:
        raise ZeroDivisionError

    def trusting(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name in names:
            context.load_verify_locations(cadata=self.made[name].pem)
        return context

    async def ask(self, octets: bytes, name: str = HOST) -> bytes:
        """Send this to a host; return all that comes back."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trusting(name), server_hostname=name
        )
        writer.write(octets)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        return answer

    async def get(self, path: str, name: str = HOST, method: str = "GET") -> bytes:
        return await self.ask(f"{method} {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode(), name)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


@pytest.fixture
async def porch(tmp_path: Path) -> AsyncIterator[Porch]:
    made = Porch(tmp_path, RealClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.server.run())
        await until(lambda: made.server.is_listening)
        yield made
        made.server.stop()
        await running


async def test_a_link_followed_at_its_host_leads_on_and_is_taken(porch: Porch) -> None:
    link = "/t/" + porch.tokens.link(ANN, 3, TARGET, host=HOST)
    head, _, body = (await porch.get(link)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 302 ")
    assert f"location: {TARGET}".encode() in head.lower()
    assert (b"aiohttp" in head, body) == (False, b"")
    (hit,) = porch.hits
    assert (hit.recipient_id, hit.target, hit.ip) == (ANN, TARGET, "127.0.0.1")
    assert (await porch.get(link, "t.two.example")).startswith(b"HTTP/1.1 404 ")
    headed = await porch.get(link, method="HEAD")
    assert headed.startswith(b"HTTP/1.1 302 ")
    assert len(porch.hits) == 1


async def test_a_pixel_is_the_same_octets(porch: Porch) -> None:
    for method, is_shown in (("GET", True), ("HEAD", False)):
        head, _, body = (await porch.get(f"/o/{porch.tokens.pixel(ANN, host=HOST)}.gif", method=method)).partition(
            b"\r\n\r\n"
        )
        assert b"content-length: 43" in head.lower()
        assert (len(body) == 43) is is_shown


async def test_each_host_has_its_own_certificate(porch: Porch) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            "127.0.0.1", porch.port, ssl=porch.trusting("t.two.example"), server_hostname=HOST
        )
    assert (await porch.get("/", "t.two.example")).startswith(b"HTTP/1.1 404 ")


async def test_a_page_is_kept_from_who_asks_for_its_head(porch: Porch) -> None:
    head, _, body = (await porch.get("/unsubscribe?token=x", method="HEAD")).partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 200 "), body) == (True, b"")


async def test_the_page_to_unsubscribe_gets_its_form(porch: Porch) -> None:
    form = b"List-Unsubscribe=One-Click"
    answer = await porch.ask(
        b"POST /unsubscribe?token=x HTTP/1.1\r\nHost: t.one.example\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(form), form)
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"POST token=x https 127.0.0.1 " in answer
    assert form in answer


async def test_nothing_else_is_there(porch: Porch) -> None:
    ours = ["/", "/v1/emails", "/metrics", "/docs", "/mailbox", "/healthz", "/t", "/unsubscribe/", "//unsubscribe"]
    ways = ["/unsubscribe/../metrics", "/o/../v1/emails", "/%75nsubscribe/x", "https://t.one.example/unsubscribe", "*"]
    for path in ours + ways:
        answer = await porch.get(path)
        assert re.match(rb"HTTP/1\.[01] 40[04] ", answer), (path, answer)
    assert porch.hits == []


async def test_several_requests_go_on_one_connection(porch: Porch) -> None:
    link = "/t/" + porch.tokens.link(ANN, 3, TARGET, host=HOST)
    one = f"GET {link} HTTP/1.1\r\nHost: {HOST}\r\n".encode()
    answer = await porch.ask(one + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 302 ") == len(porch.hits) == 2


@pytest.mark.parametrize("octets", [b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000])
async def test_nonsense_is_refused_and_is_no_failure_of_ours(porch: Porch, octets: bytes) -> None:
    assert (await porch.ask(octets)).startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert porch.journal.count("page_failed") == 0


async def test_a_failure_of_ours_is_said_to_us_alone(porch: Porch) -> None:
    answer = await porch.get("/odd/x")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"ZeroDivision" not in answer
    assert porch.journal.count("page_failed") == 1
    assert b'outrider_internal_errors_total{place="web"} 1.0' in porch.metrics.render()


async def test_who_never_finishes_a_request_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.base.limits.TRACKING_REQUEST_WAIT_S", 0.2)
    porch = Porch(tmp_path, RealClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(porch.server.run())
        await until(lambda: porch.server.is_listening)
        assert await porch.ask(b"GET /t/x HTTP/1.1\r\nHost: ") == b""
        assert await porch.ask(b"POST /unsubscribe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n") == b""
        porch.server.stop()
        await running


async def test_more_connections_than_fit_are_hung_up_on(porch: Porch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.base.limits.TRACKING_CONNECTIONS_COUNT_MAX", 0)
    with contextlib.suppress(ConnectionError):
        assert await porch.get("/unsubscribe") == b""


async def test_a_port_that_is_taken_is_said_and_tried_again(tmp_path: Path) -> None:
    porch = Porch(tmp_path, RealClock())
    other = await asyncio.start_server(lambda *_: None, "127.0.0.1", porch.port)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(porch.server.run())
        await until(lambda: porch.journal.count("tracking_port_not_open"))
        assert not porch.server.is_listening
        other.close()
        await other.wait_closed()
        await until(lambda: porch.server.is_listening)
        porch.server.stop()
        await running
