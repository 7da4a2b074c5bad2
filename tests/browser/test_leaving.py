"""The page to unsubscribe on in a real browser: usable by keyboard, by name, without JavaScript, dark and narrow."""

import contextlib
import io
from collections.abc import AsyncIterator

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from outrider.faces.api.app import make_app
from outrider.faces.console import leaving
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.testing.web import HOST, serving
from tests.unit.faces.conftest import ApiFace, StillClock
from tests.unit.faces.console.test_leaving import MAIL, TOKEN, TOPICS, Desk

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@contextlib.asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    """Give the address of the page."""
    log = make_logger(LogSettings(format="json"), "web", io.StringIO())
    app = make_app(ApiFace().ports(), leaving.routes(desk, StillClock(), log))
    async with serving(app) as port:
        yield f"http://{HOST}:{port}/unsubscribe?token={TOKEN}"


async def test_a_reader_chooses_leaves_and_takes_it_back(page: Page) -> None:
    desk = Desk()
    desk.leaving = msgspec.structs.replace(MAIL, list_name="weekly", title="The weekly letter", topics=TOPICS)
    async with served(desk) as address:
        await page.goto(address)
        weekly = page.get_by_role("checkbox", name="The weekly letter")
        await expect(weekly).to_be_checked()
        await weekly.uncheck()
        await page.get_by_role("checkbox", name="A & B").check()
        await page.get_by_role("button", name="Save my choice").click()
        await expect(page.get_by_role("status")).to_have_text("Your choice is saved.")
        await expect(page.get_by_role("checkbox", name="A & B")).to_be_checked()
        await page.get_by_role("radio", name="Too much mail").check()
        await page.get_by_role("textbox", name="In your own words").fill("Two a day.")
        await page.get_by_role("button", name="Unsubscribe", exact=True).click()
        await expect(page.get_by_role("heading")).to_have_text("ann@a.example is unsubscribed")
        await page.get_by_role("button", name="Take it back").click()
        await expect(page.get_by_role("status")).to_have_text("You are subscribed again.")
    verbs = [(verb, word.why, word.said) for verb, word in desk.said]
    assert verbs == [("choose", None, ""), ("leave", "too_many", "Two a day."), ("come_back", None, "")]


async def test_it_works_by_keyboard_without_javascript_in_the_dark(browser: Browser) -> None:
    desk = Desk()
    async with served(desk) as address:
        context = await browser.new_context(
            java_script_enabled=False,
            color_scheme="dark",
            locale="de-DE",
            viewport={"width": 320, "height": 640},
        )
        async with context:
            page = await context.new_page()
            await page.goto(address)
            await page.get_by_role("textbox").focus()
            await page.keyboard.type("Genug.")
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading")).to_have_text("ann@a.example ist abgemeldet")
    assert [(verb, word.said) for verb, word in desk.said] == [("leave", "Genug.")]


async def test_nothing_spills_over_and_nobody_complains(page: Page) -> None:
    desk = Desk()
    topics = tuple(msgspec.structs.replace(one, title="W" * 100, description="w" * 500) for one in TOPICS)
    desk.leaving = msgspec.structs.replace(MAIL, address=f"{'a' * 60}@{'b' * 60}.example", topics=topics)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.set_viewport_size({"width": 320, "height": 640})
    async with served(desk) as address:
        await page.goto(address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert complaints == []
