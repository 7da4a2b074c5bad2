"""The name server without a list, asked by a client that is not ours."""

import dns.asyncquery
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from outrider.base.clock import Clock
from outrider.net.dns_query import NameServers, Outcome
from outrider.testing.clock import FakeClock
from outrider.testing.zone import OWN, Rule, answer, parse_rule, running_zone

RULES = (
    Rule("slow.example", OWN, ("127.0.0.9",)),
    Rule("shared.example", "mx.provider.example", ("127.0.0.3", "127.0.0.4")),
    Rule("many.example", OWN, ("127.0.0.1", "127.0.0.2")),
)


def ask(name: str, kind: str) -> dns.message.Message:
    query = dns.message.make_query(f"{name}.", kind, use_edns=True, payload=1232)
    found = answer(query.to_wire(), RULES)
    assert found is not None
    response = dns.message.from_wire(found)
    assert query.is_response(response)
    return response


def texts(response: dns.message.Message) -> list[str]:
    return [f"{dns.rdatatype.to_text(s.rdtype)} {r.to_text()}" for s in response.answer for r in s]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.slow.example", "MX", ["MX 10 mx.a.slow.example."]),
        ("slow.example", "MX", ["MX 10 mx.slow.example."]),
        ("mx.a.slow.example", "A", ["A 127.0.0.9"]),
        ("mx.a.slow.example", "AAAA", []),
        ("a.slow.example", "A", []),
        ("A.Shared.Example", "MX", ["MX 10 mx.provider.example."]),
        ("mx.provider.example", "A", ["A 127.0.0.3", "A 127.0.0.4"]),
        ("mx.provider.example", "MX", []),
    ],
)
def test_what_a_name_has_follows_from_it(name: str, kind: str, expected: list[str]) -> None:
    response = ask(name, kind)
    assert sorted(texts(response)) == expected
    assert response.rcode() == dns.rcode.NOERROR
    assert bool(response.authority) is not bool(expected)


def test_a_name_has_always_the_same_address_and_many_names_have_all() -> None:
    found = {name: texts(ask(f"mx.{name}.many.example", "A")) for name in map(str, range(50))}
    assert all(texts(ask(f"mx.{name}.many.example", "A")) == address for name, address in found.items())
    assert {address for (address,) in found.values()} == {"A 127.0.0.1", "A 127.0.0.2"}


def test_a_name_that_no_rule_knows_does_not_exist() -> None:
    assert ask("other.example", "MX").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("cut", [0, 5, 12, 14, 20])
def test_what_is_no_question_gets_no_answer(cut: int) -> None:
    whole = dns.message.make_query("a.slow.example.", "MX").to_wire()
    assert answer(whole[:cut], RULES) is None
    response = answer(whole, RULES)
    assert response is not None
    assert answer(response, RULES) is None


def test_a_rule_is_read_as_it_is_written() -> None:
    for rule in RULES:
        assert parse_rule(str(rule)) == rule
    assert parse_rule("*.Slow.example own 127.0.0.9") == RULES[0]
    assert Rule("*", OWN, ("127.0.0.1",)).knows("any.name")
    for line in ("", "a.example own", "a.example own ::1", "a.example own host"):
        with pytest.raises(ValueError, match=r"rule|IPv4|Expected"):
            parse_rule(line)


@pytest.mark.slow
async def test_as_a_process_our_own_resolver_understands_it() -> None:
    clock: Clock = FakeClock()
    async with running_zone(*RULES) as address:
        asker = NameServers(address, clock=clock, wait_s=5.0)
        found = await asker.mx("b.many.example")
        assert [(mx.preference, mx.host) for mx in found.values] == [(10, "mx.b.many.example")]
        assert (await asker.aaaa("mx.b.many.example")).outcome is Outcome.EMPTY
        gone = await asker.mx("nobody.example")
        assert (gone.outcome, gone.ttl_s) == (Outcome.NO_NAME, 3600.0)
