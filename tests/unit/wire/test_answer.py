"""Answers: one of reply and cause, and what is ambiguous."""

import pytest

from outrider.base.vocab import Phase
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply


@pytest.mark.parametrize("phase", list(Phase))
def test_only_silence_after_the_dot_is_ambiguous(phase: Phase) -> None:
    assert Answer(phase, None, Cause.RESET).is_ambiguous == (phase is Phase.DOT)
    assert not Answer(phase, Reply(451, "4.3.0", "try later")).is_ambiguous


@pytest.mark.parametrize(("reply", "cause"), [(None, None), (Reply(250, "", ""), Cause.TIMEOUT)])
def test_an_answer_has_a_reply_or_a_cause(reply: Reply | None, cause: Cause | None) -> None:
    with pytest.raises(AssertionError):
        Answer(Phase.MAIL, reply, cause)
