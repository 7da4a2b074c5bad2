"""The page behind a proof link: a scanner that opens it changes nothing, a click does, and nothing on it is markup."""

from uuid import UUID

import pytest

from outrider.base import limits, networks
from outrider.base.errors import NotFoundError, StoreUnavailableError
from outrider.base.networks import Network
from outrider.faces.console import proof
from outrider.services.proofs import Proof
from tests.unit.faces.conftest import StillClock
from tests.unit.faces.console.page_door import PageDoor

TOKEN = "t" * 43
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


class Desk:
    """One link that is good until it is used."""

    def __init__(self) -> None:
        self.proof = Proof(UUID(int=1), UUID(int=2), "Shop", "ann@gmail.test")
        self.is_good, self.looked, self.is_away = True, 0, False

    async def look(self, token: str) -> Proof:
        self.looked += 1
        if self.is_away:
            raise StoreUnavailableError("The database is away.", cause=f"secret {token}")
        if token != TOKEN or not self.is_good:
            raise NotFoundError("This link does not work.")
        return self.proof

    async def confirm(self, token: str) -> Proof:
        found = await self.look(token)
        self.is_good = False
        return found


class Door(PageDoor):
    """The pages of one link."""

    def __init__(self, clock: StillClock, *proxies: Network) -> None:
        self.desk, self.clock = Desk(), clock
        super().__init__("/senders/prove", TOKEN, lambda log: proof.routes(self.desk, clock, log, proxies=proxies))


@pytest.fixture
def door(clock: StillClock) -> Door:
    return Door(clock)


async def test_a_look_changes_nothing_and_a_click_does(door: Door) -> None:
    for _ in range(3):  # A scanner, a preview, the reader.
        heard = await door.open()
        assert heard.status == 200
        assert "Shop" in heard.text
        assert "ann@gmail.test" in heard.text
        assert f'<form method="post" action="?token={TOKEN}">' in heard.text
    assert door.desk.is_good
    heard = await door.open("POST", body=b"anything=at+all")
    assert heard.status == 200
    assert "Thank you" in heard.text
    assert not door.desk.is_good


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_no_other_method_confirms(door: Door, method: str) -> None:
    await door.open(method)
    assert door.desk.is_good
    assert door.desk.looked == 0


@pytest.mark.parametrize("token", ["", "x", "t" * 42, "%00", "%F0%9F%98%80", "t" * 43 + "&token=" + "x" * 43])
async def test_what_is_no_link_gets_one_answer(door: Door, token: str) -> None:
    seen = {(heard.status, heard.body) for heard in [await door.open(m, token) for m in ("GET", "POST")]}
    ((status, body),) = seen
    assert status == 404
    assert b"This link does not work." in body


async def test_a_used_link_says_so(door: Door) -> None:
    await door.open("POST")
    for method in ("GET", "POST"):
        heard = await door.open(method)
        assert (heard.status, "Not confirmed" in heard.text) == (404, True)


async def test_what_others_wrote_is_no_markup(door: Door) -> None:
    door.desk.proof = Proof(UUID(int=1), UUID(int=2), EVIL, f'"{EVIL}"@gmail.test')
    for method in ("GET", "POST"):
        heard = await door.open(method)
        for part in ("<script", "<img", "49"):
            assert part not in heard.text
        assert "&lt;script&gt;" in heard.text


async def test_the_page_loads_nothing_and_its_form_leads_back(door: Door) -> None:
    heard = await door.open()
    policy = heard.headers["content-security-policy"]
    for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "script-src" not in policy
    assert (heard.headers["cache-control"], heard.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert heard.headers["x-frame-options"] == "DENY"


async def test_nobody_may_ask_often_and_nobody_elses_turn_is_taken(door: Door) -> None:
    count = limits.PROOF_PAGES_A_MINUTE_COUNT_MAX
    statuses = [(await door.open(token="x" * 43)).status for _ in range(count)]
    assert set(statuses) == {404, 429}
    looked = door.desk.looked
    assert looked < count
    heard = await door.open("POST")
    assert heard.status == 429
    assert int(heard.headers["retry-after"]) >= 1
    assert (door.desk.looked, door.desk.is_good) == (looked, True)
    assert (await door.open(peer="192.0.2.8")).status == 200
    assert (await door.open(peer=None)).status == 200
    door.clock.at = door.clock.at.replace(minute=door.clock.at.minute + 1)
    assert (await door.open()).status == 200


async def test_behind_a_proxy_each_visitor_has_a_turn(clock: StillClock) -> None:
    behind = Door(clock, networks.parse("192.0.2.7"))
    for _ in range(limits.PROOF_PAGES_A_MINUTE_COUNT_MAX + 1):
        last = await behind.open(token="x" * 43, **{"x-forwarded-for": "198.51.100.1, 203.0.113.9"})
    assert last.status == 429
    assert (await behind.open(**{"x-forwarded-for": "198.51.100.1, 203.0.113.8"})).status == 200
    assert (await behind.open(**{"x-forwarded-for": "203.0.113.8, 203.0.113.9"})).status == 429, "its own word"


async def test_when_the_database_is_away_the_log_has_no_token(door: Door) -> None:
    door.desk.is_away = True
    heard = await door.open("POST")
    assert heard.status == 503
    assert "try again" in heard.text
    assert "database" not in heard.text
    assert "proof_page_refused" in door.log.getvalue()
    assert TOKEN not in door.log.getvalue() + door.face.log.getvalue()
    door.desk.is_away = False
    assert (await door.open("POST")).status == 200
