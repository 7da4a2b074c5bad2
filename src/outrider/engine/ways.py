"""Where mail is handed over: at the mail hosts of its domain, at a smart host, or at the catch mailbox.

    delivery             a source without a smart host    a source with one
    catch                the mailbox                      the mailbox
    direct               the domain's mail hosts          its smart host
    smarthost://...      that smart host                  its smart host

Invariant: a password travels encrypted. It goes without TLS only to a smart host on this machine, or where the operator
said `[net] allow_plaintext_auth`; each smart host is judged for itself, and its `Credentials` carry the judgement.
Failure: one that cannot be found is an answer, and temporary (`Resolver.fixed_site`).
"""

import ipaddress
from typing import TYPE_CHECKING, Final

from outrider.engine.deliver import Router
from outrider.engine.gates import Exits
from outrider.net.site import Host, Site
from outrider.policy.route import Smarthost, Source
from outrider.policy.shaping import CATCH, SMARTHOST
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import Credentials, TlsMode

if TYPE_CHECKING:  # Catch mode does without dnspython (10 MB).
    from outrider.net.dns import Resolver


def caught(port: int) -> tuple[Router, Exits]:
    """Return the ways of catch mode: everything, whatever its source, to the receiver at that port of this machine."""
    host = Host("localhost", ("127.0.0.1",))
    return _OneWay(Site("catch", (host,), port, TlsMode.NEVER, provider=CATCH)), _SameExit()


def outward(
    resolver: "Resolver", smarthost: Smarthost | None, *, may_all_go_plain: bool = False
) -> tuple[Router, Exits]:
    """Return the ways out of this machine.

    Args:
        smarthost: the one of `delivery`; None: to the mail hosts of each domain.
        may_all_go_plain: the operator lets every smart host have its password without TLS.
    """
    exits = _Exits(resolver, may_all_go_plain=may_all_go_plain)
    return resolver if smarthost is None else _Smart(smarthost, exits), exits


class _OneWay:
    """All mail to one site."""

    def __init__(self, site: Site) -> None:
        self._site: Final = site

    async def route(self, domain: str) -> Site | Answer:  # noqa: ARG002 - the contract of Router.
        return self._site


class _SameExit:
    """Every source hands its mail to the recipient's site."""

    async def of(self, source: Source, site: Site) -> Site | Answer:  # noqa: ARG002 - the contract of Exits.
        return site


class _Exits:
    """Sources with a smart host hand their mail to it."""

    def __init__(self, resolver: "Resolver", *, may_all_go_plain: bool) -> None:
        self._resolver: Final = resolver
        self._may_all_go_plain: Final = may_all_go_plain
        self._ways_in: Final[dict[Smarthost, tuple[TlsMode, Credentials | None]]] = {}

    async def of(self, source: Source, site: Site) -> Site | Answer:
        return site if source.smarthost is None else await self.to(source.smarthost)

    async def to(self, smarthost: Smarthost) -> Site | Answer:
        """Return the smart host's site, or why it cannot be found."""
        way_in = self._ways_in.get(smarthost)
        if way_in is None:
            way_in = self._ways_in[smarthost] = self._way_in(smarthost)
        tls, credentials = way_in
        return await self._resolver.fixed_site(
            smarthost.host, port=smarthost.port, tls=tls, credentials=credentials, provider=SMARTHOST
        )

    def _way_in(self, smarthost: Smarthost) -> tuple[TlsMode, Credentials | None]:
        if not smarthost.username:
            return TlsMode.OPPORTUNISTIC, None
        may_go_plain = self._may_all_go_plain or _is_this_machine(smarthost.host)
        credentials = Credentials(smarthost.username, smarthost.password, may_go_plain)
        return (TlsMode.OPPORTUNISTIC if may_go_plain else TlsMode.REQUIRED), credentials


class _Smart:
    """All mail to one named server."""

    def __init__(self, smarthost: Smarthost, exits: _Exits) -> None:
        self._smarthost: Final = smarthost
        self._exits: Final = exits

    async def route(self, domain: str) -> Site | Answer:  # noqa: ARG002 - the contract of Router.
        return await self._exits.to(self._smarthost)


def _is_this_machine(host: str) -> bool:
    """Tell it by what the settings say, not by what DNS makes of it: that may be a stranger's word."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
