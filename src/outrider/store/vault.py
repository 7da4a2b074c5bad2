"""Secrets at rest: AES-256-GCM under master keys that live outside the database (`store.master_key`).

Whoever steals a backup of the database alone has no DKIM key. A sealed value is bound to its place (`context`, such as
"dkim:<domain>:<selector>"): moved to another row it does not open.

    sealed = version (1 byte, 0x02) || name of the key (4 bytes) || nonce (12 bytes) || ciphertext and tag

What seals is the first key; what opens, the one that is named. Version 1 had no name: there all are tried. A key that
nobody here knows may have come while we run: then, and before anything is sealed, the vault looks again where its keys
came from. So a new key is used by all processes without a restart, and nothing sealed with it stays closed to one.

Sources: NIST SP 800-38D, RFC 5869 (HKDF).
"""

import os
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from outrider.base.errors import ConfigError, StoreCorruptError
from outrider.store.master_key import KEY_BYTES, KeySource

MARK_BYTES: Final = 5  # Version and name of the key.
_NONCE_BYTES: Final = 12
_NAMELESS: Final = b"\x01"
_NAMED: Final = b"\x02"


class Vault:
    """Seals and opens. The keys are never shown, not even in `repr`."""

    def __init__(
        self,
        master_key: bytes,
        older: Sequence[bytes] = (),
        *,
        look_again: Callable[[], Sequence[bytes] | None] = lambda: None,
    ) -> None:
        """Take the key to seal with, and others that open too.

        Args:
            look_again: returns all keys, the one that seals first, if they have changed since it was asked last.
        """
        self._look_again: Final = look_again
        self._use((master_key, *older))

    @property
    def mark(self) -> bytes:
        """What each value sealed now begins with."""
        return self._mark

    def derive(self, purpose: str) -> Sequence[bytes]:
        """Return keys of 32 octets for `purpose`, one of each master key, that of the one that seals first.

        Always the same; none of them says anything about another.
        """
        return [_derived(key, purpose) for key in self._keys]

    def seal(self, secret: bytes, context: str) -> bytes:
        """Encrypt `secret` for this `context`, with the newest key there is."""
        self.refresh()
        nonce = os.urandom(_NONCE_BYTES)
        return self._mark + nonce + self._ciphers[self._mark].encrypt(nonce, secret, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made for the same `context`.

        Raises:
            StoreCorruptError: no key of ours, another context, or damaged bytes.
        """
        version = sealed[:1]
        if version not in (_NAMED, _NAMELESS):
            raise StoreCorruptError("A sealed secret has an unknown form.", context=context)
        start = MARK_BYTES if version == _NAMED else 1
        nonce, body = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        opened = self._open(sealed[:start], nonce, body, context)
        if opened is None and self.refresh():
            opened = self._open(sealed[:start], nonce, body, context)
        if opened is None:
            raise StoreCorruptError("A sealed secret does not open with this master key.", context=context)
        return opened

    def refresh(self) -> bool:
        """Look whether there are other keys now; return whether there are: once for each change. Cost: a stat."""
        keys = self._look_again()
        if keys is None or tuple(keys) == self._keys:
            return False
        self._use(tuple(keys))
        return True

    def _use(self, keys: tuple[bytes, ...]) -> None:
        assert keys
        assert all(len(key) == KEY_BYTES for key in keys)
        self._keys = keys
        self._ciphers = {mark_of(key): AESGCM(key) for key in keys}
        self._mark = mark_of(keys[0])

    def _open(self, head: bytes, nonce: bytes, body: bytes, context: str) -> bytes | None:
        """Return the secret, None if no key opens it."""
        ciphers = [self._ciphers[head]] if head in self._ciphers else []
        for cipher in ciphers if head[:1] == _NAMED else self._ciphers.values():
            try:
                return cipher.decrypt(nonce, body, context.encode())
            except (InvalidTag, ValueError):  # ValueError: too short to be anything.
                continue
        return None


def vault_of(source: KeySource) -> Vault:
    """Return the vault of an installation. Raises ConfigError: its keys cannot be read."""
    source.read()  # So that it is there.
    seen = source.stamp()  # Before what it stands for is read: a change in between is seen the next time.
    first, *older = (key.octets for key in source.read())

    def look_again() -> Sequence[bytes] | None:
        nonlocal seen
        try:
            stamp = source.stamp()
            keys = None if stamp == seen else source.read()
        except ConfigError:  # Gone, or half written by hand.
            return None
        seen = stamp
        return None if keys is None else [key.octets for key in keys]

    return Vault(first, older, look_again=look_again)


class Sealed(msgspec.Struct, frozen=True):
    """A sealed secret as a table holds it."""

    project_id: UUID
    name: str  # Of its row in its table.
    context: str  # The place it is sealed for.
    octets: bytes


def secret_context(access_key_id: str) -> str:
    """Return the `context` under which the secret of an API key is sealed."""
    return f"api_key:{access_key_id}"


def mark_of(master_key: bytes) -> bytes:
    """Return what each value sealed with this key begins with."""
    return _NAMED + _derived(master_key, "name of this key")[: MARK_BYTES - 1]


def _derived(master_key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"outrider " + purpose.encode()).derive(master_key)
