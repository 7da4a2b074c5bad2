"""Dot-stuffing by example; tests/fuzz/test_wire_smtp_data.py has the properties."""

import pytest

from outrider.wire import smtp_data


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd\r\n.\r\n"),
        (b"a\r\r\nb\n\rc\r\n", b"a\r\n\r\nb\r\n\r\nc\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".a\r\n..\r\n", b"..a\r\n...\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a.\r\nb\x0b.\x0c\x85\xe2\x80\xa8.\r\n", b"a.\r\nb\x0b.\x0c\x85\xe2\x80\xa8.\r\n.\r\n"),
    ],
)
def test_a_body_is_made_safe(body: bytes, wire: bytes) -> None:
    assert smtp_data.stuff(body) == wire


@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b".\r\nQUIT", 3),
        (b"a\r\n.\r\nQUIT", 6),
        (b"a\n.\r\n..\r\n\r.\r\n.\r\nx", 16),
        (b"\r\n.\r\n.\r\n", 5),
        (b"..\r\n", -1),
        (b"a\r\n.\n\r\n", -1),
    ],
)
def test_a_message_ends_at_one_place_however_it_is_cut(octets: bytes, end: int) -> None:
    for cut in range(len(octets) + 1):
        finder, first = smtp_data.EndFinder(), octets[:cut]
        found = finder.find(first)
        if found < 0:
            rest = finder.find(octets[cut:])
            found = rest if rest < 0 else cut + rest
        assert found == end, cut
    finder = smtp_data.EndFinder()
    each = [finder.find(octets[at : at + 1]) for at in range(len(octets) if end < 0 else end)]
    assert each == [-1] * len(octets) if end < 0 else each == [-1] * (end - 1) + [1]
