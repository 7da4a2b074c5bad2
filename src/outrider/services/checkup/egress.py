"""Looks at what mail leaves from as receivers do: names, block lists, SPF; and whether port 25 is open.

Who is called: the host that the operator names, else a mail host of one of the project's own domains; never anybody
else. It is one connection a source, left with QUIT before any command. A smart host is called as the settings name it.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from outrider.base import limits
from outrider.base.vocab import Phase
from outrider.mail import orgdomain
from outrider.mail.look import Look
from outrider.mail.spf_check import Evaluation
from outrider.net import probe
from outrider.net.guard import is_public
from outrider.net.site import Site
from outrider.policy import blocklists, checkup, checkup_egress
from outrider.policy.blocklists import BlockList
from outrider.policy.checkup import Check
from outrider.policy.checkup_egress import Names
from outrider.services.checkup.run import Probe
from outrider.wire.answer import Answer
from outrider.wire.smtp_client import TlsMode

_NAMES_COUNT_MAX: Final = 10  # Ours: names of one address that are looked up; RFC 7208 §5.5 says 10.
_TRIES_COUNT: Final = 2  # Ours: addresses of a mail host that are called in turn.
_IMPLICIT_TLS_PORT: Final = 465  # RFC 8314 §3.3: it waits for us, so it greets nobody in the clear.


class Asker(Protocol):
    """Who answers questions about names (`net.dns_query.NameServers`)."""

    async def look(self, name: str, type_: str) -> Look:
        """Ask for records of a type. Never raises for what others do."""


class SpfJudge(Protocol):
    """Who evaluates SPF (`net.records.RecordLooker`)."""

    async def spf(self, ip: str, domain: str, *, sender: str = "", helo: str = "") -> Evaluation:
        """Return what receivers conclude of mail from `ip` for a return path in `domain`."""


class Router(Protocol):
    """Who finds mail hosts (`net.dns.Resolver`)."""

    async def route(self, domain: str) -> Site | Answer:
        """Return where mail for `domain` goes."""

    async def fixed_site(self, host: str, *, port: int, tls: TlsMode) -> Site | Answer:
        """Return the site of a host that our operator chose."""


class Way(msgspec.Struct, frozen=True):
    """Something that mail leaves from."""

    name: str
    address: str  # "" where the system chooses and nobody knows; of smart hosts too.
    ehlo_name: str
    is_local: bool = True  # The address is one of this machine's, to be called from.
    is_set: bool = False  # The settings name the address: this machine must have it.
    smarthost: tuple[str, int] | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be found out."""

    ways: Sequence[Way]
    domains: Sequence[str]  # The project's.
    return_paths: Sequence[str]  # Hosts of envelope senders.
    lists: Sequence[BlockList]
    mx_host: str = ""  # Whom to call; "": a mail host of `domains`.
    port: int = 25
    may_be_private: bool = False


class EgressCheckup:
    """Looks at the ways out of one node."""

    def __init__(
        self, question: Question, *, asker: Asker, spf: SpfJudge, router: Router, is_ours: Callable[[str], bool]
    ) -> None:
        self._question: Final = question
        self._asker: Final = asker
        self._spf: Final = spf
        self._router: Final = router
        self._is_ours: Final = is_ours
        self._finding: Final = asyncio.Lock()
        self._site: Site | str | None = None

    def probes(self) -> list[Probe]:
        """Return what there is to look at."""
        probes = [Probe("egress.dns", self._dns)]
        for way in self._question.ways:
            look = _WayLook(self, way)
            if way.smarthost is not None:
                probes.append(Probe(checkup_egress.PORT, look.smarthost, way.name))
                continue
            if way.is_set and not way.is_local:
                probes.append(Probe("egress.address", look.missing, way.address))
            probes.append(Probe(checkup_egress.PORT, look.port, way.address or way.name))
            if self.is_judged(way):
                probes.append(Probe(checkup_egress.PTR, look.names, way.address))
                probes.append(Probe(checkup_egress.SPF, look.spf, way.address))
                probes += [
                    Probe(
                        blocklists.NAME, _ListLook(self._asker, entry, way.address).look, f"{way.address} {entry.zone}"
                    )
                    for entry in self._question.lists
                    if blocklists.is_asked(entry, way.address)
                ]
            else:
                probes.append(Probe("egress.address", look.unknown, way.address or way.name))
        return probes

    def is_judged(self, way: Way) -> bool:
        """Whether receivers see this very address."""
        return bool(way.address) and (self._question.may_be_private or is_public(way.address))

    async def _dns(self) -> Sequence[Check]:
        names = [way.ehlo_name for way in self._question.ways if not way.ehlo_name.startswith("[")]
        names += self._question.domains
        if not names:
            return [checkup.skip("egress.dns", "there is no name to ask for.")]
        look = await self._asker.look(names[0], "A")
        if not look.outcome.is_temporary:
            return [checkup.ok("egress.dns", "the name servers answer.")]
        advice = "Look at /etc/resolv.conf, or name a resolver that works: OUTRIDER_NET__DNS_SERVER=ADDRESS."
        return [checkup.fail("egress.dns", f"no answer about {names[0]} ({look.outcome}).", advice)]

    async def names_of(self, way: Way) -> Names:
        """Ask for the names of an address, and for the addresses of those."""
        ptr = await self._asker.look(ipaddress.ip_address(way.address).reverse_pointer, "PTR")
        names = sorted(ptr.values)[:_NAMES_COUNT_MAX]
        looks = await asyncio.gather(*(self._addresses(name) for name in [*names, way.ehlo_name]))
        return Names(ptr, dict(zip(names, looks, strict=False)), looks[-1])

    async def spf_of(self, way: Way) -> Check:
        """Ask whether SPF lets an address send for our return paths."""
        hosts = self._question.return_paths
        found = await asyncio.gather(*(self._spf.spf(way.address, host) for host in hosts))
        return checkup_egress.judge_spf(way.address, dict(zip(hosts, found, strict=True)))

    async def port_of(self, way: Way) -> Check:
        """Call a mail host from a source."""
        subject = way.address or way.name
        if not way.is_local:
            return checkup.skip(checkup_egress.PORT, "this machine cannot send from it, to call from.", subject=subject)
        async with self._finding:  # Found once for all sources.
            if self._site is None:
                self._site = await self._find_site()
        name_one = "Name a mail host to call: --mx HOST."
        if isinstance(self._site, str):
            return checkup.skip(checkup_egress.PORT, self._site, name_one, subject)
        called = await self.call(self._site, way.address)
        if called is None:
            seen = f"{self._site.hosts[0].name} has no address of its family."
            return checkup.skip(checkup_egress.PORT, seen, name_one, subject)
        return checkup_egress.judge_port(subject, *called, limits.CHECKUP_DIAL_WAIT_S)

    async def call(self, site: Site, source: str) -> tuple[str, Answer | str] | None:
        """Call the first hosts of a site in turn, until one greets; return whom, and what came of it.

        None: it has no address of the source's family.
        """
        pairs = [(host.name, ip) for host in site.hosts for ip in host.addresses]
        pairs = [(name, ip) for name, ip in pairs if not source or (":" in ip) == (":" in source)][:_TRIES_COUNT]
        last: tuple[str, Answer | str] | None = None
        for name, ip in pairs:
            answer = await probe.greeting(ip, site.port, wait_s=limits.CHECKUP_DIAL_WAIT_S, source=source)
            last = (f"{name} ({ip}, port {site.port})", answer)
            if isinstance(answer, str):
                break
        return last

    async def site_at(self, host: str, port: int) -> Site | str:
        """Return a host that the operator named, or why it cannot be found."""
        site = await self._router.fixed_site(host, port=port, tls=TlsMode.NEVER)
        return site if isinstance(site, Site) else f"{host} cannot be resolved."

    async def _find_site(self) -> Site | str:
        """Return whom to call, or why nobody."""
        question = self._question
        if question.mx_host:
            return await self.site_at(question.mx_host, question.port)
        for domain in dict.fromkeys(map(orgdomain.of, question.domains)):
            site = await self._router.route(domain)
            if isinstance(site, Site) and not any(self._is_ours(ip) for host in site.hosts for ip in host.addresses):
                return site
        return "no domain of the project has a mail host on another machine."

    async def _addresses(self, name: str) -> Sequence[Look]:
        if name.startswith("["):
            return ()
        return await asyncio.gather(self._asker.look(name, "A"), self._asker.look(name, "AAAA"))


class _WayLook:
    """The probes of one way."""

    def __init__(self, egress: EgressCheckup, way: Way) -> None:
        self._egress: Final = egress
        self._way: Final = way

    async def names(self) -> Sequence[Check]:
        way = self._way
        return checkup_egress.judge_names(way.address, way.ehlo_name, await self._egress.names_of(way))

    async def spf(self) -> Sequence[Check]:
        return [await self._egress.spf_of(self._way)]

    async def port(self) -> Sequence[Check]:
        return [await self._egress.port_of(self._way)]

    async def smarthost(self) -> Sequence[Check]:
        way = self._way
        assert way.smarthost is not None
        host, port = way.smarthost
        site = await self._egress.site_at(host, port)
        if isinstance(site, str):
            advice = "Is the name right, in OUTRIDER_DELIVERY or [egress.sources]?"
            return [checkup.fail(checkup_egress.PORT, site, advice, way.name)]
        called = await self._egress.call(site, "")
        if called is None:
            return [checkup.fail(checkup_egress.PORT, f"{host} has no address.", "Is the name right?", way.name)]
        whom, answer = called
        if port == _IMPLICIT_TLS_PORT and isinstance(answer, Answer) and answer.phase is Phase.GREETING:
            return [checkup.ok(checkup_egress.PORT, f"{whom} takes connections.", way.name)]
        return [checkup_egress.judge_port(way.name, whom, answer, limits.CHECKUP_DIAL_WAIT_S)]

    async def missing(self) -> Sequence[Check]:
        way = self._way
        seen = f"the source {way.name} has it, and this machine has not: nothing leaves from it."
        advice = "Add it to a network interface, or leave the source to the node that has it."
        return [checkup.fail("egress.address", seen, advice, way.address)]

    async def unknown(self) -> Sequence[Check]:
        way = self._way
        seen = f"{way.address} is private: receivers see another one." if way.address else "it is not known."
        advice = "Name the one that receivers see: outrider doctor --address ADDRESS."
        return [checkup.warn("egress.address", seen, advice, way.name)]


class _ListLook:
    """One block list about one address."""

    def __init__(self, asker: Asker, entry: BlockList, ip: str) -> None:
        self._asker: Final = asker
        self._entry: Final = entry
        self._ip: Final = ip

    async def look(self) -> Sequence[Check]:
        entry, ip = self._entry, self._ip
        look = await self._asker.look(blocklists.question(ip, entry.zone), "A")
        is_dead = False
        if blocklists.is_listing(look):
            control = await self._asker.look(blocklists.control_question(ip, entry.zone), "A")
            is_dead = blocklists.is_listing(control)
        return [blocklists.judge(entry, ip, look, is_dead=is_dead)]
