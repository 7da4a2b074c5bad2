"""From a tracked mail to its figures, on a running program: links followed, pixel fetched, all of it seen."""

import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest

from outrider.testing.api import Api
from tests.e2e.test_tracking_mail import caught_mail

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TARGET = "https://shop.example/a?x=1&y=2"
HTML = '<html><body><a href="https://shop.example/a?x=1&amp;y=2">one</a></body></html>'
PERSON = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"}


async def test_a_click_and_an_open_are_seen(writer: Api) -> None:
    sender = (await writer.get("/senders"))["senders"][0]["address"]
    to = f"reader@{sender.partition('@')[2]}"
    mail = {"from": sender, "to": to, "subject": "Offer", "html": HTML, "track_opens": True, "track_clicks": True}
    sent = await writer.post("/emails", mail)
    markup = (await caught_mail(writer.program, to)).get_content()
    link, pixel = markup.partition('href="')[2].partition('"')[0], markup.partition('src="')[2].partition('"')[0]

    async def delivered() -> Any:
        return (await writer.get(f"/emails/{sent['id']}"))["recipients"][0]["status"] == "delivered"

    await writer.program.until(delivered)
    followed = await writer.program.request("GET", urlsplit(link).path, headers=PERSON)
    assert (followed.status, followed.headers["location"]) == (302, TARGET)
    seen = await writer.program.request("GET", urlsplit(pixel).path, headers=PERSON)
    assert (seen.status, seen.headers["content-type"], seen.body[:6]) == (200, "image/gif", b"GIF89a")
    for forged in (link[:-4] + "AAAA", link.replace("/t/", "/o/") + ".gif", pixel.replace("/o/", "/t/")[:-4]):
        refused = await writer.program.request("GET", urlsplit(forged).path, headers=PERSON)
        assert (refused.status, "location" in refused.headers) == (404, False), forged

    async def logged() -> Any:
        found = (await writer.get("/events?kind=opened&kind=clicked&limit=100"))["events"]
        return found if len(found) == 2 else None

    told = {one["kind"]: one for one in await writer.program.until(logged)}
    assert told["clicked"]["facts"]["url"] == TARGET
    assert told["clicked"]["recipient"] == told["opened"]["recipient"] == to
    assert told["opened"]["facts"]["country"] == "DE"  # The click came sooner than a person's.
    assert told["clicked"]["facts"]["first"] is told["opened"]["facts"]["first"] is True

    async def counted() -> Any:
        totals = (await writer.get("/stats?group=domain"))["totals"]
        return totals if totals.get("clicks") == totals.get("opens") == 1 else None

    totals = await writer.program.until(counted)
    assert (totals["clicks_unique"], totals["opens_unique"], totals["delivered"]) == (1, 1, 1)
    for words, kind in (("q=shop.example/a", "clicked"), ("country=de", "opened")):
        searched = await writer.get(f"/events/search?{words}")
        assert kind in {one["kind"] for one in searched["events"]}, words


async def test_a_host_that_talks_of_another_gets_nothing(caught: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", caught.ports["HTTP"], timeout=10)
    connection.request("GET", "/t/" + "A" * 60, headers={"Host": "evil.example"})
    assert connection.getresponse().status == 404
    connection.close()
