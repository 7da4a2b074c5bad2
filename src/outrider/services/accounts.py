"""Projects and their API keys: made, shown, changed, revoked. Who may call with one is `access`.

A secret is 36 random bytes as 48 characters of URL-safe base64. It is shown once. Stored are its SHA-256, to compare
with (a secret with 288 random bits cannot be guessed, so a slow password hash would protect nothing and cost a core at
a few hundred calls a second), and the secret itself, sealed by the vault, for calls signed with it (ADR 0032).
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids, limits, networks
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, NotFoundError
from outrider.mail import address
from outrider.store import keys, projects
from outrider.store.keys import ApiKey, KeyTerms
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.vault import Vault, secret_context

__all__ = ["Accounts", "ApiKey", "KeyPair", "KeyTerms", "Project"]  # With the records a caller meets.

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

    async def create_key(self, project_id: UUID, name: str, terms: KeyTerms = ANY_TERMS) -> KeyPair:
        """Make a key pair; its secret is told this once. Raises CallerError: `field` is "name" or one of the terms."""
        _check_name(name)
        terms = self._check_terms(terms)
        secret = base64.urlsafe_b64encode(self._random_bits(_SECRET_BITS).to_bytes(_SECRET_BITS // 8)).decode()
        pair = KeyPair(f"{self._random_bits(_ID_BITS):032x}", secret, name)
        key = ApiKey(
            access_key_id=pair.access_key_id,
            project_id=project_id,
            secret_hash=hashlib.sha256(secret.encode()).digest(),
            name=name,
            created_at=self._clock.now(),
            secret_sealed=self._vault.seal(secret.encode(), secret_context(pair.access_key_id)),
            terms=terms,
        )
        async with self._store.transaction() as tx:
            await keys.insert(tx, key)
        return pair

    async def key(self, project_id: UUID, access_key_id: str) -> ApiKey:
        """Return the project's key, revoked or not. Raises NotFoundError."""
        found = None
        if access_key_id.isascii() and access_key_id.isalnum():
            async with self._store.transaction() as tx:
                found = await keys.by_id(tx, access_key_id)
        if found is None or found.project_id != project_id:
            raise NotFoundError(f"The project has no key {access_key_id!r}.", field="access_key_id")
        return found

    async def change_key(self, project_id: UUID, access_key_id: str, *, name: str, terms: KeyTerms) -> ApiKey:
        """Give the key this name and these terms, in place of what it had; they count everywhere within a second.

        Raises:
            CallerError: `field` is "name" or one of the terms.
            NotFoundError: the project has no such key.
        """
        _check_name(name)
        terms = self._check_terms(terms)
        before = await self.key(project_id, access_key_id)
        async with self._store.transaction() as tx:
            changed = await keys.change(tx, project_id, before.access_key_id, name=name, terms=terms)
        assert changed is not None  # No key is ever deleted.
        return changed

    async def list_keys(self, project_id: UUID) -> Sequence[ApiKey]:
        """Return the project's keys, oldest first, revoked ones too."""
        async with self._store.transaction() as tx:
            return await keys.of_project(tx, project_id)

    async def revoke_key(self, project_id: UUID, access_key_id: str) -> None:
        """Make the key worthless everywhere within a second. Safe twice. Raises NotFoundError."""
        async with self._store.transaction() as tx:
            is_known = await keys.revoke(tx, project_id, access_key_id, now=self._clock.now())
        if not is_known:
            raise NotFoundError(f"The project has no key {access_key_id!r}.", field="access_key_id")

    def _check_terms(self, terms: KeyTerms) -> KeyTerms:
        """Return the terms with ranges and domains in their one spelling. Raises CallerError."""
        if not terms.scopes:
            raise CallerError("A key has at least one scope: send, read or manage.", field="scopes")
        rate = terms.rate_per_minute
        if rate is not None and not 0 <= rate <= limits.KEY_PER_MINUTE_COUNT_MAX:
            most = limits.KEY_PER_MINUTE_COUNT_MAX
            raise CallerError(f"A key's rate is 0 (no limit) to {most} calls a minute.", field="rate_per_minute")
        expires_at = None if terms.expires_at is None else _check_instant(terms.expires_at)
        if expires_at is not None and expires_at <= self._clock.now():
            raise CallerError("The key would have expired already.", field="expires_at")
        return msgspec.structs.replace(
            terms,
            ip_ranges=_check_ranges(terms.ip_ranges),
            domains=_check_domains(terms.domains),
            expires_at=expires_at,
        )


def _check_instant(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise CallerError("The instant of expiry needs an offset from UTC, such as Z.", field="expires_at")
    try:
        return at.astimezone(UTC)
    except OverflowError:  # In UTC it is in the year 0 or 10000.
        raise CallerError(
            "The instant of expiry is out of bounds; leave it out for never.", field="expires_at"
        ) from None


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
