"""The addresses that mail about our mail comes back to: made for each recipient, under the project's bounce domain.

A project has a bounce domain of its own, or the shared one of [inbound]; without either the envelope sender is the
sender's own address, and bounces go there, but for mail to the simulator, whose answers come back in any case. The
tokens are `mail.verp`'s; the key is derived from the master key, so every process of the installation reads
what any of them made.

Each of these domains takes reports of feedback loops, too (`mail.verp.feedback_address`): `BounceDomains` knows them
all by heart, so that nobody who asks for one that is not here costs a query.
"""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, StoreError
from outrider.engine.service import Rounds
from outrider.mail.verp import Purpose, ReturnPath, Signer
from outrider.obs.log import Logger
from outrider.policy import simulate
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.vault import Vault

LIFE: Final = timedelta(days=60)  # Ours: bounces come within days, complaints within weeks.
_FRESH_S: Final = 30.0  # Ours: how soon a changed bounce domain is used.


class ReturnPaths:
    """Mints them. One per process."""

    def __init__(self, store: Store, signer: Signer, *, shared_domain: str, clock: Clock) -> None:
        """`shared_domain` is that of projects without one of their own, "" for none."""
        self._store: Final = store
        self._signer: Final = signer
        self._shared_domain: Final = shared_domain
        self._clock: Final = clock
        self._domains: Final = Recent[UUID, str](self._read_domain, clock=clock, fresh_s=_FRESH_S)

    async def domain_of(self, project_id: UUID, route: str) -> str:
        """Return the bounce domain of the project's mail to `route`, "" if it has none."""
        domain = await self._domains.get(project_id)
        if not domain and simulate.is_simulated(route):
            return simulate.BOUNCE_DOMAIN  # Never leaves the machine, so it needs no set-up.
        return domain

    def mint(self, recipient_id: UUID, domain: str, purpose: Purpose = Purpose.BOUNCE) -> str:
        """Return the address at `domain` for mail about this recipient. Cost: 5 us."""
        expires_on: date = (self._clock.now() + LIFE).date()
        return self._signer.mint(ReturnPath(recipient_id, purpose, expires_on), domain)

    async def _read_domain(self, project_id: UUID) -> str:
        async with self._store.transaction() as tx:
            return await projects.bounce_domain_of(tx, project_id) or self._shared_domain


class BounceDomains:
    """Every bounce domain of this installation, half a minute old at most while `run` runs.

    While the database is away the last known ones stand.
    """

    def __init__(self, store: Store, *, shared_domain: str, clock: Clock, logger: Logger) -> None:
        """`shared_domain` is that of projects without one of their own, "" for none."""
        self.shared: Final = shared_domain
        self._store: Final = store
        self._logger: Final = logger
        self._known: frozenset[str] | None = None  # None: not read yet.
        self._is_delayed = False
        self._rounds: Final = Rounds(_FRESH_S, clock=clock)

    def has(self, domain: str) -> bool:
        """Whether return paths are under this lower-case domain. Cost: no query.

        Raises:
            BusyError: they could not be read yet, so nobody knows.
        """
        if domain == self.shared:
            return bool(domain)
        if self._known is None:
            raise BusyError("The bounce domains are not known yet.")
        return domain in self._known

    async def load(self) -> None:
        """Read them anew. Raises StoreError."""
        async with self._store.transaction() as tx:
            self._known = frozenset((await projects.bounce_domains(tx)).values())

    async def run(self) -> None:
        """Read them every half minute until `stop`."""
        async for _ in self._rounds:
            try:
                await self.load()
                self._is_delayed = False
            except StoreError as error:
                if not self._is_delayed:  # Once an outage.
                    self._is_delayed = True
                    self._logger.warning("bounce_domains_not_read", error=str(error))

    def stop(self) -> None:
        """Let `run` return."""
        self._rounds.stop()


def signer_of(vault: Vault) -> Signer:
    """Return what makes and reads the return paths of this installation."""
    return Signer(vault.derive("return path 1"))
