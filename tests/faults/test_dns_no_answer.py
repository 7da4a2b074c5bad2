"""Fault: the name server never answers: it is down, or a firewall eats the packets.

What must hold: a look-up ends within its deadline, as temporary; however many recipients wait for that domain it is
asked about once; other domains go on; a cancelled caller takes nobody with it; and the deadline is each question's own,
so a server that is silent about IPv6 only costs time, never the mail.
"""

import asyncio
from random import Random
from typing import Final

import pytest

from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Site
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node
from outrider.wire.answer import Answer, Cause

WAIT_S: Final = 0.2
DEADLINE_S: Final = 5.0
SILENT: Final = Node(a=("127.0.0.1",), fault=Fault.SILENT)


def resolver(address: str) -> Resolver:
    settings = NetSettings(ehlo_name="out.example", dns_server=address, dns_wait_s=WAIT_S, allow_private_mx=True)
    return Resolver(settings, clock=FakeClock(), random=Random(1))


def cause_of(answer: Site | Answer) -> Cause | None:
    assert isinstance(answer, Answer)
    return answer.cause


async def test_it_is_temporary_after_the_deadline_and_one_question_for_all() -> None:
    async with asyncio.timeout(DEADLINE_S), DnsServer({"shop.example": SILENT}) as server:
        asks = resolver(server.address)
        started_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(asks.route("shop.example")) for _ in range(200)]
        assert {cause_of(caller.result()) for caller in callers} == {Cause.DNS_TEMPORARY}
        assert asyncio.get_running_loop().time() - started_s < 5 * WAIT_S
        assert server.queries == {("shop.example", "MX"): 1}


async def test_nobody_listens_at_all() -> None:
    server = DnsServer({})
    await server.start()
    await server.close()
    async with asyncio.timeout(DEADLINE_S):
        assert cause_of(await resolver(server.address).route("shop.example")) is Cause.DNS_TEMPORARY


async def test_other_domains_do_not_wait() -> None:
    zone = {"shop.example": SILENT, "well.example": Node(a=("127.0.0.1",))}
    async with asyncio.timeout(DEADLINE_S), DnsServer(zone) as server, asyncio.TaskGroup() as group:
        asks = resolver(server.address)
        stuck = group.create_task(asks.route("shop.example"))
        assert isinstance(await asks.route("well.example"), Site)
        assert not stuck.done()
        stuck.cancel()


async def test_a_cancelled_caller_takes_nobody_with_it() -> None:
    zone = {"shop.example": Node(a=("127.0.0.1",), fault=Fault.SLOW, delay_s=0.05)}
    async with asyncio.timeout(DEADLINE_S), DnsServer(zone) as server, asyncio.TaskGroup() as group:
        asks = resolver(server.address)
        first, second = (group.create_task(asks.route("shop.example")) for _ in range(2))
        while not server.queries:
            await FakeClock().sleep(0)
        first.cancel()
        assert isinstance(await second, Site)
        assert first.cancelled()


@pytest.mark.parametrize("kind", ["A", "AAAA"])
async def test_silence_about_one_family_costs_time_but_no_mail(kind: str) -> None:
    node = Node(a=("127.0.0.1",), aaaa=("::1",), fault=Fault.SILENT, fault_kinds=(kind,))
    async with asyncio.timeout(DEADLINE_S), DnsServer({"shop.example": node}) as server:
        site = await resolver(server.address).route("shop.example")
    assert isinstance(site, Site)
    assert site.hosts[0].addresses == (("::1",) if kind == "A" else ("127.0.0.1",))
