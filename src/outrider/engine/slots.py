"""How the gates are called in the node's ledger, and the connections that a process takes from them.

mta1|gmail                 a gate: one source at one provider, or at one site of no provider we know
mta1|microsoft365<tab><site>  the connections of one site below a provider that has a bound for each
pool:marketing|gmail       what a whole pool shares: a provider's pause, the rate it has taught us
mta1|warm-up gmail         what a source in warm-up has sent there today
from|<project>/<domain>    a sending domain's own rate
from|<project>/<domain>/marketing  the rate to which a guard slows that stream; of the whole project without a domain
from|<project>//marketing/<campaign>  the same of a campaign
"""

from typing import Final

import msgspec

from outrider.base.clock import Clock
from outrider.net.ledger import Ledger
from outrider.net.site import Site
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Limits, Place
from outrider.policy.throttle import Blocked
from outrider.store.guards import Guard
from outrider.store.lanes import Lane

_YIELD_S: Final = 0.05  # Ours: asked after every mail, and a wish lasts far longer.
_FULL_S: Final = 0.04  # Ours: nobody tells us what another process gives back, and who waits looks every 0.05 s.
_KEYS_COUNT_MAX: Final = 10_000
BELOW: Final = "\t"  # Between a provider's key and a site's: in no host name.
_POOL: Final = "pool:"  # No source is called so, nor any provider as the next one.
_WARMUP: Final = "warm-up "
_DOMAIN: Final = "from"


class NodeSlots:
    """The connections of this node's gates, as one process takes and gives them (`net.pool.Slots`).

    A key may name a site below its provider (`slot_key`): then a connection counts at both.
    """

    def __init__(self, ledger: Ledger, *, slot: int, clock: Clock) -> None:
        self._ledger: Final = ledger
        self._slot: Final = slot
        self._clock: Final = clock
        self._limits: Final[dict[tuple[str, str], Limits]] = {}
        self._yields: Final[dict[tuple[str, str], tuple[float, bool]]] = {}  # Until when it is not asked again.
        self._full: Final[dict[str, tuple[float, Blocked]]] = {}  # Gates without a free connection, asked then.
        self.refusal: Blocked | None = None
        """Why the last `take` was refused; who wants to know clears it before."""
        self.refused_key = ""
        """Where: at the key of the provider, or of the site below it."""

    def expect(self, source: str, key: str, limits: Limits) -> None:
        """Count the connections of (source, key) by `limits` from now on."""
        self._limits[source, key] = limits

    def take(self, source: str, key: str) -> bool:
        """Take a connection of the gate for this process; False if there is none."""
        limits, now_s = self._limits[source, key], self._clock.now().timestamp()
        provider, _, site = key.partition(BELOW)
        if site:
            # The site first, and without the rate of new connections: a site that is full costs its provider none.
            per_site = msgspec.structs.replace(limits, connections=limits.connections_per_site, connection_rate=None)
            self.refused_key = key
            if not self._take(gate_key(source, key), per_site, now_s):
                return False
        self.refused_key = provider
        if self._take(gate_key(source, provider), limits, now_s):
            return True
        if site:
            self._give(gate_key(source, key))
        return False

    def give(self, source: str, key: str) -> None:
        """Give a connection back."""
        provider, _, site = key.partition(BELOW)
        self._give(gate_key(source, provider))
        if site:
            self._give(gate_key(source, key))

    def should_yield(self, source: str, key: str) -> bool:
        """Whether another process of the node waits for a connection of which we hold more than our share."""
        now_s = self._clock.monotonic_s()
        until_s, is_asked = self._yields.get((source, key), (0.0, False))
        if now_s < until_s and not is_asked:
            return False
        gate = self._ledger.read(gate_key(source, key.partition(BELOW)[0]))
        limits = self._limits[source, key]
        is_asked = gate is not None and throttle.should_yield(gate, limits, self._slot, self._clock.now().timestamp())
        if len(self._yields) >= _KEYS_COUNT_MAX:
            self._yields.clear()
        self._yields[source, key] = now_s + _YIELD_S, is_asked
        return is_asked

    def _take(self, key: str, limits: Limits, now_s: float) -> bool:
        asked_at_s, self.refusal = self._full.get(key, (0.0, None))
        if self.refusal is not None and 0 <= now_s - asked_at_s < _FULL_S and now_s < self.refusal.until_s:
            return False

        def change(gate: Gate) -> Blocked | None:
            blocked = throttle.take_connection(gate, limits, self._slot, now_s)
            if blocked is not None:
                throttle.want(gate, self._slot, now_s)
            return blocked

        self.refusal = self._ledger.update(key, change)
        if self.refusal is None:
            return True
        if len(self._full) >= _KEYS_COUNT_MAX:
            self._full.clear()
        self._full[key] = now_s, self.refusal
        return False

    def _give(self, key: str) -> None:
        self._full.pop(key, None)
        self._ledger.update(key, lambda gate: throttle.give_connection(gate, self._slot))


def gate_key(source: str, key: str) -> str:
    """Name a gate in the ledger."""
    return f"{source}|{key}"


def pool_name(pool: str) -> str:
    """Name what a whole pool shares, where a source's name stands else."""
    return f"{_POOL}{pool}"


def warmup_key(source: str, provider: str) -> str:
    """Name what is counted against the source's ceiling of the day at the provider."""
    return gate_key(source, f"{_WARMUP}{provider}")


def domain_key(lane: Lane) -> str:
    """Name the own rate of the lane's sending domain."""
    return gate_key(_DOMAIN, f"{lane.project_id}/{lane.sender_domain}")


def guard_key(guard: Guard) -> str:
    """Name the rate to which a guard slows its stream of a domain, project or campaign."""
    key = f"{guard.project_id}/{guard.sender_domain}/{guard.stream}"
    return gate_key(_DOMAIN, f"{key}/{guard.campaign}" if guard.campaign else key)


def parse_gate_key(name: str) -> tuple[str, str] | None:
    """Return a gate's source and key; None for what the ledger keeps besides: of pools, domains, warm-ups, below."""
    source, _, key = name.partition("|")
    is_domain = source == _DOMAIN and "/" in key  # A source may be called "from".
    is_gate = not (is_domain or source.startswith(_POOL) or key.startswith(_WARMUP) or BELOW in key)
    return (source, key) if is_gate else None


def slot_key(place: Place, site: Site, limits: Limits) -> str:
    """Name what connections are counted by: the place, and the site below it where it has a bound of its own."""
    return f"{place.key}{BELOW}{site.name}" if limits.connections_per_site else place.key
