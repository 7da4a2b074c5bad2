"""/v1/project, /v1/notices, /v1/guards, /v1/queue and why, on a running program."""

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_project_is_shown_and_changed(looked_after: Api) -> None:
    shown = await looked_after.get("/project")
    assert shown["name"] == "mine"
    assert shown["quota"] == {"day": None, "day_used": 0, "month": None, "month_used": 0}
    changed = await looked_after.patch("/project", {"notice_address": "Ops@mine.example", "unaligned_from": "rewrite"})
    assert (changed["notice_address"], changed["unaligned_from"]) == ("Ops@mine.example", "rewrite")
    changed = await looked_after.patch("/project", {"notice_address": ""})
    assert (changed["notice_address"], changed["unaligned_from"]) == ("", "rewrite")
    assert (await looked_after.patch("/project", {"unaligned_from": "refuse"})) == shown
    for body, field in (
        ({"notice_address": "x"}, "notice_address"),
        ({"name": "new"}, "name"),
        ({"notice_address": "ops@mine.example", "content": {"hold_score": 8}, "kept_days": 0}, "kept_days"),
    ):
        assert await looked_after.refused("PATCH", "/project", body) == (400, "bad_request", field)
    assert await looked_after.get("/project") == shown


async def test_notices_guards_and_the_queue_are_there(looked_after: Api) -> None:
    there = {one["id"] for one in (await looked_after.get("/notices"))["notices"]}  # What other tests have led to.
    assert (await looked_after.post("/notices/seen"))["seen_count"] >= len(there)
    assert not there & {one["id"] for one in (await looked_after.get("/notices"))["notices"]}
    assert (await looked_after.get("/notices?with_seen=true"))["next"] is None
    unknown = "/notices/0197a000-0000-7000-8000-00000000beef/seen"
    assert (await looked_after.refused("POST", unknown))[0] == 404
    assert await looked_after.refused("GET", "/notices?after=x") == (400, "bad_request", "after")
    assert (await looked_after.get("/guards")) == {"guards": []}
    assert (await looked_after.get("/queue"))["lane_count"] >= 0


async def test_why_a_mail_waits_is_said(looked_after: Api) -> None:
    await looked_after.post("/senders", {"address": "why@mine.example"})
    mail = {"from": "why@mine.example", "to": "ann@z.example", "subject": "Hi", "text": "Hello."}
    sent = (await looked_after.post("/emails", mail))["id"]
    causes = (await looked_after.get(f"/emails/{sent}/why"))["causes"]
    assert sum(one["count"] for one in causes) == 1
    assert all(one["sentence"] for one in causes)
