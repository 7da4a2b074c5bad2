"""/v1/senders on a running program: added, changed, proven, removed; what is refused, and why."""

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_sender_lives_its_life(looked_after: Api) -> None:
    first = await looked_after.post("/senders", {"address": "shop@mine.example", "name": "Shop"})
    assert (first["address"], first["name"], first["may_send"]) == ("shop@mine.example", "Shop", True)
    second = await looked_after.post("/senders", {"address": "news@mine.example"})
    assert (first["is_default"], second["is_default"], second["is_single"]) == (True, False, False)
    assert await looked_after.post("/senders", {"address": "NEWS@mine.example", "name": "Other"}) == second

    changed = await looked_after.patch("/senders/news@mine.example", {"name": "News", "is_default": True})
    assert (changed["name"], changed["is_default"]) == ("News", True)
    assert not (await looked_after.get("/senders/shop@mine.example"))["is_default"]
    off = await looked_after.patch("/senders/shop@mine.example", {"is_enabled": False})
    assert (off["is_enabled"], off["may_send"], off["name"]) == (False, False, "Shop")

    seen: list[str] = []
    after = ""
    while after is not None:
        page = await looked_after.get(f"/senders?limit=1&after={after}")
        seen += [one["address"] for one in page["senders"]]
        after = page["next"]
    assert seen == ["shop@mine.example", "news@mine.example"]

    assert await looked_after.refused("DELETE", "/senders/news@mine.example") == (409, "conflict", "address")
    await looked_after.delete("/senders/shop@mine.example")
    await looked_after.delete("/senders/news@mine.example")
    assert (await looked_after.get("/senders"))["senders"] == []


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
