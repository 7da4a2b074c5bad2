"""The server runs until it is stopped, and a stop waits for the answers under way."""

import asyncio
import http.client
import socket

import litestar
import pytest

from outrider.faces.api.server import HttpServer
from outrider.testing.web import HOST, serving


@litestar.get("/", sync_to_thread=False)
def hello() -> str:
    return "hello"


def fetch(port: int) -> bytes:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def make_app() -> litestar.Litestar:
    return litestar.Litestar([hello], openapi_config=None, logging_config=None)


@pytest.mark.slow
async def test_it_answers_until_it_is_stopped() -> None:
    async with serving(make_app()) as port:
        assert await asyncio.to_thread(fetch, port) == b"hello"
    with pytest.raises(OSError, match="refused"), socket.create_connection((HOST, port)):
        pass


@pytest.mark.slow
async def test_a_stop_lets_an_answer_under_way_finish() -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    @litestar.get("/")
    async def slow() -> str:
        asked.set()
        await may_answer.wait()
        return "late"

    app = litestar.Litestar([slow], openapi_config=None, logging_config=None)
    async with asyncio.TaskGroup() as group, serving(app) as port:
        answer = group.create_task(asyncio.to_thread(fetch, port))
        await asyncio.wait_for(asked.wait(), 10)
        asyncio.get_running_loop().call_later(0.05, may_answer.set)
    assert answer.result() == b"late"


async def test_one_stopped_before_it_ran_does_not_run() -> None:
    server = HttpServer(make_app(), HOST, 1)
    server.stop()
    server.stop()
    await asyncio.wait_for(server.run(), 1)
