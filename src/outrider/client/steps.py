"""What the core asks of a transport, and what it hears back. Values; `blocking` or `awaited` carries them out.

| step | is answered with |
|---|---|
| `Open` | `Opened`, or a `Failure` |
| `Read` | the next octets of the open answer, b"" at its end, or a `Failure` |
| `Close` | nothing; a connection whose answer was read to its end is kept for the next `Open` |
| `Pause` | nothing, later |
| `Yielded` | nothing; the value is the program's |

A transport raises for no failure of the network: what that means is decided in one place, `core`.
"""

from collections.abc import Generator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Request(msgspec.Struct, frozen=True):
    """One HTTP request. `target` is path and query, as they go over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Opened(msgspec.Struct, frozen=True):
    """The head of an answer; its body is read step by step. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]


class Failure(msgspec.Struct, frozen=True):
    """The network said no."""

    reason: str
    is_sent: bool = True  # False: the request has surely not left.
    is_timeout: bool = False
    is_stale: bool = False  # A kept connection had been closed from the other side: no sign of trouble.
    is_final: bool = False  # It will be no better next time: a certificate.


class Open(msgspec.Struct, frozen=True):
    """Send a request and wait for the head of its answer, no longer than this in all."""

    request: Request
    timeout_s: float


class Read(msgspec.Struct, frozen=True):
    """Wait for octets, no longer than this."""

    timeout_s: float


class Close(msgspec.Struct, frozen=True):
    """Be done with the answer."""


class Pause(msgspec.Struct, frozen=True):
    """Wait."""

    delay_s: float


class Yielded(msgspec.Struct, Generic[T], frozen=True):
    """A value for the program."""

    value: T


Step = Open | Read | Close | Pause
Steps = Generator[Step, Any, T_co]
YieldingSteps = Generator[Step | Yielded[T], Any, None]
