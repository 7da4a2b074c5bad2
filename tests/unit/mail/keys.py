"""Keys made for these tests, once per run. A short RSA key is quick to make; its length changes nothing here."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.mail import dkim
from outrider.mail.dkim import SigningKey

DOMAIN: Final = "shop.example"


def pem_of(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@functools.cache
def rsa_key() -> SigningKey:
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return dkim.load_key(DOMAIN, "r1", pem_of(private_key))


@functools.cache
def ed25519_key() -> SigningKey:
    private_key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return dkim.load_key(DOMAIN, "e1", pem_of(private_key))


def sign(fields: Sequence[bytes], body: bytes, keys: Sequence[SigningKey], at: datetime) -> bytes:
    """Return the signature fields to put on top of a message that goes to one recipient only."""
    return dkim.prepare(fields, dkim.body_hash(body), keys).sign((), at)


def find_record(domain: str, selector: str) -> str | None:
    """Return what DNS would have for the keys above."""
    known = {"r1": rsa_key, "e1": ed25519_key}
    return dkim.public_record(known[selector]()) if domain == DOMAIN and selector in known else None
