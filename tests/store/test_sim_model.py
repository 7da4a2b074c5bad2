"""The model of the database that simulations use answers as PostgreSQL does: one random script on both.

Each step calls the same function of `store` on both and compares what it returns; from time to time all lanes, queue
rows and recipients are compared too. The script is one process's at a time, so nothing depends on locks.
"""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import (
    HoldScope,
    RecipientStatus,
    Stream,
    SuppressionOrigin,
    SuppressionScope,
    WaitKind,
)
from outrider.policy.guard import GuardLevel
from outrider.policy.warmup import Figures
from outrider.store import (
    egress,
    guards,
    holds,
    intake,
    lanes,
    messages,
    queue,
    recipients,
    sending,
    suppressions,
    waiting,
)
from outrider.store.egress import Egress
from outrider.store.guards import Guard
from outrider.store.holds import Hold
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.lanes import GivenBack, LaneKey, Pause, Share
from outrider.store.messages import Body, Message
from outrider.store.pool import Store, Tx
from outrider.store.queue import Claim, PutBack
from outrider.store.recipients import Record
from outrider.store.sending import Sending
from outrider.store.suppressions import EVERYBODY, Asked, Evidence, Suppression
from outrider.store.waiting import Place
from outrider.testing.clock import FakeClock
from outrider.testing.simdatabase import SimDatabase
from outrider.testing.simstore import SimTx
from outrider.testing.virtual_loop import VirtualLoop

STEPS = 150
LEASE = timedelta(seconds=30)
LANES = """
    SELECT lane_id, pool, route, stream, project_id, sender_domain, shard, campaign, provider, next_due_at, owner,
           lease_until, taken_over_at, paused_until, pause_kind, pause_reason, paused_since, hold_id
      FROM lane ORDER BY lane_id"""
QUEUE = "SELECT recipient_id, lane_id, due_at, expires_at, attempt FROM queue ORDER BY recipient_id"
RECIPIENTS = """
    SELECT recipient_id, message_id, project_id, address, updated_at, status, reason, reply, attempt, personal
      FROM recipient ORDER BY recipient_id"""
EVENTS = "SELECT kind, recipient_id, attempt, reason FROM event ORDER BY event_id"

CAMPAIGNS = ["", "spring", "spring's \u2728"]
ADDRESSES = ["a@a.example", "a@b.example", "a@c.example"]
SUBJECTS = {
    SuppressionScope.ALL: [""],
    SuppressionScope.STREAM: list(Stream),
    SuppressionScope.DOMAIN: ["s.example", "t.example"],
    SuppressionScope.LIST: ["weekly", ""],
}

Act = Callable[[Tx], Awaitable[Any]]


class Script:
    """A random life of a database: what to do next, and what is known so far."""

    def __init__(self, seed: int, clock: FakeClock) -> None:
        self.chance, self.clock = random.Random(seed), clock
        self.projects = [UUID(int=n) for n in (1, 2, 3)]
        self.owners = [UUID(int=n) for n in (101, 102)]
        self.held: dict[UUID, set[int]] = {owner: set() for owner in self.owners}
        self.lane_ids: dict[LaneKey, int] = {}
        self.claims: list[tuple[UUID, int]] = []
        self.hold: Hold | None = None
        self.count = 1000
        self.message_ids: list[UUID] = []

    def new_id(self) -> UUID:
        self.count += 1
        return UUID(int=self.count)

    def step(self) -> Act:
        self.clock.advance(self.chance.choice((0.25, 1.0, 5.0, 40.0)) + self.chance.randrange(1000) / 1e6)
        acts = [self.accept] * 4 + [self.lease] * 4 + [self.claim] * 4 + [self.settle] * 4 + [self.release] * 4
        acts += [self.renew, self.abandon, self.put_hold, self.end_hold, self.flush, self.cancel, self.count_scopes]
        acts += [self.guard, self.tell, self.tell]
        acts += [self.suppress, self.suppress, self.ask_suppressed, self.note, self.note, self.lift]
        return self.chance.choice(acts)()

    def accept(self) -> Act:
        project_id, now = self.chance.choice(self.projects), self.clock.now()
        stream = self.chance.choice(list(Stream))
        routes = self.chance.sample(["a.example", "b.example", "c.example"], 2)
        campaign, list_name = self.chance.choice(CAMPAIGNS), self.chance.choice(("", "weekly"))
        keys = [
            LaneKey(self.chance.choice(("default", "other")), r, stream, project_id, "s.example", campaign=campaign)
            for r in routes
        ]
        message = Message(
            self.new_id(),
            project_id,
            stream,
            "us@s.example",
            "Us",
            "Hello",
            b"h",
            2,
            now,
            now + timedelta(days=1),
            campaign,
            list_name,
        )
        self.message_ids.append(message.message_id)
        due_at = now + timedelta(seconds=self.chance.choice((0, 0, 20)))
        who = message.message_id, project_id
        recipient_ids = [self.new_id() for _ in keys]

        async def act(tx: Tx) -> Any:
            made = await lanes.ensure(tx, keys)
            self.lane_ids.update(made)
            rows = [
                NewRecipient(id_, *who, f"a@{key.route}", made[key], due_at, message.expires_at, id_.bytes)
                for id_, key in zip(recipient_ids, keys, strict=True)
            ]
            body = messages.encode_body(Body("Hi"))
            await intake.insert(tx, [NewMail(message, body, rows, {"count": 2})], now=now)
            await lanes.touch(tx, sorted(made.values()), due_at=due_at)
            return made, await messages.load(tx, [message.message_id])

        return act

    def lease(self) -> Act:
        owner, now, stream = self.chance.choice(self.owners), self.clock.now(), self.chance.choice(list(Stream))
        pools = self.chance.choice((["default"], ["default", "other"]))
        share = self.chance.choice((None, Share(2, 1, now - timedelta(seconds=3))))

        async def act(tx: Tx) -> Any:
            found = await lanes.lease(
                tx, stream, pools=pools, owner=owner, now=now, lease_until=now + LEASE, count_max=100, share=share
            )
            self.held[owner] |= {lane.lane_id for lane in found}
            return sorted(found, key=lambda lane: lane.lane_id)

        return act

    def claim(self) -> Act:
        lane_ids = sorted(self.held[self.chance.choice(self.owners)])
        now, count_max = self.clock.now(), self.chance.choice((1, 2, 100))
        busy = [claim[0] for claim in self.claims if self.chance.random() < 0.3]

        async def act(tx: Tx) -> Any:
            found = await queue.first_due(tx, lane_ids, now=now, busy=busy, count_max=count_max)
            self.claims = [(claim.recipient_id, claim.attempt) for claim in found]
            return found

        return act

    def settle(self) -> Act:
        now, late = self.clock.now(), self.clock.now() + timedelta(seconds=self.chance.choice((5, 60)))
        chosen = [claim for claim in self.claims if self.chance.random() < 0.6]
        ended, waiting_ = chosen[::2], [PutBack(*claim, late) for claim in chosen[1::2]]

        async def act(tx: Tx) -> Any:
            gone = await queue.finish(tx, ended)
            back = await queue.put_back(tx, waiting_)
            records = [Record(r, RecipientStatus.DELIVERED, "accepted", "250", 1) for r in sorted(gone)]
            records += [Record(r, RecipientStatus.QUEUED, "network", "", 2) for r in sorted(back)]
            await recipients.record(tx, records, now=now)
            await egress.add(tx, "w", [Egress("mta1", "gmail", Figures(day=now.date(), attempted=1))])
            return gone, back

        return act

    def tell(self) -> Act:
        owner, now = self.chance.choice(self.owners), self.clock.now()
        kinds = (WaitKind.RATE, WaitKind.GUARD)
        pauses = {
            lane_id: Pause(now + LEASE, self.chance.choice(kinds), "it waits") if self.chance.random() < 0.7 else None
            for lane_id in sorted(self.held[owner])
        }

        async def act(tx: Tx) -> Any:
            await lanes.tell(tx, owner, pauses, now=now)
            return await lanes.unpaused(tx, owner, list(pauses))

        return act

    def release(self) -> Act:
        owner, now = self.chance.choice(self.owners), self.clock.now()
        given = []
        for lane_id in sorted(self.held[owner]):
            until = now + timedelta(seconds=self.chance.choice((2, 90)))
            kind = self.chance.choice((WaitKind.RATE, WaitKind.CONNECTIONS))
            held_for = self.hold.hold_id if self.hold and self.chance.random() < 0.3 else None
            pause = Pause(until, kind, "it must wait", held_for) if self.chance.random() < 0.5 else None
            given.append(GivenBack(lane_id, self.chance.choice(("", "gmail")), pause))
        chosen = [one for one in given if self.chance.random() < 0.7]
        self.held[owner] -= {one.lane_id for one in chosen}

        async def act(tx: Tx) -> Any:
            due_at = await lanes.release(tx, owner, chosen, now=now)
            return None if due_at is None or due_at.year == 9999 else due_at

        return act

    def renew(self) -> Act:
        owner, until = self.chance.choice(self.owners), self.clock.now() + LEASE
        return lambda tx: lanes.renew(tx, owner, sorted(self.held[owner]), lease_until=until)

    def abandon(self) -> Act:
        owner, now = self.chance.choice(self.owners), self.clock.now()
        self.held[owner].clear()
        return lambda tx: lanes.abandon(tx, owner, now=now)

    def put_hold(self) -> Act:
        scope = self.chance.choice((HoldScope.PROVIDER, HoldScope.PROJECT))
        subject = "gmail" if scope is HoldScope.PROVIDER else str(self.chance.choice(self.projects))
        now = self.clock.now()
        hold = Hold(self.new_id(), scope, subject, self.chance.choice(("", "why", holds.DROPPING)), now)

        async def act(tx: Tx) -> Any:
            stored = self.hold = await holds.put(tx, hold)
            free = sorted(await waiting.free_lane_ids(tx, scope, subject, count_max=100))
            paused = await holds.pause_lanes(tx, stored.hold_id, free, reason="held", since=now)
            return stored, free, paused, await holds.all(tx), await holds.find(tx, scope, subject)

        return act

    def end_hold(self) -> Act:
        hold, is_half = self.hold, self.chance.random() < 0.3

        async def act(tx: Tx) -> Any:
            if hold is None:
                return None
            was_drops = await holds.remove_drops(tx, hold.hold_id)
            was_there = was_drops or await holds.remove(tx, hold.hold_id)
            orphans = sorted(await holds.orphan_ids(tx))
            woken = 0 if is_half else await holds.wake(tx, hold.hold_id)
            return was_drops, was_there, orphans, woken

        return act

    def flush(self) -> Act:
        lane_ids, now = sorted(self.lane_ids.values()), self.clock.now()
        return lambda tx: waiting.flush(tx, lane_ids, now=now, count_max=1000)

    def cancel(self) -> Act:
        places, now = [Place(lane_id) for lane_id in sorted(self.lane_ids.values())[:1]], self.clock.now()
        count_max = self.chance.choice((1, 1000))

        async def act(tx: Tx) -> Any:
            taken, behind = await waiting.cancel(tx, places, now=now, count_max=count_max)
            return sorted(taken, key=lambda one: one.recipient_id), behind

        return act

    def suppress(self) -> Act:
        now = self.clock.now()
        rows = [
            Suppression(
                project_id=self.chance.choice([*self.projects[:2], EVERYBODY]),
                address_key=self.chance.choice(ADDRESSES),
                scope=scope,
                subject=self.chance.choice(SUBJECTS[scope]),
                reason=self.chance.choice(("complaint", "recipient.full")),
                origin=SuppressionOrigin.REPLY,
                created_at=now,
                expires_at=now + timedelta(seconds=10 * number) if number else None,
            )
            for scope in self.chance.choices(list(SuppressionScope), k=2)
            for number in [self.chance.randrange(1, 40) if self.chance.random() < 0.9 else 0]
        ]

        async def act(tx: Tx) -> Any:
            return await suppressions.put(tx, rows)

        return act

    def ask_suppressed(self) -> Act:
        now, lane_ids = self.clock.now(), sorted(self.lane_ids.values())
        asked = [
            Asked(project_id, key, stream, domain, list_name)
            for project_id in self.projects
            for key in ADDRESSES
            for stream in Stream
            for domain in ("s.example", "t.example")
            for list_name in ("", "weekly")
        ]
        claims = [
            Claim(
                recipient_id=UUID(int=number),
                lane_id=self.chance.choice(lane_ids),
                attempt=0,
                due_at=now,
                expires_at=now,
                message_id=self.chance.choice([UUID(int=number), *self.message_ids]),
                address=self.chance.choice(ADDRESSES),
                project_id=self.chance.choice(self.projects),
            )
            for number in range(20 if lane_ids else 0)
        ]

        async def act(tx: Tx) -> Any:
            among = await suppressions.among(tx, asked, now=now)
            of_claims = await suppressions.among_claims(tx, claims, now=now)
            return set(among), set(of_claims)  # Of several that hold, which says why is open.

        return act

    def note(self) -> Act:
        now = self.clock.now()
        rows = [
            Evidence(self.chance.choice(self.projects), key, "recipient.full", now + timedelta(seconds=n), UUID(int=n))
            for n, key in enumerate(self.chance.sample(ADDRESSES, 2))
        ]
        pairs = [(self.chance.choice(self.projects), key) for key in ADDRESSES]
        since = now - timedelta(seconds=self.chance.choice((5, 500)))

        async def act(tx: Tx) -> Any:
            await suppressions.note(tx, rows)
            return await suppressions.noted(tx, pairs, since=since)

        return act

    def lift(self) -> Act:
        pairs = [(self.chance.choice(self.projects), self.chance.choice(ADDRESSES))]
        everyone = [(project_id, key) for project_id in self.projects for key in ADDRESSES]
        since = self.clock.now() - timedelta(days=1)

        async def act(tx: Tx) -> Any:
            await suppressions.lift(tx, pairs)
            return await suppressions.noted(tx, everyone, since=since)

        return act

    def guard(self) -> Act:
        now, project_id, domain = self.clock.now(), self.projects[0], self.chance.choice(("", "s.example"))
        level = self.chance.choice((GuardLevel.WARN, GuardLevel.PAUSE))
        campaign = "" if domain else self.chance.choice(CAMPAIGNS)
        new = Guard(project_id, domain, Stream.MARKETING, level, "Too much.", now, campaign=campaign)
        is_ended = self.chance.random() < 0.5
        hour = sending.hour_of(now)
        figures = self.chance.randrange(9), 2, 1, self.chance.choice(CAMPAIGNS)
        sent = Sending(hour, project_id, "s.example", Stream.MARKETING, *figures)
        kind = self.chance.choice(list(WaitKind))

        async def act(tx: Tx) -> Any:
            await sending.add(tx, self.chance.choice(("v", "w")), [sent])
            is_new = await guards.begin(tx, new)
            old = (await guards.of_subject(tx, project_id, domain, campaign))[-1]
            released = msgspec.structs.replace(old, level=GuardLevel.OK, since=now, released_at=now, excused_sent=7)
            moved = [await guards.move(tx, old, released), await guards.move(tx, old, new)] if is_ended else []
            woken = await lanes.end_pauses(tx, project_id, domain, kind, campaign=campaign, now=now)
            total = await sending.of_hour(tx, hour, project_id, domain, Stream.MARKETING, campaign=campaign)
            return is_new, old, moved, woken, total, await guards.in_force(tx)

        return act

    def count_scopes(self) -> Act:
        now, project = self.clock.now(), str(self.projects[0])

        async def act(tx: Tx) -> Any:
            return [
                await waiting.leased_count(tx, HoldScope.PROJECT, project, now=now),
                await waiting.leased_count(tx, HoldScope.PROVIDER, "gmail", now=now),
                await waiting.lane_ids(tx, HoldScope.PROJECT, project, after_id=2, count_max=3),
                await waiting.is_provider_known(tx, "gmail"),
            ]

        return act


async def rows(tx: Tx, sql: str) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in await tx.fetch(sql)]


def of_model(found: dict[Any, Any]) -> list[dict[str, Any]]:
    return [{name: _plain(getattr(row, name)) for name in row.__struct_fields__} for _, row in sorted(found.items())]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return "infinity" if value.year == 9999 else value
    return str(value) if isinstance(value, str) else value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_one_script_gives_the_same_answers_on_both(store: Store, clock: FakeClock, seed: int) -> None:
    script = Script(seed, clock)
    with VirtualLoop() as loop:
        database = SimDatabase(loop, random.Random(seed))
    model = SimTx(database)
    for number in range(STEPS):
        act = script.step()
        before = script.chance.getstate()
        kept = {owner: set(lane_ids) for owner, lane_ids in script.held.items()}, list(script.claims), script.hold
        async with store.transaction() as tx:
            real = await act(tx)
        script.held, script.claims, script.hold = kept
        script.chance.setstate(before)
        assert await act(model) == real, f"step {number} of seed {seed}"
        if number % 10 == 9:
            async with store.transaction() as tx:
                assert of_model(database.lanes) == await rows(tx, LANES), f"step {number} of seed {seed}"
                assert of_model(database.queue) == await rows(tx, QUEUE)
                assert of_model(database.recipients) == await rows(tx, RECIPIENTS)
                told = [
                    {"kind": str(e.kind), "recipient_id": e.recipient_id, "attempt": e.attempt, "reason": e.reason}
                    for e in database.events
                ]
                assert told == await rows(tx, EVENTS)


async def test_an_unknown_statement_is_an_error() -> None:
    with VirtualLoop() as loop:
        model = SimTx(SimDatabase(loop, random.Random(1)))
    with pytest.raises(AssertionError, match="no model of this statement"):
        await model.fetch("SELECT 1")
