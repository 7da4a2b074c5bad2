"""Calls that all want the same table at the same moment."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TypeVar

from outrider.store.pool import Store
from outrider.testing.mailroom import WAIT_S, wait_blocked

Result = TypeVar("Result")


async def held_up(store: Store, table: str, calls: Sequence[Coroutine[None, None, Result]]) -> list[Result]:
    """Let all calls come as far as their first write to the table before the first may write."""
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await tx.execute(f"LOCK TABLE {table} IN SHARE MODE")
        running = [group.create_task(call) for call in calls]
        await wait_blocked(store, len(running))
    return [one.result() for one in running]
