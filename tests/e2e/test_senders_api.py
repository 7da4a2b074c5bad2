"""/v1/senders on a running program: added, changed, proven, removed; what is refused, and why."""

import email
import email.policy
import re
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from outrider.testing.api import Api
from outrider.testing.program import Key, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def posts(caught: Program) -> Api:
    """Return a caller of a project that has a domain and no sender."""
    await caught.command_json("domain", "add", "posts.example", "--verified", "--project", "posts")
    return Api(caught, msgspec.convert(await caught.command_json("key", "create", "--project", "posts"), Key))


async def test_a_sender_lives_its_life(posts: Api) -> None:
    first = await posts.post("/senders", {"address": "shop@posts.example", "name": "Shop"})
    assert (first["address"], first["name"], first["may_send"]) == ("shop@posts.example", "Shop", True)
    second = await posts.post("/senders", {"address": "news@posts.example"})
    assert (first["is_default"], second["is_default"], second["is_single"]) == (True, False, False)
    assert await posts.post("/senders", {"address": "NEWS@posts.example", "name": "Other"}) == second

    changed = await posts.patch("/senders/news@posts.example", {"name": "News", "is_default": True})
    assert (changed["name"], changed["is_default"]) == ("News", True)
    assert not (await posts.get("/senders/shop@posts.example"))["is_default"]
    off = await posts.patch("/senders/shop@posts.example", {"is_enabled": False})
    assert (off["is_enabled"], off["may_send"], off["name"]) == (False, False, "Shop")

    for address in ("a/b@posts.example", "100%/%2F@posts.example"):
        quoted = quote(address, safe="")
        await posts.post("/senders", {"address": address})
        assert (await posts.patch(f"/senders/{quoted}", {"name": "Slash"}))["address"] == address
        assert (await posts.get(f"/senders/{quoted}"))["name"] == "Slash"
        await posts.delete(f"/senders/{quoted}")

    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await posts.get(f"/senders?limit=1&after={after}")
        seen += [one["address"] for one in page["senders"]]
        after = page["next"]
    assert seen == ["shop@posts.example", "news@posts.example"]

    assert await posts.refused("DELETE", "/senders/news@posts.example") == (409, "conflict", "address")
    await posts.delete("/senders/shop@posts.example")
    await posts.delete("/senders/news@posts.example")
    assert (await posts.get("/senders"))["senders"] == []


async def test_what_is_wrong_is_named(looked_after: Api) -> None:
    for method, path, body, wanted in (
        ("POST", "/senders", {"address": "nobody"}, (400, "bad_request", "address")),
        ("POST", "/senders", {"address": "a@mine.example", "name": "A\r\nBcc: x"}, (400, "bad_request", "name")),
        ("POST", "/senders", {"address": "a@theirs.example"}, (404, "not_found", "address")),
        ("POST", "/senders", {"address": ["a@mine.example"]}, (400, "bad_request", "address")),
        ("POST", "/senders/prove", {"address": "a@else.example"}, (403, "forbidden", "address")),  # It is off here.
        ("POST", "/senders/prove", {}, (400, "missing_field", "address")),
        ("GET", "/senders/nobody@mine.example", None, (404, "not_found", "address")),
        ("PATCH", "/senders/nobody@mine.example", {"is_default": False}, (404, "not_found", "address")),
        ("GET", "/senders?after=7", None, (400, "bad_request", "after")),
    ):
        assert await looked_after.refused(method, path, body) == wanted, (method, path, body)


async def test_a_sender_of_another_project_is_not_there(looked_after: Api, stranger: Api) -> None:
    await stranger.post("/senders", {"address": "boss@theirs.example"})
    for method, body in (("GET", None), ("PATCH", {"name": "Mine"}), ("DELETE", None)):
        wanted = (404, "not_found", "address")
        assert await looked_after.refused(method, "/senders/boss@theirs.example", body) == wanted
    assert (await stranger.get("/senders/boss@theirs.example"))["name"] == ""


async def test_a_mailbox_is_proven_by_its_owner(folder: Path) -> None:
    env = {"OUTRIDER_IDENTITY__MAILBOX_PROOF": "1", "OUTRIDER_FACES__PUBLIC_URL": "https://mail.platform.example"}
    async with Program(folder / "node", env=env) as program:
        await program.start()
        await program.command_json("domain", "add", "own.example", "--verified", "--project", "mine")
        api = Api(program, msgspec.convert(await program.command_json("key", "create", "--project", "mine"), Key))
        await api.post("/senders", {"address": "news@own.example"})

        offered = await api.post("/senders/prove", {"address": "Ann@gmail.example"})
        assert (offered["is_single"], offered["may_send"], offered["proven_at"]) == (True, False, None)
        assert await api.refused("POST", "/senders/prove", {"address": "ann@gmail.example"}) == (
            429,
            "limit_reached",
            "address",
        )

        async def link() -> str:
            for path in program.data_dir.glob("mailbox/new/*"):
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                if "in your name" in str(mail["Subject"]):
                    return "".join(re.findall(r"https://mail.platform.example(/\S+)", mail.get_content()))
            return ""

        path = await program.until(link)
        assert (await program.request("GET", path)).status == 200
        assert not (await api.get("/senders/ann@gmail.example"))["may_send"], "a look proves nothing"
        assert (await program.request("POST", path)).status == 200
        proven = await api.get("/senders/ann@gmail.example")
        assert (proven["may_send"], proven["proven_at"] is not None) == (True, True)
        again = await api.post("/senders/prove", {"address": "ann@gmail.example"})
        assert again["proven_at"] == proven["proven_at"]
