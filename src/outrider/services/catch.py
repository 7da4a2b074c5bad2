"""The catch mailbox: mail that would have left, kept in a Maildir where people and programs can look at it.

A Maildir is three folders; a message is a file written in tmp/, made durable, and moved to new/ (mail programs move it
on to cur/). Any mail program reads it, any script may delete from it, and a crash leaves at worst a stray file in tmp/.
The envelope goes on top as Return-Path and Delivered-To lines; the rest is kept octet for octet, so signatures still
verify. Names begin with the time, so their order is the order of arrival.

`deliver` returns when the message is on disk. Deliveries wait for their fsync together: one thread writes all that is
pending and syncs the folder once. Reading needs no running server and may happen from several processes at once.
Nothing here is fit for real mailboxes: a list reads the names of all messages. Source: https://cr.yp.to/proto/maildir.html
"""

import asyncio
import contextlib
import heapq
import os
import random
import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.mail import parse

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,-]{0,199}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_WHOLE_FOLDERS: Final = ("new", "cur")


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """One message in a list. Texts are decoded and without control characters, "" where there is none."""

    name: str
    caught_at: datetime
    size_bytes: int
    envelope_sender: str
    envelope_recipients: tuple[str, ...]
    author: str  # The From field.
    subject: str


class CaughtPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some messages, newest first, and how it goes on."""

    messages: tuple[Caught, ...]
    total_count: int  # In the whole mailbox.
    has_more: bool  # There are older ones; ask again with `before` = the last name.


class _Letter(msgspec.Struct, frozen=True):
    name: str
    content: bytes
    is_stored: Future[None]


class Mailbox:
    """A Maildir at `directory`, made on the first delivery. Safe for concurrent use."""

    def __init__(self, directory: Path, *, clock: Clock, chance: random.Random) -> None:
        self._directory: Final = directory
        self._clock: Final = clock
        self._chance: Final = chance
        self._pending: Final[deque[_Letter]] = deque()
        self._writer: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catch")
        self._count = 0

    async def deliver(self, content: bytes, envelope_sender: str, recipients: Sequence[str]) -> str:
        """Keep a message and return its name once it is on disk.

        Raises:
            OSError: it could not be kept, such as for lack of space. At worst it is there all the same.

        Safe: concurrent; cancelling the caller does not undo a delivery that has begun.
        """
        letter = _Letter(self._new_name(), _stamped(content, envelope_sender, recipients), Future())
        self._pending.append(letter)
        self._writer.submit(self._write_pending)  # Finds nothing to do if an earlier one took it along.
        await asyncio.wrap_future(letter.is_stored)
        return letter.name

    async def list(self, limit_count: int, before: str = "") -> CaughtPage:
        """Return up to `limit_count` messages, newest first; only those older than the one named `before`, if given.

        Cost: one look at the names of all messages; of those returned, the first 64 KiB.
        """
        limit_count = max(1, min(limit_count, limits.CAUGHT_LIST_COUNT_MAX))
        return await asyncio.to_thread(self._list, limit_count, before)

    async def read(self, name: str) -> bytes:
        """Return the whole message.

        Raises:
            NotFoundError: no message has this name, or it cannot be a name.
        """
        return await asyncio.to_thread(self._read, name)

    async def clear(self) -> int:
        """Delete all messages and return how many there were. What arrives meanwhile may stay."""
        return await asyncio.to_thread(self._clear)

    def close(self) -> None:
        """Finish what is being written; no delivery after that. Safe twice."""
        self._writer.shutdown(wait=True)

    def _new_name(self) -> str:
        now = self._clock.now()
        self._count += 1
        token = self._chance.getrandbits(32)
        return (
            f"{int(now.timestamp()):010d}.M{now.microsecond:06d}P{os.getpid()}Q{self._count:08d}R{token:08x}.outrider"
        )

    def _write_pending(self) -> None:
        """Make all pending letters durable; each fails or succeeds alone. Runs in the writer thread only."""
        letters: list[_Letter] = []
        while self._pending:
            letter = self._pending.popleft()
            if letter.is_stored.set_running_or_notify_cancel():  # From here on nobody can cancel it.
                letters.append(letter)
        if not letters:
            return
        try:
            self._make_folders()
            written = [letter for letter in letters if self._write(letter)]
            _sync_folder(self._directory / "new")
        except OSError as error:
            for letter in letters:
                if not letter.is_stored.done():
                    letter.is_stored.set_exception(error)
        else:
            for letter in written:
                letter.is_stored.set_result(None)

    def _make_folders(self) -> None:
        for folder in ("tmp", *_WHOLE_FOLDERS):
            (self._directory / folder).mkdir(parents=True, exist_ok=True)

    def _write(self, letter: _Letter) -> bool:
        path = self._directory / "tmp" / letter.name
        try:
            with path.open("xb", buffering=0) as file:
                view = memoryview(letter.content)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            path.rename(self._directory / "new" / letter.name)
        except OSError as error:
            with contextlib.suppress(OSError):  # The disk is full or gone: what stays in tmp is nobody's mail.
                path.unlink(missing_ok=True)
            letter.is_stored.set_exception(error)
            return False
        return True

    def _list(self, limit_count: int, before: str) -> CaughtPage:
        paths = self._paths()
        older = (name for name in paths if name < before) if before else iter(paths)
        names = heapq.nlargest(limit_count + 1, older)
        found = (_glance(name, paths[name]) for name in names[:limit_count])
        return CaughtPage(
            messages=tuple(message for message in found if message is not None),
            total_count=len(paths),
            has_more=len(names) > limit_count,
        )

    def _paths(self) -> dict[str, Path]:
        """Return where each message is, by its name without the flags that mail programs add behind a colon."""
        found: dict[str, Path] = {}
        for folder in _WHOLE_FOLDERS:
            with contextlib.suppress(FileNotFoundError), os.scandir(self._directory / folder) as entries:
                for entry in entries:
                    name = entry.name.partition(":")[0]
                    if _NAME.fullmatch(name):
                        found[name] = Path(entry.path)
        return found

    def _read(self, name: str) -> bytes:
        if _NAME.fullmatch(name):
            with contextlib.suppress(FileNotFoundError):
                return (self._directory / "new" / name).read_bytes()
            with contextlib.suppress(FileNotFoundError, KeyError):
                return self._paths()[name].read_bytes()
        raise NotFoundError("There is no such message.", field="name")

    def _clear(self) -> int:
        count = 0
        for path in self._paths().values():
            with contextlib.suppress(FileNotFoundError):  # Somebody else was quicker.
                path.unlink()
                count += 1
        return count


def _stamped(content: bytes, envelope_sender: str, recipients: Sequence[str]) -> bytes:
    """Put the envelope on top. What an address cannot hold is cut out: it must not become a header field."""
    lines = [f"Return-Path: <{_CONTROL.sub('', envelope_sender)}>"]
    lines += [f"Delivered-To: {_CONTROL.sub('', recipient)}" for recipient in recipients]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + content


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _glance(name: str, path: Path) -> Caught | None:
    """Return the list's view of a message; None if it was deleted meanwhile."""
    try:
        with path.open("rb") as file:
            head = file.read(limits.CAUGHT_HEADER_BYTES_MAX)
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    header = parse.read_header(head)
    return Caught(
        name=name,
        caught_at=_caught_at(name, status.st_mtime),
        size_bytes=status.st_size,
        envelope_sender=header.first("return-path").strip("<>"),
        envelope_recipients=header.every("delivered-to"),
        author=header.sender,
        subject=header.subject,
    )


def _caught_at(name: str, modified_s: float) -> datetime:
    seconds = name.partition(".")[0]
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):  # Somebody else's name.
        return datetime.fromtimestamp(modified_s, UTC)
