"""Tracked mail of a real program: links lead to us, text stays; mail that is not tracked is as it was written."""

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

import pytest

from outrider.testing.api import Api
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LINK, REST = "https://shop.example/a?x=1&amp;y=2", '<a href="mailto:a@b.example">w</a>'
HTML = f'<html><body><p>Hi</p><a href="{LINK}">one</a> {REST}</body></html>'
TEXT = "Hi, https://shop.example/a"
MAIL: dict[str, Any] = {"from": "noreply@shop.example", "subject": "Offer", "html": HTML, "text": TEXT}


async def caught_mail(program: Program, to: str) -> EmailMessage:
    async def look() -> EmailMessage | None:
        for path in program.data_dir.glob("mailbox/new/*"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if isinstance(message, EmailMessage) and message["To"] == to:
                return message
        return None

    found: EmailMessage = await program.until(look)
    return found


def parts(mail: EmailMessage) -> tuple[str, str]:
    markup, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert markup is not None
    assert text is not None
    return markup.get_content().strip(), text.get_content().strip()


async def test_a_mail_is_tracked_where_it_says_so_and_else_is_as_it_was(caught: Program) -> None:
    assert caught.key is not None
    api = Api(caught, caught.key)
    await api.post("/emails", MAIL | {"to": "plain@tracked.example"})
    assert parts(await caught_mail(caught, "plain@tracked.example")) == (HTML, TEXT)

    own = {"track_opens": True, "track_clicks": True}
    seen = set()
    for to in ("one@tracked.example", "two@tracked.example"):
        await api.post("/emails", MAIL | {"to": to, **own})
        markup, text = parts(await caught_mail(caught, to))
        found = re.fullmatch(
            rf'<html><body><p>Hi</p><a href="{caught.url}/t/([\w-]+)">one</a> {re.escape(REST)}'
            rf'<img src="{caught.url}/o/([\w-]+)\.gif" width="1"[^>]*></body></html>',
            markup,
        )
        assert found is not None, markup
        seen |= {found[1], found[2]}
        assert text == TEXT
    assert len(seen) == 4, "each reader has links of its own"


async def test_marketing_mail_without_a_way_out_gets_one(caught: Program) -> None:
    assert caught.key is not None
    api = Api(caught, caught.key)
    await api.post("/emails", MAIL | {"to": "foot@tracked.example", "stream": "marketing"})
    markup, text = parts(await caught_mail(caught, "foot@tracked.example"))
    assert re.search(rf'<a href="{caught.url}/unsubscribe\?token=[^"]+">Unsubscribe</a></div></body>', markup)
    assert re.search(rf"\n-- \s*Unsubscribe: {caught.url}/unsubscribe\?token=\S+\Z", text)
    shown = MAIL | {"to": "own@tracked.example", "stream": "marketing", "html": "%%user_defined_unsubscribe_link%%"}
    await api.post("/emails", shown)
    markup, text = parts(await caught_mail(caught, "own@tracked.example"))
    assert (markup.count("/unsubscribe"), text) == (1, TEXT)


async def test_a_domain_says_what_is_tracked_over_its_project(caught: Program) -> None:
    assert caught.key is not None
    api = Api(caught, caught.key)
    before = await api.get("/domains/shop.example/tracking")
    assert before["links_begin_with"] == caught.url
    said = await api.patch("/domains/shop.example/tracking", {"excluded_hosts": ["no.example"]})
    assert said["own"]["excluded_hosts"] == said["counts"]["excluded_hosts"] == ["no.example"]
    assert "excluded_hosts" not in (await api.get("/tracking"))["own"]
    gone = await api.patch("/domains/shop.example/tracking", {"excluded_hosts": None})
    assert "excluded_hosts" not in gone["own"]
    assert (await api.refused("PATCH", "/domains/nobody.example/tracking", {"opens": "all"}))[0] == 404
    assert (await api.refused("PATCH", "/tracking", {"opens": "sometimes"}))[0] == 400
    status, _, field = await api.refused("PATCH", "/tracking", {"excluded_hosts": ["a\x00b"]})
    assert (status, field) == (400, "excluded_hosts")
    assert "NAME=VALUE" in (await caught.command("tracking", "set", "--utm", "utm_source")).stderr
    assert (await api.patch("/tracking", {"text_links": False}))["own"]["text_links"] is False
    await api.patch("/tracking", {"text_links": None})
