"""Fault: somebody on the way adds plain text to the consent to STARTTLS (CVE-2011-0411, mirrored: NO STARTTLS 2021).

A client that keeps what it has read would take the words of the attacker for the server's, under TLS. We end the
session: nothing said before the handshake outlives it. What comes in the same packet is seen for what it is, and the
mail is not sent in the clear to that host either; what comes later is read as TLS and breaks the handshake.
"""

import pytest

from outrider.base.vocab import Phase
from outrider.net.site import Host, Site
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Peer, Script, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import TlsMode


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED])
@pytest.mark.parametrize("kind", [TlsKind.INJECTED, TlsKind.INJECTED_PART])
async def test_injected_plain_text_ends_the_session(mode: TlsMode, kind: TlsKind) -> None:
    async with Peer(Script(tls=kind)) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(tls=mode), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.PROTOCOL)}
        assert not peer.received
        assert not any(line.startswith("MAIL") for line in peer.commands)
        await check_next_mail(pool, peer)


async def test_what_comes_before_the_handshake_is_no_reply() -> None:
    async with Peer(Script(tls=TlsKind.INJECTED_LATE)) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        assert not any(line.startswith("MAIL") for line in peer.commands)
        await check_next_mail(pool, peer)


async def test_nothing_said_before_the_handshake_is_kept() -> None:
    script = Script(tls=TlsKind.GOOD, mechanisms=("PLAIN",))
    async with Peer(script) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        assert is_delivered(await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL))
        assert [line.split()[0] for line in peer.commands][:3] == ["EHLO", "STARTTLS", "EHLO"]
        assert peer.received[0].is_encrypted


async def test_the_next_host_is_tried() -> None:
    async with (
        Peer(Script(tls=TlsKind.INJECTED)) as victim,
        Peer(Script(tls=TlsKind.GOOD), address="127.0.0.2", port=victim.port) as peer,
        pool_of() as pool,
    ):
        hosts = (Host("mx1.x.example", (victim.address,)), Host("mx2.x.example", (peer.address,)))
        attempt = await send(pool, Site("x", hosts, peer.port), MAIL)
        assert is_delivered(attempt)
        assert attempt.tls == "TLSv1.3"
