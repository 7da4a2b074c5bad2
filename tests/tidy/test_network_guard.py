"""No test leaves this machine: `tests/conftest.py` stands before every way out."""

import asyncio
import socket
from collections.abc import Callable

import pytest

OUTSIDE = "192.0.2.1"  # RFC 5737 §3: nobody's.


@pytest.mark.parametrize(
    "leave",
    [
        lambda tcp, _: tcp.connect((OUTSIDE, 25)),
        lambda tcp, _: tcp.connect_ex((OUTSIDE, 25)),
        lambda _, udp: udp.sendto(b"x", (OUTSIDE, 53)),
        lambda _, udp: udp.connect((OUTSIDE, 53)),
        lambda *_: socket.getaddrinfo("mail.example", 25),
        lambda *_: socket.create_connection(("mail.example", 25), 1),
    ],
)
def test_no_socket_leaves(leave: Callable[[socket.socket, socket.socket], object]) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        pytest.raises(RuntimeError, match="tests "),
    ):
        leave(tcp, udp)


async def test_no_stream_leaves() -> None:
    with pytest.raises(RuntimeError, match="not to 192"):
        await asyncio.open_connection(OUTSIDE, 25)


async def test_loopback_is_open() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
