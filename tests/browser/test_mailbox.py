"""The catch mailbox in a real browser: it can be used, and a hostile message neither runs nor fetches anything.

A trap listens on a port of its own and notes who dials it; all the ways of fetching that HTML knows point there.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page

from outrider.faces.api.app import make_app
from outrider.faces.console import mailbox as pages
from outrider.services.catch import Mailbox
from outrider.testing.web import HOST, serving
from tests.unit.faces.conftest import ApiFace, StillClock

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

GREETING = (
    "From: Example Shop <noreply@shop.example>\r\nTo: ana@partner.example\r\nSubject: Grüße aus dem Laden\r\n"
    'Content-Type: multipart/alternative; boundary="x"\r\n\r\n--x\r\n'
    "Content-Type: text/plain; charset=utf-8\r\n\r\nThank you!\r\n--x\r\n"
    'Content-Type: text/html; charset=utf-8\r\n\r\n<p style="color: rgb(1, 2, 3)">Thank <b>you</b>!</p>\r\n--x--\r\n'
).encode()
HOSTILE = """\
<base href="TRAP/"><link rel="preconnect" href="TRAP"><link rel="dns-prefetch" href="TRAP">
<link rel="stylesheet" href="TRAP/a.css"><link rel="prefetch" href="TRAP/b"><link rel="prerender" href="TRAP/b2">
<link rel="modulepreload" href="TRAP/c"><link rel="preload" as="image" href="TRAP/d"><link rel="icon" href="TRAP/e">
<link rel="manifest" href="TRAP/f"><meta http-equiv="refresh" content="0; url=TRAP/g">
<meta http-equiv="Content-Security-Policy" content="img-src *">
<script>top.document.title = "owned"; alert(1)</script><script src="TRAP/h.js"></script>
<script type="speculationrules">{"prefetch": [{"urls": ["TRAP/i"]}]}</script>
<style>@import url(TRAP/j.css); @font-face { font-family: f; src: url(TRAP/k) } body { font-family: f;
background: url(TRAP/l) } p { list-style-image: url(TRAP/m); cursor: url(TRAP/n), auto }</style>
<img src="TRAP/o" onerror="alert(2)"><img srcset="TRAP/p 2x" src="x"><picture><source srcset="TRAP/q"><img></picture>
<video src="TRAP/r" poster="TRAP/s" autoplay></video><audio src="TRAP/t" autoplay></audio>
<object data="TRAP/u"></object><embed src="TRAP/v"><iframe src="TRAP/w"></iframe>
<iframe srcdoc="<img src='TRAP/x'>"></iframe>
<svg><image href="TRAP/y"/><use href="TRAP/z#a"/></svg><table background="TRAP/1"><tr><td>cell</td></tr></table>
<input type="image" src="TRAP/2" autofocus onfocus="alert(3)"><details open ontoggle="alert(4)"></details>
<form id="f" action="TRAP/3" method="post"><input name="password"><button id="go">Send</button></form>
<a id="away" href="TRAP/4" target="_top" ping="TRAP/5">click</a><a href="javascript:alert(5)" id="js">js</a>
<body onload="alert(6)" background="TRAP/6"><p id="shown">shown</p>
"""


class Trap:
    """Notes each connection to a port that nothing may dial, and what was asked there."""

    def __init__(self) -> None:
        self.dialled_count = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def note(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled_count += 1
        if octets := await reader.read(1000):
            self.requests.append(octets)
        writer.close()


def hostile(trap: Trap) -> bytes:
    return f"Content-Type: text/html\r\n\r\n{HOSTILE.replace('TRAP', f'http://{HOST}:{trap.port}')}".encode()


@contextlib.asynccontextmanager
async def trapping() -> AsyncIterator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.note, HOST, 0)
    trap.port = server.sockets[0].getsockname()[1]
    try:
        yield trap
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def served(mailbox: Mailbox) -> AsyncIterator[str]:
    """Give the address of the mailbox."""

    async def no_record(domain: str, selector: str) -> str | None:
        return None

    app = make_app(ApiFace().ports(), pages.routes(mailbox, no_record, StillClock()))
    async with serving(app) as port:
        yield f"http://{HOST}:{port}/mailbox"


@pytest_asyncio.fixture(loop_scope="module")
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    found = Mailbox(tmp_path / "box", clock=StillClock(), chance=random.Random(1))
    yield found
    found.close()


async def test_a_caught_message_can_be_found_and_read(page: Page, mailbox: Mailbox) -> None:
    await mailbox.deliver(GREETING, "bounce@shop.example", ["ana@partner.example"])
    complaints: list[str] = []
    async with served(mailbox) as address:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(address)
        await page.get_by_text("Grüße aus dem Laden").click()
        assert await page.locator("h1").text_content() == "Grüße aus dem Laden"
        frame = page.frame_locator("iframe")
        assert await frame.locator("b").text_content() == "you"
        assert await frame.locator("p").evaluate("p => getComputedStyle(p).color") == "rgb(1, 2, 3)"
        assert await page.locator("pre").text_content() == "Thank you!"
        await page.get_by_role("link", name="Source").click()
        assert "Return-Path: <bounce@shop.example>" in await page.locator("body").inner_text()
    assert complaints == []


async def test_the_pages_fit_a_narrow_screen(page: Page, mailbox: Mailbox) -> None:
    long = (
        b"From: " + b"x" * 300 + b"\r\nSubject: " + b"long " * 60 + b"\r\nX-Y: " + b"z" * 900 + b"\r\n\r\n" + b"w" * 900
    )
    name = await mailbox.deliver(long, "b" * 200 + "@shop.example", ["c" * 200 + "@partner.example"])
    async with served(mailbox) as address:
        await page.set_viewport_size({"width": 340, "height": 700})
        for path in ("", f"/{name}"):
            await page.goto(address + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 340


async def test_a_hostile_message_runs_nothing_and_dials_nobody(page: Page, mailbox: Mailbox) -> None:
    dialogs: list[str] = []
    async with trapping() as trap, served(mailbox) as address:
        name = await mailbox.deliver(hostile(trap), "", ["a@x.example"])
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for path in (f"/{name}", f"/{name}/html"):  # In its frame, and opened on its own.
            await page.goto(address + path, wait_until="networkidle")
            body = page.frame_locator("iframe") if not path.endswith("html") else page
            assert await body.locator("#shown").text_content() == "shown"
            assert "owned" not in await page.title()
        assert trap.dialled_count == 0
    assert dialogs == []


@pytest.mark.parametrize("wanted", ["#go", "#js", "#away"])
async def test_a_click_into_a_hostile_message_asks_nobody_anything(page: Page, mailbox: Mailbox, wanted: str) -> None:
    """Chromium may dial the host of a link that is pressed; it must not say a word there, nor leave the page."""
    dialogs: list[str] = []
    async with trapping() as trap, served(mailbox) as address:
        name = await mailbox.deliver(hostile(trap), "", ["a@x.example"])
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await page.goto(f"{address}/{name}", wait_until="networkidle")
        await page.frame_locator("iframe").locator(wanted).click(no_wait_after=True)
        await page.wait_for_load_state("networkidle")
        assert page.url == f"{address}/{name}"
        assert trap.requests == []
    assert dialogs == []


async def test_the_trap_would_notice(page: Page) -> None:
    """The same ways of fetching, without our policy: the test above does not pass for lack of trying."""
    async with trapping() as trap:
        content = hostile(trap).decode().partition("\r\n\r\n")[2]
        await page.set_content(
            content.replace("alert(", "void(").replace('"0; url', '"9; url'), wait_until="networkidle"
        )
        assert trap.dialled_count > 3
        assert len({request.split(b" ")[1] for request in trap.requests}) > 10
