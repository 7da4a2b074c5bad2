"""The DKIM keys of all projects' domains: made or brought, published, signing, retired. The engine's `SigningKeys`.

A new key is `waiting`: a domain is added, keys are rotated, or a key is brought. `policy.key_states` has the table of
moves from there. Moves of a domain happen together, in one transaction that holds the domain, and none takes away the
last key that signs, so whoever reads finds one; the engine sends nothing without a key. A retired key's private half is
erased. What is due with time `tend` does, for `services.key_keeper`.

All processes sign with a changed set of keys within `FRESH_S`: the engine asks often and is answered from memory.

A delegated domain publishes CNAMEs to the operator's zone ([identity] dkim_zone) once, two for each algorithm, and its
keys take turns on the two names; what to put into the zone says `zone`. A name that comes again may be remembered by
receivers with its last key, so there a key waits `ZONE_WAIT` after it was seen.

Sources: RFC 6376 §3.1 and §3.6.1, RFC 8301 §3.2 (sizes), RFC 8463 (Ed25519), M3AAWG DKIM key rotation (2019).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import EventKind, KeyState
from outrider.mail import address, dkim
from outrider.mail.dkim import ALGORITHMS, SigningKey
from outrider.policy import key_names, key_states
from outrider.services.settings import IdentitySettings
from outrider.store import dkim_keys, events, notices
from outrider.store.dkim_keys import DkimKey, KeyOwner, KeyRef, Sight
from outrider.store.events import Facts, NewEvent
from outrider.store.notices import Notice
from outrider.store.pool import Store, Tx
from outrider.store.recent import Recent
from outrider.store.vault import Vault

__all__ = ["DkimKey", "KeyEntry", "KeyRing"]  # With the record a caller meets.

FRESH_S: Final = 0.5  # How old the engine's keys may be.
ZONE_TTL: Final = timedelta(minutes=5)  # Ours, of the records in the operator's zone.
ZONE_WAIT: Final = 2 * ZONE_TTL  # Ours: then no receiver remembers what was there before.
RSA_BITS: Final = 2048  # RFC 8301 §3.2: at least 1024, 2048 advised; more does not fit one UDP answer everywhere.
_RSA_EXPONENT: Final = 65537
_ROUND_COUNT: Final = 100  # Ours: domains that one round of the worker looks after.
_ZONE_UNSET: Final = "(the operator's zone: set [identity] dkim_zone)"


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A key, or the name a delegated domain keeps for its next one, and what DNS has to have for it."""

    selector: str
    algorithm: str
    state: KeyState | None  # None: the second name of a delegated domain, which has no key yet.
    host: str  # selector._domainkey.domain: fully qualified, without the last dot.
    record: str  # The TXT text that receivers must find there, directly or behind `target`; "" without a key.
    target: str = ""  # Delegated: what the CNAME at `host` names; "": the domain's owner publishes `record` at `host`.
    is_needed: bool = True  # False: the record may be removed.
    is_required: bool = False  # Mail that leaves now would be without a signature it had, or should have.
    is_own: bool = False
    is_published: bool | None = None  # What DNS said last; None: it was not asked yet.
    changed_at: datetime | None = None  # When it came into this state.
    needed_until: datetime | None = None  # Of a retiring key.


class ZoneLine(msgspec.Struct, frozen=True):
    """One TXT record of the operator's zone."""

    name: str  # Within the zone.
    record: str
    domain: str  # Whose key it is.


class Brought(msgspec.Struct, frozen=True):
    """A key that somebody brought."""

    entry: KeyEntry
    warning: str  # "" if nothing is wrong with it.


class Tended(msgspec.Struct, frozen=True):
    """What a round of the worker did."""

    count: int  # Domains whose keys moved, or that got new ones.
    failures: Mapping[str, str]  # Why others got none, by name.
    has_more: bool


class KeyRing:
    """The keys of all domains. One per process."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        settings: IdentitySettings,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
    ) -> None:
        self._store: Final = store
        self._vault: Final = vault
        self._settings: Final = settings
        self._retire_after: Final = timedelta(seconds=settings.retire_after_s)
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._keys: Final = Recent[tuple[UUID, str], Sequence[SigningKey]](
            self._read_keys, clock=clock, fresh_s=FRESH_S
        )
        self._opened: Final[dict[UUID, SigningKey]] = {}

    async def of_domain(self, project_id: UUID, domain: str) -> Sequence[SigningKey]:
        """Return the keys that sign now, RSA first (`engine.prepare.SigningKeys`)."""
        return await self._keys.get((project_id, domain))

    async def entries(self, project_id: UUID, name: str) -> Sequence[KeyEntry]:
        """Return all keys of the domain and what DNS has to have for them, RSA first, then the oldest.

        Raises:
            CallerError: `name` is no domain name.
            NotFoundError: the project has no such domain.
        """
        name = address.parse_domain(name)
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.owner_of(tx, project_id, name), name)
            keys = await dkim_keys.of_domain(tx, project_id, name)
        return [*(self._entry(owner, key) for key in keys), *self._spare_names(owner, keys)]

    async def make(
        self, project_id: UUID, domain_id: UUID, name: str, algorithms: Collection[str]
    ) -> Sequence[DkimKey]:
        """Return the first keys of a domain, sealed; they wait, and the caller stores them with the domain.

        Raises:
            CallerError: no algorithm, or an unknown one.

        Cost: a tenth of a second for RSA, in a thread.
        """
        _check_algorithms(algorithms)
        owner = KeyOwner(
            domain_id=domain_id, project_id=project_id, name=name, dkim_prefix="", is_delegated=False, is_verified=False
        )
        pems = await _new_pems(algorithms)
        return [self._sealed(owner, self._next_selector(owner, one, ()), pem) for one, pem in pems.items()]

    async def rotate(
        self, project_id: UUID, name: str, *, algorithms: Collection[str] = (), is_published: bool = False
    ) -> Sequence[KeyEntry]:
        """Make new keys that wait for their records to be published; the old sign until then. Safe twice.

        Keys of ours that wait already are returned instead of new ones.

        Args:
            algorithms: which to renew; () for those the domain has.
            is_published: trust the caller that the records are there, now: the new keys sign at once.

        Raises:
            CallerError: `name` is no domain name, an algorithm is unknown, or a delegated domain has no free name yet.
            NotFoundError: the project has no such domain.
        """
        name = address.parse_domain(name)
        if algorithms:
            _check_algorithms(algorithms)
        pems = await self._next_pems(project_id, name, algorithms)
        async with self._store.transaction() as tx:
            return await self._rotate(tx, project_id, name, pems, is_published=is_published)

    async def renew(self, project_id: UUID, name: str) -> None:
        """Rotate without being asked, and let the project know what to publish. Raises as `rotate`; safe twice."""
        pems = await self._next_pems(project_id, name)
        async with self._store.transaction() as tx:
            await self._rotate(tx, project_id, name, pems, is_renewal=True)

    async def bring(
        self, project_id: UUID, name: str, selector: str, pem: bytes, *, is_published: bool = False
    ) -> Brought:
        """Take a key the customer made. It waits like ours; one of ours that waits and never signed gives way to it.

        Safe twice: the same key under the same selector is returned as it is.

        Args:
            pem: an unencrypted private key, RSA of 1024 to 4096 bits or Ed25519.
            is_published: trust the caller that its record is there: it signs at once.

        Raises:
            CallerError: no such key, or no domain name or selector.
            ConflictError: another key of the domain has that selector.
            NotFoundError: the project has no such domain.
        """
        name = address.parse_domain(name)
        selector = selector.lower()
        if len(key_names.host(selector, name)) > limits.DOMAIN_NAME_CHARS_MAX:
            raise CallerError("That selector is too long for this domain.", field="selector")
        loaded = await asyncio.to_thread(dkim.load_key, name, selector, pem)
        warning = _size_warning(loaded)
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.hold(tx, project_id, name), name)
            keys = await dkim_keys.of_domain(tx, project_id, name)
            key = next((one for one in keys if one.selector == selector), None)
            if key is not None and (key.public_record != dkim.public_record(loaded) or not key.private_key_sealed):
                raise ConflictError(f"{name} has another key with the selector {selector}.", field="selector")
            if key is None:
                for one in keys:
                    # One that has signed may be found in DNS again, and one of the customer's is his to take away.
                    is_new = one.state is KeyState.WAITING and one.signing_at is None and not one.is_own
                    if is_new and one.algorithm == loaded.algorithm:
                        await dkim_keys.remove(tx, project_id, one.dkim_key_id)
                key = self._sealed(owner, selector, _pem(loaded.private_key), is_own=True)
                await dkim_keys.insert(tx, key)
            if is_published:
                await self._vouch(tx, owner, key)
            keys = await self._settle(tx, owner)
        return Brought(next(self._entry(owner, one) for one in keys if one.selector == selector), warning)

    async def take_away(self, project_id: UUID, name: str, selector: str) -> None:
        """Let a key sign no more; one that never signed, or is retired, is forgotten.

        Raises:
            CallerError: `name` is no domain name, the key is the last one, or it is retiring.
            NotFoundError: the project has no such domain, or the domain no such key.
        """
        name = address.parse_domain(name)
        now = self._clock.now()
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.hold(tx, project_id, name), name)
            keys = await dkim_keys.of_domain(tx, project_id, name)
            key = next((one for one in keys if one.selector == selector), None)
            if key is None:
                raise NotFoundError(
                    f"{name} has no key with that selector; see `outrider domain keys`.", field="selector"
                )
            others = [one for one in keys if one is not key]
            match key.state:
                case KeyState.RETIRED:
                    await dkim_keys.remove(tx, project_id, key.dkim_key_id)
                case KeyState.RETIRING:
                    until = self._entry(owner, key).needed_until
                    raise CallerError(f"It signs no more, and its record must stay until {until}.", field="selector")
                case KeyState.WAITING:
                    _check_one_left(others, (KeyState.WAITING, KeyState.SIGNING))
                    await dkim_keys.remove(tx, project_id, key.dkim_key_id)
                case KeyState.SIGNING:
                    _check_one_left(others, (KeyState.SIGNING,))
                    await dkim_keys.move(tx, project_id, key.dkim_key_id, KeyState.RETIRING, now=now)

    async def set_prefix(self, project_id: UUID, name: str, prefix: str) -> None:
        """Let the selectors of the domain's next keys begin with `prefix`; "" for ours. Safe twice.

        Raises:
            CallerError: no selector can begin with that, or `name` is no domain name.
            NotFoundError: the project has no such domain.
        """
        name = address.parse_domain(name)
        if prefix and not key_names.is_prefix(prefix):
            raise CallerError("A selector begins with 1 to 20 of a-z, 0-9 and -, and not with -.", field="prefix")
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.hold(tx, project_id, name), name)
            await dkim_keys.set_prefix(tx, project_id, owner.domain_id, prefix)

    async def delegate(self, project_id: UUID, name: str, *, is_delegated: bool) -> Sequence[KeyEntry]:
        """Let the domain's next keys be in the operator's zone, or in its own again; make them. Safe twice.

        Raises:
            CallerError: there is no [identity] dkim_zone, the names would be too long, or `name` is no domain name.
            NotFoundError: the project has no such domain.
        """
        name = address.parse_domain(name)
        if is_delegated and not self._settings.dkim_zone:
            raise CallerError("The operator has no zone for keys: set [identity] dkim_zone.", field="domain")
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.owner_of(tx, project_id, name), name)
            keys = await dkim_keys.of_domain(tx, project_id, name)
        target = self._target(owner.domain_id, key_names.turns(owner.dkim_prefix, dkim.RSA_SHA256)[0])
        if is_delegated and len(target) > limits.DOMAIN_NAME_CHARS_MAX:
            raise CallerError("The name in the operator's zone would be too long.", field="domain")
        pems = await _new_pems(_in_use(keys) or ALGORITHMS)
        async with self._store.transaction() as tx:
            owner = _found(await dkim_keys.hold(tx, project_id, name), name)
            await dkim_keys.set_delegated(tx, project_id, owner.domain_id, is_delegated=is_delegated)
            return await self._rotate(tx, project_id, name, pems, are_fitting_kept=True)

    async def saw(self, project_id: UUID, domain: str, selector: str, is_published: bool, *, record: str) -> None:
        """Take what DNS said of a key's record, for certain: it is there, or there is none or another one.

        Call it before the domain is marked verified, so that it never may send without a key; not for a look-up that
        failed, which says nothing. `record` is the text that was looked for: keys that are unknown, or another one's
        under that selector by now, are passed over. Safe twice and concurrently.
        """
        async with self._store.transaction() as tx:
            owner = await dkim_keys.hold(tx, project_id, domain)
            if owner is not None:
                sight = Sight(selector=selector, record=record, is_published=is_published)
                await dkim_keys.saw(tx, project_id, owner.domain_id, sight, now=self._clock.now())
                await self._settle(tx, owner)

    async def published_record(self, domain: str, selector: str) -> str | None:
        """Return the TXT value of a DKIM key as the world's DNS should have it, None if no verified domain has it."""
        async with self._store.transaction() as tx:
            return await dkim_keys.published_record(tx, domain, selector)

    async def zone(self) -> Sequence[ZoneLine]:
        """Return what belongs into the operator's zone now, for all projects.

        Raises:
            CallerError: there is no [identity] dkim_zone.
        """
        if not self._settings.dkim_zone:
            raise CallerError("The operator has no zone for keys: set [identity] dkim_zone.", field="dkim_zone")
        async with self._store.transaction() as tx:
            found = await dkim_keys.in_zone(tx)
        return [ZoneLine(key_names.label(one.selector, one.domain_id), one.public_record, one.name) for one in found]

    async def tend(self) -> Tended:
        """Retire what may be retired, let delegated keys sign that waited out, make new ones where it is time.

        One domain's trouble is not the others'. Safe twice and concurrently.

        Raises:
            StoreError: the database is away.
        """
        now, settings = self._clock.now(), self._settings
        async with self._store.transaction() as tx:
            due = await dkim_keys.unfinished(
                tx, retiring_before=now - self._retire_after, seen_before=now - ZONE_WAIT, count_max=_ROUND_COUNT
            )
        for ref in due:
            async with self._store.transaction() as tx:
                owner = await dkim_keys.hold(tx, ref.project_id, ref.name)
                if owner is not None:
                    await self._settle(tx, owner)
        old: list[KeyRef] = []
        for is_delegated, every_s in ((True, settings.rotate_delegated_every_s), (False, settings.rotate_txt_every_s)):
            if every_s:
                before = now - timedelta(seconds=every_s)
                async with self._store.transaction() as tx:
                    old += await dkim_keys.due(
                        tx, is_delegated=is_delegated, signing_before=before, count_max=_ROUND_COUNT
                    )
        failures: dict[str, str] = {}
        for ref in old:
            try:
                await self.renew(ref.project_id, ref.name)
            except CallerError as error:  # Its names are all in use, or it was removed just now.
                failures[ref.name] = error.public
        return Tended(len(due) + len(old) - len(failures), failures, has_more=len(due) == _ROUND_COUNT)

    async def _next_pems(self, project_id: UUID, name: str, algorithms: Collection[str] = ()) -> Mapping[str, bytes]:
        """Make a private key for each algorithm; () for those the domain has. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            _found(await dkim_keys.owner_of(tx, project_id, name), name)
            keys = await dkim_keys.of_domain(tx, project_id, name)
        return await _new_pems(algorithms or _in_use(keys) or ALGORITHMS)

    async def _rotate(
        self,
        tx: Tx,
        project_id: UUID,
        name: str,
        pems: Mapping[str, bytes],
        *,
        is_published: bool = False,
        is_renewal: bool = False,
        are_fitting_kept: bool = False,
    ) -> Sequence[KeyEntry]:
        """Store a new key for each algorithm that has none waiting.

        Args:
            is_renewal: nobody asked for it, so the domain's owner has to be told what to publish.
            are_fitting_kept: not where the key that signs is published as the domain's next keys will be.
        """
        owner = _found(await dkim_keys.hold(tx, project_id, name), name)
        fresh: set[str] = set()
        is_new = False
        for algorithm, pem in pems.items():
            every = await dkim_keys.of_domain(tx, project_id, name)
            keys = [one for one in every if one.algorithm == algorithm]
            waiting = [one for one in keys if one.state is KeyState.WAITING]
            fitting = [one for one in waiting if one.is_own or one.is_delegated == owner.is_delegated]
            signing = [one for one in keys if one.state is KeyState.SIGNING]
            if fitting:
                fresh.add(fitting[-1].selector)
                continue
            for one in waiting:  # Made for the other way of publishing; never signed, or is gone from DNS.
                await dkim_keys.remove(tx, project_id, one.dkim_key_id)
            if are_fitting_kept and any(one.is_own or one.is_delegated == owner.is_delegated for one in signing):
                continue
            selector = self._next_selector(owner, algorithm, [one for one in every if one not in waiting])
            for one in every:
                if one.selector == selector:  # A delegated domain's name comes again.
                    await dkim_keys.remove(tx, project_id, one.dkim_key_id)
            await dkim_keys.insert(tx, self._sealed(owner, selector, pem))
            fresh.add(selector)
            is_new = True
        if is_published:
            for one in await dkim_keys.of_domain(tx, project_id, name):
                if one.selector in fresh:
                    await self._vouch(tx, owner, one)
        if is_renewal and is_new and not owner.is_delegated:
            await self._tell(tx, owner, fresh)
        return [self._entry(owner, one) for one in await self._settle(tx, owner) if one.selector in fresh]

    async def _vouch(self, tx: Tx, owner: KeyOwner, key: DkimKey) -> None:
        """Take somebody's word that a key's record is there, and has been for long enough."""
        sight = Sight(selector=key.selector, record=key.public_record, is_published=True)
        await dkim_keys.saw(tx, owner.project_id, owner.domain_id, sight, now=self._clock.now() - ZONE_WAIT)

    async def _tell(self, tx: Tx, owner: KeyOwner, selectors: Collection[str]) -> None:
        """Let the project know that keys were made by themselves and wait for it: event and notice."""
        now, kind = self._clock.now(), EventKind.KEYS_RENEWED
        facts: Facts = {"domain": owner.name, "selectors": ", ".join(sorted(selectors))}
        event = NewEvent(now, owner.project_id, events.NIL, None, kind, facts=facts)
        await events.append(tx, [event])
        subject, text = key_names.renewal_letter(owner.name, sorted(selectors))
        notice_id = ids.uuid7(now, self._random_bits(74))
        await notices.insert(
            tx, Notice(notice_id=notice_id, project_id=owner.project_id, kind=kind, subject=subject, text=text, at=now)
        )

    async def _settle(self, tx: Tx, owner: KeyOwner) -> Sequence[DkimKey]:
        """Make the moves that are due, all at once; return the keys as they are then. Holding the domain."""
        now = self._clock.now()
        keys = await dkim_keys.of_domain(tx, owner.project_id, owner.name)
        moves = key_states.moves(keys, now=now, retire_after=self._retire_after, zone_wait=ZONE_WAIT)
        for key_id, state in moves.items():
            await dkim_keys.move(tx, owner.project_id, key_id, state, now=now)
        return await dkim_keys.of_domain(tx, owner.project_id, owner.name) if moves else keys

    async def _read_keys(self, key: tuple[UUID, str]) -> Sequence[SigningKey]:
        project_id, name = key
        async with self._store.transaction() as tx:
            stored = await dkim_keys.signing(tx, project_id, name)
        return [self._open(name, one) for one in stored]

    def _open(self, name: str, key: DkimKey) -> SigningKey:
        """Unseal and load a key, once: loading an RSA key costs as much as a signature."""
        opened = self._opened.get(key.dkim_key_id)
        if opened is None:
            pem = self._vault.open(key.private_key_sealed, key.context)
            opened = self._opened[key.dkim_key_id] = dkim.load_key(name, key.selector, pem)
        return opened

    def _sealed(self, owner: KeyOwner, selector: str, pem: bytes, *, is_own: bool = False) -> DkimKey:
        loaded = dkim.load_key(owner.name, selector, pem)
        now = self._clock.now()
        return DkimKey(
            dkim_key_id=ids.uuid7(now, self._random_bits(74)),
            project_id=owner.project_id,
            domain_id=owner.domain_id,
            selector=selector,
            algorithm=loaded.algorithm,
            private_key_sealed=self._vault.seal(pem, dkim_keys.context_of(owner.domain_id, selector)),
            public_record=dkim.public_record(loaded),
            created_at=now,
            is_own=is_own,
            is_delegated=owner.is_delegated and not is_own,
        )

    def _next_selector(self, owner: KeyOwner, algorithm: str, keys: Sequence[DkimKey]) -> str:
        """Return a name for the next key that none of the domain's `keys` needs.

        Raises:
            CallerError: both names of a delegated domain are in use.
        """
        if owner.is_delegated:
            needed = {one.selector: one for one in keys if one.state is not KeyState.RETIRED}
            for name in key_names.turns(owner.dkim_prefix, algorithm):
                if name not in needed:
                    return name
            until = max((e.needed_until for e in (self._entry(owner, k) for k in keys) if e.needed_until), default=None)
            raise CallerError(
                f"Both names of {owner.name} for {algorithm} are in use"
                + (f" until {until:%Y-%m-%d %H:%M} UTC." if until else "."),
                field="domain",
            )
        taken = {one.selector for one in keys}
        return key_names.next_name(owner.dkim_prefix, algorithm, owner.domain_id, taken, self._clock.now())

    def _entry(self, owner: KeyOwner, key: DkimKey) -> KeyEntry:
        changed_at = {
            KeyState.WAITING: key.created_at,
            KeyState.SIGNING: key.signing_at,
            KeyState.RETIRING: key.retiring_at,
            KeyState.RETIRED: key.retired_at,
        }[key.state]
        is_retiring = key.state is KeyState.RETIRING and key.retiring_at is not None
        return KeyEntry(
            selector=key.selector,
            algorithm=key.algorithm,
            state=key.state,
            host=key_names.host(key.selector, owner.name),
            record=key.public_record,
            target=self._target(owner.domain_id, key.selector) if key.is_delegated else "",
            is_needed=key.state is not KeyState.RETIRED,
            is_required=key.state is KeyState.SIGNING
            or (key.state is KeyState.WAITING and (not owner.is_verified or key.signing_at is not None)),
            is_own=key.is_own,
            is_published=True if key.seen_at else False if key.missing_at else None,
            changed_at=changed_at,
            needed_until=key.retiring_at + self._retire_after if is_retiring and key.retiring_at else None,
        )

    def _spare_names(self, owner: KeyOwner, keys: Sequence[DkimKey]) -> list[KeyEntry]:
        """Return the names of a delegated domain that wait for its next keys: their CNAMEs are published once, too."""
        if not owner.is_delegated:
            return []
        taken = {one.selector for one in keys}
        return [
            KeyEntry(
                selector=name,
                algorithm=algorithm,
                state=None,
                host=key_names.host(name, owner.name),
                record="",
                target=self._target(owner.domain_id, name),
            )
            for algorithm in sorted({one.algorithm for one in keys if one.is_delegated}, reverse=True)
            for name in key_names.turns(owner.dkim_prefix, algorithm)
            if name not in taken
        ]

    def _target(self, domain_id: UUID, selector: str) -> str:
        zone = self._settings.dkim_zone
        return f"{key_names.label(selector, domain_id)}.{zone}" if zone else _ZONE_UNSET


def _check_algorithms(algorithms: Collection[str]) -> None:
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise CallerError(f"DKIM signs with {' or '.join(ALGORITHMS)}.", field="algorithms")


def _check_one_left(others: Sequence[DkimKey], states: Collection[KeyState]) -> None:
    if not any(one.state in states for one in others):
        raise CallerError("It is the domain's last key; `outrider domain rotate` makes another.", field="selector")


def _found(owner: KeyOwner | None, name: str) -> KeyOwner:
    if owner is None:
        raise NotFoundError(f"The project has no domain {name!r}; `outrider domain add` adds one.", field="domain")
    return owner


def _in_use(keys: Iterable[DkimKey]) -> list[str]:
    used = {one.algorithm for one in keys if one.state in (KeyState.WAITING, KeyState.SIGNING)}
    return [algorithm for algorithm in ALGORITHMS if algorithm in used]


def _size_warning(key: SigningKey) -> str:
    """Source: RFC 8301 §3.2: verifiers take 1024 to 4096 bits, signers use 2048. Raises CallerError."""
    if not isinstance(key.private_key, rsa.RSAPrivateKey):
        return ""
    bits = key.private_key.key_size
    if bits > limits.DKIM_RSA_BITS_MAX:
        raise CallerError(
            f"An RSA key has at most {limits.DKIM_RSA_BITS_MAX} bits; many check no longer ones.", field="key"
        )
    return f"RSA of {bits} bits is weak; providers advise {RSA_BITS}." if bits < RSA_BITS else ""


def _pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_rsa() -> bytes:
    return _pem(rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=RSA_BITS))


def _new_ed25519() -> bytes:
    return _pem(ed25519.Ed25519PrivateKey.generate())


# How a key of each algorithm is made, in the order of the signatures.
_MAKERS: Final[Mapping[str, Callable[[], bytes]]] = {
    dkim.RSA_SHA256: _new_rsa,
    dkim.ED25519_SHA256: _new_ed25519,
}


async def _new_pems(algorithms: Collection[str]) -> Mapping[str, bytes]:
    return {one: await asyncio.to_thread(maker) for one, maker in _MAKERS.items() if one in algorithms}
