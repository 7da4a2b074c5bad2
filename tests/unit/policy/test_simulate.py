"""What a simulator address asks for, and that its words are understood as the table promises."""

from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import ConfigError
from outrider.base.vocab import Fate, Phase
from outrider.policy import shaping, simulate
from outrider.policy.behaviour import Action, Stage
from outrider.policy.classify import Classifier, parse_rules
from outrider.policy.simulate import ANY, DOMAIN, OUTCOMES, Late, Phrasebook, Reply, Wish, parse_words
from outrider.wire.answer import Answer
from outrider.wire.reply import parse_reply

FOLDER: Final = Path(simulate.__file__).parent
WORDS: Final = parse_words((FOLDER / "simulate.toml").read_text("utf-8"))
CLASSIFIER: Final = Classifier(parse_rules((FOLDER / "rules.toml").read_text("utf-8")))
SPOKEN: Final = {outcome.name: outcome for outcome in OUTCOMES}


def wish(address: str, *, profile: str = "") -> Wish:
    found = simulate.read(address if "@" in address else f"{address}@{DOMAIN}", WORDS, profile=profile)
    assert isinstance(found, Wish), found
    return found


def refusal(address: str) -> str:
    found = simulate.read(address, WORDS)
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: str(outcome.name))
def test_every_word_of_the_table_is_an_address(outcome: simulate.Outcome) -> None:
    found = wish(outcome.name)
    assert (found.outcome, found.stage, found.share_ratio) == (outcome, outcome.stage, 1.0)
    assert wish(f"{outcome.name.upper()}+Order-17") == msgspec.structs.replace(found, delay_s=found.delay_s)
    if outcome.stage is not None:
        rule = simulate.rule_of(found, f"{outcome.name}@{DOMAIN}", "192.0.2.7")
        assert (rule.stage, rule.action) == (outcome.stage, outcome.action)
        assert "{" not in rule.argument


@pytest.mark.parametrize("reply", WORDS.replies, ids=lambda reply: f"{reply.profile}-{reply.outcome}")
def test_what_is_said_is_understood_as_the_table_promises(reply: Reply) -> None:
    outcome = SPOKEN[reply.outcome]
    text = simulate.fill(reply.text, f"user@{DOMAIN}", "192.0.2.7")
    phase = Phase(reply.stage or outcome.stage or Stage.RCPT)
    verdict = CLASSIFIER.judge(Answer(phase, parse_reply([text.encode()])), attempt=1, age_s=7200.0)
    if outcome.late is Late.BOUNCE:
        assert (verdict.fate, verdict.reason) == (Fate.BOUNCED, "recipient.invalid")
    else:
        assert (verdict.fate, verdict.reason) == (reply.fate or outcome.fate, reply.reason or outcome.reason)


def test_every_profile_is_a_provider_with_limits() -> None:
    known = shaping.parse((FOLDER / "shaping.toml").read_text("utf-8"))
    assert {"gmail", "yahoo", "outlook", "icloud", "gmx", "qq"} == set(WORDS.profiles)
    assert {*WORDS.profiles, simulate.PROVIDER} <= {provider.name for provider in known.providers}


@pytest.mark.parametrize(
    ("spec", "stage", "start"),
    [
        ("reply+421-4.7.28", Stage.RCPT, "421 4.7.28 "),
        ("reply+550-5.1.1", Stage.RCPT, "550 5.1.1 "),
        ("reply+552-5.2.2-data", Stage.DATA, "552 5.2.2 "),
        ("reply+550", Stage.RCPT, "550 "),
        ("reply+550-mail", Stage.MAIL, "550 "),
        ("reply+554-5.7.1-dot+order17", Stage.DOT, "554 5.7.1 "),
    ],
)
def test_any_reply_can_be_asked_for(spec: str, stage: Stage, start: str) -> None:
    found = wish(spec)
    assert (found.stage, found.outcome.action) == (stage, Action.REPLY)
    assert found.reply.startswith(start)


def test_a_profile_comes_from_a_tag_or_a_sub_domain_or_the_simulator_itself() -> None:
    tagged, below, given_ = wish("bounce+gmail+1"), wish(f"bounce@gmail.{DOMAIN}"), wish("bounce", profile="gmail")
    assert tagged.reply == below.reply == given_.reply
    assert "double-checking" in tagged.reply
    assert "double-checking" not in wish(f"bounce@other.{DOMAIN}").reply
    assert wish(f"bounce@yahoo.{DOMAIN}", profile="gmail").stage is Stage.DOT
    assert "Gmail has detected" in wish(f"reply+421-4.7.28@gmail.{DOMAIN}").reply
    assert wish(f"tss04@qq.{DOMAIN}").reply == wish("tss04").reply


def test_a_chance_has_a_share_and_something_to_happen() -> None:
    coded, worded = wish("chance+10-550-5.1.1"), wish("chance+25-full+gmail")
    assert (coded.share_ratio, coded.reply[:9]) == (0.1, "550 5.1.1")
    assert (worded.share_ratio, worded.outcome.name, worded.profile) == (0.25, "full", "gmail")
    assert wish("chance+100-complaint").outcome.late is Late.COMPLAINT
    assert wish("chance+10-slow+0.5").delay_s == 0.5


def test_a_slow_one_says_how_slow() -> None:
    assert [wish(one).delay_s for one in ("slow", "slow+2", "slow+0.25", "slow+999", "slow+soon")] == [
        simulate.SLOW_S,
        2.0,
        0.25,
        simulate.SLOW_S_MAX,
        simulate.SLOW_S,
    ]


@pytest.mark.parametrize(
    "local",
    [
        *("nobody", "reply", "reply+250", "reply+99", "reply+550-5.1.1-lunch", "chance+10", "chance+0-bounce"),
        *("chance+101-bounce", "chance+5-chance", "chance+5-reply", "chance+5-nobody", "+", "", "b\nounce"),
        *("{ip}", '"bounce"'),
    ],
)
def test_an_address_that_says_nothing_does_not_exist(local: str) -> None:
    text = refusal(f"{local}@{DOMAIN}")
    assert text.startswith("550 5.1.1 ")
    assert text.isprintable()


@pytest.mark.parametrize("domain", ["example.com", "outrider.test", f"not{DOMAIN}", f"{DOMAIN}.example", ""])
def test_nothing_is_relayed(domain: str) -> None:
    assert refusal(f"delivered@{domain}").startswith("550 5.7.1 Relaying denied")
    assert isinstance(simulate.read("bounce@my.test", WORDS, also=["my.test"]), Wish)


@given(st.text(max_size=80), st.sampled_from([DOMAIN, f"gmail.{DOMAIN}", "example.com"]))
def test_reading_never_fails_and_a_reply_is_one_printable_line(local: str, domain: str) -> None:
    found = simulate.read(f"{local}@{domain}", WORDS)
    said = found if isinstance(found, str) else simulate.fill(found.reply, f"{local}@{domain}", "192.0.2.7")
    assert said.isprintable()
    assert len(said) <= 480


@given(
    st.integers(400, 599), st.tuples(*[st.integers(0, 999)] * 2), st.sampled_from(["", "mail", "rcpt", "data", "dot"])
)
def test_every_code_comes_back_as_it_was_asked_for(code: int, detail: tuple[int, int], stage: str) -> None:
    enhanced = f"{code // 100}.{detail[0]}.{detail[1]}"
    found = wish("-".join(filter(None, (f"reply+{code}", enhanced, stage))))
    reply = parse_reply([simulate.fill(found.reply, f"x@{DOMAIN}", "192.0.2.7").encode()])
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert found.stage == (stage or "rcpt")


def test_a_book_with_a_gap_or_a_double_is_refused() -> None:
    first = WORDS.replies[0]
    with pytest.raises(ConfigError, match="two replies"):
        Phrasebook([*WORDS.replies, first])
    with pytest.raises(ConfigError, match="no reply for 'bounce'"):
        Phrasebook([one for one in WORDS.replies if (one.profile, one.outcome) != (ANY, "bounce")])
    with pytest.raises(ConfigError, match="says nothing"):
        Phrasebook([*WORDS.replies, msgspec.structs.replace(first, outcome="slow")])


@pytest.mark.parametrize(("text", "found"), [("127.0.0.1:2526", ("127.0.0.1", 2526)), ("[::1]:25", ("::1", 25))])
def test_a_host_and_port_is_read(text: str, found: tuple[str, int]) -> None:
    assert simulate.parse_host_port(text, "x") == found


@pytest.mark.parametrize(
    "text", ["", "2526", ":2526", "localhost:", "localhost:0", "localhost:smtp", "localhost:70000"]
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="answers-to"):
        simulate.parse_host_port(text, "answers-to")
