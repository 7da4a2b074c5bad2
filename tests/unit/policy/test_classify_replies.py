"""A corpus of replies, from all over the world, and what each must come to. The corpus: tests/data/replies.toml."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

import outrider.policy
from outrider.base.vocab import Fate, Phase
from outrider.policy.classify import Classifier, Verdict, parse_rules
from outrider.policy.reason import Reason
from outrider.policy.suppress import SUPPRESSING
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply

ROOT: Final = Path(__file__).parents[3]
CLASSIFIER: Final = Classifier(parse_rules((Path(outrider.policy.__path__[0]) / "rules.toml").read_text("utf-8")))
REPLIES: Final[list[dict[str, Any]]] = tomllib.loads((ROOT / "tests/data/replies.toml").read_text("utf-8"))["replies"]
PEOPLE: Final = frozenset({"recipient.invalid", "recipient.domain_invalid", "recipient.disabled", "recipient.moved"})


def judge(case: dict[str, Any]) -> Verdict:
    return CLASSIFIER.judge(Answer(Phase(case["phase"]), Reply(case["code"], case["enhanced"], case["text"])))


def disagreements(verdicts: list[tuple[dict[str, Any], Verdict]]) -> list[str]:
    return [
        f"{case['provider']} at {case['phase']}: wanted {case['reason']} {case['fate']}, got {verdict.reason} "
        f"{verdict.fate} by {verdict.rule!r}: {case['code']} {case['enhanced']} {case['text']}"
        for case, verdict in verdicts
        if (verdict.reason, verdict.fate) != (case["reason"], case["fate"])
    ]


def test_every_reply_means_what_the_corpus_says() -> None:
    wrong = disagreements([(case, judge(case)) for case in REPLIES])
    assert not wrong, f"{len(wrong)} of {len(REPLIES)} disagree:\n" + "\n".join(wrong)


def test_a_disagreement_is_seen() -> None:
    case = {**REPLIES[0], "reason": "greylist"}
    assert len(disagreements([(case, judge(case))])) == 1


def test_the_corpus_is_wide() -> None:
    assert len(REPLIES) >= 250
    assert len({case["provider"] for case in REPLIES}) >= 60
    seen = Counter(case["reason"] for case in REPLIES)
    from_replies = set(Reason) - {
        "accepted", "auto_reply", "complaint", "unsubscribe", "expired", "internal", "dns.temp",
    }  # fmt: skip
    assert from_replies - set(seen) == set()


def test_no_reply_is_there_twice() -> None:
    seen = Counter((case["phase"], case["code"], case["enhanced"], case["text"], case["provider"]) for case in REPLIES)
    assert [key for key, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("case", [c for c in REPLIES if c["reason"] not in SUPPRESSING], ids=lambda c: c["text"][:40])
def test_what_is_no_fault_of_the_recipient_is_none_in_a_report(case: dict[str, Any]) -> None:
    """A report knows less: not the phase. It must not blame the person for it."""
    verdict = CLASSIFIER.judge_report(case["code"], case["enhanced"], case["text"])
    assert verdict.reason not in PEOPLE or case["provider"] in ("docomo", "au")


@pytest.mark.parametrize("case", [c for c in REPLIES if c["reason"] in PEOPLE], ids=lambda c: c["text"][:40])
def test_who_is_gone_is_gone_in_a_report_too(case: dict[str, Any]) -> None:
    text = f"smtp; {case['code']} {case['enhanced']} {case['text']}"
    verdict = CLASSIFIER.judge_report(0, "5.0.0", text)
    said_only_by_code = verdict.reason == Reason.UNKNOWN_HARD and case["provider"] == "rfc"
    assert verdict.reason == case["reason"] or said_only_by_code
    assert verdict.fate == (Fate.BOUNCED if case["fate"] == "bounced" or said_only_by_code else Fate.DEFERRED)
