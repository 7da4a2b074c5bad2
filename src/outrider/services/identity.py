"""Whose mail a project may send: its domains. Their addresses are the business of `services.senders`.

A domain gets two DKIM keys when it is added, RSA-2048 and Ed25519 (`services.dkim_keys` makes them). It may be used
once it is proven: `services.verification` has seen its records in DNS, or somebody gave his word. Its bounces come back
to a return path of its own. A project may have a bounce domain below a proven domain, for mail of domains without one;
else the shared one of [inbound] is used. `services.release` gives a proven domain up.

The hot questions (which mail may a domain send, and how fast?) are answered from memory for at most `FRESH_S`; a stop
or another rate is noticed everywhere within a second, and nothing is refused from memory.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import MtaSts, Stream, WaitKind
from outrider.mail import address, bimi, orgdomain, verp
from outrider.mail.dkim import ALGORITHMS
from outrider.policy import standing
from outrider.store import dkim_keys, domains, lanes, projects, senders
from outrider.store.dkim_keys import DkimKey
from outrider.store.domains import Domain, Options, Terms
from outrider.store.pool import Store, Tx
from outrider.store.recent import Recent

__all__ = ["BounceDomain", "Domain", "Identity"]  # With the records a caller meets.

FRESH_S: Final = 0.5  # A stopped domain is refused everywhere within 1 s.
Kind = TypeVar("Kind", Terms, Options)
_HOST_CHARS_MAX: Final = 253  # RFC 1035 §2.3.4, as text without the last dot.


class BounceDomain(msgspec.Struct, frozen=True):
    """Where the return paths of a project are."""

    name: str  # "": nowhere; bounces go to the senders.
    is_shared: bool

    @property
    def feedback_address(self) -> str:
        """What to register with feedback loops for the project's mail; "" if there is none."""
        return verp.feedback_address(self.name) if self.name else ""


class KeyMaker(Protocol):
    """Who makes a domain's first DKIM keys (`services.dkim_keys`)."""

    async def make(
        self, project_id: UUID, domain_id: UUID, name: str, algorithms: Collection[str]
    ) -> Sequence[DkimKey]:
        """Return the keys, sealed, not stored yet. Raises CallerError: no such algorithms."""


class Identity:
    """Domains of all projects; also the engine's `DomainBook`."""

    def __init__(
        self,
        store: Store,
        keys: KeyMaker,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        shared_domain: str = "",
    ) -> None:
        """`shared_domain` has the return paths of projects without a bounce domain of their own; "": nothing has."""
        self._shared_domain: Final = shared_domain
        self._store: Final = store
        self._keys: Final = keys
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._domains: Final = Recent[tuple[UUID, str], Domain | None](self._read_domain, clock=clock, fresh_s=FRESH_S)

    async def add_domain(
        self,
        project_id: UUID,
        name: str,
        *,
        is_verified: bool,
        algorithms: Collection[str] = ALGORITHMS,
        stream: Stream | None = None,
        return_path: str | None = None,
        tracking_host: str = "",
    ) -> Domain:
        """Add a sending domain with its DKIM keys. Safe twice and at once: one that is there is returned as it is.

        Args:
            algorithms: what to sign with, one key each, of ALGORITHMS; at least one.
            stream: the only kind of mail it is to send; None: both.
            return_path: the host its bounces come back to, "" for none of its own; None: `bounces.` before the name,
                none on the operator's word.
            tracking_host: "" for none.
            is_verified: trust the caller that the domain is the project's and its records are published; also marks a
                domain verified that is there already.

        Raises:
            CallerError: `name` is no domain name, an algorithm is unknown, or a host is none of the domain's.
            ConflictError: another project has proven that domain.
        """
        name = address.parse_domain(name)
        if return_path is None:
            return_path = "" if is_verified else _default_return_path(name)
        terms = _parse_terms(name, Terms(stream=stream, return_path=return_path, tracking_host=tracking_host))
        existing = await self._find_domain(project_id, name)
        if existing is not None:
            if is_verified and existing.verified_at is None:
                await self._mark_verified(existing)
            return await self.domain(project_id, name)
        now = self._clock.now()
        domain = Domain(
            self._new_id(),
            project_id,
            name,
            now,
            now if is_verified else None,
            stream=terms.stream,
            return_path=terms.return_path,
            tracking_host=terms.tracking_host,
        )
        keys = await self._keys.make(project_id, domain.domain_id, name, algorithms)
        try:
            await self._insert(domain, keys)
        except ConflictError as error:
            if error.detail["constraint"] != domains.NAME_TAKEN:
                raise _explained(error, name) from error
            if is_verified:  # Somebody was a moment quicker, perhaps without giving his word.
                await self._mark_verified(await self.domain(project_id, name))
            return await self.domain(project_id, name)
        return domain

    async def domain(self, project_id: UUID, name: str) -> Domain:
        """Return the project's domain. Raises NotFoundError; CallerError if `name` is no domain name."""
        found = await self._find_domain(project_id, address.parse_domain(name))
        if found is None:
            raise NotFoundError(f"The project has no domain {name!r}; `outrider domain add` adds one.", field="domain")
        return found

    async def list_domains(
        self, project_id: UUID, *, after: str = "", count_max: int | None = None
    ) -> Sequence[Domain]:
        """Return the project's domains by name, behind the name `after`; all, or so many."""
        if "\x00" in after:
            raise CallerError("No name has a NUL in it.", field="after")
        async with self._store.transaction() as tx:
            return await domains.of_project(tx, project_id, after=after, count_max=count_max)

    async def change_domain(self, project_id: UUID, name: str, changes: Mapping[str, Any]) -> Domain:
        """Change what is named of a domain, all or nothing; what is not stays. Safe twice.

        Of a domain that is proven only those terms can still be given that are empty: mail that left names its hosts,
        and receivers know what it sends.

        Args:
            changes: by the names in `Terms`, where a stream of None is both kinds of mail and a host of "" none; in
                `Options`, where "" takes a record away; `rate_per_minute`, how many mails may leave in all, None for
                no limit; `senders`, which of its addresses may send. The last two count within a second.

        Raises:
            CallerError: a host is none of the domain's; an address is no https URL; a certificate without a logo,
                MTA-STS without a return path; the rate is not 1 to `DOMAIN_PER_MINUTE_COUNT_MAX`.
            NotFoundError: the project has no such domain.
            ConflictError: the domain is proven, and a term that has a value was to change.
        """
        found = await self.domain(project_id, name)
        _check_rate(changes.get("rate_per_minute"))
        async with self._store.transaction() as tx:
            domain = await domains.lock(tx, project_id, found.domain_id)
            if domain is None:
                raise NotFoundError(f"The project has no domain {name!r} any more.", field="domain")
            domain = await self._change_terms(tx, domain, changes)
            await self._change_options(tx, domain, changes)
            if "rate_per_minute" in changes:
                await domains.set_rate(tx, project_id, domain.name, changes["rate_per_minute"])
                await lanes.end_pauses(tx, project_id, domain.name, WaitKind.DOMAIN_RATE, now=self._clock.now())
            if "senders" in changes:
                await senders.set_rule(tx, project_id, domain.name, changes["senders"])
        return await self.domain(project_id, name)

    async def _change_terms(self, tx: Tx, domain: Domain, changes: Mapping[str, Any]) -> Domain:
        """Return the domain with the terms that it has now."""
        if changes.keys().isdisjoint(Terms.__struct_fields__):
            return domain
        old = Terms(stream=domain.stream, return_path=domain.return_path, tracking_host=domain.tracking_host)
        new = _parse_terms(domain.name, _changed(old, changes))
        _check_change(domain, old, new)
        if new != old:
            due_at = standing.first_check_at(self._clock.now())
            await domains.set_terms(tx, domain.project_id, domain.domain_id, new, check_due_at=due_at)
        return msgspec.structs.replace(domain, **msgspec.structs.asdict(new))

    async def _change_options(self, tx: Tx, domain: Domain, changes: Mapping[str, Any]) -> None:
        if changes.keys().isdisjoint(Options.__struct_fields__):
            return
        old = Options(mta_sts=domain.mta_sts, bimi_logo=domain.bimi_logo, bimi_certificate=domain.bimi_certificate)
        new = _parse_options(domain, _changed(old, changes))
        if new != old:
            due_at = standing.first_check_at(self._clock.now())
            await domains.set_options(tx, domain.project_id, domain.domain_id, new, check_due_at=due_at)

    async def remove_domain(self, project_id: UUID, name: str) -> Domain:
        """Remove a domain that was never proven, with its keys and senders; return what it was.

        Raises:
            NotFoundError: the project has no such domain.
            ConflictError: it is proven: its keys verify mail that is under way, and its history names it.
        """
        domain = await self.domain(project_id, name)
        async with self._store.transaction() as tx:
            held = await domains.lock_whole(tx, project_id, domain.domain_id)
            if held is not None and held.verified_at is not None:
                raise ConflictError(
                    f"{domain.name} has been proven; `outrider domain release` gives it up, with all that is its.",
                    field="domain",
                )
            await senders.remove_of_domain(tx, project_id, domain.domain_id)
            await dkim_keys.remove_all(tx, project_id, domain.domain_id)
            await domains.remove(tx, project_id, domain.domain_id)
        return domain

    async def rate_of(self, project_id: UUID, domain: str) -> int | None:
        """Return how many mails a minute may leave from the project's domain (lower-case A-label); None: no limit."""
        found = await self._domains.get((project_id, domain))
        return None if found is None else found.rate_per_minute

    async def check(self, project_id: UUID, domain: str, stream: Stream) -> None:
        """Return if that stream's mail may be taken for the domain (`engine.accept.DomainBook`).

        A domain that the project does not have is somebody else's question: that of its senders.

        Raises:
            CallerError: the domain sends the other kind of mail only; `field` is `stream`.
            ForbiddenError: it is stopped; `field` is `sender`.
        """
        key = project_id, domain
        if _refusal(await self._domains.get(key), stream) is None:
            return
        self._domains.forget(key)
        if (refusal := _refusal(await self._domains.get(key), stream)) is not None:
            raise refusal

    async def bounce_domain(self, project_id: UUID) -> BounceDomain:
        """Return where the return paths of the project are."""
        async with self._store.transaction() as tx:
            own = await projects.bounce_domain_of(tx, project_id)
        return BounceDomain(own or self._shared_domain, is_shared=not own)

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

    async def _insert(self, domain: Domain, keys: Sequence[DkimKey]) -> None:
        async with self._store.transaction() as tx:
            await domains.insert(tx, domain, check_due_at=standing.first_check_at(domain.created_at))
            for key in keys:
                await dkim_keys.insert(tx, key)
            await senders.adopt(tx, domain.project_id, domain.domain_id, domain.name)
            if domain.verified_at is not None:
                await dkim_keys.trust(tx, domain.project_id, domain.domain_id, now=domain.created_at)

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

    async def _read_domain(self, key: tuple[UUID, str]) -> Domain | None:
        return await self._find_domain(*key)

    def _new_id(self) -> UUID:
        return ids.uuid7(self._clock.now(), self._random_bits(74))


def _refusal(domain: Domain | None, stream: Stream) -> CallerError | None:
    """Return why that stream's mail may not be taken for the domain."""
    if domain is None:
        return None
    if domain.stream is not None and domain.stream is not stream:
        return CallerError(
            f"{domain.name} sends {domain.stream} mail only, and this is {stream}: use a sender on another domain.",
            field="stream",
        )
    if domain.stopped_at is not None:
        return ForbiddenError(
            f"{domain.name} is stopped, since its DNS records are gone or wrong. Mend what"
            f" `outrider domain show {domain.name}` says, then `outrider domain verify {domain.name}`.",
            field="sender",
        )
    return None


def _default_return_path(name: str) -> str:
    """Its host, if such a name is short enough."""
    host = f"bounces.{name}"
    return host if len(host) <= _HOST_CHARS_MAX else ""


def _parse_terms(name: str, terms: Terms) -> Terms:
    """Return the terms with their hosts as lower-case A-labels. Raises CallerError: one is none of the domain's."""
    hosts: dict[str, str] = {}
    for field in ("return_path", "tracking_host"):
        text = getattr(terms, field)
        try:
            hosts[field] = host = address.parse_domain(text) if text else ""
        except CallerError as error:
            raise CallerError(error.public, field=field) from error
        if host and not _is_within(host, orgdomain.of(name)):
            raise CallerError(f"{host} is not below {orgdomain.of(name)}, so it would not be aligned.", field=field)
    if hosts["tracking_host"] and hosts["tracking_host"] in (name, hosts["return_path"]):
        raise CallerError(
            "A tracking host is a CNAME, beside which no other record may be: give it a name of its own, such as"
            f" track.{name}.",
            field="tracking_host",
        )
    return msgspec.structs.replace(terms, **hosts)


def _parse_options(domain: Domain, options: Options) -> Options:
    """Return the options as they are kept. Raises CallerError."""
    for field in ("bimi_logo", "bimi_certificate"):
        try:
            bimi.parse_url(getattr(options, field))
        except CallerError as error:
            raise CallerError(error.public, field=field) from error
    if options.bimi_certificate and not options.bimi_logo:
        raise CallerError("A certificate is for a logo: give that, too.", field="bimi_certificate")
    if options.mta_sts is not MtaSts.OFF and not domain.return_path:
        raise CallerError(
            "MTA-STS is about mail that comes to the return path, and the domain has none: give it one first.",
            field="mta_sts",
        )
    return options


def _changed(old: Kind, changes: Mapping[str, Any]) -> Kind:
    return msgspec.structs.replace(old, **{part: changes[part] for part in old.__struct_fields__ if part in changes})


def _check_rate(per_minute: int | None) -> None:
    if per_minute is not None and not 1 <= per_minute <= limits.DOMAIN_PER_MINUTE_COUNT_MAX:
        raise CallerError(
            f"A domain sends 1 to {limits.DOMAIN_PER_MINUTE_COUNT_MAX} mails a minute, or has no limit.",
            field="rate_per_minute",
        )


def _check_change(domain: Domain, old: Terms, new: Terms) -> None:
    """Raise ConflictError if a proven domain would change what it has told the world."""
    if domain.verified_at is None:
        return
    for field in Terms.__struct_fields__:
        if (before := getattr(old, field)) and before != getattr(new, field):
            raise ConflictError(
                f"{domain.name} is proven, so its {field} stays {before}; add another domain for another.", field=field
            )


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _explained(error: ConflictError, name: str) -> ConflictError:
    return ConflictError(f"{name} is verified in another project.", field="domain", **error.detail)
