"""What SPF says of an address, and what it costs to find out. Sans-IO: who asks brings the answers.

    steps = check("192.0.2.7", "bounces.shop.example")
    question = next(steps)                      # Question("bounces.shop.example", "TXT")
    question = steps.send(look)                 # ... until StopIteration, whose value is the Evaluation

`check` is a receiver: it stops at the limits of RFC 7208 §4.6.4 and at the first match. `walk` counts what the worst
address costs, one that nothing matches: it goes on past the limits, to `limits.SPF_COUNTED_COUNT_MAX`, so that it can
say by how much, and gathers every term of the tree.

Never raises for what DNS says, and ends whatever it says: look-ups, hosts of one term and questions are counted. The
`%{p}` macro is "unknown", as it is for most senders; `exp=` is not fetched. Source: RFC 7208 §4 to §7.
"""

import enum
import ipaddress
import re
from collections.abc import Generator, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from outrider.base import limits
from outrider.mail import spf
from outrider.mail.look import Look, Outcome, Question
from outrider.mail.spf import Spf, SpfError, Term

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Result(enum.StrEnum):
    """What a receiver concludes. Words of RFC 7208 §2.6."""

    NONE = "none"  # There is no record.
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result, not a password.
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    result: Result  # Of a walk: what an address gets that no mechanism but `all` matches.
    reason: str = ""  # Of an error, one sentence without the final stop; "" otherwise.
    matched: str = ""  # The mechanism that decided, as written; "" if none did.
    lookups_count: int = 0
    voids_count: int = 0
    is_loop: bool = False  # A record leads back to itself.
    terms: tuple[Term, ...] = ()  # All that were come to, of all records, in order.


Steps = Generator[Question, Look, Evaluation]
_Answering = Generator[Question, Look, Look]
_Matching = Generator[Question, Look, bool]
_Judging = Generator[Question, Look, Result]

_BY_QUALIFIER: Final = {
    "+": Result.PASS,
    "-": Result.FAIL,
    "~": Result.SOFTFAIL,
    "?": Result.NEUTRAL,
}


def check(ip: str, domain: str, *, sender: str = "", helo: str = "") -> Steps:
    """Return what a receiver would conclude of mail from this address for a return path in `domain` (A-labels).

    Args:
        sender: the return path, for macros; "" is postmaster there.
        helo: the name after EHLO, for macros; "" is the domain.
    """
    return _Evaluator(ip, domain, sender, helo, is_counting=False).run()


def walk(ip: str, domain: str, *, sender: str = "", helo: str = "") -> Steps:
    """Return what the record of `domain` costs an address like `ip` that nothing matches, and all its terms."""
    return _Evaluator(ip, domain, sender, helo, is_counting=True).run()


class _PermError(Exception):
    """The record is wrong, whatever the address."""


class _TempError(Exception):
    """Nobody could tell now."""


class _Evaluator:
    """One evaluation."""

    def __init__(self, ip: str, domain: str, sender: str, helo: str, *, is_counting: bool) -> None:
        address = ipaddress.ip_address(ip)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        self._ip: Final[Address] = mapped or address
        self._domain: Final = domain.lower().removesuffix(".")
        self._sender: Final = sender if "@" in sender else f"postmaster@{sender or domain}"
        self._helo: Final = helo or domain
        self._is_counting: Final = is_counting
        self._lookups = 0
        self._voids = 0
        self._questions = 0
        self._terms: Final[list[Term]] = []
        self._above: Final[list[str]] = []  # The domains whose records we are in.
        self._matched = ""
        self._has_loop = False
        self._problem = ""  # The first that counting went past.

    def run(self) -> Steps:
        """Evaluate."""
        reason = ""
        try:
            result = yield from self._record_of(self._domain)
        except _PermError as error:
            result, reason = Result.PERMERROR, str(error)
        except _TempError as error:
            result, reason = Result.TEMPERROR, str(error)
        if self._problem and result is not Result.TEMPERROR:
            result, reason = Result.PERMERROR, self._problem
        return Evaluation(
            result=result,
            reason=reason,
            matched=self._matched,
            lookups_count=self._lookups,
            voids_count=self._voids,
            is_loop=self._has_loop,
            terms=tuple(self._terms),
        )

    def _record_of(self, domain: str) -> _Judging:
        """Judge by the record of one domain: `check_host` of the RFC."""
        found = yield from self._ask(domain, "TXT", is_counted=False)
        texts = [text for text in found.values if spf.is_spf(text)]
        if not texts:
            return Result.NONE
        if len(texts) > 1:
            raise _PermError(f"{domain} has {len(texts)} SPF records")
        try:
            record = spf.parse(texts[0])
        except SpfError as error:
            raise _PermError(f"the record of {domain} cannot be read: {error}") from error
        self._above.append(domain)
        result = yield from self._terms_of(record, domain)
        self._above.pop()
        return result

    def _terms_of(self, record: Spf, domain: str) -> _Judging:
        for term in record.mechanisms:
            self._terms.append(term)
            if (yield from self._is_match(term, domain)):
                if len(self._above) == 1:
                    self._matched = term.text
                return _BY_QUALIFIER[term.qualifier]
        if record.redirect is None:
            return Result.NEUTRAL
        self._terms.append(record.redirect)
        target = self._expanded(record.redirect.value, domain)
        self._count()
        if not self._is_loop(target):
            # The record there takes this one's place, so it is as deep as this one.
            self._above.pop()
            result = yield from self._record_of(target)
            self._above.append(domain)
            if result is not Result.NONE:
                return result
            self._wrong(f"redirect={target} leads to no SPF record")
        return Result.NEUTRAL

    def _is_match(self, term: Term, domain: str) -> _Matching:
        network = term.network
        if network is not None:
            return not self._is_counting and self._ip.version == network.version and self._ip in network
        if term.name == "all":
            return True
        self._count()
        target = self._expanded(term.value, domain) if term.value else domain
        match term.name:
            case "include":
                return (yield from self._includes(target))
            case "a":
                is_match = yield from self._has_address(target, term)
            case "mx":
                is_match = yield from self._has_mail_host(target, term)
            case "ptr":
                is_match = yield from self._is_named(target)
            case _:
                found = yield from self._ask(target, "A")
                is_match = found.outcome is Outcome.FOUND
        return is_match and not self._is_counting

    def _includes(self, target: str) -> _Matching:
        if self._is_loop(target):
            return False
        result = yield from self._record_of(target)
        if result is Result.NONE:
            self._wrong(f"include:{target} leads to no SPF record")
        # Of a counted address only a record that lets everybody send says "pass".
        return result is Result.PASS

    def _has_address(self, host: str, term: Term, *, is_counted: bool = True) -> _Matching:
        is_ipv4 = self._ip.version == 4
        found = yield from self._ask(host, "A" if is_ipv4 else "AAAA", is_counted=is_counted)
        bits = term.ipv4_bits if is_ipv4 else term.ipv6_bits
        return any(self._ip in ipaddress.ip_network(f"{address}/{bits}", strict=False) for address in found.values)

    def _has_mail_host(self, domain: str, term: Term) -> _Matching:
        found = yield from self._ask(domain, "MX")
        hosts = [value.partition(" ")[2] for value in found.values]
        if len(hosts) > limits.SPF_HOSTS_COUNT_MAX:
            self._wrong(f"mx:{domain} has {len(hosts)} hosts, over {limits.SPF_HOSTS_COUNT_MAX}")
        is_match = False
        for host in hosts[: limits.SPF_HOSTS_COUNT_MAX]:
            if host and not is_match:
                is_match = yield from self._has_address(host, term)
        return is_match

    def _is_named(self, target: str) -> _Matching:
        """Tell whether a name of the address, which has it as its address, is the target or below. RFC 7208 §5.5."""
        try:
            found = yield from self._ask(self._ip.reverse_pointer, "PTR")
        except _TempError:
            return False  # §5.5: an error there matches nothing.
        whole = Term("ptr", "ptr")
        for name in found.values[: limits.SPF_HOSTS_COUNT_MAX]:
            try:
                is_valid = yield from self._has_address(name, whole, is_counted=False)
            except _TempError:
                continue
            if is_valid and (name == target or name.endswith(f".{target}")):
                return True
        return False

    def _ask(self, name: str, type_: str, *, is_counted: bool = True) -> _Answering:
        """Ask, and count what finds nothing. Raises _TempError, _PermError."""
        self._questions += 1
        if self._questions > limits.SPF_QUESTIONS_COUNT_MAX:
            raise _PermError("the record makes receivers ask without end")
        found = yield Question(name, type_)
        if found.outcome.is_temporary or found.outcome is Outcome.LOOP:
            raise _TempError(f"no answer about {name} {type_}")
        if found.outcome is not Outcome.FOUND and is_counted:
            self._voids += 1
            if self._voids > limits.SPF_VOIDS_COUNT_MAX:
                self._wrong(f"over {limits.SPF_VOIDS_COUNT_MAX} look-ups find nothing, the last that of {name} {type_}")
        return found

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > limits.SPF_LOOKUPS_COUNT_MAX:
            self._wrong(f"it costs over {limits.SPF_LOOKUPS_COUNT_MAX} look-ups")
        if self._lookups > limits.SPF_COUNTED_COUNT_MAX:
            raise _PermError(self._problem)

    def _is_loop(self, target: str) -> bool:
        """Tell whether the target's record leads back to itself; a receiver goes round until its look-ups are up."""
        if target not in self._above:
            return False
        self._has_loop = True
        self._wrong(f"the record of {target} leads back to itself")
        return True

    def _wrong(self, reason: str) -> None:
        """Stop as a receiver would; go on when counting."""
        if not self._is_counting:
            raise _PermError(reason)
        self._problem = self._problem or reason

    def _expanded(self, text: str, domain: str) -> str:
        """Return a domain-spec with its macros filled in. Source: RFC 7208 §7."""
        name = spf.MACRO.sub(lambda macro: self._value_of(macro, domain), text).lower().removesuffix(".")
        labels = name.split(".")
        while len(labels) > 1 and len(".".join(labels)) > limits.DOMAIN_NAME_CHARS_MAX:
            del labels[0]
        return ".".join(labels)

    def _value_of(self, macro: re.Match[str], domain: str) -> str:
        if macro[1]:
            return {"%": "%", "_": " ", "-": "%20"}[macro[1]]
        letter, digits, reverse, delimiters = macro[2], macro[3], macro[4], macro[5]
        value = self._letter(letter.lower(), domain)
        parts: Sequence[str] = re.split(f"[{re.escape(delimiters or '.')}]", value)
        if reverse:
            parts = parts[::-1]
        if digits:
            parts = parts[-max(1, int(digits)) :]
        value = ".".join(parts)
        return quote(value, safe="-._~") if letter.isupper() else value

    def _letter(self, letter: str, domain: str) -> str:
        local, _, sender_domain = self._sender.rpartition("@")
        match letter:
            case "s":
                return self._sender
            case "l":
                return local
            case "o":
                return sender_domain
            case "d":
                return domain
            case "i":
                if self._ip.version == 4:
                    return str(self._ip)
                return ".".join(f"{self._ip.packed.hex()}")
            case "v":
                return "in-addr" if self._ip.version == 4 else "ip6"
            case "h":
                return self._helo
            case _:
                return "unknown"  # p.
