"""Stations 2 to 6 together, on a real database and real sockets: what becomes of a mail, whatever happens to it.

On one version of PostgreSQL: what they ask of it is asked of both in the tests of the single stations.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.base.vocab import EventKind, HoldScope, Phase, RecipientStatus
from outrider.engine import lanes
from outrider.engine.holds import HoldBook
from outrider.engine.prepare import Composed, Preparer
from outrider.store import holds
from outrider.store.holds import Hold
from outrider.store.pool import Store
from outrider.store.queue import Claim
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock, until
from outrider.testing.engineroom import PROJECT, EngineRoom, Line, OneWay, OwnReturnPaths, running
from outrider.testing.peer import HOST, Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope, Features

pytestmark = [pytest.mark.slow, pytest.mark.newest]
LATER = b"451 4.3.0 try again later\r\n"
NO = b"550 5.1.1 no such user\r\n"


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


async def kinds(room: EngineRoom, session: UUID) -> list[tuple[EventKind, int]]:
    return [(event.kind, event.attempt) for event in await room.events(session)]


def got(*peers: Peer) -> Counter[str]:
    """Count what the peers received, by recipient."""
    return Counter(one.recipients[0] for peer in peers for one in peer.received)


async def test_on_an_idle_node_a_mail_leaves_at_once(
    store: Store, clock: RealClock, peer: Peer, record_property: Callable[[str, object], None]
) -> None:
    room = EngineRoom(store, clock, poll_s=30.0)
    async with running(room.accept), running(room.deliverer(OneWay(peer.site()))):
        await room.until_settled(await room.send())  # Lane and connection are there, as on a node that is used.
        waits_ms = []
        for count in range(2, 7):
            while await room.leased_count():  # Until it is idle again: the lane was given back.
                await clock.sleep(0.01)
            started_s = clock.monotonic_s()
            session = await room.send()
            accepted_s = clock.monotonic_s()
            await peer.reached(Stage.DOT, count=count)
            waits_ms.append((clock.monotonic_s() - accepted_s) * 1000)
            record_property("accept_ms", round((accepted_s - started_s) * 1000, 1))
            await room.until_settled(session)
    record_property("on_the_wire_after_ms", sorted(round(wait, 1) for wait in waits_ms))
    assert sorted(waits_ms)[len(waits_ms) // 2] < 2000


async def test_a_delivery_has_its_whole_story(room: EngineRoom, peer: Peer) -> None:
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example", "bob@b.example")
        found = await room.until_settled(session)
    assert {one.status for one in found.values()} == {RecipientStatus.DELIVERED}
    assert {one.reason for one in found.values()} == {"accepted"}
    assert {one.reply[:23] for one in found.values()} == {"250 2.0.0 queued as 000"}
    assert got(peer) == {"ann@a.example": 1, "bob@b.example": 1}
    accepted, *delivered = await room.events(session)
    assert accepted.kind is EventKind.ACCEPTED
    assert {event.recipient_id for event in delivered} == {one.recipient_id for one in found.values()}
    for event in delivered:
        assert (event.kind, event.attempt, event.facts["phase"]) == (EventKind.DELIVERED, 1, "dot")
        assert (event.facts["host"], event.facts["ip"], event.facts["tls"]) == (HOST, "127.0.0.1", "")
    assert room.sample("outrider_settled_attempts_total", fate="delivered") == 2
    assert room.sample("outrider_delivery_seconds_count") == 2
    assert room.sample("outrider_attempts_in_flight") == 0
    assert await room.leased_count() == 0


async def test_a_temporary_refusal_waits_for_its_next_turn(room: EngineRoom, clock: RealClock, peer: Peer) -> None:
    peer.script = Script(refused={"ann@a.example": LATER})
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example", "bob@a.example")
        found = await room.until_tried(session)
    ann = found["ann@a.example"]
    assert (ann.status, ann.attempt, ann.reply) == ("queued", 1, "451 4.3.0 try again later")
    assert ann.due_at is not None
    assert timedelta(seconds=60 * 0.84) < ann.due_at - ann.updated_at < timedelta(seconds=60 * 1.16)
    assert found["bob@a.example"].status == "delivered"
    event = next(event for event in await room.events(session) if event.kind is EventKind.DEFERRED)
    assert (event.reply, event.recipient_id, event.attempt) == (ann.reply, ann.recipient_id, 1)
    assert (event.facts["phase"], event.facts["host"], event.facts["ip"]) == ("rcpt", HOST, "127.0.0.1")
    assert event.facts["next_attempt_at"] == ann.due_at.replace(microsecond=0).isoformat()
    async with room.store.transaction() as tx:
        row = await tx.fetch_row("SELECT owner, next_due_at FROM lane")
    assert row is not None
    assert (row["owner"], row["next_due_at"]) == (None, ann.due_at)


async def test_attempts_are_counted_until_one_succeeds(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(moves={Stage.RCPT: Move(Act.SAY, LATER, times_max=3)})
    async with running(room.deliverer(OneWay(peer.site()), first_s=0.02)):
        session = await room.send("ann@a.example")
        found = await room.until_settled(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].attempt) == ("delivered", 4)
    assert await kinds(room, session) == [
        (EventKind.ACCEPTED, 0), (EventKind.DEFERRED, 1), (EventKind.DEFERRED, 2), (EventKind.DEFERRED, 3),
        (EventKind.DELIVERED, 4)
    ]  # fmt: skip
    assert len(peer.received) == 1


async def test_a_refusal_for_good_bounces(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(refused={"ann@a.example": NO})
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example", "bob@a.example")
        found = await room.until_settled(session)
    ann = found["ann@a.example"]
    assert (ann.status, ann.attempt, ann.reply, ann.due_at) == ("bounced", 1, "550 5.1.1 no such user", None)
    assert found["bob@a.example"].status == "delivered"
    event = next(event for event in await room.events(session) if event.kind is EventKind.BOUNCED)
    assert (event.reply, event.reason, event.facts["phase"]) == (ann.reply, ann.reason, "rcpt")


async def test_when_its_time_is_over_it_expires(store: Store, clock: RealClock, peer: Peer) -> None:
    room = EngineRoom(store, clock, message_life_s=50.0)
    peer.script = Script(refused={"ann@a.example": LATER})
    async with running(room.accept), running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example")
        found = await room.until_settled(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].due_at) == ("expired", None)
    *_, event = await room.events(session)
    assert (event.kind, event.reply) == (EventKind.EXPIRED, "451 4.3.0 try again later")


async def test_silence_after_the_dot_is_told_as_it_is(room: EngineRoom, peer: Peer) -> None:
    peer.script = Script(moves={Stage.DOT: Move(Act.DROP)})
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send("ann@a.example")
        found = await room.until_tried(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].reply) == ("queued", "no reply: reset")
    *_, event = await room.events(session)
    assert (event.kind, event.facts["ambiguous"], event.facts["phase"]) == (EventKind.DEFERRED, True, "dot")


@pytest.mark.parametrize(
    ("cause", "status"), [(Cause.DNS_TEMPORARY, "queued"), (Cause.DNS_NULL_MX, "bounced"), (Cause.INTERNAL, "queued")]
)
async def test_a_domain_without_a_way_is_judged_too(room: EngineRoom, cause: Cause, status: str) -> None:
    async with running(room.deliverer(OneWay(Answer(Phase.ROUTE, None, cause)))):
        session = await room.send("ann@a.example")
        found = await room.until_tried(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].reply) == (status, f"no reply: {cause}")


class LateBook(HoldBook):
    """Reads nothing by itself."""

    async def run(self) -> None:
        return


async def test_a_hold_counts_from_the_first_lease_on(room: EngineRoom, peer: Peer, store: Store) -> None:
    await room.send("ann@a.example")
    async with store.transaction() as tx:  # As a process that died half way through a pause leaves it.
        await holds.put(tx, Hold(uuid4(), HoldScope.PROJECT, str(PROJECT), "", room.clock.now()))
    book = LateBook(store, clock=room.clock, logger=room.journal.logger)
    async with running(room.deliverer(OneWay(peer.site()), holds=book)):
        async with asyncio.timeout(15):
            kind = None
            while kind != "hold":
                async with store.transaction() as tx:
                    (row,) = await tx.fetch("SELECT pause_kind, pause_reason FROM lane")
                kind = row["pause_kind"]
    assert row["pause_reason"] == f"held by the operator (project {PROJECT})"
    assert peer.received == []


# Errors of ours.


class Clumsy(Preparer):
    """Fails for one message, or for all; with one error or another."""

    def __init__(self, room: EngineRoom, error: Exception) -> None:
        super().__init__(room.store, room.keys, OwnReturnPaths(), clock=room.clock, drafts_bytes_max=32_000_000)
        self.error = error
        self.times_left = 1000

    async def maker(self, composed: Composed, claim: Claim) -> Callable[[Features], Envelope]:
        if composed.message.subject == "clumsy" and self.times_left:
            self.times_left -= 1
            raise self.error
        return await super().maker(composed, claim)


async def test_the_third_error_of_ours_parks_the_message(room: EngineRoom, peer: Peer) -> None:
    preparer = Clumsy(room, RuntimeError("a bug"))
    async with running(room.deliverer(OneWay(peer.site()), preparer=preparer, first_s=0.02)):
        session = await room.send("ann@a.example", subject="clumsy")
        fine = await room.send("bob@a.example")
        found = await room.until_settled(session)
        assert (await room.until_settled(fine))["bob@a.example"].status == "delivered"
    ann = found["ann@a.example"]
    assert (ann.status, ann.reason, ann.attempt, ann.due_at) == ("held", "internal", 3, None)
    assert await kinds(room, session) == [
        (EventKind.ACCEPTED, 0), (EventKind.DEFERRED, 1), (EventKind.DEFERRED, 2), (EventKind.HELD, 3)
    ]  # fmt: skip
    assert room.sample("outrider_internal_errors_total", place="deliver") == 3
    assert [line["level"] for line in room.journal.lines if line["event"] == "attempt_failed"] == ["error"] * 3
    assert "a bug" in str(room.journal.lines)
    assert got(peer) == {"bob@a.example": 1}


async def test_an_error_of_ours_that_passes_delays_only(room: EngineRoom, peer: Peer) -> None:
    preparer = Clumsy(room, RuntimeError("a bug"))
    preparer.times_left = 2
    async with running(room.deliverer(OneWay(peer.site()), preparer=preparer, first_s=0.02)):
        session = await room.send("ann@a.example", subject="clumsy")
        found = await room.until_settled(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].attempt) == ("delivered", 3)


async def test_a_message_that_cannot_be_composed_is_parked_alone(room: EngineRoom, peer: Peer) -> None:
    sessions = [await room.send(f"u{n}@a.example", text=f"n {n}") for n in range(8)]
    async with room.store.transaction() as tx:
        await tx.execute("UPDATE message SET sender = 'broken' WHERE message_id = $1", sessions[2])
        await tx.execute("DELETE FROM message WHERE message_id = $1", sessions[4])
        await tx.execute(
            "UPDATE content c SET body = 'no MessagePack' FROM message m"
            " WHERE m.message_id = $1 AND c.content_hash = m.content_hash",
            sessions[6],
        )
    async with running(room.deliverer(OneWay(peer.site()), first_s=0.02)):
        found = [await room.until_settled(session) for session in sessions]
    states = [(one.status.value, one.reason) for each in found for one in each.values()]
    assert [n for n, state in enumerate(states) if state == ("held", "internal")] == [2, 4, 6]
    assert got(peer) == {f"u{n}@a.example": 1 for n in (0, 1, 3, 5, 7)}


async def test_a_router_that_fails_delays_its_domain_only(room: EngineRoom, peer: Peer) -> None:
    async def before(domain: str) -> None:
        if domain == "a.example":
            raise RuntimeError("a bug")

    router = OneWay(peer.site())
    router.before = before
    async with running(room.deliverer(router, first_s=60.0)):
        session = await room.send("ann@a.example", "bob@b.example")
        found = await room.until_tried(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].reason) == ("queued", "internal")
    assert found["bob@b.example"].status == "delivered"
    assert room.sample("outrider_internal_errors_total", place="deliver") == 1


async def test_a_database_that_is_away_is_no_fault_of_the_message(room: EngineRoom, peer: Peer) -> None:
    """Reading the signing keys fails while the database restarts: counted, that would park the mail."""
    preparer = Clumsy(room, StoreUnavailableError("The database is not available."))
    preparer.times_left = 5
    async with running(room.deliverer(OneWay(peer.site()), preparer=preparer)):
        session = await room.send("ann@a.example", "bob@a.example", "cat@a.example", subject="clumsy")
        found = await room.until_settled(session)
    assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
    assert len(await room.events(session)) == 4
    assert room.journal.count("attempt_interrupted") == 5
    assert room.sample("outrider_internal_errors_total", place="deliver") == 0


# Fairness and bounds.


async def test_a_domain_that_hangs_delays_no_other(store: Store, clock: RealClock, peer: Peer) -> None:
    room = EngineRoom(store, clock, lane_in_flight_max=10, in_flight_max=15)
    async with Peer(Script(moves={Stage.MAIL: Move(Act.HOLD)})) as silent:
        router = OneWay(peer.site(), silent=silent.site())
        deliverer = room.deliverer(router, connections_max=20)
        async with running(room.accept), running(deliverer):
            hanging = await room.send(*(f"u{n}@silent.example" for n in range(100)))
            await silent.reached(Stage.MAIL, count=10)
            others = [await room.send(*(f"u{n}@d{k}.example" for n in range(20))) for k in range(5)]
            for session in others:
                found = await room.until_settled(session)
                assert {one.status for one in found.values()} == {RecipientStatus.DELIVERED}
            assert {one.attempt for one in (await room.recipients(hanging)).values()} == {0}
            assert silent.connection_count == 10, "no more than its lane may have"
            silent.release()
            silent.script = Script()
            await room.until_settled(hanging)
    assert max(got(peer, silent).values()) == 1


async def test_no_more_are_in_flight_than_allowed(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock, lane_in_flight_max=3, in_flight_max=7)
    async with (
        Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as silent,
        running(room.accept),
        running(room.deliverer(OneWay(silent.site()))),
    ):
        session = await room.send(*(f"u{n}@d{n % 5}.example" for n in range(50)))
        await silent.reached(Stage.DOT, count=7)
        assert silent.connection_count == 7
        silent.release()
        silent.script = Script()
        await room.until_settled(session)
    assert len(got(silent)) == 50
    assert max(got(silent).values()) == 1


async def test_two_nodes_share_the_lanes_and_send_everything_once(store: Store, clock: RealClock, peer: Peer) -> None:
    room = EngineRoom(store, clock, lanes_max=6, claim_count_max=7)
    deliverers = [room.deliverer(OneWay(peer.site())) for _ in range(2)]
    async with running(room.accept), running(deliverers[0]), running(deliverers[1]):
        sessions = await asyncio.gather(
            *(room.send(*(f"u{n}@d{n % 20}.example" for n in range(k, k + 60))) for k in range(0, 300, 60))
        )
        for session in sessions:
            await room.until_settled(session)
    assert len(peer.received) == 300
    assert set(got(peer).values()) == {1}
    assert room.sample("outrider_settle_lost_total") == 0
    assert room.sample("outrider_settled_attempts_total", fate="delivered") == 300
    assert await room.leased_count() == 0


async def test_what_a_dead_owner_left_is_tried_at_once_and_marked(
    room: EngineRoom, clock: RealClock, peer: Peer
) -> None:
    session = await room.send("ann@a.example")
    owner = uuid4()
    async with Peer(Script(moves={Stage.MAIL: Move(Act.HOLD)})) as silent:
        dying = asyncio.ensure_future(room.deliverer(OneWay(silent.site()), owner=owner).run())
        await silent.reached(Stage.MAIL)
        dying.cancel()
        await asyncio.wait([dying])
    assert await room.leased_count() == 1
    assert await lanes.abandon(room.store, owner, clock=clock) == 1
    async with running(room.deliverer(OneWay(peer.site()))):
        await room.until_settled(session)
        later = await room.send("bob@a.example")
        await room.until_settled(later)
    assert [event.facts.get("taken_over") for event in await room.events(session)] == [None, True]
    assert [event.facts.get("taken_over") for event in await room.events(later)] == [None, None]


# Stopping.


async def test_a_stop_lets_what_is_past_the_dot_finish_and_leaves_the_rest_queued(
    room: EngineRoom, clock: RealClock
) -> None:
    async with (
        Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as at_dot,
        Peer(Script(moves={Stage.MAIL: Move(Act.HOLD)})) as at_mail,
    ):
        deliverer = room.deliverer(OneWay(at_dot.site(), mail=at_mail.site()))
        async with running(deliverer):
            session = await room.send("ann@dot.example", *(f"u{n}@mail.example" for n in range(60)))
            before = await room.recipients(session)
            await at_dot.reached(Stage.DOT)
            await at_mail.reached(Stage.MAIL, count=20)
            started_s = clock.monotonic_s()
            deliverer.stop()
            await until(lambda: room.connections[0].stats.open_count == 1)
            at_dot.release()
        assert clock.monotonic_s() - started_s < room.settings.stop_wait_s + 1
        after = await room.recipients(session)
    assert after["ann@dot.example"].status == "delivered"
    for n in range(60):
        assert after[f"u{n}@mail.example"] == before[f"u{n}@mail.example"]
    assert len(await room.events(session)) == 2
    assert await room.leased_count() == 0


async def test_a_stop_does_not_wait_for_ever(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock, stop_wait_s=0.3)
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as silent:
        deliverer = room.deliverer(OneWay(silent.site()))
        async with running(room.accept), running(deliverer):
            session = await room.send("ann@a.example")
            await silent.reached(Stage.DOT)
            started_s = clock.monotonic_s()
            deliverer.stop()
            await room.until_tried(session)
        assert clock.monotonic_s() - started_s < 2
    *_, event = await room.events(session)
    assert (event.kind, event.facts["ambiguous"]) == (EventKind.DEFERRED, True)
    assert await room.leased_count() == 0


async def test_a_stop_does_not_wait_for_dns(room: EngineRoom, clock: RealClock, peer: Peer) -> None:
    asked = asyncio.Event()

    async def before(_domain: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    router = OneWay(peer.site())
    router.before = before
    deliverer = room.deliverer(router)
    async with running(deliverer):
        session = await room.send("ann@a.example")
        await asked.wait()
        started_s = clock.monotonic_s()
    assert clock.monotonic_s() - started_s < 2
    assert [one.attempt for one in (await room.recipients(session)).values()] == [0]
    assert len(await room.events(session)) == 1
    assert await room.leased_count() == 0


async def test_what_we_know_is_written_when_the_database_is_back(
    room: EngineRoom, database_url: str, tmp_path: Path
) -> None:
    async with (
        Line(database_url, tmp_path) as line,
        Store(line.dsn, StoreSettings()) as cut_off,
        Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as peer,
        running(room.deliverer(OneWay(peer.site()), store=cut_off)),
    ):
        session = await room.send("ann@a.example", "bob@b.example")
        await peer.reached(Stage.DOT, count=2)
        await line.cut()
        peer.release()
        await until(lambda: room.journal.count("settle_delayed") > 0)
        await line.mend()
        found = await room.until_settled(session)
    assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
    assert set(got(peer).values()) == {1}
    assert await room.leased_count() == 0


async def test_a_stop_does_not_wait_for_a_database_that_is_away(
    store: Store, clock: RealClock, database_url: str, tmp_path: Path
) -> None:
    room = EngineRoom(store, clock, stop_wait_s=0.3)
    script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as cut_off, Peer(script) as peer:
        async with running(room.accept), running(room.deliverer(OneWay(peer.site()), store=cut_off)):
            session = await room.send("ann@a.example")
            await peer.reached(Stage.DOT)
            await line.cut()
            peer.release()
            await until(lambda: room.journal.count("settle_delayed") > 0)
            started_s = clock.monotonic_s()
        assert clock.monotonic_s() - started_s < 3
    assert room.journal.count("outcome_not_stored") == 1
    assert (await room.recipients(session))["ann@a.example"].status == "queued", "the next owner tries again"


async def test_a_stop_comes_in_the_middle_of_much(room: EngineRoom, peer: Peer) -> None:
    session = await room.send(*(f"u{n}@d{n % 10}.example" for n in range(100)))
    async with running(room.deliverer(OneWay(peer.site()))):
        await peer.reached(Stage.DOT, count=5)
    async with running(room.deliverer(OneWay(peer.site()))):
        found = await room.until_settled(session)
    assert {one.status for one in found.values()} == {RecipientStatus.DELIVERED}
    assert set(got(peer).values()) == {1}
    assert not any("taken_over" in event.facts for event in await room.events(session))
