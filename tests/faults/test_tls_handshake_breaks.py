"""Fault: the peer offers STARTTLS, agrees to it, and then cannot do it, or not as we ask.

Opportunistic: the same host gets the mail in the clear, at once, and is not asked again for a while. Required: nothing
is sent, and the answer says TLS.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.net.selfsigned import SelfSigned
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import TlsMode

BREAKS = [TlsKind.BROKEN, TlsKind.HANGUP, TlsKind.SILENT]


@pytest.mark.parametrize("kind", BREAKS)
async def test_opportunistic_goes_on_in_the_clear(kind: TlsKind) -> None:
    async with Peer(Script(tls=kind)) as peer, pool_of(tls_wait_s=0.1) as pool:
        for _ in range(2):
            attempt = await send(pool, peer.site(), MAIL)
            assert is_delivered(attempt)
            assert attempt.tls == ""
        assert peer.commands.count("STARTTLS") == 1
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("kind", BREAKS)
async def test_required_sends_nothing(kind: TlsKind) -> None:
    async with Peer(Script(tls=kind)) as peer, pool_of(tls_wait_s=0.1) as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        assert not peer.received
        await check_next_mail(pool, peer)


@pytest.mark.parametrize(("mode", "is_sent"), [(TlsMode.OPPORTUNISTIC, True), (TlsMode.REQUIRED, False)])
async def test_a_refusal_of_starttls_is_no_obstacle_unless_tls_is_required(mode: TlsMode, is_sent: bool) -> None:
    refusal = Move(Act.SAY, b"454 4.7.0 not now\r\n")
    async with Peer(Script(tls=TlsKind.GOOD, moves={Stage.STARTTLS: refusal})) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(tls=mode), MAIL)
        if is_sent:
            assert is_delivered(attempt)
        else:
            assert attempt.answers == {TO: Answer(Phase.STARTTLS, Reply(454, "4.7.0", "not now"))}
        assert bool(peer.received) == is_sent
        await check_next_mail(pool, peer)


async def test_required_wants_a_certificate_of_the_host_by_somebody_trusted() -> None:
    async with Peer(Script(tls=TlsKind.GOOD)) as peer:
        for pem, is_trusted in [("", False), (SelfSigned("other.example").pem, False), (peer.certificate.pem, True)]:
            async with pool_of(ca_pem=pem) as pool:
                attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
                assert is_delivered(attempt) == is_trusted
                assert attempt.tls == ("TLSv1.3" if is_trusted else "")


async def test_a_trusted_certificate_of_another_host_is_not_enough() -> None:
    async with Peer(Script(tls=TlsKind.GOOD)) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED, host="other.example"), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        await check_next_mail(pool, peer)
