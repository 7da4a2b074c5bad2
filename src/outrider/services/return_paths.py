"""The addresses that mail about our mail comes back to: made for each recipient, under a bounce domain.

That of the sending domain, once its records work, so that SPF is aligned with From; else the project's own, or the
shared one of [inbound]; without any the envelope sender is the sender's own address, and bounces go there, but for mail
to the simulator, whose answers come back in any case. The tokens are `mail.verp`'s; the key is derived from the master
key, so every process of the installation reads what any of them made.

A recipient's link to unsubscribe has a token of the same key and the same life; the page is `services.leaving`'s.

Each of these domains takes reports of feedback loops, too (`mail.verp.feedback_address`): `BounceDomains` knows them
all by heart, so that nobody who asks for one that is not here costs a query.
"""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import BusyError
from outrider.engine.service import Outage, Recurring
from outrider.mail.verp import Purpose, ReturnPath, Signer
from outrider.obs.log import Logger
from outrider.policy import simulate
from outrider.store import domains, projects
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.vault import Vault

LIFE: Final = timedelta(seconds=limits.RETURN_PATH_LIFE_S)
UNSUBSCRIBE_PATH: Final = "/unsubscribe"  # Of the page, below the root of our links.
_PURPOSE: Final = "return path 1"  # Danger: another one makes all that is on its way forged.
_FRESH_S: Final = 30.0  # Ours: how soon a changed bounce domain is used.


class ReturnPaths:
    """Mints them. One per process."""

    def __init__(self, store: Store, signer: Signer, *, shared_domain: str, clock: Clock, links_root: str = "") -> None:
        """`shared_domain` is that of projects without one of their own, `links_root` of our pages; "" for none."""
        self._store: Final = store
        self._signer: Final = signer
        self._links_root: Final = links_root
        self._shared_domain: Final = shared_domain
        self._clock: Final = clock
        self._domains: Final = Recent[tuple[UUID, str], str](self._read_domain, clock=clock, fresh_s=_FRESH_S)

    async def domain_of(self, project_id: UUID, sender_domain: str, route: str) -> str:
        """Return the bounce domain of the project's mail from `sender_domain` to `route`, "" if it has none."""
        domain = await self._domains.get((project_id, sender_domain))
        if not domain and simulate.is_simulated(route):
            return simulate.BOUNCE_DOMAIN  # Never leaves the machine, so it needs no set-up.
        return domain

    def mint(self, recipient_id: UUID, domain: str, purpose: Purpose = Purpose.BOUNCE) -> str:
        """Return the address at `domain` for mail about this recipient. Cost: `mail.verp` says it."""
        expires_on: date = (self._clock.now() + LIFE).date()
        return self._signer.mint(ReturnPath(recipient_id, purpose, expires_on), domain)

    def link(self, recipient_id: UUID) -> str:
        """Return the page on which this recipient unsubscribes, "" if there is none. Cost: as `mint`."""
        if not self._links_root:
            return ""
        token = self._signer.mint_link(recipient_id, (self._clock.now() + LIFE).date())
        return f"{self._links_root}{UNSUBSCRIBE_PATH}?token={token}"

    async def _read_domain(self, key: tuple[UUID, str]) -> str:
        self._signer.look_again()  # So that a new master key is used soon, and the last one not for ever.
        async with self._store.transaction() as tx:
            own = await domains.return_path_of(tx, *key) or await projects.bounce_domain_of(tx, key[0])
        return own or self._shared_domain


class BounceDomains(Recurring):
    """Every bounce domain of this installation, half a minute old at most while `run` runs.

    While the database is away the last known ones stand.
    """

    def __init__(self, store: Store, *, shared_domain: str, clock: Clock, logger: Logger) -> None:
        """`shared_domain` is that of projects without one of their own, "" for none."""
        super().__init__(self.load, _FRESH_S, clock=clock, outage=Outage(logger, "bounce_domains_not_read"))
        self.shared: Final = shared_domain
        self._store: Final = store
        self._known: frozenset[str] | None = None  # None: not read yet.

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
            self._known = frozenset((await projects.bounce_domains(tx)).values()) | await domains.return_paths(tx)


def signer_of(vault: Vault) -> Signer:
    """Return what makes and reads the return paths of this installation. `vault` is its alone: see `Vault.refresh`."""
    key, *older = vault.derive(_PURPOSE)
    return Signer(key, older, read_keys=lambda: vault.derive(_PURPOSE) if vault.refresh() else None)
