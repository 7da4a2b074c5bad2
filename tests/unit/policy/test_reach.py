"""Servers that cannot be reached are left alone, longer each time, until one answers about mail."""

import pytest

from outrider.base.vocab import Phase
from outrider.policy import reach
from outrider.policy.reach import Reach
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

GONE = Answer(Phase.CONNECT, None, Cause.REFUSED)
BEFORE_MAIL = [Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH]
NOW_S = 1000.0


def failed(count: int, answer: Answer = GONE) -> Reach:
    found = Reach()
    for _ in range(count):
        reach.fail(found, answer, "mta1", NOW_S)
    return found


@pytest.mark.parametrize("phase", Phase)
def test_through_is_who_was_answered_about_mail(phase: Phase) -> None:
    assert reach.is_through(Answer(phase, Reply(421, "", "later"))) == (phase not in BEFORE_MAIL)


def test_the_fifth_failure_in_a_row_begins_an_absence() -> None:
    assert failed(4).until_s == 0
    assert failed(5).until_s == NOW_S + 60


def test_failures_within_an_absence_make_it_no_longer() -> None:
    assert failed(50) == Reach(50, 1, NOW_S + 60, failed(5).sentence)


def test_each_absence_is_twice_as_long_up_to_a_quarter_of_an_hour() -> None:
    found, spans = failed(4), []
    for _ in range(1100):  # Over eleven days.
        now_s = found.until_s or NOW_S
        reach.fail(found, GONE, "mta1", now_s)
        spans.append(found.until_s - now_s)
    assert spans[:6] == [60, 120, 240, 480, 900, 900]
    assert set(spans[6:]) == {900}


@pytest.mark.parametrize(
    ("answer", "what"),
    [(GONE, "refused at connect"), (Answer(Phase.GREETING, Reply(554, "", "no")), "554 at greeting")],
)
def test_the_sentence_says_who_and_what(answer: Answer, what: str) -> None:
    assert failed(5, answer).sentence == f"5 connections in a row from mta1 came to nothing ({what})"
