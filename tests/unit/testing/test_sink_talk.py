"""The sink's conversation, through its bytes: any cut of the stream, every rule, counts that are right."""

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy.behaviour import Rulebook, parse_rule
from outrider.testing.sink_talk import Counter, SinkTalk, find_message_id
from outrider.testing.tally import Tally

ONE = (
    b"MAIL FROM:<a@us.example> SIZE=99\r\nRCPT TO:<b@them.example>\r\nDATA\r\n"
    b"Message-ID: <1@us.example>\r\nSubject: x\r\n\r\nhello\r\n..dots\r\n.\r\n"
)
TWO = (
    b"mail from:<a@us.example>\r\nrcpt to:<c@them.example>\r\nrcpt to:<d@them.example>\r\ndata\r\n"
    b".\r\nRSET\r\nNOOP\r\nQUIT\r\n"
)
WIRE = b"EHLO us.example\r\n" + ONE + TWO


class FakeTransport:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.said += data

    def close(self) -> None:
        self.is_closed = True

    abort = close


def talk(*rules: str) -> tuple[SinkTalk, FakeTransport, Tally]:
    tally, transport = Tally(), FakeTransport()
    counter = Counter(tally, Rulebook([parse_rule(rule) for rule in rules], random.Random(1).random), None)
    conversation = SinkTalk(counter)
    conversation.connection_made(cast("asyncio.Transport", transport))
    return conversation, transport, tally


def codes(said: bytes) -> Sequence[bytes]:
    return [line[:3] for line in said.splitlines() if line[3:4] == b" "]


@given(st.sets(st.integers(1, len(WIRE) - 1)))
def test_chunking_never_changes_what_is_said_or_counted(cuts: set[int]) -> None:
    conversation, transport, tally = talk()
    for start, end in pairwise([0, *sorted(cuts), len(WIRE)]):
        conversation.data_received(WIRE[start:end])
    assert codes(transport.said) == b"220 250 250 250 354 250 250 250 250 354 250 250 250 221".split()
    assert transport.is_closed
    counts = tally.counts()
    assert (counts.messages, counts.recipients, counts.unique_recipients) == (2, 3, 3)
    assert counts.octets == len(b"Message-ID: <1@us.example>\r\nSubject: x\r\n\r\nhello\r\n..dots\r\n")


def test_the_same_message_id_to_the_same_recipient_is_a_duplicate() -> None:
    conversation, _, tally = talk()
    conversation.data_received(b"EHLO x\r\n" + ONE + ONE + ONE.replace(b"<1@", b"<2@"))
    counts = tally.counts()
    assert (counts.messages, counts.unique_recipients, counts.duplicates) == (3, 1, 1)


def test_out_of_turn_and_unknown_commands_are_refused() -> None:
    conversation, transport, tally = talk()
    conversation.data_received(b"RCPT TO:<a@x.example>\r\nDATA\r\nMAIL nobody\r\nSING\r\nSTARTTLS\r\n")
    assert codes(transport.said) == b"220 503 503 501 500 502".split()
    assert tally.refusals == 5


def test_data_without_a_valid_recipient_is_refused_and_commands_go_on() -> None:
    conversation, transport, _ = talk("rcpt *@full.example reply 452 4.2.2 full")
    conversation.data_received(b"MAIL FROM:<>\r\nRCPT TO:<a@full.example>\r\nDATA\r\nRSET\r\n" + ONE)
    assert codes(transport.said) == b"220 250 452 554 250 250 250 354 250".split()


def test_a_refused_dot_keeps_nothing_and_what_is_pipelined_behind_it_is_answered() -> None:
    conversation, transport, tally = talk("dot#1 b@* reply 451 4.3.0 later")
    conversation.data_received(ONE + b"NOOP\r\n" + ONE)
    assert codes(transport.said) == b"220 250 250 354 451 250 250 250 354 250".split()
    assert tally.messages == 1


@pytest.mark.parametrize(("action", "kept"), [("swallow", 1), ("drop", 0)])
def test_silence_after_the_dot_may_or_may_not_keep_the_message(action: str, kept: int) -> None:
    conversation, transport, tally = talk(f"dot * {action}")
    conversation.data_received(ONE)
    assert transport.is_closed
    assert codes(transport.said)[-1] == b"354"
    assert tally.messages == kept


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "body"])
def test_a_drop_at_each_stage_takes_no_message(stage: str) -> None:
    conversation, transport, tally = talk(f"{stage} * drop")
    if not transport.is_closed:
        conversation.data_received(b"EHLO x\r\n" + ONE)
    assert transport.is_closed
    assert tally.messages == 0


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
async def test_a_delay_at_each_stage_only_delays(stage: str) -> None:
    conversation, transport, tally = talk(f"{stage} * delay 0.001")
    conversation.data_received(b"EHLO x\r\n" + ONE)
    assert tally.messages == 0
    assert await tally.wait(1, is_unique=False, timeout_s=5.0)
    assert codes(transport.said) == b"220 250 250 250 354 250".split()


def test_a_hang_never_answers() -> None:
    conversation, transport, tally = talk("data * hang")
    conversation.data_received(b"EHLO x\r\n" + ONE)
    conversation.data_received(b"NOOP\r\n")
    assert codes(transport.said) == b"220 250 250 250".split()
    assert tally.messages == 0
    assert not transport.is_closed


def test_garbage_is_no_reply() -> None:
    conversation, transport, _ = talk("ehlo * garbage")
    conversation.data_received(b"EHLO x\r\n")
    assert b"\xff" in transport.said
    assert transport.is_closed


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"Subject: x\r\nMessage-ID: <1@x>\r\n\r\n", b"<1@x>"),
        (b"Message-ID: <1@x>\r\n\r\n", b"<1@x>"),
        (b"Subject: x\r\nmessage-id:\r\n <1@x>\r\n\r\n", b"<1@x>"),
        (b"Subject: x\r\n\r\n\r\nMessage-ID: <1@x>\r\n", b""),
        (b"", b""),
    ],
)
def test_the_message_id_is_found_in_the_header_only(head: bytes, found: bytes) -> None:
    assert find_message_id(head) == found
