"""The rules of a misbehaving sink: their grammar, their order, their seeds."""

import random

import pytest

from outrider.policy.behaviour import Action, Rule, Rulebook, Stage, fault_mix, parse_rule


def test_a_rule_is_read_with_all_its_parts() -> None:
    rule = parse_rule("rcpt@0.25#3 *@full.example reply 452 4.2.2 mailbox full")
    assert rule == Rule(Stage.RCPT, "*@full.example", Action.REPLY, "452 4.2.2 mailbox full", 0.25, 3)


@pytest.mark.parametrize(
    "line",
    [
        "rcpt *",
        "lunch * drop",
        "rcpt * explode",
        "rcpt * reply no code",
        "rcpt * reply",
        "ehlo * delay soon",
        "rcpt * swallow",
        "rcpt@half * drop",
    ],
)
def test_a_line_that_is_no_rule_says_so(line: str) -> None:
    with pytest.raises(ValueError):
        parse_rule(line)


def test_the_first_rule_that_matches_acts() -> None:
    book = Rulebook([parse_rule("rcpt a@* drop"), parse_rule("rcpt * hang")], random.Random(1).random)
    drop, hang = book.choose(Stage.RCPT, ["a@x.example"]), book.choose(Stage.RCPT, ["b@x.example"])
    assert drop
    assert hang
    assert (drop.action, hang.action) == (Action.DROP, Action.HANG)
    assert book.choose(Stage.MAIL, ["a@x.example"]) is None


def test_a_rule_is_used_up() -> None:
    book = Rulebook([parse_rule("connect#2 * drop")], random.Random(1).random)
    assert [book.choose(Stage.CONNECT, [""]) is not None for _ in range(4)] == [True, True, False, False]


def test_a_share_is_drawn_by_its_seed() -> None:
    def draw(seed: int) -> list[bool]:
        book = Rulebook([parse_rule("dot@0.2 * swallow")], random.Random(seed).random)
        return [book.choose(Stage.DOT, [""]) is not None for _ in range(500)]

    assert draw(7) == draw(7) != draw(8)
    assert 60 < sum(draw(7)) < 140


def test_a_mix_of_faults_has_every_stage_and_every_action_and_about_the_share() -> None:
    rules = [parse_rule(line) for line in fault_mix(0.1)]
    assert {rule.stage for rule in rules} == set(Stage)
    assert {rule.action for rule in rules} == set(Action)
    assert sum(rule.share_ratio for rule in rules) == pytest.approx(0.1, rel=0.01)
