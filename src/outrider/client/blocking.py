"""`Outrider`: the client for programs that wait. Carries out the core's steps over the standard library's http.client.

Connections are kept and used again; one object may be used by any number of threads. Each step has its deadline as a
whole: a server that drips one octet a second runs out of time like one that is silent (`_Bounded`), which a socket's
own time-out does not see. Only looking up the name of the host is bounded by the system alone.
"""

import collections
import contextlib
import http.client
import io
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, cast

from outrider.client import config
from outrider.client.config import Patience, Place
from outrider.client.core import Core
from outrider.client.steps import (
    Close,
    Failure,
    Open,
    Opened,
    Pause,
    Read,
    Request,
    Step,
    Steps,
    Yielded,
    YieldingSteps,
)
from outrider.client.surface import Blocking, Surface

T = TypeVar("T")
_IDLE_COUNT_MAX: Final = 8  # Ours: connections kept for the next call.
_READ_BYTES: Final = 64 * 1024


class Timer(Protocol):
    """Time as a waiting program has it."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""

    def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""


class SystemTimer:
    """The real time. A program that imports this client has no app.py to take one from."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        return time.monotonic()  # noqa: TID251 - the client's one real clock.

    def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        time.sleep(delay_s)


class Outrider(Blocking, Surface):
    """A client that waits for each answer. Close it when done, or use it as `with Outrider() as outrider`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
        tls: ssl.SSLContext | None = None,
        timer: Timer | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: where Outrider is; None: as OUTRIDER_URL says.
            api_key: None: as OUTRIDER_API_KEY says.
            patience: how long and how often to try.
            tls: whom to trust; None: whom the system trusts.
            timer: for tests.
            chance: for tests; draws pauses and idempotency keys.

        Raises:
            SetupError: says which of them to change.
        """
        place = config.place(url, os.environ)
        patience, self._timer = patience or Patience(), timer or SystemTimer()
        self.core = Core(
            place,
            config.authorization(api_key, os.environ),
            patience=patience,
            monotonic_s=self._timer.monotonic_s,
            chance=chance or random.SystemRandom(),
        )
        self._kept: Final = _Kept(place, patience, tls, self._timer)

    def carry_out(self, steps: Steps[T]) -> T:
        """Return what the steps return."""
        with contextlib.closing(_Talk(self._kept)) as talk:
            reply: object = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as end:
                    return cast("T", end.value)
                reply = self._take(talk, step)

    def go_through(self, steps: YieldingSteps[T]) -> Iterator[T]:
        """Give what the steps yield."""
        with contextlib.closing(_Talk(self._kept)) as talk:
            reply: object = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration:
                    return
                if isinstance(step, Yielded):
                    reply = None
                    yield step.value
                else:
                    reply = self._take(talk, step)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, talk: "_Talk", step: Step) -> object:
        match step:
            case Open():
                return talk.open(step.request, step.timeout_s)
            case Read():
                return talk.read(step.timeout_s)
            case Close():
                talk.close()
            case Pause():
                self._timer.sleep(step.delay_s)
        return None


class _Bounded:
    """A socket whose every operation ends when `ends_s` comes, however many octets drip in."""

    def __init__(self, plain: socket.socket, timer: Timer) -> None:
        self._plain: Final = plain
        self._timer: Final = timer
        self.ends_s = 0.0

    def arm(self) -> None:
        left_s = self.ends_s - self._timer.monotonic_s()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._plain.settimeout(left_s)

    def sendall(self, octets: bytes) -> None:
        self.arm()
        self._plain.sendall(octets)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self, self._plain.makefile("rb", buffering=0)))

    def close(self) -> None:
        self._plain.close()

    def is_readable(self) -> bool:
        """Tell whether something came while nothing was asked: the end, most likely."""
        poll = select.poll()
        poll.register(self._plain, select.POLLIN)
        return bool(poll.poll(0))


class _Incoming(io.RawIOBase):
    def __init__(self, bounded: _Bounded, plain: Any) -> None:
        self._bounded: Final = bounded
        self._plain: Final = plain

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._bounded.arm()
        return cast("int | None", self._plain.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._plain.close()
        super().close()


class _Connection:
    """One connection, and whether it was used before."""

    def __init__(self, plain: http.client.HTTPConnection, bounded: _Bounded) -> None:
        self.plain: Final = plain
        self.bounded: Final = bounded
        self.is_used = False


class _Kept:
    """Makes connections, and keeps those that may be used again. Safe from many threads: a deque's ends are."""

    def __init__(self, place: Place, patience: Patience, tls: ssl.SSLContext | None, timer: Timer) -> None:
        self._place: Final = place
        self._patience: Final = patience
        self._tls = tls
        self._timer: Final = timer
        self._idle: Final[collections.deque[_Connection]] = collections.deque()

    def take(self) -> _Connection | None:
        """Return a kept connection that looks alive, the one used last; None: there is none."""
        while True:
            try:
                found = self._idle.pop()
            except IndexError:
                return None
            if not found.bounded.is_readable():
                return found
            found.plain.close()

    def make(self, timeout_s: float) -> _Connection:
        """Connect. Raises OSError."""
        limit_s = min(timeout_s, self._patience.connect_s)
        plain: http.client.HTTPConnection
        if self._place.is_tls:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            plain = http.client.HTTPSConnection(self._place.host, self._place.port, timeout=limit_s, context=self._tls)
        else:
            plain = http.client.HTTPConnection(self._place.host, self._place.port, timeout=limit_s)
        plain.connect()
        bounded = _Bounded(plain.sock, self._timer)
        plain.sock = bounded  # http.client needs of a socket what _Bounded has.
        return _Connection(plain, bounded)

    def ends_s(self, timeout_s: float) -> float:
        """Return when a step that may take so long must be over."""
        return self._timer.monotonic_s() + timeout_s

    def give_back(self, connection: _Connection) -> None:
        """Keep it for the next call."""
        connection.is_used = True
        if len(self._idle) < _IDLE_COUNT_MAX:
            self._idle.append(connection)
        else:
            connection.plain.close()

    def close(self) -> None:
        """Close what is idle."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().plain.close()


class _Talk:
    """The request and answer under way."""

    def __init__(self, kept: _Kept) -> None:
        self._kept: Final = kept
        self._connection: _Connection | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._is_whole = False

    def open(self, request: Request, timeout_s: float) -> Opened | Failure:
        self.close()
        ends_s = self._kept.ends_s(timeout_s)
        connection = self._kept.take()
        if connection is None:
            try:
                connection = self._kept.make(timeout_s)
            except OSError as error:
                return _failure(error, is_sent=False)
        self._connection = connection
        connection.bounded.ends_s = ends_s
        try:
            self._answer = _ask(connection.plain, request)
        except (OSError, http.client.HTTPException) as error:
            is_stale = connection.is_used and isinstance(
                error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError
            )
            self._drop()
            return _failure(error, is_stale=is_stale)
        self._is_whole = False
        return Opened(self._answer.status, {name.lower(): value for name, value in self._answer.getheaders()})

    def read(self, timeout_s: float) -> bytes | Failure:
        assert self._answer is not None
        assert self._connection is not None
        self._connection.bounded.ends_s = self._kept.ends_s(timeout_s)
        try:
            octets = self._answer.read1(_READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            return _failure(error)
        if not octets:
            if self._answer.length:  # http.client is silent about an end that came too early.
                self._drop()
                return Failure("the connection ended within the answer")
            self._is_whole = True
        return octets

    def close(self) -> None:
        """Keep the connection if its answer was read to the end, else close it."""
        connection, answer = self._connection, self._answer
        if connection is None:
            return
        if answer is not None and self._is_whole and not answer.will_close:
            answer.close()
            self._connection = self._answer = None
            self._kept.give_back(connection)
        else:
            self._drop()

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
        if self._connection is not None:
            self._connection.plain.close()
        self._connection = self._answer = None


def _ask(plain: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
    try:
        plain.request(request.method, request.target, request.body, dict(request.headers))
    except BrokenPipeError:  # It may have answered before it heard all of us: too large, too many.
        with contextlib.suppress(OSError, http.client.HTTPException):
            return plain.getresponse()
        raise
    return plain.getresponse()


def _failure(error: Exception, *, is_sent: bool = True, is_stale: bool = False) -> Failure:
    return Failure(
        str(error) or type(error).__name__,
        is_sent=is_sent,
        is_timeout=isinstance(error, TimeoutError),
        is_stale=is_stale,
        is_final=isinstance(error, ssl.SSLCertVerificationError),
    )
