"""Secrets at rest: AES-256-GCM under a master key that lives outside the database.

Whoever steals a backup of the database alone has no DKIM key. A sealed value is bound to its place (`context`, such as
"dkim:<domain>:<selector>"): moved to another row it does not open.

    sealed = version (1 byte, 0x01) || nonce (12 bytes) || ciphertext and tag

Source: NIST SP 800-38D.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from outrider.base.errors import ConfigError, StoreCorruptError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"


class Vault:
    """Seals and opens under one master key. The key is never shown, not even in `repr`."""

    def __init__(self, master_key: bytes) -> None:
        assert len(master_key) == KEY_BYTES
        self._master_key: Final = master_key
        self._cipher: Final = AESGCM(master_key)

    def derive(self, purpose: str) -> bytes:
        """Return a key of 32 octets for `purpose`, always the same; none of them says anything about another.

        Source: RFC 5869 (HKDF).
        """
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"outrider " + purpose.encode()).derive(self._master_key)

    def seal(self, secret: bytes, context: str) -> bytes:
        """Encrypt `secret` for this `context`."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made for the same `context`.

        Raises:
            StoreCorruptError: another master key, another context, or damaged bytes.
        """
        if sealed[:1] != _VERSION:
            raise StoreCorruptError("A sealed secret has an unknown form.", context=context)
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, context.encode())
        except InvalidTag as error:
            raise StoreCorruptError("A sealed secret does not open with this master key.", context=context) from error


def secret_context(access_key_id: str) -> str:
    """Return the `context` under which the secret of an API key is sealed."""
    return f"api_key:{access_key_id}"


def load_or_create_key(path: Path) -> bytes:
    """Read the master key file, making it (mode 0600, on disk) if there is none. Safe from several processes at once.

    Raises:
        ConfigError: the file cannot be read or is not a key.
    """
    try:
        if not path.exists():
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The master key file {path} cannot be used: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"The master key file {path} is not a key: it must hold {KEY_BYTES} bytes.")
    return key


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, os.urandom(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(draft, path)  # Fails if another process was first; then its key counts.
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
