"""From a domain to the hosts that take its mail, or why there are none.

    domain --MX--> hosts by preference --A, AAAA--> addresses --> Site
           no MX: the domain itself is the host (RFC 5321 §5.1)

Dropped: names that are none (literals, junk), hosts without an address, private addresses (`net.guard`), ourselves and
whatever is not preferred to ourselves (a loop otherwise). If nothing is left, the answer is in phase `route` and says:

    DNS_NULL_MX    it says that it takes no mail (RFC 7505)
    DNS_NO_DOMAIN  it does not exist, or has neither MX nor address
    NO_HOST        it names hosts, and we may use none of them
    DNS_TEMPORARY  servers failed where that decided the matter

Hosts of one preference are shuffled for each caller, which spreads the load as RFC 5321 asks. IPv4 goes before IPv6:
receivers are stricter with the latter. Answers are kept by their TTL within bounds (`net.dns_cache`). A look-up asks at
most two questions in a row, each with its own deadline, `dns_wait_s`.
"""

import asyncio
import ipaddress
import itertools
import re
import socket
from collections.abc import Collection, Sequence
from operator import attrgetter
from random import Random
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.vocab import Phase
from outrider.net import guard
from outrider.net.dns_cache import AnswerCache, Kept
from outrider.net.dns_query import Asker, Found, Mx, NameServers, Outcome
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Credentials, TlsMode

# Underscores are no host name (RFC 952) and exist; a numeric last label is an IPv4 address written without care.
_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")
_PREFERENCE_END: Final = 2**16  # RFC 1035 §3.3.9: 16 bits.
_LOCALHOST: Final = ("127.0.0.1", "::1")  # RFC 6761 §6.3: never asked for.


class _Route(msgspec.Struct, frozen=True):
    """What is kept of a look-up: the site with its hosts in one order, and which of them are equals."""

    site: Site
    groups: tuple[tuple[Host, ...], ...]  # By preference. Empty: no equals, the site is as good as any.


class Resolver:
    """Finds routes. For one event loop; safe for many callers at once."""

    def __init__(
        self,
        settings: NetSettings,
        *,
        clock: Clock,
        random: Random,
        our_names: Collection[str] = (),
        tls: TlsMode = TlsMode.OPPORTUNISTIC,
        asker: Asker | None = None,
    ) -> None:
        self._settings: Final = settings
        self._random: Final = random
        self._our_names: Final = frozenset(map(_normal, our_names))
        self._tls: Final = tls
        self._asker: Final = asker or NameServers(settings.dns_server, clock=clock, wait_s=settings.dns_wait_s)
        self._is_system: Final = asker is None and not settings.dns_server
        self._routes: Final[AnswerCache[_Route | Answer]] = AnswerCache(clock)
        self._hosts: Final[AnswerCache[Found[str]]] = AnswerCache(clock)
        self._fixed: Final[AnswerCache[Found[str]]] = AnswerCache(clock)
        self._literals: Final[dict[tuple[str, int, TlsMode, Credentials | None, str], Site]] = {}

    async def route(self, domain: str) -> Site | Answer:
        """Return where mail for `domain` (A-labels) goes, or why nowhere (phase `route`). Never raises for DNS.

        Safe: cancellable; whoever else waits for the same domain asks in its place.
        """
        route = await self._routes.get(_normal(domain), self._look_up)
        if isinstance(route, Answer):
            return route
        return self._shuffled(route) if route.groups else route.site

    async def fixed_site(
        self, host: str, *, port: int, tls: TlsMode, credentials: Credentials | None = None, provider: str = ""
    ) -> Site | Answer:
        """Return the site of a smart host: a name or an IP address that our operator chose, so private ones are fine.

        Without a DNS server in the settings the system resolves the name, with its hosts file and search list. If it
        cannot be resolved the answer is DNS_TEMPORARY whatever the reason: the mail is not to blame.
        """
        key = (host, port, tls, credentials, provider)
        if (site := self._literals.get(key)) is not None:
            return site
        name = _normal(host.removeprefix("[").removesuffix("]"))
        is_literal = _is_address(name)
        found = Found(Outcome.FOUND, (name,)) if is_literal else await self._fixed.get(name, self._look_up_fixed)
        if found.outcome is not Outcome.FOUND:
            return Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
        site = Site(f"{name}:{port}", (Host(name, found.values),), port, tls, credentials, provider)
        if is_literal:
            self._literals[key] = site  # As many as the settings name; asked for with every mail.
        return site

    async def _look_up(self, domain: str) -> Kept[_Route | Answer]:
        if not _NAME.fullmatch(domain):
            return _no(Cause.DNS_NO_DOMAIN, limits.DNS_NEGATIVE_TTL_S_MAX)
        found = await self._asker.mx(domain)
        match found.outcome:
            case Outcome.FAILED:
                return _failure()
            case Outcome.NO_NAME:
                return _no(Cause.DNS_NO_DOMAIN, found.ttl_s)
            case Outcome.EMPTY:
                return await self._look_up_hosts([Mx(0, domain)], Found(Outcome.EMPTY, (), found.ttl_s))
            case Outcome.FOUND:
                if all(not mx.host for mx in found.values):
                    return _no(Cause.DNS_NULL_MX, found.ttl_s)
                return await self._look_up_hosts(found.values, found)

    async def _look_up_hosts(self, mxs: Sequence[Mx], found: Found[Mx]) -> Kept[_Route | Answer]:
        """Find the addresses of these hosts and make a route of those that have any."""
        chosen = self._choose(mxs)
        async with asyncio.TaskGroup() as questions:
            asked = [(mx, questions.create_task(self._addresses(mx.host))) for mx in chosen]
        answers = [(mx, question.result()) for mx, question in asked]
        usable = [(mx.preference, Host(mx.host, a)) for mx, f in answers if (a := self._usable(f.values))]
        is_partial = any(f.outcome is Outcome.FAILED for _, f in answers)
        if not usable:
            if is_partial:
                return _failure()
            is_nobody = found.outcome is Outcome.EMPTY and all(not f.values for _, f in answers) and chosen
            return _no(Cause.DNS_NO_DOMAIN if is_nobody else Cause.NO_HOST, found.ttl_s)
        groups = tuple(
            tuple(host for _, host in group) for _, group in itertools.groupby(usable, key=lambda pair: pair[0])
        )
        names = tuple(sorted(mx.host for mx in chosen))
        site = Site(
            name=",".join(names),
            hosts=tuple(host for _, host in usable),
            port=self._settings.smtp_port,
            tls=self._tls,
            mx_names=names,
        )
        ttl_s = min([found.ttl_s, *(f.ttl_s for _, f in answers if f.values)])
        # A host whose servers failed now is asked for again soon; meanwhile the others do.
        ttl_s = min(ttl_s, limits.DNS_STALE_TTL_S if is_partial else limits.DNS_TTL_S_MAX)
        has_equals = any(len(group) > 1 for group in groups)
        return Kept(_Route(site, groups if has_equals else ()), ttl_s, is_good=True)

    def _choose(self, mxs: Sequence[Mx]) -> list[Mx]:
        """Return the records worth a look, by preference, equals shuffled, each host once; [] if none is."""
        ours = [mx.preference for mx in mxs if mx.host in self._our_names]
        cut = min(ours, default=_PREFERENCE_END)
        best: dict[str, Mx] = {}
        for mx in sorted(mxs, reverse=True):
            if mx.preference < cut and _NAME.fullmatch(mx.host):
                best[mx.host] = mx
        chosen = list(best.values())
        self._random.shuffle(chosen)
        chosen.sort(key=attrgetter("preference"))
        return chosen[: limits.MX_HOSTS_COUNT_MAX]

    def _usable(self, addresses: Sequence[str]) -> tuple[str, ...]:
        if self._settings.allow_private_mx:
            return tuple(addresses)
        return tuple(filter(guard.is_public, addresses))

    def _shuffled(self, route: _Route) -> Site:
        hosts: list[Host] = []
        for group in route.groups:
            hosts += self._random.sample(group, len(group))
        site = route.site
        return msgspec.structs.replace(site, hosts=tuple(hosts))

    async def _addresses(self, host: str) -> Found[str]:
        return await self._hosts.get(host, self._look_up_addresses)

    async def _look_up_addresses(self, host: str) -> Kept[Found[str]]:
        """Ask for both families at once. Either is enough; a "no" needs both."""
        async with asyncio.TaskGroup() as questions:
            asked = [questions.create_task(self._asker.a(host)), questions.create_task(self._asker.aaaa(host))]
        both = [question.result() for question in asked]
        outcomes = [found.outcome for found in both]
        if Outcome.FOUND in outcomes:
            ttl_s = min(found.ttl_s for found in both if found.values)
            ttl_s = min(ttl_s, limits.DNS_NEGATIVE_TTL_S_MAX if Outcome.FAILED in outcomes else limits.DNS_TTL_S_MAX)
            values = tuple(itertools.chain.from_iterable(self._sample(found.values) for found in both))
            return Kept(Found(Outcome.FOUND, values, ttl_s), ttl_s, is_good=True)
        if Outcome.FAILED in outcomes:
            return Kept(Found(Outcome.FAILED), limits.DNS_FAILURE_TTL_S, is_failure=True)
        ttl_s = min(*(found.ttl_s for found in both), limits.DNS_NEGATIVE_TTL_S_MAX)
        outcome = Outcome.NO_NAME if Outcome.NO_NAME in outcomes else Outcome.EMPTY
        return Kept(Found(outcome, (), ttl_s), ttl_s)

    def _sample(self, addresses: Sequence[str]) -> list[str]:
        return self._random.sample(addresses, min(len(addresses), limits.HOST_ADDRESSES_COUNT_MAX))

    async def _look_up_fixed(self, name: str) -> Kept[Found[str]]:
        if not self._is_system:
            if name == "localhost":
                return Kept(Found(Outcome.FOUND, _LOCALHOST), limits.DNS_TTL_S_MAX, is_good=True)
            return await self._look_up_addresses(name)
        try:
            async with asyncio.timeout(self._settings.dns_wait_s):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # TimeoutError is an OSError.
            return Kept(Found(Outcome.FAILED), limits.DNS_FAILURE_TTL_S, is_failure=True)
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))  # In the system's order.
        return Kept(Found(Outcome.FOUND, addresses), limits.DNS_STALE_TTL_S, is_good=True)


def _no(cause: Cause, ttl_s: float) -> Kept[_Route | Answer]:
    return Kept(Answer(Phase.ROUTE, None, cause), min(ttl_s, limits.DNS_NEGATIVE_TTL_S_MAX))


def _failure() -> Kept[_Route | Answer]:
    answer = Answer(Phase.ROUTE, None, Cause.DNS_TEMPORARY)
    return Kept(answer, limits.DNS_FAILURE_TTL_S, is_failure=True)


def _normal(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
