"""Whose limits hold, which, and what follows from a reply. The data themselves: tests/tidy/test_shaping_lint.py."""

import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import outrider.policy
from outrider.base.errors import ConfigError
from outrider.policy.reason import Reason
from outrider.policy.sentence import rate_of
from outrider.policy.settings import Encryption, Override, ShapingSettings
from outrider.policy.shaping import (
    Act,
    Limits,
    Place,
    Rate,
    Reaction,
    Shaping,
    normal_pattern,
    parse,
    parse_rate,
)

TEXT: Final = (Path(outrider.policy.__path__[0]) / "shaping.toml").read_text("utf-8")
SHAPING: Final = parse(TEXT)
GMAIL_HOSTS: Final = ("gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com", "aspmx2.googlemail.com")

labels = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8)
google_hosts = st.builds("{}.{}".format, labels, st.sampled_from(["google.com", "l.google.com", "googlemail.com"]))
rates = st.builds(Rate, st.integers(1, 999_999_999), st.sampled_from([1.0, 60.0, 3600.0, 86400.0]))


def complaint(extra: str = "", **settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(TEXT, ShapingSettings(**settings), extra)  # type: ignore[arg-type]
    return caught.value.public


def rule(more: str = "", acts: str = '{ act = "slow" }', **keys: str) -> str:
    values = {"id": '"x.a"', "providers": '["*"]', "pattern": "'slower'", "acts": f"[{acts}]"} | keys
    return "[[rule]]\n" + "\n".join(f"{key} = {value}" for key, value in values.items()) + f"\n{more}\n"


# Place.


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (GMAIL_HOSTS, "gmail"),
        (("SMTP.Google.com.",), "gmail"),
        (("mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"), "yahoo"),
        (("mx1.mail.yahoo.co.jp", "mx2.mail.yahoo.co.jp"), "yahoo-japan"),
        (("hotmail-com.olc.protection.outlook.com",), "outlook"),
        (("corp-example.mail.protection.outlook.com",), "microsoft365"),
        (("corp-example.k-v1.mx.microsoft",), "microsoft365-dane"),
        (("mx01.mail.icloud.com", "mx02.mail.icloud.com"), "icloud"),
        (("mx1a1.comcast.net",), "comcast"),
        (("us-smtp-inbound-1.mimecast.com", "us-smtp-inbound-2.mimecast.com"), "mimecast"),
        (("mx00.mail.com", "mx01.mail.com"), "mailcom"),
        (("mx00.gmx.net", "mx-ha02.web.de"), "gmx"),
        (("smtp-in.orange.fr",), "orange"),
        (("d1234.a.ess.barracudanetworks.com",), "barracuda"),
        (("mx.netvigator.com",), "netvigator"),
        (("mx1.kpnmail.nl",), "kpn"),
        (("mxbiz1.qq.com",), "qq"),
        (("163mx01.mxmail.netease.com",), "netease"),
        # Nobody's: nothing, the bare domain, a look-alike, one foreign host, another's suffix in the middle.
        ((), ""),
        (("google.com",), ""),
        (("mx.notgoogle.com",), ""),
        ((*GMAIL_HOSTS, "mx.example"), ""),
        (("mx.google.com.example",), ""),
        (("a.mail.protection.outlook.com", "a.olc.protection.outlook.com"), ""),
        (("protection.outlook.com",), ""),
    ],
)  # fmt: skip
def test_whose_a_domain_is(hosts: tuple[str, ...], provider: str) -> None:
    assert SHAPING.place(hosts, "the,site") == Place(provider, provider or "the,site")


def test_the_first_provider_in_the_file_decides() -> None:
    extra = '[[provider]]\nname = "big"\nmx = ["*.com"]\n'
    assert parse(TEXT, extra_text=extra).place(GMAIL_HOSTS, "x").provider == "big"


def test_a_whole_name_is_that_host_alone() -> None:
    own = parse(TEXT, extra_text='[[provider]]\nname = "one"\nmx = ["MX.One.Example."]\n')
    assert own.place(["mx.one.example"], "x").provider == "one"
    assert own.place(["a.mx.one.example"], "x").provider == ""


@given(hosts=st.lists(google_hosts, min_size=1, max_size=6), chance=st.randoms(use_true_random=False))
def test_order_case_and_the_final_dot_do_not_matter(hosts: list[str], chance: object) -> None:
    wanted = SHAPING.place(hosts, "site")
    assert wanted.provider == "gmail"
    spelt = [host.upper() if at % 2 else f"{host}." for at, host in enumerate(hosts)]
    chance.shuffle(spelt)  # type: ignore[attr-defined]
    assert SHAPING.place(spelt, "site") == wanted


@given(hosts=st.lists(google_hosts, max_size=4), at=st.integers(0, 4), foreign=labels)
def test_one_foreign_host_and_it_is_nobodys(hosts: list[str], at: int, foreign: str) -> None:
    hosts.insert(at, f"{foreign}.example")
    assert SHAPING.place(hosts, "site") == Place("", "site")


# Limits.


def test_limits_are_those_of_the_survey() -> None:
    assert SHAPING.limits("gmail", "shared") == Limits(
        connections=5, messages_per_connection=50, tls=Encryption.REQUIRED
    )
    assert SHAPING.limits("yahoo-japan", "") == Limits(
        connections=2, messages_per_connection=20, rates=(Rate(10, 1.0),)
    )
    assert SHAPING.limits("microsoft365", "") == Limits(connections=20, connections_per_site=5)
    assert SHAPING.limits("netease", "").tls is Encryption.REQUIRED_UNVERIFIED
    assert (SHAPING.limits("smarthost", "").connections, SHAPING.limits("catch", "").connections) == (40, 40)


@pytest.mark.parametrize("provider", ["", "default", "gone", "*"])
def test_a_domain_without_provider_has_the_default(provider: str) -> None:
    changed = parse(TEXT, ShapingSettings(providers={"default": Override(connections=2)}))
    assert SHAPING.limits(provider, "shared") == Limits()
    assert changed.limits(provider, "shared") == Limits(connections=2)
    assert changed.limits("yahoo", "shared") == SHAPING.limits("yahoo", "shared"), "default is for the others only"


def test_settings_change_a_provider_and_a_pool_changes_it_again() -> None:
    settings = ShapingSettings(
        providers={"gmail": Override(connections=3, rates="10/s, 600/min"), "yahoo_japan": Override(rates="")},
        pools={"bulk": {"gmail": Override(connections=1), "default": Override(connection_rate="100/min")}},
    )
    changed = parse(TEXT, settings)
    rates = (Rate(10, 1.0), Rate(600, 60.0))
    assert changed.limits("gmail", "shared") == Limits(connections=3, rates=rates, tls=Encryption.REQUIRED)
    assert changed.limits("gmail", "bulk") == Limits(connections=1, rates=rates, tls=Encryption.REQUIRED)
    assert changed.limits("yahoo-japan", "bulk").rates == ()
    assert changed.limits("", "bulk") == Limits(connection_rate=Rate(100, 60.0))
    cleared = parse(TEXT, ShapingSettings(pools={"bulk": {"default": Override(connection_rate="")}}))
    assert cleared.limits("", "bulk") == Limits()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"providers": {"gmial": Override()}}, "[shaping.providers.gmial]: there is no provider 'gmial'. Did you mean"),
        ({"pools": {"bulk": {"x": Override()}}}, "[shaping.pools.bulk.x]: there is no provider 'x'."),
        ({"providers": {"gmail": Override(rates="10/year")}}, "[shaping.providers.gmail] rates: '10/year' is no rate"),
        ({"providers": {"gmail": Override(rates="1/s,,2/s")}}, "[shaping.providers.gmail] rates: '' is no rate"),
        ({"providers": {"gmail": Override(rates=",".join(["1/s"] * 5))}}, "rates: 5 rates; at most 4"),
        ({"pools": {"b": {"qq": Override(connection_rate="0/s")}}}, "[shaping.pools.b.qq] connection_rate: '0/s'"),
        ({"providers": {"yahoo_japan": Override(), "yahoo-japan": Override()}}, "'yahoo-japan' is there twice"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], words: str) -> None:
    assert words in complaint(**settings)


# Rates.


@given(rate=rates)
def test_a_rate_is_read_as_it_is_written(rate: Rate) -> None:
    assert parse_rate(rate_of(rate)) == rate


@given(text=st.from_regex(r"[1-9][0-9]{0,8}/(s|min|h|d)", fullmatch=True))
def test_a_text_is_written_as_it_was_read(text: str) -> None:
    assert rate_of(parse_rate(f" {text} ")) == text


@given(text=st.text(max_size=8))
def test_anything_else_is_no_rate(text: str) -> None:
    assume(not re.fullmatch(r"\s*[0-9]+\s*/\s*(s|min|h|d)\s*", text))
    with pytest.raises(ConfigError, match="is no rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    "text", ["", "10", "/s", "10/", "0/s", "-1/s", "1.5/s", "10/m", "10/sec", "٣/s", "1234567890/s"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_rate(text)


# Reactions.


def acts(shaping: Shaping, provider: str, line: str, reason: str = "") -> list[Act]:
    return [reaction.act for reaction in shaping.react(provider, line, reason)]


def test_one_reply_may_lead_to_several_acts() -> None:
    line = "451 4.7.500 Server busy. Please try again later from [192.0.2.7]. (AS77712344)"
    assert SHAPING.react("outlook", line, Reason.RATE_PROVIDER) == (
        Reaction(rule="outlook.busy", act=Act.SLOW, is_temporary=True),
        Reaction(rule="outlook.busy", act=Act.CAP, rate=Rate(1, 60.0), for_s=900, hits=3, is_temporary=True),
        Reaction(rule="outlook.busy", act=Act.REST, for_s=1800, hits=5, is_temporary=True),
    )


@pytest.mark.parametrize(
    ("provider", "line", "reason", "wanted"),
    [
        # providers.md 1.2.
        ("gmail", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER, [Act.PAUSE, Act.SLOW]),
        ("gmail", "450 4.2.1 too quickly", Reason.RECIPIENT_RATE, []),
        ("gmail", "550 5.1.1 no such user", Reason.RECIPIENT_INVALID, []),
        ("gmail", "421 4.7.26 rate limited because it is unauthenticated", Reason.SENDER_AUTH, []),
        ("yahoo", "421 4.7.0 [TSS04] Messages temporarily deferred", Reason.RATE_PROVIDER, [Act.SLOW, Act.REST]),
        ("yahoo", "421 Max message per connection reached", Reason.RATE_CONNECTIONS, [Act.RECONNECT, Act.CAP]),
        # The same words from somebody else: everybody's rules.
        ("", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER, [Act.SLOW]),
        ("kpn", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER, [Act.SLOW]),
        ("gone", "421 too many connections", Reason.RATE_CONNECTIONS, [Act.RECONNECT, Act.CAP]),
        ("smarthost", "554 blocked using zen", Reason.IP_REPUTATION, [Act.REST]),
        ("", "451 4.7.1 greylisted", Reason.GREYLIST, []),
        ("", "550 computer says no", Reason.UNKNOWN_HARD, []),
    ],
)  # fmt: skip
def test_what_follows_from_a_reply(provider: str, line: str, reason: Reason, wanted: list[Act]) -> None:
    assert acts(SHAPING, provider, line, reason) == wanted


def test_case_does_not_matter() -> None:
    assert acts(SHAPING, "qq", "550 IP FREQUENCY LIMITED", Reason.RATE_PROVIDER)


@given(
    provider=st.text(max_size=4) | st.sampled_from(["gmail", "yahoo", "*", "default"]),
    line=st.text(max_size=60),
    reason=st.text(max_size=4) | st.sampled_from(Reason),
)
def test_every_reply_has_an_answer(provider: str, line: str, reason: str) -> None:
    reactions = SHAPING.react(provider, line, reason)
    found = SHAPING.rule_for(provider, line, reason)
    assert [reaction.rule for reaction in reactions] == ([found.id] * len(found.acts) if found else [])


def test_a_rule_without_acts_keeps_the_others_away() -> None:
    own = parse(TEXT, extra_text=rule(acts="", providers='["gmail"]', pattern="'^'"))
    assert acts(own, "gmail", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER) == []
    assert acts(own, "", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER) == [Act.SLOW]


# The operator's own file.


def test_an_own_provider_and_rule_come_before_ours() -> None:
    extra = '[[provider]]\nname = "corp"\nmx = ["*.corp.example"]\nconnections = 1\n' + rule(
        'reason = "greylist"', providers='["corp", "gmail"]', acts='{ act = "rest", for_s = 60, within_s = 30 }'
    )
    own = parse(TEXT, extra_text=extra)
    assert own.place(["mx.corp.example"], "x") == Place("corp", "corp")
    assert own.limits("corp", "") == Limits(connections=1)
    wanted = (Reaction(rule="x.a", act=Act.REST, for_s=60, within_s=30),)
    assert own.react("corp", "450 slower", Reason.GREYLIST) == wanted
    assert own.react("gmail", "450 slower", Reason.GREYLIST) == wanted
    assert own.react("gmail", "450 slower", Reason.UNKNOWN_SOFT) == ()


def test_one_of_the_same_name_replaces_ours() -> None:
    extra = '[[provider]]\nname = "gmail"\nmx = ["*.google.com"]\nconnections = 2\n' + rule(id='"gmail.rate"')
    own = parse(TEXT, extra_text=extra)
    assert own.limits("gmail", "") == Limits(connections=2), "as a whole: TLS too"
    assert own.place(["a.googlemail.com"], "x").provider == ""
    assert len(own.rules) == len(SHAPING.rules)
    assert acts(own, "gmail", "421 4.7.28 unusual rate", Reason.RATE_PROVIDER) == [Act.SLOW]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("[[provider", "The file of [shaping] file cannot be read"),
        ('[[provider]]\nname = "Gmail"\nmx = ["*.a"]', "name"),
        ('[[provider]]\nname = "a"\nmx = ["*.a"]\nconections = 3', "conections"),
        ('[[provider]]\nname = "a"\nmx = ["*.a"]\nconnections = 0', "connections"),
        ('[[provider]]\nname = "a"', "Provider a has no MX patterns"),
        ('[[provider]]\nname = "a"\nmx = ["a.*.b"]', "Provider a: 'a.*.b' is no MX pattern"),
        ('[[provider]]\nname = "a"\nmx = ["*.a"]\nrates = "5"', "Provider a rates: '5' is no rate"),
        ('[[provider]]\nname = "a"\nmx = ["*.a"]\n' * 2, "two providers are called a"),
        (rule() * 2, "Two rules are called x.a"),
        (rule(pattern="'('"), "x.a is broken"),
        (rule(providers='["gmial"]'), "Rule x.a: there is no provider 'gmial'"),
        (rule(providers='["default"]'), "Rule x.a: there is no provider 'default'"),
        (rule(providers="[]"), "providers"),
        (rule(reason='"greylisted"'), "greylisted"),
        (rule("is_temporary = true", acts=""), "give it an act"),
        (rule(acts='{ act = "stop" }'), "stop"),
        (rule(acts='{ act = "rest" }'), "Rule x.a, rest: for_s"),
        (rule(acts='{ act = "slow", for_s = 5 }'), "Rule x.a, slow: for_s"),
        (rule(acts='{ act = "cap", for_s = 5 }'), "Rule x.a, cap: rate, connections"),
        (rule(acts='{ act = "pause", for_s = 5, connections = 1 }'), "Rule x.a, pause: rate, connections"),
        (rule(acts='{ act = "cap", connections = 1 }'), "Rule x.a, cap: for_s"),
        (rule(acts='{ act = "cap", for_s = 5, rate = "1" }'), "Rule x.a, cap: '1' is no rate"),
    ],
)
def test_a_wrong_file_is_refused(extra: str, words: str) -> None:
    assert words in complaint(extra)


def test_what_must_be_there_is_missed() -> None:
    with pytest.raises(ConfigError, match="no provider catch"):
        parse("")


@pytest.mark.parametrize("pattern", ["", "*", "*.", ".", "a b", "*.*.a", "a..b", ".a", "a,b"])
def test_what_is_no_mx_pattern(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no MX pattern"):
        normal_pattern(pattern)
