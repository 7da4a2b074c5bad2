"""What an answer to a webhook call means, as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from outrider.base.vocab import WebhookOutcome
from outrider.policy import hook
from outrider.policy.hook import HookAnswer, HookVerdict

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def judged(answer: HookAnswer, *, attempt: int = 1, age: timedelta = timedelta(0), chance: float = 0.0) -> HookVerdict:
    return hook.judge(answer, attempt=attempt, created_at=NOW - age, now=NOW, chance=chance)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_taken(status: int) -> None:
    assert judged(HookAnswer(status=status)) == HookVerdict(WebhookOutcome.TAKEN)


@pytest.mark.parametrize("status", [0, 100, 301, 302, 308, 400, 401, 404, 410, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    verdict = judged(HookAnswer(status=status))
    assert (verdict.outcome, verdict.due_at) == (WebhookOutcome.RETRIED, NOW + timedelta(seconds=5))


def test_the_delays_are_those_of_standard_webhooks_and_end_after_three_days() -> None:
    age, delays = timedelta(0), []
    for attempt in range(1, 20):
        verdict = judged(HookAnswer(status=500), attempt=attempt, age=age)
        if verdict.due_at is None:
            break
        delays.append((verdict.due_at - NOW).total_seconds())
        age += verdict.due_at - NOW
    assert delays[:8] == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000]
    assert sum(delays) == timedelta(days=3).total_seconds()
    assert verdict.outcome is WebhookOutcome.GIVEN_UP
    assert len(delays) == 9


def test_chance_makes_it_a_tenth_later_at_most() -> None:
    assert judged(HookAnswer(), chance=1.0).due_at == NOW + timedelta(seconds=5.5)


@pytest.mark.parametrize(
    ("status", "asked_s", "waited_s"),
    [(429, 60.0, 60), (503, 60.0, 60), (500, 60.0, 5), (429, 1e9, 3600), (429, -5, 5)],
)
def test_a_server_may_say_when_to_come_back(status: int, asked_s: float, waited_s: float) -> None:
    assert judged(HookAnswer(status=status, retry_after_s=asked_s)).due_at == NOW + timedelta(seconds=waited_s)


def test_a_day_of_failures_pauses() -> None:
    assert not hook.is_to_pause(None, NOW)
    assert not hook.is_to_pause(NOW - timedelta(hours=23), NOW)
    assert hook.is_to_pause(NOW - timedelta(hours=24), NOW)


def test_what_is_paused_keeps_its_last_attempt_before_it_is_given_up_unasked() -> None:
    assert NOW - hook.expires_before(NOW) > timedelta(days=3)


def test_the_window_grows_by_one_and_halves() -> None:
    assert [hook.window_after(w, is_taken=True) for w in (1, 4, 32)] == [2, 5, 32]
    assert [hook.window_after(w, is_taken=False) for w in (1, 4, 32)] == [1, 2, 16]


def test_a_few_failures_cost_no_rest_and_many_a_minute() -> None:
    assert [hook.rest_s(n) for n in (0, 5, 6, 7, 8, 100)] == [0, 0, 1, 2, 4, 60]
    assert HookAnswer(status=410).is_gone
