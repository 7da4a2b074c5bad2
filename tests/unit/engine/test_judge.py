"""From an attempt's last word to the recipient's next state."""

from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from outrider.base.vocab import Fate, Phase, RecipientStatus
from outrider.config import Config
from outrider.engine.judge import Judge
from outrider.knowledge import make_shaping, rules_text
from outrider.obs.metrics import Metrics
from outrider.policy.classify import Classifier, Verdict, parse_rules
from outrider.policy.settings import RetrySettings
from outrider.policy.shaping import Act, ReplyRule, Shaping, Step
from outrider.store.queue import Claim
from outrider.testing.clock import EPOCH, FakeClock
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

CLASSIFIER = Classifier(parse_rules(rules_text()))
SHAPING = make_shaping(Config())
INTERNAL = Answer(Phase.CONNECT, None, Cause.INTERNAL)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def judge(metrics: Metrics) -> Judge:
    settings = RetrySettings(first_s=60)
    return Judge(CLASSIFIER, SHAPING, settings, clock=FakeClock(), random=Random(1), metrics=metrics)


def verdict_of(judge: Judge, one: Claim, answer: Answer, provider: str | None = None) -> Verdict:
    return judge.verdict(one, answer, provider=provider, accepted_at=EPOCH).verdict


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
    verdict = verdict_of(judge, claim(), answer)
    found, retry_at = judge.next(claim(), verdict, EPOCH)
    assert found is status
    assert (retry_at is not None) == (status is RecipientStatus.QUEUED)
    assert retry_at is None or EPOCH + timedelta(seconds=30) <= retry_at <= EPOCH + timedelta(seconds=120)


def test_what_cannot_be_tried_again_in_time_is_expired(judge: Judge) -> None:
    short = claim(life=timedelta(seconds=20))
    verdict = verdict_of(judge, short, said(451))
    assert judge.next(short, verdict, EPOCH) == (RecipientStatus.EXPIRED, None)


def test_the_third_failure_of_our_own_parks_the_message(judge: Judge, metrics: Metrics) -> None:
    verdict = judge.verdict(claim(), INTERNAL, provider=None, accepted_at=None).verdict
    assert (verdict.fate, verdict.reason) == (Fate.DEFERRED, "internal")
    found = []
    for _ in range(3):
        judge.failed(claim())
        found.append(judge.next(claim(), verdict, EPOCH)[0])
    assert found == [RecipientStatus.QUEUED, RecipientStatus.QUEUED, RecipientStatus.HELD]
    assert b'{place="deliver"} 3.0' in metrics.render()


def test_a_good_end_forgets_our_failures(judge: Judge) -> None:
    internal = verdict_of(judge, claim(), INTERNAL)
    for _ in range(2):
        judge.failed(claim())
    judge.next(claim(), Verdict(Fate.DEFERRED, "x"), EPOCH)
    judge.next(claim(), Verdict(Fate.DELIVERED, ""), EPOCH)
    judge.failed(claim())
    assert judge.next(claim(), internal, EPOCH)[0] is RecipientStatus.QUEUED


@pytest.mark.parametrize(("provider", "fate"), [("yahoo", Fate.DEFERRED), ("", Fate.BOUNCED), (None, Fate.BOUNCED)])
def test_a_reply_rule_of_the_gates_provider_may_make_a_refusal_temporary(
    metrics: Metrics, provider: str | None, fate: Fate
) -> None:
    rule = ReplyRule(
        id="yahoo.mild", providers=("yahoo",), pattern="no such", acts=(Step(act=Act.SLOW),), is_temporary=True
    )
    shaping = Shaping(SHAPING.providers, [rule])
    judge = Judge(CLASSIFIER, shaping, RetrySettings(), clock=FakeClock(), random=Random(1), metrics=metrics)
    judged = judge.verdict(claim(), said(550, "5.1.1", "no such user"), provider=provider, accepted_at=EPOCH)
    assert (judged.verdict.fate, judged.verdict.reason) == (fate, "recipient.invalid")
    assert [one.rule for one in judged.reactions] == [judged.verdict.rule] * (provider == "yahoo")
    assert (judged.verdict.rule == "yahoo.mild") == (provider == "yahoo")
