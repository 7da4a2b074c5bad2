"""UUIDv7 (RFC 9562 §5.7): identifiers that sort by the time they were made. Pure: time and chance are given.

48 bits of Unix milliseconds, then 74 random bits (version and variant between them), so rows made together
land together in a B-tree and no identifier can be guessed from another.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION_BITS = 0x7 << 76
_VARIANT_BITS = 0b10 << 62
_RANDOM_A_BITS_MASK = (1 << 12) - 1
_RANDOM_B_BITS_MASK = (1 << 62) - 1


def uuid7(at: datetime, random_bits: int) -> UUID:
    """Make the UUIDv7 of instant `at`.

    Args:
        at: aware; only its millisecond counts.
        random_bits: at least 74 bits of good chance, such as `random.SystemRandom().getrandbits(74)`.

    Source: RFC 9562 §5.7.
    """
    return from_ms(int(at.timestamp() * 1000), random_bits)


def from_ms(unix_ms: int, random_bits: int) -> UUID:
    """Make the UUIDv7 of a Unix time in milliseconds; see `uuid7`."""
    assert 0 <= unix_ms < 1 << 48
    random_a = (random_bits >> 62) & _RANDOM_A_BITS_MASK
    random_b = random_bits & _RANDOM_B_BITS_MASK
    return UUID(int=unix_ms << 80 | _VERSION_BITS | random_a << 64 | _VARIANT_BITS | random_b)


def made_at(uuid: UUID) -> datetime:
    """Return the instant in a UUIDv7, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=uuid.int >> 80)
