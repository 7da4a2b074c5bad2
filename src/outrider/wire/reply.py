"""SMTP replies: from bytes as they come to `Reply` values.

`ReplyReader` cuts a stream into replies and bounds it (a line by `REPLY_LINE_BYTES_MAX`, a reply by
`REPLY_LINES_MAX`), `parse_reply` reads one. What a reply means is `policy.classify`.

Lenient where the field needs it: LF alone ends a line, a bare code is a reply, an enhanced code may carry
the "#" some gateways write. Strict where leniency could make a wrong answer: a line without a valid code, or lines
of one reply with different codes, are no SMTP and end the session.

Text is safe to log and to show: control characters are gone, invalid UTF-8 is replaced.
Source: RFC 5321 §4.2, RFC 2034 and RFC 3463 §2 (enhanced codes).
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.errors import RemoteProtocolError

_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?=\s|$)")
_MEMO_COUNT_MAX: Final = 32  # Distinct one-line replies a session remembers; a server has about five it repeats.


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One complete reply. `enhanced` is "" when the server sent none."""

    code: int  # 200..599
    enhanced: str  # "5.1.1"
    text: str  # Lines joined by "\n", enhanced code removed, no other control characters.

    @property
    def severity(self) -> int:
        """2 done, 3 go on, 4 not now, 5 no. RFC 5321 §4.2.1."""
        return self.code // 100


def parse_reply(lines: Sequence[bytes]) -> Reply:
    """Turn the lines of one reply into a `Reply`.

    Args:
        lines: in wire order, CRLF removed, at least one.

    Raises:
        RemoteProtocolError: a line has no valid code, or two lines differ in code.

    Source: RFC 5321 §4.2 (Reply-line; a bare code is legal), RFC 3463 §2 (enhanced code).
    """
    assert lines
    code = b""
    texts: list[str] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("the server sent an unreadable reply", line=line[:200])
        if code and match[1] != code:
            raise RemoteProtocolError("the server changed its reply code midway", line=line[:200])
        code = match[1]
        texts.append(_clean((match[3] or b"").decode("utf-8", "replace")))
    found = _ENHANCED.match(texts[0])
    if found is None:
        return Reply(int(code), "", "\n".join(text.lstrip() for text in texts))
    stripped = (text.removeprefix(found[0]).lstrip() for text in texts)  # Most servers repeat it on each line.
    return Reply(int(code), found[1], "\n".join(stripped))


def _clean(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


class ReplyReader:
    """Cuts what a peer sends into replies, however the bytes arrive. One per connection."""

    __slots__ = ("_fault", "_lines", "_memo", "_partial")

    def __init__(self) -> None:
        self._partial = b""  # The beginning of a line.
        self._lines: list[bytes] = []  # The beginning of a reply: whole lines.
        self._fault: RemoteProtocolError | None = None
        # Servers repeat themselves: 2.3 -> 0.2 us a known reply (2026-11). Frozen values may be shared.
        self._memo: dict[bytes, Reply] = {}

    @property
    def is_mid_reply(self) -> bool:
        """Bytes have come that are not yet a whole reply."""
        return bool(self._partial or self._lines)

    @property
    def is_broken(self) -> bool:
        """Something unreadable has come: the next `feed` raises."""
        return self._fault is not None

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that `data` completes, in order; [] if none.

        Replies that came before something unreadable are returned first and the next call raises, so that
        how the bytes were cut never changes what is seen.

        Raises:
            RemoteProtocolError: the peer's bytes are no SMTP, or more than a reply may hold.
        """
        replies: list[Reply] = []
        if self._fault is None:
            try:
                self._cut(data, replies)
            except RemoteProtocolError as fault:
                self._fault = fault
        if self._fault is not None and not replies:
            raise self._fault
        return replies

    def _cut(self, data: bytes, replies: list[Reply]) -> None:
        if self._partial:
            data = self._partial + data
        lines = data.split(b"\n")
        self._partial = lines.pop()
        for line in lines:
            reply = None if self._lines else self._memo.get(line)
            if reply is None:
                reply = self._add_line(line)
            if reply is not None:
                replies.append(reply)
        if len(self._partial) > limits.REPLY_LINE_BYTES_MAX:
            raise RemoteProtocolError("the server sent an endless line")

    def _add_line(self, line: bytes) -> Reply | None:
        if len(line) > limits.REPLY_LINE_BYTES_MAX:
            raise RemoteProtocolError("the server sent an endless line")
        lines = self._lines
        lines.append(line.removesuffix(b"\r"))
        if len(lines) > limits.REPLY_LINES_MAX:
            raise RemoteProtocolError("the server sent an endless reply")
        if line[3:4] == b"-" and line[:3] == lines[0][:3] and _LINE.match(line):
            return None  # More to come.
        reply = parse_reply(lines)
        if len(lines) == 1:
            if len(self._memo) >= _MEMO_COUNT_MAX:
                self._memo.clear()
            self._memo[line] = reply
        self._lines = []
        return reply
