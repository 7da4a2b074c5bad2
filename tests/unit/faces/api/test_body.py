"""How a body is read: never more kept than the limit, never for ever, and a refused caller hears its answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, TooLargeError
from outrider.faces.api.body import CallerGoneError, Places, discard_body, is_large, read_body


class Wire:
    """An ASGI `receive` that gives the chunks and then what is said about their end."""

    def __init__(self, chunks: Sequence[bytes], end: str = "last") -> None:
        self._waiting = list(chunks)
        self._end = end
        self.read_bytes = 0
        self.asked_count = 0

    async def __call__(self) -> Any:
        self.asked_count += 1
        if self._waiting:
            chunk = self._waiting.pop(0)
            self.read_bytes += len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._waiting) or self._end != "last"}
        if self._end == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("length_bytes", [None, 6])
async def test_chunks_become_one_body(length_bytes: int | None) -> None:
    assert await read_body(Wire([b"ab", b"", b"cdef"]), length_bytes) == b"abcdef"


async def test_the_last_byte_promised_ends_the_body_without_waiting_for_more() -> None:
    wire = Wire([b"abc"], end="silence")
    assert await read_body(wire, 3) == b"abc"
    assert wire.asked_count == 1


async def test_an_empty_body_is_not_waited_for() -> None:
    assert await read_body(Wire([], end="silence"), 0) == b""


async def test_a_promise_over_the_limit_is_refused_unread() -> None:
    wire = Wire([b"x"])
    with pytest.raises(TooLargeError):
        await read_body(wire, limits.REQUEST_BODY_BYTES_MAX + 1)
    assert wire.asked_count == 0


async def test_an_unannounced_body_is_read_up_to_the_limit() -> None:
    chunk = b"x" * (1024 * 1024)
    whole = [chunk] * (limits.REQUEST_BODY_BYTES_MAX // len(chunk))
    assert len(await read_body(Wire(whole), None)) == limits.REQUEST_BODY_BYTES_MAX
    wire = Wire([*whole, b"x", *whole])
    with pytest.raises(TooLargeError):
        await read_body(wire, None)
    assert wire.read_bytes == limits.REQUEST_BODY_BYTES_MAX + 1


async def test_a_caller_that_hangs_up_is_gone() -> None:
    with pytest.raises(CallerGoneError):
        await read_body(Wire([b"abc"], end="gone"), 10)


async def test_a_caller_that_falls_silent_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_BODY_WAIT_S", 0.01)
    with pytest.raises(CallerError, match="did not arrive"):
        await read_body(Wire([b"abc"], end="silence"), 10)


async def test_what_is_discarded_is_read_to_its_end_and_bounded() -> None:
    wire = Wire([b"x" * 1_000_000] * 5)
    await discard_body({"headers": []}, wire, None)  # type: ignore[typeddict-item]
    assert wire.read_bytes == 5_000_000
    endless = Wire([b"x" * 1_000_000] * 100)
    await discard_body({"headers": []}, endless, None)  # type: ignore[typeddict-item]
    assert endless.read_bytes <= 2 * limits.REQUEST_BODY_BYTES_MAX + 1_000_000


@pytest.mark.parametrize(
    ("headers", "length_bytes"),
    [([], 3000), ([(b"expect", b"100-continue")], limits.REQUEST_BODY_BYTES_MAX + 1)],
)
async def test_a_small_or_unsent_body_is_not_discarded(headers: list[tuple[bytes, bytes]], length_bytes: int) -> None:
    wire = Wire([], end="silence")
    await discard_body({"headers": headers}, wire, length_bytes)  # type: ignore[typeddict-item]
    assert wire.asked_count == 0


async def test_discarding_ends_with_the_callers_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_DISCARD_WAIT_S", 0.01)
    await discard_body({"headers": []}, Wire([b"abc"], end="silence"), None)  # type: ignore[typeddict-item]


async def test_a_place_is_given_back_whatever_happens_and_not_asked_for_without_need() -> None:
    places = Places(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with places.take():
                raise ZeroDivisionError
    async with places.take(), places.take(is_needed=False):
        waiting = asyncio.create_task(places.take().__aenter__())
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
    async with asyncio.timeout(5):
        await waiting


async def test_who_waits_for_a_place_too_long_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_BODY_WAIT_S", 0.01)
    places = Places(1)
    async with places.take():
        with pytest.raises(BusyError, match="try again"):
            await places.take().__aenter__()
    async with places.take():
        pass


def test_what_does_not_say_its_length_needs_a_place() -> None:
    most = limits.REQUEST_SMALL_BYTES_MAX
    assert [is_large(one) for one in (None, 0, most, most + 1)] == [True, False, False, True]
