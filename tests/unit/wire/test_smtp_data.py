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
