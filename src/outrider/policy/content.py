r"""What becomes of a mail for its content: from what a junk filter and the lint say of it to a verdict. Pure.

    rspamd's score  --thresholds-->  an action   \
    each fault of the lint  ------>  an action    >  the strictest of them, and why in a sentence
    no answer       --when_down--->  hold or pass /

A threshold of 0 leaves that action to rspamd's own word:

    no action, greylist                      pass     what it would have a stranger wait for
    add header, rewrite subject              tag
    soft reject, quarantine, and any other   hold     somebody looks; a word we do not know is never let through
    reject, discard                          refuse

The sentence is for the project's people: it names scores and rules, never a host.
"""

import enum
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from outrider.base.vocab import ContentAction, ContentCause
from outrider.policy.lint import Fault
from outrider.wire.rspamd import Score, Symbol

_TOLD_COUNT_MAX: Final = 3  # Ours: rules named in a sentence; the verdict has all of them.
_FROM_MILD: Final = tuple(ContentAction)
_BY_WORD: Final = {
    "no action": ContentAction.PASS,
    "greylist": ContentAction.PASS,
    "add header": ContentAction.TAG,
    "rewrite subject": ContentAction.TAG,
    "reject": ContentAction.REFUSE,
    "discard": ContentAction.REFUSE,
}
Threshold = Annotated[float, Meta(ge=0.0, le=10_000.0)]


class WhenDown(enum.StrEnum):
    """What becomes of mail that nobody could judge."""

    PASS = "pass"  # noqa: S105 - a word, no secret.
    HOLD = "hold"


class ContentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about what is found."""

    tag_score: Threshold = 0.0  # From this score on; 0: when rspamd says so.
    hold_score: Threshold = 0.0
    refuse_score: Threshold = 0.0
    when_down: WhenDown = WhenDown.PASS
    lint_errors: ContentAction = ContentAction.PASS
    lint_warnings: ContentAction = ContentAction.PASS

    @property
    def has_lint(self) -> bool:
        """Whether faults change anything."""
        return self.lint_errors is not ContentAction.PASS or self.lint_warnings is not ContentAction.PASS


class ContentVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a mail for its content."""

    action: ContentAction
    cause: ContentCause = ContentCause.NONE
    sentence: str = ""  # Why, for people; "" if there is nothing to say.
    score: float | None = None  # None: nobody gave one.
    required: float | None = None  # From where on rspamd refuses.
    symbols: Sequence[Symbol] = ()
    faults: Sequence[Fault] = ()


def judge(
    policy: ContentPolicy, *, score: Score | None, is_asked: bool = True, faults: Sequence[Fault] = ()
) -> ContentVerdict:
    """Return what becomes of a mail.

    Args:
        score: None: there is none.
        is_asked: without a score, whether the filter was asked and did not answer; False: there is none to ask.
    """
    found = [_by_faults(policy, faults)]
    if score is not None:
        found.append(_by_score(policy, score))
    elif is_asked:
        why = "The junk filter could not be asked."
        found.append((ContentAction(policy.when_down), ContentCause.UNANSWERED, why))
    # Of two that are as strict, what the filter says comes first: it has looked at all of it.
    action, cause, sentence = max(reversed(found), key=lambda one: _FROM_MILD.index(one[0]))
    is_told = action is not ContentAction.PASS or cause is ContentCause.UNANSWERED
    return ContentVerdict(
        action=action,
        cause=cause if is_told else ContentCause.NONE,
        sentence=sentence if is_told else "",
        score=None if score is None else score.score,
        required=None if score is None else score.required,
        symbols=() if score is None else score.symbols,
        faults=faults,
    )


def _by_faults(policy: ContentPolicy, faults: Sequence[Fault]) -> tuple[ContentAction, ContentCause, str]:
    """Return what the worst fault means, the first of several as bad."""
    worst, sentence = ContentAction.PASS, ""
    for one in faults:
        action = policy.lint_errors if one.is_error else policy.lint_warnings
        if _FROM_MILD.index(action) > _FROM_MILD.index(worst):
            worst, sentence = action, one.sentence
    return worst, ContentCause.LINT, sentence


def _by_score(policy: ContentPolicy, score: Score) -> tuple[ContentAction, ContentCause, str]:
    said = _BY_WORD.get(score.action, ContentAction.HOLD)
    own = (
        (ContentAction.REFUSE, policy.refuse_score),
        (ContentAction.HOLD, policy.hold_score),
        (ContentAction.TAG, policy.tag_score),
    )
    for action, from_score in own:
        if score.score >= from_score if from_score else said is action:
            return action, ContentCause.SCORE, _score_sentence(score, from_score or score.required, action)
    return ContentAction.PASS, ContentCause.SCORE, ""


def _score_sentence(score: Score, from_score: float, action: ContentAction) -> str:
    """Say what the filter saw: "The content looks like junk: score 15, refused from 15 on. GTUBE (...)."."""
    bound = f" of {from_score:g}" if action is not ContentAction.TAG and from_score > 0 else ""
    told = [symbol for symbol in score.symbols if symbol.score > 0][:_TOLD_COUNT_MAX]
    rules = "; ".join(f"{one.name} ({one.words})" if one.words else one.name for one in told)
    tail = f" It met: {rules}." if rules else f" {score.words}." if score.words else ""
    return f"The content looks like junk to the filter: score {score.score:.4g}{bound}.{tail}"
