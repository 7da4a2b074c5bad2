"""Complaints that come in by mail move a guard, and enough of them pause the stream, explained in `outrider why`."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import Stream, WaitKind
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardBook, GuardJudge
from outrider.mail import arf, dsn
from outrider.mail.arf import Feedback
from outrider.mail.dsn import Diagnosis
from outrider.mail.verp import Purpose, ReturnPath, Signer
from outrider.policy.guard import SENT_COUNT_MIN
from outrider.services.inbound import Inbox, ReportReader
from outrider.services.return_paths import BounceDomains
from outrider.store import sending
from outrider.store.pool import Store
from outrider.store.sending import Sending
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import DOMAIN, PROJECT, WAIT_S, EngineRoom, OneWay, classifier, running
from outrider.testing.peer import Peer

pytestmark = pytest.mark.newest
NEWS, ORDERS = Stream.MARKETING, Stream.TRANSACTIONAL
BOUNCES = "bounces.shop.example"
READERS = ("ann@a.example", "bob@a.example", "cat@a.example")


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


class Desk:
    """What takes reports and what reads them, with a judge of what they say of a stream."""

    def __init__(self, room: EngineRoom) -> None:
        self.room, self.signer = room, Signer(bytes(32))
        store, clock, logger, metrics = room.store, room.clock, room.journal.logger, room.metrics
        domains = BounceDomains(store, shared_domain=BOUNCES, clock=clock, logger=logger)
        random_bits = random.SystemRandom().getrandbits
        self.inbox = Inbox(store, self.signer, domains, clock=clock, random_bits=random_bits, metrics=metrics)
        self.reader = ReportReader(store, classifier(), clock=clock, logger=logger, metrics=metrics)
        self.judge = GuardJudge(store, clock=clock, logger=logger, metrics=metrics)

    async def complain(self, recipient_id: UUID) -> None:
        """Have a complaint about the recipient's mail come to the fixed address and be read."""
        expires_on = (self.room.clock.now() + timedelta(days=1)).date()
        token = self.signer.mint(ReturnPath(recipient_id, Purpose.BOUNCE, expires_on), BOUNCES)
        content = arf.build(
            feedback=Feedback(original_mail_from=token),
            sender="fbl@a.example",
            to=f"feedback@{BOUNCES}",
            date=self.room.clock.now(),
            message_id="4@a.example",
            original=b"To: redacted\r\n",
        )
        await self._bring(await self.inbox.find_reported(f"feedback@{BOUNCES}", content), content)

    async def bounce(self, recipient_id: UUID, address: str) -> None:
        """Have a late bounce of an unknown address come to the recipient's return path and be read."""
        gone = Diagnosis(address=address, action="failed", status="5.1.1", code=550, text="no such user")
        content = dsn.build(
            reporting_mta="mx.a.example",
            sender="MAILER-DAEMON@a.example",
            to="x@shop.example",
            date=self.room.clock.now(),
            message_id="5@a.example",
            diagnoses=[gone],
        )
        expires_on = (self.room.clock.now() + timedelta(days=1)).date()
        await self._bring(ReturnPath(recipient_id, Purpose.BOUNCE, expires_on), content)

    async def _bring(self, return_path: ReturnPath, content: bytes) -> None:
        await self.inbox.keep(return_path, sender="", client="127.0.0.1", content=content)
        assert await self.reader.read_batch() == 1

    async def sent(self, count: int, stream: Stream = NEWS) -> None:
        """Let the figures say that so many mails were sent before."""
        hour = sending.hour_of(self.room.clock.now())
        async with self.room.store.transaction() as tx:
            await sending.add(tx, "before", [Sending(hour, PROJECT, DOMAIN, stream, count)])

    async def judged(self) -> list[tuple[str, str, str]]:
        """Judge; return what changed: domain, stream and state."""
        return [(one.sender_domain, one.stream.value, one.level.value) for one in await self.judge.judge()]


@pytest.fixture
async def desk(room: EngineRoom) -> AsyncIterator[Desk]:
    room.guards = GuardBook(room.store, clock=room.clock, logger=room.journal.logger)
    made = Desk(room)
    async with running(room.guards, made.inbox):
        yield made


async def figures(store: Store, stream: Stream = NEWS) -> tuple[int, int, int]:
    """Return sent, invalid, complained of the stream, of whatever writer."""
    async with store.transaction() as tx:
        text = "SELECT sum(sent), sum(invalid), sum(complained) FROM sending_hour WHERE stream = $1"
        ((sent, invalid, complained),) = [tuple(row.values()) for row in await tx.fetch(text, stream.value)]
    return int(sent or 0), int(invalid or 0), int(complained or 0)


async def deliver(room: EngineRoom, addresses: Sequence[str], stream: Stream) -> dict[str, UUID]:
    found = await room.until_settled(await room.send(*addresses, stream=stream))
    return {address: one.recipient_id for address, one in found.items()}


async def test_enough_complaints_that_come_in_pause_the_stream_with_its_reason(desk: Desk, peer: Peer) -> None:
    room = desk.room
    await desk.sent(SENT_COUNT_MIN)
    async with running(room.deliverer(OneWay(peer.site()))):
        got = await deliver(room, READERS, NEWS)
        assert await figures(room.store) == (SENT_COUNT_MIN + 3, 0, 0)
        await desk.complain(got["ann@a.example"])
        assert await figures(room.store) == (SENT_COUNT_MIN + 3, 0, 1)
        assert await desk.judged() == [(DOMAIN, "marketing", "warn")]
        await desk.complain(got["ann@a.example"])
        assert (await figures(room.store))[2] == 1, "who says it twice is one reader"
        await desk.complain(got["bob@a.example"])
        assert await desk.judged() == [(DOMAIN, "marketing", "pause")]
        assert room.guards is not None
        await room.guards.load()
        await room.send("dan@b.example", stream=NEWS)
        explainer = Explainer(room.store, clock=room.clock)
        async with asyncio.timeout(WAIT_S):
            while not (waits := await paused(room.store)):
                await room.clock.sleep(0.01)
        ((line,),) = [told.lines for told in await explainer.why("dan@b.example", project_id=PROJECT)]
        await deliver(room, ["dan@b.example"], ORDERS)
    assert waits == [("marketing", WaitKind.GUARD)]
    assert line.state == "wait"
    assert "is paused: 2 of 503 mails in the last two hours were called spam by their readers" in line.sentence


async def test_late_bounces_of_unknown_addresses_count_for_their_own_stream(desk: Desk, peer: Peer) -> None:
    room = desk.room
    async with running(room.deliverer(OneWay(peer.site()))):
        news = await deliver(room, READERS, NEWS)
        orders = await deliver(room, READERS, ORDERS)
    await desk.bounce(news["ann@a.example"], "ann@a.example")
    await desk.bounce(orders["bob@a.example"], "bob@a.example")
    await desk.complain(orders["cat@a.example"])
    assert await figures(room.store, NEWS) == (3, 1, 0)
    assert await figures(room.store, ORDERS) == (3, 1, 1)


async def paused(store: Store) -> list[tuple[str, str]]:
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT stream, pause_kind FROM lane WHERE paused_until IS NOT NULL")
    return [(row["stream"], row["pause_kind"]) for row in rows]
