"""Fault: the mail has 8-bit text and the peer does not offer 8BITMIME.

It gets the same text in 7 bits, signed after that was made of it (RFC 6152 §3): not an octet over 127, and the
signature holds. A peer with 8BITMIME is told BODY=8BITMIME and gets the octets as they came.
"""

from datetime import UTC, datetime

import dkim as dkimpy
import pytest

from outrider.mail import dkim, encode
from outrider.testing.delivery import TO, is_delivered, pool_of, send
from outrider.testing.peer import Peer, Script
from outrider.wire.reply import parse_reply
from outrider.wire.smtp_client import Envelope, parse_features
from tests.unit.mail.keys import find_record, rsa_key, sign

AT = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
TEXT = "Grüße aus Köln, und noch viel mehr Text ohne Umlaute, damit es sich lohnt.\r\n"
CONTENT = (
    f"From: noreply@shop.example\r\nTo: {TO}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;"
    f" charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{TEXT}"
).encode()


def envelope_for(features: tuple[str, ...]) -> Envelope:
    """What the engine does with what a server said about itself."""
    offered = parse_features(parse_reply([b"250-mx", *(b"250-" + line.encode() for line in features), b"250 HELP"]))
    fitted = encode.fit(CONTENT, has_8bitmime=offered.has_8bitmime)
    fields, body = dkim.split(fitted.content)
    signature = sign(fields, body, [rsa_key()], AT)
    return Envelope("us@shop.example", (TO,), signature + fitted.content, is_8bit=fitted.is_8bit)


@pytest.mark.parametrize("features", [(), ("PIPELINING",), ("8BITMIME",), ("PIPELINING", "8BITMIME", "SMTPUTF8")])
async def test_it_gets_what_it_can_take_and_the_signature_holds(features: tuple[str, ...]) -> None:
    has_8bitmime = "8BITMIME" in features
    async with Peer(Script(features=features)) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), envelope_for(features)))
        content = peer.received[0].content
        assert content.isascii() != has_8bitmime
        assert content.endswith(CONTENT) == has_8bitmime
        assert any("BODY=8BITMIME" in line for line in peer.commands) == has_8bitmime

    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        selector, _, domain = name.decode().rstrip(".").partition("._domainkey.")
        record = find_record(domain, selector)
        return record.encode() if record else None

    assert dkimpy.DKIM(content).verify(dnsfunc=ask)


async def test_signed_before_it_was_made_7bit_the_signature_would_not_hold() -> None:
    fields, body = dkim.split(CONTENT)
    message = encode.to_7bit(sign(fields, body, [rsa_key()], AT) + CONTENT)
    with pytest.raises(dkimpy.ValidationError):
        dkimpy.DKIM(message).verify(dnsfunc=lambda name, timeout=5: find_record("shop.example", "r1").encode())
