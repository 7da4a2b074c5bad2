"""The ledger of a simulated node: many processes of one node inside one real process, each of which may die.

`net.ledger` locks between processes and not inside one, so it cannot be opened by several simulated ones. Gates are
kept packed, as in the file. It answers as the real one (tests/unit/testing/test_simledger.py); its table never fills.
"""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TypeVar

from outrider.net.ledger import Ledger
from outrider.policy import gate as layout
from outrider.policy import throttle
from outrider.policy.gate import Gate

T = TypeVar("T")


class NodeBook:
    """What the file is: the gates of a node, and which slots have a process."""

    def __init__(self) -> None:
        self.gates: Final[dict[str, bytes]] = {}
        self.present: Final[set[int]] = set()

    def forget(self, slots: set[int]) -> None:
        """Forget the connections of these slots."""
        for key, packed in self.gates.items():
            gate = layout.unpack(packed)
            for slot in slots:
                throttle.forget_slot(gate, slot)
            self.gates[key] = layout.pack(gate)


class SimLedger(Ledger):
    """One process's ledger. `kill`: it does nothing any more, and its slot is nobody's."""

    def __init__(self, book: NodeBook, slot: int) -> None:
        self._book: Final = book
        self._own_slot: Final = slot
        self._is_dead = False

    def __enter__(self) -> Self:
        """Take the slot; forget connections of processes that are gone."""
        if self._own_slot in self._book.present:
            raise BlockingIOError("a live process has our slot")
        gone = set(range(layout.SLOTS_COUNT_MAX)) - self._book.present
        self._book.present.add(self._own_slot)
        self._book.forget(gone)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Die: the slot is free, and what the process still does changes nothing."""
        if not self._is_dead:
            self._is_dead = True
            self._book.present.discard(self._own_slot)

    def update(self, key: str, change: Callable[[Gate], T]) -> T:
        """Change the gate of the key; return what `change` returns."""
        packed = self._book.gates.get(key)
        gate = layout.unpack(packed) if packed is not None else Gate()
        answer = change(gate)
        if not self._is_dead:
            self._book.gates[key] = layout.pack(gate)
        return answer

    def read(self, key: str) -> Gate | None:
        """Return a copy of the key's gate, None if there is none."""
        packed = self._book.gates.get(key)
        return None if packed is None else layout.unpack(packed)

    def entries(self) -> Iterator[tuple[str, Gate]]:
        """Give every gate there is with its key."""
        for key, packed in self._book.gates.items():
            yield key, layout.unpack(packed)
