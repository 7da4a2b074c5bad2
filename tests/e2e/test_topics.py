"""Topics on a running program: by the API, by commands, on the page behind a link in a mail; each project's own."""

import re
from urllib.parse import urlencode

import pytest

from outrider.testing.api import Api
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXIT_DATA = 65
HTML = "<p><a href='%%user_defined_unsubscribe_link%%'>No more</a></p>"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def link_to(api: Api, sender: str, to: str, list_name: str) -> str:
    """Send a marketing mail that shows its link, and return the path of the link."""
    body = {"from": sender, "to": to, "subject": "News", "html": HTML, "stream": "marketing", "list": list_name}
    await api.post("/emails", body)

    async def look() -> str | None:
        for path in api.program.data_dir.glob("mailbox/new/*"):
            text = path.read_text("utf-8", "replace")
            if to in text and (found := re.search(r"List-Unsubscribe: <http://[^/>]+(/unsubscribe\?token=\w+)>", text)):
                return found[1]
        return None

    link: str = await api.program.until(look)
    return link


async def press(program: Program, path: str, *fields: tuple[str, str]) -> str:
    answer = await program.request("POST", path, urlencode(fields).encode(), headers=FORM)
    assert answer.status == 200, answer.body
    return answer.body.decode()


async def test_a_reader_chooses_on_the_page_and_the_sender_sees_it(writer: Api) -> None:
    sender = (await writer.get("/senders"))["senders"][0]["address"]
    await writer.post("/topics", {"name": "weekly", "title": "The weekly letter", "description": "Each Friday."})
    await writer.post("/topics", {"name": "offers & more", "title": "Offers"})
    to = f"ann@{sender.partition('@')[2]}"
    path = await link_to(writer, sender, to, "weekly")
    program = writer.program

    page = (await program.request("GET", path)).body.decode()
    assert page.count("checked") == 2
    assert "The weekly letter" in page
    left = await press(program, path, ("action", "leave_all"), ("why", "too_many"), ("said", "Enough."))
    assert "is unsubscribed" in left
    shown = await writer.get(f"/preferences/{to}")
    assert (shown["marketing"], [one["state"] for one in shown["topics"]]) == ("unsubscribed", ["unsubscribed"] * 2)
    (entry,) = (await writer.get(f"/suppressions/{to}"))["entries"]
    assert entry["evidence"] == "by the link in the mail: too many mails; Enough."

    chosen = ("action", "choose"), ("shown", "weekly"), ("shown", "offers & more"), ("topic", "offers & more")
    assert "Your choice is saved." in await press(program, path, *chosen)
    mail = {"from": sender, "to": to, "subject": "News", "html": HTML, "stream": "marketing"}
    assert (await writer.post("/emails", mail | {"list": "offers & more"}))["accepted_count"] == 1
    for list_name in ("weekly", "other", ""):
        refused = await writer.ask("POST", "/emails", mail | ({"list": list_name} if list_name else {}))
        assert (refused.status, "recipient suppressed" in refused.body.decode()) == (400, True), list_name
    (entry,) = (await writer.get(f"/suppressions/{to}"))["entries"]
    assert entry["excepted"] == ["offers & more"]

    assert "You are subscribed again." in await press(program, path, ("action", "resubscribe"))
    assert (await writer.get(f"/preferences/{to}"))["marketing"] == "subscribed"
    assert (await writer.post("/emails", mail))["accepted_count"] == 1


async def test_topics_are_changed_listed_and_removed(writer: Api, stranger: Api) -> None:
    made = await writer.post("/topics", {"name": "a b/c", "title": "One"})
    assert (made["position"], made["description"]) == (1, "")
    await writer.post("/topics", {"name": "second", "title": "Two", "position": 0})
    assert [one["name"] for one in (await writer.get("/topics"))["topics"]] == ["second", "a b/c"]
    assert (await writer.patch("/topics/second", {"title": "Zwei", "position": 9}))["title"] == "Zwei"
    assert [one["name"] for one in (await writer.get("/topics"))["topics"]] == ["a b/c", "second"]
    assert await stranger.refused("GET", "/topics/second") == (404, "not_found", "name")
    await writer.delete("/topics/second")
    for method, path, body, wanted in (
        ("GET", "/topics/second", None, (404, "not_found", "name")),
        ("DELETE", "/topics/second", None, (404, "not_found", "name")),
        ("PATCH", "/topics/second", {"title": "x"}, (404, "not_found", "name")),
        ("POST", "/topics", {"name": "a b/c", "title": "x"}, (409, "conflict", "name")),
        ("POST", "/topics", {"name": "", "title": "x"}, (400, "bad_request", "name")),
        ("POST", "/topics", {"name": "x"}, (400, "missing_field", "title")),
        ("POST", "/topics", {"name": "x", "title": "x", "position": -1}, (400, "bad_request", "position")),
    ):
        assert await writer.refused(method, path, body) == wanted, (method, path)


async def test_commands_keep_topics_too(caught: Program) -> None:
    await caught.command_json("key", "create", "--project", "topical")
    mine = ("--project", "topical")
    added = await caught.command_json("topic", "add", "weekly", "--title", "The weekly letter", *mine)
    assert (added["name"], added["position"]) == ("weekly", 1)
    changed = await caught.command_json("topic", "edit", "weekly", "--description", "Each Friday.", *mine)
    assert (changed["title"], changed["description"]) == ("The weekly letter", "Each Friday.")
    assert [one["name"] for one in await caught.command_json("topic", "list", *mine)] == ["weekly"]
    assert (await caught.command("topic", "add", "weekly", "--title", "x", *mine)).code == EXIT_DATA
    assert (await caught.command("topic", "remove", "weekly", *mine)).code == 0
    assert "No topics." in (await caught.command("topic", "list", *mine)).stdout
