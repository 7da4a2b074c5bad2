"""A scripted HTTP server on loopback, for clients: each request is answered by the next of its acts, and recorded.

    with HttpPeer([answer(503), hang(), answer(202, ACCEPTED)]) as peer:
        Outrider(peer.url, "id.secret").send(mail)
    assert len(peer.heard) == 3

It runs on threads, so clients that wait and clients that are awaited meet the same server. When the acts are used up
the last one is repeated. Leaving the block ends every conversation.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import msgspec

HOST: Final = "127.0.0.1"
_WAIT_S: Final = 10.0  # For anything; past it the test has failed.
_DRIP_S: Final = 0.02


class HeardRequest(msgspec.Struct, frozen=True):
    """One request, as it came."""

    method: str
    target: str
    headers: Mapping[str, str]  # Names in lower case.
    body: bytes
    connection: int  # The how-manieth connection it came over, from 0.


class Turn:
    """One request's turn: what an act has to answer with."""

    def __init__(self, plain: socket.socket, ending: threading.Event) -> None:
        self.plain: Final = plain
        self.ending: Final = ending

    def say(self, octets: bytes) -> None:
        """Send octets; who has hung up does not hear them."""
        with contextlib.suppress(OSError):
            self.plain.sendall(octets)


Act = Callable[[Turn], bool]  # Whether the connection stays open.


def answer(
    status: int,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
    is_kept: bool = True,
) -> Act:
    """Answer; without `is_kept` hang up after it, having said nothing of it."""
    given = {"Content-Type": media_type, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    octets = f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body

    def act(turn: Turn) -> bool:
        turn.say(octets)
        return is_kept

    return act


def say(*pieces: bytes) -> Act:
    """Send these octets, piece by piece, and hang up."""

    def act(turn: Turn) -> bool:
        for piece in pieces:
            turn.say(piece)
            turn.ending.wait(_DRIP_S if len(pieces) > 1 else 0)
        return False

    return act


def hang(octets: bytes = b"") -> Act:
    """Say no more than this, and stay."""

    def act(turn: Turn) -> bool:
        turn.say(octets)
        turn.ending.wait(_WAIT_S)
        return False

    return act


def drip(octets: bytes) -> Act:
    """Send one octet after the other, slowly, for ever."""

    def act(turn: Turn) -> bool:
        for octet in octets:
            turn.say(bytes([octet]))
            if turn.ending.wait(_DRIP_S):
                break
        return False

    return act


class HttpPeer:
    """The server. Its invariant: `heard` has each request that came whole, in order."""

    def __init__(self, acts: Sequence[Act], *, tls: ssl.SSLContext | None = None) -> None:
        self._acts: Final = list(acts)
        self._tls: Final = tls
        self._ending: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._listener: Final = socket.create_server((HOST, 0))
        self.port: Final = int(self._listener.getsockname()[1])
        self._threads: Final[list[threading.Thread]] = []
        self._open: Final[list[socket.socket]] = []
        self.heard: Final[list[HeardRequest]] = []
        self.connection_count = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}" if self._tls else f"http://{HOST}:{self.port}"

    def answer_with(self, *acts: Act) -> None:
        """Take these acts from now on."""
        with self._lock:
            self._acts[:] = acts

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for plain in self._open:
                with contextlib.suppress(OSError):
                    plain.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(_WAIT_S)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._ending.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                number, self.connection_count = self.connection_count, self.connection_count + 1
                self._open.append(plain)
            self._start(self._converse, plain, number)

    def _converse(self, plain: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(self._forget, plain)
            talked = plain
            if self._tls:
                plain.settimeout(_WAIT_S)
                talked = stack.enter_context(self._tls.wrap_socket(plain, server_side=True))
                with self._lock:
                    self._open.append(talked)
                stack.callback(self._forget, talked)
            incoming = stack.enter_context(talked.makefile("rb"))
            while (request := _read(incoming, number)) is not None:
                with self._lock:
                    self.heard.append(request)
                    act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
                if not act(Turn(talked, self._ending)):
                    return

    def _forget(self, plain: socket.socket) -> None:
        with self._lock:
            self._open.remove(plain)
        with contextlib.suppress(OSError):
            plain.shutdown(socket.SHUT_RDWR)
        plain.close()


def _read(incoming: object, number: int) -> HeardRequest | None:
    """Read one request; None at the end."""
    readline, read = incoming.readline, incoming.read  # type: ignore[attr-defined]
    first = readline()
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split()
    headers: dict[str, str] = {}
    while line := readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = read(int(headers.get("content-length", "0")))
    return HeardRequest(method, target, headers, body, number)
