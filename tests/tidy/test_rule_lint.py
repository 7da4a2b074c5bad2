"""Every rule about replies shows what it is for: each of its samples reaches it, and no other rule, first.

Also: nothing in the file that we do not know, no id twice, no pattern that a hostile reply could make slow.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Final

import pytest

from outrider.base.errors import ConfigError
from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import Classifier, Rule, line_of, parse_rules
from outrider.policy.reason import Reason
from outrider.policy.rulefile import compile_pattern, needles_of
from outrider.wire.answer import Answer
from tests.tidy.patterns import CONFIRMED, PHASES, answers, slow_pieces, unbounded_repeats
from tests.tidy.sources import ROOT

TEXT: Final = (ROOT / "src/outrider/policy/rules.toml").read_text("utf-8")
RULES: Final = parse_rules(TEXT)
CLASSIFIER: Final = Classifier(RULES)

GOOD: Final = """
[[rule]]
id = "a.b"
reason = "greylist"
pattern = '^450 '
fate = "deferred"
source = "us"
seen_on = 2026-11-24
samples = ["450 later"]
"""


def shown(rule: Rule) -> Iterator[tuple[str, Answer]]:
    for sample in rule.samples:
        for answer in answers(sample, rule.phases):
            yield sample, answer


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_sample_reaches_its_rule(rule: Rule) -> None:
    assert rule.samples
    for sample, answer in shown(rule):
        verdict = CLASSIFIER.judge(answer, **CONFIRMED)
        assert (verdict.rule, verdict.reason) == (rule.id, rule.reason), f"{sample!r} at {answer.phase}"


@pytest.mark.parametrize("rule", [r for r in RULES if r.fate is Fate.BOUNCED], ids=lambda rule: rule.id)
def test_a_rule_that_bounces_has_a_sample_that_bounces(rule: Rule) -> None:
    assert any(CLASSIFIER.judge(answer, **CONFIRMED).fate is Fate.BOUNCED for _, answer in shown(rule))


def test_a_rule_about_us_or_about_pace_never_bounces() -> None:
    temporary = (Reason.RATE_PROVIDER, Reason.RATE_CONNECTIONS, Reason.RECIPIENT_RATE, Reason.IP_REPUTATION)
    assert {
        r.id for r in RULES if r.reason in (*temporary, Reason.GREYLIST, Reason.TLS) and r.fate is Fate.BOUNCED
    } == set()


def test_only_what_the_recipients_server_says_about_the_recipient_is_the_recipients_fault() -> None:
    hard = (
        Reason.RECIPIENT_INVALID,
        Reason.RECIPIENT_DOMAIN_INVALID,
        Reason.RECIPIENT_DISABLED,
        Reason.RECIPIENT_MOVED,
    )
    about_people = {Phase.RCPT, Phase.DATA, Phase.DOT}
    assert {r.id for r in RULES if r.reason in hard and not (r.phases and r.phases <= about_people)} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_no_pattern_can_be_made_slow(rule: Rule) -> None:
    assert slow_pieces(rule.pattern) == []


@pytest.mark.parametrize(("pattern", "number"), [("a+b*", 2), ("(a+)+", 100), ("a{1,40}b", 0), ("(a|b+)c{2,}", 2)])
def test_a_slow_pattern_is_seen(pattern: str, number: int) -> None:
    assert unbounded_repeats(pattern) == number
    assert bool(slow_pieces(pattern)) == (number > 2)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.needs_phase], ids=lambda rule: rule.id)
def test_a_rule_that_reads_the_basic_code_alone_says_so(rule: Rule) -> None:
    """Reports do not say in which phase a code came. STARTTLS and AUTH are no phases of a report."""
    if rule.phases and not rule.phases & {Phase.RCPT, Phase.DOT}:
        return
    search = compile_pattern(rule.pattern).search
    assert [code for code in range(400, 600) if search(f"{code} - ")] == []


def test_needles_rule_out_nothing_that_a_pattern_finds() -> None:
    lines = {line_of(answer.reply).lower() for rule in RULES for _, answer in shown(rule) if answer.reply}
    for rule in RULES:
        needles, search = needles_of(rule.pattern), compile_pattern(rule.pattern).search
        assert [s for s in lines if search(s) and needles and not any(n in s for n in needles)] == [], rule.id


def test_patterns_are_not_twice_the_same() -> None:
    seen = [(rule.pattern, phase) for rule in RULES for phase in (rule.phases or PHASES)]
    assert len(seen) == len(set(seen))


def test_the_good_file_is_good() -> None:
    assert [rule.id for rule in parse_rules(GOOD)] == ["a.b"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pattern = '^450 '", "pattern = '^450 '\npriority = 3", "priority"),
        ('source = "us"\n', "", "source"),
        ('samples = ["450 later"]', "", "samples"),
        ("'^450 '", "'^450 ('", "a.b"),
        ('"deferred"', '"retry"', "retry"),
        ('"greylist"', '"greylisted"', "greylisted"),
        ("[[rule]]", "[[rules]]", "rules"),
        ("[[rule]]", "[[rule]", "cannot be read"),
        ('"a.b"', '"A B"', "id"),
    ],
)
def test_a_bad_file_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_rules(GOOD.replace(old, new))


def test_an_id_used_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a\.b"):
        parse_rules(GOOD * 2)


def test_the_file_is_as_its_head_says() -> None:
    assert set(tomllib.loads(TEXT)) == {"rule"}
    assert 100 <= len(RULES) <= 200
