"""SPF records: read, and merged with the ones that are there. What a record says of an address is `mail.spf_check`.

    parse("v=spf1 ip4:192.0.2.0/24 include:spf.example -all") -> Spf
    merge(["v=spf1 include:other.example -all"], wanted) -> Merged(text, ...)

A merged record keeps every mechanism that was there, in its order, and has ours before `all`: what others send goes on
as it did. Their `all` stays as strict as it was. Source: RFC 7208 §4.6, §5, §6, §7.1 and §12.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base import limits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

VERSION: Final = "v=spf1"
QUALIFIERS: Final = "+-~?"
LOOKUP_NAMES: Final = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})  # RFC 7208 §4.6.4.
_TEXT_BYTES_ADVISED: Final = 450  # RFC 7208 §3.4: then the answer fits 512 bytes, whatever stands beside it.
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128

_begins: Final = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE).match
_modifier: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL).fullmatch
_directive: Final = re.compile(r"([+\-~?]?)([A-Za-z][A-Za-z0-9]*)((?:[:/].*)?)", re.DOTALL).fullmatch
_prefixes: Final = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?").fullmatch
# After a macro's letter: how many labels from the right, reversed, parted by what. RFC 7208 §7.1.
MACRO: Final = re.compile(r"%(?:([%_-])|\{([slodiphcrtvSLODIPHCRTV])([0-9]*)([rR]?)([.\-+,/_=]*)\})")
_literal: Final = re.compile(r"[\x21-\x24\x26-\x7e]*").fullmatch
_end_label: Final = re.compile(r"(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])\.?", re.IGNORECASE).fullmatch
_EXPLANATION_ONLY: Final = frozenset("crtCRT")  # RFC 7208 §7.2: letters for exp= texts alone.


class SpfError(ValueError):
    """A record that receivers answer with permerror; the text says why, for people."""


class Term(msgspec.Struct, frozen=True):
    """One word of a record."""

    text: str  # As written.
    name: str  # Lower case: "include", "redirect".
    qualifier: str = "+"  # Of QUALIFIERS; "" for a modifier.
    value: str = ""  # A domain with macros, or an address; "" is the current domain.
    ipv4_bits: int = _IPV4_BITS
    ipv6_bits: int = _IPV6_BITS

    @property
    def is_modifier(self) -> bool:
        """It matches no address: redirect, exp, or one that we do not know and pass over."""
        return not self.qualifier

    @property
    def network(self) -> Network | None:
        """What an ip4 or ip6 mechanism names, None for others."""
        if self.name not in ("ip4", "ip6"):
            return None
        bits = self.ipv4_bits if self.name == "ip4" else self.ipv6_bits
        return ipaddress.ip_network(f"{self.value}/{bits}", strict=False)

    @property
    def meaning(self) -> tuple[str, ...]:
        """Equal for terms that say the same, however they are written."""
        if (network := self.network) is not None:
            return (self.qualifier, self.name, str(network))
        bits = (str(self.ipv4_bits), str(self.ipv6_bits))
        return (self.qualifier, self.name, self.value.lower().removesuffix("."), *bits)


class Spf(msgspec.Struct, frozen=True):
    """A record."""

    terms: tuple[Term, ...]

    @property
    def mechanisms(self) -> tuple[Term, ...]:
        """What is compared with an address, in order."""
        return tuple(term for term in self.terms if not term.is_modifier)

    @property
    def redirect(self) -> Term | None:
        """Where a record without `all` goes on."""
        return next((term for term in self.terms if term.is_modifier and term.name == "redirect"), None)

    @property
    def all(self) -> Term | None:
        """What becomes of everybody else; None: the record does not say."""
        return next((term for term in self.mechanisms if term.name == "all"), None)

    @property
    def lookups_count(self) -> int:
        """How many of its own terms make a receiver ask; what is below them not counted."""
        return sum(term.name in LOOKUP_NAMES for term in _read(self))


class Merged(msgspec.Struct, frozen=True):
    """A record to publish in the place of those that are there."""

    text: str
    lookups_count: int  # Of the whole tree as far as the caller knew it, ours included.
    problem: str = ""  # One sentence: why it will not work as it is. "" if nothing is known against it.


def is_spf(text: str) -> bool:
    """Tell whether receivers take this TXT text for an SPF record. Source: RFC 7208 §4.5."""
    return _begins(text) is not None


def parse(text: str) -> Spf:
    """Read a record.

    Raises:
        SpfError: a term is wrong, so receivers take nothing of the record.
    """
    if not is_spf(text):
        raise SpfError(f"it does not begin with {VERSION}")
    terms = tuple(_parse_term(word) for word in text[len(VERSION) :].split(" ") if word)
    for name in ("redirect", "exp"):
        if sum(term.is_modifier and term.name == name for term in terms) > 1:
            raise SpfError(f"{name}= is there twice")
    return Spf(terms)


def merge(
    published: Sequence[str], wanted: str, *, known_lookups: int | None = None, ours: int | None = None
) -> Merged:
    """Return one record with all that the published ones have and what `wanted` has.

    Safe twice: merged with `wanted` again it stays as it is. Several published records, an error by themselves, become
    one. Words that cannot be read stay, as written, and are the problem.

    Args:
        published: the SPF records at that name; others' TXT texts are passed over.
        wanted: a record of ours, which can be read.
        known_lookups: what the published tree costs, None if nobody has counted it.
        ours: what the terms of `wanted` cost with what is below them; None: as many as it has itself.
    """
    needed = parse(wanted)
    texts = [text for text in published if is_spf(text)]
    if not texts:
        count = needed.lookups_count if ours is None else ours
        return Merged(wanted, count, _problem_of(wanted, count))
    words = list(texts[0].split(" ")[1:])
    for text in texts[1:]:
        words = _inserted(words, [_as_include(word) for word in text.split(" ")[1:] if not _is_all(word)])
    additions = [term.text for term in needed.mechanisms if term.name != "all"]
    merged = _inserted(words, additions)
    text = " ".join([VERSION, *filter(None, merged)])
    grown = [term for word in merged if word not in words and (term := _try_term(word)) is not None]
    own = sum(term.name in LOOKUP_NAMES for term in grown)
    if known_lookups is None:
        count = sum((term := _try_term(word)) is not None and term.name in LOOKUP_NAMES for word in merged)
    else:
        count = known_lookups + (own if ours is None or not grown else max(own, ours))
    return Merged(text, count, _problem_of(text, count))


def _inserted(words: Sequence[str], additions: Sequence[str]) -> list[str]:
    """Return the words with those additions that say something new before the first `all`, or before the modifiers."""
    known = {term.meaning for word in words if (term := _try_term(word)) is not None}
    new: list[str] = []
    for word in additions:
        term = _try_term(word)
        meaning = term.meaning if term is not None else ("", word)
        if meaning not in known and word not in words:
            known.add(meaning)
            new.append(word)
    at = next((at for at, word in enumerate(words) if _is_all(word)), None)
    if at is None:
        at = next((at for at, word in enumerate(words) if _modifier(word)), len(words))
    return [*words[:at], *new, *words[at:]]


def _problem_of(text: str, count: int) -> str:
    try:
        parse(text)
    except SpfError as error:
        return f"Receivers cannot read the record: {error}."
    if count > limits.SPF_LOOKUPS_COUNT_MAX:
        return (
            f"The record costs {count} DNS look-ups and receivers stop at {limits.SPF_LOOKUPS_COUNT_MAX}: "
            "remove an include that is not needed."
        )
    if len(text.encode()) > _TEXT_BYTES_ADVISED:
        return f"The record is longer than the {_TEXT_BYTES_ADVISED} bytes that every receiver reads."
    return ""


def _is_all(word: str) -> bool:
    return word.lower().lstrip(QUALIFIERS) == "all"


def _as_include(word: str) -> str:
    """Return a term of a second record as it may stand in the first, where a redirect would be the second one."""
    modifier = _modifier(word)
    return f"include:{modifier[2]}" if modifier and modifier[1].lower() == "redirect" else word


def _try_term(word: str) -> Term | None:
    try:
        return _parse_term(word) if word else None
    except SpfError:
        return None


def _parse_term(word: str) -> Term:
    if modifier := _modifier(word):
        name, value = modifier[1].lower(), modifier[2]
        if name in ("redirect", "exp"):
            _check_domain(value, word)
        elif not _is_macro_string(value):
            raise SpfError(f"{_shown(word)} has a wrong macro")
        return Term(word, name, "", value)
    directive = _directive(word)
    if directive is None:
        raise SpfError(f"{_shown(word)} is no mechanism")
    qualifier, name, rest = directive[1] or "+", directive[2].lower(), directive[3]
    match name:
        case "all":
            if rest:
                raise SpfError(f"{_shown(word)}: all takes no value")
            return Term(word, name, qualifier)
        case "ip4" | "ip6":
            return _parse_network(word, name, qualifier)
        case "include" | "exists":
            _check_domain(rest[1:] if rest.startswith(":") else "", word)
            return Term(word, name, qualifier, rest[1:])
        case "a" | "mx" | "ptr":
            return _parse_host(word, Term(word, name, qualifier), rest)
        case _:
            raise SpfError(f"{_shown(word)} is no mechanism")


def _parse_network(word: str, name: str, qualifier: str) -> Term:
    text, slash, bits_text = word.partition(":")[2].partition("/")
    bits = _IPV4_BITS if name == "ip4" else _IPV6_BITS
    try:
        ip = ipaddress.IPv4Address(text) if name == "ip4" else ipaddress.IPv6Address(text)
        if "%" in text:  # A zone of one machine.
            raise ValueError
    except ValueError as error:
        raise SpfError(f"{_shown(word)}: {_shown(text)} is no {'IPv4' if name == 'ip4' else 'IPv6'} address") from error
    if slash:
        given = _prefixes(f"/{bits_text}" if name == "ip4" else f"//{bits_text}")
        number = int(given[1] or given[2] or -1) if given and bits_text.isdigit() else -1
        if not 0 <= number <= bits:
            raise SpfError(f"{_shown(word)}: /{_shown(bits_text)} is no prefix length")
        bits = number
    is_ipv4 = name == "ip4"
    return Term(word, name, qualifier, str(ip), bits if is_ipv4 else _IPV4_BITS, _IPV6_BITS if is_ipv4 else bits)


def _parse_host(word: str, term: Term, rest: str) -> Term:
    """Read what follows a, mx or ptr: each may name a domain, the first two may have prefix lengths, `/24//64`."""
    has_domain = rest.startswith(":")
    value, tail = rest.removeprefix(":"), ""
    if term.name != "ptr":
        at = _start_of_prefixes(value)
        value, tail = value[:at], value[at:]
    bits = _prefixes(tail)
    assert bits is not None
    ipv4_bits = _IPV4_BITS if bits[1] is None else int(bits[1])
    ipv6_bits = _IPV6_BITS if bits[2] is None else int(bits[2])
    if ipv4_bits > _IPV4_BITS or ipv6_bits > _IPV6_BITS:
        raise SpfError(f"{_shown(word)} has a prefix length that is too long")
    if has_domain:
        _check_domain(value, word)
    elif value:
        raise SpfError(f"{_shown(word)} is no mechanism")
    return msgspec.structs.replace(term, value=value, ipv4_bits=ipv4_bits, ipv6_bits=ipv6_bits)


def _start_of_prefixes(text: str) -> int:
    """Return where `/24//64` at the end of the text begins; its length if there is none. A macro may hold slashes."""
    end = re.search(r"(?:/[0-9]+)?(?://[0-9]+)?\Z", text)
    at = end.start() if end is not None else len(text)
    return at if _prefixes(text[at:]) else len(text)


def _check_domain(text: str, word: str) -> None:
    """Raise SpfError unless it is a domain-spec. Source: RFC 7208 §7.1."""
    if not text:
        raise SpfError(f"{_shown(word)} names no domain")
    if not _is_macro_string(text):
        raise SpfError(f"{_shown(word)} has a wrong macro or character")
    macros = list(MACRO.finditer(text))
    if macros and macros[-1].end() == len(text):
        return
    _, dot, label = text.removesuffix(".").rpartition(".")
    if not dot or not _end_label(label):
        raise SpfError(f"{_shown(word)}: {_shown(text)} is no full domain name")


def _is_macro_string(text: str) -> bool:
    macros = [macro[2] or "" for macro in MACRO.finditer(text)]
    return _literal(MACRO.sub("", text)) is not None and not any(
        letter in _EXPLANATION_ONLY for letter in macros if letter
    )


def _read(record: Spf) -> Sequence[Term]:
    """Return the terms that a receiver comes to: none after `all`, and no redirect beside it."""
    if record.all is None:
        return record.terms
    return record.mechanisms[: record.mechanisms.index(record.all)]


def _shown(text: str) -> str:
    """Return what may be quoted of a stranger's text."""
    return "".join(char if char.isprintable() else "?" for char in text[:60])
