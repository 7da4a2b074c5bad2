"""Who was sent away from a gate comes before who comes meanwhile: streams and projects have turns there too."""

from uuid import UUID

import pytest

from outrider.base.vocab import Stream
from outrider.engine.turns import Absence

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
TRANSACTIONAL, MARKETING = Stream


@pytest.fixture
def absence() -> Absence:
    """A gate from which a marketing lane of `ONE` was sent away until second 10."""
    made = Absence()
    made.note(MARKETING, ONE, 11, 10.0, now_s=0.0)
    return made


def test_nobody_is_before_while_nobody_is_away() -> None:
    assert not Absence().is_before(MARKETING, ONE, now_s=0.0)


def test_transactional_mail_that_is_away_comes_before_marketing(absence: Absence) -> None:
    absence.note(TRANSACTIONAL, TWO, 12, 10.0, now_s=0.0)
    assert absence.is_before(MARKETING, THREE, now_s=1.0)
    assert not absence.is_before(TRANSACTIONAL, THREE, now_s=1.0)


def test_marketing_that_is_away_is_never_before_transactional_mail(absence: Absence) -> None:
    for _ in range(9):
        absence.let_in(MARKETING, TWO)
    assert not absence.is_before(TRANSACTIONAL, TWO, now_s=1.0)


def test_who_was_passed_over_a_few_times_comes_before_others_of_its_stream(absence: Absence) -> None:
    told = []
    for _ in range(4):
        told.append(absence.is_before(MARKETING, TWO, now_s=1.0))
        absence.let_in(MARKETING, TWO)
    assert told == [False, False, False, True]


def test_nobody_is_before_itself_or_before_who_waited_more(absence: Absence) -> None:
    absence.let_in(MARKETING, THREE)
    absence.note(MARKETING, TWO, 12, 10.0, now_s=0.0)
    for _ in range(4):
        absence.let_in(MARKETING, THREE)
    assert not absence.is_before(MARKETING, ONE, now_s=1.0)
    assert absence.is_before(MARKETING, TWO, now_s=1.0)


def test_a_turn_is_a_turn(absence: Absence) -> None:
    for _ in range(4):
        absence.let_in(MARKETING, TWO)
    absence.let_in(MARKETING, ONE)
    assert not absence.is_before(MARKETING, TWO, now_s=1.0)


def test_who_is_back_or_does_not_come_is_not_waited_for(absence: Absence) -> None:
    absence.note(TRANSACTIONAL, TWO, 12, 5.0, now_s=0.0)
    absence.came_back(TRANSACTIONAL, TWO, 12)
    assert not absence.is_before(MARKETING, THREE, now_s=1.0)
    absence.note(TRANSACTIONAL, TWO, 12, 5.0, now_s=1.0)
    assert not absence.is_before(MARKETING, THREE, now_s=5.0)


def test_it_is_bounded(absence: Absence) -> None:
    for number in range(500):
        absence.note(TRANSACTIONAL, UUID(int=number), number, 5.0, now_s=0.0)
        absence.note(MARKETING, ONE, number, 5.0, now_s=0.0)
    assert len(absence) <= 100
    absence.note(TRANSACTIONAL, UUID(int=9999), 1, 20.0, now_s=11.0)
    assert len(absence) == 1
