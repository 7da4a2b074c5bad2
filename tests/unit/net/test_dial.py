"""Dialling: a protocol, or why there is none."""

import asyncio
import errno
import socket

import pytest

from outrider.base.vocab import Phase
from outrider.net import dial
from outrider.wire.answer import Answer, Cause

LOOPBACK = "127.0.0.1"


class Visitor(asyncio.Protocol):
    """Notes where a connection comes from."""

    def __init__(self) -> None:
        self.came_from = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.came_from = transport.get_extra_info("sockname")[0]
        transport.close()


async def listen(address: str = LOOPBACK) -> tuple[asyncio.Server, int]:
    server = await asyncio.get_running_loop().create_server(Visitor, address, 0)
    return server, server.sockets[0].getsockname()[1]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))
        port: int = unused.getsockname()[1]
    return port


@pytest.mark.parametrize("source", ["", "127.0.0.3"])
async def test_a_connection_comes_from_the_chosen_source(source: str) -> None:
    server, port = await listen()
    made = await dial.dial(Visitor, LOOPBACK, port, wait_s=5, source=source)
    server.close()
    assert isinstance(made, Visitor)
    assert made.came_from == (source or LOOPBACK)


async def test_ipv6_works_like_ipv4() -> None:
    server, port = await listen("::1")
    made = await dial.dial(Visitor, "::1", port, wait_s=5)
    server.close()
    assert isinstance(made, Visitor)
    assert made.came_from == "::1"


async def test_a_closed_port_refuses() -> None:
    assert await dial.dial(Visitor, LOOPBACK, free_port(), wait_s=5) == Answer(Phase.CONNECT, None, Cause.REFUSED)


async def test_a_source_of_the_other_family_reaches_nobody() -> None:
    made = await dial.dial(Visitor, LOOPBACK, free_port(), wait_s=5, source="::1")
    assert made == Answer(Phase.CONNECT, None, Cause.UNREACHABLE)


async def test_a_host_that_says_nothing_costs_the_deadline() -> None:
    with socket.socket() as full:  # Its queue of connections is full: further ones are neither taken nor refused.
        full.bind((LOOPBACK, 0))
        full.listen(0)
        port = full.getsockname()[1]
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex((LOOPBACK, port))
        assert await dial.dial(Visitor, LOOPBACK, port, wait_s=0.05) == Answer(Phase.CONNECT, None, Cause.TIMEOUT)
        for caller in callers:
            caller.close()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError(), Cause.TIMEOUT),
        (OSError(errno.ETIMEDOUT, "x"), Cause.TIMEOUT),
        (OSError(errno.ECONNREFUSED, "x"), Cause.REFUSED),
        (OSError(errno.ECONNRESET, "x"), Cause.RESET),
        (OSError(errno.ENETUNREACH, "x"), Cause.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "x"), Cause.UNREACHABLE),
        (OSError(errno.EADDRNOTAVAIL, "x"), Cause.UNREACHABLE),
        (OSError("no matching local address"), Cause.UNREACHABLE),
        (OSError(errno.EMFILE, "x"), Cause.INTERNAL),
        (OSError(errno.ENFILE, "x"), Cause.INTERNAL),
    ],
)
def test_trouble_of_ours_is_told_from_theirs(error: OSError, cause: Cause) -> None:
    assert dial.cause_of(error) is cause
