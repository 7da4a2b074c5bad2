"""Fault: a domain says that it takes no mail ("0 .", RFC 7505), though it has a web server on its address.

What must hold: the recipient bounces at once, as an invalid domain, and nobody connects to the web server.
"""

from random import Random
from typing import Final

import pytest

from outrider.base.vocab import Fate
from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Site
from outrider.policy.classify import Classifier
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Node
from outrider.wire.answer import Answer, Cause

WEB: Final = ("127.0.0.1",)


def resolver(server: DnsServer) -> Resolver:
    settings = NetSettings(ehlo_name="out.example", dns_server=server.address, dns_wait_s=2.0, allow_private_mx=True)
    return Resolver(settings, clock=FakeClock(), random=Random(1))


@pytest.mark.parametrize("preference", [0, 10])
async def test_it_bounces_at_once(preference: int) -> None:
    async with DnsServer({"web.example": Node(mx=((preference, "."),), a=WEB)}) as server:
        answer = await resolver(server).route("web.example")
    assert isinstance(answer, Answer)
    assert answer.cause is Cause.DNS_NULL_MX
    verdict = Classifier([]).judge(answer)
    assert (verdict.fate, verdict.reason) == (Fate.BOUNCED, "recipient.domain_invalid")
    assert server.queries == {("web.example", "MX"): 1}


async def test_the_same_domain_without_that_record_gets_its_mail() -> None:
    async with DnsServer({"web.example": Node(a=WEB)}) as server:
        assert isinstance(await resolver(server).route("web.example"), Site)
