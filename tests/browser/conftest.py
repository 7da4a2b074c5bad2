"""A real browser for the tests of this folder."""

import shutil
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.conftest import CHROMIUM

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Yield a browser for the module; each test has a context of its own, without a cookie or a cache."""
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield made
        await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Yield a page of a context of its own."""
    async with await browser.new_context() as context:
        made = await context.new_page()
        made.set_default_timeout(20_000)
        yield made
