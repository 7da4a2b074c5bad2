import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.client.frames import FRAME_BYTES_MAX, Frame, Frames, FrameTooLargeError


def read(*pieces: bytes) -> tuple[list[Frame], Frames]:
    frames = Frames("c0")
    return [frame for piece in pieces for frame in frames.feed(piece)], frames


@pytest.mark.parametrize(
    ("octets", "wanted"),
    [
        (b"data: a\n\n", [Frame("", "a", "c0")]),
        (b"data:a\r\rdata:  b\r\n\r\n", [Frame("", "a", "c0"), Frame("", " b", "c0")]),
        (b"id: 7\nevent: k\ndata: a\ndata: b\n\n", [Frame("k", "a\nb", "7")]),
        (b": beat\n\ndata\n\n", [Frame("", "", "c0")]),
        (b"event: k\n\ndata: a\n\n", [Frame("", "a", "c0")]),
        (b"id: 7\n\nid\ndata: a\n\n", [Frame("", "a", "")]),
        (b"id: 7\0\ndata: a\n\n", [Frame("", "a", "c0")]),
        (b"\xef\xbb\xbfdata: \xff\n\nnew: x\n\n", [Frame("", "�", "c0")]),
        (b"data: unfinished\n", []),
    ],
)
def test_frames_are_read(octets: bytes, wanted: list[Frame]) -> None:
    assert read(octets)[0] == wanted


def test_a_frame_that_never_ended_does_not_move_the_cursor() -> None:
    found, frames = read(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert ([one.cursor for one in found], frames.cursor) == (["1"], "1")


def test_a_beat_moves_the_cursor() -> None:
    assert read(b"id: 9\n: beat\n\n")[1].cursor == "9"


@pytest.mark.parametrize(("said", "wanted"), [(b"2500", 2.5), (b"-1", None), (b"soon", None), (b"", None)])
def test_how_long_to_wait(said: bytes, wanted: float | None) -> None:
    assert read(b"retry: " + said + b"\n\n")[1].retry_s == wanted


def test_a_frame_without_end_is_refused() -> None:
    for piece in (b"a" * 1_000_000, b"data: " + b"a" * 1_000_000 + b"\n"):
        with pytest.raises(FrameTooLargeError):
            read(*[piece] * (FRAME_BYTES_MAX // 1_000_000 + 1))


_PARTS = st.sampled_from(
    [b"data: a", b"id: 1", b"event: k", b":", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xc3", b"retry: 5"]
)


@given(st.lists(_PARTS, max_size=20), st.lists(st.integers(0, 60)))
def test_any_cut_gives_the_same_frames(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    (found, frames), (wanted, at_once) = read(*pieces), read(whole)
    assert (found, frames.cursor, frames.retry_s) == (wanted, at_once.cursor, at_once.retry_s)
