"""From a request's headers, and where it must be its body, to the `Credentials` that `services.access` judges.

    read(headers, peer, proxies)    Authorization (Basic, Bearer), X-AccessToken, X-Access-Key-Id and its companions
    with_body(credentials, body)    for calls whose body was signed, or names the key as the PHP client does

| Authorization | is |
|---|---|
| `Basic base64(ID:SECRET)` | a pair (RFC 7617) |
| `Bearer ID.SECRET` | a pair |
| `Bearer HEADER.CLAIMS.SIGNATURE` | an access token (RFC 6750 §2.1) |

It translates and never judges: what has the form of a pair may be nobody's. One form counts, in this order:
Authorization, X-AccessToken, the signature.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from outrider.base import networks
from outrider.base.errors import UnauthenticatedError
from outrider.base.networks import Network
from outrider.faces.api.basic import parse_basic
from outrider.services.access import ADVICE, Credentials

_HEADER_BYTES_MAX: Final = 2560  # Ours: the longest access token and its scheme.


class _Signers(msgspec.Struct, frozen=True, rename={"key": "PublicKey", "signature": "Signature"}):
    """What PHP's client writes into the body."""

    key: str
    signature: str


_read_signers: Final = msgspec.json.Decoder(_Signers).decode  # What else is there is passed over, not kept.


def read(headers: Iterable[tuple[bytes, bytes]], peer: str = "", proxies: Sequence[Network] = ()) -> Credentials:
    """Return what the request shows of itself.

    Args:
        headers: names in lower case, as ASGI has them.
        peer: the address of the socket's other end, "" if there is none.
        proxies: who is believed when it says for whom it calls (X-Forwarded-For).

    Raises:
        UnauthenticatedError: the Authorization header is malformed; says how.
    """
    authorization = token = key_id = signature = timestamp = nonce = b""
    forwarded: list[bytes] = []
    for name, value in headers:
        match name:
            case b"authorization":
                authorization = value
            case b"x-accesstoken":
                token = value
            case b"x-access-key-id":
                key_id = value
            case b"x-signature":
                signature = value
            case b"x-timestamp":
                timestamp = value
            case b"x-nonce":
                nonce = value
            case b"x-forwarded-for" if proxies:
                forwarded.append(value)
    client = networks.caller(peer, b",".join(forwarded), proxies) if forwarded else peer
    if authorization:
        return _read_authorization(authorization, client)
    if token:
        return Credentials(token=_text(token), client=client)
    return Credentials(
        access_key_id=_text(key_id),
        signature=_text(signature) if signature else None,
        timestamp=_text(timestamp),
        nonce=_text(nonce),
        client=client,
    )


def with_body(credentials: Credentials, body: bytes) -> Credentials:
    """Return the credentials with the body that they need (`Credentials.needs_body`).

    Where no header names a key, the PHP client's `PublicKey` and `Signature` in the body do.
    """
    if credentials.signature is not None:
        return msgspec.structs.replace(credentials, body=body)
    try:
        signers = _read_signers(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return credentials  # It shows nothing; whoever judges says so.
    return msgspec.structs.replace(credentials, access_key_id=signers.key, signature=signers.signature, body=body)


def _read_authorization(value: bytes, client: str) -> Credentials:
    scheme, _, shown = value.partition(b" ")
    if scheme.lower() != b"bearer":
        key_id, secret = parse_basic(value)
        return Credentials(access_key_id=key_id, access_key_secret=secret, client=client)
    if len(value) > _HEADER_BYTES_MAX:
        raise UnauthenticatedError(f"The Authorization header is too long. {ADVICE}")
    key_id, dot, secret = _text(shown.strip()).partition(".")
    if not key_id or not secret:
        raise UnauthenticatedError(f"The Authorization header holds neither a pair nor a token. {ADVICE}")
    if "." in secret:
        return Credentials(token=key_id + dot + secret, client=client)
    return Credentials(access_key_id=key_id, access_key_secret=secret, client=client)


def _text(value: bytes) -> str:
    return value.decode("latin-1")
