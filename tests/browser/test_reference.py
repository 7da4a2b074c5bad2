"""The API's reference in a real browser: it shows every call, tries one with a key, and asks nobody but this server."""

import re

import pytest
from playwright.async_api import Page, Request, expect

from outrider.testing.web import HOST, serving
from tests.unit.faces.conftest import KEY_ID, KEY_SECRET, ApiFace

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_a_call_is_read_and_tried_with_a_key(page: Page) -> None:
    asked: list[Request] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - playwright marks what it is given.
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    async with serving(ApiFace().app) as port:
        await page.goto(f"http://{HOST}:{port}/docs")
        paths = (await (await page.request.get(f"http://{HOST}:{port}/v1/openapi.json")).json())["paths"]
        await expect(page.locator(".opblock")).to_have_count(sum(map(len, paths.values())))
        assert said == [], "the policy stops nothing that the page needs"
        await page.get_by_role("button", name="Authorize").first.click()
        await page.get_by_label("auth-bearer-value").fill(f"{KEY_ID}.{KEY_SECRET}")
        await page.get_by_role("button", name="Apply credentials").first.click()
        await page.get_by_role("button", name="Close").first.click()
        await page.locator("#operations-Emails-list_messages .opblock-summary-control").click()
        await page.locator("#operations-Emails-list_messages").get_by_role("button", name="Execute").click()
        answer = page.locator("#operations-Emails-list_messages .live-responses-table .response")
        await expect(answer).to_contain_text("200")
        await expect(answer).to_contain_text('"emails"')
    tried = [one for one in asked if re.search(r"/v1/emails(\?|$)", one.url)]
    assert len(tried) == 1
    assert (await tried[0].all_headers())["authorization"] == f"Bearer {KEY_ID}.{KEY_SECRET}"
    assert {one.url.split("/")[2] for one in asked if not one.url.startswith("data:")} == {f"{HOST}:{port}"}
