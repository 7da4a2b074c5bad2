"""The core alone: no socket, its clock and its chance by hand. What it does over sockets is in `conformance`."""

import random
from typing import Any

import pytest

from outrider.client import calls
from outrider.client.config import Patience, Place
from outrider.client.core import ANSWER_BYTES_MAX, Core
from outrider.client.errors import AnswerTimeoutError, ClientError, NoAnswerError, ServerError
from outrider.client.records import Mail
from outrider.client.steps import Close, Failure, Open, Opened, Pause, Read, Step, Steps

CALL = calls.send(Mail(sender="a@shop.example", to="b@partner.example", subject="s", text="t"))
ACCEPTED = b'{"id":"m","accepted_count":1}'
LOST = Failure("reset")
LATE = Failure("timed out", is_timeout=True)
UNSENT = Failure("refused", is_sent=False)
STALE = Failure("closed", is_stale=True)


class Hand:
    """Carries steps out by a list of outcomes; time goes by pauses, and by what each try takes."""

    def __init__(self, *outcomes: Failure | tuple[int, bytes], try_takes_s: float = 0.0, **patience: Any) -> None:
        self.outcomes = list(outcomes)
        self.try_takes_s = try_takes_s
        self.now_s = 100.0
        self.steps: list[Step] = []
        place = Place(False, "127.0.0.1", 8025, "/v1")
        chance = random.Random(3)
        self.core = Core(
            place, "Bearer k", patience=Patience(**patience), monotonic_s=lambda: self.now_s, chance=chance
        )

    def carry_out(self, steps: Steps[Any]) -> Any:
        reply: object = None
        rest = b""
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value
            assert not isinstance(step, Close) or not rest
            self.steps.append(step)
            match step:
                case Open():
                    self.now_s += min(self.try_takes_s, step.timeout_s)
                    outcome = self.outcomes.pop(0)
                    if isinstance(outcome, Failure):
                        reply = outcome
                    else:
                        reply, rest = Opened(outcome[0], {"content-length": str(len(outcome[1]))}), outcome[1]
                case Read():
                    reply, rest = rest[:7], rest[7:]
                case Pause():
                    self.now_s += step.delay_s
                    reply = None
                case _:
                    reply = None

    def pauses(self) -> list[float]:
        return [step.delay_s for step in self.steps if isinstance(step, Pause)]

    def opens(self) -> list[Open]:
        return [step for step in self.steps if isinstance(step, Open)]


def test_pauses_double_up_to_their_end_and_are_drawn() -> None:
    hand = Hand(*[LOST] * 8, (202, ACCEPTED), retries_max=8)
    assert hand.carry_out(hand.core.run(CALL)).id == "m"
    longest = [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert [most / 2 <= pause <= most for pause, most in zip(hand.pauses(), longest, strict=True)] == [True] * 8
    assert len({round(pause / most, 6) for pause, most in zip(hand.pauses(), longest, strict=True)}) == 8


def test_time_in_all_is_kept() -> None:
    hand = Hand(*[LATE] * 50, try_takes_s=30.0, retries_max=49)
    with pytest.raises(AnswerTimeoutError):
        hand.carry_out(hand.core.run(CALL))
    assert hand.now_s - 100.0 <= 120.0
    assert [one.timeout_s for one in hand.opens()][:3] == [30.0, 30.0, 30.0]
    assert hand.opens()[-1].timeout_s < 30.0


def test_doubt_of_any_try_is_kept_to_the_end() -> None:
    for outcomes, is_sent in (((UNSENT, UNSENT), False), ((LOST, UNSENT), True), (((503, b""), UNSENT), True)):
        hand = Hand(*outcomes, retries_max=1)
        with pytest.raises(NoAnswerError) as caught:
            hand.carry_out(hand.core.run(CALL))
        assert caught.value.is_sent == is_sent


def test_no_retries_means_none() -> None:
    hand = Hand((503, b""), retries_max=0)
    with pytest.raises(ServerError):
        hand.carry_out(hand.core.run(CALL))
    assert hand.pauses() == []


def test_closed_connections_do_not_count_but_have_an_end() -> None:
    hand = Hand(STALE, STALE, (202, ACCEPTED), retries_max=0)
    assert hand.carry_out(hand.core.run(CALL)).id == "m"
    hand = Hand(*[STALE] * 40, retries_max=0)
    with pytest.raises(ClientError):
        hand.carry_out(hand.core.run(CALL))
    assert len(hand.opens()) == 16
    hand = Hand(STALE, (200, b"{}"), retries_max=0)  # It may have been done there.
    with pytest.raises(NoAnswerError):
        hand.carry_out(hand.core.run(calls.request("POST", "/domains")))


def test_what_is_final_is_not_tried_again() -> None:
    hand = Hand(Failure("a certificate", is_sent=False, is_final=True), retries_max=4)
    with pytest.raises(NoAnswerError):
        hand.carry_out(hand.core.run(CALL))
    assert len(hand.opens()) == 1


def test_an_answer_is_read_to_a_bound() -> None:
    steps = Hand().core.run(CALL)
    assert isinstance(next(steps), Open)
    assert isinstance(steps.send(Opened(202, {})), Read)
    half = b"a" * (ANSWER_BYTES_MAX // 2)
    assert [type(steps.send(half)) for _ in range(3)] == [Read, Read, Close]
    with pytest.raises(NoAnswerError, match="bytes"):
        next(steps)


def test_chance_alone_makes_keys() -> None:
    hand = Hand((202, ACCEPTED), (202, ACCEPTED))
    hand.carry_out(hand.core.run(CALL))
    hand.carry_out(hand.core.run(CALL))
    keys = [one.request.headers["Idempotency-Key"] for one in hand.opens()]
    assert keys[0] != keys[1]
    again = Hand((202, ACCEPTED))
    again.carry_out(again.core.run(CALL))
    assert again.opens()[0].request.headers["Idempotency-Key"] == keys[0]
