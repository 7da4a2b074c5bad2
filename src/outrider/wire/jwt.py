"""Access tokens: JSON Web Tokens of one kind, HMAC-SHA-256, written and read by ourselves. Pure.

    mint(Claims("0123...", issued_at_s=..., expires_at_s=...), key)    "eyJ...  .eyJ...  .mac"
    read(token, key)                                                   the same Claims, whatever the hour

The header is always the same, and a token with another is not ours: so there is no `none`, no other algorithm and no
key id for anybody to choose. Whether it is over is the reader's to say, who has the clock.

Sources: RFC 7515 §3.1 and §5, RFC 7518 §3.2, RFC 7519 §4.1; RFC 8725 (what goes wrong with such tokens).
"""

import binascii
import hmac
from typing import Final

import msgspec

from outrider.base.errors import TokenInvalidError, TokenUnreadableError

_KEY_BYTES_MIN: Final = 32  # As long as the hash: RFC 7518 §3.2.
_TOKEN_CHARS_MAX: Final = 2048  # Ours: one of ours has about 250.
_ISSUER: Final = "outrider"


class Claims(msgspec.Struct, frozen=True):
    """What a token says. Seconds since 1970."""

    access_key_id: str = msgspec.field(name="sub")
    issued_at_s: int = msgspec.field(name="iat")
    expires_at_s: int = msgspec.field(name="exp")
    scope: str = ""  # Words with a space between (RFC 6749 §3.3); "": all that the key may do.
    issuer: str = msgspec.field(default=_ISSUER, name="iss")


class _Header(msgspec.Struct):
    alg: str


_encode: Final = msgspec.json.Encoder().encode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_claims: Final = msgspec.json.Decoder(Claims).decode


def mint(claims: Claims, key: bytes) -> str:
    """Return the token; `key` is at least 32 octets of good chance."""
    assert len(key) >= _KEY_BYTES_MIN
    signed = _HEADER + b"." + _to_base64(_encode(claims))
    return (signed + b"." + _to_base64(_mac(signed, key))).decode("ascii")


def read(token: str, key: bytes) -> Claims:
    """Return what our own token says. It may be over.

    Raises:
        TokenUnreadableError: it is no JSON Web Token.
        TokenInvalidError: it is one, and not made with `key`.
    """
    parts = token.split(".") if len(token) <= _TOKEN_CHARS_MAX and token.isascii() else []
    if len(parts) != 3:
        raise TokenUnreadableError("The access token has not the form header.claims.signature.")
    header, claims, mac = (part.encode("ascii") for part in parts)
    if header != _HEADER:
        _read_foreign(header)
    if not hmac.compare_digest(_from_base64(mac), _mac(header + b"." + claims, key)):
        raise TokenInvalidError("The access token is not one of this installation.")
    try:
        return _decode_claims(_from_base64(claims))
    except msgspec.MsgspecError as error:
        raise TokenUnreadableError("The access token says nothing that we know.") from error


def _read_foreign(header: bytes) -> None:
    """Raise what is wrong with a token whose header we would not have written."""
    try:
        _decode_header(_from_base64(header))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TokenUnreadableError("The access token's header is not JSON that names an algorithm.") from error
    raise TokenInvalidError("The access token is not one of this installation.")


def _mac(signed: bytes, key: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")


def _to_base64(octets: bytes) -> bytes:
    return binascii.b2a_base64(octets, newline=False).translate(_TO_URL, b"=")


def _from_base64(text: bytes) -> bytes:
    if b"+" in text or b"/" in text or b"=" in text:  # RFC 7515 §2: the URL's alphabet, without padding.
        raise TokenUnreadableError("The access token is not base64url.")
    try:
        return binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as error:
        raise TokenUnreadableError("The access token is not base64url.") from error


_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_HEADER: Final = _to_base64(b'{"alg":"HS256","typ":"JWT"}')
