"""Fault: STARTTLS is missing from the offer: the peer has none, or somebody on the way cut it out.

We cannot tell which. Where TLS is required nothing is sent, and the answer says TLS; else the mail goes in the clear,
as RFC 7435 has it: whoever can cut the offer out could read along before there was STARTTLS, too. A password stays
with us, but for a smart host on this machine, or if an operator says otherwise.
"""

import random

import pytest

from outrider.app import net_settings
from outrider.base.vocab import Fate, Phase
from outrider.config import load
from outrider.net.site import Site
from outrider.policy.classify import Classifier
from outrider.policy.reason import Reason
from outrider.roles import deliver
from outrider.testing.clock import RealClock
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.dns import DnsServer, Node
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


async def said_to_relay(host: str, *, delivery: str, **env: str) -> list[str]:
    """Hand a mail to a relay at `host` that wants a password and offers no TLS; return the commands it heard."""
    zone = {"relay.example": Node(a=("127.0.0.1",))}  # By its name it might be anywhere.
    async with Peer(Script(features=(), mechanisms=("PLAIN",))) as peer, DnsServer(zone) as dns:
        config = load(
            {
                "OUTRIDER_DATA_DIR": "/nowhere",
                "OUTRIDER_DELIVERY": delivery.format(port=peer.port),
                "OUTRIDER_EGRESS__SOURCES__RELAY__SMARTHOST": f"smarthost://us:word@{host}:{peer.port}",
                "OUTRIDER_DNS_SERVER": dns.address,
                **env,
            }
        )
        net = net_settings(config)
        _, exits = deliver.make_ways(config, net, RealClock(), random.Random(1))
        site = await exits.of(config.make_egress().sources[0], peer.site())
        assert isinstance(site, Site)
        async with pool_of(allow_plaintext_auth=net.allow_plaintext_auth) as pool:
            attempt = await send(pool, site, MAIL)
        if not is_delivered(attempt):
            assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
        return [command.split()[0] for command in peer.commands]


LOCAL = "smarthost://us:word@127.0.0.1:{port}"
REMOTE = "smarthost://us:word@relay.example:{port}"


@pytest.mark.parametrize("delivery", ["direct", LOCAL, REMOTE])
async def test_a_relay_elsewhere_gets_no_password_whoever_else_may(delivery: str) -> None:
    said = await said_to_relay("relay.example", delivery=delivery)
    assert said in (["EHLO"], ["EHLO", "QUIT"])


@pytest.mark.parametrize("delivery", ["direct", LOCAL, REMOTE])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_relay_on_this_machine_gets_its_password_whoever_else_may_not(delivery: str, host: str) -> None:
    assert (await said_to_relay(host, delivery=delivery))[:4] == ["EHLO", "AUTH", "MAIL", "RCPT"]


async def test_an_operator_may_say_otherwise() -> None:
    said = await said_to_relay("relay.example", delivery="direct", OUTRIDER_NET__ALLOW_PLAINTEXT_AUTH="true")
    assert said[:2] == ["EHLO", "AUTH"]


async def test_the_same_host_with_the_offer_is_used_with_tls() -> None:
    async with Peer(Script(tls=TlsKind.GOOD)) as peer, pool_of(ca_pem=peer.certificate.pem) as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert is_delivered(attempt)
        assert attempt.tls == "TLSv1.3"
