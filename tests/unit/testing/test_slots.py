"""The slots of tests keep what every `Slots` must, and notice a slot that is given back twice."""

import pytest

from outrider.testing.slots import FreeSlots, check_slots


def test_a_fixed_number_of_each_gate() -> None:
    slots = FreeSlots(3)
    check_slots(slots, count_max=3)
    assert slots.taken.total() == 0
    assert slots.most["one", "key"] == 3


def test_without_a_bound_there_is_always_one() -> None:
    assert all(FreeSlots().take("one", "key") for _ in range(1000))


def test_giving_back_what_was_not_taken_is_an_error() -> None:
    with pytest.raises(AssertionError):
        FreeSlots().give("one", "key")


def test_a_gate_yields_when_the_test_says_so() -> None:
    slots = FreeSlots()
    slots.yielding.add(("one", "key"))
    assert slots.should_yield("one", "key")
    assert not slots.should_yield("two", "key")
