"""What strangers try at tracked links, as bytes on a socket: nobody is led anywhere that was not sealed."""

import base64
import os
import socket
from collections.abc import Iterator, Mapping
from uuid import UUID

import pytest

from outrider.mail.link_tokens import Tokens
from outrider.services.tracking_terms import tokens_of
from outrider.store import master_key
from outrider.store.vault import vault_of
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

NOBODY = UUID(int=404)  # What is recorded of it is nobody's, so no other test sees it.
TARGET = "https://shop.example/offer?a=1"
REFUSED = {400, 404, 405, 414, 431}
Said = tuple[int, Mapping[str, str]]


class Stranger:
    """One connection, kept while the server keeps it."""

    def __init__(self, program: Program) -> None:
        self._address = ("127.0.0.1", program.ports["HTTP"])
        self._socket: socket.socket | None = None
        self.tokens = tokens_of(vault_of(master_key.find("", program.data_dir, os.environ)))

    def say(
        self, target: bytes, *, method: bytes = b"GET", host: bytes = b"a.example"
    ) -> tuple[int, Mapping[str, str]]:
        """Return the status and the header; 400 where the server only hangs up."""
        request = b"%b %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n" % (method, target, host)
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=10)
        self._socket.sendall(request)
        said = b""
        while b"\r\n\r\n" not in said:
            piece = self._socket.recv(65536)
            if not piece:
                self.leave()
                break
            said += piece
        head, _, body = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        header = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if method == b"HEAD" else int(header.get("content-length", "0"))
        while self._socket is not None and len(body) < length:
            body += self._socket.recv(65536)
        if header.get("connection") == "close":
            self.leave()
        return int(first.split(" ")[1]) if first else 400, header

    def leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def link(self, host: str = "") -> bytes:
        return f"/t/{self.tokens.link(NOBODY, 1, TARGET, host=host)}".encode()

    def pixel(self) -> bytes:
        return f"/o/{self.tokens.pixel(NOBODY, host='')}.gif".encode()


@pytest.fixture
def stranger(caught: Program) -> Iterator[Stranger]:
    made = Stranger(caught)
    yield made
    made.leave()


def leads_nowhere(stranger: Stranger, target: bytes, **more: bytes) -> None:
    status, header = stranger.say(target, **more)
    assert status in REFUSED, (target, status)
    assert "location" not in header, target


def encode(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


async def test_no_octet_of_a_token_can_be_changed_nor_left_out(stranger: Stranger) -> None:
    assert stranger.say(stranger.link())[1]["location"] == TARGET
    token = stranger.link()[3:]
    sealed = base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    for at in range(len(sealed)):
        leads_nowhere(stranger, b"/t/" + encode(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]))
        leads_nowhere(stranger, b"/t/" + encode(sealed[:at]))
    for other in (sealed + b"\0", b"\0" + sealed, sealed + sealed, sealed[::-1], b"", bytes(len(sealed))):
        leads_nowhere(stranger, b"/t/" + encode(other))


async def test_a_token_of_another_use_host_or_installation_leads_nowhere(stranger: Stranger) -> None:
    link, pixel, bound = stranger.link(), stranger.pixel(), stranger.link(host="go.mine.example")
    assert stranger.say(bound, host=b"go.mine.example")[1]["location"] == TARGET
    leads_nowhere(stranger, b"/t/" + pixel[3:-4])
    leads_nowhere(stranger, b"/o/" + link[3:] + b".gif")
    leads_nowhere(stranger, bound, host=b"go.theirs.example")
    leads_nowhere(stranger, bound)
    for key in (bytes(32), b"k" * 32):
        leads_nowhere(stranger, f"/t/{Tokens(key).link(NOBODY, 1, 'https://evil.example/', host='')}".encode())


@pytest.mark.parametrize(
    "end",
    [b"?url=https://evil.example/", b"?next=//evil.example", b"#//evil.example"],
    ids=["url", "next", "fragment"],
)
async def test_what_stands_behind_a_token_changes_nothing(stranger: Stranger, end: bytes) -> None:
    status, header = stranger.say(stranger.link() + end)
    assert (status, header.get("location")) in {(302, TARGET), (400, None), (404, None)}


async def test_no_path_is_a_way_out(stranger: Stranger) -> None:
    link = stranger.link()
    for target in (
        *(b"/t/", b"/t", b"/o/", b"/o/.gif", b"/t//evil.example", b"/t/https://evil.example/", b"//evil.example/"),
        *(b"/t/..//evil.example", b"/t/%2f%2fevil.example", b"/t/\\\\evil.example", b"/t/%5c%5cevil.example"),
        *(b"/t/%0d%0aLocation:%20https://evil.example/", b"/t/\r\nLocation: https://evil.example/"),
        *(link + b"%00", link + b"\0", link + b"%0d%0a", link + b"/", link + b"//evil.example", link + b"%20"),
        *(b"/t/" + b"A" * 9000, b"/t/" + b"A" * 100_000, b"/t/" + "\u00e9".encode() * 60, b"/t/" + b"\xff" * 60),
        b"http://evil.example/t/" + b"A" * 60,
    ):
        leads_nowhere(stranger, target)
        stranger.leave()  # What came behind a CR LF is another request.


async def test_head_is_answered_the_same_and_other_methods_are_refused(stranger: Stranger) -> None:
    for target in (stranger.link(), stranger.pixel()):
        got, headed = stranger.say(target), stranger.say(target, method=b"HEAD")
        assert headed[0] == got[0]
        assert headed[1].get("location") == got[1].get("location")
        for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"):
            status, header = stranger.say(target, method=method)
            assert (status, header["allow"], "location" in header) == (405, "GET, HEAD", False)
