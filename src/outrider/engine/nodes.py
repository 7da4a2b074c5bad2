"""What this node tells the others: that it is up, which pools it serves, and which addresses are its own.

    book = NodeBook(store, node_id, name=..., pools=egress.pools_served, addresses=egress.addresses, ...)
    await book.claim()              # before anything sends: ConfigError if another node has one of our addresses
    await run_all([book, ...])      # its row is fresh every second; a clean stop removes it

One process per node keeps the book. `claim` may be called by another, such as the one that starts them all: the row is
the node's, whoever writes it.

Failure policy: a database that is away is told and asked again; meanwhile we go on, as do all others. If another node
took one of our addresses while we were not seen (this machine slept), `run` raises: better no mail than mail from an
address whose limits somebody else counts.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import ConfigError, StoreError
from outrider.engine.service import Outage
from outrider.obs.log import Logger
from outrider.store import nodes
from outrider.store.nodes import Node
from outrider.store.pool import Store

__all__ = ["Node", "NodeBook", "live"]  # With the record a reader meets.

SEEN_S: Final = 10.0  # Ours: ten beats; a checkpoint or a slow disk is not a death.
_EVERY_S: Final = 1.0


class NodeBook:
    """Keeps this node's row while `run` runs."""

    def __init__(
        self,
        store: Store,
        node_id: UUID,
        *,
        name: str,
        pools: Sequence[str],
        addresses: Sequence[str],
        clock: Clock,
        logger: Logger,
    ) -> None:
        """`node_id` is the same after a restart; `addresses` are in their shortest form."""
        self._store: Final = store
        self._node_id: Final = node_id
        self._name: Final = name
        self._pools: Final = tuple(pools)
        self._addresses: Final = tuple(addresses)
        self._clock: Final = clock
        self._logger: Final = logger
        self._outage: Final = Outage(logger, "node_not_seen")
        self._started_at: Final = clock.now()
        self._stop_asked: Final = asyncio.Event()

    async def claim(self) -> None:
        """Write this node's row; its addresses are ours from now. Safe twice.

        Raises:
            ConfigError: another node that is up has one of them; names both.
            StoreError: the database is away.
        """
        now = self._clock.now()
        node = Node(self._node_id, self._name, self._pools, self._addresses, self._started_at, now)
        async with self._store.transaction() as tx:
            holder = await nodes.claim(tx, node, alive_since=_alive_since(now))
        if holder is not None:
            raise ConfigError(
                f"The address {holder.address} is in use by the node {holder.node!r}, seen within the last"
                f" {SEEN_S:.0f} s. An address belongs to one node: stop that one, or take the address out of"
                " [egress.sources] here."
            )

    async def run(self) -> None:
        """Write the row every second until `stop`, then remove it. Raises what `claim` raises, but for StoreError."""
        while not self._stop_asked.is_set():
            with self._outage:
                await self.claim()
            await self._pause()
        try:
            async with self._store.transaction() as tx:
                await nodes.remove(tx, self._node_id)
        except StoreError as error:
            self._logger.warning("node_not_removed", error=str(error))  # It counts as up for `SEEN_S` more.

    def stop(self) -> None:
        """Let `run` return."""
        self._stop_asked.set()

    async def _pause(self) -> None:
        """Wait for the next beat, or for `stop`."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._clock.sleep(_EVERY_S)), group.create_task(self._await_stop())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _await_stop(self) -> None:
        await self._stop_asked.wait()


async def live(store: Store, clock: Clock) -> Sequence[Node]:
    """Return the nodes that are up, by name."""
    async with store.transaction() as tx:
        return await nodes.live(tx, alive_since=_alive_since(clock.now()))


def _alive_since(now: datetime) -> datetime:
    return now - timedelta(seconds=SEEN_S)
