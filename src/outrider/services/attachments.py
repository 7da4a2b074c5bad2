"""From what a caller says of a file to the file: base64 is decoded, a URL is fetched, a missing type is guessed.

All before `engine.accept`, which checks what comes out. Errors name the caller's field, `attachments[2].content`. What
is fetched is what was there at that moment: a mail that waits for days carries the file of the day it was accepted.
"""

import asyncio
import binascii
import mimetypes
import posixpath
import urllib.parse
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.errors import CallerError, TooLargeError
from outrider.engine.submission import Attachment
from outrider.net.http import Fetcher

_UNKNOWN_TYPE: Final = "application/octet-stream"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A file as a caller gives it: `content` or `url`."""

    name: str = ""  # "": the last part of the URL's path.
    type: str = ""  # "": as its server says, else by its name.
    content: str | None = None  # Base64; line breaks are ignored. "": an empty file.
    url: str = ""
    content_id: str = ""


class Attachments:
    """Turns what is given into files."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher: Final = fetcher

    async def resolve(self, given: Sequence[Given]) -> tuple[Attachment, ...]:
        """Return the files, in the same order. One after the other, so that they share what is left of the size.

        Raises:
            CallerError: one has neither content nor URL, or both; is not base64; or could not be fetched.
            TooLargeError: together they have more than `limits.ATTACHMENTS_BYTES_MAX`.
        """
        if len(given) > limits.ATTACHMENTS_COUNT_MAX:
            raise CallerError(
                f"{len(given)} attachments; at most {limits.ATTACHMENTS_COUNT_MAX} are allowed.", field="attachments"
            )
        left_bytes = limits.ATTACHMENTS_BYTES_MAX
        files: list[Attachment] = []
        for at, one in enumerate(given):
            file = await self._resolve(one, left_bytes, f"attachments[{at}]")
            left_bytes -= len(file.content)
            files.append(file)
        return tuple(files)

    async def _resolve(self, one: Given, left_bytes: int, field: str) -> Attachment:
        if bool(one.content) if one.url else one.content is None:
            raise CallerError("A file has its content in base64, or a url to fetch it from.", field=field)
        if one.content is None or one.url:
            fetched = await self._fetcher.fetch(one.url, bytes_max=left_bytes, field=f"{field}.url")
            octets, kind = fetched.content, fetched.type
        else:
            octets, kind = await _decode(one.content, left_bytes, f"{field}.content"), ""
        name = one.name or posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(one.url).path))
        if not name:
            raise CallerError("A file needs a name.", field=f"{field}.name")
        return Attachment(
            name=name,
            type=one.type or kind or mimetypes.guess_type(name)[0] or _UNKNOWN_TYPE,
            content=octets,
            content_id=one.content_id,
        )


async def _decode(text: str, left_bytes: int, field: str) -> bytes:
    if len(text) // 4 * 3 > left_bytes + 64 * 1024:  # Line breaks and padding are not counted here.
        raise TooLargeError(f"It has more than the {left_bytes} bytes that are left for attachments.", field=field)
    try:
        octets = await asyncio.to_thread(_from_base64, text)
    except ValueError:
        raise CallerError("That is not base64.", field=field) from None
    if len(octets) > left_bytes:
        raise TooLargeError(f"It has more than the {left_bytes} bytes that are left for attachments.", field=field)
    return octets


def _from_base64(text: str) -> bytes:
    """Decode the usual alphabet or that for URLs (RFC 4648 §4, §5). Raises ValueError."""
    plain = text.replace("\r", "").replace("\n", "").replace("-", "+").replace("_", "/")
    return binascii.a2b_base64(plain.encode("ascii") + b"=" * (-len(plain) % 4), strict_mode=True)
