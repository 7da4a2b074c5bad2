"""Sign messages with DKIM: relaxed/relaxed, RSA and Ed25519 side by side. Pure.

    draft's fields, body hash, keys --prepare--> Prepared        once per message
    To, Message-ID, instant         --.sign----> signature fields, to put on top of them

Everything that is the same for all recipients is canonicalised once, and once for all keys; per recipient there remain
two fields, the join and the key's own work. Measured (RSA-2048): 5 µs of ours around 205 µs of OpenSSL, which lets go
of the interpreter lock meanwhile; without `prepare`, 14 µs.

What is signed: every field named in `_SIGNED`, each instance. From, Subject, To and Date are named once more than
there are, so that adding another one breaks the signature (RFC 6376 §5.4, §8.15). No l=: the whole body counts.

`dkim_verify` is the other side. Sources: RFC 6376, RFC 8301 (SHA-256, RSA of 1024 bits and more), RFC 8463 (Ed25519).
"""

import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import address

RSA_SHA256: Final = "rsa-sha256"
ED25519_SHA256: Final = "ed25519-sha256"
ALGORITHMS: Final = (RSA_SHA256, ED25519_SHA256)  # In the order of the signatures.

_SIGNED: Final = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to", b"references"}
    | {b"mime-version", b"content-type", b"content-transfer-encoding"}
    | {b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id"}
)
_OVERSIGNED: Final = (b"from", b"subject", b"to", b"date")
_PADDING: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()
_SPACES: Final = re.compile(rb"[ \t]+")
_END_OF_HEADER: Final = re.compile(rb"(?:\A|\r\n)\r\n")
_END_OF_FIELD: Final = re.compile(rb"\r\n(?![ \t])")
_selector: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
).fullmatch
_SIGNATURE_LINE_CHARS: Final = 72


class SigningKey(msgspec.Struct, frozen=True):
    """A private key and where its public half is published: `selector._domainkey.domain`. Made by `load_key`."""

    domain: str
    selector: str
    algorithm: str  # RSA_SHA256 or ED25519_SHA256.
    private_key: RSAPrivateKey | Ed25519PrivateKey  # Its repr shows nothing of it.
    head: bytes  # Each of its signature fields as far as the time.


def load_key(domain: str, selector: str, pem: bytes) -> SigningKey:
    """Return the key of an unencrypted PEM file. Cost: as much as a signature, the key is checked; keep it.

    Raises:
        CallerError: not a private key we can sign with, an RSA key under 1024 bits, or no domain or selector.

    Source: RFC 8301 §3.2; RFC 6376 §3.1 for the selector.
    """
    domain = address.parse_domain(domain)
    if not _selector(selector) or len(selector) > limits.DOMAIN_NAME_CHARS_MAX:
        raise CallerError("That is not a DKIM selector.", field="selector")
    try:
        private_key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CallerError("That is not an unencrypted private key in PEM.", field="key") from error
    if isinstance(private_key, Ed25519PrivateKey):
        return _made(domain, selector, ED25519_SHA256, private_key)
    if not isinstance(private_key, RSAPrivateKey):
        raise CallerError("DKIM signs with RSA or Ed25519 keys only.", field="key")
    if private_key.key_size < limits.DKIM_RSA_BITS_MIN:
        raise CallerError(f"An RSA key has at least {limits.DKIM_RSA_BITS_MIN} bits.", field="key")
    return _made(domain, selector, RSA_SHA256, private_key)


def public_record(key: SigningKey) -> str:
    """Return the TXT record to publish for a key. Over 255 bytes it takes two strings.

    Source: RFC 6376 §3.6.1; RFC 8463 §4: an Ed25519 key is published as its bare 32 bytes.
    """
    public_key = key.private_key.public_key()
    if key.algorithm == ED25519_SHA256:
        octets = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={_base64(octets).decode('ascii')}"
    octets = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={_base64(octets).decode('ascii')}"


class Prepared:
    """A message ready to be signed for one recipient after the other. Made by `prepare`; not for several threads."""

    def __init__(self, fields: Sequence[bytes], body_hash: bytes, keys: Sequence[SigningKey]) -> None:
        chosen = _chosen(fields)
        self._names: Final = [name for name, _ in chosen]
        self._canonical: Final = b"".join([field for _, field in chosen])
        self._body_hash: Final = _base64(body_hash)
        self._signers: Final = [(key.head, _signer(key)) for key in keys]
        self._late_names: list[bytes] | None = None
        self._listed = b""

    def sign(self, fields: Sequence[bytes], at: datetime, *, body_hash: bytes = b"") -> bytes:
        """Return the DKIM-Signature fields, one per key, for the message `fields` + the prepared fields.

        Args:
            fields: the recipient's own, in the order of the message; they stand before the prepared ones.
            at: for t=; aware.
            body_hash: of the recipient's own body; b"": of the one that was prepared.
        """
        late = _chosen(fields)
        names = [name for name, _ in late]
        if names != self._late_names:  # Nearly always the same: To and Message-ID.
            self._late_names, self._listed = names, _listed([*self._names, *names])
        canonical = b"".join([self._canonical, *[field for _, field in late]])
        hashed = _base64(body_hash) if body_hash else self._body_hash
        seconds_and_tail = b"%d%b;\r\n bh=%b;\r\n b=" % (int(at.timestamp()), self._listed, hashed)
        signatures: list[bytes] = []
        for head, sign_with in self._signers:
            unsigned = head + seconds_and_tail
            # Relaxed, RFC 6376 §3.4.2: we write no white space but single spaces and folds, so this is all of it.
            own = b"dkim-signature:" + unsigned[len("DKIM-Signature: ") :].replace(b"\r\n ", b" ")
            signatures += (unsigned, _folded(_base64(sign_with(canonical + own))), b"\r\n")
        return b"".join(signatures)


def prepare(fields: Sequence[bytes], body_hash: bytes, keys: Sequence[SigningKey]) -> Prepared:
    """Prepare what all recipients of a message share for signing.

    Args:
        fields: complete header fields, each ending in CRLF, in the order of the message.
        body_hash: see `body_hash`.
        keys: in the order of the signatures; the last is on the bottom.
    """
    return Prepared(fields, body_hash, keys)


def split(message: bytes) -> tuple[list[bytes], bytes]:
    """Return the header fields, each with its CRLF, and the body of a message whose lines end in CRLF."""
    end = _END_OF_HEADER.search(message)
    head, body = (message, b"") if end is None else (message[: end.start()], message[end.end() :])
    return [field + b"\r\n" for field in _END_OF_FIELD.split(head) if field], body


def body_hash(body: bytes) -> bytes:
    """Return the SHA-256 of the relaxed body. Cost: see `canonical_body`."""
    return hashlib.sha256(canonical_body(body)).digest()


def canonical_body(body: bytes) -> bytes:
    """Return the body in relaxed form. Only CRLF ends a line, only space and tab are white space.

    Cost: a few passes at memory speed, whatever is in it; measured 12 µs for 3 KB of indented HTML, 45 ms for 10 MB.
    Source: RFC 6376 §3.4.4.
    """
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    while b"  " in body:  # Halves every run, so a run of n takes log n passes. A regular expression: 20 times slower.
        body = body.replace(b"  ", b" ")
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    body = body.removesuffix(b" ")  # Of a last line that no CRLF ends.
    end = end_of_content(body)
    if end == 0:
        return b""
    return body if body.endswith(b"\r\n") and end == len(body) - 2 else body[:end] + b"\r\n"


def end_of_content(body: bytes) -> int:
    """Return where the empty lines at the end of a body begin: behind its last line without the CRLF.

    Cost: one pass over what is at most line ends. Danger: `rstrip` would take bare CR and LF, which are content.
    """
    start = len(body.rstrip(b"\r\n"))
    tail = body[start:]
    if not tail.endswith(b"\r\n"):
        return len(body)
    # Behind the last doubled octet CR and LF take turns; the pairs begin at the first CR of that.
    pairs = max(tail.rfind(b"\r\r"), tail.rfind(b"\n\n")) + 1
    return start + (pairs if tail[pairs : pairs + 1] == b"\r" else pairs + 1)


def canonical_field(field: bytes) -> bytes:
    """Return a complete header field in relaxed form, ending in CRLF. Source: RFC 6376 §3.4.2."""
    name, _, value = field.partition(b":")
    value = value.replace(b"\r\n", b"")
    if b"\t" in value or b"  " in value:
        value = _SPACES.sub(b" ", value)
    return b"%b:%b\r\n" % (name.rstrip(b" \t").lower(), value.strip(b" \t"))


def _chosen(fields: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return name and canonical form of those that are signed, the last first: verifiers count from the bottom."""
    chosen = []
    for field in reversed(fields):
        canonical = canonical_field(field)
        name = canonical[: canonical.index(b":")]
        if name in _SIGNED:
            chosen.append((name, canonical))
    return chosen


def _made(domain: str, selector: str, algorithm: str, private_key: RSAPrivateKey | Ed25519PrivateKey) -> SigningKey:
    """Make the key with its head. Folds are CRLF and one space everywhere, see `Prepared.sign`."""
    words = ["v=1;", f"a={algorithm};", "c=relaxed/relaxed;", f"d={domain};", f"s={selector};", "t="]
    lines = ["DKIM-Signature:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) + len("1234567890;") * (word == "t=") <= limits.LINE_FOLD_BYTES:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return SigningKey(domain, selector, algorithm, private_key, "\r\n".join(lines).encode("ascii"))


def _listed(names: Sequence[bytes]) -> bytes:
    """Write a signature field from behind the time to the end of "h="."""
    lines = [b" h="]
    listed = b":\n".join([*names, *_OVERSIGNED]).split(b"\n")
    for word in listed:
        if len(lines[-1]) + len(word) < limits.LINE_FOLD_BYTES:
            lines[-1] += word
        else:
            lines.append(b" " + word)
    return b"\r\n".join([b";", *lines])


def _signer(key: SigningKey) -> Callable[[bytes], bytes]:
    """Return what signs with the key. Which kind it is costs more to ask than to remember."""
    match key.private_key:
        case RSAPrivateKey() as rsa_key:
            return lambda canonical: rsa_key.sign(canonical, _PADDING, _SHA256)
        case ed25519_key:  # RFC 8463 §3: PureEdDSA over the hash, not over what is hashed.
            return lambda canonical: ed25519_key.sign(hashlib.sha256(canonical).digest())


def _base64(octets: bytes) -> bytes:
    return binascii.b2a_base64(octets, newline=False)


def _folded(encoded: bytes) -> bytes:
    step = _SIGNATURE_LINE_CHARS
    return b"\r\n ".join([encoded[start : start + step] for start in range(0, len(encoded), step)])
