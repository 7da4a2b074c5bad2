"""Templates on a running program: /v1/templates, and what of it is sent."""

import re
from typing import Any

import pytest

from outrider.testing.api import Api
from outrider.testing.clock import RealClock
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

UNSAID = object()
WELCOME: dict[str, Any] = {"name": "Welcome", "subject": "Hello {{ name }}", "body": "<p>Hi {{ name }}, {{ code }}</p>"}


async def arrived(program: Program, recipient: str) -> bytes:
    """Return the first mail to that address in the catch mailbox, octet for octet, once it is there."""
    wanted = f"Delivered-To: {recipient}".encode()

    async def look() -> bytes | None:
        found = (path.read_bytes() for path in program.data_dir.glob("mailbox/new/*"))
        return next((octets for octets in found if wanted in octets.partition(b"DKIM-Signature")[0]), None)

    return bytes(await program.until(look))


async def sender_of(api: Api) -> str:
    return str((await api.get("/senders"))["senders"][0]["address"])


async def test_a_template_lives_its_life(writer: Api) -> None:
    made = await writer.post("/templates", WELCOME)
    path = f"/templates/{made['id']}"
    assert re.fullmatch(r"UET\d{8}[0-9A-Z]{6}", made["id"])
    assert (made["state"], made["published_number"], made["variables"]) == ("draft", None, ["code", "name"])
    assert (made["version"]["state"], made["markup"], made["syntax"]) == ("draft", "html", "jinja")
    assert await writer.get(path) == made == await writer.get("/templates/Welcome")

    published = await writer.post(f"{path}/publish", {})
    assert (published["state"], published["published_number"]) == ("approved", 1)
    changed = await writer.patch(path, {"subject": "Hi {{ name }}", "name": "Greeting", "stream": "marketing"})
    assert (changed["name"], changed["stream"], changed["head_number"], changed["published_number"]) == (
        *("Greeting", "marketing"),
        *(2, 1),
    )
    assert changed["variants"][0]["body"] == WELCOME["body"]
    versions = (await writer.get(f"{path}/versions"))["versions"]
    assert [(one["number"], one["state"]) for one in versions] == [(2, "draft"), (1, "published")]
    first = await writer.get(f"{path}/versions?limit=1")
    assert (len(first["versions"]), first["next"]) == (1, "2")
    assert (await writer.get(f"{path}/versions?after={first['next']}"))["next"] is None
    assert (await writer.get(f"{path}/versions/1"))["variants"][0]["subject"] == "Hello {{ name }}"
    restored = await writer.post(f"{path}/versions/1/restore")
    assert (restored["head_number"], restored["subject"]) == (3, "Hello {{ name }}")
    assert (await writer.post(f"{path}/publish", {"number": 2}))["published_number"] == 2

    off = await writer.post(f"{path}/disable", {"reason": "A mistake"})
    assert (off["state"], off["state_reason"]) == ("disabled", "A mistake")
    assert (await writer.post(f"{path}/enable"))["state"] == "approved"
    await writer.delete(path)
    assert await writer.refused("GET", path) == (404, "not_found", "id")
    assert (await writer.get("/templates"))["templates"] == []


async def test_templates_are_listed_newest_first_as_chosen(writer: Api) -> None:
    for name in ("One", "Two", "Three"):
        body = {**WELCOME, "name": name, "publish": name == "Two", "stream": "marketing" if name == "One" else UNSAID}
        await writer.post("/templates", {field: value for field, value in body.items() if value is not UNSAID})
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await writer.get(f"/templates?limit=2&after={after}")
        seen += [one["name"] for one in page["templates"]]
        after = page["next"]
    assert sorted(seen) == ["One", "Three", "Two"]
    for query, names in (
        ("name=TW", {"Two"}),
        ("state=approved", {"Two"}),
        ("state=draft&state=approved", {"One", "Two", "Three"}),
        ("stream=marketing", {"One"}),
        ("subject=hello", {"One", "Two", "Three"}),
        ("subject=nothing", set()),
    ):
        assert {one["name"] for one in (await writer.get(f"/templates?{query}"))["templates"]} == names, query


async def test_a_template_is_looked_at_before_it_is_stored_and_after(writer: Api) -> None:
    shown = await writer.post("/templates/preview", {**source_of(WELCOME), "variables": {"name": "Ann <3"}})
    assert shown["subject"] == "Hello Ann <3"
    assert shown["html"] == "<p>Hi Ann &lt;3, [code]</p>"
    assert "Hi Ann <3, [code]" in shown["text"]
    assert shown["lint"] == []
    script = {"subject": "Hi", "body": "<p>Hi</p><script>alert(1)</script>", "stream": "marketing"}
    found = {one["code"]: one["severity"] for one in (await writer.post("/templates/preview", script))["lint"]}
    assert found["unsubscribe_missing"] == "error"
    assert "error" in {severity for code, severity in found.items() if code != "unsubscribe_missing"}
    both = {
        "variants": [
            {"locale": "en", "subject": "Hi", "body": "<p>en</p>"},
            {"locale": "de", "subject": "Moin", "body": "<p>de</p>"},
        ]
    }
    assert (await writer.post("/templates/preview", {**both, "locale": "de-AT"}))["subject"] == "Moin"
    made = await writer.post("/templates", {**both, "name": "Both"})
    path = f"/templates/{made['id']}/preview"
    assert (await writer.post(path, {"locale": "de"}))["html"] == "<p>de</p>"
    assert await writer.refused("POST", path, {"number": 7}) == (404, "not_found", "number")
    column = "<mj-column><mj-text>Hi {{ name }}</mj-text></mj-column>"
    mjml = f"<mjml><mj-body><mj-section>{column}</mj-section></mj-body></mjml>"
    shown = await writer.post("/templates/preview", {"subject": "M", "body": mjml, "markup": "mjml"})
    assert "Hi [name]" in shown["html"]
    assert "<mj-" not in shown["html"]


def source_of(template: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in template.items() if name != "name"}


async def test_a_test_comes_marked_and_filled_in(writer: Api) -> None:
    made = await writer.post("/templates", WELCOME)
    path = f"/templates/{made['id']}/test"
    sent = await writer.post(path, {"to": ["tested@client.test", "no address"], "variables": {"name": "Ann"}})
    assert (sent["accepted_count"], [one["address"] for one in sent["rejected"]]) == (1, ["no address"])
    mail = await arrived(writer.program, "tested@client.test")
    assert b"Subject: [Test] Hello Ann\r\n" in mail
    assert b"Hi Ann, [code]" in mail
    sender = await sender_of(writer)
    assert await writer.refused("POST", path, {"to": []}) == (400, "bad_request", "to")
    assert await writer.refused("POST", path, {"to": ["x"]}) == (400, "bad_request", "to")
    assert await writer.refused("POST", path, {"to": ["a@x.test"], "from": "a@other.test"}) == (
        404,
        "not_found",
        "from",
    )
    assert (await writer.post(path, {"to": ["a@x.test"], "from": sender}))["accepted_count"] == 1
    bound = Api(writer.program, await writer.key(domains=["elsewhere.example"]))
    assert await bound.refused("POST", path, {"to": ["a@x.test"]}) == (403, "forbidden", "from")


async def test_where_somebody_must_approve_nothing_is_sent_before(writer: Api) -> None:
    project = (await writer.get("/project"))["name"]
    program = writer.program
    await program.command_json("project", "approval", "--templates-need-approval", "--project", project)
    made = await writer.post("/templates", {**WELCOME, "publish": True})
    assert (made["state"], made["version"]["state"]) == ("pending", "pending")
    mail = {"from": await sender_of(writer), "to": "ann@client.test", "template": made["id"]}
    mail |= {"variables": {"name": "Ann", "code": "7"}}
    assert await writer.refused("POST", "/emails", mail) == (400, "bad_request", "template")
    approved = await program.command_json("template", "approve", made["id"], "--project", project)
    assert (approved["state"], approved["sent_version"]) == ("approved", 1)
    await RealClock().sleep(1.0)
    assert (await writer.post("/emails", mail))["accepted_count"] == 1
    await program.command_json("template", "disable", "Welcome", "--why", "Spam", "--project", project)
    assert await writer.refused("POST", f"/templates/{made['id']}/enable") == (403, "forbidden", "id")
    await RealClock().sleep(1.0)
    assert await writer.refused("POST", "/emails", mail) == (400, "bad_request", "template")


async def test_what_is_wrong_is_named(writer: Api) -> None:
    made = await writer.post("/templates", WELCOME)
    path = f"/templates/{made['id']}"
    for method, target, body, wanted in (
        ("POST", "/templates", {}, (400, "missing_field", "name")),
        ("POST", "/templates", {"name": "x"}, (400, "missing_field", "subject")),
        ("POST", "/templates", {"name": "x", "subject": "x"}, (400, "missing_field", "body")),
        ("POST", "/templates", {**WELCOME, "name": " x"}, (400, "bad_request", "name")),
        ("POST", "/templates", WELCOME, (409, "conflict", "name")),
        ("POST", "/templates", {**WELCOME, "name": "x", "body": "{{ x"}, (400, "template", "body")),
        ("POST", "/templates", {**WELCOME, "name": "x", "subject": "{% x %}"}, (400, "template", "subject")),
        ("POST", "/templates", {**WELCOME, "name": "x", "variants": []}, (400, "bad_request", "subject")),
        ("POST", "/templates", {"name": "x", "variants": []}, (400, "bad_request", "variants")),
        ("POST", "/templates", {**WELCOME, "name": "x", "markup": "word"}, (400, "bad_request", "markup")),
        ("POST", "/templates", {**WELCOME, "nam": "x"}, (400, "bad_request", "nam")),
        ("PATCH", path, {"defaults": {"a": []}}, (400, "bad_request", "defaults[...]")),
        ("POST", f"{path}/publish", {"number": 0}, (400, "bad_request", "number")),
        ("POST", f"{path}/publish", {"number": 9}, (404, "not_found", "number")),
        ("GET", f"{path}/versions/9", None, (404, "not_found", "number")),
        ("GET", f"{path}/versions/x", None, (404, "not_found", "number")),
        ("GET", f"{path}/versions?after=x", None, (400, "bad_request", "after")),
        ("GET", "/templates?state=good", None, (400, "bad_request", "state[0]")),
    ):
        assert await writer.refused(method, target, body) == wanted, (method, target, body)


async def test_the_templates_of_another_project_are_not_there(writer: Api, stranger: Api) -> None:
    made = await writer.post("/templates", {**WELCOME, "publish": True})
    for name in (made["id"], "Welcome"):
        assert await stranger.refused("GET", f"/templates/{name}") == (404, "not_found", "id")
