"""Tends the DKIM keys of all domains in the worker, once a minute (`services.dkim_keys` has what that is).

Any number of processes may run it: each move holds its domain. While the database is away nothing is moved.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from outrider.base.clock import Clock
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger

_ROUND_S: Final = 60.0  # Ours: nobody waits for a key to the second.


class Tended(Protocol):
    """What a round did."""

    @property
    def count(self) -> int:
        """Domains whose keys moved, or that got new ones."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Why others got none, by name."""

    @property
    def has_more(self) -> bool:
        """More domains are due."""


class Keys(Protocol):
    """The keys (`services.dkim_keys.KeyRing`)."""

    async def tend(self) -> Tended:
        """Do what is due for some domains. Raises StoreError."""


class KeyKeeper(Recurring):
    """Tends the keys while `run` runs."""

    def __init__(self, keys: Keys, *, clock: Clock, logger: Logger) -> None:
        super().__init__(self._tend, _ROUND_S, clock=clock, outage=Outage(logger, "dkim_keys_not_tended"))
        self._keys: Final = keys
        self._logger: Final = logger

    async def _tend(self) -> bool:
        """Tend some domains; return whether there are more."""
        found = await self._keys.tend()
        if found.count:
            self._logger.info("dkim_keys_tended", domain_count=found.count)
        for name, reason in found.failures.items():
            self._logger.warning("dkim_keys_not_renewed", domain=name, reason=reason)
        return found.has_more
