"""/v1/events/search, `outrider events search` and retention on a running program."""

from typing import Any

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_mail_is_found_by_what_is_in_its_life(writer: Api, stranger: Api) -> None:
    (sender,) = [one["address"] for one in (await writer.get("/senders"))["senders"]]
    mail = {"from": sender, "subject": "Receipt 100%", "text": "Hello.", "metadata": {"order": "77"}, "tags": ["t1"]}
    sent = (await writer.post("/emails", mail | {"to": ["ann@find.example"]}))["id"]
    await writer.post("/emails", mail | {"to": ["bob@else.example"], "subject": "Other", "metadata": {}, "tags": []})

    async def look() -> Any:
        found = (await writer.get("/events/search?kind=delivered"))["events"]
        return found if len(found) == 2 else None

    await writer.program.until(look)
    queries = ("q=find.example", "recipient=@find.example", "subject=100%25", "metadata=order%3D77", "tag=t1")
    for query in (*queries, f"message={sent}", "q=receipt"):
        page = await writer.get(f"/events/search?{query}")
        assert [one["kind"] for one in page["events"]] == ["delivered", "accepted"], query
        assert {one["message_id"] for one in page["events"]} == {sent}
        assert page["next"] is None
        assert (await stranger.get(f"/events/search?{query}"))["events"] == []
    assert await writer.refused("GET", "/events/search?metadata=x") == (400, "bad_request", "metadata")
    assert await writer.refused("GET", "/events/search?after=x") == (400, "bad_request", "after")
    name = (await writer.get("/project"))["name"]
    rows = await writer.program.command_json("events", "search", "find.example", "--project", name)
    assert [one["kind"] for one in rows] == ["delivered", "accepted"]
    told = await writer.program.command("events", "search", "--recipient", "@find.example", "--project", name)
    assert "Receipt 100%" in told.stdout
    assert (await writer.program.command("events", "search", "--since", "x", "--project", name)).code == 65


async def test_how_long_mail_is_kept_is_shown_and_set(writer: Api) -> None:
    shown = await writer.get("/project")
    assert (shown["kept_days"], shown["has_own_kept_days"]) == (400, False)
    changed = await writer.patch("/project", {"kept_days": 7})
    assert (changed["kept_days"], changed["has_own_kept_days"]) == (7, True)
    assert await writer.refused("PATCH", "/project", {"kept_days": 0}) == (400, "bad_request", "kept_days")
    told = await writer.program.command_json("project", "retention", "--days", "none", "--project", shown["name"])
    assert told == {"days": 400, "is_own": False}
