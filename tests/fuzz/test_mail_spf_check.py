"""Whatever DNS says, an evaluation ends, says the same as another evaluator, and costs what that one counts."""

import ipaddress
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outrider.base import limits
from outrider.mail import spf_check
from outrider.mail.spf_check import Result
from tests.fuzz import spf_oracle
from tests.fuzz.spf_drive import drive
from tests.fuzz.spf_oracle import Oracle, Zone

DOMAINS: Final = tuple(f"{letter}.example" for letter in "abcdef")
HOSTS: Final = tuple(f"h{number}.example" for number in range(4))
IPS: Final = tuple(f"192.0.2.{number}" for number in range(6))
IP6S: Final = ("2001:db8::1", "2001:db8::2")
QUALIFIERS: Final = st.sampled_from(["", "+", "-", "~", "?"])

network = st.sampled_from([*(f"ip4:{ip}" for ip in IPS), "ip4:192.0.2.4/31", *(f"ip6:{ip}" for ip in IP6S)])
addresses = st.lists(st.sampled_from(IPS), max_size=2, unique=True)


def nodes(own: str) -> st.SearchStrategy[dict[str, list[str]]]:
    """Give what a domain may have. The other evaluator refuses to read a record that names itself; ours finds out."""
    others = [domain for domain in DOMAINS if domain != own]
    mechanism = st.one_of(
        network,
        st.sampled_from(others).map("include:{}".format),
        st.sampled_from([*DOMAINS, *HOSTS]).map("a:{}".format),
        st.sampled_from(HOSTS).map("a:{}/30".format),
        st.sampled_from(DOMAINS).map("mx:{}".format),
        st.sampled_from(HOSTS).map("exists:{}".format),
        st.sampled_from(["a", "mx", "ptr", "all", "ptr:a.example", "exists:%{i}.h0.example", "bad:x"]),
    )
    words = st.lists(st.builds(str.__add__, QUALIFIERS, mechanism), max_size=5)
    end = st.sampled_from(["", " -all", " ~all", " ?all", *(f" redirect={domain}" for domain in others)])
    record = st.builds(lambda words, last: " ".join(["v=spf1", *words]) + last, words, end)
    return st.fixed_dictionaries(
        {
            "TXT": st.lists(record, min_size=1, max_size=1) | st.just([]) | st.lists(record, min_size=2, max_size=2),
            "MX": st.lists(st.sampled_from(HOSTS).map("10 {}".format), max_size=3, unique=True),
            "A": addresses,
        }
    )


host_node = st.fixed_dictionaries({"A": addresses, "AAAA": st.lists(st.sampled_from(IP6S), max_size=1)})
zones = st.fixed_dictionaries({name: nodes(name) for name in DOMAINS} | dict.fromkeys(HOSTS, host_node))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    if not spf_oracle.is_installed():
        pytest.skip(spf_oracle.MISSING)
    with Oracle() as running:
        yield running


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(zones, st.sampled_from([*IPS, *IP6S]))
def test_another_evaluator_says_the_same(oracle: Oracle, zone: Zone, ip: str) -> None:
    found, _ = drive(spf_check.check(ip, "a.example"), zone)
    result, count = oracle.check(zone, ip, "a.example")
    assert found.result.value == result, found.reason
    if found.result is not Result.PERMERROR and "redirect" not in str(zone):
        # It counts a redirect where it reads one, though a match before makes it needless. Of an error it counts less.
        assert found.lookups_count == count


@settings(max_examples=200, deadline=None)
@given(zones, st.sampled_from([*IPS, *IP6S]))
def test_the_worst_address_costs_at_least_as_much_as_any(zone: Zone, ip: str) -> None:
    worst, questions = drive(spf_check.walk(ip, "a.example"), zone)
    found, asked = drive(spf_check.check(ip, "a.example"), zone)
    assert questions <= limits.SPF_QUESTIONS_COUNT_MAX
    assert asked <= limits.SPF_QUESTIONS_COUNT_MAX
    assert worst.lookups_count <= limits.SPF_COUNTED_COUNT_MAX + 1
    if found.result not in (Result.PERMERROR, Result.TEMPERROR) and worst.result is not Result.PERMERROR:
        assert found.lookups_count <= worst.lookups_count <= limits.SPF_LOOKUPS_COUNT_MAX


@settings(deadline=None)
@given(
    st.text(max_size=80).map("v=spf1 {}".format)
    | st.binary(max_size=80).map(lambda b: "v=spf1 " + b.decode("latin-1")),
    st.ip_addresses().map(str),
)
@example("v=spf1 include:%{S9999999999r+}.example", "::1")
@example("v=spf1 redirect=a.example", "192.0.2.1")
@example("v=spf1 exists:" + "%{l}" * 20 + ".example", "192.0.2.1")
def test_no_text_makes_it_raise_or_go_on(text: str, ip: str) -> None:
    zone: Zone = {"a.example": {"TXT": [text]}}
    for steps in (spf_check.check(ip, "a.example", sender="ü x@b.example"), spf_check.walk(ip, "a.example")):
        found, count = drive(steps, zone)
        assert count <= limits.SPF_QUESTIONS_COUNT_MAX
        assert isinstance(ipaddress.ip_address(ip), ipaddress.IPv4Address | ipaddress.IPv6Address)
        assert found.result is not Result.TEMPERROR
