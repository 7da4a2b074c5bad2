"""Reads that may be a moment old: a value is asked for once and used for `fresh_s`.

Keys, senders and DKIM keys are needed for every call and change rarely. What is revoked must stop working everywhere
within a second, so `fresh_s` stays below that and no process trusts a notification for it. Callers that ask for the
same key at the same moment share one query. A failed query is not remembered. Who is about to refuse something for an
old answer forgets it and asks once more: what was allowed a moment ago is not refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from outrider.base.clock import Clock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Remembers what `read` answered, for a moment. Bounded: past `count_max` it starts anew."""

    def __init__(
        self, read: Callable[[Key], Awaitable[Value]], *, clock: Clock, fresh_s: float, count_max: int = 10_000
    ) -> None:
        self._read: Final = read
        self._clock: Final = clock
        self._fresh_s: Final = fresh_s
        self._count_max: Final = count_max
        self._known: Final[dict[Key, tuple[float, Value]]] = {}
        self._asking: Final[dict[Key, asyncio.Future[Value]]] = {}

    async def get(self, key: Key) -> Value:
        """Return the value, at most `fresh_s` old. Raises what `read` raises.

        Safe: concurrent; a caller that is cancelled while others wait for its answer leaves the question to them.
        """
        while True:
            known = self._known.get(key)
            if known is not None and known[0] > self._clock.monotonic_s():
                return known[1]
            asking = self._asking.get(key)
            if asking is None:
                return await self._ask(key)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    def forget(self, key: Key) -> None:
        """Let the next `get` ask anew. Cost of asking whenever it is no: one query at a time of each key."""
        self._known.pop(key, None)

    async def _ask(self, key: Key) -> Value:
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._asking[key] = future
        asked_s = self._clock.monotonic_s()  # Before the query: its snapshot may be as old as that.
        try:
            value = await self._read(key)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # Seen: there may be nobody else waiting.
            raise
        except BaseException:
            future.cancel()
            raise
        else:
            if len(self._known) >= self._count_max:
                self._known.clear()
            self._known[key] = asked_s + self._fresh_s, value
            future.set_result(value)
            return value
        finally:
            del self._asking[key]
