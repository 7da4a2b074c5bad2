"""Projects and their API keys: made, shown, changed, revoked. Who may call with one is `access`.

A secret is 36 random bytes as 48 characters of URL-safe base64. It is shown once. Stored are its SHA-256, to compare
with (a secret with 288 random bits cannot be guessed, so a slow password hash would protect nothing and cost a core at
a few hundred calls a second), and the secret itself, sealed by the vault, for calls signed with it (ADR 0032). A key
that is to sign no calls has it not: who says so later has it forgotten, and cannot take that back.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import ids, instants, limits, networks, places
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.mail import address
from outrider.store import keys, projects
from outrider.store.keys import ApiKey, KeyTerms
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.vault import Vault, secret_context

__all__ = ["Accounts", "ApiKey", "KeyPair", "KeyTerms", "Maker", "Project"]  # With the records a caller meets.

DEFAULT_PROJECT: Final = "default"
ANY_TERMS: Final = KeyTerms()
_ID_BITS: Final = 128
_SECRET_BITS: Final = 288
_NAME_CHARS_MAX: Final = 100  # Ours.


class KeyPair(msgspec.Struct, frozen=True):
    """A new key with its secret, to be shown once and forgotten."""

    access_key_id: str
    access_key_secret: str
    name: str

    def __repr__(self) -> str:
        return f"KeyPair({self.access_key_id!r}, ***)"


class Maker(msgspec.Struct, frozen=True):
    """The key that asks for another key."""

    terms: KeyTerms  # With the scopes that count for this call: a token's may be fewer.
    rate_per_minute: int  # What it has by its terms or the settings; 0: no limit.
    allow_signed: bool = True


class Accounts:
    """Projects and keys. `random_bits(n)` must be a cryptographic source."""

    def __init__(self, store: Store, vault: Vault, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._vault: Final = vault
        self._clock: Final = clock
        self._random_bits: Final = random_bits

    async def ensure_project(self, name: str = DEFAULT_PROJECT) -> Project:
        """Return the project of that name, making it if there is none. Safe twice."""
        _check_name(name)
        now = self._clock.now()
        wanted = Project(ids.uuid7(now, self._random_bits(74)), name)
        async with self._store.transaction() as tx:
            return await projects.ensure(tx, wanted, now=now)

    async def project(self, name: str = DEFAULT_PROJECT) -> Project:
        """Return the project of that name. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            found = await projects.by_name(tx, name)
        if found is None:
            raise NotFoundError(f"There is no project {name!r}; `outrider init` makes one.", field="project")
        return found

    async def name_of(self, project_id: UUID) -> str:
        """Return the project's name. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            name = await projects.name_of(tx, project_id)
        if name is None:
            raise NotFoundError("There is no such project.", field="project")
        return name

    async def create_key(
        self,
        project_id: UUID,
        name: str,
        terms: KeyTerms = ANY_TERMS,
        *,
        allow_signed: bool | None = None,
        maker: Maker | None = None,
    ) -> KeyPair:
        """Make a key pair; its secret is told this once.

        Args:
            allow_signed: whether calls signed with it count; None: as for its maker, or yes.
            maker: the key that asks for it: none may make one that may do more. None: an operator asks.

        Raises:
            CallerError: `field` is "name" or one of the terms.
            ConflictError: the project has `limits.KEYS_COUNT_MAX` keys that are not revoked.
            ForbiddenError: `field` is the term that goes beyond the maker's.
        """
        _check_name(name)
        terms = self._check_terms(terms)
        if maker is not None:
            check_within(terms, maker)
            if allow_signed and not maker.allow_signed:
                raise _beyond("allow_signed")
        if allow_signed is None:
            allow_signed = maker is None or maker.allow_signed
        secret = base64.urlsafe_b64encode(self._random_bits(_SECRET_BITS).to_bytes(_SECRET_BITS // 8)).decode()
        pair = KeyPair(f"{self._random_bits(_ID_BITS):032x}", secret, name)
        sealed = self._vault.seal(secret.encode(), secret_context(pair.access_key_id))
        key = ApiKey(
            access_key_id=pair.access_key_id,
            project_id=project_id,
            secret_hash=hashlib.sha256(secret.encode()).digest(),
            name=name,
            created_at=self._clock.now(),
            secret_sealed=sealed if allow_signed else None,
            terms=terms,
        )
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)  # Many at once are counted one after another.
            if await keys.valid_count(tx, project_id) >= limits.KEYS_COUNT_MAX:
                most = limits.KEYS_COUNT_MAX
                raise ConflictError(f"The project has {most} keys, as many as it may; revoke those it does not need.")
            await keys.insert(tx, key)
        return pair

    async def key(self, project_id: UUID, access_key_id: str) -> ApiKey:
        """Return the project's key, revoked or not. Raises NotFoundError."""
        _check_id(access_key_id)
        async with self._store.transaction() as tx:
            found = await keys.by_id(tx, access_key_id)
        if found is None or found.project_id != project_id:
            raise _unknown(access_key_id)
        return found

    async def change_key(
        self,
        project_id: UUID,
        access_key_id: str,
        changes: Mapping[str, Any],
        *,
        maker: Maker | None = None,
    ) -> ApiKey:
        """Change what is named of the key, everywhere within a second; what is not stays as it is then.

        Args:
            changes: by the names in `KeyTerms`, and `name` and `allow_signed`, of which False is for good: calls
                signed with it count no more.

        Raises:
            CallerError: `field` is "name" or one of the terms.
            ConflictError: field "allow_signed": it does not allow signed calls, and never will.
            ForbiddenError: the terms go beyond those of `maker`, as in `create_key`.
            NotFoundError: the project has no such key.
        """
        _check_id(access_key_id)
        async with self._store.transaction() as tx:
            before = await keys.lock(tx, project_id, access_key_id)  # Else one change would take another's back.
            if before is None:
                raise _unknown(access_key_id)
            name, allow_signed = changes.get("name", before.name), changes.get("allow_signed", before.allow_signed)
            _check_name(name)
            named = {term: changes[term] for term in KeyTerms.__struct_fields__ if term in changes}
            terms = self._check_terms(msgspec.structs.replace(before.terms, **named))
            if maker is not None:
                check_within(terms, maker)
            if allow_signed and not before.allow_signed:
                raise ConflictError(
                    "The secret of a key without signed calls is not kept, so it cannot have them; make a new key.",
                    field="allow_signed",
                )
            changed = await keys.change(tx, project_id, access_key_id, name=name, terms=terms, keep_secret=allow_signed)
        assert changed is not None  # It is locked.
        return changed

    async def list_keys(self, project_id: UUID, *, cursor: str = "", count_max: int | None = None) -> Sequence[ApiKey]:
        """Return the project's keys, oldest first, revoked ones too, behind `cursor` (`place_of`); all, or so many.

        Raises:
            CallerError: the cursor is none of ours.
        """
        after = places.parse(cursor) if cursor else keys.BEGINNING
        async with self._store.transaction() as tx:
            return await keys.of_project(tx, project_id, after=after, count_max=count_max)

    async def revoke_key(self, project_id: UUID, access_key_id: str) -> None:
        """Make the key worthless everywhere within a second. Safe twice. Raises NotFoundError."""
        key = await self.key(project_id, access_key_id)
        async with self._store.transaction() as tx:
            await keys.revoke(tx, project_id, key.access_key_id, now=self._clock.now())

    def _check_terms(self, terms: KeyTerms) -> KeyTerms:
        """Return the terms with ranges and domains in their one spelling. Raises CallerError."""
        if not terms.scopes:
            raise CallerError("A key has at least one scope: send, read or manage.", field="scopes")
        rate = terms.rate_per_minute
        if rate is not None and not 0 <= rate <= limits.KEY_PER_MINUTE_COUNT_MAX:
            most = limits.KEY_PER_MINUTE_COUNT_MAX
            raise CallerError(f"A key's rate is 0 (no limit) to {most} calls a minute.", field="rate_per_minute")
        expires_at = None if terms.expires_at is None else instants.aware(terms.expires_at, "expires_at")
        if expires_at is not None and expires_at <= self._clock.now():
            raise CallerError("The key would have expired already.", field="expires_at")
        return msgspec.structs.replace(
            terms,
            ip_ranges=_check_ranges(terms.ip_ranges),
            domains=_check_domains(terms.domains),
            expires_at=expires_at,
        )


def place_of(key: ApiKey) -> str:
    """Return the cursor behind that key."""
    return places.text(key.created_at, key.access_key_id)


def check_within(terms: KeyTerms, by: Maker) -> None:
    """Raise ForbiddenError if a key of these terms could do what the maker's cannot; `field` names the term."""
    maker, rate = by.terms, terms.rate_per_minute
    beyond = ""
    if not terms.scopes <= maker.scopes:
        beyond = "scopes"
    elif maker.domains and not (terms.domains and set(terms.domains) <= set(maker.domains)):
        beyond = "domains"
    elif maker.ip_ranges and not (terms.ip_ranges and all(_is_in(one, maker.ip_ranges) for one in terms.ip_ranges)):
        beyond = "ip_ranges"
    elif maker.expires_at is not None and (terms.expires_at is None or terms.expires_at > maker.expires_at):
        beyond = "expires_at"
    elif by.rate_per_minute and rate is None and maker.rate_per_minute is not None:
        beyond = "rate_per_minute"  # The installation's may be more than the maker's own.
    elif by.rate_per_minute and rate is not None and not 0 < rate <= by.rate_per_minute:
        beyond = "rate_per_minute"
    if beyond:
        raise _beyond(beyond)


def _check_id(access_key_id: str) -> None:
    """Raise NotFoundError for what is no id of a key, and may not even be a text that the database takes."""
    if not (access_key_id.isascii() and access_key_id.isalnum()):
        raise _unknown(access_key_id)


def _unknown(access_key_id: str) -> NotFoundError:
    return NotFoundError(f"The project has no key {access_key_id!r}.", field="access_key_id")


def _beyond(field: str) -> ForbiddenError:
    return ForbiddenError(f"A key cannot give another more than it has itself: its {field}.", field=field)


def _is_in(text: str, ranges: Sequence[str]) -> bool:
    """Whether one of the ranges holds all of this one: its first and its last address."""
    inner, outer = networks.parse(text), [networks.parse(one) for one in ranges]
    return any(networks.contain([one], str(inner[0])) and networks.contain([one], str(inner[-1])) for one in outer)


def _check_ranges(ranges: Sequence[str]) -> tuple[str, ...]:
    if len(ranges) > limits.KEY_IP_RANGES_COUNT_MAX:
        raise CallerError(f"A key has at most {limits.KEY_IP_RANGES_COUNT_MAX} ranges.", field="ip_ranges")
    found: list[str] = []
    for position, text in enumerate(ranges):
        try:
            found.append(str(networks.parse(text)))
        except ValueError:
            raise CallerError(
                "An address or a range is written 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.",
                field=f"ip_ranges[{position}]",
            ) from None
    return tuple(dict.fromkeys(found))


def _check_domains(domains: Sequence[str]) -> tuple[str, ...]:
    if len(domains) > limits.KEY_DOMAINS_COUNT_MAX:
        raise CallerError(f"A key has at most {limits.KEY_DOMAINS_COUNT_MAX} domains.", field="domains")
    found: list[str] = []
    for position, text in enumerate(domains):
        try:
            found.append(address.parse_domain(text))
        except CallerError as error:
            raise CallerError(error.public, field=f"domains[{position}]") from error
    return tuple(dict.fromkeys(found))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _NAME_CHARS_MAX or not name.isprintable():
        raise CallerError(f"A name has 1 to {_NAME_CHARS_MAX} printable characters.", field="name")
