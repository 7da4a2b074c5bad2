"""Replies: what servers send in the field, what is no SMTP, and that cutting the bytes changes nothing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base import limits
from outrider.base.errors import RemoteProtocolError
from outrider.wire import reply
from outrider.wire.reply import Reply, ReplyReader

WIRE = b"250-mx.example hello\r\n250-SIZE 100\r\n250 OK\r\n550 5.1.1 no such user\r\n354\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"250 OK"], Reply(250, "", "OK")),
        ([b"354"], Reply(354, "", "")),
        ([b"250 "], Reply(250, "", "")),
        ([b"250 2.1.5"], Reply(250, "2.1.5", "")),
        ([b"550 5.1.1 no such user"], Reply(550, "5.1.1", "no such user")),
        ([b"550 #5.1.0 Address rejected."], Reply(550, "5.1.0", "Address rejected.")),
        ([b"550-5.7.26 Unauthenticated", b"550 5.7.26 see"], Reply(550, "5.7.26", "Unauthenticated\nsee")),
        ([b"550-5.1.1 first", b"550 second"], Reply(550, "5.1.1", "first\nsecond")),
        ([b"250-mx.example", b"250 HELP"], Reply(250, "", "mx.example\nHELP")),
        ([b"452 4.2.2over quota"], Reply(452, "", "4.2.2over quota")),
        ([b"554 5.7.1234 too long a code"], Reply(554, "", "5.7.1234 too long a code")),
        ([b"421 3.0.0 no such class"], Reply(421, "", "3.0.0 no such class")),
        ([b"550 caf\xc3\xa9 \xff"], Reply(550, "", "caf\u00e9 \ufffd")),
        ([b"550 a\tb\x00c\x1b[31m"], Reply(550, "", "a b c [31m")),
    ],
)
def test_a_reply_is_read_as_servers_mean_it(lines: list[bytes], expected: Reply) -> None:
    assert reply.parse_reply(lines) == expected


@pytest.mark.parametrize(
    "lines",
    [[b""], [b"25"], [b"hello"], [b"150 no such class"], [b"600 x"], [b"2500 x"], [b"250_x"], [b"250-a", b"251 b"]],
)
def test_what_is_no_reply_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        reply.parse_reply(lines)


@pytest.mark.parametrize(("code", "severity"), [(220, 2), (354, 3), (421, 4), (554, 5)])
def test_severity_is_the_first_digit(code: int, severity: int) -> None:
    assert Reply(code, "", "").severity == severity


@given(st.sets(st.integers(1, len(WIRE) - 1)))
def test_chunking_never_changes_the_replies(cuts: set[int]) -> None:
    reader, edges = ReplyReader(), [0, *sorted(cuts), len(WIRE)]
    got = [r for a, b in pairwise(edges) for r in reader.feed(WIRE[a:b])]
    assert [r.code for r in got] == [250, 550, 354]
    assert got[1] == Reply(code=550, enhanced="5.1.1", text="no such user")
    assert not reader.is_mid_reply


def test_a_reply_seen_before_reads_the_same() -> None:
    reader = ReplyReader()
    first, second = reader.feed(b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n")
    assert first == second == Reply(250, "2.1.0", "Ok")


def test_a_last_line_seen_before_as_a_whole_reply_still_ends_the_longer_one() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250 OK\r\n250-a\r\n250 OK\r\n") == [Reply(250, "", "OK"), Reply(250, "", "a\nOK")]


def test_classify_replies_before_garbage_are_returned_and_then_it_raises() -> None:
    reader = ReplyReader()
    assert [r.code for r in reader.feed(b"250 ok\r\nSSH-2.0-x\r\n250 ok\r\n")] == [250]
    assert reader.is_broken
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            reader.feed(b"250 ok\r\n")


@pytest.mark.parametrize(
    "flood",
    [
        b"2" * (limits.REPLY_LINE_BYTES_MAX + 1),
        b"250 " + b"x" * limits.REPLY_LINE_BYTES_MAX + b"\r\n",
        b"250-x\r\n" * (limits.REPLY_LINES_MAX + 1),
    ],
)
def test_an_endless_reply_is_cut_off(flood: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ReplyReader().feed(flood)


def test_the_longest_reply_is_still_read() -> None:
    flood = b"250-x\r\n" * (limits.REPLY_LINES_MAX - 1) + b"250 x\r\n"
    assert len(ReplyReader().feed(flood)) == 1


def test_the_memory_of_replies_is_bounded() -> None:
    reader = ReplyReader()
    for number in range(1000):
        assert reader.feed(b"250 queued as %d\r\n" % number)[0].text == f"queued as {number}"
    assert len(reader._memo) < 100
