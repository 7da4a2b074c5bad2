"""One TCP connection to one address, from a chosen source, within a deadline. No names here: that is `net.dns`.

A failure is an `Answer` with phase CONNECT. Its cause tells a host that is away (REFUSED, TIMEOUT, UNREACHABLE, RESET)
from trouble of our own (INTERNAL: no more sockets), which says nothing about the host.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Final, TypeVar

from outrider.base.vocab import Phase
from outrider.wire.answer import Answer, Cause

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

# Not EADDRNOTAVAIL: it is also what IPv6 says on a machine that has none.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def dial(
    factory: Callable[[], _Protocol], ip: str, port: int, *, wait_s: float, source: str = ""
) -> _Protocol | Answer:
    """Connect to `ip` and return the protocol that `factory` made for it, or why there is none.

    `source` is our address to come from, of the same family as `ip`; "" lets the system choose.

    Safe: cancellable; nothing stays open.
    """
    loop = asyncio.get_running_loop()
    local = (source, 0) if source else None
    try:
        async with asyncio.timeout(wait_s):
            _, protocol = await loop.create_connection(factory, ip, port, local_addr=local)
    except OSError as error:  # TimeoutError is one, ours and the system's.
        return Answer(Phase.CONNECT, None, cause_of(error))
    return protocol


def cause_of(error: OSError) -> Cause:
    """Say what kept us from connecting."""
    match error:
        case TimeoutError():
            return Cause.TIMEOUT
        case ConnectionRefusedError():
            return Cause.REFUSED
        case ConnectionError():
            return Cause.RESET
        case _ if error.errno in _OURS:
            return Cause.INTERNAL
        case _:
            return Cause.UNREACHABLE
