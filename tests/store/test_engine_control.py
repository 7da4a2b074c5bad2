"""An operator's acts: at once on free lanes, leased ones left to their owners, every recipient with its event."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import HoldScope
from outrider.engine.control import Control, Target
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import LIFE, QueueRoom

NIL = UUID(int=0)
MINUTE = timedelta(minutes=1)


class HastyClock(FakeClock):
    """Whoever sleeps moves it on at once; `meanwhile` happens during the first sleep."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, delay_s: float) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.advance(delay_s)


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
def control(store: Store, clock: HastyClock) -> Control:
    return Control(store, clock=clock, random_bits=random.Random(1).getrandbits)


def scopes(room: QueueRoom, lane_id: int) -> list[Target]:
    return [Target.lane(lane_id), Target.provider("gmail"), Target.project(room.project_id)]


@pytest.mark.parametrize("number", [0, 1, 2], ids=["lane", "provider", "project"])
async def test_a_pause_stops_free_lanes_at_once_and_a_resume_wakes_them(
    control: Control, clock: HastyClock, queueroom: QueueRoom, number: int
) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    other_id = await queueroom.lane(provider="qq", project_id=await queueroom.project("other"))
    await queueroom.mail(lane_id)
    target = scopes(queueroom, lane_id)[number]
    done = await control.pause(target, note="complaints")
    assert (done.lane_count, done.note, done.leased_lane_count) == (1, "complaints", 0)
    row = await queueroom.lane_row(lane_id)
    (hold,) = await control.holds()
    assert (row["hold_id"], row["pause_kind"], row["paused_until"].year) == (hold.hold_id, "hold", 9999)
    assert "complaints" in row["pause_reason"]
    assert (await queueroom.lane_row(other_id))["hold_id"] is None
    assert (await control.pause(target)).lane_count == 0, "safe twice"
    assert [one.note for one in await control.holds()] == ["complaints"]
    assert (await control.resume(target)).lane_count == 1
    row = await queueroom.lane_row(lane_id)
    assert (row["paused_until"], row["next_due_at"]) == (None, clock.now())
    assert await control.holds() == []
    assert (await control.resume(target)).lane_count == 0, "safe twice"
    (paused, _) = await queueroom.events("paused")
    assert len(await queueroom.events("resumed")) == 2
    expected_id = queueroom.project_id if target.scope is HoldScope.PROJECT else NIL
    assert (paused["project_id"], paused["message_id"], paused["recipient_id"]) == (expected_id, NIL, None)
    assert paused["facts"] == {
        "scope": target.scope.value, "subject": target.subject, "note": "complaints", "count": 1
    }  # fmt: skip


async def test_a_leased_lane_is_its_owners_to_pause(control: Control, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    await queueroom.lease(lane_id, queueroom.new_id())
    done = await control.pause(Target.provider("gmail"))
    assert (done.lane_count, done.leased_lane_count) == (0, 1)
    assert (await queueroom.lane_row(lane_id))["paused_until"] is None


async def test_a_resume_that_died_half_way_is_ended_by_the_next(control: Control, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane(provider="gmail")
    await control.pause(Target.provider("gmail"))
    await queueroom.execute("DELETE FROM hold")
    assert (await control.resume(Target.provider("gmail"))).lane_count == 1
    assert (await queueroom.lane_row(lane_id))["hold_id"] is None


async def test_what_does_not_exist_is_not_found_and_named(control: Control, queueroom: QueueRoom) -> None:
    mail = await queueroom.mail(await queueroom.lane())
    other_id = await queueroom.project("other")
    targets = [
        Target.lane(10**6),
        Target.lane(10**30),
        Target(HoldScope.LANE, "9" * 5000),
        Target.provider("gmial"),
        Target.provider(""),
        Target.project(UUID(int=5)),
        Target.session(queueroom.project_id, UUID(int=5)),
        Target.session(other_id, mail.message_id),
    ]
    for target in targets:
        for act in (control.pause, control.resume, control.flush, control.drop):
            with pytest.raises(NotFoundError) as caught:
                await act(target)  # type: ignore[operator]
            assert caught.value.field == target.scope.value
    assert await control.holds() == []
    assert (await queueroom.statuses(mail)) == ["queued"]


@pytest.mark.parametrize("note", ["x" * 201, "a\nb", "\x1b[31m"])
async def test_a_note_is_a_line(control: Control, queueroom: QueueRoom, note: str) -> None:
    lane_id = await queueroom.lane()
    with pytest.raises(CallerError) as caught:
        await control.pause(Target.lane(lane_id), note=note)
    assert caught.value.field == "note"


async def test_a_flush_makes_deferred_mail_due_and_ends_limits_but_not_holds(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    later = clock.now() + timedelta(hours=2)
    limited = await queueroom.lane(provider="gmail", paused_until=later)
    asleep = await queueroom.lane(provider="gmail", next_due_at=later)
    held = await queueroom.lane(provider="gmail")
    for lane_id in (limited, asleep, held):
        await queueroom.mail(lane_id, 2, due_at=later, attempt=3)
    await control.pause(Target.lane(held))
    clock.advance(5)
    done = await control.flush(Target.provider("gmail"))
    assert done.recipient_count == 6
    for lane_id in (limited, asleep, held):
        assert {(row["due_at"], row["attempt"]) for row in await queueroom.queue_rows(lane_id)} == {(clock.now(), 3)}
    for lane_id in (limited, asleep):
        row = await queueroom.lane_row(lane_id)
        assert (row["paused_until"], row["pause_kind"], row["next_due_at"]) == (None, None, clock.now())
    assert (await queueroom.lane_row(held))["paused_until"].year == 9999
    assert (await control.flush(Target.provider("gmail"))).recipient_count == 0
    assert [event["facts"]["count"] for event in await queueroom.events("flushed")] == [6, 0]


async def test_a_flush_of_a_session_leaves_the_others_in_its_lane(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    later = clock.now() + MINUTE
    lane_id = await queueroom.lane(next_due_at=later)
    mail = await queueroom.mail(lane_id, 2, due_at=later, attempt=1)
    other = await queueroom.mail(lane_id, due_at=later, attempt=1)
    assert (await control.flush(Target.session(queueroom.project_id, mail.message_id))).recipient_count == 2
    due = {row["recipient_id"]: row["due_at"] for row in await queueroom.queue_rows(lane_id)}
    assert [due[one] for one in mail.recipient_ids] == [clock.now()] * 2
    assert due[other.recipient_ids[0]] == later
    assert (await queueroom.lane_row(lane_id))["next_due_at"] == clock.now()


async def test_many_rows_are_flushed_in_batches(control: Control, clock: HastyClock, queueroom: QueueRoom) -> None:
    later = clock.now() + MINUTE
    deep, shallow = await queueroom.lane(next_due_at=later), await queueroom.lane(next_due_at=later)
    await queueroom.mail(deep, 2500, due_at=later, attempt=1)
    await queueroom.mail(shallow, 3, due_at=later, attempt=1)
    heard: list[int] = []
    assert (await control.flush(Target.project(queueroom.project_id), on_progress=heard.append)).recipient_count == 2503
    assert heard == [1000, 2000, 2503]
    assert (await queueroom.lane_row(shallow))["next_due_at"] == clock.now()


async def test_a_flush_leaves_scheduled_mail_its_time(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    later, hour = clock.now() + timedelta(days=7), clock.now() + timedelta(hours=1)
    lane_id = await queueroom.lane(provider="gmail", next_due_at=hour)
    mail = await queueroom.mail(lane_id, 2, send_at=later)
    tried = await queueroom.mail(lane_id, due_at=hour, attempt=1)
    session = Target.session(queueroom.project_id, mail.message_id)
    counts = [(await control.flush(target)).recipient_count for target in [session, *scopes(queueroom, lane_id)]]
    assert counts == [0, 1, 0, 0], "what was deferred, once"
    due = {row["recipient_id"]: row["due_at"] for row in await queueroom.queue_rows(lane_id)}
    assert due == {tried.recipient_ids[0]: clock.now(), **dict.fromkeys(mail.recipient_ids, later)}
    assert (await queueroom.lane_row(lane_id))["next_due_at"] == clock.now()


@pytest.mark.parametrize("reason", ["operator", "content"])
async def test_mail_that_is_held_and_released_before_its_time_keeps_it(
    control: Control, clock: HastyClock, queueroom: QueueRoom, reason: str
) -> None:
    send_at = clock.now() + timedelta(days=7)
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(None, 2, send_at=send_at, status="held", reason=reason)
    act = control.resume if reason == "operator" else control.release
    assert (await act(Target.session(queueroom.project_id, mail.message_id))).recipient_count == 2
    assert {row["due_at"] for row in await queueroom.queue_rows(lane_id)} == {send_at}
    assert (await queueroom.lane_row(lane_id))["next_due_at"] == send_at


async def test_mail_that_is_released_after_its_time_is_due_now(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(None, send_at=clock.now() + MINUTE, status="held", reason="operator")
    clock.advance(3600)
    await control.resume(Target.session(queueroom.project_id, mail.message_id))
    assert [row["due_at"] for row in await queueroom.queue_rows(lane_id)] == [clock.now()]


async def test_a_drop_cancels_thousands_in_batches_each_with_its_event(
    control: Control, store: Store, queueroom: QueueRoom
) -> None:
    lane_id, other = await queueroom.lane(provider="gmail"), await queueroom.lane(provider="gmail")
    mail = await queueroom.mail(lane_id, 4500, reason="greylisted", attempt=1)
    await queueroom.mail(other, 500)
    bystander = await queueroom.mail(await queueroom.lane(provider="qq"), 2)
    heard: list[int] = []
    done = await control.drop(Target.provider("gmail"), note="spam", on_progress=heard.append)
    assert done.recipient_count == 5000
    assert all(after - before <= 1000 for before, after in zip([0, *heard], heard, strict=False)), "bounded steps"
    assert heard[-1] == 5000
    assert await queueroom.queue_rows(lane_id) == await queueroom.queue_rows(other) == []
    assert set(await queueroom.statuses(mail)) == {"cancelled"}
    assert await queueroom.statuses(bystander) == ["queued"] * 2
    cancelled = await queueroom.events("cancelled")
    assert len(cancelled) == len({event["recipient_id"] for event in cancelled}) == 5000
    assert {event["xid"] for event in cancelled} != {cancelled[0]["xid"]}, "several transactions"
    assert (cancelled[0]["reason"], cancelled[0]["attempt"]) == ("operator", 1)
    assert cancelled[0]["facts"] == {"lane_id": lane_id, "note": "spam"}
    assert [event["facts"]["count"] for event in await queueroom.events("dropped")] == [5000]
    assert await control.holds() == []
    assert (await queueroom.lane_row(lane_id))["hold_id"] is None
    assert (await control.drop(Target.provider("gmail"))).recipient_count == 0, "safe twice"


async def test_a_drop_waits_for_owners_and_a_hold_keeps_the_lanes_from_others(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id)
    await queueroom.lease(lane_id, queueroom.new_id())
    seen: list[str] = []

    async def give_back() -> None:
        seen.extend(await queueroom.statuses(mail))
        assert [hold.subject for hold in await control.holds()] == [str(lane_id)]
        await queueroom.give_back(lane_id)

    clock.meanwhile = give_back
    assert (await control.drop(Target.lane(lane_id))).recipient_count == 1
    assert seen == ["queued"], "nothing was cancelled while it was leased"
    (event,) = await queueroom.events("cancelled")
    assert "may_repeat" not in event["facts"]


async def test_a_drop_does_not_wait_for_ever_and_says_what_may_have_been_sent(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    await queueroom.lease(lane_id, queueroom.new_id())
    due, later = await queueroom.mail(lane_id), await queueroom.mail(lane_id, due_at=clock.now() + MINUTE)
    before_s = clock.monotonic_s()
    assert (await control.drop(Target.lane(lane_id))).recipient_count == 2
    assert 3 <= clock.monotonic_s() - before_s < 4
    may_repeat = {
        event["recipient_id"]: event["facts"].get("may_repeat") for event in await queueroom.events("cancelled")
    }
    assert may_repeat == {due.recipient_ids[0]: True, later.recipient_ids[0]: None}


async def test_a_hold_that_was_there_before_a_drop_stays(control: Control, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id)
    await control.pause(Target.lane(lane_id), note="mine")
    assert (await control.drop(Target.lane(lane_id))).recipient_count == 1
    assert [hold.note for hold in await control.holds()] == ["mine"]
    assert (await queueroom.lane_row(lane_id))["paused_until"].year == 9999


@pytest.mark.parametrize("note", ["", "ticket 7"])
async def test_a_pause_that_comes_while_a_drop_runs_outlives_it(
    control: Control, clock: HastyClock, queueroom: QueueRoom, note: str
) -> None:
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id)
    await queueroom.lease(lane_id, queueroom.new_id())

    async def pause() -> None:
        await control.pause(Target.lane(lane_id), note=note)
        await queueroom.give_back(lane_id)

    clock.meanwhile = pause
    assert (await control.drop(Target.lane(lane_id))).recipient_count == 1
    assert [hold.note for hold in await control.holds()] == [note]
    assert (await queueroom.lane_row(lane_id))["paused_until"].year == 9999


async def test_a_drop_that_died_half_way_is_ended_by_the_next(control: Control, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id, 1500)

    def die(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await control.drop(Target.lane(lane_id), on_progress=die)
    assert len(await control.holds()) == 1, "nothing starts meanwhile"
    assert (await control.drop(Target.lane(lane_id))).recipient_count == 500
    assert await control.holds() == []


async def test_a_session_is_held_and_released_with_its_attempts_and_its_end(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    lane_id, expires_at = await queueroom.lane(), clock.now() + LIFE
    mail = await queueroom.mail(lane_id, 2, attempt=3, reason="greylisted", due_at=clock.now() + MINUTE)
    done_before = await queueroom.mail(None, status="delivered")
    target = Target.session(queueroom.project_id, mail.message_id)
    assert (await control.pause(target, note="wrong price")).recipient_count == 2
    assert await queueroom.statuses(mail) == ["held"] * 2
    assert await queueroom.queue_rows(lane_id) == []
    held = await queueroom.events("held")
    assert {event["recipient_id"] for event in held} == set(mail.recipient_ids)
    assert held[0]["facts"] == {"lane_id": lane_id, "reason_before": "greylisted", "note": "wrong price"}
    assert (await control.pause(target)).recipient_count == 0, "safe twice"
    clock.advance(3600)
    await queueroom.execute("UPDATE lane SET next_due_at = 'infinity'")
    assert (await control.resume(target)).recipient_count == 2
    assert await queueroom.statuses(mail) == ["queued"] * 2
    rows = await queueroom.queue_rows(lane_id)
    assert {(row["due_at"], row["attempt"], row["expires_at"]) for row in rows} == {(clock.now(), 3, expires_at)}
    assert (await queueroom.lane_row(lane_id))["next_due_at"] == clock.now()
    assert len(await queueroom.events("released")) == 2
    reasons = await queueroom.fetch(
        "SELECT reason FROM recipient WHERE project_id = $1 AND attempt = 3", queueroom.project_id
    )
    assert [row["reason"] for row in reasons] == ["greylisted"] * 2
    assert (await control.resume(target)).recipient_count == 0, "safe twice"
    (paused, _) = await queueroom.events("paused")
    assert (paused["project_id"], paused["message_id"]) == (queueroom.project_id, mail.message_id)
    assert await queueroom.statuses(done_before) == ["delivered"]


async def test_a_released_recipient_whose_lane_nobody_remembers_finds_one_like_it(
    control: Control, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane(route="b.example")
    await queueroom.lane(route="c.example")
    mail = await queueroom.mail(None, status="held", reason="operator", route="b.example")
    assert (await control.resume(Target.session(queueroom.project_id, mail.message_id))).recipient_count == 1
    assert [row["recipient_id"] for row in await queueroom.queue_rows(lane_id)] == mail.recipient_ids


async def test_what_another_reason_holds_is_not_released_by_an_operators_resume(
    control: Control, queueroom: QueueRoom
) -> None:
    mail = await queueroom.mail(None, status="held", reason="internal")
    assert (await control.resume(Target.session(queueroom.project_id, mail.message_id))).recipient_count == 0
    assert await queueroom.statuses(mail) == ["held"]


async def test_an_attempt_under_way_may_end_before_its_session_is_held(
    control: Control, clock: HastyClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 2)
    await queueroom.lease(lane_id, queueroom.new_id())

    async def settle() -> None:
        await queueroom.execute("DELETE FROM queue WHERE recipient_id = $1", mail.recipient_ids[0])
        await queueroom.execute(
            "UPDATE recipient SET status = 'delivered' WHERE project_id = $1 AND recipient_id = $2",
            queueroom.project_id,
            mail.recipient_ids[0],
        )

    clock.meanwhile = settle
    before_s = clock.monotonic_s()
    done = await control.pause(Target.session(queueroom.project_id, mail.message_id))
    assert (done.recipient_count, await queueroom.statuses(mail)) == (1, ["delivered", "held"])
    assert clock.monotonic_s() - before_s <= 1.0, "within a second"
    (event,) = await queueroom.events("held")
    assert event["facts"]["may_repeat"] is True


async def test_a_dropped_session_cancels_what_waits_and_what_is_held(control: Control, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    mail, other = await queueroom.mail(lane_id, 3), await queueroom.mail(lane_id)
    target = Target.session(queueroom.project_id, mail.message_id)
    await control.pause(target, note="mine")
    await queueroom.execute(
        "UPDATE recipient SET status = 'delivered' WHERE project_id = $1 AND recipient_id = $2",
        queueroom.project_id,
        mail.recipient_ids[0],
    )
    assert (await control.drop(target)).recipient_count == 2
    assert await queueroom.statuses(mail) == ["delivered", "cancelled", "cancelled"]
    assert await queueroom.statuses(other) == ["queued"]
    assert (await control.drop(Target.session(queueroom.project_id, other.message_id))).recipient_count == 1
    assert (await control.drop(target)).recipient_count == 0
