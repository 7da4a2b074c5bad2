"""The way to the built-in simulator: mail to simulator.outrider.test never looks at DNS and never leaves this machine.

Wrapped around whatever router and exits `delivery` picks, so that it is the same in every mode, and with sources that
have a smart host of their own. Each domain below ours is a site of its own, so what one of them says stops no other;
one that names a profile (gmail.simulator.outrider.test) is shaped as that provider and counted apart from the real one.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from outrider.net.site import Host, Site
from outrider.policy import simulate
from outrider.policy.route import Source
from outrider.wire.answer import Answer

ADDRESSES: Final = ("127.0.0.1", "::1")  # A source with an IPv6 address needs the second.


class Router(Protocol):
    """Where other mail goes (`engine.deliver.Router`)."""

    async def route(self, domain: str) -> Site | Answer:
        """Return the site, or why there is none."""


class Exits(Protocol):
    """Where a source hands other mail (`engine.gates.Exits`)."""

    async def of(self, source: Source, site: Site) -> Site | Answer:
        """Return the site that `source` talks to."""


class SimulatorRouter:
    """Routes to the simulator on `port` of this machine, else as `inner` says."""

    def __init__(self, inner: Router, port: int, profiles: Sequence[str]) -> None:
        self._inner: Final = inner
        self._port: Final = port
        self._profiles: Final = tuple(profiles)

    async def route(self, domain: str) -> Site | Answer:
        """Return the simulator's site for its domains."""
        if not simulate.is_simulated(domain):
            return await self._inner.route(domain)
        profile = simulate.profile_of(domain, self._profiles)
        host = Host(simulate.HOST_NAME, ADDRESSES)
        return Site(domain.lower(), (host,), self._port, provider=profile or simulate.PROVIDER, is_simulated=True)


class SimulatorExits:
    """Every source goes to the simulator itself, with other mail as `inner` says."""

    def __init__(self, inner: Exits) -> None:
        self._inner: Final = inner

    async def of(self, source: Source, site: Site) -> Site | Answer:
        """Return the simulator's site as it is."""
        return site if site.is_simulated else await self._inner.of(source, site)
