"""The envelope around every call: what HTTP says, bodies and their bounds, streams that end with their caller."""

import asyncio
import http.client
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from outrider.base import limits
from outrider.base.vocab import KeyScope
from outrider.faces.api.v1 import face as envelope
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.routes import Route
from outrider.testing.web import HOST, ask, serving
from tests.unit.faces.api.v1.test_messages import GOOD
from tests.unit.faces.conftest import KEY_ID, KEY_SECRET, ApiFace

BEARER = {"authorization": f"Bearer {KEY_ID}.{KEY_SECRET}"}


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("DELETE", "/emails", 405, "GET, POST"),
        ("GET", "/emails/batch", 405, "POST"),
        ("GET", "/nothing", 404, None),
        ("GET", "", 404, None),
        ("GET", "/emails/batch/x/y", 404, None),
        ("GET", "/emails?nothing=1", 400, None),
        ("GET", "/emails/00000000-0000-0000-0000-000000000001?x=1", 400, None),
    ],
)
async def test_what_is_not_there_is_a_problem_too(
    face: ApiFace, method: str, target: str, status: int, allow: str | None
) -> None:
    heard = await face.call(method, target)
    assert (heard.status, heard.headers.get("allow")) == (status, allow)
    assert heard.headers["content-type"] == "application/problem+json"
    assert heard.json["status"] == status


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/emails/%FF", 400),
        ("/v1%2Femails", 404),
        ("/v1%2Fx/emails", 404),
        ("/%76%31/emails", 200),
        ("//v1//emails", 200),
    ],
)
async def test_a_path_is_parted_before_it_is_decoded(face: ApiFace, target: str, status: int) -> None:
    heard = await ask(face.app, "GET", target, headers=BEARER)
    assert heard.status == status


async def test_a_slash_at_the_end_changes_nothing(face: ApiFace) -> None:
    assert (await face.call("POST", "/emails/", GOOD)).status == 202


async def test_any_cut_of_the_body_is_the_same_call(face: ApiFace) -> None:
    octets = msgspec.json.encode(GOOD)
    for size in (1, 7, len(octets) - 1):
        chunks = [octets[at : at + size] for at in range(0, len(octets), size)]
        for is_sized in (True, False):
            heard = await ask(face.app, "POST", "/v1/emails", headers=BEARER, body=chunks, is_sized=is_sized)
            assert heard.status == 202
    assert len({msgspec.json.encode(one) for one in face.engine.submissions}) == 1


@pytest.mark.slow
async def test_a_body_with_files_may_be_large_and_not_larger(face: ApiFace) -> None:
    file = {"name": "a.bin", "content": "A" * (limits.REQUEST_BODY_BYTES_MAX + 1)}
    assert (await face.call("POST", "/emails", GOOD | {"attachments": [file]})).status == 202
    heard = await face.call("POST", "/emails", b" " * (limits.REQUEST_FILES_BYTES_MAX + 1))
    assert (heard.status, heard.json["code"]) == (413, "too_large")
    assert "40 MiB" in heard.json["detail"]
    place = "/emails/00000000-0000-0000-0000-000000000001/resend"
    assert (await face.call("POST", place, b" " * (limits.REQUEST_BODY_BYTES_MAX + 1))).status == 413


async def test_few_large_bodies_are_in_memory_at_once_and_small_ones_do_not_wait(face: ApiFace) -> None:
    inside, may_go = asyncio.Semaphore(0), asyncio.Event()
    counts = {"now": 0, "most": 0}

    async def act(call: Call, body: Any) -> Reply:
        if (call.length_bytes or 0) > limits.REQUEST_SMALL_BYTES_MAX:
            counts["now"] += 1
            counts["most"] = max(counts["most"], counts["now"])
            inside.release()
            await may_go.wait()
            counts["now"] -= 1
        return Reply(content=b"done")

    row = Route(method="POST", path="/large", act=act, scope=KeyScope.SEND, tag="T")
    app = Litestar(route_handlers=[envelope.mount(face.ports(), [row])], openapi_config=None)
    large = b'"' + b"x" * limits.REQUEST_SMALL_BYTES_MAX + b'"'
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        calls = [
            group.create_task(ask(app, "POST", "/v1/large", body=large, headers=BEARER))
            for _ in range(limits.REQUESTS_LARGE_COUNT_MAX + 2)
        ]
        for _ in range(limits.REQUESTS_LARGE_COUNT_MAX):
            await inside.acquire()
        assert (await ask(app, "POST", "/v1/large", body=b'"small"', headers=BEARER)).body == b"done"
        assert not any(one.done() for one in calls)
        may_go.set()
    assert [(await one).body for one in calls] == [b"done"] * len(calls)
    assert counts == {"now": 0, "most": limits.REQUESTS_LARGE_COUNT_MAX}


async def test_calls_are_counted_by_route_and_status(face: ApiFace) -> None:
    await face.call("POST", "/emails", GOOD)
    await face.call("GET", "/emails/00000000-0000-0000-0000-000000000001")
    await face.call("GET", "/nothing/at/all")
    text = face.metrics.render().decode()
    assert 'outrider_v1_calls_total{route="POST /emails",status="202"} 1.0' in text
    assert 'outrider_v1_calls_total{route="GET /emails/{id}",status="404"} 1.0' in text
    assert 'outrider_v1_calls_total{route="unknown",status="404"} 1.0' in text


async def test_a_bug_of_ours_is_counted_and_logged_and_tells_nothing(face: ApiFace) -> None:
    face.engine.error = ValueError("the secret of the house")
    heard = await face.call("POST", "/emails", GOOD)
    assert (heard.status, heard.json["code"]) == (500, "internal")
    assert "secret" not in heard.text
    assert "the secret of the house" in face.log.getvalue()
    assert 'outrider_internal_errors_total{place="v1"} 1.0' in face.metrics.render().decode()


def app_of(face: ApiFace, act: Any, **more: Any) -> Litestar:
    row = Route(method="GET", path="/stream", act=act, scope=KeyScope.READ, tag="T", **more)
    return Litestar(route_handlers=[envelope.mount(face.ports(), [row])], openapi_config=None)


async def test_a_reply_goes_out_as_it_is(face: ApiFace) -> None:
    async def act(call: Call) -> Reply:
        call.answer_headers.append((b"x-more", b"1"))
        return Reply(content=b"a,b\n", media_type="text/csv", status=201, headers=((b"x-own", b"2"),))

    heard = await ask(app_of(face, act), "GET", "/v1/stream", headers=BEARER)
    assert (heard.status, heard.body) == (201, b"a,b\n")
    assert (heard.headers["content-type"], heard.headers["x-more"], heard.headers["x-own"]) == ("text/csv", "1", "2")


async def test_nothing_is_204(face: ApiFace) -> None:
    async def act(call: Call) -> None:
        """Do nothing."""

    heard = await ask(app_of(face, act), "GET", "/v1/stream", headers=BEARER)
    assert (heard.status, heard.body) == (204, b"")
    assert "content-length" not in heard.headers


async def test_a_stream_is_sent_to_its_end(face: ApiFace) -> None:
    async def act(call: Call) -> Reply:
        return Reply(content=chunks(), media_type="text/csv")

    async def chunks() -> AsyncIterator[bytes]:
        for n in range(3):
            yield b"%d\n" % n

    async with serving(app_of(face, act)) as port:
        body = await asyncio.to_thread(read_all, port)
    assert body == b"0\n1\n2\n"


def read_all(port: int) -> bytes:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/v1/stream", headers=BEARER)
        return connection.getresponse().read()
    finally:
        connection.close()


async def test_a_stream_ends_when_its_caller_hangs_up(face: ApiFace) -> None:
    closed = asyncio.Event()

    async def act(call: Call) -> Reply:
        return Reply(content=endless(), media_type="text/event-stream")

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first\n"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with serving(app_of(face, act)) as port:
        await asyncio.to_thread(read_first, port)
        async with asyncio.timeout(10):
            await closed.wait()
    assert face.log.getvalue() == ""


def read_first(port: int) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", "/v1/stream", headers=BEARER)
    assert connection.getresponse().read(6) == b"first\n"
    connection.close()
