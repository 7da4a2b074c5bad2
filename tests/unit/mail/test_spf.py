"""SPF records as they are written, and merged. For all of them: tests/fuzz/test_mail_spf.py."""

import pytest

from outrider.mail import spf
from outrider.mail.spf import SpfError

OURS = "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 ~all"


def test_a_record_with_everything_is_read() -> None:
    record = spf.parse(
        "V=SPF1 +A mx:b.example/24//64 -PTR:c.example ip4:192.0.2.0/24 ip6:2001:db8::/32 ~exists:%{ir}.%{v}.d.example "
        "?include:_spf.e.example  redirect=f.example exp=x.%{d} unknown=%{s} -all"
    )
    assert [(term.qualifier, term.name, term.value) for term in record.mechanisms] == [
        ("+", "a", ""),
        ("+", "mx", "b.example"),
        ("-", "ptr", "c.example"),
        ("+", "ip4", "192.0.2.0"),
        ("+", "ip6", "2001:db8::"),
        ("~", "exists", "%{ir}.%{v}.d.example"),
        ("?", "include", "_spf.e.example"),
        ("-", "all", ""),
    ]
    assert (record.mechanisms[1].ipv4_bits, record.mechanisms[1].ipv6_bits) == (24, 64)
    assert record.redirect is not None
    assert record.all is not None
    assert record.lookups_count == 5  # A redirect beside `all` is never followed.
    assert spf.parse("v=spf1 mx redirect=f.example").lookups_count == 2


@pytest.mark.parametrize("text", ["v=spf1", "v=spf1 ", "V=spf1 -all"])
def test_what_is_a_record(text: str) -> None:
    assert spf.is_spf(text)
    assert spf.parse(text) is not None


@pytest.mark.parametrize("text", ["", "v=spf10", "v=spf1ip4:192.0.2.1", " v=spf1", '"v=spf1 -all"', "spf2.0/pra -all"])
def test_what_is_none(text: str) -> None:
    assert not spf.is_spf(text)
    with pytest.raises(SpfError, match="begin"):
        spf.parse(text)


@pytest.mark.parametrize(
    "word",
    [
        "ipv4:192.0.2.1",
        "ip4",
        "ip4:",
        "ip4:192.0.2",
        "ip4:192.0.2.1/33",
        "ip4:192.0.2.1/",
        "ip4:192.0.2.1/024",
        "ip4:192.0.2.1//24",
        "ip4:2001:db8::1",
        "ip6:192.0.2.1",
        "ip6:2001:db8::1/129",
        "ip6:fe80::1%eth0",
        "include",
        "include:",
        "include:example",
        "include:192.0.2.1",
        "include:a.example/24",
        "a:",
        "a/33",
        "a/",
        "a//129",
        "ax",
        "mx:a..example/x",
        "ptr/24",
        "all:x",
        "all.",
        "-all/24",
        "--all",
        "exists:%{x}.a.example",
        "exists:%{c}.a.example",
        "exists:%a.example",
        "redirect=",
        "redirect=example",
        "a=%{",
        "ü:a.example",
        "a:b\tc.example",
        ",",
        "192.0.2.1",
    ],
)
def test_a_wrong_word_spoils_the_record(word: str) -> None:
    with pytest.raises(SpfError):
        spf.parse(f"v=spf1 mx {word} -all")


@pytest.mark.parametrize("name", ["redirect", "exp"])
def test_a_modifier_counts_once(name: str) -> None:
    with pytest.raises(SpfError, match="twice"):
        spf.parse(f"v=spf1 {name}=a.example {name}=b.example")


def test_terms_that_say_the_same_mean_the_same() -> None:
    one, other = (
        "v=spf1 +ip4:192.0.2.9/24 IP6:2001:DB8::7 include:A.Example a mx:b.example.",
        ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8:0::7/128 include:a.example +a/32 mx:b.example"),
    )
    meanings = [[term.meaning for term in spf.parse(text).terms] for text in (one, other)]
    assert meanings[0] == meanings[1]
    assert spf.parse("v=spf1 -a").terms[0].meaning != spf.parse("v=spf1 a").terms[0].meaning


@pytest.mark.parametrize(
    ("published", "merged"),
    [
        ([], OURS),
        (["site-verification=1"], OURS),
        (["v=spf1 -all"], "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"),
        (["v=spf1"], "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7"),
        (["v=spf1 mx ip4:192.0.2.7 ?all"], "v=spf1 mx ip4:192.0.2.7 ip6:2001:db8::7 ?all"),
        (["v=spf1 redirect=a.example"], "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 redirect=a.example"),
        (["v=spf1 a exp=x.example -all"], "v=spf1 a exp=x.example ip4:192.0.2.7 ip6:2001:db8::7 -all"),
        (["v=spf1 a -all mx"], "v=spf1 a ip4:192.0.2.7 ip6:2001:db8::7 -all mx"),
        (
            ["v=spf1 a ~all", "v=spf1 mx redirect=b.example", "v=spf1 a ip4:192.0.2.7 -all"],
            "v=spf1 a mx include:b.example ip4:192.0.2.7 ip6:2001:db8::7 ~all",
        ),
        ([OURS], OURS),
        (["V=SPF1 -all"], "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"),
    ],
)
def test_ours_goes_before_all_and_nothing_is_lost(published: list[str], merged: str) -> None:
    found = spf.merge(published, OURS)
    assert (found.text, found.problem) == (merged, "")
    assert spf.merge([merged], OURS).text == merged


def test_a_merged_record_past_ten_look_ups_says_so() -> None:
    nine = "v=spf1 " + " ".join(f"include:i{n}.example" for n in range(9)) + " -all"
    wanted = "v=spf1 include:ours.example ~all"
    assert spf.merge([nine], wanted) == spf.Merged(nine.replace(" -all", " include:ours.example -all"), 10)
    assert "costs 11 DNS look-ups" in spf.merge([nine], wanted, ours=2, known_lookups=9).problem
    assert "costs 31 DNS look-ups" in spf.merge([nine], wanted, known_lookups=30).problem
    assert spf.merge([nine], OURS, known_lookups=10).problem == ""
    assert spf.merge([wanted], wanted, known_lookups=3, ours=3) == spf.Merged(wanted, 3)  # It is in there already.


def test_what_cannot_be_read_stays_and_is_the_problem() -> None:
    found = spf.merge(["v=spf1 ipv4:192.0.2.1 -all"], OURS)
    assert found.text == "v=spf1 ipv4:192.0.2.1 ip4:192.0.2.7 ip6:2001:db8::7 -all"
    assert "ipv4:192.0.2.1 is no mechanism" in found.problem


def test_a_record_too_long_for_old_receivers_says_so() -> None:
    many = " ".join(f"ip4:192.0.2.{n}" for n in range(40))
    assert "longer" in spf.merge([f"v=spf1 {many} -all"], OURS).problem
