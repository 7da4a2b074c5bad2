"""What tests of delivery share does check what it says it checks."""

import pytest

from outrider.testing.delivery import MAIL, check_next_mail, is_delivered, pool_of, send, settings_for
from outrider.testing.peer import Act, Move, Peer, Script, Stage


def test_waits_are_short_and_can_be_shortened() -> None:
    settings = settings_for(data_end_wait_s=0.1, ehlo_name="x.example")
    assert settings.data_end_wait_s == 0.1
    assert settings.ehlo_name == "x.example"
    assert max(settings.greeting_wait_s, settings.command_wait_s, settings.connect_wait_s) <= 10


async def test_a_healthy_pool_passes_and_a_refusal_is_no_delivery() -> None:
    async with Peer(Script(moves={Stage.DOT: Move(Act.SAY, b"550 no\r\n")})) as peer, pool_of() as pool:
        assert not is_delivered(await send(pool, peer.site(), MAIL))
        await check_next_mail(pool, peer)
        assert is_delivered(await send(pool, peer.site(), MAIL))


async def test_a_pool_that_cannot_deliver_fails_the_check() -> None:
    async with Peer() as peer, pool_of() as pool:
        await pool.close()
        with pytest.raises(AssertionError):
            await check_next_mail(pool, peer)
