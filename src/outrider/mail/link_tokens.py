"""Tokens of tracked links and pixels: whose they are and where they lead, sealed. Pure, and no database is asked.

    tokens.link(recipient_id, 3, "https://shop.example/offer", host="")   "Hq0x3..." of [A-Za-z0-9_-]
    tokens.pixel(recipient_id, host="")
    tokens.read(token, Kind.LINK, host="")                               the same, or ForgedLinkError

    base64url( AES-SIV( version (1 octet) | recipient id (16) | number (2) | target in UTF-8; kind, host ) )

A token is encrypted and authentic: nobody reads from it whose mail it was or where it leads, and no octet of it can be
changed, so the redirect is never an open one. It says all that a redirect needs: the database may be away. It counts at
the host it was made for: "" is the installation's own, which may answer on any name; a project's tracking host is not
another project's. It does not expire: old mail keeps its links, and what is recorded is another matter.

AES-SIV (RFC 5297) needs no nonce, so the same link of the same mail is the same octets on every attempt. Measured
(2026-11): 3 us to make one with a target of 80 characters.
"""

import binascii
import enum
import re
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from outrider.base.errors import NotFoundError

KEY_BYTES: Final = 32  # RFC 5297 §2.2: two AES-128 keys.
_VERSION: Final = b"\x01"
_HEAD_BYTES: Final = 1 + 16 + 2
_TAG_BYTES: Final = 16
_LABEL: Final = b"outrider tracking 1\0"
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
TOKEN_CHARS_MAX: Final = 8192  # Ours: a target of 6,000 octets; browsers and servers take URLs of this length.
TARGET_BYTES_MAX: Final = TOKEN_CHARS_MAX * 3 // 4 - _HEAD_BYTES - _TAG_BYTES
NUMBER_MAX: Final = 65_535
HONEY_NUMBER: Final = NUMBER_MAX  # Of the link that no reader sees: what follows it is a machine.
_token: Final = re.compile(rf"[A-Za-z0-9_-]{{47,{TOKEN_CHARS_MAX}}}").fullmatch


class Kind(enum.Enum):
    """What a token is for."""

    LINK = b"link"
    PIXEL = b"pixel"


class Told(msgspec.Struct, frozen=True):
    """What a token says."""

    recipient_id: UUID
    number: int = 0  # Which link of the mail, from 1 on in the order they stand in it; 0 for a pixel.
    target: str = ""  # Where it leads; "" for a pixel.


class ForgedLinkError(NotFoundError):
    """No key of ours made this token for this use and host."""


class Tokens:
    """Makes and reads tokens. One per process."""

    __slots__ = ("_ciphers", "_is_shared_first", "_keys", "_read_keys")

    def __init__(
        self, key: bytes, older: Sequence[bytes] = (), *, read_keys: Callable[[], Sequence[bytes] | None] = lambda: None
    ) -> None:
        """Take the key to make tokens with, and those whose tokens are in mail that has left.

        Args:
            read_keys: returns all of them anew if they have changed; asked before a token is refused.
        """
        self._read_keys: Final = read_keys
        self._is_shared_first = True
        self._use((key, *older))

    def link(self, recipient_id: UUID, number: int, target: str, *, host: str) -> str:
        """Return the token of a link. `target` has at most `TARGET_BYTES_MAX` octets; `host` as in a URL, or ""."""
        return self._seal(Kind.LINK, recipient_id, number, target.encode("utf-8"), host)

    def pixel(self, recipient_id: UUID, *, host: str) -> str:
        """Return the token of the pixel."""
        return self._seal(Kind.PIXEL, recipient_id, 0, b"", host)

    def read(self, token: str, kind: Kind, *, host: str) -> Told:
        """Return what a token says that came to `host` (as the request names it, without a port).

        Raises:
            ForgedLinkError: not ours, changed, for another use, or for another host.
        """
        if not _token(token):
            raise ForgedLinkError("no such link")
        padded = token.encode("ascii").translate(_FROM_URL) + b"=" * (-len(token) % 4)
        try:
            sealed = binascii.a2b_base64(padded)
        except binascii.Error as error:
            raise ForgedLinkError("no such link") from error
        octets = self._open(sealed, kind, host)
        if octets is None and self._look_again():
            octets = self._open(sealed, kind, host)
        if octets is None:
            raise ForgedLinkError("no such link")
        number = int.from_bytes(octets[17:_HEAD_BYTES], "big")
        return Told(UUID(bytes=octets[1:17]), number, octets[_HEAD_BYTES:].decode("utf-8"))

    def _seal(self, kind: Kind, recipient_id: UUID, number: int, target: bytes, host: str) -> str:
        octets = b"".join((_VERSION, recipient_id.bytes, number.to_bytes(2, "big"), target))
        sealed = self._ciphers[0].encrypt(octets, _bound_to(kind, host))
        return binascii.b2a_base64(sealed, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")

    def _open(self, sealed: bytes, kind: Kind, host: str) -> bytes | None:
        # The next token is mostly as the last, and a wrong guess costs as much as a right one. One opens either way.
        firsts = (True, False) if self._is_shared_first else (False, True)
        for cipher in self._ciphers:
            for is_shared in firsts:
                try:
                    octets = cipher.decrypt(sealed, _bound_to(kind, "" if is_shared else host.lower()))
                except InvalidTag:
                    continue
                self._is_shared_first = is_shared
                return octets
        return None

    def _look_again(self) -> bool:
        keys = self._read_keys()
        if keys is None or tuple(keys) == self._keys:
            return False
        self._use(tuple(keys))
        return True

    def _use(self, keys: tuple[bytes, ...]) -> None:
        assert all(len(each) == KEY_BYTES for each in keys)
        self._keys = keys
        self._ciphers = [AESSIV(each) for each in keys]


def _bound_to(kind: Kind, host: str) -> list[bytes]:
    return [_LABEL + kind.value, host.encode("utf-8")]
