"""Fetches what a stranger's URL names, without letting the stranger choose whom we talk to.

    name --resolve--> addresses --guard--> public ones --dial--> the very address that was looked at

The connection goes to an address that passed `net.guard` (`net.wall`), never to a name again: a name server that
answers otherwise the second time changes nothing. Each redirect starts anew, with all checks. Nothing of ours travels
along: no cookies, no credentials, no proxy of the environment; a compressed answer is not unpacked, so that a small one
stays small.

Failure policy: what is wrong with the URL or its server is the caller's to hear, as a `CallerError` with a sentence
that names no address of ours. Bounded: redirects, octets, and seconds in all.
"""

import asyncio
import urllib.parse
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from outrider.base.errors import CallerError, TooLargeError
from outrider.net import guard, wall

_REDIRECTS_MAX: Final = 3  # Ours: a file has moved once or twice.
_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
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
        ports: frozenset[int] = frozenset(wall.SCHEMES.values()),
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
            resolver=wall.GuardedResolver(self._resolver, self._is_allowed), use_dns_cache=False, limit=1
        )
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session:
            for _ in range(_REDIRECTS_MAX + 1):
                named = wall.read(url, field, what="A file is fetched")
                if named.port not in self._ports:
                    raise CallerError("Files are not fetched from that port.", field=field)
                if named.is_address and not self._is_allowed(named.host):  # A resolver is not asked for these.
                    raise CallerError("Files are not fetched from that address.", field=field)
                async with session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer:
                    if answer.status not in _REDIRECT_STATUSES:
                        return await _read(answer, bytes_max, field)
                    url = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
        raise CallerError(f"It redirects more than {_REDIRECTS_MAX} times.", field=field)


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
