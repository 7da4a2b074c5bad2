"""Tells the database every second how this node's gates are, so that people anywhere can read why mail waits.

One process of a node runs it. Nothing decides by what it writes: when the database is away the gates go on, and what
people see is a little old.
"""

from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import StoreError
from outrider.engine.service import Rounds
from outrider.engine.slots import BELOW
from outrider.net.ledger import Ledger
from outrider.obs.log import Logger
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Shaping
from outrider.store import gates
from outrider.store.gates import GateState
from outrider.store.pool import Store

_EVERY_S: Final = 1.0
_COUNT_MAX: Final = 500  # Ours: the busiest; a node with fifty thousand sites need not write them all every second.


class GateReport:
    """A Part of one deliver process of each node."""

    def __init__(
        self, store: Store, ledger: Ledger, shaping: Shaping, *, node_id: UUID, clock: Clock, logger: Logger
    ) -> None:
        self._store: Final = store
        self._ledger: Final = ledger
        self._shaping: Final = shaping
        self._node_id: Final = node_id
        self._clock: Final = clock
        self._logger: Final = logger
        self._rounds: Final = Rounds(_EVERY_S, clock=clock)

    async def run(self) -> None:
        """Report until `stop`; then forget what was reported."""
        async for _ in self._rounds:
            await self._put(self.states())
        await self._put([])

    def stop(self) -> None:
        """Let `run` return."""
        self._rounds.stop()

    def states(self) -> list[GateState]:
        """Return the gates worth a look: in use, slowed or stopped; the busiest first, at most `_COUNT_MAX`."""
        now_s = self._clock.now().timestamp()
        found: list[tuple[int, GateState]] = []
        for key, gate in self._ledger.entries():
            source, _, counted_by = key.partition("|")
            if BELOW not in counted_by and source != "from" and not throttle.is_idle(gate, now_s):
                found.append((-sum(gate.connections), self._state(source, counted_by, gate, now_s)))
        found.sort(key=lambda pair: pair[0])
        return [state for _, state in found[:_COUNT_MAX]]

    def _state(self, source: str, counted_by: str, gate: Gate, now_s: float) -> GateState:
        provider = counted_by.partition(" ")[0]  # "smarthost relay.example:587". A site is no provider: the default.
        view = throttle.describe(gate, self._shaping.limits(provider, ""), now_s)
        return GateState(source, counted_by, msgspec.json.encode(view).decode())

    async def _put(self, states: list[GateState]) -> None:
        try:
            async with self._store.transaction() as tx:
                await gates.put(tx, self._node_id, states, now=self._clock.now())
        except StoreError as error:
            self._logger.warning("gates_not_reported", error=str(error))
