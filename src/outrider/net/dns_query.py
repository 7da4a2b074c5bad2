"""One question to the name servers, answered as a value. What the answers mean for mail is `net.dns`.

`NameServers` asks over UDP, over TCP when an answer is cut off, and the next server when one is silent, refuses or
fails; dnspython does that. Nothing here raises for what servers or the network do: that is `Outcome.FAILED`. `mx`, `a`
and `aaaa` are what routes need; `look` answers any question with all that people want to know of it (`mail.look`).

Which servers: the one from the settings, or the system's /etc/resolv.conf, read when first needed and again each
`_REREAD_S`. If it cannot be read, questions fail until it can: mail waits, the process does not die.
"""

import asyncio
import contextlib
import enum
import ipaddress
import re
from typing import Any, Final, Generic, Protocol, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import ConfigError
from outrider.mail import look
from outrider.mail.look import Look

_REREAD_S: Final = 60.0  # Ours: how soon a change of resolv.conf counts.
_EDNS_BYTES: Final = 1232  # Fits every path without fragments. DNS Flag Day 2020.
_PORT: Final = 53
_BRACKETED: Final = re.compile(r"\[(.*)\](?::(\d+))?")
_CNAME: Final = "CNAME"
_NO_SOA_TTL_S: Final = 2**31 - 1  # What dnspython says when nothing says how long a "no" counts.

T = TypeVar("T")


class Outcome(enum.StrEnum):
    """What came of a question."""

    FOUND = "found"
    EMPTY = "empty"  # The name exists, records of that kind do not.
    NO_NAME = "no_name"  # NXDOMAIN.
    FAILED = "failed"  # Silence, SERVFAIL, REFUSED, nonsense, no server to ask.


class Found(msgspec.Struct, Generic[T], frozen=True):
    """What came of a question, and for how long it counts, as the servers say: unbounded."""

    outcome: Outcome
    values: tuple[T, ...] = ()  # Not empty if and only if FOUND. In no order.
    ttl_s: float = 0.0


class Mx(msgspec.Struct, frozen=True, order=True):
    """One MX record."""

    preference: int
    host: str  # Lower case, no final dot; "" is the root, which means "no mail". RFC 7505.


class Asker(Protocol):
    """Who answers questions about names. Never raises for what others do."""

    async def mx(self, name: str) -> Found[Mx]:
        """Ask for the mail hosts, following CNAMEs."""

    async def a(self, name: str) -> Found[str]:
        """Ask for the IPv4 addresses, following CNAMEs."""

    async def aaaa(self, name: str) -> Found[str]:
        """Ask for the IPv6 addresses, following CNAMEs."""


def parse_server(text: str) -> tuple[str, int]:
    """Split "192.0.2.1:5353", "[2001:db8::1]:53", or either without a port, into address and port.

    Raises:
        ConfigError: anything else. A name is of no use here: who would resolve it?
    """
    address, port = text, ""
    if bracketed := _BRACKETED.fullmatch(text):
        address, port = bracketed[1], bracketed[2] or ""
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        ip = ipaddress.ip_address(address)
        number = int(port) if port else _PORT
    except ValueError:
        number = -1
    if not 0 < number < 2**16:
        raise ConfigError(f"dns_server must be an IP address, or ADDRESS:PORT, not {text!r}.")
    return str(ip), number


class NameServers:
    """An `Asker` over the network. Safe for many callers at once; at most DNS_QUERIES_COUNT_MAX questions are open."""

    def __init__(self, server: str, *, clock: Clock, wait_s: float, resolv_conf: str = "/etc/resolv.conf") -> None:
        self._clock: Final = clock
        self._wait_s: Final = wait_s
        self._resolv_conf: Final = resolv_conf
        self._places: Final = asyncio.Semaphore(limits.DNS_QUERIES_COUNT_MAX)
        self._fixed: Final = _resolver_at(*parse_server(server)) if server else None
        self._system: dns.asyncresolver.Resolver | None = None
        self._read_s = 0.0

    async def mx(self, name: str) -> Found[Mx]:
        """Ask for the mail hosts, following CNAMEs."""
        outcome, answer, ttl_s = await self._ask(name, dns.rdatatype.MX)
        return Found(outcome, tuple(Mx(r.preference, _text_of(r.exchange)) for r in answer), ttl_s)

    async def a(self, name: str) -> Found[str]:
        """Ask for the IPv4 addresses, following CNAMEs."""
        outcome, answer, ttl_s = await self._ask(name, dns.rdatatype.A)
        return Found(outcome, tuple(str(r.address) for r in answer), ttl_s)

    async def aaaa(self, name: str) -> Found[str]:
        """Ask for the IPv6 addresses, following CNAMEs."""
        outcome, answer, ttl_s = await self._ask(name, dns.rdatatype.AAAA)
        return Found(outcome, tuple(str(r.address) for r in answer), ttl_s)

    async def look(self, name: str, type_: str) -> Look:
        """Ask for any type: TXT, CNAME, MX, A, AAAA, PTR. CNAMEs are followed and told, loops found.

        Values come in no order. Cost: one question; one for each CNAME where a server does not follow them, or when
        servers fail, to see whether it is for a loop.
        """
        chain: list[str] = []
        for _ in range(limits.CNAME_CHAIN_COUNT_MAX):
            found = await self._look_once(chain[-1] if chain else name, type_)
            again = {name, *chain} & set(found.chain)
            chain += found.chain
            if again or len(chain) > limits.CNAME_CHAIN_COUNT_MAX:
                return Look(name, type_, look.Outcome.LOOP, chain=tuple(chain))
            if found.outcome is not look.Outcome.EMPTY or not found.chain:
                break  # A server that does not follow CNAMEs tells the first, and nothing else.
        if found.outcome is look.Outcome.FAILED and type_ != _CNAME and await self._is_loop(name):
            return Look(name, type_, look.Outcome.LOOP, chain=tuple(chain))
        return Look(name, type_, found.outcome, found.values, found.string_counts, tuple(chain))

    async def _is_loop(self, name: str) -> bool:
        """Tell whether the CNAMEs from this name on lead in a circle: a resolver that follows them only fails."""
        seen = [name]
        while len(seen) <= limits.CNAME_CHAIN_COUNT_MAX:
            found = await self._look_once(seen[-1], _CNAME)
            if found.outcome is not look.Outcome.FOUND:
                return False
            if found.values[0] in seen:
                return True
            seen.append(found.values[0])
        return True

    async def _look_once(self, name: str, type_: str) -> Look:
        if not name.isascii():  # Made by a macro of SPF; names of ours are A-labels.
            return Look(name, type_, look.Outcome.NO_NAME)
        try:
            answer = await self._answer(name, dns.rdatatype.from_text(type_))
        except dns.resolver.NXDOMAIN as error:
            return Look(name, type_, look.Outcome.NO_NAME, chain=_chain_of_no(error))
        except (dns.name.NameTooLong, dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
            return Look(name, type_, look.Outcome.NO_NAME)
        except (dns.exception.Timeout, TimeoutError):
            return Look(name, type_, look.Outcome.TIMED_OUT)
        except (dns.exception.DNSException, OSError, ValueError):
            return Look(name, type_, look.Outcome.FAILED)
        chain = tuple(_text_of(rrset[0].target) for rrset in answer.chaining_result.cnames)
        records = list(answer.rrset or ())
        outcome = look.Outcome.FOUND if records else look.Outcome.EMPTY
        counts = tuple(len(record.strings) for record in records) if type_ == "TXT" else ()
        return Look(name, type_, outcome, tuple(map(_value_of, records)), counts, chain)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> tuple[Outcome, list[Any], float]:
        """Return outcome, records and TTL."""
        try:
            answer = await self._answer(name, kind)
        except dns.resolver.NXDOMAIN as error:
            ttl_s = min((r.resolve_chaining().minimum_ttl for r in error.responses().values()), default=0)  # type: ignore[no-untyped-call]
            return Outcome.NO_NAME, [], _ttl_of(ttl_s)
        except (dns.exception.DNSException, OSError, ValueError):  # TimeoutError is an OSError.
            return Outcome.FAILED, [], 0.0
        records = list(answer.rrset or ())
        return (Outcome.FOUND if records else Outcome.EMPTY), records, _ttl_of(answer.chaining_result.minimum_ttl)

    async def _answer(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        """Return the answer, which may be empty, within the deadline, or raise what dnspython does."""
        async with asyncio.timeout(self._wait_s), self._places:
            question = dns.name.from_text(name)  # Absolute: search lists are for people.
            return await self._resolver().resolve(
                question, kind, raise_on_no_answer=False, search=False, lifetime=self._wait_s
            )

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Return whom to ask; raises a DNSException, ValueError or OSError if the system names nobody."""
        if self._fixed is not None:
            return self._fixed
        now_s = self._clock.monotonic_s()
        if self._system is None or now_s - self._read_s >= _REREAD_S:
            self._system = None  # A file that became unreadable counts at once.
            self._system = _prepare(dns.asyncresolver.Resolver(self._resolv_conf))
            self._read_s = now_s
        return self._system


def _resolver_at(address: str, port: int) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [address]
    resolver.port = port
    return _prepare(resolver)


def _prepare(resolver: dns.asyncresolver.Resolver) -> dns.asyncresolver.Resolver:
    resolver.timeout = limits.DNS_TRY_S
    resolver.use_edns(0, 0, _EDNS_BYTES)
    return resolver


def _value_of(record: Any) -> str:
    """Return a record as `mail.look` writes it."""
    match record.rdtype:
        case dns.rdatatype.TXT:
            return b"".join(record.strings).decode("utf-8", "replace")
        case dns.rdatatype.MX:
            return f"{record.preference} {_text_of(record.exchange)}"
        case dns.rdatatype.CNAME | dns.rdatatype.PTR:
            return _text_of(record.target)
        case _:
            return str(record.address)


def _chain_of_no(error: dns.resolver.NXDOMAIN) -> tuple[str, ...]:
    """Return the CNAMEs that led to a name that does not exist."""
    with contextlib.suppress(dns.exception.DNSException):
        for response in error.responses().values():  # type: ignore[no-untyped-call]
            return tuple(_text_of(rrset[0].target) for rrset in response.resolve_chaining().cnames)
    return ()


def _text_of(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _ttl_of(seconds: int) -> float:
    return 0.0 if seconds >= _NO_SOA_TTL_S else float(seconds)
