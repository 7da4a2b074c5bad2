"""SPF as receivers evaluate it, on trees in memory. Against another evaluator: tests/fuzz/test_mail_spf_check.py."""

import pytest

from outrider.mail import spf_check
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Result
from tests.fuzz.spf_drive import drive

IP = "192.0.2.7"


def node(*texts: str, **others: list[str]) -> dict[str, list[str]]:
    return {"TXT": list(texts), **others}


def check(zone: dict[str, dict[str, list[str]]], ip: str = IP, sender: str = "") -> Evaluation:
    return drive(spf_check.check(ip, "d.example", sender=sender), zone)[0]


def walk(zone: dict[str, dict[str, list[str]]], ip: str = IP) -> Evaluation:
    return drive(spf_check.walk(ip, "d.example"), zone)[0]


TREE = {
    "d.example": node("v=spf1 include:one.example include:two.example a:h.example mx -all", MX=["10 h.example"]),
    "one.example": node("v=spf1 include:leaf.example include:leaf.example ?all"),
    "two.example": node("v=spf1 exists:%{i}.list.example redirect=three.example"),
    "three.example": node("v=spf1 ptr ip4:192.0.2.7 -all"),
    "leaf.example": node("v=spf1 ip4:198.51.100.0/24 -all"),
    "h.example": {"A": ["192.0.2.9"]},
    "192.0.2.7.list.example": {"A": []},
}


def test_a_tree_is_counted_whole() -> None:
    found = walk(TREE)
    # one, leaf, leaf, two, exists, redirect, ptr, a, mx.
    assert (found.lookups_count, found.result) == (9, Result.FAIL)
    assert found.voids_count == 2  # The exists and the ptr find nothing.
    assert [term.text for term in found.terms if term.name == "ip4"] == ["ip4:198.51.100.0/24"] * 2 + ["ip4:192.0.2.7"]


def test_a_match_ends_the_evaluation() -> None:
    found = check(TREE)
    assert (found.result, found.matched, found.lookups_count) == (Result.PASS, "include:two.example", 7)
    assert check(TREE, "198.51.100.3").lookups_count == 2
    assert check(TREE, "192.0.2.9").matched == "a:h.example"
    assert check(TREE, "203.0.113.1").result is Result.FAIL


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/28 -all", Result.PASS),
        ("v=spf1 ip4:192.0.2.16/28 -all", Result.FAIL),
        ("v=spf1 -ip4:192.0.2.7 +all", Result.FAIL),
        ("v=spf1 ~all", Result.SOFTFAIL),
        ("v=spf1 ?all", Result.NEUTRAL),
        ("v=spf1", Result.NEUTRAL),
        ("v=spf1 a:h.example/28 -all", Result.PASS),
        ("v=spf1 mx:h.example -all", Result.FAIL),
        ("v=spf1 exists:h.example -all", Result.PASS),
        ("v=spf1 include:nowhere.example -all", Result.PERMERROR),
        ("v=spf1 redirect=nowhere.example", Result.PERMERROR),
        ("v=spf1 redirect=nowhere.example ~all", Result.SOFTFAIL),
        ("v=spf1 include:d.example", Result.PERMERROR),
        ("v=spf1 redirect=d.example", Result.PERMERROR),
        ("v=spf1 wrong", Result.PERMERROR),
        ("v=spf1 a:x1.example a:x2.example -all", Result.FAIL),
        ("v=spf1 a:x1.example a:x2.example mx:x3.example -all", Result.PERMERROR),
        ("v=spf1 include:broken.example -all", Result.PERMERROR),
        ("v=spf1 a:failing.example ip4:192.0.2.7 -all", Result.TEMPERROR),
        ("v=spf1 ip4:192.0.2.7 a:failing.example -all", Result.PASS),
        ("v=spf1 include:failing.example -all", Result.TEMPERROR),
        ("", Result.NONE),
    ],
)
def test_what_receivers_conclude(text: str, result: Result) -> None:
    zone = {
        "d.example": node(text),
        "h.example": {"A": ["192.0.2.8"]},
        "broken.example": node("v=spf1 x"),
        "failing.example": {"A": ["SERVFAIL"], "TXT": ["SERVFAIL"]},
    }
    found = check(zone)
    assert found.result is result
    assert bool(found.reason) == (result in (Result.PERMERROR, Result.TEMPERROR))


def test_the_eleventh_look_up_is_one_too_many() -> None:
    def zone(count: int) -> dict[str, dict[str, list[str]]]:
        includes = " ".join(f"include:i{n}.example" for n in range(count))
        leaves = {f"i{n}.example": node("v=spf1 -all") for n in range(count)}
        return {"d.example": node(f"v=spf1 {includes} ip4:{IP} -all"), **leaves}

    assert check(zone(10)).result is Result.PASS
    assert check(zone(11)).result is Result.PERMERROR
    assert (walk(zone(10)).lookups_count, walk(zone(10)).result) == (10, Result.FAIL)
    assert (walk(zone(13)).lookups_count, walk(zone(13)).result) == (13, Result.PERMERROR)
    assert walk(zone(13)).reason == "it costs over 10 look-ups"


def test_hosts_past_ten_of_one_mx_are_an_error() -> None:
    hosts = {f"h{n}.example": {"A": ["192.0.2.99"]} for n in range(11)}
    zone = {"d.example": node("v=spf1 mx -all", MX=[f"10 {host}" for host in hosts]), **hosts}
    assert check(zone).result is Result.PERMERROR
    assert "11 hosts" in check(zone).reason


def test_two_records_are_an_error() -> None:
    assert "2 SPF records" in check({"d.example": node("v=spf1 -all", "v=spf1 +all", "other")}).reason


def test_a_loop_is_told() -> None:
    zone = {"d.example": node("v=spf1 include:e.example -all"), "e.example": node("v=spf1 include:d.example -all")}
    assert check(zone).is_loop
    assert "back to itself" in check(zone).reason
    redirects = {"d.example": node("v=spf1 redirect=e.example"), "e.example": node("v=spf1 redirect=d.example")}
    assert (check(redirects).result, walk(redirects).result) == (Result.PERMERROR, Result.PERMERROR)


# RFC 7208 §7.4, with its names.
@pytest.mark.parametrize(
    ("macro", "name"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{S}.a.example", "strong-bad%40email.example.com.a.example"),
        ("%{h}.%{p}.a.example", "mx.helo.example.unknown.a.example"),
        ("a%%b%_c%-d.example", "a%b c%20d.example"),
    ],
)
def test_macros_are_those_of_the_rfc(macro: str, name: str) -> None:
    steps = spf_check.check(
        "192.0.2.3", "email.example.com", sender="strong-bad@email.example.com", helo="mx.helo.example"
    )
    assert asked(steps, f"v=spf1 exists:{macro} -all") == name


def test_macros_of_ipv6_are_nibbles() -> None:
    steps = spf_check.check("2001:db8::cb01", "email.example.com")
    name = asked(steps, "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all")
    assert name == "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"


def test_a_name_too_long_loses_labels_from_the_left() -> None:
    steps = spf_check.check("192.0.2.3", "d.example", sender=f"{'a.' * 31}a@d.example")
    name = asked(steps, "v=spf1 exists:%{l}.%{l}.%{l}.%{l}.%{l}.end.example -all")
    assert len(name) <= 253
    assert name.endswith(".a.end.example")


def asked(steps: spf_check.Steps, text: str) -> str:
    """Return the name that the record makes receivers ask for."""
    first = next(steps)
    return steps.send(Look(first.name, first.type, Outcome.FOUND, (text,))).name
