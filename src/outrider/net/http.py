"""Fetches what a stranger's URL names, without letting the stranger choose whom we talk to.

    name --resolve--> addresses --guard--> public ones --dial--> the very address that was looked at

The connection goes to an address that passed `net.guard`, never to a name again: a name server that answers otherwise
the second time changes nothing. Each redirect starts anew, with all checks. Nothing of ours travels along: no cookies,
no credentials, no proxy of the environment; a compressed answer is not unpacked, so that a small one stays small.

Failure policy: what is wrong with the URL or its server is the caller's to hear, as a `CallerError` with a sentence
that names no address of ours. Bounded: redirects, octets, and seconds in all.
"""

import asyncio
import ipaddress
import re
import socket
import urllib.parse
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from outrider.base.errors import CallerError, TooLargeError
from outrider.net import guard

_SCHEMES: Final = {"http": 80, "https": 443}
_REDIRECTS_MAX: Final = 3  # Ours: a file has moved once or twice.
_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_URL_CHARS_MAX: Final = 2000  # Ours: as browsers take; a signed link of a store has 1,000.
_is_plain_host: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+").fullmatch
_PIECE_BYTES: Final = 64 * 1024
_OK: Final = 200


class Fetched(msgspec.Struct, frozen=True):
    """What came."""

    content: bytes
    type: str  # Of its Content-Type without parameters, "" if it has none.


class Fetcher:
    """Fetches files. Safe for many callers at once; each has a session of its own."""

    def __init__(
        self,
        *,
        wait_s: float,
        is_allowed: Callable[[str], bool] = guard.is_public,
        ports: frozenset[int] = frozenset(_SCHEMES.values()),
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`wait_s` is for one file, redirects included; `ports` those that a URL may name."""
        self._wait_s: Final = wait_s
        self._is_allowed: Final = is_allowed
        self._ports: Final = ports
        self._resolver: Final = resolver

    async def fetch(self, url: str, *, bytes_max: int, field: str) -> Fetched:
        """Return what is at `url`.

        Raises:
            CallerError: for `field`: not a URL we fetch, or nothing came of it in time.
            TooLargeError: it has more than `bytes_max` octets; no more were read.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                return await self._follow(url, bytes_max, field)
        except TimeoutError:
            raise CallerError(f"It did not come within {self._wait_s:.0f} s.", field=field) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallerError("It could not be fetched.", field=field, cause=repr(error)) from error

    async def _follow(self, url: str, bytes_max: int, field: str) -> Fetched:
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self._resolver, self._is_allowed), use_dns_cache=False, limit=1
        )
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session:
            for _ in range(_REDIRECTS_MAX + 1):
                self._check(url, field)
                async with session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer:
                    if answer.status not in _REDIRECT_STATUSES:
                        return await _read(answer, bytes_max, field)
                    url = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
        raise CallerError(f"It redirects more than {_REDIRECTS_MAX} times.", field=field)

    def _check(self, url: str, field: str) -> None:
        """Refuse a URL that we do not fetch, whatever it resolves to."""
        if len(url) > _URL_CHARS_MAX or not url.isprintable():
            raise CallerError("That is not a URL.", field=field)
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port or _SCHEMES.get(parts.scheme, 0)
        except ValueError:
            raise CallerError("That is not a URL.", field=field) from None
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise CallerError("A file is fetched from an http or https URL.", field=field)
        if not _is_plain_host(parts.hostname):  # Danger: aiohttp reads "①②⑦.⓪.⓪.①" as 127.0.0.1, and asks no resolver.
            raise CallerError("The host of a URL is written in ASCII; an international name as xn--...", field=field)
        if parts.username is not None or parts.password is not None:
            raise CallerError("A URL with a user name or a password is not fetched.", field=field)
        if port not in self._ports:
            raise CallerError("Files are not fetched from that port.", field=field)
        if _is_address(parts.hostname) and not self._is_allowed(parts.hostname):  # A resolver is not asked for these.
            raise CallerError("Files are not fetched from that address.", field=field)


class _GuardedResolver(AbstractResolver):
    """Resolves to addresses that we may talk to, and to no others."""

    def __init__(self, resolver: AbstractResolver | None, is_allowed: Callable[[str], bool]) -> None:
        self._resolver: Final = resolver or aiohttp.ThreadedResolver()
        self._is_allowed: Final = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [one for one in await self._resolver.resolve(host, port, family) if self._is_allowed(one["host"])]
        if not found:
            raise OSError("no address that we may talk to")
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def _read(answer: aiohttp.ClientResponse, bytes_max: int, field: str) -> Fetched:
    if answer.status != _OK:
        raise CallerError(f"Its server answered {answer.status}.", field=field)
    if (answer.content_length or 0) > bytes_max:
        raise _too_large(bytes_max, field)
    pieces, size_bytes = [], 0
    async for piece in answer.content.iter_chunked(_PIECE_BYTES):
        size_bytes += len(piece)
        if size_bytes > bytes_max:
            raise _too_large(bytes_max, field)
        pieces.append(piece)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Fetched(b"".join(pieces), kind)


def _too_large(bytes_max: int, field: str) -> TooLargeError:
    return TooLargeError(f"It has more than the {bytes_max} bytes that are left for attachments.", field=field)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
