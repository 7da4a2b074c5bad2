"""Reads a request body within its bounds of size and time.

A caller whose body is too large still hears why: what follows is read and thrown away, up to as much again, because a
connection closed under a client that is still sending shows it a broken pipe instead of our answer. A caller that
waits for `100 Continue` hears it before sending anything.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from litestar.types import HTTPScope, Receive

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, TooLargeError

_UNREAD_BYTES_MAX: Final = 256 * 1024  # Measured with granian 2.8: up to 1 MB left unread does no harm.


class CallerGoneError(Exception):
    """The connection closed before the body was complete. In no error table: there is nobody to answer."""


class Places:
    """So many calls at once may hold much in memory; the others wait."""

    def __init__(self, count: int = limits.REQUESTS_LARGE_COUNT_MAX) -> None:
        self._free: Final = asyncio.Semaphore(count)

    @contextlib.asynccontextmanager
    async def take(self, *, is_needed: bool = True) -> AsyncIterator[None]:
        """Wait for a place, and hold it. Raises BusyError: there was none in time."""
        if not is_needed:
            yield
            return
        try:
            async with asyncio.timeout(limits.REQUEST_BODY_WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError("Too many large requests at once; try again.") from None
        try:
            yield
        finally:
            self._free.release()


def is_large(length_bytes: int | None) -> bool:
    """Tell whether a body of that Content-Length needs a place; None, without one, does."""
    return length_bytes is None or length_bytes > limits.REQUEST_SMALL_BYTES_MAX


async def read_body(
    receive: Receive, length_bytes: int | None, *, bytes_max: int = limits.REQUEST_BODY_BYTES_MAX
) -> bytes:
    """Return the whole body.

    Args:
        receive: of the request.
        length_bytes: what Content-Length says; None without one.

    Raises:
        TooLargeError: it is over `bytes_max`. At most that much was read.
        CallerError: it did not come within `limits.REQUEST_BODY_WAIT_S`.
        CallerGoneError: the caller hung up.
    """
    if length_bytes == 0:
        return b""
    if length_bytes is not None and length_bytes > bytes_max:
        raise _too_large(bytes_max)
    parts: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(limits.REQUEST_BODY_WAIT_S):
            while True:
                event = await receive()
                if event["type"] != "http.request":
                    raise CallerGoneError("The connection was closed.")
                parts.append(event["body"])
                size_bytes += len(event["body"])
                if size_bytes > bytes_max:
                    raise _too_large(bytes_max)
                if not event["more_body"] or size_bytes == length_bytes:
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise CallerError(f"The body did not arrive within {limits.REQUEST_BODY_WAIT_S:.0f} s.") from None


async def discard_body(
    scope: HTTPScope,
    receive: Receive,
    length_bytes: int | None,
    *,
    bytes_max: int = limits.REQUEST_BODY_BYTES_MAX,
) -> None:
    """Read on and keep nothing, so that the caller gets to hear an answer given before the body was read."""
    if length_bytes is not None and length_bytes <= _UNREAD_BYTES_MAX:
        return
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    left_bytes = 2 * bytes_max
    try:
        async with asyncio.timeout(limits.REQUEST_DISCARD_WAIT_S):
            while left_bytes > 0:
                event = await receive()
                if event["type"] != "http.request" or not event["more_body"]:
                    return
                left_bytes -= len(event["body"])
    except TimeoutError:
        return  # It had its chance; the answer goes out now, heard or not.


def _too_large(bytes_max: int) -> TooLargeError:
    mebibytes = bytes_max // (1024 * 1024)
    return TooLargeError(f"The body is larger than {mebibytes} MiB; shorten it or link to large files instead.")
