"""Connection slots for tests: as many as wanted or a fixed number of each gate; and what every `Slots` must keep."""

from collections import Counter
from typing import Final

from outrider.net.pool import Slots


class FreeSlots:
    """Slots of no node: at most `count_max` of each gate, None for no bound. A slot given back twice is an error."""

    def __init__(self, count_max: int | None = None) -> None:
        self.count_max = count_max
        self.taken: Final[Counter[tuple[str, str]]] = Counter()  # By source and key.
        self.most: Final[Counter[tuple[str, str]]] = Counter()  # The most there ever were at once.
        self.yielding: Final[set[tuple[str, str]]] = set()  # Gates that another wants a slot of.

    def take(self, source: str, key: str) -> bool:
        """Take one, if there is one."""
        gate = (source, key)
        if self.count_max is not None and self.taken[gate] >= self.count_max:
            return False
        self.taken[gate] += 1
        self.most[gate] = max(self.most[gate], self.taken[gate])
        return True

    def give(self, source: str, key: str) -> None:
        """Give one back."""
        gate = (source, key)
        assert self.taken[gate] > 0, f"a slot of {gate} was given back twice"
        self.taken[gate] -= 1

    def should_yield(self, source: str, key: str) -> bool:
        """Tell what the test says."""
        return (source, key) in self.yielding


def check_slots(slots: Slots, *, count_max: int) -> None:
    """See that `slots` keeps a bound of `count_max` for the gate ("one", "key") and counts other gates apart."""
    for _ in range(2):
        assert all(slots.take("one", "key") for _ in range(count_max))
        assert not slots.take("one", "key")
        assert slots.take("two", "key")
        assert slots.take("one", "other")
        slots.give("one", "key")
        assert slots.take("one", "key")
        assert not slots.take("one", "key")
        assert not slots.should_yield("one", "key"), "nobody else wants one"
        for _ in range(count_max):
            slots.give("one", "key")
        slots.give("two", "key")
        slots.give("one", "other")
