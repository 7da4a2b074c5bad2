"""One webhook in the hands of a sender: which of its calls go when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from outrider.base.vocab import WebhookState
from outrider.policy import hook
from outrider.policy.hook import HookAnswer
from outrider.services.webhooks.outlet import LOADED_COUNT_MAX, Outlet, Shot
from outrider.store.webhook_calls import WaitingCall
from outrider.store.webhooks import Webhook

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ID = UUID(int=1)
TAKEN, FAILED = HookAnswer(status=200), HookAnswer(status=500)


def outlet(**more: Any) -> Outlet:
    webhook = Webhook(
        webhook_id=ID, project_id=ID, url="https://a.example", state_at=NOW, created_at=NOW, updated_at=NOW, **more
    )
    return Outlet(webhook, [b"secret"], "")


def calls(count: int, *, key: str = "", first: int = 0, due_at: datetime = NOW, batch: str = "") -> list[WaitingCall]:
    return [
        WaitingCall(
            call_id=number,
            webhook_id=ID,
            project_id=ID,
            event=f"e{number}",
            kind="delivered",
            ordering_key=key,
            batch=batch,
            payload=b"{}",
            attempt=0,
            due_at=due_at,
            created_at=NOW,
        )
        for number in range(first, first + count)
    ]


def shots(one: Outlet, now_s: float = 0.0, now: datetime = NOW) -> list[Shot]:
    found = []
    while (shot := one.next_shot(now, now_s)) is not None:
        found.append(shot)
    return found


def test_its_window_opens_with_each_call_that_is_taken_and_halves_with_each_that_is_not() -> None:
    one = outlet()
    one.offer(calls(100))
    first = shots(one)
    assert len(first) == hook.WINDOW_FIRST
    for _ in first:
        one.heard(TAKEN, 0.0)
    assert len(shots(one)) == 2 * hook.WINDOW_FIRST
    for _ in range(2 * hook.WINDOW_FIRST):
        one.heard(FAILED, 0.0)
    assert shots(one, 1.0) == []
    assert len(shots(one, 100.0)) == 1


def test_a_server_that_sends_us_away_gets_a_rest() -> None:
    one = outlet()
    one.offer(calls(9))
    for _ in shots(one):
        one.heard(HookAnswer(status=429, retry_after_s=30.0), 0.0)
    assert (shots(one, 29.0), one.wanted_count(29.0)) == ([], 0)
    assert len(shots(one, 30.0)) == 1


def test_calls_with_one_key_go_one_after_the_other() -> None:
    one = outlet()
    one.offer([*calls(2, key="a"), *calls(2, key="b", first=2)])
    a, b = shots(one)
    assert [a.events, b.events] == [["e0"], ["e2"]]
    one.heard(TAKEN, 0.0)
    assert shots(one) == [], "not before it is stored"
    one.settled(a, is_over=True)
    (next_one,) = shots(one)
    assert next_one.events == ["e1"]


def test_those_behind_one_that_is_tried_again_are_let_go() -> None:
    one = outlet()
    one.offer(calls(3, key="a"))
    (first,) = shots(one)
    one.heard(FAILED, 0.0)
    one.settled(first, is_over=False)
    assert (shots(one), one.known) == ([], set())


def test_calls_travel_together_when_there_are_enough_or_the_first_has_waited() -> None:
    one = outlet(batch_count=3, batch_wait_s=1.0)
    soon = NOW + timedelta(seconds=1)
    one.offer(calls(4, due_at=soon))
    (full,) = shots(one)
    assert (len(full.calls), full.is_batch, full.name.startswith("batch-")) == (3, True, True)
    (rest,) = shots(one, now=soon)
    assert rest.events == ["e3"]
    assert msgspec.json.decode(rest.envelope())["type"] == "batch"


def test_those_that_failed_together_are_tried_together() -> None:
    one = outlet(batch_count=3)
    one.offer([*calls(2, batch="x"), *calls(2, first=2)])
    first, second = shots(one)
    assert (first.events, second.events) == (["e0", "e1"], ["e2", "e3"])


def test_one_that_is_failing_is_tried_once() -> None:
    one = outlet(state=WebhookState.FAILING)
    assert one.wanted_count(0.0) == 1
    one.offer(calls(5))
    assert len(shots(one)) == 1
    one.heard(TAKEN, 0.0)
    assert (shots(one), one.wanted_count(0.0)) == ([], 0)


def test_one_that_is_paused_or_given_back_gets_nothing() -> None:
    for state in (WebhookState.PAUSED, WebhookState.DISABLED):
        one = outlet(state=state)
        one.offer(calls(1))
        assert (one.wanted_count(0.0), shots(one)) == (0, [])
    one = outlet()
    one.offer(calls(1))
    one.is_to_release = True
    assert shots(one) == []
    one.drop()
    assert one.is_idle


def test_few_calls_are_loaded_at_a_time_and_none_twice() -> None:
    one = outlet()
    assert one.wanted_count(0.0) == LOADED_COUNT_MAX
    one.offer(calls(10))
    one.offer(calls(10))
    assert len(one.known) == 10
    assert one.wanted_count(0.0) == 0
