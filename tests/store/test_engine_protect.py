"""What replies teach about addresses: who is suppressed, for how long, and that it holds at every door."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import Fate, RecipientStatus, Stream, SuppressionOrigin, SuppressionScope
from outrider.engine import protect
from outrider.engine.protect import Finding
from outrider.policy.reason import Reason
from outrider.store import suppressions
from outrider.store.pool import Store
from outrider.store.suppressions import Suppression
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.engineroom import DOMAIN, PROJECT, EngineRoom, OneWay, running, submission
from outrider.testing.peer import Peer, Script

pytestmark = pytest.mark.newest

ANN = "ann@a.example"
GONE = "550 5.1.1 <ann@a.example>: no such user"
FULL = "452 4.2.2 mailbox full"
TSS04 = "553 5.7.1 [TSS04] Messages from 192.0.2.7 temporarily deferred due to user complaints"


def finding(clock: FakeClock, reason: Reason, *, number: int = 1, fate: Fate = Fate.BOUNCED, said: str = "") -> Finding:
    return Finding(
        project_id=PROJECT,
        address_key=ANN,
        message_id=UUID(int=1000 + number),
        recipient_id=UUID(int=2000 + number),
        reason=reason,
        fate=fate,
        origin=SuppressionOrigin.REPLY,
        rule="a.rule",
        rules="abc",
        said=said,
        at=clock.now(),
    )


async def learn(store: Store, clock: FakeClock, *findings: Finding) -> dict[UUID, Suppression]:
    async with store.transaction() as tx:
        return await protect.learn(tx, findings, now=clock.now())


async def entries(store: Store, address_key: str = ANN) -> list[Suppression]:
    async with store.transaction() as tx:
        return await suppressions.of_address(tx, PROJECT, address_key)


async def test_one_final_refusal_of_the_person_suppresses_with_its_evidence(store: Store, clock: FakeClock) -> None:
    made = await learn(store, clock, finding(clock, Reason.RECIPIENT_INVALID, said=GONE))
    (kept,) = await entries(store)
    assert made == {UUID(int=2001): kept}
    assert (kept.scope, kept.reason, kept.expires_at) == (SuppressionScope.ALL, "recipient.invalid", None)
    assert (kept.evidence, kept.rule, kept.rules, kept.recipient_id) == (GONE, "a.rule", "abc", UUID(int=2001))


async def test_a_temporary_one_and_one_about_us_suppress_nobody(store: Store, clock: FakeClock) -> None:
    for number in range(10):
        clock.advance(86_400)
        assert not await learn(
            store,
            clock,
            finding(clock, Reason.RECIPIENT_INVALID, number=number, fate=Fate.DEFERRED),
            finding(clock, Reason.RATE_PROVIDER, number=number + 100, said=TSS04),
            finding(clock, Reason.IP_REPUTATION, number=number + 200),
            finding(clock, Reason.SENDER_AUTH, number=number + 300),
        )
    assert await entries(store) == []


async def test_a_mailbox_full_five_times_over_two_weeks(store: Store, clock: FakeClock) -> None:
    for number in range(4):
        assert not await learn(store, clock, finding(clock, Reason.RECIPIENT_FULL, number=number, fate=Fate.DEFERRED))
        clock.advance(3.5 * 86_400)
    assert await learn(store, clock, finding(clock, Reason.RECIPIENT_FULL, number=9, fate=Fate.DEFERRED))
    (kept,) = await entries(store)
    assert kept.expires_at == clock.now() + timedelta(days=90)


async def test_a_delivery_between_lifts_what_was_counted(store: Store, clock: FakeClock) -> None:
    for number in range(9):
        if number == 4:
            async with store.transaction() as tx:
                await suppressions.lift(tx, [(PROJECT, ANN)])
        assert not await learn(store, clock, finding(clock, Reason.RECIPIENT_FULL, number=number, fate=Fate.DEFERRED))
        clock.advance(3.4 * 86_400 if number < 4 else 86_400)
    assert await entries(store) == []


async def test_a_complaint_ends_marketing_alone(store: Store, clock: FakeClock) -> None:
    await learn(store, clock, finding(clock, Reason.COMPLAINT))
    (kept,) = await entries(store)
    assert (kept.scope, kept.subject, kept.expires_at) == (SuppressionScope.STREAM, "marketing", None)


async def test_many_findings_at_once_are_judged_in_their_order(store: Store, clock: FakeClock) -> None:
    findings = []
    for number in range(3):
        clock.advance(86_400)
        findings.append(finding(clock, Reason.UNKNOWN_HARD, number=number))
    made = await learn(store, clock, *findings)
    assert list(made) == [UUID(int=2002)]


# Through the engine.


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


@pytest.fixture
async def room(store: Store, clock: FakeClock) -> AsyncIterator[EngineRoom]:
    """The engine, on real time."""
    room = EngineRoom(store, RealClock())
    async with running(room.accept):
        yield room


async def test_who_was_refused_for_good_gets_no_more_mail(room: EngineRoom, store: Store) -> None:
    script = Script(refused={ANN: GONE.encode() + b"\r\n"})
    async with Peer(script) as peer, running(room.deliverer(OneWay(peer.site()))):
        found = await room.until_settled(await room.send(ANN, "bob@b.example"))
        assert {key: one.status for key, one in found.items()} == {ANN: "bounced", "bob@b.example": "delivered"}
        (kept,) = await entries(store)
        assert kept.evidence.startswith("550 5.1.1")
        again = await room.accept(PROJECT, submission("ANN@a.example", "bob@b.example"))
        assert (again.recipient_count, [one.reason for one in again.rejected]) == (1, ["recipient suppressed"])
        alone = await room.accept(PROJECT, submission(ANN))
        assert (alone.session_id, alone.recipient_count) == (None, 0)


async def test_mail_that_waits_when_its_address_is_suppressed_is_not_sent(room: EngineRoom, store: Store) -> None:
    session = await room.send(ANN, "bob@b.example")
    async with store.transaction() as tx:
        now = datetime.now(UTC)
        await suppressions.put(
            tx,
            [
                Suppression(
                    project_id=PROJECT,
                    address_key=ANN,
                    scope=SuppressionScope.DOMAIN,
                    subject=DOMAIN,
                    reason="complaint",
                    origin=SuppressionOrigin.OPERATOR,
                    created_at=now,
                )
            ],
        )
    async with Peer() as peer, running(room.deliverer(OneWay(peer.site()))):
        found = await room.until_settled(session)
    assert {key: (one.status, one.reason) for key, one in found.items()} == {
        ANN: (RecipientStatus.SUPPRESSED, "complaint"),
        "bob@b.example": (RecipientStatus.DELIVERED, "accepted"),
    }
    kinds = [event.kind.value for event in await room.events(session)]
    assert sorted(kinds) == ["accepted", "delivered", "suppressed"]
    assert [message.recipients for message in peer.received] == [("bob@b.example",)]


async def test_a_key_used_before_gets_its_first_answer_although_all_are_suppressed_now(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    first = await room.accept(PROJECT, submission(ANN), idempotency_key="once")
    await learn(store, clock, finding(clock, Reason.RECIPIENT_INVALID))
    again = await room.accept(PROJECT, submission(ANN), idempotency_key="once")
    assert again == msgspec.structs.replace(first, is_repeat=True)
    other = await room.accept(PROJECT, submission(ANN), idempotency_key="twice")
    assert other.session_id is None


@pytest.mark.parametrize("reason", [Reason.COMPLAINT, Reason.UNSUBSCRIBE])
async def test_who_complains_or_leaves_is_suppressed_by_that_alone(
    room: EngineRoom, store: Store, clock: FakeClock, reason: Reason
) -> None:
    """As in uSpeedo's console: nobody has to enter them, and the receipt still comes."""
    await learn(store, clock, finding(clock, reason, fate=Fate.BOUNCED))
    (kept,) = await entries(store)
    assert (kept.scope, kept.subject, kept.reason, kept.expires_at) == ("stream", "marketing", reason, None)
    news = await room.accept(PROJECT, submission(ANN, stream=Stream.MARKETING))
    receipt = await room.accept(PROJECT, submission(ANN))
    assert (news.recipient_count, receipt.recipient_count) == (0, 1)
