"""A conversation without rules of its own; with rules, see tests/unit/testing/test_sink_talk.py."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from outrider.faces.smtp.conversation import Conversation
from outrider.policy.behaviour import Action, Rule, Stage

WIRE = (
    b"EHLO us.example\r\nMAIL FROM:<a@us.example>\r\nRCPT TO:<b@them.example>\r\nDATA\r\n"
    b"Subject: x\r\n\r\n..dots\r\n.\r\nQUIT\r\n"
)


class Line:
    """A transport that remembers what was said, and whether anybody reads."""

    def __init__(self) -> None:
        self.said = b""
        self.is_read = True
        self.resumed = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.said += data

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.resumed.set()

    def close(self) -> None:
        """Nothing to close."""


class Patient(Conversation):
    """Waits a moment before RCPT."""

    @property
    def stages(self) -> frozenset[Stage]:
        return frozenset({Stage.RCPT})

    def choose(self, stage: Stage, subjects: Sequence[str]) -> Rule | None:
        return Rule(stage, "*", Action.DELAY, "0.01")


def begun(kind: type[Conversation]) -> tuple[Conversation, Line]:
    line = Line()
    conversation = kind(asyncio.TaskGroup(), None)
    conversation.connection_made(cast("asyncio.Transport", line))
    return conversation, line


@given(st.sets(st.integers(1, len(WIRE) - 1)))
def test_any_cut_of_the_stream_gives_the_same_replies(cuts: set[int]) -> None:
    conversation, line = begun(Conversation)
    for start, end in pairwise([0, *sorted(cuts), len(WIRE)]):
        conversation.data_received(WIRE[start:end])
    codes = [said[:3] for said in line.said.splitlines() if said[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]


async def test_who_is_kept_waiting_cannot_fill_our_memory() -> None:
    conversation, line = begun(Patient)
    conversation.data_received(b"MAIL FROM:<a@us.example>\r\nRCPT TO:<b@them.example>\r\n")
    for _ in range(10):
        if not line.is_read:
            break
        conversation.data_received(b"NOOP\r\n" * 10_000)
    assert not line.is_read
    async with asyncio.timeout(5.0):
        await line.resumed.wait()
    await asyncio.sleep(0)
    assert line.said.endswith(b"250 2.0.0 Ok\r\n")
