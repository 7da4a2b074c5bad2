"""What block lists answer: listed, not listed, refused, silent, out of order, and made up on the way."""

import ipaddress

import pytest

from outrider.base.errors import ConfigError
from outrider.knowledge import block_lists
from outrider.mail.look import Look, Outcome
from outrider.policy import blocklists
from outrider.policy.checkup import CheckState

IP = "192.0.2.7"
LISTS = {one.zone: one for one in block_lists()}
ZEN, COP = LISTS["zen.spamhaus.org"], LISTS["bl.spamcop.net"]


def answered(*values: str) -> Look:
    return Look("q", "A", Outcome.FOUND, values)


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        (IP, "7.2.0.192.z.example"),
        ("2001:db8::1", f"1{'.0' * 23}.8.b.d.0.1.0.0.2.z.example"),
    ],
)
def test_an_address_is_asked_for_backwards(ip: str, name: str) -> None:
    assert blocklists.question(ip, "z.example") == name


def test_the_control_question_is_the_address_that_no_list_has() -> None:
    assert blocklists.control_question(IP, "z.example") == "1.0.0.127.z.example"
    assert blocklists.control_question("2001:db8::1", "z.example").startswith("1.0.0.0.0.0.f.7.f.f.f.f.0.")


def test_not_listed_is_well() -> None:
    for outcome in (Outcome.NO_NAME, Outcome.EMPTY):
        check = blocklists.judge(ZEN, IP, Look("q", "A", outcome))
        assert (check.state, check.subject, check.advice) == (CheckState.OK, f"{IP} zen.spamhaus.org", "")


def test_a_listing_says_what_it_means_and_where_to_go() -> None:
    check = blocklists.judge(ZEN, IP, answered("127.0.0.4", "127.0.0.2", "127.0.0.77"))
    assert check.state is CheckState.FAIL
    assert "SBL: seen sending or supporting spam (127.0.0.2); XBL" in check.seen
    assert "listed (127.0.0.77)" in check.seen
    assert "https://check.spamhaus.org/" in check.advice
    assert blocklists.judge(COP, IP, answered("127.0.0.2")).state is CheckState.WARN


@pytest.mark.parametrize("value", ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1"])
@pytest.mark.parametrize("zone", sorted(LISTS))
def test_a_refusal_is_no_listing(zone: str, value: str) -> None:
    look = answered(value, "127.0.0.2")
    check = blocklists.judge(LISTS[zone], IP, look)
    assert (check.state, blocklists.is_listing(look)) == (CheckState.SKIP, False)
    assert f"refuses to answer this resolver ({value})" in check.seen
    assert "OUTRIDER_NET__DNS_SERVER" in check.advice


@pytest.mark.parametrize("value", ["198.51.100.9", "10.0.0.1", "0.0.0.0"])
def test_an_answer_from_elsewhere_was_made_up_on_the_way(value: str) -> None:
    check = blocklists.judge(ZEN, IP, answered(value))
    assert (check.state, value in check.seen) == (CheckState.SKIP, True)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.TIMED_OUT, "did not answer in time"),
        (Outcome.FAILED, "servers failed"),
        (Outcome.LOOP, "servers failed"),
    ],
)
def test_silence_and_failure_are_no_listing_and_no_failure_of_ours(outcome: Outcome, words: str) -> None:
    look = Look("q", "A", outcome)
    check = blocklists.judge(ZEN, IP, look)
    assert (check.state, words in check.seen, blocklists.is_listing(look)) == (CheckState.SKIP, True, False)


def test_a_list_that_has_everybody_says_nothing() -> None:
    check = blocklists.judge(ZEN, IP, answered("127.0.0.2"), is_dead=True)
    assert (check.state, "out of order" in check.seen) == (CheckState.SKIP, True)


def test_only_lists_of_that_family_are_asked() -> None:
    assert [zone for zone, one in LISTS.items() if blocklists.is_asked(one, "2001:db8::1")] == [
        "zen.spamhaus.org",
        "dnsbl.dronebl.org",
    ]
    assert all(blocklists.is_asked(one, IP) for one in LISTS.values())


def test_the_file_says_only_what_may_be_an_answer() -> None:
    for one in LISTS.values():
        assert (one.source, one.look_up.startswith("https://")) != ("", False)
        for code, words in one.codes.items():
            assert ipaddress.ip_address(code) in ipaddress.ip_network("127.0.0.0/24")
            assert code != "127.0.0.1"
            assert words


@pytest.mark.parametrize(
    "change",
    ['weight = "ok"', 'weight = "skip"', "families = [5]", "families = []", "nonsense = 1", 'zone = ""\nzone = ""'],
)
def test_a_file_that_is_wrong_is_refused(change: str) -> None:
    keys = {
        "zone": '"z.example"',
        "name": '"Z"',
        "families": "[4]",
        "weight": '"warn"',
        "look_up": '"https://z.example/"',
        "caveat": '""',
        "codes": "{}",
        "source": '"here"',
        "seen_on": "2026-11-28",
    }
    whole = "[[list]]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items())
    assert len(blocklists.parse(whole)) == 1
    keys.pop(change.partition(" ")[0], None)
    with pytest.raises(ConfigError, match="block lists"):
        blocklists.parse("[[list]]\n" + "\n".join([change, *(f"{key} = {value}" for key, value in keys.items())]))
