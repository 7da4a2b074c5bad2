"""/v1/preferences on a running program: a sender's own page asks and changes what the page in a mail does."""

import pytest

from outrider.testing.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_a_senders_own_page_changes_the_same(writer: Api, stranger: Api) -> None:
    await writer.post("/topics", {"name": "weekly", "title": "The weekly letter"})
    path = "/preferences/Ben@own.example"
    body = {"marketing": "unsubscribed", "topics": {"weekly": "subscribed"}, "why": "not_relevant"}
    for _ in range(2):
        changed = await writer.put(path, body)
        assert (changed["marketing"], changed["topics"][0]["state"]) == ("unsubscribed", "subscribed")
    assert (await stranger.get(path))["marketing"] == "subscribed"

    async def told() -> list[tuple[str, str]] | None:  # A page ends before what others are writing at the moment.
        log = (await writer.get("/events"))["events"]
        facts = [(one["kind"], one["facts"]["suppressed"]) for one in log if "suppressed" in one["facts"]]
        return facts if len(facts) > 1 else None

    assert await writer.program.until(told) == [("unsubscribed", "stream"), ("resubscribed", "list")]
    for wanted, refusal in (
        ({"topics": {"none": "subscribed"}}, (404, "not_found", "topics.none")),
        ({"marketing": "blocked"}, (400, "bad_request", "marketing")),
        ({"why": "none"}, (400, "bad_request", "why")),
        ({"said": "x" * 501}, (400, "bad_request", "said")),
    ):
        assert await writer.refused("PUT", path, wanted) == refusal
    await writer.post("/suppressions", {"addresses": ["ben@own.example"], "reason": "complaint"})
    assert await writer.refused("PUT", path, {"marketing": "subscribed"}) == (409, "conflict", "marketing")
    assert await writer.refused("GET", "/preferences/nobody") == (400, "bad_request", "address")
