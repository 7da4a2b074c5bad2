"""Routes: one suite for the resolver over a real name server on loopback and for its fake in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final

import pytest

from outrider.base import limits
from outrider.base.errors import ConfigError
from outrider.base.vocab import Phase
from outrider.net.dns import Resolver
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site
from outrider.testing.clock import FakeClock
from outrider.testing.dns import DnsServer, FakeDns, Fault, Node
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Credentials, TlsMode

Zone = dict[str, Node]
DEADLINE_S: Final = 10.0


class Subject:
    """A resolver with what the tests need to know of it."""

    resolver: Resolver
    zone: Zone
    queries: Counter[tuple[str, str]]
    clock: FakeClock


class Real(Subject):
    def __init__(self, server: DnsServer, zone: Zone, **given: Any) -> None:
        settings = NetSettings(ehlo_name="out.example", dns_server=server.address, **SETTINGS | given.pop("net", {}))
        self.clock = FakeClock()
        self.zone, self.queries = zone, server.queries
        self.resolver = Resolver(settings, clock=self.clock, random=Random(7), **given)


class InMemory(Subject):
    def __init__(self, zone: Zone, **given: Any) -> None:
        settings = NetSettings(ehlo_name="out.example", **SETTINGS | given.pop("net", {}))
        self.clock = FakeClock()
        self.resolver = fake = FakeDns(zone, settings=settings, clock=self.clock, **given)
        self.zone, self.queries = zone, fake.queries


SETTINGS: Final[dict[str, Any]] = {"allow_private_mx": True, "dns_wait_s": 0.3}
Make = Callable[..., Subject]


@pytest.fixture(params=["real", "in_memory"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Give a maker of resolvers over a zone; the same test runs on the real thing and on its fake."""
    zone: Zone = {}
    async with asyncio.timeout(DEADLINE_S), DnsServer(zone) as server:

        def make(nodes: Zone, **given: Any) -> Subject:
            zone.update(nodes)
            return Real(server, zone, **given) if request.param == "real" else InMemory(zone, **given)

        yield make


async def site_of(subject: Subject, domain: str = "shop.example") -> Site:
    site = await subject.resolver.route(domain)
    assert isinstance(site, Site), site
    return site


async def cause_of(subject: Subject, domain: str = "shop.example") -> Cause | None:
    answer = await subject.resolver.route(domain)
    assert isinstance(answer, Answer), answer
    assert (answer.phase, answer.reply) == (Phase.ROUTE, None)
    return answer.cause


def names(site: Site) -> list[str]:
    return [host.name for host in site.hosts]


def mx(*pairs: tuple[int, str], **rest: Any) -> Node:
    return Node(mx=pairs, **rest)


def host(address: str = "127.0.0.1", **rest: Any) -> Node:
    return Node(a=(address,), **rest)


async def test_hosts_come_by_preference_with_their_addresses(make: Make) -> None:
    zone = {
        "shop.example": mx((20, "b.mx.example"), (10, "a.mx.example"), (30, "c.mx.example")),
        "a.mx.example": Node(a=("127.0.0.1",), aaaa=("::1",)),
        "b.mx.example": host("127.0.0.2"),
        "c.mx.example": Node(aaaa=("::2",)),
    }
    assert await site_of(make(zone)) == Site(
        name="a.mx.example,b.mx.example,c.mx.example",
        hosts=(
            Host("a.mx.example", ("127.0.0.1", "::1")),  # IPv4 first.
            Host("b.mx.example", ("127.0.0.2",)),
            Host("c.mx.example", ("::2",)),
        ),
        port=25,
        tls=TlsMode.OPPORTUNISTIC,
        credentials=None,
        mx_names=("a.mx.example", "b.mx.example", "c.mx.example"),
    )


async def test_a_host_without_an_address_is_still_one_of_the_domains(make: Make) -> None:
    site = await site_of(make({"shop.example": mx((10, "a.example"), (10, "b.example")), "a.example": host()}))
    assert ([one.name for one in site.hosts], site.mx_names) == (["a.example"], ("a.example", "b.example"))


async def test_port_and_tls_are_those_given(make: Make) -> None:
    subject = make({"shop.example": host()}, net={"smtp_port": 2525})
    assert (await site_of(subject)).port == 2525


async def test_domains_with_the_same_hosts_share_a_site(make: Make) -> None:
    zone = {
        "one.example": mx((1, "a.example"), (2, "b.example")),
        "two.example": mx((5, "b.example"), (5, "a.example")),
        "a.example": host(),
        "b.example": host("127.0.0.2"),
    }
    subject = make(zone)
    assert (await site_of(subject, "one.example")).name == (await site_of(subject, "two.example")).name
    assert subject.queries["a.example", "A"] == 1


async def test_equals_are_shuffled_for_each_caller_and_preference_holds(make: Make) -> None:
    equals = [f"mx{n}.example" for n in range(4)]
    zone = {"shop.example": mx(*((10, name) for name in equals), (5, "first.example"), (20, "last.example"))}
    zone |= {name: host() for name in (*equals, "first.example", "last.example")}
    subject = make(zone)
    orders = [names(await site_of(subject)) for _ in range(40)]
    assert {(order[0], order[-1]) for order in orders} == {("first.example", "last.example")}
    assert {frozenset(order[1:-1]) for order in orders} == {frozenset(equals)}
    assert {order[1] for order in orders} == set(equals)
    assert subject.queries["shop.example", "MX"] == 1


async def test_without_mx_the_domain_is_the_host(make: Make) -> None:
    subject = make({"shop.example": host()})
    site = await site_of(subject)
    assert (site.name, site.hosts) == ("shop.example", (Host("shop.example", ("127.0.0.1",)),))


async def test_null_mx_takes_no_mail_even_with_an_address(make: Make) -> None:
    assert await cause_of(make({"shop.example": mx((0, "."), a=("127.0.0.1",))})) is Cause.DNS_NULL_MX


async def test_a_null_mx_among_others_is_only_junk(make: Make) -> None:
    subject = make({"shop.example": mx((0, "."), (10, "mx.example")), "mx.example": host()})
    assert names(await site_of(subject)) == ["mx.example"]


async def test_a_domain_that_does_not_exist(make: Make) -> None:
    assert await cause_of(make({}), "gone.example") is Cause.DNS_NO_DOMAIN


async def test_a_domain_without_mail_host_and_address(make: Make) -> None:
    assert await cause_of(make({"shop.example": Node(txt=("v=spf1 -all",))})) is Cause.DNS_NO_DOMAIN


async def test_a_name_with_something_below_it_exists_but_takes_no_mail(make: Make) -> None:
    assert await cause_of(make({"www.shop.example": host()})) is Cause.DNS_NO_DOMAIN


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.SILENT, Fault.GARBAGE])
async def test_failing_servers_are_temporary(make: Make, fault: Fault) -> None:
    assert await cause_of(make({"shop.example": host(fault=fault)})) is Cause.DNS_TEMPORARY


async def test_hosts_without_address_are_left_out(make: Make) -> None:
    zone = {"shop.example": mx((10, "gone.example"), (20, "mx.example")), "mx.example": host()}
    site = await site_of(make(zone))
    assert names(site) == ["mx.example"]
    assert site.name == "gone.example,mx.example"  # The key is the records', whoever is up.


async def test_no_host_with_an_address(make: Make) -> None:
    assert await cause_of(make({"shop.example": mx((10, "gone.example"))})) is Cause.NO_HOST


async def test_one_host_whose_servers_fail_does_not_stop_the_others(make: Make) -> None:
    zone = {
        "shop.example": mx((10, "bad.example"), (20, "mx.example")),
        "bad.example": host(fault=Fault.SERVFAIL),
        "mx.example": host(),
    }
    subject = make(zone)
    assert names(await site_of(subject)) == ["mx.example"]
    zone["bad.example"] = subject.zone["bad.example"] = host("127.0.0.3")
    subject.clock.advance(limits.DNS_STALE_TTL_S)
    assert names(await site_of(subject)) == ["bad.example", "mx.example"]


async def test_only_hosts_whose_servers_fail_are_temporary(make: Make) -> None:
    zone = {"shop.example": mx((10, "bad.example"), (20, "gone.example")), "bad.example": host(fault=Fault.SERVFAIL)}
    assert await cause_of(make(zone)) is Cause.DNS_TEMPORARY


async def test_one_family_that_fails_does_not_stop_the_other(make: Make) -> None:
    node = host(fault=Fault.SERVFAIL, fault_kinds=("AAAA",))
    assert (await site_of(make({"shop.example": node}))).hosts[0].addresses == ("127.0.0.1",)


async def test_cnames_are_followed(make: Make) -> None:
    zone = {
        "shop.example": Node(cname="real.example"),
        "real.example": mx((10, "mx-alias.example")),
        "mx-alias.example": Node(cname="mx.example"),
        "mx.example": host("127.0.0.9"),
    }
    assert (await site_of(make(zone))).hosts == (Host("mx-alias.example", ("127.0.0.9",)),)


async def test_a_loop_of_cnames_is_temporary(make: Make) -> None:
    zone = {"shop.example": Node(cname="b.example"), "b.example": Node(cname="shop.example")}
    assert await cause_of(make(zone)) in (Cause.DNS_TEMPORARY, Cause.DNS_NO_DOMAIN)


@pytest.mark.parametrize("junk", ["127.0.0.1", "10.0.0.1.", "-x.example", "a b.example", "a..b", "x" * 64 + ".example"])
async def test_hosts_that_are_no_names_are_left_out(junk: str) -> None:
    """The fake alone: a library will not write these to the wire for us, a hostile server would."""
    subject = InMemory({"shop.example": mx((5, junk), (10, "mx.example")), "mx.example": host()})
    assert names(await site_of(subject)) == ["mx.example"]
    assert await cause_of(InMemory({"shop.example": mx((5, junk))})) is Cause.NO_HOST


@pytest.mark.parametrize("domain", ["", ".", "127.0.0.1", "[127.0.0.1]", "a..b", "-a.example", "é.example", "a" * 254])
async def test_domains_that_are_no_names_do_not_exist_and_nobody_is_asked(make: Make, domain: str) -> None:
    subject = make({})
    assert await cause_of(subject, domain) is Cause.DNS_NO_DOMAIN
    assert not subject.queries


async def test_case_and_final_dot_do_not_matter(make: Make) -> None:
    subject = make({"shop.example": mx((10, "MX.Example.")), "mx.example": host()})
    assert names(await site_of(subject, "Shop.EXAMPLE.")) == ["mx.example"]
    await site_of(subject)
    assert subject.queries["shop.example", "MX"] == 1


@pytest.mark.parametrize(
    ("ours", "left"),
    [("mx20.example", ["mx10.example"]), ("MX20B.example", ["mx10.example"]), ("mx30.example", ["mx10.example", "20"])],
)
async def test_we_are_left_out_with_all_that_are_not_preferred_to_us(make: Make, ours: str, left: list[str]) -> None:
    pairs = ((10, "mx10.example"), (20, "mx20.example"), (20, "mx20b.example"), (30, "mx30.example"))
    zone = {"shop.example": mx(*pairs)} | {name: host() for _, name in pairs}
    found = names(await site_of(make(zone, our_names=(ours,))))
    assert found[0] == left[0]
    assert len(found) == (1 if len(left) == 1 else 3)


async def test_a_domain_whose_best_host_we_are_loops(make: Make) -> None:
    zone = {"shop.example": mx((10, "us.example"), (20, "mx.example")), "us.example": host(), "mx.example": host()}
    assert await cause_of(make(zone, our_names=("us.example",))) is Cause.NO_HOST
    assert await cause_of(make({"us.example": host()}, our_names=("us.example",)), "us.example") is Cause.NO_HOST


PRIVATE: Final = ("127.0.0.1", "10.0.0.1", "0.0.0.0", "169.254.169.254", "192.168.0.1", "224.0.0.1")


async def test_private_addresses_are_not_used(make: Make) -> None:
    zone = {
        "shop.example": mx((10, "in.example"), (20, "mx.example")),
        "in.example": Node(a=PRIVATE, aaaa=("::1", "fe80::1", "fd00::1", "::ffff:7f00:1")),
        "mx.example": Node(a=("8.8.8.8", "10.0.0.1")),
    }
    subject = make(zone, net={"allow_private_mx": False})
    assert (await site_of(subject)).hosts == (Host("mx.example", ("8.8.8.8",)),)


@pytest.mark.parametrize("node", [Node(a=PRIVATE), Node(mx=((1, "in.example"),))])
async def test_only_private_addresses_are_no_host(make: Make, node: Node) -> None:
    subject = make({"shop.example": node, "in.example": host()}, net={"allow_private_mx": False})
    assert await cause_of(subject) is Cause.NO_HOST


async def test_a_host_named_twice_is_one_at_its_best_preference(make: Make) -> None:
    zone = {"shop.example": mx((30, "a.example"), (20, "b.example"), (10, "a.example"))}
    assert names(await site_of(make(zone | {"a.example": host(), "b.example": host()}))) == ["a.example", "b.example"]


async def test_a_flood_of_hosts_and_addresses_is_bounded(make: Make) -> None:
    many = [f"mx{n:03}.example" for n in range(60)]
    node = Node(a=tuple(f"127.0.1.{n}" for n in range(50)))
    subject = make({"shop.example": mx(*((n, name) for n, name in enumerate(many)))} | dict.fromkeys(many, node))
    site = await site_of(subject)
    assert names(site) == many[: limits.MX_HOSTS_COUNT_MAX]
    assert {len(h.addresses) for h in site.hosts} == {limits.HOST_ADDRESSES_COUNT_MAX}
    assert subject.queries.total() <= 2 + 2 * 2 * limits.MX_HOSTS_COUNT_MAX


async def test_an_answer_is_kept_for_its_ttl(make: Make) -> None:
    zone = {"shop.example": mx((1, "mx.example"), ttl_s=600), "mx.example": host(ttl_s=100)}
    subject = make(zone)
    await site_of(subject)
    subject.clock.advance(99)
    await site_of(subject)
    assert (subject.queries["shop.example", "MX"], subject.queries["mx.example", "A"]) == (1, 1)
    subject.zone["mx.example"] = host("127.0.0.5", ttl_s=100)
    subject.clock.advance(1)
    assert (await site_of(subject)).hosts[0].addresses == ("127.0.0.5",)


@pytest.mark.parametrize(
    ("ttl_s", "kept_s"), [(0, limits.DNS_TTL_S_MIN), (1, limits.DNS_TTL_S_MIN), (86400, limits.DNS_TTL_S_MAX)]
)
async def test_the_ttl_has_bounds(make: Make, ttl_s: int, kept_s: float) -> None:
    subject = make({"shop.example": host(ttl_s=ttl_s)} | {"shop.example": mx((1, "mx.example"), ttl_s=ttl_s)})
    subject.zone["mx.example"] = host(ttl_s=ttl_s)
    await site_of(subject)
    subject.clock.advance(kept_s - 0.5)
    await site_of(subject)
    assert subject.queries["shop.example", "MX"] == 1
    subject.clock.advance(0.5)
    await site_of(subject)
    assert subject.queries["shop.example", "MX"] == 2


async def test_a_no_is_kept_for_the_time_its_zone_says(make: Make) -> None:
    subject = make({})
    await cause_of(subject)
    subject.clock.advance(59)
    await cause_of(subject)
    assert subject.queries["shop.example", "MX"] == 1
    subject.zone["shop.example"] = host()
    subject.clock.advance(1)
    assert isinstance(await subject.resolver.route("shop.example"), Site)


async def test_a_failure_is_kept_for_seconds(make: Make) -> None:
    subject = make({"shop.example": host(fault=Fault.SERVFAIL)})
    await cause_of(subject)
    asked = subject.queries.total()
    await cause_of(subject)
    assert subject.queries.total() == asked
    subject.zone["shop.example"] = host()
    subject.clock.advance(limits.DNS_FAILURE_TTL_S)
    await site_of(subject)


async def test_many_lookups_of_one_domain_at_once_ask_once(make: Make) -> None:
    subject = make({"shop.example": mx((1, "mx.example")), "mx.example": host()})
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(subject.resolver.route("shop.example")) for _ in range(100)]
    assert len({caller.result() for caller in callers}) == 1
    assert subject.queries == {("shop.example", "MX"): 1, ("mx.example", "A"): 1, ("mx.example", "AAAA"): 1}


async def test_a_known_site_outlives_a_failure_of_its_servers(make: Make) -> None:
    subject = make({"shop.example": mx((1, "mx.example"), ttl_s=60), "mx.example": host(ttl_s=60)})
    before = await site_of(subject)
    for name, node in list(subject.zone.items()):
        subject.zone[name] = Node(mx=node.mx, a=node.a, fault=Fault.SERVFAIL)
    subject.clock.advance(120)
    assert await site_of(subject) == before
    subject.clock.advance(limits.DNS_STALE_S_MAX)
    assert await cause_of(subject) is Cause.DNS_TEMPORARY


@pytest.mark.parametrize(
    ("given", "address"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("relay.example", "10.1.2.3")],
)
async def test_a_smart_host_may_be_anywhere(make: Make, given: str, address: str) -> None:
    subject = make({"relay.example": host("10.1.2.3")}, net={"allow_private_mx": False})
    credentials = Credentials("us", "secret")
    site = await subject.resolver.fixed_site(given, port=587, tls=TlsMode.REQUIRED, credentials=credentials)
    assert isinstance(site, Site)
    name = given.strip("[]")
    assert site == Site(f"{name}:587", (Host(name, (address,)),), 587, TlsMode.REQUIRED, credentials)


async def test_localhost_is_never_asked_for(make: Make) -> None:
    subject = make({})
    site = await subject.resolver.fixed_site("localhost", port=25, tls=TlsMode.NEVER)
    assert isinstance(site, Site)
    assert site.hosts[0].addresses == ("127.0.0.1", "::1")
    assert not subject.queries


@pytest.mark.parametrize("node", [None, Node(txt=("x",)), host(fault=Fault.SERVFAIL), host(fault=Fault.NXDOMAIN)])
async def test_a_smart_host_that_cannot_be_resolved_is_temporary(make: Make, node: Node | None) -> None:
    subject = make({"relay.example": node} if node else {})
    answer = await subject.resolver.fixed_site("relay.example", port=25, tls=TlsMode.NEVER)
    assert answer == Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)


async def test_without_a_dns_server_the_system_resolves_a_smart_host() -> None:
    settings = NetSettings(ehlo_name="out.example")
    resolver = Resolver(settings, clock=FakeClock(), random=Random(1))
    site = await resolver.fixed_site("localhost", port=25, tls=TlsMode.NEVER)
    assert isinstance(site, Site)
    assert "127.0.0.1" in site.hosts[0].addresses


def test_a_dns_server_that_is_none_stops_the_start() -> None:
    settings = NetSettings(ehlo_name="out.example", dns_server="ns.example:53")
    with pytest.raises(ConfigError, match="dns_server"):
        Resolver(settings, clock=FakeClock(), random=Random(1))
