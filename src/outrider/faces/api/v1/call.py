"""One request under /v1 on its way through, and what a call may answer beside a record.

It holds and decides nothing. What is sent bit by bit (`Chunks`) is closed in the end, whatever happens, so that what it
holds is given back.
"""

from collections.abc import AsyncIterator
from typing import Final, Protocol
from uuid import UUID

import msgspec
from litestar.types import HTTPScope, Receive

from outrider.services.access import Caller, Credentials

JSON: Final = "application/json"


class Call(msgspec.Struct):
    """What a call's function is told of the request, beside body, query and path."""

    scope: HTTPScope
    receive: Receive
    request_id: str
    caller: Caller | None = None  # Set before any call's function runs, unless the route is open to all.
    credentials: Credentials | None = None  # What `caller` was told by, for calls that last: they ask again.
    idempotency_key: str = ""  # "": none was given.
    answer_headers: list[tuple[bytes, bytes]] = []  # Go out with the answer, whatever it is.
    length_bytes: int | None = None  # As Content-Length says; None without one.
    is_read: bool = False  # The body is read, so nothing of it stands in the way of the answer.

    @property
    def domains(self) -> frozenset[str]:
        """From which domains its key may send; empty: from all of the project's."""
        assert self.caller is not None
        return self.caller.domains

    @property
    def project_id(self) -> UUID:
        """Whose mail it is about."""
        assert self.caller is not None
        return self.caller.project_id

    def header(self, name: bytes) -> bytes:
        """Return the first header of this lower-case name, b"" without one."""
        return next((value for known, value in self.scope["headers"] if known == name), b"")


class Chunks(Protocol):
    """The parts of an answer that goes out bit by bit, such as an async generator. `aclose` is called in the end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent next."""

    async def aclose(self) -> None:
        """Give back what it holds, begun or not."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not a record in JSON: a page, a file, or a stream that ends when the caller hangs up."""

    content: bytes | Chunks
    media_type: str = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
