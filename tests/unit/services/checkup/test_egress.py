"""Sending addresses are looked at through a real name server, and real mail hosts are called, or nobody is."""

import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec

from outrider.knowledge import block_lists
from outrider.net.dns import Resolver
from outrider.net.dns_query import NameServers
from outrider.net.records import RecordLooker
from outrider.net.settings import NetSettings
from outrider.policy import blocklists
from outrider.policy.checkup import Check, CheckState
from outrider.services.checkup import run
from outrider.services.checkup.egress import EgressCheckup, Question, Way
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, Fault, Node
from outrider.testing.peer import Peer
from outrider.testing.program import free_ports

OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP
IP, IP6, NAME = "127.0.0.9", "2001:db8::9", "out.us.example"
WAY = Way("main", IP, NAME)
QUESTION = Question(
    ways=[WAY],
    domains=["mail.shop.example"],
    return_paths=["bounces.mail.shop.example"],
    lists=block_lists(),
    may_be_private=True,
)
ZONE = {
    ipaddress.ip_address(IP).reverse_pointer: Node(ptr=(NAME,)),
    NAME: Node(a=(IP,)),
    "bounces.mail.shop.example": Node(txt=(f"v=spf1 ip4:{IP} -all",)),
    "shop.example": Node(mx=((10, "mx.shop.example"),)),
    "mx.shop.example": Node(a=("127.0.0.1",)),
}
Found = dict[tuple[str, str], Check]


@asynccontextmanager
async def asking(zone: Mapping[str, Node]) -> AsyncIterator[DnsServer]:
    async with DnsServer(dict(zone)) as server:
        yield server


async def looked(
    server: DnsServer, question: Question = QUESTION, *, ours: Sequence[str] = (), dns_wait_s: float = 0.5
) -> Found:
    net = NetSettings(dns_server=server.address, allow_private_mx=True, dns_wait_s=dns_wait_s, smtp_port=question.port)
    asker = NameServers(net.dns_server, clock=FakeClock(), wait_s=net.dns_wait_s)
    egress = EgressCheckup(
        question,
        asker=asker,
        spf=RecordLooker(asker, wait_s=3),
        router=Resolver(net, clock=FakeClock(), random=Random(1), our_names=(NAME,)),
        is_ours=lambda ip: ip in ours,
    )
    return {(one.name, one.subject): one for one in await run.run(egress.probes(), wait_s=15)}


def states(found: Found, name: str) -> set[CheckState]:
    return {one.state for (known, _), one in found.items() if known == name}


def changed(**changes: object) -> Question:
    return msgspec.structs.replace(QUESTION, **changes)


async def test_an_address_in_order_passes_everything_and_a_mail_host_is_called_from_it() -> None:
    async with asking(ZONE) as server, Peer() as peer:
        found = await looked(server, changed(port=peer.port))
        await peer.until_idle()
    assert {key: one.state for key, one in found.items() if one.state is not OK} == {}
    assert found["egress.port", IP].seen.startswith("mx.shop.example (127.0.0.1")
    assert (peer.connection_count, peer.commands) == (1, ["QUIT"])
    assert list(peer.open_max) == [IP]
    assert len([key for key in found if key[0] == blocklists.NAME]) == len(QUESTION.lists)


async def test_nobody_is_called_but_whom_the_operator_names_or_owns() -> None:
    async with asking(ZONE) as server, Peer() as peer:
        for question in (changed(port=peer.port, domains=()), changed(port=peer.port, domains=["unknown.example"])):
            assert (await looked(server, question))["egress.port", IP].state is SKIP
        own = await looked(server, changed(port=peer.port), ours=["127.0.0.1"])
        assert (own["egress.port", IP].state, "another machine" in own["egress.port", IP].seen) == (SKIP, True)
        assert peer.connection_count == 0
        named = await looked(server, changed(port=peer.port, domains=(), mx_host="127.0.0.1"))
        assert named["egress.port", IP].state is OK
        away = await looked(server, changed(port=peer.port, ways=[msgspec.structs.replace(WAY, is_local=False)]))
        assert away["egress.port", IP].state is SKIP
        await peer.until_idle()
        assert peer.connection_count == 1
    (closed,) = free_ports(1)
    async with asking(ZONE) as server:
        assert (await looked(server, changed(port=closed)))["egress.port", IP].state is WARN


async def test_listed_refused_silent_and_dead_lists_are_told_apart() -> None:
    zones = [one.zone for one in QUESTION.lists]
    listed, refused, silent, failing, dead = zones[:5]
    zone = ZONE | {
        blocklists.question(IP, listed): Node(a=("127.0.0.2", "127.0.0.4")),
        blocklists.question(IP, refused): Node(a=("127.255.255.254",)),
        blocklists.question(IP, silent): Node(fault=Fault.SILENT),
        blocklists.question(IP, failing): Node(fault=Fault.SERVFAIL),
        f"*.{dead}": Node(a=("127.0.0.2",)),
    }
    async with asking(zone) as server:
        found = await looked(server, changed(domains=()))
    told = [found[blocklists.NAME, f"{IP} {one}"] for one in zones]
    assert [one.state for one in told] == [FAIL, SKIP, SKIP, SKIP, SKIP, *[OK] * (len(zones) - 5)]
    for check, words in zip(told, ("XBL", "refuses", "in time", "servers failed", "out of order"), strict=False):
        assert words in check.seen


async def test_an_ipv6_address_is_asked_about_where_there_are_such() -> None:
    zone = {
        ipaddress.ip_address(IP6).reverse_pointer: Node(ptr=(NAME,)),
        NAME: Node(aaaa=(IP6,)),
        "bounces.mail.shop.example": Node(txt=("v=spf1 ip6:2001:db8::/64 -all",)),
        blocklists.question(IP6, "zen.spamhaus.org"): Node(a=("127.0.0.3",)),
    }
    way = Way("six", IP6, NAME, is_local=False)
    async with asking(zone) as server:
        found = await looked(server, changed(ways=[way]))
    assert [found[name, IP6].state for name in ("egress.ptr", "egress.ehlo", "egress.spf")] == [OK, OK, OK]
    assert found[blocklists.NAME, f"{IP6} zen.spamhaus.org"].state is FAIL
    assert len([key for key in found if key[0] == blocklists.NAME]) == 2


async def test_a_source_whose_address_this_machine_has_not_is_a_failure() -> None:
    async with asking(ZONE) as server:
        gone = msgspec.structs.replace(WAY, is_local=False, is_set=True)
        assert (await looked(server, changed(ways=[gone], lists=())))["egress.address", IP].state is FAIL
        seen_from_outside = msgspec.structs.replace(WAY, is_local=False)
        assert ("egress.address", IP) not in await looked(server, changed(ways=[seen_from_outside], lists=()))


async def test_what_is_wrong_with_names_and_spf_is_told() -> None:
    zone = {**ZONE, NAME: Node(a=("127.0.0.8",)), "bounces.mail.shop.example": Node(txt=("v=spf1 -all",))}
    async with asking(zone) as server:
        found = await looked(server, changed(domains=(), lists=()))
    assert [found[name, IP].state for name in ("egress.ptr", "egress.ehlo", "egress.spf")] == [FAIL, WARN, FAIL]


async def test_a_private_or_unknown_address_is_not_judged() -> None:
    async with asking(ZONE) as server:
        for address in ("", "192.168.1.5"):
            way = Way("main", address, NAME)
            found = await looked(server, changed(ways=[way], may_be_private=False, domains=()))
            assert states(found, "egress.address") == {WARN}
            assert {name for name, _ in found} == {"egress.dns", "egress.port", "egress.address"}
    assert not any(zone.zone in name for name, _ in server.queries for zone in QUESTION.lists)


async def test_a_name_server_that_hangs_is_told_within_seconds() -> None:
    async with asking({"*.example": Node(fault=Fault.SILENT), "*.arpa": Node(fault=Fault.SILENT)}) as server:
        found = await looked(server, changed(lists=()), dns_wait_s=0.2)
    assert found["egress.dns", ""].state is FAIL
    assert states(found, "egress.ptr") | states(found, "egress.spf") | states(found, "egress.port") == {SKIP}


async def test_a_smart_host_is_called_as_the_settings_name_it() -> None:
    async with asking(ZONE) as server, Peer() as peer:
        way = Way("relay", "", NAME, smarthost=("127.0.0.1", peer.port))
        gone = Way("gone", "", NAME, smarthost=("nowhere.example", 25))
        found = await looked(server, changed(ways=[way, gone]))
        await peer.until_idle()
    assert (found["egress.port", "relay"].state, found["egress.port", "gone"].state) == (OK, FAIL)
    assert {name for name, _ in found} == {"egress.dns", "egress.port"}
