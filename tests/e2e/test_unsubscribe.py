"""From a mail to leaving: the link in header and text of a real program's mail, a look, one click, and what follows."""

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

import pytest

from outrider.testing.api import Api
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

NEWS: dict[str, Any] = {
    "from": "noreply@shop.example",
    "subject": "News for {{ name }}",
    "html": "<p>{{ name }}</p><p><a href='%%user_defined_unsubscribe_link%%'>No more</a></p>",
    "variables": {"name": "Ann <3"},
    "stream": "marketing",
}


async def caught_mail(program: Program, to: str) -> EmailMessage:
    async def look() -> EmailMessage | None:
        for path in program.data_dir.glob("mailbox/new/*"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if isinstance(message, EmailMessage) and message["To"] == to:
                return message
        return None

    found: EmailMessage = await program.until(look)
    return found


async def test_one_click_ends_marketing_mail_and_no_other(caught: Program) -> None:
    assert caught.key is not None
    api, to = Api(caught, caught.key), "reader@leaving.example"
    sent = await api.post("/emails", NEWS | {"to": to})
    mail = await caught_mail(caught, to)
    assert mail["Subject"] == "News for Ann <3"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.search(r"<(http://[^>]+)>", str(mail["List-Unsubscribe"]))
    assert link is not None
    body = mail.get_body(("html",))
    assert body is not None
    assert f"href='{link[1]}'" in body.get_content().replace("&#x2f;", "/")
    path = link[1].removeprefix(caught.url)
    assert path.startswith("/unsubscribe?token=")

    looked = await caught.request("GET", path)
    assert (looked.status, b"<form" in looked.body) == (200, True)
    assert (await api.post("/emails", NEWS | {"to": to}))["accepted_count"] == 1, "a look changes nothing"

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        clicked = await caught.request("POST", path, b"List-Unsubscribe=One-Click", headers=form)
        assert (clicked.status, b"is unsubscribed" in clicked.body) == (200, True)
    refused = await api.ask("POST", "/emails", NEWS | {"to": to})
    assert (refused.status, "recipient suppressed" in refused.body.decode()) == (400, True)
    receipt = {"from": "noreply@shop.example", "to": to, "subject": "Receipt", "text": "1.90"}
    assert (await api.post("/emails", receipt))["accepted_count"] == 1
    log = (await api.get(f"/emails/{sent['id']}/events"))["events"]
    assert [one["kind"] for one in log].count("unsubscribed") == 1

    forged = await caught.request("POST", path[:-1] + ("0" if path[-1] != "0" else "1"), b"", headers=form)
    assert (forged.status, b"does not work" in forged.body) == (404, True)


async def test_each_of_a_batch_has_its_own_and_who_lacks_a_variable_is_told(caught: Program) -> None:
    assert caught.key is not None
    api = Api(caught, caught.key)
    to = [f"p{n}@each.example" for n in range(5)]
    own = {one: {"name": f"N{n}"} for n, one in enumerate(to)}
    own[to[4]] = {}
    sent = await api.post("/emails", {**NEWS, "to": to, "variables": {}, "recipient_variables": own})
    assert sent["accepted_count"] == 4
    assert [one["address"] for one in sent["rejected"]] == [to[4]]
    assert "name" in sent["rejected"][0]["reason"]
    for n in range(4):
        assert (await caught_mail(caught, to[n]))["Subject"] == f"News for N{n}"
    again = await api.post(f"/emails/{sent['id']}/resend", {"to": [to[2]]})
    shown = await api.get(f"/emails/{again['id']}/content?recipient={to[2]}")
    assert shown["subject"] == "News for N2"
    assert (await api.get(f"/emails/{again['id']}/content"))["is_template"] is True
