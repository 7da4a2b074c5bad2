"""Ways out: which pool carries what, who is asked first and how often, and what a wrong table is told."""

import itertools
import re
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import ConfigError
from outrider.base.vocab import Stream
from outrider.policy import route
from outrider.policy.route import Egress, Member, Pool, Smarthost, Source
from outrider.policy.settings import EgressSettings, Use

T, M = Stream.TRANSACTIONAL, Stream.MARKETING
PROJECT_ID = "019ef2a4-0000-7000-8000-00000000000a"
PLAIN = Source("default")
SECRET = "hunter2"


def egress(default: Source = PLAIN, **table: Any) -> Egress:
    return route.make_egress(msgspec.convert(table, EgressSettings), default)


def names(order: tuple[Member, ...]) -> list[str]:
    return [member.source.name for member in order]


def two(**more: Any) -> dict[str, Any]:
    return {"sources": {"a": {"address": "127.0.0.2"}, "b": {"address": "127.0.0.3"}}} | more


# What is made of the settings.


def test_without_sources_there_is_one_in_one_pool() -> None:
    default = Source("default", "127.0.0.2", "mx.example", Smarthost("relay.example", 587))
    made = egress(default)
    assert made.sources == (default,)
    assert made.pools_served == ("default",)
    assert made.addresses == ("127.0.0.2",)
    assert made.pool_for(M, ("shop",), "shop.example") == "default"
    assert made.order("default", "gmail", 0.5) == (Member(default),)


def test_without_pools_all_sources_share_the_default_one() -> None:
    made = egress(**two())
    assert made.pools_served == ("default",)
    assert sorted(names(made.order("default", "", 0.1))) == ["a", "b"]
    assert made.addresses == ("127.0.0.2", "127.0.0.3")


def test_a_pool_may_be_empty_here_and_assigned() -> None:
    made = egress(pools={"far": {}}, assign=[{"stream": "marketing", "pool": "far"}])
    assert made.pools_served == ("default",)
    assert made.pool_for(M, (), "shop.example") == "far"
    assert made.pool_for(T, (), "shop.example") == "default"
    assert made.order("far", "gmail", 0.5) == ()
    assert made.order("unheard-of", "gmail", 0.5) == ()


def test_a_node_may_serve_nothing() -> None:
    assert egress(pools={"default": {}}).pools_served == ()


def test_pools_with_a_source_that_warms_up_are_known() -> None:
    sources = {"new": {"address": "127.0.0.2", "warmup": "resend"}, "old": {"address": "127.0.0.3"}}
    made = egress(sources=sources, pools={"both": {"old": {}, "new": {}}, "default": {"old": {}}, "far": {}})
    assert made.pools_warming == ("both",)
    assert egress(pools={"bulk": {"default": {}}}).pools_warming == ()


def test_the_implicit_source_may_be_a_member_by_name() -> None:
    made = egress(pools={"bulk": {"default": {}}})
    assert made.pools_served == ("bulk", "default")


def test_a_source_takes_from_the_default_what_it_leaves_open() -> None:
    relay = Smarthost("relay.example", 587, "user", SECRET)
    sources = {
        "a": {"address": "127.0.0.2"},
        "b": {
            "address": "::1",
            "ehlo_name": "b.example",
            "smarthost": "smarthost://other.example:25",
            "warmup": "slow",
        },
    }
    assert egress(Source("default", "", "mx.example", relay), sources=sources).sources == (
        Source("a", "127.0.0.2", "mx.example", relay),
        Source("b", "::1", "b.example", Smarthost("other.example", 25), "slow"),
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2001:DB8:0:0::10", "2001:db8::10"),
        ("::ffff:192.0.2.10", "192.0.2.10"),
        ("192.0.2.10", "192.0.2.10"),
    ],
)
def test_an_address_is_kept_in_one_form(written: str, kept: str) -> None:
    assert egress(sources={"a": {"address": written}}).addresses == (kept,)


def test_a_smart_host_needs_no_address() -> None:
    made = egress(sources={"relay": {"smarthost": f"smarthost://user:{SECRET}@relay.example:587"}})
    assert made.sources == (Source("relay", smarthost=Smarthost("relay.example", 587, "user", SECRET)),)
    assert made.addresses == ()


def test_no_password_is_in_any_repr() -> None:
    table = {"sources": {"relay": {"smarthost": f"smarthost://user:{SECRET}@relay.example:587"}}}
    settings = msgspec.convert(table, EgressSettings)
    for shown in (settings, route.make_egress(settings, PLAIN), (settings.sources, settings.sources["relay"])):
        assert SECRET not in repr(shown)
        assert SECRET not in str(shown)


# Which pool.


def assigned(*assign: dict[str, str]) -> Egress:
    return egress(pools={"p": {}, "q": {}}, assign=list(assign))


@pytest.mark.parametrize(
    ("rule", "stream", "project", "domain", "is_met"),
    [
        ({}, T, "shop", "shop.example", True),
        ({"stream": "marketing"}, M, "shop", "shop.example", True),
        ({"stream": "marketing"}, T, "shop", "shop.example", False),
        ({"project": "shop"}, T, "shop", "shop.example", True),
        ({"project": "Shop"}, T, "shop", "shop.example", False),
        ({"project": PROJECT_ID.upper()}, T, "shop", "shop.example", True),
        ({"project": "0" * 32}, T, "0" * 32, "shop.example", True),
        ({"domain": "Shop.Example"}, T, "shop", "shop.example", True),
        ({"domain": "bücher.example"}, T, "shop", "xn--bcher-kva.example", True),
        ({"domain": "shop.example"}, T, "shop", "news.shop.example", False),
        ({"stream": "marketing", "project": "shop", "domain": "shop.example"}, M, "shop", "shop.example", True),
        ({"stream": "marketing", "project": "other", "domain": "shop.example"}, M, "shop", "shop.example", False),
    ],
)
def test_an_assignment_is_met_by_all_it_says(
    rule: dict[str, str], stream: Stream, project: str, domain: str, is_met: bool
) -> None:
    made = assigned(rule | {"pool": "p"})
    assert made.pool_for(stream, (project, PROJECT_ID), domain) == ("p" if is_met else "default")


def test_the_first_that_is_met_decides() -> None:
    made = assigned({"domain": "shop.example", "pool": "q"}, {"stream": "marketing", "pool": "p"}, {"pool": "q"})
    assert [made.pool_for(M, (), domain) for domain in ("shop.example", "x.example")] == ["q", "p"]
    assert made.pool_for(T, (), "x.example") == "q"


# In which order.


def test_overflow_comes_after_the_regular_and_failover_last() -> None:
    uses = {"a": "failover", "b": "overflow", "c": "always", "d": "always"}
    sources = {name: {"address": f"127.0.0.{at}"} for at, name in enumerate(uses, 2)}
    made = egress(sources=sources, pools={"default": {name: {"use": use} for name, use in uses.items()}})
    for chance in (0.0, 0.3, 0.7, 0.999999):
        assert names(made.order("default", "", chance))[2:] == ["b", "a"]
    assert [member.use for member in made.order("default", "", 0.5)] == ["always", "always", "overflow", "failover"]


def test_a_member_for_some_providers_gets_their_mail_only() -> None:
    made = egress(**two(pools={"default": {"a": {}, "b": {"providers": ["gmail"]}}}))
    assert sorted(names(made.order("default", "gmail", 0.5))) == ["a", "b"]
    assert names(made.order("default", "yahoo", 0.5)) == ["a"]
    assert names(made.order("default", "", 0.5)) == ["a"]


def test_default_is_whatever_no_other_member_names() -> None:
    made = egress(**two(pools={"default": {"a": {"providers": ["default"]}, "b": {"providers": ["gmail"]}}}))
    found = {provider: names(made.order("default", provider, 0.5)) for provider in ("gmail", "yahoo", "")}
    assert found == {"gmail": ["b"], "yahoo": ["a"], "": ["a"]}


def pool_of(weights: list[int]) -> Egress:
    members = tuple(Member(Source(str(at)), weight) for at, weight in enumerate(weights))
    return Egress(tuple(one.source for one in members), {"p": Pool("p", members)})


weights_of = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@pytest.mark.slow
@given(weights_of, st.integers(100, 400))
def test_each_is_first_as_often_as_its_weight_says(weights: list[int], draw_count: int) -> None:
    """Chances spread evenly leave no room for luck: each count is its share, give or take the two ends."""
    made = pool_of(weights)
    firsts = Counter(made.order("p", "", at / draw_count)[0].source.name for at in range(draw_count))
    for at, weight in enumerate(weights):
        assert abs(firsts[str(at)] - draw_count * weight / sum(weights)) <= 1.001


@pytest.mark.slow
@given(st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_the_second_place_too_goes_by_weight(weights: list[int]) -> None:
    """What is left of the chance is as good as a new one."""
    draw_count, made = 500, pool_of(weights)
    pairs = Counter(tuple(names(made.order("p", "", at / draw_count))[:2]) for at in range(draw_count))
    for first, second in itertools.permutations(range(3), 2):
        left = sum(weights) - weights[first]
        share = weights[first] / sum(weights) * weights[second] / left
        assert abs(pairs[str(first), str(second)] - draw_count * share) <= 2.001


uses = st.sampled_from(Use)
some_providers = st.frozensets(st.sampled_from(["default", "gmail", "yahoo"]), max_size=2)
members_of = st.lists(st.tuples(st.integers(1, 1_000_000), uses, some_providers), min_size=1, max_size=8)
chances = st.floats(0, 1, exclude_max=True)


@pytest.mark.slow
@given(members_of, st.sampled_from(["", "gmail", "yahoo", "outlook"]), chances)
def test_an_order_has_each_that_may_once_in_the_order_of_use(
    rows: list[tuple[int, Use, frozenset[str]]], provider: str, chance: float
) -> None:
    table: dict[str, Any] = {
        "sources": {f"s{at}": {"address": f"127.0.1.{at}"} for at in range(len(rows))},
        "pools": {
            "default": {
                f"s{at}": {"weight": weight, "use": use, "providers": list(wanted)}
                for at, (weight, use, wanted) in enumerate(rows)
            }
        },
    }
    try:
        made = egress(**table)
    except ConfigError:
        return  # Nobody regular takes some mail; what is said then is tested below.
    order = made.order("default", provider, chance)
    named = set().union(*(wanted for *_, wanted in rows)) - {"default"}
    may = {
        f"s{at}"
        for at, (*_, wanted) in enumerate(rows)
        if not wanted or provider in wanted or ("default" in wanted and provider not in named)
    }
    assert sorted(names(order)) == sorted(may)
    places = [list(Use).index(member.use) for member in order]
    assert places == sorted(places)
    assert any(member.use is not Use.OVERFLOW for member in order), "no mail waits for a source that is not there"
    assert made.order("default", provider, chance) == order


# What is refused.


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"sources": {"a": {}}}, ["egress.sources.a", "`address`", "`smarthost`"]),
        ({"sources": {"a": {"address": "mx.example"}}}, ["egress.sources.a.address", "no IPv4 or IPv6"]),
        ({"sources": {"a": {"address": "192.0.2.10/24"}}}, ["egress.sources.a.address"]),
        ({"sources": {"a": {"address": "0.0.0.0"}}}, ["egress.sources.a.address", "come from"]),
        ({"sources": {"a": {"address": "::"}}}, ["egress.sources.a.address"]),
        ({"sources": {"a": {"address": "224.0.0.1"}}}, ["egress.sources.a.address"]),
        ({"sources": {"a": {"address": "fe80::1%eth0"}}}, ["egress.sources.a.address", "zone"]),
        (
            {"sources": {"a": {"address": "192.0.2.1"}, "b": {"address": "::ffff:192.0.2.1"}}},
            ["egress.sources.b.address", "192.0.2.1", "'a'"],
        ),
        ({"sources": {"a": {"smarthost": "relay.example:25"}}}, ["egress.sources.a.smarthost", "smarthost://"]),
        ({"sources": {"Mta": {"address": "127.0.0.2"}}}, ["egress.sources.Mta", "lower-case"]),
        ({"sources": {"a__b": {"address": "127.0.0.2"}}}, ["egress.sources.a__b"]),
        ({"sources": {"a" * 64: {"address": "127.0.0.2"}}}, ["63"]),
        ({"pools": {"x.y": {}}}, ["egress.pools.x.y"]),
        (two(pools={"default": {"a": {}, "c": {}}}), ["egress.pools.default.c", "'c'", "a, b"]),
        (
            two(pools={"default": {"a": {}}}, assign=[{"pool": "q"}]),
            ["egress.assign[1].pool", "'q'", "[egress.pools.q]"],
        ),
        (two(pools={"default": {"a": {}}}, assign=[{"pool": "default", "domain": "x"}]), ["egress.assign[1].domain"]),
        (two(pools={"bulk": {"a": {}}}), ["egress.pools.default", "assign"]),
        (two(pools={"default": {"a": {"use": "overflow"}}}), ["egress.pools.default", "overflow"]),
        (two(pools={"default": {"a": {"providers": ["gmail"]}}}), ["egress.pools.default", "all other providers"]),
        (
            two(pools={"default": {"a": {"providers": ["default"]}, "b": {"use": "overflow", "providers": ["gmail"]}}}),
            ["egress.pools.default", "'gmail'"],
        ),
    ],
)
def test_a_wrong_table_is_refused_and_its_key_named(table: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        egress(**table)
    for word in words:
        assert word in caught.value.public


def test_an_assign_for_all_makes_a_default_pool_needless() -> None:
    made = egress(**two(pools={"bulk": {"a": {}, "b": {}}}, assign=[{"pool": "bulk"}]))
    assert made.pools_served == ("bulk",)


def test_a_wrong_address_of_net_is_refused_only_where_it_counts() -> None:
    with pytest.raises(ConfigError, match=re.escape("net.source")):
        egress(Source("default", "nowhere"))


@pytest.mark.parametrize("text", [f"smarthost://u:{SECRET}@mx.example", f"smarthost://u:{SECRET}@mx.example:1#x"])
def test_a_password_in_the_wrong_place_is_not_repeated(text: str) -> None:
    for entry in ({"smarthost": text}, {"address": text}):
        with pytest.raises(ConfigError) as caught:
            egress(sources={"a": entry})
        assert SECRET not in caught.value.public


@pytest.mark.parametrize("name", ["mx.example\n", "mx.example\r\nMAIL FROM:<x>", "a b", "mx\x00", "x" * 256, "münchen"])
def test_an_ehlo_name_that_breaks_the_command_is_refused(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        egress(sources={"a": {"address": "127.0.0.2", "ehlo_name": name}})


def test_providers_and_plans_that_nobody_knows_are_named() -> None:
    sources = {"a": {"address": "127.0.0.2", "warmup": "slow"}, "b": {"address": "127.0.0.3"}}
    made = egress(sources=sources, pools={"default": {"a": {}, "b": {"providers": ["gmail", "default"]}}})
    route.check_names(made, providers=["gmail"], plans=["slow"])
    with pytest.raises(ConfigError, match=r"egress\.sources\.a\.warmup: there is no plan 'slow'; there is fast"):
        route.check_names(made, providers=["gmail"], plans=["fast"])
    with pytest.raises(ConfigError, match=r"egress\.pools\.default\.b\.providers: .*'gmail'; there is default, yahoo"):
        route.check_names(made, providers=["yahoo"], plans=["slow"])
