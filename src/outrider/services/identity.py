"""Whose mail a project may send: domains, and senders.

A domain gets two DKIM keys when it is added, RSA-2048 and Ed25519 (`services.dkim_keys` makes them). It may be used
once it is verified; checking its DNS records is a later step, until then somebody says so by hand. Below such a
domain a project may have a bounce domain, where its return paths are; without one it uses the shared one.

The hot questions (may this sender send? how fast may a domain send?) are answered from memory for at most `FRESH_S`; a
removed sender or another rate is noticed everywhere within a second.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import KeyState, WaitKind
from outrider.engine.accept import AllowedSender
from outrider.mail import address, headers
from outrider.mail.address import Address
from outrider.mail.dkim import ALGORITHMS
from outrider.store import dkim_keys, domains, lanes, projects, senders
from outrider.store.dkim_keys import DkimKey
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.senders import Sender

__all__ = ["BounceDomain", "DnsRecord", "Domain", "Gateway", "Identity", "Sender"]  # With the records a caller meets.

FRESH_S: Final = 0.5  # A removed sender is refused everywhere within 1 s (issue 6).
_NAMELESS: Final = "(the public name of this machine: set OUTRIDER_NET__EHLO_NAME)"


class DnsRecord(msgspec.Struct, frozen=True):
    """One record to publish."""

    type: str
    host: str  # Fully qualified, without the last dot.
    value: str  # Of a TXT record: the whole text; over 255 bytes it is published as several strings.


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS has to say of this installation, for bounce domains."""

    shared_domain: str = ""  # Of projects without a bounce domain of their own; "" if there is none.
    mx_host: str = ""  # Where mail that comes back is taken; "" if its name is not set.
    addresses: Sequence[str] = ()  # What mail leaves from, besides that host's own.
    is_relayed: bool = False  # Mail leaves from smart hosts, too, whose addresses we do not know.


NO_GATEWAY: Final = Gateway()


class BounceDomain(msgspec.Struct, frozen=True):
    """Where the return paths of a project are."""

    name: str  # "": nowhere; bounces go to the senders.
    is_shared: bool


class KeyMaker(Protocol):
    """Who makes a domain's first DKIM keys (`services.dkim_keys`)."""

    async def make(
        self, project_id: UUID, domain_id: UUID, name: str, algorithms: Collection[str]
    ) -> Sequence[DkimKey]:
        """Return the keys, sealed, not stored yet. Raises CallerError: no such algorithms."""


class Identity:
    """Domains and senders of all projects; also the engine's `SenderBook`."""

    def __init__(
        self,
        store: Store,
        keys: KeyMaker,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        gateway: Gateway = NO_GATEWAY,
    ) -> None:
        self._gateway: Final = gateway
        self._store: Final = store
        self._keys: Final = keys
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._senders: Final = Recent[tuple[UUID, str], Sender | None](self._read_sender, clock=clock, fresh_s=FRESH_S)
        self._rates: Final = Recent[tuple[UUID, str], int | None](self._read_rate, clock=clock, fresh_s=FRESH_S)

    async def add_domain(
        self, project_id: UUID, name: str, *, is_verified: bool, algorithms: Collection[str] = ALGORITHMS
    ) -> Domain:
        """Add a sending domain with its DKIM keys. Safe twice and at once: one that is there is returned as it is.

        Args:
            algorithms: what to sign with, one key each, of ALGORITHMS; at least one.
            is_verified: trust the caller that the domain is the project's and its records are published; also marks a
                domain verified that is there already.

        Raises:
            CallerError: `name` is no domain name, or an algorithm is unknown.
            ConflictError: another project has proven that domain.
        """
        name = address.parse_domain(name)
        existing = await self._find_domain(project_id, name)
        if existing is not None:
            if is_verified and existing.verified_at is None:
                await self._mark_verified(existing)
            return await self.domain(project_id, name)
        now = self._clock.now()
        domain = Domain(self._new_id(), project_id, name, now, now if is_verified else None)
        keys = await self._keys.make(project_id, domain.domain_id, name, algorithms)
        try:
            async with self._store.transaction() as tx:
                await domains.insert(tx, domain)
                for key in keys:
                    await dkim_keys.insert(tx, key)
                if is_verified:
                    await dkim_keys.trust(tx, project_id, domain.domain_id, now=now)
        except ConflictError as error:
            if error.detail["constraint"] == domains.NAME_TAKEN:  # By somebody who was a moment quicker.
                return await self.add_domain(project_id, name, is_verified=is_verified, algorithms=algorithms)
            raise _explained(error, name) from error
        return domain

    async def domain(self, project_id: UUID, name: str) -> Domain:
        """Return the project's domain. Raises NotFoundError; CallerError if `name` is no domain name."""
        found = await self._find_domain(project_id, address.parse_domain(name))
        if found is None:
            raise NotFoundError(f"The project has no domain {name!r}; `outrider domain add` adds one.", field="domain")
        return found

    async def list_domains(self, project_id: UUID) -> Sequence[Domain]:
        """Return the project's domains by name."""
        async with self._store.transaction() as tx:
            return await domains.of_project(tx, project_id)

    async def set_rate(self, project_id: UUID, name: str, per_minute: int | None) -> Domain:
        """Let so many mails a minute leave from the project's domain, in all; None takes the limit away. Safe twice.

        Raises:
            CallerError: `name` is no domain name, or the rate is not 1 to `DOMAIN_PER_MINUTE_COUNT_MAX`.
            NotFoundError: the project has no such domain.
        """
        if per_minute is not None and not 1 <= per_minute <= limits.DOMAIN_PER_MINUTE_COUNT_MAX:
            raise CallerError(
                f"A domain sends 1 to {limits.DOMAIN_PER_MINUTE_COUNT_MAX} mails a minute, or has no limit.",
                field="rate_per_minute",
            )
        domain = await self.domain(project_id, name)
        async with self._store.transaction() as tx:
            await domains.set_rate(tx, project_id, domain.name, per_minute)
            await lanes.end_pauses(tx, project_id, domain.name, WaitKind.DOMAIN_RATE, now=self._clock.now())
        return await self.domain(project_id, name)

    async def rate_of(self, project_id: UUID, domain: str) -> int | None:
        """Return how many mails a minute may leave from the project's domain (lower-case A-label); None: no limit."""
        return await self._rates.get((project_id, domain))

    async def dns_records(self, project_id: UUID, name: str) -> list[DnsRecord]:
        """Return what to publish for the project's domain: one TXT record per DKIM key, and a first DMARC policy.

        With them those of the project's bounce domain, if it is this one or below it.
        """
        domain = await self.domain(project_id, name)
        async with self._store.transaction() as tx:
            keys = await dkim_keys.of_domain(tx, project_id, domain.name)
        records = [
            DnsRecord("TXT", f"{key.selector}._domainkey.{domain.name}", key.public_record)
            for key in keys
            if key.state is not KeyState.RETIRED
        ]
        records.append(DnsRecord("TXT", f"_dmarc.{domain.name}", "v=DMARC1; p=none"))
        bounces = await self.bounce_domain(project_id)
        return records + (self._bounce_records(bounces.name) if _is_within(bounces.name, domain.name) else [])

    async def bounce_domain(self, project_id: UUID) -> BounceDomain:
        """Return where the return paths of the project are."""
        async with self._store.transaction() as tx:
            own = await projects.bounce_domain_of(tx, project_id)
        return BounceDomain(own or self._gateway.shared_domain, is_shared=not own)

    async def set_bounce_domain(self, project_id: UUID, name: str) -> BounceDomain:
        """Give the project's return paths a domain, "" for the shared one. Used within half a minute. Safe twice.

        Raises:
            CallerError: `name` is no domain name.
            NotFoundError: it is neither a verified domain of the project nor below one.
        """
        name = address.parse_domain(name) if name else ""
        async with self._store.transaction() as tx:
            known = await domains.of_project(tx, project_id)
            if name and not any(one.verified_at is not None and _is_within(name, one.name) for one in known):
                raise NotFoundError(
                    f"{name} is neither a verified domain of the project nor below one; see `outrider domain list`.",
                    field="domain",
                )
            await projects.set_bounce_domain(tx, project_id, name)
        return await self.bounce_domain(project_id)

    async def add_sender(self, project_id: UUID, text: str, name: str) -> Sender:
        """Let the project send as this address, on one of its domains. Safe twice and at once.

        Raises:
            CallerError: not an address, or a name that no header can carry.
            NotFoundError: the project has no such domain.
        """
        try:
            parsed = address.parse(text)
        except CallerError as error:
            raise CallerError(f"Not an address: {error.public}.", field="address") from error
        headers.check_value(name, field="name")
        headers.check_display_name(name, field="name")
        domain = await self.domain(project_id, parsed.domain)
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)  # Of two first senders one is the default.
            existing = await senders.by_key(tx, project_id, parsed.key)
            if existing is not None:
                return existing
            await senders.insert(
                tx,
                sender_id=self._new_id(),
                project_id=project_id,
                domain_id=domain.domain_id,
                address=parsed.text,
                address_key=parsed.key,
                name=name,
                now=self._clock.now(),
            )
            added = await senders.by_key(tx, project_id, parsed.key)
        assert added is not None
        return added

    async def list_senders(self, project_id: UUID) -> Sequence[Sender]:
        """Return the project's senders, oldest first."""
        async with self._store.transaction() as tx:
            return await senders.of_project(tx, project_id)

    async def find(self, project_id: UUID, sender: Address) -> AllowedSender | None:
        """Return the sender if it may send now (`engine.accept.SenderBook`)."""
        found = await self._senders.get((project_id, sender.key))
        if found is None or not found.is_enabled or not found.is_domain_verified:
            return None
        return AllowedSender(address.parse(found.address), found.name)

    def _bounce_records(self, name: str) -> list[DnsRecord]:
        """Source: RFC 5321 §5.1 (MX), RFC 7208 §5 (SPF)."""
        gateway = self._gateway
        sources = [f"ip{6 if ':' in one else 4}:{one}" for one in gateway.addresses]
        spf = " ".join(["v=spf1", "mx", *sources, "~all" if gateway.is_relayed else "-all"])
        return [DnsRecord("MX", name, f"10 {gateway.mx_host or _NAMELESS}"), DnsRecord("TXT", name, spf)]

    async def _find_domain(self, project_id: UUID, name: str) -> Domain | None:
        async with self._store.transaction() as tx:
            return await domains.by_name(tx, project_id, name)

    async def _mark_verified(self, domain: Domain) -> None:
        try:
            async with self._store.transaction() as tx:
                now = self._clock.now()
                await dkim_keys.trust(tx, domain.project_id, domain.domain_id, now=now)
                await domains.verify(tx, domain.project_id, domain.domain_id, now=now)
        except ConflictError as error:
            raise _explained(error, domain.name) from error

    async def _read_sender(self, key: tuple[UUID, str]) -> Sender | None:
        async with self._store.transaction() as tx:
            return await senders.by_key(tx, *key)

    async def _read_rate(self, key: tuple[UUID, str]) -> int | None:
        found = await self._find_domain(*key)
        return None if found is None else found.rate_per_minute

    def _new_id(self) -> UUID:
        return ids.uuid7(self._clock.now(), self._random_bits(74))


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _explained(error: ConflictError, name: str) -> ConflictError:
    return ConflictError(f"{name} is verified in another project.", field="domain", **error.detail)
