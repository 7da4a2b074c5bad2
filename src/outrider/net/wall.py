"""The wall between URLs that strangers chose and our own network. Who opens a connection for one goes through it.

    read              from a URL to what it names; refuses what no honest one is
    GuardedResolver   from a name to those of its addresses that we may talk to, asked anew for each connection
    is_open_to        what these are

The connection is opened to the address that was looked at, never to the name again. Danger: aiohttp asks no resolver
for a host that is an address; whoever uses `read` looks at `is_address`.
"""

import asyncio
import ipaddress
import re
import socket
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from outrider.base.errors import CallerError
from outrider.base.networks import Network
from outrider.net import guard

SCHEMES: Final = {"http": 80, "https": 443}
_URL_CHARS_MAX: Final = 2000  # Ours: as browsers take; a signed link of a store has 1,000.
_THREADS_COUNT_MAX: Final = 64  # Ours: names asked for at once; servers that do not answer hold theirs for seconds.
_is_plain_host: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+").fullmatch
# No name ends so. Source: URL Standard, "ends in a number checker" (2026-11).
_ends_in_number: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?").fullmatch


class Named(msgspec.Struct, frozen=True):
    """What a URL names."""

    scheme: str
    host: str
    port: int
    is_address: bool  # The host is an IP address.


def read(url: str, field: str, *, what: str) -> Named:
    """Return what the URL names.

    Args:
        what: the beginning of the sentence that an http or https URL is needed for.

    Raises:
        CallerError: for `field`: it is not http or https, or not written as honest ones are.
    """
    if len(url) > _URL_CHARS_MAX or not url.isprintable():
        raise CallerError("That is not a URL.", field=field)
    try:
        parts = urllib.parse.urlsplit(url)
        port = SCHEMES.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise CallerError("That is not a URL.", field=field) from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise CallerError(f"{what} from an http or https URL.", field=field)
    if not _is_plain_host(parts.hostname):  # Danger: aiohttp reads "①②⑦.⓪.⓪.①" as 127.0.0.1, and asks no resolver.
        raise CallerError("The host of a URL is written in ASCII; an international name as xn--...", field=field)
    is_address = _is_address(parts.hostname)
    if not is_address and _ends_in_number(parts.hostname):  # Danger: resolvers of systems read "127.1" as 127.0.0.1.
        raise CallerError("The host of that URL is a number; an address is written as 192.0.2.1.", field=field)
    if port == 0:
        raise CallerError("The port of a URL is 1 to 65535.", field=field)
    if parts.username is not None or parts.password is not None:
        raise CallerError("A URL with a user name or a password is not fetched.", field=field)
    return Named(parts.scheme, parts.hostname, port, is_address)


def is_open_to(
    networks: Sequence[Network] = (), *, with_private: bool = False, with_loopback: bool = False
) -> Callable[[str], bool]:
    """Return who tells whether an address may be talked to: public ones, those of `networks`, and what else is said."""

    def is_allowed(address: str) -> bool:
        if guard.is_public(address):
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if with_private or (with_loopback and ip.is_loopback):
            return True
        return any(ip in network for network in networks if network.version == ip.version)

    return is_allowed


class GuardedResolver(AbstractResolver):
    """Resolves to addresses that we may talk to, and to no others."""

    def __init__(self, resolver: AbstractResolver | None, is_allowed: Callable[[str], bool]) -> None:
        self._resolver: Final = resolver or aiohttp.ThreadedResolver()
        self._is_allowed: Final = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses. Raises OSError: there is none that we may talk to."""
        found = [one for one in await self._resolver.resolve(host, port, family) if self._is_allowed(one["host"])]
        if not found:
            raise OSError("no address that we may talk to")
        return found

    async def close(self) -> None:
        """Let go of what it holds."""
        await self._resolver.close()


class SystemResolver(AbstractResolver):
    """Asks the system, in threads of its own: names whose servers are silent hold up no others."""

    def __init__(self) -> None:
        self._threads: Final = ThreadPoolExecutor(_THREADS_COUNT_MAX, thread_name_prefix="resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return what the system says. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _ask, host, port, family)
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Wait for nobody who still asks."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask(host: str, port: int, family: socket.AddressFamily) -> list[tuple[socket.AddressFamily, int, int, str, tuple]]:  # type: ignore[type-arg]
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)  # type: ignore[return-value]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
