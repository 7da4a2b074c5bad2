r"""What comes after DATA, read with little memory: its beginning is kept, the rest is counted on the way by.

A bounce may carry all of a mail of ours, tens of megabytes, and says what it has to say before that. Lines are read one
by one while they are kept; what follows is searched for the end in large pieces, which costs a hundredth of that.

There is one end of data, `CRLF . CRLF`: no bare CR or LF takes part in it (RFC 5321 §2.3.8, §4.1.1.4).
"""

import asyncio
from typing import Final

import msgspec

_LINE_END: Final = b"\r\n"
_END: Final = b"\r\n.\r\n"


class Content(msgspec.Struct, frozen=True):
    """A message as it came, dots unstuffed."""

    beginning: bytes
    size_bytes: int  # Of all of it, as it travelled.


async def read(reader: asyncio.StreamReader, *, kept_bytes_max: int) -> Content:
    """Return the message that begins here, and at most so much of it. What follows its end is left in the reader.

    Raises:
        asyncio.IncompleteReadError: the connection ended before the message did.
    """
    kept = bytearray()
    size_bytes = 0
    is_line_start = True
    while len(kept) < kept_bytes_max or not is_line_start:
        line = await _line(reader)
        if is_line_start and line == b".\r\n":
            return Content(bytes(kept), size_bytes)
        size_bytes += len(line)
        if len(kept) < kept_bytes_max:
            kept += line[1:] if is_line_start and line[:1] == b"." else line
        is_line_start = line.endswith(_LINE_END)
    del kept[kept_bytes_max:]
    return Content(bytes(kept), size_bytes + await _skip(reader))


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line, or a piece of one that is longer than the reader holds; a piece never cuts a CRLF."""
    try:
        return await reader.readuntil(_LINE_END)
    except asyncio.LimitOverrunError as error:
        return await reader.read(error.consumed)


async def _skip(reader: asyncio.StreamReader) -> int:
    """Pass over the rest of a message from the beginning of a line; return how much it was.

    The end is searched for with the line end before it, which here has been read already: so lines that could be or
    begin an end are looked at one by one, until one begins with anything else.
    """
    size_bytes = 0
    while True:
        first = await reader.readexactly(1)
        if first == b".":
            line = await _line(reader)
            if line == _LINE_END:
                return size_bytes
            size_bytes += 1 + len(line)
            if not line.endswith(_LINE_END):
                return size_bytes + await _skip_to_end(reader)
            continue
        has_cr = False
        while first == b"\r":
            has_cr = True
            size_bytes += 1
            first = await reader.readexactly(1)
        size_bytes += 1
        if not (has_cr and first == b"\n"):
            return size_bytes + await _skip_to_end(reader)


async def _skip_to_end(reader: asyncio.StreamReader) -> int:
    """Do the same from within a line."""
    size_bytes = 0
    while True:
        try:
            return size_bytes + len(await reader.readuntil(_END)) - len(b".\r\n")
        except asyncio.LimitOverrunError as error:
            size_bytes += len(await reader.read(error.consumed))
