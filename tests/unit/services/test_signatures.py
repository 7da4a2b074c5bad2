"""Signatures are checked against what we would publish, looked up once per key."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from outrider.mail import dkim
from outrider.mail.dkim_verify import Result
from outrider.services import signatures
from tests.unit.mail.keys import sign

FIELDS = [b"From: a@shop.example\r\n", b"To: b@x.example\r\n", b"Subject: Hello\r\n", b"Date: x\r\n"]
BODY = b"Body\r\n"


def new_key(selector: str) -> dkim.SigningKey:
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return dkim.load_key("shop.example", selector, pem)


class Records:
    """Our own database of published keys."""

    def __init__(self, *keys: dkim.SigningKey) -> None:
        self._texts = {(key.domain, key.selector): dkim.public_record(key) for key in keys}
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, domain: str, selector: str) -> str | None:
        self.asked.append((domain, selector))
        return self._texts.get((domain, selector))


def signed(*keys: dkim.SigningKey, body: bytes = BODY) -> bytes:
    head = sign(FIELDS, BODY, keys, datetime(2026, 3, 4, tzinfo=UTC))
    return b"Return-Path: <>\r\nDelivered-To: b@x.example\r\n" + head + b"".join(FIELDS) + b"\r\n" + body


@pytest.fixture(scope="module")
def keys() -> tuple[dkim.SigningKey, dkim.SigningKey]:
    return new_key("one"), new_key("two")


async def test_each_signature_is_judged(keys: tuple[dkim.SigningKey, dkim.SigningKey]) -> None:
    records = Records(keys[0])
    first, second = await signatures.check(signed(*keys), records)
    assert (first.domain, first.selector, first.algorithm) == ("shop.example", "one", "ed25519-sha256")
    assert (first.is_valid, first.result, first.reason) == (True, Result.PASS, "")
    assert (second.selector, second.is_valid) == ("two", False)
    assert "no key" in second.reason
    assert records.asked == [("shop.example", "one"), ("shop.example", "two")]


async def test_a_changed_body_is_seen(keys: tuple[dkim.SigningKey, dkim.SigningKey]) -> None:
    (found,) = await signatures.check(signed(keys[0], body=b"Other\r\n"), Records(keys[0]))
    assert not found.is_valid
    assert "body" in found.reason


async def test_without_a_signature_nothing_is_asked() -> None:
    records = Records()
    assert await signatures.check(b"".join(FIELDS) + b"\r\n" + BODY, records) == []
    assert records.asked == []


@given(st.binary(max_size=200).map(lambda octets: b"DKIM-Signature: " + octets) | st.binary(max_size=200))
async def test_nothing_breaks_the_check(message: bytes) -> None:
    for found in await signatures.check(message, Records()):
        assert not found.is_valid
