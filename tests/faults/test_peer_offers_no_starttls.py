"""Fault: STARTTLS is missing from the offer: the peer has none, or somebody on the way cut it out.

We cannot tell which. Where TLS is required nothing is sent, and the answer says TLS; else the mail goes in the clear,
as RFC 7435 has it: whoever can cut the offer out could read along before there was STARTTLS, too.
"""

import pytest

from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import Classifier
from outrider.policy.reason import Reason
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Peer, Script, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Credentials, TlsMode

# What boxes on the way put over the keyword.
STRIPPED = [(), ("XXXXXXXA",), ("STARTTL",), ("X-STARTTLS", "PIPELINING")]


@pytest.mark.parametrize("features", STRIPPED)
async def test_required_sends_nothing(features: tuple[str, ...]) -> None:
    async with Peer(Script(features=features)) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        assert [line.split()[0] for line in peer.commands] in (["EHLO"], ["EHLO", "QUIT"])
        verdict = Classifier(()).judge(attempt.answers[TO])
        assert (verdict.fate, verdict.reason) == (Fate.DEFERRED, Reason.TLS)
        await check_next_mail(pool, peer)


@pytest.mark.parametrize("features", STRIPPED)
async def test_opportunistic_goes_on_in_the_clear(features: tuple[str, ...]) -> None:
    async with Peer(Script(features=features)) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert is_delivered(attempt)
        assert attempt.tls == ""


async def test_a_password_is_never_said_in_the_clear() -> None:
    script = Script(features=(), mechanisms=("PLAIN", "LOGIN"))
    async with Peer(script) as peer, pool_of() as pool:
        attempt = await send(pool, peer.site(credentials=Credentials("us", "word")), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        assert not any(line.startswith("AUTH") for line in peer.commands)


async def test_the_same_host_with_the_offer_is_used_with_tls() -> None:
    async with Peer(Script(tls=TlsKind.GOOD)) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert is_delivered(attempt)
        assert attempt.tls == "TLSv1.3"
