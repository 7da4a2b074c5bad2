"""The whole app on a real socket, spoken to by a real HTTP client."""

import asyncio
import http.client
import socket
from collections.abc import Mapping
from typing import Any

import litestar
import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import NotFoundError, StoreUnavailableError
from outrider.faces.api.app import make_app
from outrider.testing.web import HOST, ask, serving
from tests.unit.faces.conftest import GOOD, ApiFace, basic

SEND_EMAIL = "/api/v1/email/SendEmail"


def post(port: int, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", SEND_EMAIL, body, dict(headers))
        answer = connection.getresponse()
        assert answer.headers["X-Speedo-Request-Uuid"]
        return answer.status, msgspec.json.decode(answer.read())
    finally:
        connection.close()


async def test_a_mail_is_sent_over_a_socket(face: ApiFace) -> None:
    async with serving(face.app) as port:
        headers = {"Authorization": basic()}
        status, answer = await asyncio.to_thread(post, port, msgspec.json.encode(GOOD), headers)
    assert (status, answer["RetCode"]) == (200, 0)
    assert len(face.engine.calls) == 1


@pytest.mark.slow
@pytest.mark.parametrize("authorization", [basic(), "Basic wrong"])
async def test_a_client_that_sends_too_much_still_hears_why(face: ApiFace, authorization: str) -> None:
    """Closed early, the socket would give it a broken pipe instead (http.client sends all before it reads)."""
    body = b"x" * (limits.REQUEST_BODY_BYTES_MAX + 1)
    async with serving(face.app) as port:
        status, answer = await asyncio.to_thread(post, port, body, {"Authorization": authorization})
    assert status == 200
    assert answer["RetCode"] == (215392 if authorization == basic() else 215393)


@pytest.mark.slow
async def test_a_client_that_hangs_up_halfway_does_no_harm(face: ApiFace) -> None:
    body = msgspec.json.encode(GOOD)
    head = f"POST {SEND_EMAIL} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serving(face.app) as port:
        with socket.create_connection((HOST, port)) as half:
            half.sendall(head.encode() + body[:-1])
        status, _ = await asyncio.to_thread(post, port, body, {"Authorization": basic()})
    assert status == 200
    assert len(face.engine.calls) == 1
    assert face.log.getvalue() == ""


@pytest.mark.parametrize("host", ["mail.shop.example", "127.0.0.1:8025", "[::1]:8025", "a_b.example", ""])
@pytest.mark.parametrize("path", [SEND_EMAIL, f"{SEND_EMAIL}/", f"/{SEND_EMAIL}"])
async def test_the_busiest_call_is_answered_alike_straight_and_through_the_routing(
    face: ApiFace, host: str, path: str
) -> None:
    headers = {"host": host, "authorization": basic()}
    heard = await ask(face.app, "POST", path, headers=headers, body=msgspec.json.encode(GOOD))
    assert (heard.status, msgspec.json.decode(heard.body)["RetCode"]) == (200, 0)
    assert heard.headers["x-speedo-request-uuid"]
    refused = await ask(face.app, "GET", path, headers=headers)
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert len(face.engine.calls) == 1


@pytest.mark.parametrize("host", ["shop.example/", "a b", "a\\b", "<x>"])
async def test_a_host_that_is_none_is_refused_before_the_busiest_call_too(face: ApiFace, host: str) -> None:
    headers = {"host": host, "authorization": basic()}
    heard = await ask(face.app, "POST", SEND_EMAIL, headers=headers, body=msgspec.json.encode(GOOD))
    assert heard.status == 400
    assert face.engine.calls == []


async def test_other_faces_bring_their_own_routes(face: ApiFace) -> None:
    @litestar.get("/elsewhere", sync_to_thread=False)
    def elsewhere() -> str:
        return "here"

    app = make_app(face.ports(), [elsewhere])
    assert (await ask(app, "GET", "/elsewhere")).text == "here"
    assert (await ask(app, "GET", "/nowhere")).status == 404


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


async def get_from_a_face_that_raises(face: ApiFace, error: Exception) -> tuple[int, bytes]:
    @litestar.get("/elsewhere", sync_to_thread=False)
    def elsewhere() -> str:
        raise error

    async with serving(make_app(face.ports(), [elsewhere])) as port:
        return await asyncio.to_thread(get, port, "/elsewhere?key=word")


async def test_a_bug_in_a_page_is_logged_and_counted_and_the_stranger_hears_nothing_of_it(face: ApiFace) -> None:
    status, body = await get_from_a_face_that_raises(face, RuntimeError("at /srv/outrider"))
    assert (status, msgspec.json.decode(body)["detail"]) == (500, "Internal Server Error")
    (line,) = face.log.getvalue().splitlines()
    told = msgspec.json.decode(line)
    assert (told["event"], told["level"], told["method"], told["path"]) == (
        "page_failed",
        "error",
        "GET",
        "/elsewhere",
    )
    assert "Traceback" in told["exception"]
    assert "RuntimeError: at /srv/outrider" in told["exception"]
    assert b'outrider_internal_errors_total{place="web"} 1.0' in face.metrics.render()


async def test_an_error_of_ours_in_a_page_has_its_own_status_and_is_no_bug(face: ApiFace) -> None:
    error = StoreUnavailableError("The database is away.", cause="no route to 10.1.2.3")
    status, body = await get_from_a_face_that_raises(face, error)
    assert (status, msgspec.json.decode(body)) == (503, {"status_code": 503, "detail": "The database is away."})
    told = msgspec.json.decode(face.log.getvalue())
    assert (told["event"], told["detail_cause"]) == ("page_refused", "no route to 10.1.2.3")
    assert b'place="web"' not in face.metrics.render()


@pytest.mark.parametrize("error", [NotFoundError("No such thing."), litestar.exceptions.NotFoundException()])
async def test_what_a_caller_did_wrong_is_not_logged(face: ApiFace, error: Exception) -> None:
    status, _ = await get_from_a_face_that_raises(face, error)
    assert (status, face.log.getvalue()) == (404, "")


async def test_two_apps_live_side_by_side() -> None:
    first, second = ApiFace(), ApiFace()
    await first.send_email()
    assert (len(first.engine.calls), len(second.engine.calls)) == (1, 0)
