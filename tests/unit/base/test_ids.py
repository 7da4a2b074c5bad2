"""UUIDv7: the RFC's vector, order, and what must not leak."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import ids

RANDOM_BITS_COUNT: Final = 74
unix_ms = st.integers(0, (1 << 48) - 1)
randoms = st.integers(0, (1 << RANDOM_BITS_COUNT) - 1)


def test_the_vector_of_the_rfc() -> None:
    """RFC 9562 appendix A.6."""
    at = datetime(2022, 2, 22, 14, 22, 22, tzinfo=UTC) + timedelta(hours=5)
    random_bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    expected = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
    assert ids.uuid7(at, random_bits) == expected
    assert ids.from_ms(0x017F22E279B0, random_bits) == expected


@given(ms=unix_ms, random_bits=randoms)
def test_version_variant_and_time_are_in_their_places(ms: int, random_bits: int) -> None:
    made = ids.from_ms(ms, random_bits)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == ms


@given(ms=unix_ms, random_bits=randoms)
def test_every_random_bit_is_kept(ms: int, random_bits: int) -> None:
    low = ids.from_ms(ms, random_bits).int
    kept = (low >> 64 & 0xFFF) << 62 | low & (1 << 62) - 1
    assert kept == random_bits


@given(ms=st.integers(0, (1 << 48) - 2), earlier=randoms, later=randoms)
def test_they_sort_by_the_time_they_were_made(ms: int, earlier: int, later: int) -> None:
    first, second = ids.from_ms(ms, earlier), ids.from_ms(ms + 1, later)
    assert first < second
    assert str(first) < str(second)
    assert first.bytes < second.bytes


def test_more_chance_than_needed_is_cut_off() -> None:
    assert ids.from_ms(1, (1 << 80) | 5) == ids.from_ms(1, 5)


def test_the_instant_of_a_datetime_is_its_millisecond() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC)
    assert ids.uuid7(at, 0).int >> 80 == int(at.timestamp()) * 1000 + 678


@pytest.mark.parametrize("ms", [-1, 1 << 48])
def test_a_time_that_does_not_fit_is_a_bug(ms: int) -> None:
    with pytest.raises(AssertionError):
        ids.from_ms(ms, 0)


@given(ms=st.integers(0, 253_402_300_799_999), random_bits=randoms)
def test_the_instant_is_read_back(ms: int, random_bits: int) -> None:
    assert ids.made_at(ids.from_ms(ms, random_bits)) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def test_bits_are_given_once_and_in_full() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(number % 256 for number in range(count))

    bits = ids.Bits(random_bytes)
    assert [bits(8), bits(16), bits(4)] == [0, 0x0102, 0]  # Of the fourth octet, 3, the upper half.
    assert bits(128) == int.from_bytes(range(4, 20))
    assert asked == [4096]


@given(st.lists(st.integers(1, 200), max_size=300))
def test_bits_stay_within_their_count_where_a_block_ends_too(counts: list[int]) -> None:
    def random_bytes(count: int) -> bytes:
        return b"\xff" * count

    bits = ids.Bits(random_bytes)
    assert [bits(count) for count in counts] == [(1 << count) - 1 for count in counts]


def test_a_uuid4_says_so() -> None:
    made = ids.uuid4((1 << 128) - 1)
    assert (made.version, made.variant) == (4, RFC_4122)
    assert ids.uuid4(0) != made
