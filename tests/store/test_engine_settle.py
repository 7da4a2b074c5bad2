"""Station 6 on a real database: state and history together, once, whatever the database does meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outrider.base import limits
from outrider.base.vocab import EventKind, Fate, Phase, RecipientStatus
from outrider.engine.heard import reply_text
from outrider.engine.settle import Outcome, Settler
from outrider.engine.upkeep import ensure_partitions
from outrider.net.pool import Attempt
from outrider.obs.metrics import QUEUE_TIME
from outrider.policy.classify import Verdict
from outrider.store import egress, queue
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import PROJECT, EngineRoom, Line, running
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

YES = Answer(Phase.DOT, Reply(250, "2.0.0", "queued as 7"))
LATER = Answer(Phase.RCPT, Reply(451, "4.3.0", "try\nlater"))
NO = Answer(Phase.RCPT, Reply(550, "5.1.1", "no such user"))
SILENCE = Answer(Phase.DOT, None, Cause.RESET)


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


def settler_in(room: EngineRoom, store: Store | None = None) -> Settler:
    return Settler(
        store or room.store,
        room.settings,
        writer="w",
        clock=room.clock,
        logger=room.journal.logger,
        metrics=room.metrics,
    )


async def claims_in(room: EngineRoom) -> list[Claim]:
    async with room.store.transaction() as tx:
        lanes = [row["lane_id"] for row in await tx.fetch("SELECT lane_id FROM lane")]
        return await queue.first_due(tx, lanes, now=room.clock.now(), busy=[], count_max=1000)


def outcome(room: EngineRoom, claim: Claim, answer: Answer = YES, **changes: Any) -> Outcome:
    code = answer.reply.code if answer.reply else 400
    fate, status = {
        2: (Fate.DELIVERED, RecipientStatus.DELIVERED),
        4: (Fate.DEFERRED, RecipientStatus.QUEUED),
        5: (Fate.BOUNCED, RecipientStatus.BOUNCED),
    }[code // 100]
    usual = {
        "claim": claim,
        "project_id": PROJECT,
        "status": status,
        "verdict": Verdict(fate, "some.reason", "some.rule", is_ambiguous=answer.is_ambiguous),
        "answer": answer,
        "attempt": Attempt({claim.address: answer}, 0.25, "mx.a.example", "127.0.0.1", "TLSv1.3"),
        "ended_at": room.clock.now(),
        "retry_at": room.clock.now() + timedelta(seconds=60) if status is RecipientStatus.QUEUED else None,
    }
    return Outcome(**usual | changes)


async def test_a_delivery_ends_it_with_its_event(room: EngineRoom, store: Store) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        assert await settler.settle(outcome(room, claim))
    assert await claims_in(room) == []
    one = (await room.recipients(session))["ann@a.example"]
    assert (one.status, one.reason, one.reply, one.attempt, one.due_at) == (
        "delivered", "some.reason", "250 2.0.0 queued as 7", 1, None
    )  # fmt: skip
    _, event = await room.events(session)
    assert (event.kind, event.attempt, event.recipient_id) == (EventKind.DELIVERED, 1, claim.recipient_id)
    assert (event.reason, event.reply) == ("some.reason", "250 2.0.0 queued as 7")
    assert event.facts == {
        "phase": "dot",
        "duration_ms": 250,
        "host": "mx.a.example",
        "ip": "127.0.0.1",
        "tls": "TLSv1.3",
        "rule": "some.rule",
    }
    assert room.sample("outrider_settled_attempts_total", fate="delivered") == 1


async def test_a_deferral_goes_back_with_its_next_instant(room: EngineRoom) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        settled = outcome(room, claim, LATER, is_taken_over=True)
        assert await settler.settle(settled)
    one = (await room.recipients(session))["ann@a.example"]
    assert (one.status, one.reply, one.attempt, one.due_at) == (
        "queued", "451 4.3.0 try / later", 1, settled.retry_at
    )  # fmt: skip
    _, event = await room.events(session)
    assert event.kind is EventKind.DEFERRED
    assert event.facts["taken_over"] is True
    assert "ambiguous" not in event.facts
    assert settled.retry_at is not None
    assert event.facts["next_attempt_at"] == settled.retry_at.replace(microsecond=0).isoformat()


async def test_silence_after_the_dot_is_ambiguous_in_the_event(room: EngineRoom) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        await settler.settle(outcome(room, claim, SILENCE))
    _, event = await room.events(session)
    assert (event.facts["ambiguous"], event.reply) == (True, "no reply: reset")


async def test_an_outcome_that_is_no_longer_ours_is_dropped_and_counted(room: EngineRoom) -> None:
    session = await room.send("ann@a.example", "bob@b.example")
    ann, bob = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        assert await settler.settle(outcome(room, ann, LATER)), "the new owner's"
        late = await asyncio.gather(
            settler.settle(outcome(room, ann, NO)),
            settler.settle(outcome(room, bob)),
            settler.settle(outcome(room, ann, LATER)),
        )
    assert late == [False, True, False], "the others of the batch are unharmed"
    found = await room.recipients(session)
    assert (found["ann@a.example"].status, found["bob@b.example"].status) == ("queued", "delivered")
    assert found["ann@a.example"].attempt == 1
    assert len(await room.events(session)) == 3
    assert room.sample("outrider_settle_lost_total") == 2
    assert room.journal.count("settle_lost") >= 1


async def test_what_ends_together_is_written_together(room: EngineRoom) -> None:
    await room.send(*(f"u{n}@a.example" for n in range(80)))
    claims = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        assert all(await asyncio.gather(*(settler.settle(outcome(room, claim)) for claim in claims)))
    assert room.sample("outrider_write_batch_rows_count", station="settle") == 1
    assert await claims_in(room) == []


@pytest.mark.slow
async def test_an_outcome_is_kept_while_the_database_is_away(
    room: EngineRoom, database_url: str, tmp_path: Path
) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as store:
        settler = settler_in(room, store)
        async with running(settler):
            await line.cut()
            settled = asyncio.ensure_future(settler.settle(outcome(room, claim)))
            async with asyncio.timeout(10):
                while not room.journal.count("settle_delayed"):
                    await room.clock.sleep(0.01)
            assert not settled.done()
            await line.mend()
            async with asyncio.timeout(10):
                assert await settled
    assert (await room.recipients(session))["ann@a.example"].status == "delivered"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stop", "hurry"])
async def test_a_process_that_must_go_gives_up_what_cannot_be_stored(
    room: EngineRoom, database_url: str, tmp_path: Path, way: str
) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as store:
        settler = settler_in(room, store)
        async with running(settler):
            await line.cut()
            settled = asyncio.ensure_future(settler.settle(outcome(room, claim)))
            async with asyncio.timeout(10):
                while not room.journal.count("settle_delayed"):
                    await room.clock.sleep(0.01)
            if way == "stop":
                settler.stop()
            else:
                settler.hurry(0.1)
            async with asyncio.timeout(5):
                assert await settled is False
    assert room.journal.count("outcome_not_stored") == 1
    assert (await room.recipients(session))["ann@a.example"].status == "queued"


@pytest.mark.slow
async def test_a_day_without_a_partition_stops_nobody(room: EngineRoom, clock: RealClock) -> None:
    """The upkeep has not run for too long. Given up, or after a crash, the mail would go out again and again."""
    session = await room.send("ann@a.example", "bob@b.example")
    ann, bob = await claims_in(room)
    settler = settler_in(room)
    async with running(settler):
        clock.jump(9 * 86400)
        settled = [asyncio.ensure_future(settler.settle(outcome(room, claim))) for claim in (ann, bob)]
        async with asyncio.timeout(10):
            while not room.journal.count("settle_delayed"):
                await clock.sleep(0.01)
        assert not any(one.done() for one in settled)
        await ensure_partitions(room.store, clock)
        async with asyncio.timeout(10):
            assert await asyncio.gather(*settled) == [True, True]
    assert {one.status.value for one in (await room.recipients(session)).values()} == {"delivered"}


async def test_the_time_from_acceptance_is_measured_and_never_negative(room: EngineRoom, clock: RealClock) -> None:
    await room.send(*(f"u{n}@a.example" for n in range(4)))
    first, second, third, fourth = await claims_in(room)
    now, minute = clock.now(), timedelta(minutes=1)
    settler = settler_in(room)
    async with running(settler):
        await settler.settle(outcome(room, first, accepted_at=now - minute, ended_at=now))
        await settler.settle(outcome(room, second, accepted_at=now, ended_at=now - minute))  # The clock stepped back.
        await settler.settle(outcome(room, third, NO, accepted_at=now - minute))
        await settler.settle(outcome(room, fourth))  # A message that could not be read.
    assert room.sample(f"{QUEUE_TIME.name}_count") == 2
    assert room.sample(f"{QUEUE_TIME.name}_sum") == 60


async def test_strange_words_of_a_server_are_stored_as_text(room: EngineRoom) -> None:
    words = "no\x00 \x1b[31m\ud800 \u202e \u00fc\r\nmore" + "x" * 5000
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    answer = Answer(Phase.RCPT, Reply(550, "5.1.1", words))
    settler = settler_in(room)
    async with running(settler):
        assert await settler.settle(outcome(room, claim, answer))
    stored = (await room.recipients(session))["ann@a.example"].reply
    assert stored == reply_text(answer)
    assert stored.startswith("550 5.1.1 no? ?[31m? ? ü / more")
    assert stored.isprintable()
    assert len(stored) == limits.REPLY_TEXT_CHARS_KEPT_MAX


async def test_what_is_stored_without_its_words_still_counts_for_its_source(room: EngineRoom, store: Store) -> None:
    session = await room.send("ann@a.example")
    (claim,) = await claims_in(room)
    attempt = Attempt({claim.address: YES}, 0.25, "mx.a.example", dialogue="> \x00")
    settler = settler_in(room)
    async with running(settler):
        assert await settler.settle(outcome(room, claim, attempt=attempt, source="one", provider="gmail"))
    assert room.journal.count("outcome_stored_without_words") == 1
    _, event = await room.events(session)
    assert event.facts == {
        "phase": "dot",
        "duration_ms": 250,
        "rule": "some.rule",
        "source": "one",
        "provider": "gmail",
    }
    async with store.transaction() as tx:
        (counted,) = await egress.of_day(tx, event.at.date())
    assert (counted.source, counted.provider, counted.figures.delivered) == ("one", "gmail", 1)
