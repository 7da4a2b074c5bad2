"""No sequence of bytes that any server could take for the end of data appears before the true one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.wire import smtp_data

# Line ends, dots, and what may stand between them.
PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b" ", b"\0", b"DATA", b"\x85", b"\r\n.\r\n"])
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(b"".join))
# Readers that are known to have been tolerant, and one that is all of them at once.
READINGS = [
    re.compile(rb"(?:^|\r\n)\.\r\n"),  # RFC 5321.
    re.compile(rb"(?:^|\n)\.\r?\n"),  # LF alone ends a line.
    re.compile(rb"(?:^|\r)\n?\.(?:\r\n?)"),  # CR alone ends a line.
    re.compile(rb"(?:^|\r\n|\n|\r)\.(?:\r\n|\n|\r)"),  # Either does.
    re.compile(rb"(?:^|[\r\n]\0*)\0*\.\0*(?:\r\0*\n|\r|\n)"),  # And NUL is not there.
    re.compile(rb"(?:^|[\r\n]\0*)\0*\.[ \t\0]*(?:\r\0*\n|\r|\n)"),  # And white space behind the dot is not, either.
]
NAMED = [
    b"a\n.\nb",
    b"a\n.\r\nb",
    b"a\r.\rb",
    b"a\r.\r\nb",
    b"a\r\n.\rb",
    b"a\r\n.\nb",
    b"a\r\n.\r\nb",
    b"a\r\r\n.\r\r\nb",
    b"a\r\n\0.\r\nb",
    b"a\r\0\n.\r\0\nb",
    b"a\r\n.\0\r\nb",
    b"a\r\n. \r\nb",
    b".\r\nb",
    b".",
    b"\0.",
    b"a\r\n.",
    b"a\r",
    b"a\r\n.\r",
    b"\n.\n",
]


def unstuff(wire: bytes) -> bytes:
    lines = wire.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def normal(body: bytes) -> bytes:
    text = re.sub(rb"\r\n|\r|\n", b"\r\n", body.replace(b"\0", b""))
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


@pytest.mark.parametrize("reading", READINGS)
@given(BODIES)
def test_the_only_end_of_data_under_any_reading_is_the_last(reading: re.Pattern[bytes], body: bytes) -> None:
    wire = smtp_data.stuff(body)
    assert [found.end() for found in reading.finditer(wire)] == [len(wire)]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("body", NAMED)
def test_no_known_sequence_ends_it_early(reading: re.Pattern[bytes], body: bytes) -> None:
    wire = smtp_data.stuff(body)
    assert [found.end() for found in reading.finditer(wire)] == [len(wire)]
    assert any(other.search(body + b"\r\n") for other in READINGS) == (b"." in body)  # Not made safe, some do.


@given(BODIES)
def test_no_reader_that_has_only_the_beginning_finds_an_end_in_it(body: bytes) -> None:
    wire = smtp_data.stuff(body)
    for size_bytes in range(len(wire) - 1):  # The last CR alone is an end to some; nothing of ours comes after it.
        assert not any(reading.search(wire[:size_bytes]) for reading in READINGS)


@given(BODIES)
def test_there_is_no_bare_cr_and_no_bare_lf(body: bytes) -> None:
    wire = smtp_data.stuff(body)
    assert wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n")
    assert b"\0" not in wire


@given(BODIES)
def test_what_the_server_unstuffs_is_the_body_with_crlf_line_ends(body: bytes) -> None:
    assert unstuff(smtp_data.stuff(body)) == normal(body)


@given(BODIES)
def test_a_clean_body_is_not_touched(body: bytes) -> None:
    clean = normal(body)
    if b"\r\n." not in b"\r\n" + clean:
        assert smtp_data.stuff(clean) == clean + b".\r\n"
