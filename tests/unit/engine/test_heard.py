"""What was said is kept so that the same rules judge it as before, from the event alone."""

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outrider.base import ids, limits
from outrider.base.vocab import EventKind, Fate, Phase
from outrider.engine import heard
from outrider.knowledge import rules_text
from outrider.policy.classify import Classifier, Verdict, parse_rules
from outrider.policy.reason import Reason
from outrider.store.events import Cursor, Event, Facts
from outrider.testing.clock import EPOCH
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply, parse_reply

CLASSIFIER = Classifier(parse_rules(rules_text()))
REPLIES = tomllib.loads((Path(__file__).parents[2] / "data/replies.toml").read_text("utf-8"))["replies"]
KINDS = {Fate.BOUNCED: EventKind.BOUNCED, Fate.DEFERRED: EventKind.DEFERRED, Fate.DELIVERED: EventKind.DELIVERED}


def event(kind: EventKind, verdict: Verdict, reply: str, facts: Facts, **changes: Any) -> Event:
    facts = {**facts, "rule": verdict.rule} | ({"rules": verdict.rules_version} if verdict.rules_version else {})
    usual = {
        "cursor": Cursor(),
        "at": EPOCH,
        "project_id": UUID(int=1),
        "message_id": ids.uuid7(EPOCH, 0),
        "recipient_id": UUID(int=3),
        "kind": kind,
        "attempt": 1,
        "reason": verdict.reason,
        "reply": reply,
        "facts": facts,
    }
    return Event(**usual | changes)


def event_of(answer: Answer, verdict: Verdict, **changes: Any) -> Event:
    """As `engine.settle` writes it."""
    facts = {"phase": answer.phase.value, **heard.facts_of(answer)}
    return event(KINDS[verdict.fate], verdict, heard.reply_text(answer), facts, **changes)


@pytest.mark.parametrize("one", REPLIES, ids=lambda one: f"{one['code']}-{one['phase']}")
def test_every_known_reply_is_judged_again_as_it_was(one: dict[str, Any]) -> None:
    answer = Answer(Phase(one["phase"]), Reply(one["code"], one.get("enhanced", ""), one["text"]))
    verdict = CLASSIFIER.judge(answer)
    written = event_of(answer, verdict)
    assert heard.judge_again(CLASSIFIER, written) == verdict
    assert heard.verdict_of(written) == verdict


lines = st.lists(st.text(alphabet="ab5.1 /#-é\t\x00", max_size=30), min_size=1, max_size=4)


@given(code=st.sampled_from([421, 450, 550, 554]), lines=lines, phase=st.sampled_from([Phase.RCPT, Phase.DOT]))
@example(code=550, lines=[" 5.1.1 no such user"], phase=Phase.RCPT)  # Two spaces: that is no enhanced code.
@example(code=550, lines=["5.1.1 a / b", "", " c "], phase=Phase.RCPT)
@example(code=550, lines=["x" * 2000], phase=Phase.RCPT)
@example(code=550, lines=[""], phase=Phase.RCPT)
def test_any_reply_is_judged_again_as_it_was(code: int, lines: list[str], phase: Phase) -> None:
    wire = [f"{code}-{line}".encode() for line in lines[:-1]] + [f"{code} {lines[-1]}".encode()]
    answer = Answer(phase, parse_reply(wire))
    facts = heard.facts_of(answer)
    verdict = CLASSIFIER.judge(answer)
    assert heard.judge_again(CLASSIFIER, event_of(answer, verdict)) == verdict
    assert all(str(value).replace("\n", "").isprintable() for value in facts.values())
    assert len(str(facts.get("text", ""))) <= limits.REPLY_TEXT_CHARS_KEPT_MAX


def test_an_ordinary_reply_costs_no_facts() -> None:
    for reply in (Reply(550, "5.1.1", "no such user"), Reply(450, "", "later\nplease"), Reply(550, "5.1.1", "")):
        assert heard.facts_of(Answer(Phase.RCPT, reply)) == {}
    assert heard.facts_of(Answer(Phase.DOT, Reply(250, "", " odd / even "))) == {}
    assert heard.facts_of(Answer(Phase.DOT, None, Cause.TIMEOUT)) == {}


def test_what_came_early_and_what_was_confirmed_are_told_apart() -> None:
    """A rule that wants a second look defers at first and bounces an hour later: so it does again."""
    answer = Answer(Phase.RCPT, Reply(554, "5.7.1", "<user@corp.example>: Recipient address rejected: NO-DOMAIN."))
    first, later = CLASSIFIER.judge(answer), CLASSIFIER.judge(answer, attempt=1, age_s=3600.0)
    assert (first.fate, later.fate) == (Fate.DEFERRED, Fate.BOUNCED)
    assert heard.judge_again(CLASSIFIER, event_of(answer, first)) == first
    confirmed = event_of(answer, later, attempt=2, at=EPOCH + timedelta(hours=1))
    assert heard.judge_again(CLASSIFIER, confirmed) == later


def test_what_no_rule_judged_is_not_judged_again() -> None:
    for answer in (Answer(Phase.DOT, None, Cause.TIMEOUT), Answer(Phase.DOT, Reply(250, "", "ok"))):
        assert heard.judge_again(CLASSIFIER, event_of(answer, CLASSIFIER.judge(answer))) is None


def test_a_report_is_judged_again_as_it_was() -> None:
    for code, status, text in (
        (0, "5.1.1", "smtp; 550 5.1.1 no such user"),
        (452, "4.2.2", "mailbox full"),
        (0, "", ""),
    ):
        verdict = CLASSIFIER.judge_report(code, status, text)
        written = event(
            EventKind.BOUNCED_LATE, verdict, "for people", heard.report_facts(code, status, text, verdict.fate)
        )
        assert heard.judge_again(CLASSIFIER, written) == verdict
        assert heard.verdict_of(written) == verdict
        delay = msgspec.structs.replace(written, kind=EventKind.DELAYED)
        again = heard.judge_again(CLASSIFIER, delay)
        assert again is not None
        assert again.fate is Fate.DEFERRED
        assert again.reason != Reason.UNKNOWN_HARD  # It is not over.


def test_what_a_rule_of_shaping_made_milder_stays_so() -> None:
    answer = Answer(Phase.RCPT, Reply(550, "5.1.1", "no such user"))
    verdict = Verdict(Fate.DEFERRED, "recipient.invalid", "corp.busy", rules_version="abc")
    written = event_of(answer, verdict)
    fates = [heard.judge_again(CLASSIFIER, written, milder=milder) for milder in ({"corp.busy"}, set[str]())]
    assert [one and one.fate for one in fates] == [Fate.DEFERRED, Fate.BOUNCED]
