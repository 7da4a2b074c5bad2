"""Fault: a message holds something that a careless server takes for its end, and commands after it.

Whatever the line ends inside the content, the most careless server we can think of gets one message, whole, and not one
command of the attacker's; the strict one likewise (SMTP smuggling, 2023).
"""

import pytest

from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import LENIENT_END, STRICT_END, Peer, Script
from outrider.wire.smtp_client import Envelope

ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\0.\r\n",
    b"\r\0\n.\r\0\n",
    b"\r\n.\0\r\n",
]
NUL_BLIND_END = rb"(^|[\r\n]+\0*)\.\0*(?:\r\0*\n|\n|\r)"
ATTACK = (
    b"MAIL FROM:<boss@shop.example>\r\nRCPT TO:<victim@partner.example>\r\nDATA\r\nSubject: pay\r\n\r\nnow\r\n.\r\n"
)


@pytest.mark.parametrize("reading", [STRICT_END, LENIENT_END, NUL_BLIND_END], ids=["strict", "lenient", "nul-blind"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("has_pipelining", [True, False])
async def test_one_message_stays_one_message(end: bytes, reading: bytes, has_pipelining: bool) -> None:
    features = ("PIPELINING",) if has_pipelining else ()
    envelope = Envelope(MAIL.sender, (TO,), b"Subject: x\r\n\r\nhello" + end + ATTACK)
    async with Peer(Script(features=features, end_of_data=reading)) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), envelope))
        assert len(peer.received) == 1
        assert b"Subject: pay" in peer.received[0].content
        assert not any("boss@shop.example" in line for line in peer.commands)
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("shift_bytes", range(-4, 4))
async def test_the_borders_of_what_the_network_carries_at_once_change_nothing(shift_bytes: int) -> None:
    filler = b"0123456789abcdef\r\n" * 20_000  # Longer than any buffer on the way: the reader sees it in pieces.
    at = 65536 + shift_bytes
    content = b"Subject: x\r\n\r\n" + filler[:at] + b"\n.\r\n" + ATTACK + filler
    async with Peer(Script(end_of_data=LENIENT_END)) as peer, pool_of() as pool:
        assert is_delivered(await send(pool, peer.site(), Envelope(MAIL.sender, (TO,), content)))
        assert len(peer.received) == 1
        assert peer.received[0].content.endswith(filler)
        assert not any("boss@shop.example" in line for line in peer.commands)
