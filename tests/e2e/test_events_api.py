"""/v1/events on running programs: nothing is missed by cursor or stream; who may not hear any more hears no more."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from outrider.testing.api import Api, Listening
from outrider.testing.clock import RealClock
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

ENDS_S = 1.0  # A key that is revoked ends its streams within that.
MAIL: dict[str, Any] = {"from": "events@mine.example", "subject": "Hi", "text": "Hello.", "metadata": {"order": "7"}}


@pytest_asyncio.fixture(loop_scope="session")
async def sends(looked_after: Api) -> AsyncIterator[Api]:
    """Yield a caller whose project can send."""
    await looked_after.post("/senders", {"address": "events@mine.example"})
    yield looked_after


async def send(api: Api, *to: str) -> str:
    answer: str = (await api.post("/emails", MAIL | {"to": list(to), "separate": True, "tags": ["t"]}))["id"]
    return answer


async def everything(api: Api, after: str = "", query: str = "") -> list[dict[str, Any]]:
    """Read the log to its end."""
    found: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = await api.get(f"/events?limit=3&after={after}{query}")
        found += page["events"]
        after, has_more = page["next"], page["has_more"]
    return found


async def heard(stream: Listening, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        one = await stream.next()
        assert one is not None
        if one.event:
            assert (one.event, one.id) == (one.data["kind"], one.data["id"])
            found.append(one.data)
    return found


async def test_the_log_is_read_by_cursor_and_by_kind(sends: Api, stranger: Api) -> None:
    before = (await sends.get("/events"))["next"]
    while (page := await sends.get(f"/events?after={before}"))["has_more"]:
        before = page["next"]
    before = page["next"]
    sent = await send(sends, "ann@x.example", "bob@x.example")

    async def look() -> list[dict[str, Any]]:
        found = await everything(sends, before)
        return found if len(found) == 3 else []

    events = await sends.program.until(look)
    assert {(one["kind"], one["recipient"]) for one in events} == {
        ("accepted", ""),
        ("delivered", "ann@x.example"),
        ("delivered", "bob@x.example"),
    }
    for one in events:
        assert (one["message_id"], one["subject"], one["from"]) == (sent, "Hi", "events@mine.example")
        assert (one["tags"], one["metadata"], one["stream"]) == (["t"], {"order": "7"}, "transactional")
        assert "dialogue" not in one["facts"]
    assert await everything(sends, events[0]["id"]) == events[1:]
    assert [one["kind"] for one in await everything(sends, before, "&kind=accepted")] == ["accepted"]
    assert await everything(sends, query="&since=2090-01-01T00:00:00Z") == []
    assert sent not in str(await everything(stranger))
    last = await sends.get(f"/events?after={events[-1]['id']}")
    assert (last["events"], last["has_more"]) == ([], False)


async def test_a_stream_tells_what_happens_and_goes_on_without_a_gap(sends: Api, stranger: Api) -> None:
    async with stranger.listen() as other:
        async with sends.listen() as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
            await send(sends, "ann@y.example")
            accepted, delivered = await heard(stream, 2)
            assert (accepted["kind"], delivered["kind"]) == ("accepted", "delivered")
        ids = await asyncio.gather(*(send(sends, *(f"u{n}@y.example" for n in range(20))) for _ in range(15)))
        async with sends.listen(last_event_id=accepted["id"]) as stream:
            found = await heard(stream, 1 + 15 * 21)
            assert found[0] == delivered
            assert len({one["id"] for one in found}) == len(found)
            assert {one["message_id"] for one in found[1:]} == set(ids)
            assert await everything(sends, accepted["id"]) == found
        async with sends.listen(f"?kind=delivered&after={found[-2]['id']}") as stream:
            await send(sends, "last@y.example")
            kinds = [one["kind"] for one in await heard(stream, 1)]
            assert kinds == ["delivered"]
        with pytest.raises(TimeoutError):
            await other.next(0.3)


async def test_a_quiet_stream_beats_and_says_where_it_is(stranger: Api) -> None:
    async with stranger.listen() as stream:
        beat = await stream.next(20.0)
        assert beat is not None
        assert (beat.event, beat.data) == ("", None)
    assert (await stranger.get(f"/events?after={beat.id}"))["events"] == []


async def test_a_stream_ends_with_its_key_or_token(sends: Api) -> None:
    key = await sends.key("read", "manage")
    token = (await Api(sends.program, key).post("/tokens", {"scopes": ["read"]}))["token"]
    clock = RealClock()
    async with Api(sends.program, key).listen() as by_key, Api(sends.program, token).listen() as by_token:
        for stream in (by_key, by_token):
            with pytest.raises(TimeoutError):
                await stream.next(0.6)
        began_s = clock.monotonic_s()
        await sends.delete(f"/keys/{key.access_key_id}")
        await asyncio.gather(by_key.until_end(), by_token.until_end())
        assert clock.monotonic_s() - began_s < ENDS_S + 0.3  # The call that revokes, and a busy machine.
    async with Api(sends.program, key).listen() as refused:
        assert refused.status == 401


async def test_a_stream_ends_when_its_key_may_read_no_more(sends: Api) -> None:
    key = await sends.key("read", "send")
    async with Api(sends.program, key).listen() as stream:
        await sends.patch(f"/keys/{key.access_key_id}", {"scopes": ["send"]})
        await stream.until_end(2.0)


async def test_what_is_wrong_is_named(sends: Api) -> None:
    for path, wanted in (
        ("/events?after=x", (400, "bad_request", "after")),
        ("/events?after=ffffffffffffffff-0-0", (400, "bad_request", "after")),
        ("/events?after=%00", (400, "bad_request", "after")),
        ("/events?kind=eaten", (400, "bad_request", "kind[0]")),
        ("/events?since=2026-01-01T00:00:00", (400, "bad_request", "since")),
        ("/events?limit=1001", (400, "bad_request", "limit")),
        ("/events/stream?after=0", (400, "bad_request", "after")),
    ):
        assert await sends.refused("GET", path) == wanted, path
    answer = await sends.ask("GET", "/events/stream", headers={"Last-Event-ID": "a b"})
    assert (answer.status, answer.json()["field"]) == (400, "after")


async def test_a_project_has_a_bounded_number_of_streams(sends: Api) -> None:
    workers, most = 2, 20
    async with asyncio.timeout(20):
        opened = [sends.listen() for _ in range(workers * most + 1)]
        streams = [await one.__aenter__() for one in opened]
        statuses = [stream.status for stream in streams]
        for one in opened:
            await one.__aexit__(None, None, None)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= workers * most

    async def has_room() -> bool:
        async with sends.listen() as stream:
            return stream.status == 200

    await sends.program.until(has_room)


async def test_a_server_that_stops_ends_its_streams_at_once(folder: Path) -> None:
    async with Program(folder / "node") as program:
        await program.start()
        assert program.key is not None
        api = Api(program, program.key)
        async with api.listen() as stream:
            with pytest.raises(TimeoutError):
                await stream.next(0.6)
            stopping = asyncio.create_task(program.stop())
            await stream.until_end(1.5)
            assert stream.is_whole
            assert await stopping < 5.0
