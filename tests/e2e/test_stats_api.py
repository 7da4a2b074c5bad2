"""/v1/stats on a running program: every recipient is counted once, by time, stream, domain and tag."""

from typing import Any

import msgspec
import pytest
import pytest_asyncio

from outrider.testing.api import Api
from outrider.testing.program import Key, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def counted(caught: Program) -> Api:
    """Return a caller of a project without any mail."""
    await caught.command_json("domain", "add", "counted.example", "--verified", "--project", "counted")
    key = await caught.command_json("key", "create", "--project", "counted")
    return Api(caught, msgspec.convert(key, Key))


async def test_mail_is_counted(counted: Api, looked_after: Api) -> None:
    await counted.post("/senders", {"address": "stats@counted.example"})
    mail = {"from": "stats@counted.example", "subject": "Hi", "text": "Hello.", "separate": True}
    for number, tags in enumerate((["a"], ["a", "b"], [])):
        to = [f"u{number}@x.example", f"v{number}@x.example"]
        await counted.post("/emails", mail | {"to": to, "tags": tags, "stream": "marketing"})
    await counted.post("/emails", mail | {"to": "bounce@simulator.outrider.test"})

    async def look() -> Any:
        found = await counted.get("/stats")
        totals = found["totals"]
        return found if (totals.get("delivered"), totals.get("bounced")) == (6, 1) else None

    found = await counted.program.until(look)
    assert found["totals"]["accepted"] == 7
    assert sum(one["counts"].get("accepted", 0) for one in found["buckets"]) == 7
    assert all(one["at"].endswith("T00:00:00Z") for one in found["buckets"])

    async def of(query: str) -> dict[str, int]:
        """Return how many were accepted, by name."""
        counts: dict[str, int] = {}
        for one in (await counted.get(f"/stats?{query}"))["buckets"]:
            counts[one["name"]] = counts.get(one["name"], 0) + one["counts"].get("accepted", 0)
        return counts

    assert await of("group=stream") == {"marketing": 6, "transactional": 1}
    assert await of("group=domain&by=hour") == {"counted.example": 7}
    assert await of("group=tag") == {"a": 4, "b": 2}
    assert await of("group=tag&tag=b") == {"b": 2}
    assert await of("tag=a") == {"": 4}
    assert await of("stream=transactional&domain=Counted.example") == {"": 1}
    assert await of("domain=mine.example") == {}
    assert await of("since=2001-01-01T00:00:00Z&until=2001-02-01T00:00:00Z") == {}
    assert await of("group=campaign&by=minute") == {"": 7}
    summary = await counted.get("/stats/summary")
    assert (summary["delivery"]["requests"], summary["delivery"]["delivered_ratio"]) == (7, round(6 / 7, 6))
    assert summary["inbox"]["deliveries"] == 6
    assert summary["tracking"]["reading_conversion_ratio"] is None
    told = (await counted.program.command("stats", "--project", "counted")).stdout
    assert "delivered:" in told
    assert "█" in told
    written = (await counted.program.command("stats", "--project", "counted", "--csv")).stdout
    assert written.splitlines()[0] == "at,name,metric,count"
    groups = (await counted.program.command("stats", "--project", "counted", "--group", "tag")).stdout
    assert groups.splitlines()[1].split()[:2] == ["a", "4"]
    # Others may write figures of their own into this installation, so its exit code may be either.
    recount = msgspec.json.decode((await counted.program.command("stats", "recount", "--json")).stdout)
    assert (recount["days"], [one for one in recount["differences"] if one["sender_domain"] == "counted.example"]) == (
        3,
        [],
    )
    mine = await looked_after.get("/stats?group=domain")
    assert "counted.example" not in {one["name"] for one in mine["buckets"]}


async def test_what_is_wrong_is_named(stranger: Api) -> None:
    for query, field in (
        ("by=year", "by"),
        ("group=day", "group"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
        ("by=hour&since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", "since"),
        ("since=2020-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", "since"),
        ("tag=%00", "tag"),
        ("tag=a&group=provider", "tag"),
        ("domain=%00", "domain"),
    ):
        assert await stranger.refused("GET", f"/stats?{query}") == (400, "bad_request", field), query
