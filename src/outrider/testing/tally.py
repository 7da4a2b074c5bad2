"""What a sink has taken: counts, who got what, who got it twice, and when. Memory first, a file on request.

A *duplicate* is a recipient who was handed the same Message-ID again (without one: anything again). Instants are
`time.perf_counter` seconds, which on Linux is CLOCK_MONOTONIC: one clock for all processes of a machine, so a
benchmark may subtract the load generator's first request from the sink's last message.

The record file is append-only, one line a message: instant, octets, Message-ID, recipients; tab and comma between.
Lines reach the file a few at a time; `flush` (every answer of the control channel does it) writes what is left.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

_LINES_HELD_MAX: Final = 256  # Ours: one write for these; about 30 KB.


class Counts(msgspec.Struct, frozen=True):
    """What the control channel answers."""

    messages: int = 0
    recipients: int = 0  # Deliveries: one a recipient a message.
    unique_recipients: int = 0
    duplicates: int = 0
    octets: int = 0
    connections: int = 0
    tls_connections: int = 0
    open_connections: int = 0
    refusals: int = 0  # Commands and messages not answered 2xx or 3xx.
    first_at_s: float = 0.0  # perf_counter; 0: nothing yet.
    last_at_s: float = 0.0
    is_reached: bool = False  # Of a `wait`: whether the target was.


class Tally:
    """The memory of one sink. One event loop, no locks."""

    def __init__(self, record: Path | None = None) -> None:
        self.messages = 0
        self.recipients = 0
        self.octets = 0
        self.connections = 0
        self.tls_connections = 0
        self.open_connections = 0
        self.refusals = 0
        self._first_at_s = 0.0
        self._last_at_s = 0.0
        self._duplicates = 0
        self._unique: Final[set[bytes]] = set()
        self._pairs: Final[set[bytes]] = set()
        self._repeated: Final[set[bytes]] = set()
        self._file: Final = record.open("ab", buffering=0) if record else None
        self._lines: Final[list[bytes]] = []
        self._waiters: Final[list[tuple[int, bool, asyncio.Future[None]]]] = []

    def add(self, recipients: Sequence[bytes], message_id: bytes, octets: int) -> None:
        """Count one message that was taken."""
        now = perf_counter()
        if not self._first_at_s:
            self._first_at_s = now
        self._last_at_s = now
        self.messages += 1
        self.octets += octets
        self.recipients += len(recipients)
        for recipient in recipients:
            pair = recipient + message_id
            if pair in self._pairs:
                self._duplicates += 1
                self._repeated.add(recipient)
            else:
                self._pairs.add(pair)
                self._unique.add(recipient)
        if self._file:
            self._lines.append(b"%.6f\t%d\t%b\t%b\n" % (now, octets, message_id, b",".join(recipients)))
            if len(self._lines) >= _LINES_HELD_MAX:
                self.flush()
        if self._waiters:
            self._wake()

    def counts(self, *, is_reached: bool = False) -> Counts:
        """Return the state of now."""
        return Counts(
            messages=self.messages,
            recipients=self.recipients,
            unique_recipients=len(self._unique),
            duplicates=self._duplicates,
            octets=self.octets,
            connections=self.connections,
            tls_connections=self.tls_connections,
            open_connections=self.open_connections,
            refusals=self.refusals,
            first_at_s=self._first_at_s,
            last_at_s=self._last_at_s,
            is_reached=is_reached,
        )

    def recipients_seen(self) -> list[str]:
        """Return every distinct recipient, sorted."""
        return _sorted(self._unique)

    def recipients_repeated(self) -> list[str]:
        """Return the recipients who were handed a message twice or more, sorted."""
        return _sorted(self._repeated)

    async def wait(self, target: int, *, is_unique: bool, timeout_s: float) -> bool:
        """Return whether `target` messages (or distinct recipients) came before the time was up."""
        if self._reached(target, is_unique):
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (target, is_unique, future)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True

    def reset(self) -> None:
        """Forget all messages; open connections stay."""
        self.flush()
        self.messages = self.recipients = self.octets = self.refusals = self._duplicates = 0
        self.connections = self.tls_connections = 0
        self._first_at_s = self._last_at_s = 0.0
        self._unique.clear()
        self._pairs.clear()
        self._repeated.clear()

    def flush(self) -> None:
        """Write the lines still held to the record file."""
        if self._file and self._lines:
            self._file.write(b"".join(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Flush and close the record file. Safe twice."""
        if self._file and not self._file.closed:
            self.flush()
            self._file.close()

    def _reached(self, target: int, is_unique: bool) -> bool:
        return (len(self._unique) if is_unique else self.messages) >= target

    def _wake(self) -> None:
        for target, is_unique, future in self._waiters:
            if not future.done() and self._reached(target, is_unique):
                future.set_result(None)


def _sorted(recipients: set[bytes]) -> list[str]:
    return sorted(recipient.decode("utf-8", "replace") for recipient in recipients)
