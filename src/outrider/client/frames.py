"""The frames of a `text/event-stream`, from octets in any cut.

`feed` takes what came and returns the frames that ended with it. Comments (heartbeats) make no frame; a frame without
data makes none either, but its id counts.

Source: WHATWG HTML, Server-sent events, 9.2.6 "Interpreting an event stream".
"""

import re
from typing import Final

import msgspec

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024  # Ours: an event has some kilobytes.


class FrameTooLargeError(Exception):
    """No frame of Outrider's is so large."""


class Frame(msgspec.Struct, frozen=True):
    """One frame."""

    kind: str
    text: str
    cursor: str  # The last id so far, "" before the first.


class Frames:
    """Reads one stream, from its first octet on."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor  # Of the last frame that came whole: where to go on.
        self.retry_s: float | None = None  # How long to wait before coming back, when the server said so.
        self._rest = b""
        self._is_first = True
        self._kind = ""
        self._id = cursor
        self._lines: list[str] = []
        self._bytes = 0

    def feed(self, octets: bytes) -> list[Frame]:
        """Return the frames that ended with these octets.

        Raises:
            FrameTooLargeError: one has no end in sight.
        """
        rest = self._rest + octets
        if self._is_first:
            if len(rest) < len(_BOM) and _BOM.startswith(rest):
                self._rest = rest
                return []
            rest, self._is_first = rest.removeprefix(_BOM), False
        # A CR at the very end may be half of a CRLF: it waits for what follows.
        held = rest[-1:] if rest.endswith(b"\r") else b""
        *lines, self._rest = _LINE_END.split(rest[: len(rest) - len(held)])
        self._rest += held
        found = [frame for line in lines if (frame := self._take(line))]
        if self._bytes + len(self._rest) > FRAME_BYTES_MAX:
            raise FrameTooLargeError(f"a frame of over {FRAME_BYTES_MAX} bytes")
        return found

    def _take(self, line: bytes) -> Frame | None:
        if not line:
            return self._end()
        self._bytes += len(line)
        name, _, rest = line.partition(b":")
        value = rest.removeprefix(b" ").decode("utf-8", "replace")
        match name:
            case b"data":
                self._lines.append(value)
            case b"event":
                self._kind = value
            case b"id" if "\0" not in value:
                self._id = value
            case b"retry" if rest.strip().isdigit():
                self.retry_s = int(rest) / 1000
            case _:  # A comment, or a field that is yet to be invented.
                pass
        return None

    def _end(self) -> Frame | None:
        self.cursor = self._id
        frame = Frame(self._kind, "\n".join(self._lines), self.cursor) if self._lines else None
        self._kind, self._lines, self._bytes = "", [], 0
        return frame
