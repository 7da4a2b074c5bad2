"""Fault: the name servers of a domain answer SERVFAIL or REFUSED, for a moment, for minutes, or for good.

What must hold: nobody's mail bounces for it; a domain we knew keeps its hosts for a while; when the servers are back,
so is the mail, within seconds; and an outage costs the servers a question now and then, not one a mail.
"""

from random import Random
from typing import Final

import pytest

from outrider.base import limits
from outrider.base.vocab import Fate
from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Site
from outrider.policy.classify import Classifier
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node
from outrider.wire.answer import Answer, Cause

CLASSIFIER: Final = Classifier([])
WELL: Final = Node(a=("127.0.0.1",), ttl_s=60)


def ill(fault: Fault) -> Node:
    return Node(a=WELL.a, ttl_s=60, fault=fault)


def resolver(server: DnsServer, clock: FakeClock) -> Resolver:
    settings = NetSettings(ehlo_name="out.example", dns_server=server.address, dns_wait_s=2.0, allow_private_mx=True)
    return Resolver(settings, clock=clock, random=Random(1))


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED])
async def test_a_domain_we_never_knew_is_deferred_however_long_it_lasts(fault: Fault) -> None:
    async with DnsServer({"shop.example": ill(fault)}) as server:
        clock = FakeClock()
        asks = resolver(server, clock)
        for attempt in range(10):
            answer = await asks.route("shop.example")
            assert isinstance(answer, Answer)
            assert answer.cause is Cause.DNS_TEMPORARY
            verdict = CLASSIFIER.judge(answer, attempt=attempt, age_s=clock.monotonic_s())
            assert (verdict.fate, verdict.reason) == (Fate.DEFERRED, "dns.temp")
            clock.advance(3600)


async def test_a_domain_we_knew_keeps_its_hosts_for_a_while() -> None:
    zone = {"shop.example": WELL}
    async with DnsServer(zone) as server:
        clock = FakeClock()
        asks = resolver(server, clock)
        known = await asks.route("shop.example")
        assert isinstance(known, Site)
        zone["shop.example"] = ill(Fault.SERVFAIL)
        clock.advance(61)
        assert await asks.route("shop.example") == known
        clock.advance(limits.DNS_STALE_S_MAX)
        assert isinstance(await asks.route("shop.example"), Answer)


async def test_an_outage_is_asked_about_now_and_then_not_for_each_mail() -> None:
    async with DnsServer({"shop.example": ill(Fault.SERVFAIL)}) as server:
        clock = FakeClock()
        asks = resolver(server, clock)
        for _ in range(1000):
            await asks.route("shop.example")
            clock.advance(0.01)
        assert server.queries.total() <= 10 / limits.DNS_FAILURE_TTL_S + 1


async def test_when_the_servers_are_back_so_is_the_mail() -> None:
    zone = {"shop.example": ill(Fault.SERVFAIL)}
    async with DnsServer(zone) as server:
        clock = FakeClock()
        asks = resolver(server, clock)
        await asks.route("shop.example")
        zone["shop.example"] = WELL
        clock.advance(limits.DNS_FAILURE_TTL_S)
        assert isinstance(await asks.route("shop.example"), Site)
