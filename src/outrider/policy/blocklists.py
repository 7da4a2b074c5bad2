"""DNS block lists: what to ask about a sending address, and what the answer means. The lists are `blocklists.toml`.

    question("192.0.2.7", "zen.spamhaus.org") -> "7.2.0.192.zen.spamhaus.org", asked for A
    judge(entry, "192.0.2.7", look)           -> a check

An answer is a listing only if it is in 127.0.0.0/8 and none of `_REFUSALS`: lists say no to public resolvers and to
those who ask too much with an address as well, and who takes that for a listing thinks that the whole world is on it.
A list that has every address (`is_dead`: it has 127.0.0.1, which it must not; RFC 5782 §5) says nothing either. What
nobody could tell is skipped with its reason, never a failure.
"""

import ipaddress
from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from outrider.base.errors import ConfigError
from outrider.mail.look import Look, Outcome
from outrider.policy import checkup, rulefile
from outrider.policy.checkup import Check, CheckState

NAME: Final = "blocklist.listed"
_TITLE: Final = "The list of DNS block lists"
_LISTINGS: Final = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782 §2.1.
_REFUSALS: Final = (ipaddress.ip_network("127.255.255.0/24"), ipaddress.ip_network("127.0.0.1/32"))
_TEST_POINTS: Final = {4: "127.0.0.1", 6: "::ffff:7f00:1"}  # RFC 5782 §5: on no list.
_OWN_RESOLVER: Final = "Ask with a resolver of your own: OUTRIDER_NET__DNS_SERVER=127.0.0.1, with unbound behind it."


class BlockList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One list."""

    zone: str
    name: str
    families: tuple[int, ...]  # 4, 6.
    weight: CheckState  # What a listing is: FAIL or WARN.
    look_up: str  # A page for people.
    caveat: str
    codes: dict[str, str]
    source: str
    seen_on: date


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    list: tuple[BlockList, ...]


def parse(text: str) -> Sequence[BlockList]:
    """Read the file.

    Raises:
        ConfigError: a key is unknown, missing or says what it may not.
    """
    found = rulefile.read_toml(text, _File, _TITLE).list
    for one in found:
        if one.weight not in (CheckState.FAIL, CheckState.WARN) or not set(one.families) <= {4, 6} or not one.families:
            raise ConfigError(f"{_TITLE}: {one.zone} has a weight or a family that is none.")
    return found


def question(ip: str, zone: str) -> str:
    """Return the name whose A records tell whether the zone has this address. Source: RFC 5782 §2.1, §2.4."""
    backwards = ipaddress.ip_address(ip).reverse_pointer
    return f"{backwards.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def control_question(ip: str, zone: str) -> str:
    """Return what to ask to find out whether a zone that lists `ip` lists everything."""
    return question(_TEST_POINTS[ipaddress.ip_address(ip).version], zone)


def is_asked(entry: BlockList, ip: str) -> bool:
    """Whether the list has addresses of this family."""
    return ipaddress.ip_address(ip).version in entry.families


def is_listing(look: Look) -> bool:
    """Whether the answer is a listing, for all it says itself."""
    return _trouble(look) == "" and look.outcome is Outcome.FOUND


def judge(entry: BlockList, ip: str, look: Look, *, is_dead: bool = False) -> Check:
    """Return what the list says of the address.

    Args:
        is_dead: it lists what no list may.
    """
    subject = f"{ip} {entry.zone}"
    if trouble := _trouble(look):
        is_refused = look.outcome is Outcome.FOUND
        advice = (f"{entry.caveat} " if entry.caveat and is_refused else "") + (_OWN_RESOLVER if is_refused else "")
        return checkup.skip(NAME, f"{entry.name} {trouble}.", advice, subject)
    if look.outcome is not Outcome.FOUND:
        return checkup.ok(NAME, f"not on {entry.name}.", subject)
    if is_dead:
        return checkup.skip(NAME, f"{entry.name} lists every address: it is out of order.", subject=subject)
    meanings = [f"{entry.codes.get(value, 'listed')} ({value})" for value in sorted(look.values)]
    advice = f"See why, end that, and ask for removal at {entry.look_up}; meanwhile send from another source."
    advice = f"{advice} {entry.caveat}".rstrip()
    return Check(NAME, entry.weight, f"on {entry.name}: {'; '.join(meanings)}.", advice, subject)


def _trouble(look: Look) -> str:
    """Say why the answer tells nothing; "" if it does."""
    if look.outcome is Outcome.TIMED_OUT:
        return "did not answer in time"
    if look.outcome in (Outcome.FAILED, Outcome.LOOP):
        return "could not be asked: the name servers failed"
    for value in sorted(look.values):
        address = ipaddress.ip_address(value)
        if any(address in network for network in _REFUSALS):
            return f"refuses to answer this resolver ({value})"
        if address not in _LISTINGS:
            return f"answered {value}, which is no answer of a block list: something on the way makes answers up"
    return ""
