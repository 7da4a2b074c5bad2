"""What passes gates that hold nothing back, told to the ledger four times a second instead of twice a mail.

A gate without rates, cap or anything learned lets every mail pass, but it must know how many did: the first "slower" is
answered from the measured rate (`policy.adapt`). So its mails are counted here, and told

    before it is looked at     `look`, every quarter of a second while mail goes there
    before it learns           `update`: a reply that slows down, pauses or rests finds everything counted

What a killed process had not told is at most that quarter of a second, and no limit rests on it.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.gate import Gate

T = TypeVar("T")

_KEYS_COUNT_MAX: Final = 10_000


class _Counts(msgspec.Struct):
    since_s: float
    attempt_count: int = 0
    delivered_count: int = 0


class Tally:
    """The counts of one process. For one thread, as its ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger
        self._counts: Final[dict[str, _Counts]] = {}

    def attempt(self, key: str, now_s: float) -> None:
        """Count a mail that passed the gate of `key`."""
        self._of(key, now_s).attempt_count += 1

    def delivered(self, key: str, now_s: float) -> None:
        """Count a mail that was taken, and passed when the gate held nothing back."""
        self._of(key, now_s).delivered_count += 1

    def look(self, key: str, now_s: float) -> Gate | None:
        """Tell what was counted; return a copy of the gate, None if there is none."""
        if key not in self._counts:
            return self._ledger.read(key)
        return self.update(key, now_s, lambda gate: gate)

    def update(self, key: str, now_s: float, change: Callable[[Gate], T]) -> T:
        """Tell what was counted, and change the gate, in one go. As `Ledger.update`."""
        counts = self._counts.pop(key, None)

        def changed(gate: Gate) -> T:
            if counts is not None:
                throttle.catch_up(
                    gate,
                    now_s,
                    since_s=counts.since_s,
                    attempt_count=counts.attempt_count,
                    delivered_count=counts.delivered_count,
                )
            return change(gate)

        return self._ledger.update(key, changed)

    def _of(self, key: str, now_s: float) -> _Counts:
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= _KEYS_COUNT_MAX:
                for known in list(self._counts):
                    self.look(known, now_s)
            counts = self._counts[key] = _Counts(now_s)
        return counts
