"""Answers kept for as long as they count, and asked for once however many want them.

Bounded: the name not used for longest goes first. While one caller asks, the others wait for its answer; if that one
is cancelled, the next of them asks. When the asking fails and a good answer expired not long ago, it serves on (RFC
8767): a name server that is down for minutes delays no mail.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock

V = TypeVar("V")


class Kept(msgspec.Struct, Generic[V]):
    """An answer and how long it counts."""

    value: V
    ttl_s: float
    is_good: bool = False  # Worth serving past its time.
    is_failure: bool = False  # Nobody knows; a good answer of before is better.


class _Entry(msgspec.Struct, Generic[V]):
    value: V
    fresh_until_s: float  # Monotonic.
    serves_until_s: float  # Equal to `fresh_until_s` unless it is good.


class AnswerCache(Generic[V]):
    """Name to answer. For one event loop."""

    def __init__(self, clock: Clock, count_max: int = limits.DNS_CACHE_COUNT_MAX) -> None:
        self._clock: Final = clock
        self._count_max: Final = count_max
        self._entries: Final[OrderedDict[str, _Entry[V]]] = OrderedDict()
        self._asking: Final[dict[str, asyncio.Event]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, name: str, ask: Callable[[str], Awaitable[Kept[V]]]) -> V:
        """Return the answer for `name`, from `ask(name)` if there is none that counts."""
        while True:
            entry = self._entries.get(name)
            if entry is not None and self._clock.monotonic_s() < entry.fresh_until_s:
                self._entries.move_to_end(name)
                return entry.value
            asked = self._asking.get(name)
            if asked is None:
                break
            await asked.wait()
        asked = self._asking[name] = asyncio.Event()
        try:
            return self._keep(name, await ask(name))
        finally:
            del self._asking[name]
            asked.set()

    def _keep(self, name: str, kept: Kept[V]) -> V:
        now_s = self._clock.monotonic_s()
        entry = self._entries.get(name)
        if kept.is_failure and entry is not None and now_s < entry.serves_until_s:
            entry.fresh_until_s = min(now_s + limits.DNS_STALE_TTL_S, entry.serves_until_s)
            return entry.value
        fresh_until_s = now_s + max(kept.ttl_s, limits.DNS_TTL_S_MIN)
        serves_until_s = fresh_until_s + (limits.DNS_STALE_S_MAX if kept.is_good else 0.0)
        self._entries[name] = _Entry(kept.value, fresh_until_s, serves_until_s)
        self._entries.move_to_end(name)
        if len(self._entries) > self._count_max:
            self._entries.popitem(last=False)
        return kept.value
