"""Ask DNS about the records a domain should have. What the answers mean is `policy.record_check`.

    looker = RecordLooker(NameServers(...))
    findings = await looker.check(records.plan(needs), "mail.shop.example")
    passes = (await looker.spf("192.0.2.7", "bounces.mail.shop.example")).result is Result.PASS

Each record is asked for at its place. Only if that does not answer for it, other questions follow: where else the value
may be, what a hidden CNAME resolves to, whether the domain exists at all. SPF is walked as receivers do, once for each
address of ours. One check asks each question once, however many records need it.

Bounded: `wait_s` for a whole check, `limits.RECORD_QUESTIONS_AT_ONCE_COUNT_MAX` questions at once and
`limits.RECORD_QUESTIONS_COUNT_MAX` in all; what is over that counts as not answered, which fails nothing. Never raises
for what DNS says. Nothing is kept between two checks: who has just published a record wants to see it.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from outrider.base import limits
from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail import dmarc, orgdomain, spf, spf_check
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Steps
from outrider.policy import record_check
from outrider.policy.record_check import Finding, Seen, SpfSeen
from outrider.policy.records import Wanted

_NOBODY: Final = "192.0.2.1"  # RFC 5737: for a walk when we have no address.
_ELSEWHERE_CAUSES: Final = (
    RecordCause.MISSING,
    RecordCause.OTHER_VALUE,
    RecordCause.FLATTENED,
    RecordCause.NOT_COVERED,
    RecordCause.SYNTAX,
)


class RecordAsker(Protocol):
    """Who answers questions about records: `dns_query.NameServers`. Never raises for what others do."""

    async def look(self, name: str, type_: str) -> Look:
        """Ask for records of a type; CNAMEs are followed and told."""


class RecordLooker:
    """Checks records. For one event loop; safe for many callers at once."""

    def __init__(self, asker: RecordAsker, *, wait_s: float = limits.RECORD_CHECK_WAIT_S) -> None:
        self._asker: Final = asker
        self._wait_s: Final = wait_s

    async def check(self, wanted: Sequence[Wanted], domain: str) -> Sequence[Finding]:
        """Return a finding for each wanted record of `domain`, in the same order. Never raises for DNS.

        Safe: cancellable, may be repeated. Cost: a question a record when all is well, some of SPF's.
        """
        async with asyncio.TaskGroup() as group:
            questions = _Questions(self._asker, group, self._wait_s)
            asked = [group.create_task(_Check(questions, one, domain).run()) for one in wanted]
        return record_check.related([finding.result() for finding in asked])

    async def spf(self, ip: str, domain: str, *, sender: str = "", helo: str = "") -> Evaluation:
        """Return what receivers conclude of mail from `ip` for a return path in `domain` (`spf_check.check`)."""
        return await self._drive(spf_check.check(ip, domain, sender=sender, helo=helo))

    async def spf_cost(self, domain: str) -> Evaluation:
        """Return what the SPF record of `domain` costs, and every term of its tree (`spf_check.walk`)."""
        return await self._drive(spf_check.walk(_NOBODY, domain))

    async def _drive(self, steps: Steps) -> Evaluation:
        async with asyncio.TaskGroup() as group:
            return await _Questions(self._asker, group, self._wait_s).drive(steps)


class _Questions:
    """The questions of one check: each asked once, all of them bounded."""

    def __init__(self, asker: RecordAsker, group: asyncio.TaskGroup, wait_s: float) -> None:
        self._asker: Final = asker
        self._group: Final = group
        self._until_s: Final = asyncio.get_running_loop().time() + wait_s
        self._places: Final = asyncio.Semaphore(limits.RECORD_QUESTIONS_AT_ONCE_COUNT_MAX)
        self._asked: Final[dict[tuple[str, str], asyncio.Task[Look]]] = {}

    async def look(self, name: str, type_: str) -> Look:
        """Return the answer."""
        key = (name, type_)
        if key not in self._asked:
            if len(self._asked) >= limits.RECORD_QUESTIONS_COUNT_MAX:
                return Look(name, type_, Outcome.TIMED_OUT)
            self._asked[key] = self._group.create_task(self._ask(name, type_))
        return await self._asked[key]

    async def looks(self, names: Sequence[str], type_: str) -> list[Look]:
        """Return the answers for some names, asked at once."""
        return list(await asyncio.gather(*(self.look(name, type_) for name in names)))

    async def addresses(self, host: str) -> list[str]:
        """Return what a host resolves to, of both families."""
        both = await asyncio.gather(self.look(host, "A"), self.look(host, "AAAA"))
        return [value for look in both for value in look.values]

    async def drive(self, steps: Steps) -> Evaluation:
        """Answer the questions of an SPF evaluation."""
        look: Look | None = None
        while True:
            try:
                question = steps.send(look) if look is not None else next(steps)
            except StopIteration as end:
                evaluation: Evaluation = end.value
                return evaluation
            look = await self.look(question.name, question.type)

    async def _ask(self, name: str, type_: str) -> Look:
        try:
            async with asyncio.timeout_at(self._until_s), self._places:
                return await self._asker.look(name, type_)
        except TimeoutError:
            return Look(name, type_, Outcome.TIMED_OUT)


class _Check:
    """One wanted record."""

    def __init__(self, questions: _Questions, wanted: Wanted, domain: str) -> None:
        self._questions: Final = questions
        self._wanted: Final = wanted
        self._domain: Final = domain

    async def run(self) -> Finding:
        """Look and judge."""
        wanted = self._wanted
        look = await self._questions.look(wanted.host, wanted.type)
        seen = Seen(look=look)
        if look.outcome in (Outcome.TIMED_OUT, Outcome.FAILED, Outcome.LOOP):
            return record_check.judge(wanted, seen)
        if look.outcome is Outcome.NO_NAME and not await self._has_domain():
            return record_check.judge(wanted, msgspec.structs.replace(seen, has_domain=False))
        seen = await self._looked_closer(seen)
        finding = record_check.judge(wanted, seen)
        if finding.state is not RecordState.FAILED or finding.cause not in _ELSEWHERE_CAUSES:
            return finding
        names = record_check.suspects(wanted, self._domain)
        elsewhere = await self._questions.looks(names, wanted.type)
        return record_check.judge(wanted, msgspec.structs.replace(seen, elsewhere=elsewhere))

    async def _looked_closer(self, seen: Seen) -> Seen:
        """Ask what this kind of record needs besides."""
        wanted = self._wanted
        if wanted.type == "CNAME":
            return await self._behind_cname(seen)
        match wanted.kind:
            case RecordKind.SPF | RecordKind.RETURN_PATH_SPF:
                return msgspec.structs.replace(seen, spf=await self._spf(seen.look))
            case RecordKind.DMARC:
                return await self._around_dmarc(seen)
            case _:
                return seen

    async def _around_dmarc(self, seen: Seen) -> Seen:
        """Ask for the policy above where there is none, and whether our reports may come where there is one."""
        if not any(map(dmarc.is_dmarc, seen.look.values)):
            above = dmarc.inherited_host(self._domain)
            return msgspec.structs.replace(seen, inherited=await self._questions.look(above, "TXT")) if above else seen
        address = record_check.report_address(self._wanted)
        host = dmarc.report_host(self._domain, address) if address else ""
        return msgspec.structs.replace(seen, permission=await self._questions.look(host, "TXT")) if host else seen

    async def _behind_cname(self, seen: Seen) -> Seen:
        """Ask what a CNAME leads to, or what hides it."""
        wanted = self._wanted
        if seen.look.values and wanted.kind is not RecordKind.DKIM:
            if wanted.value in seen.look.values:
                return seen
            way = await self._questions.look(wanted.host, "A")
            return msgspec.structs.replace(seen, chain=way.chain)
        text, addresses, target_addresses = None, [], []
        if wanted.kind is RecordKind.DKIM:
            text = await self._questions.look(wanted.host, "TXT")
        if not seen.look.values and (text is None or not text.values):
            addresses = await self._questions.addresses(wanted.host)
            target_addresses = await self._questions.addresses(wanted.value) if addresses else []
        return msgspec.structs.replace(seen, text=text, addresses=addresses, target_addresses=target_addresses)

    async def _has_domain(self) -> bool:
        """Tell whether the registered domain exists; true as well when nobody can tell."""
        look = await self._questions.look(orgdomain.of(self._wanted.host), "TXT")
        return look.outcome is not Outcome.NO_NAME

    async def _spf(self, look: Look) -> SpfSeen | None:
        """Evaluate the record that is there for the addresses that the wanted one names; None if there is not one."""
        records = [text for text in look.values if spf.is_spf(text)]
        if len(records) != 1:
            return None
        ips, ours_lookups = await self._reach()
        walk = await self._questions.drive(spf_check.walk(ips[0] if ips else _NOBODY, look.name))
        checks = {ip: await self._questions.drive(spf_check.check(ip, look.name)) for ip in ips}
        return SpfSeen(walk=walk, checks=checks, ours_lookups=ours_lookups)

    async def _reach(self) -> tuple[list[str], int]:
        """Return addresses that the wanted record lets send, some of each network, and what its terms cost."""
        ips: list[str] = []
        count = 0
        for term in spf.parse(self._wanted.value).mechanisms:
            match term.name:
                case "ip4" | "ip6":
                    ips += _of_network(term)
                case "include":
                    tree = await self._questions.drive(spf_check.walk(_NOBODY, term.value))
                    count += 1 + tree.lookups_count
                    ips += [ip for below in tree.terms if below.qualifier == "+" for ip in _of_network(below)]
                case "a":
                    count += 1
                    ips += await self._questions.addresses(term.value or self._wanted.host)
                case "mx":
                    count += 1
                    found = await self._questions.look(term.value or self._wanted.host, "MX")
                    for value in found.values[: limits.SPF_HOSTS_COUNT_MAX]:
                        ips += await self._questions.addresses(value.partition(" ")[2])
                case _:
                    pass  # `all`; the others we never ask for.
        return list(dict.fromkeys(ips))[: limits.SPF_SOURCES_COUNT_MAX], count


def _of_network(term: spf.Term) -> list[str]:
    """Return the first and the last address of a term's network; [] if it names none."""
    network = term.network
    if network is None:
        return []
    ends = (network.network_address, network.broadcast_address)
    return list(dict.fromkeys(map(str, ends)))
