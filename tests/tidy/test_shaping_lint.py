"""What we claim to know of providers has a source, a date and replies that show it (shaping.toml).

A sample must reach its rule first for each of the rule's providers, a provider must be reachable, a pattern must be
safe. `flaws` says what is not so; the second half of this file proves that it can.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from outrider.policy import shaping
from outrider.policy.classify import Classifier, line_of, parse_rules
from outrider.policy.shaping import ANY, BUILT_IN, Act, Provider, ReplyRule, Shaping, normal_pattern, parse
from tests.tidy.patterns import CONFIRMED, answers, reply_of, slow_pieces
from tests.tidy.sources import ROOT

FOLDER: Final = ROOT / "src/outrider/policy"
TEXT: Final = (FOLDER / "shaping.toml").read_text("utf-8")
SHAPING: Final = parse(TEXT)
SURVEY: Final = (  # providers.md 1.3, in its order, and those that are ours.
    *("default", "gmail", "yahoo", "yahoo-japan", "outlook", "microsoft365", "microsoft365-dane", "icloud", "comcast"),
    *("mimecast", "mailcom", "gmx", "orange", "barracuda", "netvigator", "kpn", "qq", "netease", "smarthost", "catch"),
    "simulator",
)
CLASSIFIER: Final = Classifier(parse_rules((FOLDER / "rules.toml").read_text("utf-8")))


def flaws(known: Shaping) -> list[str]:
    """Return what is wrong with the data, a sentence each."""
    return [*provider_flaws(known.providers), *(flaw for rule in known.rules for flaw in rule_flaws(known, rule))]


def provider_flaws(providers: tuple[Provider, ...]) -> Iterator[str]:
    earlier: dict[str, str] = {}
    for provider in providers:
        if not provider.source or provider.seen_on is None:
            yield f"{provider.name}: no source or date"
        patterns = [normal_pattern(pattern) for pattern in provider.mx]
        for pattern in patterns:
            if taker := covering(pattern, earlier):
                yield f"{provider.name}: {pattern} is taken by {taker}"
        earlier |= dict.fromkeys(patterns, provider.name)


def covering(pattern: str, earlier: Mapping[str, str]) -> str:
    """Return the earlier provider that takes every host of the pattern, "" if none does."""
    base = pattern.removeprefix("*")
    wide = (f"*{base[at:]}" for at in range(len(base)) if base[at] == ".")
    return next((earlier[one] for one in (pattern, *wide) if one in earlier), "")


def rule_flaws(known: Shaping, rule: ReplyRule) -> Iterator[str]:
    if not rule.source or rule.seen_on is None:
        yield f"{rule.id}: no source or date"
    if not rule.samples:
        yield f"{rule.id}: no samples"
    if pieces := slow_pieces(rule.pattern):
        yield f"{rule.id}: slow, {pieces}"
    for name in rule.providers:
        for sample in rule.samples:
            yield from sample_flaws(known, rule, "" if name == ANY else name, sample)


def sample_flaws(known: Shaping, rule: ReplyRule, provider: str, sample: str) -> Iterator[str]:
    reasons = {CLASSIFIER.judge(answer, **CONFIRMED).reason for answer in answers(sample)}
    if rule.reason is not None and reasons != {rule.reason}:
        yield f"{rule.id}: {sample!r} is {', '.join(sorted(reasons))} to the classifier, not {rule.reason}"
        return
    for reason in reasons:
        taker = known.rule_for(provider, line_of(reply_of(sample)), reason)
        if taker != rule:
            yield f"{rule.id}: {sample!r} is taken by {taker.id if taker else 'no rule'} ({provider or ANY})"


def test_the_data_have_no_flaws() -> None:
    assert flaws(SHAPING) == []


def test_every_provider_of_the_survey_is_there() -> None:
    assert sorted(provider.name for provider in SHAPING.providers) == sorted(SURVEY)
    assert {provider.name for provider in SHAPING.providers if not provider.mx} == BUILT_IN


def test_every_act_and_every_kind_of_cap_is_in_use() -> None:
    steps = [step for rule in SHAPING.rules for step in rule.acts]
    assert {step.act for step in steps} == set(Act)
    assert all(any(getattr(s, name) for s in steps) for name in ("rate", "connections", "messages_per_connection"))


# Each check can fail.

GOOD: Final = """
[[provider]]
name = "default"
source = "us"
seen_on = 2026-11-24
[[provider]]
name = "smarthost"
source = "us"
seen_on = 2026-11-24
[[provider]]
name = "catch"
source = "us"
seen_on = 2026-11-24
[[provider]]
name = "one"
mx = ["*.one.example", "mx.other.example"]
source = "us"
seen_on = 2026-11-24
[[provider]]
name = "two"
mx = ["*.two.example"]
source = "us"
seen_on = 2026-11-24
[[rule]]
id = "one.a"
providers = ["one"]
pattern = 'slower'
acts = [{ act = "slow" }]
source = "us"
seen_on = 2026-11-24
samples = ["421 slower"]
[[rule]]
id = "one.b"
providers = ["one", "two"]
pattern = 'throttled'
reason = "rate.provider"
acts = [{ act = "slow" }]
source = "us"
seen_on = 2026-11-24
samples = ["421 throttled"]
[[rule]]
id = "any.a"
providers = ["*"]
pattern = 'slow'
acts = [{ act = "slow" }]
source = "us"
seen_on = 2026-11-24
samples = ["421 slower"]
"""


def test_good_data_have_no_flaws() -> None:
    assert flaws(parse(GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('two.example"]\nsource = "us"', 'two.example"]', "two: no source or date"),
        ('us"\nseen_on = 2026-11-24\n[[rule]]\nid = "one.a"', 'us"\n[[rule]]\nid = "one.a"', "two: no source or date"),
        ("*.two.example", "*.deep.one.example", "two: *.deep.one.example is taken by one"),
        ("*.two.example", "*.One.example.", "two: *.one.example is taken by one"),
        ("*.two.example", "mx.one.example", "two: mx.one.example is taken by one"),
        ("*.two.example", "mx.other.example", "two: mx.other.example is taken by one"),
        ('samples = ["421 throttled"]', "", "one.b: no samples"),
        ('source = "us"\nseen_on = 2026-11-24\nsamples = ["421 throttled"]', 'samples = ["421 throttled"]',
         "one.b: no source or date"),
        ("'slower'", "'slow|throttled'", "one.b: '421 throttled' is taken by one.a (one)"),
        ('"421 throttled"', '"421 throttled", "421 rate limit"', "one.b: '421 rate limit' is taken by no rule (one)"),
        ("'throttled'", "'faster'", "one.b: '421 throttled' is taken by no rule (two)"),
        ('"rate.provider"', '"greylist"', "is rate.provider to the classifier, not greylist"),
        ("'throttled'", "'(t+)+hrottled'", "one.b: slow"),
    ],
)  # fmt: skip
def test_a_flaw_is_seen(old: str, new: str, words: str) -> None:
    assert old in GOOD
    found = flaws(parse(GOOD.replace(old, new, 1)))
    assert any(words in flaw for flaw in found), found


@pytest.mark.parametrize("pattern", ["*.one.example.net", "one.example", "xone.example", "*.example"])
def test_a_pattern_beside_another_is_none_of_its(pattern: str) -> None:
    assert covering(pattern, {"*.one.example": "one"}) == ""


def test_the_head_of_the_file_names_every_key() -> None:
    head = TEXT.partition("\n[[")[0]
    keys = {
        *(set(ReplyRule.__struct_fields__) | set(Provider.__struct_fields__) | set(shaping.Step.__struct_fields__)),
    } - {"id", "name", "act", "rate"}
    assert {key for key in keys if not re.search(rf"\b{key}\b", head)} == set()
