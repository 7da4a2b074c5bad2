"""Ways: which site a mail is handed to, and who may have a password without TLS."""

import pytest

from outrider.base.vocab import Phase
from outrider.engine import ways
from outrider.net.site import Host, Site
from outrider.policy.route import Smarthost, Source
from outrider.testing.dns import FakeDns, Node
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Credentials, TlsMode

ZONE = {
    "shop.example": Node(mx=((10, "mx.shop.example"),)),
    "mx.shop.example": Node(a=("192.0.2.25",)),
    "relay.example": Node(a=("192.0.2.87",)),
    "localhost.relay.example": Node(a=("127.0.0.1",)),
}
DIRECT = Source("direct")
RELAY = Smarthost("relay.example", 587, "us", "word")
LOCAL = Smarthost("127.0.0.1", 25, "us", "word")
MX_SITE = Site("mx.shop.example", (Host("mx.shop.example", ("192.0.2.25",)),))


def resolver() -> FakeDns:
    return FakeDns(ZONE)


async def exit_of(smarthost: Smarthost, *, may_all_go_plain: bool = False) -> Site:
    """Return where a source with this smart host hands its mail."""
    _, exits = ways.outward(resolver(), None, may_all_go_plain=may_all_go_plain)
    site = await exits.of(Source("relay", smarthost=smarthost), MX_SITE)
    assert isinstance(site, Site)
    return site


async def test_catch_mode_hands_everything_to_this_machine() -> None:
    router, exits = ways.caught(2525)
    site = await router.route("shop.example")
    assert site == Site("catch", (Host("localhost", ("127.0.0.1",)),), 2525, TlsMode.NEVER, provider="catch")
    assert await exits.of(DIRECT, site) is site


async def test_direct_is_to_the_hosts_of_the_domain() -> None:
    router, exits = ways.outward(resolver(), None)
    site = await router.route("shop.example")
    assert isinstance(site, Site)
    assert site.hosts == MX_SITE.hosts
    assert await exits.of(DIRECT, site) is site


async def test_delivery_through_a_smart_host_asks_for_no_domain() -> None:
    dns = resolver()
    router, exits = ways.outward(dns, RELAY)
    site = await router.route("shop.example")
    assert isinstance(site, Site)
    assert (site.name, site.provider) == ("relay.example:587", "smarthost")
    assert {name for name, _ in dns.queries} == {"relay.example"}
    assert await exits.of(DIRECT, site) is site


async def test_the_smart_host_of_a_source_goes_before_that_of_delivery() -> None:
    router, exits = ways.outward(resolver(), LOCAL)
    site = await router.route("shop.example")
    assert isinstance(site, Site)
    theirs = await exits.of(Source("relay", smarthost=RELAY), site)
    assert isinstance(theirs, Site)
    assert (site.name, theirs.name) == ("127.0.0.1:25", "relay.example:587")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
async def test_a_smart_host_on_this_machine_may_have_its_password_without_tls(host: str) -> None:
    site = await exit_of(Smarthost(host, 25, "us", "word"))
    assert (site.tls, site.credentials) == (TlsMode.OPPORTUNISTIC, Credentials("us", "word", may_go_plain=True))


@pytest.mark.parametrize("host", ["relay.example", "localhost.relay.example", "192.0.2.1", "10.0.0.1", "2001:db8::1"])
async def test_one_elsewhere_needs_tls_wherever_its_name_leads(host: str) -> None:
    site = await exit_of(Smarthost(host, 25, "us", "word"))
    assert (site.tls, site.credentials) == (TlsMode.REQUIRED, Credentials("us", "word", may_go_plain=False))


@pytest.mark.parametrize(("first", "second"), [(LOCAL, RELAY), (RELAY, LOCAL)])
async def test_each_smart_host_is_judged_for_itself(first: Smarthost, second: Smarthost) -> None:
    router, exits = ways.outward(resolver(), first)
    site = await router.route("shop.example")
    assert isinstance(site, Site)
    theirs = await exits.of(Source("relay", smarthost=second), site)
    assert isinstance(theirs, Site)
    for made, smarthost in ((site, first), (theirs, second)):
        assert made.credentials is not None
        assert made.credentials.may_go_plain == (smarthost is LOCAL)


async def test_an_operator_may_say_otherwise() -> None:
    site = await exit_of(RELAY, may_all_go_plain=True)
    assert (site.tls, site.credentials) == (TlsMode.OPPORTUNISTIC, Credentials("us", "word", may_go_plain=True))


async def test_without_a_password_tls_is_a_favour() -> None:
    site = await exit_of(Smarthost("relay.example", 25))
    assert (site.tls, site.credentials) == (TlsMode.OPPORTUNISTIC, None)


async def test_a_smart_host_that_cannot_be_found_is_temporary() -> None:
    _, exits = ways.outward(resolver(), None)
    answer = await exits.of(Source("relay", smarthost=Smarthost("gone.example", 25)), MX_SITE)
    assert answer == Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
