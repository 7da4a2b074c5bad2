"""The gates of this node in one mapped file, so that a limit holds for all its deliver processes together (ADR 0020).

    header   magic, layout, record size, capacity        global lock: byte 0      presence of slot n: byte 64 + n
    used     one byte a record
    records  sequence, length of key, key, packed gate   lock of a record: its first byte

A key lives in one of `PROBES_COUNT` places from its hash on. A place once used stays so; when its gate is idle another
key may have it. Places and keys change under the global lock, a gate under its record's lock.

Locks are fcntl byte-range locks: the kernel frees them with the process, whatever kills it. Who dies between the lock
and the write leaves the old gate; within the write (one memcpy) a mixture of old and new fields, each of them whole.
They hold between processes, not inside one, and closing any descriptor of the file frees them: **one `Ledger` in a
process, used from one thread, and nobody else opens its file there**. A `change` must not come back to the ledger.

A slot's presence is a lock as well. Opening forgets the connections of our slot and of all slots without a process.

What happens to a foreign file, or one of another layout: a new one takes its place. A full table: nothing raises; the
caller gets a gate that rests for `FULL_S`, so mail to that key waits, with a reason, and no limit is broken. It takes
more keys with open connections, running limits or things learned today than `capacity`.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from outrider.base.clock import Clock
from outrider.policy import gate as layout
from outrider.policy import throttle
from outrider.policy.gate import SLOTS_COUNT_MAX, Gate

T = TypeVar("T")

CAPACITY: Final = 16_384  # Ours: gates in use at once; 32 MB on disk, in memory only what is touched.
KEY_BYTES_MAX: Final = 200
PROBES_COUNT: Final = 64  # Ours: far more than a table three quarters full ever needs.
FULL_S: Final = 5.0  # Ours: idle gates become free all the time.
READS_COUNT_MAX: Final = 8  # Ours: tries to see a record that nobody is writing.

_MAGIC: Final = b"OUTRGATE"
_HEADER: Final = struct.Struct("<8sIII")
_HEADER_BYTES: Final = 4096
_SLOTS_AT: Final = 64
_KEY_AT: Final = 8  # In a record: sequence 4, length of key 2, 2 unused.
_GATE_AT: Final = 208
_GATE_END: Final = _GATE_AT + layout.SIZE_BYTES
_RECORD_BYTES: Final = 2048
_PREFIX_BYTES: Final = KEY_BYTES_MAX - 33  # Of a key too long: readable beginning, "#", 32 hexadecimal digits.

assert _GATE_END <= _RECORD_BYTES
assert _GATE_AT >= _KEY_AT + KEY_BYTES_MAX


class Ledger:
    """A context manager; `update` and `read` work inside. See the module's page for what may not be done."""

    def __init__(self, path: Path, slot: int, *, clock: Clock, capacity: int = CAPACITY) -> None:
        assert 0 <= slot < SLOTS_COUNT_MAX
        assert capacity >= 1
        self._path: Final = path
        self._slot: Final = slot
        self._clock: Final = clock
        self._capacity: Final = capacity
        self._records_at: Final = _HEADER_BYTES + -(-capacity // 4096) * 4096
        self._size_bytes: Final = self._records_at + capacity * _RECORD_BYTES
        self._places: Final[dict[str, tuple[int, bytes]]] = {}
        self._file: int = -1
        self._map: mmap.mmap

    def __enter__(self) -> Self:
        """Open or begin the file, take the slot, and forget connections of processes that are gone.

        Raises:
            OSError: no room on the disk, no such folder, or a live process has our slot (BlockingIOError).
        """
        self._file = self._open()
        try:
            self._map = mmap.mmap(self._file, self._size_bytes)
            self._take_slot()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.clear()
        self._map.close()
        os.close(self._file)  # Frees every lock.

    def update(self, key: str, change: Callable[[Gate], T]) -> T:
        """Change the gate of the key, alone among all processes; return what `change` returns. New keys begin blank.

        If `change` raises, nothing is written.

        Cost: about 10 us with two system calls; more for a new key.
        """
        at, name = self._places.get(key) or self._place(key)
        while at >= 0:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, at)
            try:
                if self._map[at + 4 : at + 4 + len(name)] == name:
                    gate = layout.unpack(self._map, at + _GATE_AT)
                    answer = change(gate)
                    self._write(at, gate)
                    return answer
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)
            at, name = self._place(key)  # Its record went to another key meanwhile.
        now_s = self._clock.now().timestamp()
        full = "the table of gates is full"
        return change(Gate(rest_since_s=now_s, rest_until_s=now_s + FULL_S, rest_said=full))

    def read(self, key: str) -> Gate | None:
        """Return a copy of the key's gate, as it was a moment ago; None if there is none. Takes no lock."""
        at, name = self._places.get(key) or self._find(key)
        if at < 0:
            return None
        record = self._copy(at)
        if record[4 : 4 + len(name)] == name:
            return layout.unpack(record, _GATE_AT)
        self._places.pop(key, None)
        return self.read(key)

    def entries(self) -> Iterator[tuple[str, Gate]]:
        """Give every gate there is with its key (a hashed one as it is kept), each as it was a moment ago."""
        for at in self._used():
            record = self._copy(at)
            key = record[_KEY_AT : _KEY_AT + int.from_bytes(record[4:6], "little")]
            yield key.decode("utf-8", "replace"), layout.unpack(record, _GATE_AT)

    def _open(self) -> int:
        """Return the locked-and-released descriptor of a file that has our layout and is at `path` now."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
                if not self._is_at_path(file):
                    os.close(file)  # Replaced while we waited.
                    continue
                if not self._is_ours(file):
                    if os.fstat(file).st_size:
                        self._path.unlink()  # Whoever has it mapped keeps it; cutting it would kill them (SIGBUS).
                        os.close(file)
                        continue
                    self._begin(file)
                fcntl.lockf(file, fcntl.LOCK_UN, 1, 0)
                return file
            except BaseException:
                os.close(file)
                raise

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _is_ours(self, file: int) -> bool:
        header = os.pread(file, _HEADER.size, 0)
        return header == self._header() and os.fstat(file).st_size == self._size_bytes

    def _header(self) -> bytes:
        return _HEADER.pack(_MAGIC, layout.LAYOUT, layout.SIZE_BYTES, self._capacity)

    def _begin(self, file: int) -> None:
        if hasattr(os, "posix_fallocate"):  # A hole in a mapped file kills its writer when the disk is full.
            os.posix_fallocate(file, 0, self._size_bytes)
        else:
            os.ftruncate(file, self._size_bytes)
        os.pwrite(file, self._header(), 0)  # Last: half a file is not ours.

    def _take_slot(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _SLOTS_AT + self._slot)
        gone = {self._slot}
        for slot in range(SLOTS_COUNT_MAX):
            if slot == self._slot:
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _SLOTS_AT + slot)
            except OSError:
                continue  # A process is there.
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _SLOTS_AT + slot)
            gone.add(slot)
        self._forget(gone)

    def _forget(self, slots: set[int]) -> None:
        for at in self._used():
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, at)
            try:
                gate = layout.unpack(self._map, at + _GATE_AT)
                for slot in slots:
                    throttle.forget_slot(gate, slot)
                self._write(at, gate)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)

    def _used(self) -> Iterator[int]:
        index = self._map.find(b"\1", _HEADER_BYTES, self._records_at)
        while index >= 0:
            yield self._records_at + (index - _HEADER_BYTES) * _RECORD_BYTES
            index = self._map.find(b"\1", index + 1, self._records_at)

    def _write(self, at: int, gate: Gate) -> None:
        """Write under the record's lock. The sequence is odd meanwhile, so that `_copy` sees no half of it."""
        sequence = int.from_bytes(self._map[at : at + 4], "little") | 1
        self._map[at : at + 4] = sequence.to_bytes(4, "little")
        self._map[at + _GATE_AT : at + _GATE_END] = layout.pack(gate)
        self._map[at : at + 4] = (sequence + 1 & 0xFFFFFFFF).to_bytes(4, "little")

    def _copy(self, at: int) -> bytes:
        for _ in range(READS_COUNT_MAX):
            record = self._map[at : at + _RECORD_BYTES]
            if not record[0] & 1 and record[:4] == self._map[at : at + 4]:
                return record
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, at)  # Its writer is slow, or died writing.
        try:
            return self._map[at : at + _RECORD_BYTES]
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)

    def _find(self, key: str) -> tuple[int, bytes]:
        """Return the key's record, -1 if it has none, and its name there."""
        name = _name_of(key)
        for index in self._indexes(name):
            if not self._map[_HEADER_BYTES + index]:
                break
            at = self._records_at + index * _RECORD_BYTES
            if self._map[at + 4 : at + 4 + len(name)] == name:
                return self._remember(key, at, name)
        return -1, name

    def _place(self, key: str) -> tuple[int, bytes]:
        """Return the key's record, a new one if it has none; -1 if there is no room."""
        self._places.pop(key, None)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
        try:
            at, name = self._find(key)
            if at >= 0:
                return at, name
            for index in self._indexes(name):
                at = self._records_at + index * _RECORD_BYTES
                if self._take(index, at, name):
                    return self._remember(key, at, name)
            return -1, name
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)

    def _take(self, index: int, at: int, name: bytes) -> bool:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, at)
        try:
            if self._map[_HEADER_BYTES + index]:
                gate = layout.unpack(self._map, at + _GATE_AT)
                if not throttle.is_idle(gate, self._clock.now().timestamp()):
                    return False
            self._write(at, Gate())
            self._map[at + 4 : at + _GATE_AT] = name.ljust(_GATE_AT - 4, b"\0")
            self._map[_HEADER_BYTES + index] = 1
            return True
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)

    def _indexes(self, name: bytes) -> Iterator[int]:
        first = int.from_bytes(blake2b(name, digest_size=8).digest(), "little") % self._capacity
        for step in range(min(PROBES_COUNT, self._capacity)):
            yield (first + step) % self._capacity

    def _remember(self, key: str, at: int, name: bytes) -> tuple[int, bytes]:
        if len(self._places) >= self._capacity:
            self._places.clear()  # Keys come and go; what is in use comes back at once.
        self._places[key] = at, name
        return at, name


def _name_of(key: str) -> bytes:
    """Return length and key as they stand in a record; of a key too long, the beginning and a hash."""
    name = key.encode()
    if len(name) > KEY_BYTES_MAX:
        digest = blake2b(name, digest_size=16).hexdigest().encode()
        name = name[:_PREFIX_BYTES] + b"#" + digest
    return struct.pack("<HH", len(name), 0) + name
