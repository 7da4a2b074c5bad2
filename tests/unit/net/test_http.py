"""Files fetched over real sockets: what a stranger's URL can and cannot make us do."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from outrider.base.errors import CallerError, TooLargeError
from outrider.net import guard
from outrider.net.http import Fetched, Fetcher

LOOPBACK = "127.0.0.1"


class Names(AbstractResolver):
    """Names to addresses; counts questions, and may answer otherwise from the second on."""

    def __init__(self, **names: str) -> None:
        self.names = {name.replace("_", "."): address for name, address in names.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return [ResolveResult(hostname=host, host=self.names[host], port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to close."""


class Files:
    """A server that says what it is told by path, and remembers what it was asked."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard.append(head)
            path = head.split(b" ")[1].decode()
            writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
                if path == "/slow":
                    await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(**answers: bytes) -> AsyncIterator[Files]:
    files = Files({f"/{name}": answer for name, answer in answers.items()})
    server = await asyncio.start_server(files.talk, LOOPBACK, 0)
    files.port = server.sockets[0].getsockname()[1]
    async with server:
        yield files


def ok(content: bytes, *, length: int | None = None, kind: str = "image/png; a=b") -> bytes:
    size = len(content) if length is None else length
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + content


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def fetcher(files: Files, *, wait_s: float = 5.0, names: Names | None = None, inside: bool = True) -> Fetcher:
    """Return one that may talk to this test's server, or, with `inside` False, guards as in real life."""
    return Fetcher(
        wait_s=wait_s,
        ports=frozenset({files.port}),
        is_allowed=(lambda address: address == LOOPBACK) if inside else guard.is_public,
        resolver=names or Names(files_example=LOOPBACK, inner_example="10.0.0.1"),
    )


async def refusal(fetch: Fetcher, url: str, bytes_max: int = 1000) -> CallerError:
    with pytest.raises(CallerError) as caught:
        await fetch.fetch(url, bytes_max=bytes_max, field="attachments[0].url")
    assert caught.value.field == "attachments[0].url"
    assert "127.0.0.1" not in caught.value.public
    return caught.value


async def test_a_file_comes_with_its_type_and_nothing_of_ours_goes() -> None:
    async with serving(logo=ok(b"png")) as files:
        url = f"http://files.example:{files.port}/logo"
        assert await fetcher(files).fetch(url, bytes_max=3, field="url") == Fetched(b"png", "image/png")
    (head,) = files.heard
    assert b"identity" in head
    assert not any(word in head.lower() for word in (b"cookie", b"authorization", b"referer"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://files.example/a",
        "gopher://files.example/a",
        "http://",
        "//files.example/a",
        "http://user:secret@files.example/a",
        "http://files.example:22/a",
        "http://files.example:99999/a",
        "http://[::1/a",
        "http://files.example/a\r\nHost: x",
        "http://files.example/" + "a" * 2001,
        "http://127.0.0.1/a",
        "http://[::ffff:127.0.0.1]/a",
        "http://169.254.169.254/latest/meta-data",
        "http://①②⑦.⓪.⓪.①/a",
        "http://127。0。0。1/a",
        "http://１６９．254.169.254/latest/meta-data",
        "http://%31%32%37.0.0.1/a",
        "http://[fe80::1%25eth0]/a",
    ],
)
async def test_what_is_no_url_of_ours_is_refused_without_a_question(url: str) -> None:
    names = Names()
    async with serving() as files:
        guarded = Fetcher(wait_s=5.0, resolver=names)
        await refusal(guarded, url)
    assert (files.heard, names.asked) == ([], [])


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost", "inner.example"])
async def test_a_name_that_leads_inside_is_not_dialled(host: str) -> None:
    names = Names(**{"localhost": LOOPBACK, "inner_example": "10.0.0.1", "2130706433": LOOPBACK})
    names.names |= {"0x7f000001": LOOPBACK, "127.1": LOOPBACK}
    async with serving(a=ok(b"secret")) as files:
        await refusal(fetcher(files, names=names, inside=False), f"http://{host}:{files.port}/a")
    assert files.heard == []


async def test_a_redirect_inside_is_not_followed() -> None:
    async with serving() as files:
        files.answers = {
            "/a": moved(f"http://inner.example:{files.port}/secret"),
            "/b": moved(f"http://169.254.169.254:{files.port}/"),
            "/c": moved("file:///etc/passwd"),
            "/d": moved(f"http://①②⑦.⓪.⓪.①:{files.port}/secret".encode().decode("latin-1")),
            "/e": moved(f"http://%31%32%37.0.0.1:{files.port}/secret"),
        }
        for path in files.answers:
            await refusal(fetcher(files), f"http://files.example:{files.port}{path}")
        assert len(files.heard) == 5


async def test_a_file_that_has_moved_is_found_and_one_that_keeps_moving_is_not() -> None:
    async with serving(a=moved("b"), b=moved("/c"), c=ok(b"x"), d=moved("/d")) as files:
        found = await fetcher(files).fetch(f"http://files.example:{files.port}/a", bytes_max=10, field="url")
        assert found.content == b"x"
        assert "redirects" in (await refusal(fetcher(files), f"http://files.example:{files.port}/d")).public


@pytest.mark.parametrize("answer", [ok(b"x" * 2000), ok(b"x" * 2000, length=2000)], ids=["said", "said, too"])
async def test_no_more_is_read_than_is_left(answer: bytes) -> None:
    async with serving(a=answer) as files:
        assert isinstance(await refusal(fetcher(files), f"http://files.example:{files.port}/a"), TooLargeError)


async def test_a_server_that_does_not_say_the_size_is_cut_off() -> None:
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 200_000
    async with serving(a=endless) as files:
        assert isinstance(await refusal(fetcher(files), f"http://files.example:{files.port}/a"), TooLargeError)


async def test_a_compressed_answer_stays_small() -> None:
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00"
    async with serving(a=bomb) as files:
        found = await fetcher(files).fetch(f"http://files.example:{files.port}/a", bytes_max=10, field="url")
    assert found.content == b"\x1f\x8b\x08\x00\x00"


@pytest.mark.parametrize(
    ("answer", "word"),
    [(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500"), (b"nonsense\r\n\r\n", "fetched"), (b"", "fetched")],
)
async def test_a_server_that_fails_is_told_to_the_caller(answer: bytes, word: str) -> None:
    async with serving(a=answer) as files:
        assert word in (await refusal(fetcher(files), f"http://files.example:{files.port}/a")).public


async def test_a_server_that_hangs_costs_the_time_that_was_set() -> None:
    async with serving(slow=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as files:
        error = await refusal(fetcher(files, wait_s=0.2), f"http://files.example:{files.port}/slow")
    assert "did not come" in error.public
