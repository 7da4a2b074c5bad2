"""Whose mail a project may send: domains with their DKIM keys, and senders.

A domain gets two keys when it is added, RSA-2048 and Ed25519 (RFC 8301, RFC 8463), sealed before they are stored. It
may be used once it is verified; checking its DNS records is a later step, until then somebody says so by hand. Below
such a domain a project may have a bounce domain, where its return paths are; without one it uses the shared one.

The hot questions (may this sender send? which keys sign? how fast may a domain send?) are answered from memory for at
most `FRESH_S`; a removed sender, a new key or another rate is noticed everywhere within a second.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import WaitKind
from outrider.engine.accept import AllowedSender
from outrider.mail import address, dkim, headers, verp
from outrider.mail.address import Address
from outrider.mail.dkim import SigningKey
from outrider.store import domains, lanes, projects, senders
from outrider.store.domains import DkimKey, Domain
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.senders import Sender
from outrider.store.vault import Vault

__all__ = ["BounceDomain", "DnsRecord", "Domain", "Gateway", "Identity", "Sender"]  # With the records a caller meets.

ALGORITHMS: Final = (dkim.RSA_SHA256, dkim.ED25519_SHA256)
FRESH_S: Final = 0.5  # A removed sender is refused everywhere within 1 s (issue 6).
_RSA_BITS: Final = 2048  # RFC 8301 §3.2: at least 1024, 2048 advised; more does not fit one TXT string.
_RSA_EXPONENT: Final = 65537
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

    @property
    def feedback_address(self) -> str:
        """What to register with feedback loops for the project's mail; "" if there is none."""
        return verp.feedback_address(self.name) if self.name else ""


class Identity:
    """Domains and senders of all projects; also the engine's `SenderBook` and `SigningKeys`."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        gateway: Gateway = NO_GATEWAY,
    ) -> None:
        self._gateway: Final = gateway
        self._store: Final = store
        self._vault: Final = vault
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._senders: Final = Recent[tuple[UUID, str], Sender | None](self._read_sender, clock=clock, fresh_s=FRESH_S)
        self._keys: Final = Recent[tuple[UUID, str], Sequence[SigningKey]](
            self._read_keys, clock=clock, fresh_s=FRESH_S
        )
        self._rates: Final = Recent[tuple[UUID, str], int | None](self._read_rate, clock=clock, fresh_s=FRESH_S)
        self._opened: Final[dict[UUID, SigningKey]] = {}

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
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise CallerError(f"DKIM signs with {' or '.join(ALGORITHMS)}.", field="algorithms")
        existing = await self._find_domain(project_id, name)
        if existing is not None:
            if is_verified and existing.verified_at is None:
                await self._mark_verified(existing)
            return await self.domain(project_id, name)
        now = self._clock.now()
        domain = Domain(self._new_id(), project_id, name, now, now if is_verified else None)
        makers = [(suffix, maker) for algorithm, (suffix, maker) in _KEYS.items() if algorithm in algorithms]
        keys = [self._seal(domain, suffix, await asyncio.to_thread(maker)) for suffix, maker in makers]
        try:
            async with self._store.transaction() as tx:
                await domains.insert(tx, domain)
                for key in keys:
                    await domains.insert_key(tx, key)
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
            keys = await domains.keys_of(tx, project_id, domain.name)
        records = [DnsRecord("TXT", f"{key.selector}._domainkey.{domain.name}", key.public_record) for key in keys]
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

    async def published_record(self, domain: str, selector: str) -> str | None:
        """Return the TXT value of a DKIM key as the world's DNS should have it, None if no verified domain has it."""
        async with self._store.transaction() as tx:
            return await domains.published_record(tx, domain, selector)

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

    async def of_domain(self, project_id: UUID, domain: str) -> Sequence[SigningKey]:
        """Return the domain's signing keys, RSA first (`engine.prepare.SigningKeys`)."""
        return await self._keys.get((project_id, domain))

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
                await domains.verify(tx, domain.project_id, domain.domain_id, now=self._clock.now())
        except ConflictError as error:
            raise _explained(error, domain.name) from error

    async def _read_sender(self, key: tuple[UUID, str]) -> Sender | None:
        async with self._store.transaction() as tx:
            return await senders.by_key(tx, *key)

    async def _read_rate(self, key: tuple[UUID, str]) -> int | None:
        found = await self._find_domain(*key)
        return None if found is None else found.rate_per_minute

    async def _read_keys(self, key: tuple[UUID, str]) -> Sequence[SigningKey]:
        project_id, name = key
        async with self._store.transaction() as tx:
            stored = await domains.keys_of(tx, project_id, name)
        return [self._open(name, one) for one in stored]

    def _open(self, name: str, key: DkimKey) -> SigningKey:
        """Unseal and load a key, once: loading an RSA key costs as much as a signature."""
        opened = self._opened.get(key.dkim_key_id)
        if opened is None:
            pem = self._vault.open(key.private_key_sealed, _context(key.domain_id, key.selector))
            opened = self._opened[key.dkim_key_id] = dkim.load_key(name, key.selector, pem)
        return opened

    def _seal(self, domain: Domain, suffix: str, pem: bytes) -> DkimKey:
        selector = f"o{domain.created_at:%Y%m}{suffix}"  # By month, so that a rotated key gets a name of its own.
        loaded = dkim.load_key(domain.name, selector, pem)
        return DkimKey(
            dkim_key_id=self._new_id(),
            project_id=domain.project_id,
            domain_id=domain.domain_id,
            selector=selector,
            algorithm=loaded.algorithm,
            private_key_sealed=self._vault.seal(pem, _context(domain.domain_id, selector)),
            public_record=dkim.public_record(loaded),
            created_at=domain.created_at,
        )

    def _new_id(self) -> UUID:
        return ids.uuid7(self._clock.now(), self._random_bits(74))


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _context(domain_id: UUID, selector: str) -> str:
    return f"dkim:{domain_id}:{selector}"


def _explained(error: ConflictError, name: str) -> ConflictError:
    return ConflictError(f"{name} is verified in another project.", field="domain", **error.detail)


def _new_rsa() -> bytes:
    key = rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=_RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_ed25519() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# What a key of each algorithm is called in its selector, and how it is made.
_KEYS: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    dkim.RSA_SHA256: ("r", _new_rsa),
    dkim.ED25519_SHA256: ("e", _new_ed25519),
}
