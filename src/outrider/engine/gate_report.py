"""Tells the database every second how this node's gates are: the column RATE of `outrider queue`.

A gate counts for all pools that its source is in; told are the limits of the one that may have most connections. What a
whole pool shares, a pause, is no gate of its own here: the lanes that wait for it say so.

One process of a node runs it. Nothing decides by what it writes: when the database is away the gates go on, and what
people see is a little old.
"""

from typing import Final
from uuid import UUID

import msgspec

from outrider.base.clock import Clock
from outrider.engine.service import Outage, Rounds
from outrider.engine.slots import parse_gate_key
from outrider.net.ledger import Ledger
from outrider.obs.log import Logger
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.route import Egress
from outrider.policy.shaping import Limits, Shaping
from outrider.store import gates
from outrider.store.gates import GateState
from outrider.store.pool import Store

_EVERY_S: Final = 1.0
_COUNT_MAX: Final = 500  # Ours: the busiest; a node with fifty thousand sites need not write them all every second.


class GateReport:
    """A Part of one deliver process of each node."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        shaping: Shaping,
        egress: Egress,
        *,
        node_id: UUID,
        clock: Clock,
        logger: Logger,
    ) -> None:
        self._store: Final = store
        self._ledger: Final = ledger
        self._shaping: Final = shaping
        self._egress: Final = egress
        self._node_id: Final = node_id
        self._clock: Final = clock
        self._outage: Final = Outage(logger, "gates_not_reported")
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
        for name, gate in self._ledger.entries():
            gate_of = parse_gate_key(name)
            if gate_of is not None and not throttle.is_idle(gate, now_s):
                found.append((-sum(gate.connections), self._state(*gate_of, gate, now_s)))
        found.sort(key=lambda pair: pair[0])
        return [state for _, state in found[:_COUNT_MAX]]

    def _state(self, source: str, key: str, gate: Gate, now_s: float) -> GateState:
        provider = key.partition(" ")[0]  # "smarthost relay.example:587". A site is no provider: the default.
        view = throttle.describe(gate, self._limits(source, provider), now_s)
        return GateState(source, key, msgspec.json.encode(view).decode())

    def _limits(self, source: str, provider: str) -> Limits:
        pools = [
            pool.name for pool in self._egress.pools.values() if any(one.source.name == source for one in pool.members)
        ]
        # Without a pool: the source was in one before the last start.
        found = [self._shaping.limits(provider, pool) for pool in pools or [""]]
        return max(found, key=lambda limits: limits.connections)

    async def _put(self, states: list[GateState]) -> None:
        with self._outage:
            async with self._store.transaction() as tx:
                await gates.put(tx, self._node_id, states, now=self._clock.now())
