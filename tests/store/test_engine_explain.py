"""Why mail waits, from rows to lines: whoever asks for anything that exists is told something."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus
from outrider.engine.control import Control, Target
from outrider.engine.explain import Explainer, rate_text
from outrider.store import events
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import QueueRoom

pytestmark = pytest.mark.newest

MINUTE = timedelta(minutes=1)
LANES: dict[str, dict[str, Any]] = {
    "free": {},
    "asleep": {"is_asleep": True},
    "leased": {"owner": UUID(int=3), "lease_s": 60},
    "lease over": {"owner": UUID(int=3), "lease_s": -60},
    "paused": {"pause_s": 12},
    "pause over": {"pause_s": -1},
}


@pytest.fixture
def explainer(store: Store, clock: FakeClock) -> Explainer:
    return Explainer(store, clock=clock)


@pytest.fixture
def control(store: Store, clock: FakeClock) -> Control:
    return Control(store, clock=clock, random_bits=lambda bits: (1 << bits) - 1)


async def told(explainer: Explainer, room: QueueRoom, subject: object) -> list[str]:
    return [
        line.sentence
        for explanation in await explainer.why(str(subject), project_id=room.project_id)
        for line in explanation.lines
    ]


async def lane_in(room: QueueRoom, clock: FakeClock, state: str) -> int:
    columns = dict(LANES[state])
    if "lease_s" in columns:
        columns["lease_until"] = clock.now() + timedelta(seconds=columns.pop("lease_s"))
    if "pause_s" in columns:
        columns["paused_until"] = clock.now() + timedelta(seconds=columns.pop("pause_s"))
    if not columns.pop("is_asleep", False):
        columns |= {} if "paused_until" in columns else {"next_due_at": clock.now()}
    return await room.lane(provider="gmail", **columns)


@pytest.mark.parametrize("has_node", [True, False], ids=["served", "unserved"])
@pytest.mark.parametrize("hold", [None, "lane", "provider", "project"])
@pytest.mark.parametrize("state", LANES)
async def test_nothing_waits_without_a_reason(
    explainer: Explainer,
    control: Control,
    clock: FakeClock,
    queueroom: QueueRoom,
    state: str,
    hold: str | None,
    has_node: bool,
) -> None:
    lane_id = await lane_in(queueroom, clock, state)
    due, later = await queueroom.mail(lane_id, 2), await queueroom.mail(lane_id, due_at=clock.now() + MINUTE, attempt=1)
    if has_node:
        await queueroom.node()
    if hold is not None:
        targets = [Target.lane(lane_id), Target.provider("gmail"), Target.project(queueroom.project_id)]
        await control.pause(next(target for target in targets if target.scope == hold))
    for mail in (due, later):
        for subject in (mail.recipient_ids[0], mail.addresses[0], mail.message_id, lane_id, "A.example"):
            lines = await told(explainer, queueroom, subject)
            assert lines
            assert all(line.partition(": ")[2] for line in lines)
            assert not any("lost" in line for line in lines)
            assert hold is None or any("held by the operator" in line for line in lines)
    assert sum(int(line.split()[0]) for line in await told(explainer, queueroom, lane_id)) == 3
    (row,) = (await explainer.queue()).lanes
    assert (row.depth, bool(row.state), bool(row.why)) == (3, True, True)


@pytest.mark.parametrize("status", RecipientStatus)
async def test_every_status_is_explained(explainer: Explainer, queueroom: QueueRoom, status: RecipientStatus) -> None:
    mail = await queueroom.mail(None, status=status.value, reason="some.reason", reply="250 or so")
    for subject in (mail.recipient_ids[0], mail.addresses[0], mail.message_id):
        (line,) = await told(explainer, queueroom, subject)
        wanted = "lost" if status is RecipientStatus.QUEUED else status.value
        assert line.startswith(f"1 {wanted}: ")


async def test_a_lane_tells_what_it_waits_for(explainer: Explainer, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane(
        provider="gmail", pause_kind="connections", pause_reason="5 of 5 connections in use from mta1",
        paused_until=clock.now() + timedelta(seconds=12),
    )  # fmt: skip
    await queueroom.mail(lane_id, 41)
    sentence = (
        "41 wait: gmail, 5 of 5 connections in use from mta1, since 00:00:00 UTC; next look 00:00:12 UTC, in 12 s"
    )
    assert await told(explainer, queueroom, lane_id) == [sentence]
    assert await told(explainer, queueroom, "a.example") == [sentence]


async def test_a_recipient_in_a_lane_at_work_knows_how_many_are_before_it(
    explainer: Explainer, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 7)
    await queueroom.lease(lane_id, await queueroom.node("mta7"))
    (line,) = await told(explainer, queueroom, mail.recipient_ids[4])
    assert line.startswith("1 sending: by mta7: 4 due before it")


async def test_a_held_session_says_by_whom_and_why(
    explainer: Explainer, control: Control, queueroom: QueueRoom
) -> None:
    mail = await queueroom.mail(await queueroom.lane(), 3)
    await control.pause(Target.session(queueroom.project_id, mail.message_id), note="wrong price")
    (line,) = await told(explainer, queueroom, mail.message_id)
    assert line.startswith("3 held: by the operator: wrong price; `outrider queue resume session")
    (single,) = await told(explainer, queueroom, mail.recipient_ids[1])
    assert single.startswith("1 held: by the operator: wrong price")


async def test_an_empty_lane_says_what_would_keep_mail(
    explainer: Explainer, control: Control, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    assert await told(explainer, queueroom, lane_id) == ["0 empty: nothing waits"]
    await control.pause(Target.lane(lane_id), note="soon")
    (line,) = await told(explainer, queueroom, lane_id)
    assert line.startswith("0 wait: held by the operator")


async def test_what_is_not_there_or_somebody_elses_is_not_found(explainer: Explainer, queueroom: QueueRoom) -> None:
    mail = await queueroom.mail(await queueroom.lane())
    other_id = await queueroom.project("other")
    for subject in (mail.recipient_ids[0], mail.message_id, mail.addresses[0]):
        with pytest.raises(NotFoundError):
            await explainer.why(str(subject), project_id=other_id)
    for subject in (
        "nobody@a.example",
        "b.example",
        "not a thing",
        "",
        "@",
        "99999999999999999999",
        "9" * 5000,
        "999",
        UUID(int=5),
    ):
        with pytest.raises(NotFoundError):
            await explainer.why(str(subject), project_id=queueroom.project_id)
    for subject in (mail.recipient_ids[0], mail.addresses[0]):
        with pytest.raises(NotFoundError) as caught:
            await explainer.show(str(subject), project_id=other_id)
        assert (caught.value.public, caught.value.field) == ("There is no such recipient.", "recipient")


async def test_the_queue_shows_depth_age_owner_state_and_rate(
    explainer: Explainer, control: Control, clock: FakeClock, queueroom: QueueRoom
) -> None:
    node_id = await queueroom.node("mta1")
    await queueroom.gate(node_id, "a", "gmail", connections=3, connections_max=5, rate_per_s=4.25)
    await queueroom.gate(node_id, "b", "gmail", connections=1, connections_max=5, rates=["10/s"], pause_rule="")
    lane_id, held = await queueroom.lane(provider="gmail"), await queueroom.lane(provider="qq")
    await queueroom.mail(lane_id, 4, due_at=clock.now() - MINUTE)
    await queueroom.lease(lane_id, node_id)
    await control.pause(Target.lane(held))
    view = await explainer.queue()
    deep, empty = view.lanes
    assert (deep.lane_id, deep.project, deep.depth, deep.oldest_age_s) == (lane_id, "shop", 4, 60.0)
    assert (deep.owner, deep.state, deep.rate) == ("mta1", "sending", "4 of 10 conn, at most 4.25/s, 10/s")
    assert (empty.lane_id, empty.depth, empty.state, empty.owner, empty.rate) == (held, 0, "wait", "-", "")
    assert (view.lane_count, view.recipient_count, [hold.subject for hold in view.holds]) == (2, 4, [str(held)])
    later = await queueroom.lane(provider="x")
    await queueroom.mail(later, due_at=clock.now() + MINUTE, attempt=1)
    (row,) = (await explainer.queue(provider="x")).lanes
    assert (row.state, row.oldest_age_s) == ("deferred", -60.0)
    assert "next try" in row.why
    await queueroom.mail(await queueroom.lane(provider="y"), send_at=clock.now() + MINUTE)
    (row,) = (await explainer.queue(provider="y")).lanes
    assert (row.state, row.oldest_age_s) == ("wait", -60.0)
    assert row.why.startswith("scheduled, its first try is for later; next look ")


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([], ""),
        ([{}], "0 conn"),
        ([{"connections": 2, "rate_per_s": 3.14159}, {"rate_per_s": 1}], "2 conn, at most 4.14/s"),
        ([{"connections": None, "unknown": [1]}], "0 conn"),
    ],
)
def test_a_rate_is_whatever_the_nodes_tell(states: list[dict[str, Any]], text: str) -> None:
    assert rate_text(states) == text


async def test_a_recipient_is_shown_with_its_attempts_in_order(
    store: Store, explainer: Explainer, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 2, attempt=1, reason="greylisted", reply="450 later")

    def event(number: int | None, kind: EventKind, **values: Any) -> NewEvent:
        who = None if number is None else mail.recipient_ids[number]
        return NewEvent(clock.now(), queueroom.project_id, mail.message_id, who, kind, **values)

    facts = {"host": "mx.a.example", "phase": "rcpt", "duration_ms": 12}
    async with store.transaction() as tx:
        await events.append(tx, [event(None, EventKind.ACCEPTED)])
    clock.advance(1)
    async with store.transaction() as tx:
        deferred = event(0, EventKind.DEFERRED, attempt=1, reason="greylisted", reply="450 later", facts=facts)
        await events.append(tx, [deferred, event(1, EventKind.DELIVERED, reply="not ours")])
    shown = await explainer.show(mail.addresses[0], project_id=queueroom.project_id)
    assert shown == await explainer.show(str(mail.recipient_ids[0]), project_id=queueroom.project_id)
    assert (shown.recipient.address, shown.recipient.lane_id) == (mail.addresses[0], lane_id)
    assert [(spoken.kind, spoken.attempt) for spoken in shown.events] == [("accepted", 0), ("deferred", 1)]
    assert "to mx.a.example, 12 ms, reason greylisted" in shown.events[1].headline
    assert list(shown.events[1].dialogue) == ["* rcpt", "< 450 later"]
    assert len(shown.why) == 1
