"""From an attempt's last word to the recipient's next state."""

from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from outrider.app import rules_text
from outrider.base.vocab import Fate, Phase, RecipientStatus
from outrider.engine.judge import Judge
from outrider.engine.settle import Outcome
from outrider.net.pool import Attempt
from outrider.obs.metrics import QUEUE_TIME, Metrics
from outrider.policy.classify import Classifier, Verdict, parse_rules
from outrider.policy.settings import RetrySettings
from outrider.store.queue import Claim
from outrider.testing.clock import EPOCH, FakeClock
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

CLASSIFIER = Classifier(parse_rules(rules_text()))
INTERNAL = Answer(Phase.CONNECT, None, Cause.INTERNAL)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def judge(metrics: Metrics) -> Judge:
    return Judge(CLASSIFIER, RetrySettings(first_s=60), clock=FakeClock(), random=Random(1), metrics=metrics)


def claim(attempt: int = 0, life: timedelta = timedelta(days=3)) -> Claim:
    return Claim(
        recipient_id=UUID(int=1),
        lane_id=1,
        project_id=UUID(int=2),
        message_id=UUID(int=3),
        address="ann@a.example",
        attempt=attempt,
        due_at=EPOCH,
        expires_at=EPOCH + life,
    )


def said(code: int, enhanced: str = "", text: str = "") -> Answer:
    return Answer(Phase.DOT, Reply(code, enhanced, text))


def outcome(one: Claim, status: RecipientStatus, verdict: Verdict, ended_at: datetime = EPOCH) -> Outcome:
    answer = said(250)
    return Outcome(one, one.project_id, status, verdict, answer, Attempt({one.address: answer}, 0.1), ended_at)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (said(250), RecipientStatus.DELIVERED),
        (said(550, "5.1.1", "no such user"), RecipientStatus.BOUNCED),
        (said(451, "4.3.0", "later"), RecipientStatus.QUEUED),
        (Answer(Phase.CONNECT, None, Cause.TIMEOUT), RecipientStatus.QUEUED),
        (Answer(Phase.DOT, None, Cause.RESET), RecipientStatus.QUEUED),
    ],
)
def test_what_an_answer_makes_of_the_recipient(judge: Judge, answer: Answer, status: RecipientStatus) -> None:
    verdict = judge.verdict(claim(), answer, accepted_at=EPOCH)
    found, retry_at = judge.next(claim(), verdict, EPOCH)
    assert found is status
    assert (retry_at is not None) == (status is RecipientStatus.QUEUED)
    assert retry_at is None or EPOCH + timedelta(seconds=30) <= retry_at <= EPOCH + timedelta(seconds=120)


def test_what_cannot_be_tried_again_in_time_is_expired(judge: Judge) -> None:
    short = claim(life=timedelta(seconds=20))
    verdict = judge.verdict(short, said(451), accepted_at=EPOCH)
    assert judge.next(short, verdict, EPOCH) == (RecipientStatus.EXPIRED, None)


def test_the_third_failure_of_our_own_parks_the_message(judge: Judge, metrics: Metrics) -> None:
    verdict = judge.verdict(claim(), INTERNAL, accepted_at=None)
    assert (verdict.fate, verdict.reason) == (Fate.DEFERRED, "internal")
    found = []
    for _ in range(3):
        judge.failed(claim())
        found.append(judge.next(claim(), verdict, EPOCH)[0])
    assert found == [RecipientStatus.QUEUED, RecipientStatus.QUEUED, RecipientStatus.HELD]
    assert b'{place="deliver"} 3.0' in metrics.render()


def test_a_good_end_forgets_our_failures(judge: Judge) -> None:
    internal = judge.verdict(claim(), INTERNAL, accepted_at=None)
    for _ in range(2):
        judge.failed(claim())
    judge.settled(outcome(claim(), RecipientStatus.QUEUED, Verdict(Fate.DEFERRED, "x")), accepted_at=EPOCH)
    judge.settled(outcome(claim(), RecipientStatus.DELIVERED, Verdict(Fate.DELIVERED, "")), accepted_at=EPOCH)
    judge.failed(claim())
    assert judge.next(claim(), internal, EPOCH)[0] is RecipientStatus.QUEUED


def test_a_clock_that_stepped_back_makes_no_negative_wait(judge: Judge, metrics: Metrics) -> None:
    done = outcome(claim(), RecipientStatus.DELIVERED, Verdict(Fate.DELIVERED, ""), EPOCH - timedelta(hours=1))
    judge.settled(done, accepted_at=EPOCH)
    assert f"{QUEUE_TIME.name}_sum 0.0" in metrics.render().decode()
