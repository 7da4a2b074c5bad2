"""Fault: a line of over 998 octets, in what is handed to us or in what the peer says.

None leaves us, in a header or in a body (RFC 5321 §4.5.3.1.6): some servers refuse it, some cut it, and a cut breaks
the signature. A peer's reply line may be longer than RFC 5321 has it, up to `REPLY_LINE_BYTES_MAX`; beyond,
it is an attack.
"""

from datetime import UTC, datetime

import pytest

from outrider.base import limits
from outrider.base.vocab import Phase
from outrider.mail import address, build, encode
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope

LONG = "x" * 5000
SPACED = "word " * 1000
CASES = [
    {"text": LONG},
    {"html": LONG, "text": SPACED},
    {"subject": LONG},
    {"subject": SPACED},
    {"from_name": LONG},
    {"subject": "ü" * 3000, "from_name": "日本" * 900},
]


def composed(**values: str) -> bytes:
    sender = address.parse("us@shop.example")
    given = {"from_name": "", "subject": "s", "text": "x", "html": "", **values}
    draft = build.compose(sender=sender, date=datetime(2026, 11, 24, tzinfo=UTC), **given)  # type: ignore[arg-type]
    return b"".join((*draft.fields_for(address.parse(TO), "a@shop.example"), *draft.fields, b"\r\n", draft.body))


def handed_in(**values: str) -> bytes:
    given = {"from_name": "", "subject": "s", "text": "x", "html": "", **values}
    raw = "From: {from_name} <us@shop.example>\r\nX-Long: {subject}\r\n\r\n{text}\r\n{html}".format(**given)
    return encode.fit(raw.encode(), has_8bitmime=True).content


@pytest.mark.parametrize("make", [composed, handed_in])
@pytest.mark.parametrize("values", CASES)
async def test_none_leaves_us(make: type, values: dict[str, str]) -> None:
    async with Peer(Script(features=("8BITMIME", "SMTPUTF8"))) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), Envelope(MAIL.sender, (TO,), make(**values))))
        lines = peer.received[0].content.split(b"\r\n")
        assert max(map(len, lines)) <= limits.LINE_BYTES_MAX


async def test_what_is_long_but_legal_leaves_as_it_is() -> None:
    content = b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n"
    assert encode.fit(content, has_8bitmime=False).content == content
    async with Peer() as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), Envelope(MAIL.sender, (TO,), content)))
        assert peer.received[0].content == content


@pytest.mark.parametrize(("stage", "phase"), [(Stage.GREETING, Phase.GREETING), (Stage.DOT, Phase.DOT)])
@pytest.mark.parametrize("is_too_long", [False, True])
async def test_a_peers_long_line_is_read_up_to_a_bound(stage: Stage, phase: Phase, is_too_long: bool) -> None:
    code = b"220 " if stage is Stage.GREETING else b"250 "
    room = limits.REPLY_LINE_BYTES_MAX - len(code) - 1
    reply = Move(Act.SAY, code + b"z" * (room + is_too_long) + b"\r\n")
    async with Peer(Script(moves={stage: reply})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt) != is_too_long
        if is_too_long:
            assert attempt.answers == {TO: Answer(phase, None, Cause.PROTOCOL)}
        await check_next_mail(pool, peer)
