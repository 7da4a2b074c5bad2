"""Reading after DATA: any cut gives the same, one end is found and no other, and little of it is kept."""

import asyncio
import itertools
import random
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.faces.smtp import contents
from outrider.faces.smtp.contents import Content

LIMIT = 64
PIECES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"line", b"x" * 70, b"\r\n.", b".\r", b"\n.\n", b"\0"]),
    max_size=40,
)
NEXT = b"QUIT\r\n"


def expected(message: bytes, kept_bytes_max: int) -> Content:
    """Say the same of a whole message, without its end."""
    lines = message.split(b"\r\n")
    plain = b"\r\n".join(line[1:] if line[:1] == b"." else line for line in lines)
    return Content(plain[:kept_bytes_max], len(message))


async def read(chunks: Sequence[bytes], kept_bytes_max: int, limit: int = LIMIT) -> tuple[Content, bytes]:
    """Read from a reader that is fed these one after another; return what it left, too."""
    reader = asyncio.StreamReader(limit=limit)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(contents.read(reader, kept_bytes_max=kept_bytes_max))
        for chunk in chunks:
            reader.feed_data(chunk)
            await asyncio.sleep(0)
        reader.feed_eof()
    return reading.result(), await reader.read()


def ended(pieces: Sequence[bytes]) -> bytes:
    """Return a message with no end but its last: whole lines, none of them a dot alone."""
    lines = b"".join(pieces).split(b"\r\n")
    return b"".join(line + b"\r\n" for line in lines if line != b".")


@given(pieces=PIECES, kept_bytes_max=st.integers(1, 200), seed=st.integers(0, 2**16))
def test_any_cut_gives_the_same_and_leaves_what_follows(pieces: list[bytes], kept_bytes_max: int, seed: int) -> None:
    message = ended(pieces)
    sent = message + b".\r\n" + NEXT
    chance = random.Random(seed)
    cuts = sorted({0, len(sent), *(chance.randrange(len(sent)) for _ in range(chance.randrange(20)))})
    chunks = [sent[a:b] for a, b in itertools.pairwise(cuts)]
    assert asyncio.run(read(chunks, kept_bytes_max)) == (expected(message, kept_bytes_max), NEXT)


@pytest.mark.parametrize("kept_bytes_max", [1, 4, 1000])
@pytest.mark.parametrize("inside", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\r\n", b"..\r\n", b"a\n.\r\nb"])
async def test_nothing_but_the_one_end_ends_it(inside: bytes, kept_bytes_max: int) -> None:
    message = b"line\r\n" + b"x" + inside + b"y\r\n"
    assert await read([message + b".\r\n" + NEXT], kept_bytes_max) == (expected(message, kept_bytes_max), NEXT)


async def test_an_empty_message_is_one() -> None:
    assert await read([b".\r\n", NEXT], 10) == (Content(b"", 0), NEXT)


async def test_a_message_that_breaks_off_is_none() -> None:
    for kept_bytes_max in (1, 1000):
        with pytest.raises(ExceptionGroup) as caught:
            await read([b"line\r\nmore\r\nand"], kept_bytes_max)
        assert caught.value.subgroup(asyncio.IncompleteReadError)


@pytest.mark.slow
async def test_of_a_large_message_little_is_in_memory() -> None:
    chunk = (b"y" * 76 + b"\r\n") * 800
    count = 20 * 1024 * 1024 // len(chunk)
    tracemalloc.start()
    try:
        found, rest = await read([*[chunk] * count, b".\r\n" + NEXT], 1024 * 1024, limit=64 * 1024)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(found.beginning), found.size_bytes, rest) == (1024 * 1024, count * len(chunk), NEXT)
    assert most_bytes < 6 * 1024 * 1024
