"""Projects and their API keys.

A secret is 36 random bytes as 48 characters of URL-safe base64. It is shown once and only its SHA-256 is stored: a
secret with 288 random bits cannot be guessed, so a slow password hash would protect nothing and cost a core at a few
hundred calls a second. Comparing takes the same time whatever is wrong.

Revocation: every process asks again after `KEY_FRESH_S`, so a revoked key stops working everywhere within a second.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, NotFoundError, UnauthenticatedError
from outrider.store import keys, projects
from outrider.store.keys import ApiKey
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.store.recent import Recent

KEY_FRESH_S: Final = 0.5  # Revocation holds within 1 s (issue 2); half of it leaves room for a slow query.
DEFAULT_PROJECT: Final = "default"
_ID_BITS: Final = 128
_SECRET_BITS: Final = 288
_NAME_CHARS_MAX: Final = 100  # Ours.
_NO_HASH: Final = bytes(32)


class KeyPair(msgspec.Struct, frozen=True):
    """A new key with its secret, to be shown once and forgotten."""

    access_key_id: str
    access_key_secret: str
    name: str

    def __repr__(self) -> str:
        return f"KeyPair({self.access_key_id!r}, ***)"


class Accounts:
    """Projects and keys. `random_bits(n)` must be a cryptographic source."""

    def __init__(self, store: Store, *, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._keys: Final = Recent[str, ApiKey | None](self._read_key, clock=clock, fresh_s=KEY_FRESH_S)

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

    async def create_key(self, project_id: UUID, name: str) -> KeyPair:
        """Make a key pair. The secret cannot be read again."""
        _check_name(name)
        secret = base64.urlsafe_b64encode(self._random_bits(_SECRET_BITS).to_bytes(_SECRET_BITS // 8)).decode()
        pair = KeyPair(f"{self._random_bits(_ID_BITS):032x}", secret, name)
        key = ApiKey(pair.access_key_id, project_id, _hash(secret), name, self._clock.now())
        async with self._store.transaction() as tx:
            await keys.insert(tx, key)
        return pair

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

    async def authenticate(self, access_key_id: str, access_key_secret: str) -> UUID:
        """Return the project whose valid key pair this is.

        Raises:
            UnauthenticatedError: unknown, revoked, or another secret; which, is not told.
            StoreUnavailableError: nobody can tell now.
        """
        is_shaped = len(access_key_id) == _ID_BITS // 4 and access_key_id.isascii() and access_key_id.isalnum()
        key = await self._keys.get(access_key_id) if is_shaped else None
        is_right = hmac.compare_digest(_hash(access_key_secret), key.secret_hash if key else _NO_HASH)
        if key is None or not is_right or key.revoked_at is not None:
            raise UnauthenticatedError("The access key is not valid.")
        return key.project_id

    async def _read_key(self, access_key_id: str) -> ApiKey | None:
        async with self._store.transaction() as tx:
            return await keys.by_id(tx, access_key_id)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _NAME_CHARS_MAX or not name.isprintable():
        raise CallerError(f"A name has 1 to {_NAME_CHARS_MAX} printable characters.", field="name")
