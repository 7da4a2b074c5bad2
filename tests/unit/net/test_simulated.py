"""Mail to the simulator's domains stays here, whatever the mode; all other mail goes as before."""

import pytest

from outrider.net.simulated import SimulatorExits, SimulatorRouter
from outrider.net.site import Host, Site
from outrider.policy.route import Source
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

ELSEWHERE = Site("elsewhere", (Host("mx.elsewhere.example", ("192.0.2.1",)),))


class Elsewhere:
    """A router and exits that lead away."""

    async def route(self, _domain: str) -> Site | Answer:
        return ELSEWHERE

    async def of(self, _source: Source, _site: Site) -> Site | Answer:
        return ELSEWHERE


@pytest.mark.parametrize(
    ("domain", "name", "provider"),
    [
        ("simulator.outrider.test", "simulator.outrider.test", "simulator"),
        ("gmail.simulator.outrider.test", "gmail.simulator.outrider.test", "gmail"),
        ("shop7.simulator.outrider.test", "shop7.simulator.outrider.test", "simulator"),
        ("Yahoo.Simulator.Outrider.Test", "yahoo.simulator.outrider.test", "yahoo"),
    ],
)
async def test_simulated_domains_lead_to_loopback(domain: str, name: str, provider: str) -> None:
    router, exits = SimulatorRouter(Elsewhere(), 2528, ["gmail", "yahoo"]), SimulatorExits(Elsewhere())
    site = await router.route(domain)
    assert isinstance(site, Site)
    assert (site.name, site.provider, site.port, site.tls) == (name, provider, 2528, TlsMode.OPPORTUNISTIC)
    assert [host.addresses for host in site.hosts] == [("127.0.0.1", "::1")]
    assert await exits.of(Source("out", "", "out.shop.example", None), site) is site


@pytest.mark.parametrize("domain", ["simulator.outrider.test.example", "outrider.test", "gmail.com"])
async def test_other_domains_go_where_they_went(domain: str) -> None:
    router, exits = SimulatorRouter(Elsewhere(), 2528, ["gmail"]), SimulatorExits(Elsewhere())
    assert await router.route(domain) is ELSEWHERE
    assert await exits.of(Source("out", "", "out.shop.example", None), Site("a", ())) is ELSEWHERE
