"""Fault: a stranger's MX record points at loopback, our own network, a cloud's metadata service, or at ourselves.

What must hold: nobody connects there unless the operator allowed it; a good host beside the bad ones still gets the
mail.
"""

from random import Random

import pytest

from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Node
from outrider.wire.answer import Answer, Cause

INSIDE = [
    Node(a=("127.0.0.1",)),
    Node(a=("169.254.169.254",)),
    Node(a=("10.0.0.1", "192.168.0.1", "0.0.0.0")),
    Node(aaaa=("::1", "fe80::1", "fd00::1")),
    Node(aaaa=("::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1")),
    Node(cname="in.other.example"),
]


def resolver(server: DnsServer, *, is_allowed: bool = False) -> Resolver:
    settings = NetSettings(
        ehlo_name="out.example", dns_server=server.address, dns_wait_s=2.0, allow_private_mx=is_allowed
    )
    return Resolver(settings, clock=FakeClock(), random=Random(1), our_names=("us.example",))


@pytest.mark.parametrize("node", INSIDE)
async def test_nobody_goes_there(node: Node) -> None:
    zone = {"evil.example": Node(mx=((10, "mx.evil.example"),)), "mx.evil.example": node}
    zone["in.other.example"] = Node(a=("127.0.0.1",))
    async with DnsServer(zone) as server:
        answer = await resolver(server).route("evil.example")
        allowed = await resolver(server, is_allowed=True).route("evil.example")
    assert isinstance(answer, Answer)
    assert answer.cause is Cause.NO_HOST
    assert isinstance(allowed, Site)


@pytest.mark.parametrize("node", INSIDE)
async def test_a_good_host_beside_it_gets_the_mail(node: Node) -> None:
    zone = {
        "shop.example": Node(mx=((10, "in.example"), (20, "mx.example"))),
        "in.example": node,
        "in.other.example": Node(a=("127.0.0.1",)),
        "mx.example": Node(a=("8.8.8.8",)),
    }
    async with DnsServer(zone) as server:
        site = await resolver(server).route("shop.example")
    assert isinstance(site, Site)
    assert site.hosts == (Host("mx.example", ("8.8.8.8",)),)


async def test_mail_that_would_come_back_to_us_does_not_leave() -> None:
    zone = {
        "shop.example": Node(mx=((10, "us.example"), (20, "mx.example"))),
        "us.example": Node(a=("8.8.4.4",)),
        "mx.example": Node(a=("8.8.8.8",)),
    }
    async with DnsServer(zone) as server:
        answer = await resolver(server).route("shop.example")
        assert ("mx.example", "A") not in server.queries
    assert isinstance(answer, Answer)
    assert answer.cause is Cause.NO_HOST
