"""The page to unsubscribe on: a scanner that opens it changes nothing, a click does, and nothing on it is markup."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from outrider.base import limits, networks
from outrider.base.errors import NotFoundError, StoreUnavailableError
from outrider.base.networks import Network
from outrider.base.vocab import LeavingReason, SubscriptionState
from outrider.faces.console import leaving
from outrider.services.leaving import Leaving, TopicChoice, Word
from outrider.testing.web import Heard
from tests.unit.faces.conftest import StillClock
from tests.unit.faces.console.page_door import PageDoor

TOKEN = "0" * 48
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"

YES, NO, NEVER = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED, SubscriptionState.BLOCKED
MAIL = Leaving(address="ann@a.example", sender="news@shop.example", list_name="")
TOPICS = (
    TopicChoice(name="weekly", title="The weekly letter", description="Each Friday.", state=YES),
    TopicChoice(name="a&b", title="A & B", description="", state=NO),
)


class Desk:
    """One link, of a reader who has not left yet."""

    def __init__(self) -> None:
        self.leaving = MAIL
        self.clients: list[str] = []
        self.said: list[tuple[str, Word]] = []
        self.looked, self.is_away = 0, False

    async def look(self, token: str) -> Leaving:
        self.looked += 1
        if self.is_away:
            raise StoreUnavailableError("The database is away.", cause=f"secret {token}")
        if token != TOKEN:
            raise NotFoundError("This link does not work.")
        return self.leaving

    async def leave(self, token: str, *, word: Word, client: str) -> Leaving:
        return await self._change(token, "leave", client, word, state=NO, marketing=self.of_all())

    async def leave_all(self, token: str, *, word: Word, client: str) -> Leaving:
        return await self._change(token, "leave_all", client, word, state=NO, marketing=NO)

    async def choose(self, token: str, wanted: Mapping[str, bool], *, word: Word, client: str) -> Leaving:
        topics = tuple(
            msgspec.structs.replace(one, state=YES if wanted[one.name] else NO) for one in self.leaving.topics
        )
        return await self._change(token, "choose", client, word, topics=topics)

    async def come_back(self, token: str, *, client: str) -> Leaving:
        return await self._change(token, "come_back", client, Word(), state=YES, marketing=YES)

    def of_all(self) -> SubscriptionState:
        return self.leaving.marketing if self.leaving.list_name else NO

    async def _change(self, token: str, verb: str, client: str, word: Word, **changes: Any) -> Leaving:
        self.leaving = msgspec.structs.replace(await self.look(token), **changes)
        self.clients.append(client)
        self.said.append((verb, word))
        return self.leaving


class Door(PageDoor):
    """The pages of one link."""

    def __init__(self, clock: StillClock, *proxies: Network) -> None:
        self.desk, self.clock = Desk(), clock
        super().__init__("/unsubscribe", TOKEN, lambda log: leaving.routes(self.desk, clock, log, proxies=proxies))

    async def press(self, action: str, *fields: tuple[str, str]) -> Heard:
        """Send a form of the page."""
        body = urlencode([("action", action), *fields]).encode()
        return await self.open("POST", body=body, **{"content-type": "application/x-www-form-urlencoded"})


@pytest.fixture
def door(clock: StillClock) -> Door:
    return Door(clock)


async def test_a_look_changes_nothing_and_a_click_does(door: Door) -> None:
    for _ in range(3):  # A scanner, a preview, the reader.
        heard = await door.open()
        assert heard.status == 200
        assert "ann@a.example" in heard.text
        assert "receipts, still comes" in heard.text
        assert f'<form method="post" action="?token={TOKEN}">' in heard.text
    assert door.desk.clients == []
    heard = await door.open("POST", body=b"")
    assert (heard.status, "is unsubscribed" in heard.text) == (200, True)
    assert door.desk.clients == ["192.0.2.7"]
    heard = await door.open()
    assert ("is unsubscribed" in heard.text, 'value="leave"' in heard.text) == (True, False)
    assert 'value="resubscribe"' in heard.text


@pytest.mark.parametrize("body", [b"List-Unsubscribe=One-Click", b"", b"{", b"\xff" * 1000])
async def test_a_mail_programs_one_click_needs_no_more_than_the_link(door: Door, body: bytes) -> None:
    heard = await door.open("POST", body=body)
    assert heard.status == 200, "RFC 8058 §3.1: no redirect"
    assert "set-cookie" not in heard.headers
    assert len(door.desk.clients) == 1


async def test_of_a_list_it_is_the_list_that_is_left(door: Door) -> None:
    door.desk.leaving = msgspec.structs.replace(MAIL, list_name="Weekly", title="The weekly letter")
    for method in ("GET", "POST"):
        heard = await door.open(method)
        assert ("the list <bdi>The weekly letter</bdi>" in heard.text, "receipts" in heard.text) == (True, False)
        assert 'value="leave_all"' in heard.text


async def test_a_reader_says_why_and_how_much(door: Door) -> None:
    door.desk.leaving = msgspec.structs.replace(MAIL, list_name="Weekly")
    shown = (await door.open()).text
    assert re.findall(r'type="radio" name="why" value="(\w+)"', shown) == [one.value for one in LeavingReason]
    heard = await door.press("leave_all", ("why", "too_many"), ("said", "Enough <3"))
    assert door.desk.said == [("leave_all", Word(why=LeavingReason.TOO_MANY, said="Enough <3"))]
    assert "No more newsletters" in heard.text
    assert "leave_all" not in heard.text


async def test_topics_are_chosen_among_those_that_can_be(door: Door) -> None:
    blocked = TopicChoice(name="none", title="Stopped", description="", state=NEVER)
    door.desk.leaving = msgspec.structs.replace(MAIL, topics=(*TOPICS, blocked))
    shown = (await door.open()).text
    assert 'name="topic" value="weekly" checked>' in shown
    assert 'name="topic" value="a&amp;b">' in shown
    assert shown.count('type="hidden" name="shown"') == 2
    assert "Stopped" not in shown
    door.desk.leaving = msgspec.structs.replace(MAIL, topics=TOPICS)
    heard = await door.press("choose", ("shown", "weekly"), ("shown", "a&b"), ("topic", "a&b"))
    assert [one.state for one in door.desk.leaving.topics] == [NO, YES]
    assert '<p role="status" class="done">Your choice is saved.</p>' in heard.text


async def test_it_is_taken_back_by_a_button_alone(door: Door) -> None:
    await door.press("leave")
    heard = await door.press("resubscribe")
    assert ("You are subscribed again." in heard.text, 'value="leave"' in heard.text) == (True, True)
    assert [verb for verb, _ in door.desk.said] == ["leave", "come_back"]


async def test_who_left_everything_and_chose_is_told_so(door: Door) -> None:
    door.desk.leaving = msgspec.structs.replace(MAIL, state=NO, marketing=NO, topics=TOPICS)
    assert "only what you chose comes" in (await door.open()).text


async def test_who_complained_is_told_who_can_change_it(door: Door) -> None:
    door.desk.leaving = msgspec.structs.replace(MAIL, state=NEVER, marketing=NEVER)
    heard = await door.open()
    assert ("reported as spam" in heard.text, "<form" in heard.text) == (True, False)


@pytest.mark.parametrize(("asked", "lang"), [("", "en"), ("de-CH, en;q=0.5", "de"), ("zh", "zh"), ("es", "es")])
async def test_it_speaks_the_readers_language(door: Door, asked: str, lang: str) -> None:
    heard = await door.open(**{"accept-language": asked})
    assert f'<html lang="{lang}" dir="ltr">' in heard.text
    assert heard.headers["content-language"] == lang


async def test_scanners_that_open_it_change_nothing_whoever_they_are(door: Door) -> None:
    for agent in ("", "Mozilla/5.0", "Barracuda", "GoogleImageProxy", "python-requests/2.32", "Slackbot"):
        for method in ("GET", "HEAD", "OPTIONS"):
            await door.open(method, **{"user-agent": agent, "purpose": "prefetch"})
    assert (door.desk.clients, door.desk.said) == ([], [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([b"List-Unsubscribe", b"=One-Click"], 200),
        (b"x" * limits.UNSUBSCRIBE_FORM_BYTES_MAX, 200),
        (b"x" * (limits.UNSUBSCRIBE_FORM_BYTES_MAX + 1), 413),
    ],
)
async def test_a_body_is_read_up_to_its_bound(door: Door, body: Any, status: int) -> None:
    heard = await door.open("POST", body=body)
    assert (heard.status, len(door.desk.said)) == (status, int(status == 200))
    assert ("Nothing was changed" in heard.text) is (status != 200)


async def test_no_other_site_can_show_it_in_a_frame(door: Door) -> None:
    for heard in (await door.open(), await door.press("leave")):
        assert heard.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in heard.headers["content-security-policy"]
        assert "<script" not in heard.text


async def test_a_checker_of_links_is_answered(door: Door) -> None:
    """As the page; the servers keep its text back (`faces.track.secure`, granian)."""
    shown, heard = await door.open(), await door.open("HEAD")
    assert (heard.status, heard.headers) == (200, shown.headers)
    assert (await door.open("HEAD", "x")).status == 404
    assert door.desk.clients == []


async def test_behind_a_proxy_it_is_the_reader_who_asks(clock: StillClock) -> None:
    behind = Door(clock, networks.parse("192.0.2.0/24"))
    for said, told in (("203.0.113.9", "203.0.113.9"), ("198.51.100.1, 203.0.113.9, 192.0.2.1", "203.0.113.9")):
        await behind.open("POST", **{"x-forwarded-for": said})
        assert behind.desk.clients.pop() == told
    await behind.open("POST", peer="203.0.113.7", **{"x-forwarded-for": "10.0.0.1"})
    await behind.open("POST", peer=None, **{"x-forwarded-for": "10.0.0.1"})
    assert behind.desk.clients == ["203.0.113.7", ""]  # Strangers are not believed.


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_no_other_method_unsubscribes(door: Door, method: str) -> None:
    await door.open(method)
    assert (door.desk.clients, door.desk.looked) == ([], 0)


@pytest.mark.parametrize("token", ["", "x", "0" * 47, "%00", "%F0%9F%98%80"])
async def test_what_is_no_link_gets_one_answer(door: Door, token: str) -> None:
    seen = {(heard.status, heard.body) for heard in [await door.open(m, token) for m in ("GET", "POST")]}
    ((status, body),) = seen
    assert status == 404
    assert b"This link does not work." in body


async def test_what_others_wrote_is_no_markup(door: Door) -> None:
    topic = TopicChoice(name=EVIL, title=EVIL, description=EVIL, state=YES)
    door.desk.leaving = Leaving(address=EVIL, sender=EVIL, list_name=EVIL, title=EVIL, topics=(topic,))
    for method in ("GET", "POST"):
        heard = await door.open(method)
        for part in ("<script", "<img", "49"):
            assert part not in heard.text
        assert "&lt;script&gt;" in heard.text


async def test_a_provider_may_click_for_many_and_nobody_endlessly(door: Door) -> None:
    for n in range(200):
        assert (await door.open("POST", f"{n:048}")).status == (404 if n else 200)
    count = limits.UNSUBSCRIBE_PAGES_A_MINUTE_COUNT_MAX
    looked = door.desk.looked
    assert {(await door.open()).status for _ in range(count)} == {200, 429}
    assert door.desk.looked < looked + count
    heard = await door.open()
    assert (heard.status, int(heard.headers["retry-after"]) >= 1) == (429, True)


async def test_when_the_database_is_away_the_log_has_no_token(door: Door) -> None:
    door.desk.is_away = True
    heard = await door.open("POST")
    assert heard.status == 503
    assert "try again" in heard.text
    assert "database" not in heard.text
    assert "unsubscribe_page_refused" in door.log.getvalue()
    assert TOKEN not in door.log.getvalue()
