"""Tracked mail by SMTP: links of the HTML lead here at the sink, the signatures hold, and a click is in the events."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from outrider.mail import parts
from outrider.testing.api import Api
from outrider.testing.program import Program
from tests.e2e.test_first_mail import signatures
from tests.e2e.test_relay import hand_in, session_of
from tests.e2e.test_relay_clients import arrived
from tests.e2e.test_tracking_flow import PERSON

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TARGET = "https://shop.example/a?x=1&y=2"
BODY = """--=_b
Content-Type: text/plain

See https://shop.example/a
--=_b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<p>Gr\u00fc\u00dfe</p>
<a href="https://shop.example/a?x=1&amp;y=2">one</a> <a href="tel:1">two</a>
--=_b--
"""
MIME = 'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="=_b"\n'


async def test_links_lead_here_and_a_click_is_seen(caught: Program) -> None:
    assert caught.key is not None
    to = "clicks@relayed.example"
    head = f"{MIME}X-Outrider-Track-Clicks: yes\nX-Outrider-Track-Opens: yes\n"
    session = session_of(await hand_in(caught, to, head=head, text=BODY))
    octets = await arrived(caught, to)
    assert await signatures(caught, octets) == [("ed25519-sha256", True), ("rsa-sha256", True)]
    assert b"\nSee https://shop.example/a\r\n--=_b\r\n" in octets
    (shown,) = [part.inner().decode() for part in parts.cut(octets) if part.kind == "text/html"]
    found = re.fullmatch(
        rf'<p>Grüße</p>\r\n<a href="({caught.url}/t/[\w-]+)">one</a> <a href="tel:1">two</a>'
        rf'(?:\r\n)?<img src="{caught.url}/o/[\w-]+\.gif"[^>]*>(?:\r\n)?',
        shown,
    )
    assert found is not None, shown
    await caught.settled(session)
    followed = await caught.request("GET", urlsplit(found[1]).path, headers=PERSON)
    assert (followed.status, followed.headers["location"]) == (302, TARGET)
    api = Api(caught, caught.key)

    async def clicked() -> Any:
        told = (await api.get("/events?kind=clicked&limit=100"))["events"]
        return [one for one in told if one["recipient"] == to]

    (click,) = await caught.until(clicked)
    assert click["facts"]["url"] == TARGET


async def test_marketing_gets_a_line_to_leave_and_signed_mail_nothing(caught: Program) -> None:
    to, sealed = "leaves@relayed.example", "sealed@relayed.example"
    head = f"{MIME}X-Outrider-Stream: marketing\n"
    await hand_in(caught, to, head=head, text=BODY)
    octets = await arrived(caught, to)
    assert len(re.findall(rb"Unsubscribe: http\S+/unsubscribe\?token=", octets)) == 1
    assert octets.count(b">Unsubscribe</a>") == 1
    head += "X-Outrider-Track-Clicks: yes\n"
    await hand_in(caught, sealed, head=head.replace("alternative", "signed"), text=BODY)
    octets = await arrived(caught, sealed)
    assert BODY.replace("\n", "\r\n").encode() in octets
