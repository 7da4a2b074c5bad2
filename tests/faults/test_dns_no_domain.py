"""Fault: a domain does not exist, or seems not to for a while: a registrar's mistake, a zone half loaded.

What must hold: the first look never bounces; a second one at least an hour after acceptance does; and a domain that
came back in between gets its mail.
"""

from random import Random
from typing import Final

import pytest

from outrider.base.vocab import Fate
from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Site
from outrider.policy.classify import Classifier, Verdict
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node
from outrider.wire.answer import Answer

CLASSIFIER: Final = Classifier([])
WELL: Final = Node(a=("127.0.0.1",))
INVALID: Final = "recipient.domain_invalid"


class Sender:
    """Looks up one domain again and again, as the engine does, and judges."""

    def __init__(self, server: DnsServer) -> None:
        settings = NetSettings(
            ehlo_name="out.example", dns_server=server.address, dns_wait_s=2.0, allow_private_mx=True
        )
        self.clock = FakeClock()
        self.resolver = Resolver(settings, clock=self.clock, random=Random(1))
        self.attempt = 0

    async def attempt_after(self, delay_s: float) -> Verdict | Site:
        self.clock.advance(delay_s)
        answer = await self.resolver.route("shop.example")
        attempt, self.attempt = self.attempt, self.attempt + 1
        if isinstance(answer, Answer):
            return CLASSIFIER.judge(answer, attempt=attempt, age_s=self.clock.monotonic_s())
        return answer


GONE: Final = [
    {},
    {"shop.example": Node(mx=WELL.mx, a=WELL.a, fault=Fault.NXDOMAIN)},
    {"shop.example": Node(txt=("v=spf1 -all",))},
    {"shop.example": Node(mx=((10, "mx.shop.example"),))},
]


@pytest.mark.parametrize("zone", GONE, ids=["nothing", "nxdomain", "no_mail_host", "mail_host_gone"])
async def test_only_a_second_look_an_hour_later_bounces(zone: dict[str, Node]) -> None:
    async with DnsServer(zone) as server:
        sender = Sender(server)
        assert await sender.attempt_after(0) == Verdict(Fate.DEFERRED, INVALID)
        assert await sender.attempt_after(60) == Verdict(Fate.DEFERRED, INVALID)
        assert await sender.attempt_after(3600) == Verdict(Fate.BOUNCED, INVALID)


async def test_a_first_look_long_after_acceptance_is_still_the_first() -> None:
    async with DnsServer({}) as server:
        assert await Sender(server).attempt_after(86400) == Verdict(Fate.DEFERRED, INVALID)


async def test_a_domain_that_came_back_gets_its_mail() -> None:
    zone: dict[str, Node] = {}
    async with DnsServer(zone) as server:
        sender = Sender(server)
        await sender.attempt_after(0)
        zone["shop.example"] = WELL
        assert isinstance(await sender.attempt_after(3600), Site)
