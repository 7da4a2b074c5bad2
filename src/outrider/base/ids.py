"""UUIDv7 (RFC 9562 §5.7): identifiers that sort by the time they were made. Pure: time and chance are given.

48 bits of Unix milliseconds, then 74 random bits (version and variant between them), so rows made together
land together in a B-tree and no identifier can be guessed from another.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

_BLOCK_BYTES = 4096
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


def uuid4(random_bits: int) -> UUID:
    """Make a UUIDv4 out of 128 bits of good chance. Source: RFC 9562 §5.4."""
    return UUID(int=random_bits, version=4)


class Bits:
    """Random bits for identifiers, out of blocks: `bits(74)`. No bit is given twice.

    A server whose other thread waits for the interpreter hands it over with each system call, which costs far more than
    the bits. Not for secrets: the next block lies in memory. For one thread of a process that does not fork.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes  # Of a cryptographic source, such as `os.urandom`.
        self._block = b""
        self._at = 0

    def __call__(self, count: int) -> int:
        """Return an integer of `count` random bits; at most a block's."""
        size = (count + 7) // 8
        assert 0 < size <= _BLOCK_BYTES
        start, end = self._at, self._at + size
        if end > len(self._block):
            self._block = self._random_bytes(_BLOCK_BYTES)
            start, end = 0, size
        self._at = end
        return int.from_bytes(self._block[start:end]) >> (size * 8 - count)


def made_at(uuid: UUID) -> datetime:
    """Return the instant in a UUIDv7, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=uuid.int >> 80)
