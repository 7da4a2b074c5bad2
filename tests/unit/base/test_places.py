"""Places in lists: what is written is read back, and nothing else is read."""

from datetime import UTC, datetime, timedelta

import pytest

from outrider.base import instants, places
from outrider.base.errors import CallerError

AT = datetime(2026, 11, 27, 12, 34, 56, 789, tzinfo=UTC)
ID = "0123456789abcdef" * 2


def test_a_place_is_read_as_it_was_written() -> None:
    for at in (AT, instants.EPOCH, instants.EPOCH + timedelta(microseconds=1)):
        assert places.parse(places.text(at, ID)) == (at, ID)
    assert places.parse(places.text(datetime(1, 1, 1, tzinfo=UTC), ID)) == (instants.EPOCH, ID)


@pytest.mark.parametrize(
    "word", ["", "x", ID, f"-{ID}", f"0-{ID}0", f"0-{ID.upper()}", f"{'f' * 14}-{ID}", f"{'1' * 15}-{ID}", f"0-{ID}\n"]
)
def test_what_is_no_place_is_refused(word: str) -> None:
    with pytest.raises(CallerError) as caught:
        places.parse(word)
    assert caught.value.field == "after"
