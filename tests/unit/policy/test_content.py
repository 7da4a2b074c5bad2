"""From scores, faults and silence to a verdict: the strictest counts, and says why."""

import pytest

from outrider.base.vocab import ContentAction, ContentCause
from outrider.policy.content import ContentPolicy, WhenDown, judge
from outrider.policy.lint import Fault
from outrider.wire.rspamd import Score, Symbol

PASS, TAG, HOLD, REFUSE = ContentAction
ERROR = Fault(code="script", is_error=True, sentence="The HTML has a script.", where="html")
WARNING = Fault(code="no_text", is_error=False, sentence="There is no text part.")


def score(value: float = 1.0, action: str = "no action", *symbols: Symbol, words: str = "") -> Score:
    return Score(score=value, required=15.0, action=action, symbols=symbols, words=words)


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("no action", PASS),
        ("greylist", PASS),
        ("add header", TAG),
        ("rewrite subject", TAG),
        ("soft reject", HOLD),
        ("quarantine", HOLD),
        ("a word of tomorrow", HOLD),
        ("", HOLD),
        ("reject", REFUSE),
        ("discard", REFUSE),
    ],
)
def test_without_thresholds_the_filters_own_word_counts(word: str, action: ContentAction) -> None:
    verdict = judge(ContentPolicy(), score=score(4.0, word))
    assert verdict.action is action
    assert (verdict.score, verdict.required) == (4.0, 15.0)
    assert (verdict.cause is ContentCause.SCORE) == bool(verdict.sentence) == (action is not PASS)


@pytest.mark.parametrize(
    ("value", "action"),
    [(-3.0, PASS), (2.9, PASS), (3.0, TAG), (4.9, TAG), (5.0, HOLD), (8.9, HOLD), (9.0, REFUSE), (99.0, REFUSE)],
)
@pytest.mark.parametrize("word", ["no action", "reject"])
def test_a_threshold_stands_in_place_of_the_filters_word(value: float, action: ContentAction, word: str) -> None:
    policy = ContentPolicy(tag_score=3.0, hold_score=5.0, refuse_score=9.0)
    assert judge(policy, score=score(value, word)).action is action


def test_one_threshold_leaves_the_others_to_the_filter() -> None:
    policy = ContentPolicy(hold_score=5.0)
    assert judge(policy, score=score(6.0, "add header")).action is HOLD
    assert judge(policy, score=score(4.0, "add header")).action is TAG
    assert judge(policy, score=score(15.0, "reject")).action is REFUSE
    assert judge(ContentPolicy(refuse_score=10_000.0), score=score(15.0, "reject")).action is PASS


@pytest.mark.parametrize("action", WhenDown)
def test_a_silent_filter_is_judged_as_the_policy_says(action: WhenDown) -> None:
    verdict = judge(ContentPolicy(when_down=action), score=None)
    assert (verdict.action.value, verdict.cause, verdict.score) == (action.value, ContentCause.UNANSWERED, None)
    assert verdict.sentence == "The junk filter could not be asked."


def test_without_a_filter_nobody_is_silent() -> None:
    verdict = judge(ContentPolicy(when_down=WhenDown.HOLD), score=None, is_asked=False)
    assert (verdict.action, verdict.cause, verdict.sentence) == (PASS, ContentCause.NONE, "")


def test_faults_mean_what_the_policy_says_of_their_severity() -> None:
    strict = ContentPolicy(lint_errors=REFUSE, lint_warnings=TAG)
    verdict = judge(strict, score=None, is_asked=False, faults=[WARNING, ERROR])
    assert (verdict.action, verdict.cause, verdict.sentence) == (REFUSE, ContentCause.LINT, "The HTML has a script.")
    assert judge(strict, score=None, is_asked=False, faults=[WARNING]).action is TAG
    easy = judge(ContentPolicy(), score=None, is_asked=False, faults=[WARNING, ERROR])
    assert (easy.action, easy.cause, easy.sentence) == (PASS, ContentCause.NONE, "")
    assert easy.faults == [WARNING, ERROR], "told all the same"


def test_the_strictest_counts_and_of_two_alike_the_filter() -> None:
    policy = ContentPolicy(lint_errors=HOLD, when_down=WhenDown.HOLD)
    assert judge(policy, score=score(1.0), faults=[ERROR]).cause is ContentCause.LINT
    assert judge(policy, score=score(16.0, "reject"), faults=[ERROR]).action is REFUSE
    assert judge(policy, score=score(5.0, "soft reject"), faults=[ERROR]).cause is ContentCause.SCORE
    assert judge(policy, score=None, faults=[ERROR]).cause is ContentCause.UNANSWERED


def test_the_sentence_names_what_weighed_and_nothing_else() -> None:
    symbols = [Symbol("BAD_URL", 9.5, "A link to a bad place"), Symbol("CAPS", 6.0), Symbol("GOOD", -0.5, "Nice")]
    verdict = judge(ContentPolicy(), score=score(15.0, "reject", *symbols))
    assert verdict.sentence == (
        "The content looks like junk to the filter: score 15 of 15. It met: BAD_URL (A link to a bad place); CAPS."
    )
    assert judge(ContentPolicy(), score=score(15.0, "reject", words="Gtube pattern")).sentence == (
        "The content looks like junk to the filter: score 15 of 15. Gtube pattern."
    )
    assert judge(ContentPolicy(tag_score=3.0), score=score(3.25)).sentence == (
        "The content looks like junk to the filter: score 3.25."
    )
