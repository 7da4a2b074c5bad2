"""Which addresses get no more mail. The rule above all: no reason outside `SUPPRESSING` ever decides."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.vocab import Fate, Phase, SuppressionScope
from outrider.policy import suppress
from outrider.policy.reason import Action, Reason, Scope, action_of, scope_of
from outrider.policy.shaping import SMARTHOST
from outrider.policy.suppress import SUPPRESSING, Decision, Evidence
from outrider.wire.answer import Answer
from outrider.wire.reply import parse_reply
from tests.unit.policy.test_classify_replies import CLASSIFIER

NOW: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
SPACE: Final = UUID(int=7)
DAY: Final = timedelta(days=1)
ALL: Final = SuppressionScope.ALL

reasons = st.sampled_from([*map(str, Reason), "", "something.new"])
ages = st.timedeltas(timedelta(0), timedelta(days=400))


def evidence(reason: str, *days_ago: float, message: str = "") -> list[Evidence]:
    """One for each day, of a message each; or all of one message."""
    return [Evidence(reason, NOW - timedelta(days=d), uuid5(SPACE, message or f"{reason}{d}")) for d in days_ago]


def decide(
    reason: str, earlier: Sequence[Evidence] = (), fate: Fate = Fate.BOUNCED, text: str = "", message: str = "now"
) -> Decision | None:
    return suppress.decide(
        reason,
        fate=fate,
        earlier=earlier,
        now=NOW,
        message_id=uuid5(SPACE, message),
        text=text,
    )


evidences = st.lists(
    st.builds(
        lambda reason, age, n: Evidence(reason, NOW - age, uuid5(SPACE, str(n))), reasons, ages, st.integers(0, 9)
    ),
    max_size=30,
)


@given(
    reason=reasons.filter(lambda reason: reason not in SUPPRESSING),
    fate=st.sampled_from(Fate),
    earlier=evidences,
    text=st.text(max_size=60) | st.just("account closed, user unknown"),
)
def test_no_other_reason_ever_decides(reason: str, fate: Fate, earlier: list[Evidence], text: str) -> None:
    assert suppress.decide(reason, fate=fate, earlier=earlier, now=NOW, text=text) is None
    assert not suppress.is_counted(reason)


@given(reason=reasons, fate=st.sampled_from(Fate), earlier=evidences, text=st.text(max_size=60))
def test_every_decision_has_its_scope_and_a_future(reason: str, fate: Fate, earlier: list[Evidence], text: str) -> None:
    decision = decide(reason, earlier, fate, text)
    if decision is not None:
        assert decision.reason == reason
        assert (decision.scope is SuppressionScope.STREAM) == (reason in ("complaint", "unsubscribe"))
        assert decision.expires_at is None or decision.expires_at > NOW


@given(reason=st.sampled_from(sorted(SUPPRESSING)), earlier=evidences)
def test_what_is_not_refused_for_good_suppresses_nobody(reason: str, earlier: list[Evidence]) -> None:
    for fate in (Fate.DEFERRED, Fate.DELIVERED):
        decision = decide(reason, earlier, fate)
        assert decision is None or reason in ("recipient.full", "complaint", "unsubscribe")


def test_what_may_suppress_is_what_the_reasons_say_and_never_about_us() -> None:
    assert {r for r in Reason if action_of(r) in (Action.SUPPRESS, Action.COUNT)} == SUPPRESSING
    assert {r for r in Reason if action_of(r) is Action.COUNT} == {r for r in Reason if suppress.is_counted(r)}
    blamed = {scope_of(r) for r in SUPPRESSING - {Reason.UNKNOWN_HARD, Reason.RELAY_DENIED}}
    assert blamed == {Scope.RECIPIENT}
    assert SUPPRESSING & {Reason.RECIPIENT_RATE, Reason.RECIPIENT_POLICY, Reason.RECIPIENT_CHALLENGE} == set()


@pytest.mark.parametrize("reason", ["recipient.invalid", "recipient.domain_invalid", "recipient.moved"])
def test_who_is_gone_is_suppressed_at_once_and_for_ever(reason: str) -> None:
    assert decide(reason) == Decision(ALL, reason, None)


@given(count=st.integers(0, 50), phase=st.sampled_from([Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT]))
def test_a_yahoo_rate_reply_with_a_5xx_decides_nothing_however_often(count: int, phase: Phase) -> None:
    reply = parse_reply([b"553 5.7.1 [TSS04] Messages from 192.0.2.7 temporarily deferred due to user complaints"])
    verdict = CLASSIFIER.judge(Answer(phase, reply))
    earlier = evidence(verdict.reason, *range(count))
    assert decide(verdict.reason, earlier, Fate.BOUNCED, reply.text) is None


@given(days=st.lists(st.integers(1, 89), min_size=4, max_size=20, unique=True).filter(lambda days: max(days) >= 14))
def test_a_mailbox_that_is_full_five_times_over_two_weeks_rests_for_a_quarter(days: list[int]) -> None:
    decision = decide("recipient.full", evidence("recipient.full", *days), Fate.DEFERRED)
    assert decision == Decision(ALL, "recipient.full", NOW + 90 * DAY)


@given(days=st.lists(st.floats(0, 400), max_size=3), others=evidences)
def test_four_times_full_is_not_enough(days: list[float], others: list[Evidence]) -> None:
    others = [e for e in others if e.reason != "recipient.full"]
    assert decide("recipient.full", evidence("recipient.full", *days) + others, Fate.DEFERRED) is None


@given(days=st.lists(st.floats(0, 13), max_size=30))
def test_full_within_thirteen_days_is_not_enough(days: list[float]) -> None:
    assert decide("recipient.full", evidence("recipient.full", *days), Fate.DEFERRED) is None


def test_the_tries_of_one_message_on_one_day_count_once() -> None:
    tries = evidence("recipient.full", 14, 14.01, 14.02, 14.03, message="one")
    assert decide("recipient.full", tries, Fate.DEFERRED) is None
    assert decide("recipient.full", tries + evidence("recipient.full", 9, 6, 3), Fate.DEFERRED) is not None


@pytest.mark.parametrize(
    ("reason", "days"),
    [
        ("recipient.full", (20, 15, 10, 5)),
        ("unknown.hard", (3, 2)),
        ("relay_denied", (9, 4)),
        ("recipient.disabled", (5,)),
    ],
)
def test_a_delivery_wipes_what_was_counted_before_it(reason: str, days: tuple[int, ...]) -> None:
    assert decide(reason, evidence(reason, *days)) is not None
    assert decide(reason, evidence(reason, *days) + evidence("accepted", 1)) is None
    assert decide(reason, evidence(reason, *days) + evidence("accepted", 40)) is not None


@pytest.mark.parametrize(
    ("reason", "days", "message", "expires_at"),
    [
        ("recipient.disabled", (29.9,), "", None),
        ("unknown.hard", (13, 1), "", NOW + 90 * DAY),
        ("unknown.hard", (2, 1), "one", NOW + 90 * DAY),  # Two of one message, and this one.
        ("relay_denied", (7, 3), "", NOW + 90 * DAY),
    ],
)
def test_enough_of_it_suppresses(
    reason: str, days: tuple[float, ...], message: str, expires_at: datetime | None
) -> None:
    assert decide(reason, evidence(reason, *days, message=message)) == Decision(ALL, reason, expires_at)


@pytest.mark.parametrize(
    ("reason", "days", "message"),
    [
        ("recipient.disabled", (30.1,), ""),
        ("recipient.disabled", (), ""),
        ("unknown.hard", (1,), ""),
        ("unknown.hard", (14.1, 1), ""),
        ("unknown.hard", (2, 1, 3), "now"),  # All of one message.
        ("relay_denied", (6, 3), ""),
        ("relay_denied", (8,), ""),
        ("relay_denied", (100, 8), ""),
    ],
)
def test_less_does_not(reason: str, days: tuple[float, ...], message: str) -> None:
    assert decide(reason, evidence(reason, *days, message=message)) is None


@pytest.mark.parametrize(
    ("text", "is_closed"),
    [
        ("550 5.2.1 Account closed", True),
        ("This mailbox has been deleted", True),
        ("closed account", True),
        ("The user's account was terminated", True),
        ("account is disabled", False),
        ("connection closed", False),
        ("", False),
    ],
)
def test_a_closed_account_needs_no_second_time(text: str, is_closed: bool) -> None:
    assert decide("recipient.disabled", text=text) == (Decision(ALL, "recipient.disabled", None) if is_closed else None)


@pytest.mark.parametrize(
    ("reason", "fate", "provider", "is_meant"),
    [
        (Reason.RELAY_DENIED, Fate.BOUNCED, "gmail", True),
        (Reason.RELAY_DENIED, Fate.BOUNCED, SMARTHOST, False),  # About our contract with it.
        (Reason.RECIPIENT_INVALID, Fate.BOUNCED, SMARTHOST, True),
        (Reason.RECIPIENT_INVALID, Fate.DEFERRED, "gmail", False),
        (Reason.RECIPIENT_FULL, Fate.DEFERRED, "gmail", True),
        (Reason.ACCEPTED, Fate.DELIVERED, "gmail", False),
    ],
)
def test_what_is_about_the_address(reason: Reason, fate: Fate, provider: str, is_meant: bool) -> None:
    assert suppress.is_meant(reason, fate, provider) is is_meant


@pytest.mark.parametrize("reason", ["complaint", "unsubscribe"])
def test_what_a_reader_says_ends_marketing_mail_and_nothing_else(reason: str) -> None:
    decision = suppress.decide(reason, fate=Fate.DELIVERED, earlier=(), now=NOW)
    assert decision == Decision(SuppressionScope.STREAM, reason, None)


@given(earlier=evidences, reason=reasons)
def test_the_order_of_evidence_does_not_matter(earlier: list[Evidence], reason: str) -> None:
    assert decide(reason, earlier) == decide(reason, sorted(earlier, key=lambda e: e.at))
