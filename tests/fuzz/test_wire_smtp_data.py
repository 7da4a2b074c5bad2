"""No sequence of bytes that any server could take for the end of data appears before the true one."""

import re

from hypothesis import given
from hypothesis import strategies as st

from outrider.wire import smtp_data

# Line ends, dots, and what may stand between them.
PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b" ", b"\0", b"DATA", b"\x85", b"\r\n.\r\n"])
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(b"".join))
ANY_END = re.compile(rb"(?:^|\r\n|\n|\r)\.(?:\r\n|\n|\r)")


def unstuff(wire: bytes) -> bytes:
    lines = wire.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def normal(body: bytes) -> bytes:
    text = re.sub(rb"\r\n|\r|\n", b"\r\n", body)
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


@given(BODIES)
def test_the_only_end_of_data_under_any_reading_is_the_last(body: bytes) -> None:
    wire = smtp_data.stuff(body)
    ends = [found.end() for found in ANY_END.finditer(wire)]
    assert ends == [len(wire)]


@given(BODIES)
def test_there_is_no_bare_cr_and_no_bare_lf(body: bytes) -> None:
    wire = smtp_data.stuff(body)
    assert wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n")


@given(BODIES)
def test_what_the_server_unstuffs_is_the_body_with_crlf_line_ends(body: bytes) -> None:
    assert unstuff(smtp_data.stuff(body)) == normal(body)


@given(BODIES)
def test_a_clean_body_is_not_touched(body: bytes) -> None:
    clean = normal(body)
    if b"\r\n." not in b"\r\n" + clean:
        assert smtp_data.stuff(clean) == clean + b".\r\n"
