"""Suppressions: what holds for which mail, for how long, and what is kept of one that was removed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import Stream, SuppressionOrigin, SuppressionScope
from outrider.store import queue, suppressions
from outrider.store.pool import Store
from outrider.store.suppressions import EVERYBODY, Asked, Evidence, Place, Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

ONE, TWO = UUID(int=1), UUID(int=2)
ANN, BOB = "ann@a.example", "bob@b.example"


def entry(clock: FakeClock, address_key: str = ANN, **changes: Any) -> Suppression:
    values: dict[str, Any] = {
        "project_id": ONE,
        "address_key": address_key,
        "scope": SuppressionScope.ALL,
        "reason": "recipient.invalid",
        "origin": SuppressionOrigin.REPLY,
        "created_at": clock.now(),
    }
    return Suppression(**values | changes)


def asked(
    address_key: str = ANN,
    project_id: UUID = ONE,
    stream: Stream = Stream.TRANSACTIONAL,
    domain: str = "shop.example",
    list_name: str = "",
) -> Asked:
    return Asked(project_id, address_key, stream, domain, list_name)


async def put(store: Store, *entries: Suppression) -> int:
    async with store.transaction() as tx:
        return await suppressions.put(tx, entries)


async def among(store: Store, clock: FakeClock, *which: Asked) -> dict[Asked, Suppression]:
    async with store.transaction() as tx:
        return await suppressions.among(tx, which, now=clock.now())


async def test_it_holds_for_its_project_and_address_alone(store: Store, clock: FakeClock) -> None:
    assert await put(store, entry(clock)) == 1
    found = await among(store, clock, asked(), asked(BOB), asked(project_id=TWO))
    assert list(found) == [asked()]
    assert found[asked()] == entry(clock)


async def test_an_operators_entry_holds_for_all_projects(store: Store, clock: FakeClock) -> None:
    await put(store, entry(clock, project_id=EVERYBODY))
    assert set(await among(store, clock, asked(), asked(project_id=TWO))) == {asked(), asked(project_id=TWO)}


@pytest.mark.parametrize(
    ("scope", "subject", "covered"),
    [
        (SuppressionScope.STREAM, "marketing", [asked(stream=Stream.MARKETING)]),
        (
            SuppressionScope.DOMAIN,
            "shop.example",
            [asked(), asked(stream=Stream.MARKETING), asked(list_name="weekly"), asked(list_name="Weekly")],
        ),
        (SuppressionScope.DOMAIN, "other.example", []),
        (SuppressionScope.LIST, "weekly", [asked(list_name="weekly")]),
        (SuppressionScope.LIST, "", []),
    ],
)
async def test_a_scope_covers_its_subject(
    store: Store, clock: FakeClock, scope: SuppressionScope, subject: str, covered: list[Asked]
) -> None:
    await put(store, entry(clock, scope=scope, subject=subject))
    which = [asked(), asked(stream=Stream.MARKETING), asked(list_name="weekly"), asked(list_name="Weekly")]
    assert list(await among(store, clock, *which)) == covered


async def test_it_ends_at_its_instant_and_is_swept(store: Store, clock: FakeClock) -> None:
    await put(store, entry(clock, expires_at=clock.now() + timedelta(days=90)), entry(clock, BOB))
    clock.advance(90 * 86_400 - 1)
    assert await among(store, clock, asked())
    clock.advance(1)
    assert not await among(store, clock, asked())
    async with store.transaction() as tx:
        await suppressions.sweep(tx, now=clock.now(), evidence_before=clock.now(), count_max=100)
        assert await suppressions.of_address(tx, ONE, ANN) == []
        assert await suppressions.of_address(tx, ONE, BOB) != []


async def test_what_holds_for_longer_stays(store: Store, clock: FakeClock) -> None:
    in_a_day, in_a_week = (clock.now() + timedelta(days=days) for days in (1, 7))
    assert await put(store, entry(clock, expires_at=in_a_day, reason="recipient.full")) == 1
    assert await put(store, entry(clock, expires_at=in_a_week)) == 1
    assert await put(store, entry(clock, expires_at=in_a_day)) == 0
    assert await put(store, entry(clock)) == 1
    assert await put(store, entry(clock, reason="complaint")) == 0
    assert (await among(store, clock, asked()))[asked()] == entry(clock)


async def test_one_batch_may_name_an_address_twice(store: Store, clock: FakeClock) -> None:
    soon = clock.now() + timedelta(days=1)
    assert await put(store, entry(clock, expires_at=soon), entry(clock), entry(clock, expires_at=soon)) == 1
    assert (await among(store, clock, asked()))[asked()].expires_at is None


async def test_what_is_removed_is_kept_with_the_reason(store: Store, clock: FakeClock) -> None:
    stream = entry(clock, scope=SuppressionScope.STREAM, subject="marketing", reason="complaint")
    await put(store, entry(clock), stream, entry(clock, project_id=TWO))
    async with store.transaction() as tx:
        removed = await suppressions.remove(
            tx, ONE, [ANN, BOB], scope=SuppressionScope.ALL, why="the address is back", now=clock.now()
        )
        assert removed == [ANN]
        assert await suppressions.of_address(tx, ONE, ANN) == [stream]
        (past,) = await suppressions.past(tx, ONE, ANN)
        assert (past.suppression, past.removed_why) == (entry(clock), "the address is back")
        assert await suppressions.remove(tx, ONE, [ANN], why="all of it", now=clock.now()) == [ANN]
        assert len(await suppressions.past(tx, ONE, ANN)) == 2
        assert await suppressions.of_address(tx, TWO, ANN) != []
        assert await suppressions.past(tx, TWO, ANN) == []


async def test_what_misunderstood_replies_led_to_is_undone(store: Store, clock: FakeClock) -> None:
    wrong, right, asked_for = UUID(int=11), UUID(int=12), UUID(int=13)
    await put(
        store,
        entry(clock, recipient_id=wrong),
        entry(clock, BOB, recipient_id=right),
        entry(clock, "eve@c.example", recipient_id=asked_for, origin=SuppressionOrigin.REQUEST),
    )
    async with store.transaction() as tx:
        undone = await suppressions.remove_of_recipients(
            tx, ONE, [wrong, asked_for], why="rules replayed", now=clock.now()
        )
        assert undone == [ANN]
        left = await suppressions.of_recipients(tx, [ONE, TWO], [wrong, right, asked_for])
        assert [one.address_key for one in left] == [BOB], "and none that the reader asked for"
        assert await suppressions.of_recipients(tx, [TWO], [right]) == []
        assert await suppressions.remove_of_recipients(tx, TWO, [right], why="not theirs", now=clock.now()) == []


async def test_pages_go_through_all_once_in_order(store: Store, clock: FakeClock) -> None:
    for number in range(7):
        await put(store, entry(clock, f"u{number}@a.example", reason="complaint" if number % 2 else "recipient.full"))
        clock.advance(number % 3)
    seen: list[str] = []
    after = None
    async with store.transaction() as tx:
        while found := await suppressions.page(tx, ONE, after=after, count_max=2, now=clock.now()):
            seen += [one.address_key for one in found]
            after = Place(found[-1].created_at, found[-1].address_key)
        complaints = await suppressions.page(tx, ONE, after=None, count_max=9, now=clock.now(), reason="complaint")
        parts = await suppressions.page(tx, ONE, after=None, count_max=9, now=clock.now(), part="3@")
        wild = await suppressions.page(tx, ONE, after=None, count_max=9, now=clock.now(), part="u_@%")
        assert await suppressions.counts(tx, ONE, now=clock.now()) == {"complaint": 3, "recipient.full": 4}
    assert seen == [f"u{number}@a.example" for number in range(7)]
    assert [one.address_key for one in complaints] == [f"u{number}@a.example" for number in (1, 3, 5)]
    assert [one.address_key for one in parts] == ["u3@a.example"]
    assert wild == [], "what an operator types is text, not a pattern"


async def test_evidence_is_noted_lifted_and_forgotten(store: Store, clock: FakeClock) -> None:
    first = Evidence(ONE, ANN, "recipient.full", clock.now(), UUID(int=21))
    other = Evidence(TWO, ANN, "recipient.full", clock.now(), UUID(int=22))
    later = Evidence(ONE, BOB, "unknown.hard", clock.now() + timedelta(days=2), UUID(int=23))
    async with store.transaction() as tx:
        await suppressions.note(tx, [later, first, other])
        assert await suppressions.noted(tx, [(ONE, ANN), (ONE, BOB)], since=clock.now()) == [first, later]
        assert await suppressions.noted(tx, [(ONE, ANN), (TWO, BOB)], since=clock.now()) == [first]
        await suppressions.lift(tx, [(ONE, ANN)])
        assert await suppressions.noted(tx, [(ONE, ANN), (TWO, ANN)], since=clock.now()) == [other]
        wrong = [other, msgspec.structs.replace(later, message_id=UUID(int=24))]
        assert await suppressions.withdraw(tx, wrong) == 1, "exactly what is named"
        await suppressions.note(tx, [other])
        await suppressions.sweep(tx, now=clock.now(), evidence_before=clock.now() + timedelta(days=1), count_max=100)
        assert await suppressions.noted(tx, [(TWO, ANN), (ONE, BOB)], since=clock.now()) == [later]


@pytest.mark.parametrize(("statement", "count"), [(suppressions._AMONG, 3), (suppressions._AMONG_CLAIMS, 7)])
async def test_plans_look_up_addresses_even_if_made_before_there_were_any(
    store: Store, statement: str, count: int
) -> None:
    async with store.transaction() as tx:
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.execute(f"PREPARE asked AS {statement}")
        rows = await tx.fetch(f"EXPLAIN EXECUTE asked({', '.join(['NULL'] * count)})")
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "suppression_pkey" in plan
    assert "address_key = " in plan
    assert "suppression_project" not in plan
    assert "Seq Scan on suppression" not in plan


async def test_a_sweep_goes_by_batches(store: Store, clock: FakeClock) -> None:
    soon = clock.now() + timedelta(days=1)
    await put(store, *(entry(clock, f"u{number}@a.example", expires_at=soon) for number in range(5)))
    clock.advance(86_400)
    more = []
    for _ in range(3):
        async with store.transaction() as tx:
            more.append(await suppressions.sweep(tx, now=clock.now(), evidence_before=clock.now(), count_max=2))
    assert more == [True, True, False]


async def test_before_an_attempt_the_list_is_the_messages_own(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project()
    found = {}
    for name in ("weekly", "monthly", ""):
        mail = await mailroom.mail(project_id, [ANN])
        async with store.transaction() as tx:
            await tx.execute("UPDATE message SET list_name = $1 WHERE message_id = $2", name, mail.message.message_id)
            due = await queue.first_due(tx, list(mail.lane_ids.values()), now=clock.now(), busy=[], count_max=9)
        found[name] = next(claim for claim in due if claim.message_id == mail.message.message_id)
    stranger = msgspec.structs.replace(found["weekly"], project_id=TWO)
    await put(store, *(entry(clock, project_id=who, scope=SuppressionScope.LIST, subject="") for who in (ONE, TWO)))
    await put(store, entry(clock, project_id=project_id, scope=SuppressionScope.LIST, subject="weekly"))
    async with store.transaction() as tx:
        held = await suppressions.among_claims(tx, list(found.values()), now=clock.now())
        assert held == {found["weekly"].recipient_id: "recipient.invalid"}
        assert await suppressions.among_claims(tx, [stranger], now=clock.now()) == {}


MARKETING = {"scope": SuppressionScope.STREAM, "subject": "marketing", "reason": "unsubscribe"}
LEFT = MARKETING | {"origin": SuppressionOrigin.REQUEST}


async def excepting(store: Store, *lists: str) -> None:
    async with store.transaction() as tx:
        await suppressions.except_lists(tx, ONE, ANN, lists)


async def test_who_left_everything_gets_the_lists_chosen_after_that(store: Store, clock: FakeClock) -> None:
    await put(store, entry(clock, **LEFT), entry(clock, BOB, **LEFT))
    await excepting(store, "weekly", "daily")
    which = [asked(key, stream=Stream.MARKETING, list_name=name) for key in (ANN, BOB) for name in ("", "weekly", "x")]
    assert set(await among(store, clock, *which)) == {which[0], which[2], *which[3:]}


async def test_before_an_attempt_too_what_was_chosen_is_the_messages_list(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project()
    found = {}
    for name in ("weekly", "monthly", ""):
        mail = await mailroom.mail(project_id, [ANN], stream=Stream.MARKETING)
        async with store.transaction() as tx:
            await tx.execute("UPDATE message SET list_name = $1 WHERE message_id = $2", name, mail.message.message_id)
            due = await queue.first_due(tx, list(mail.lane_ids.values()), now=clock.now(), busy=[], count_max=9)
        found[name] = next(claim for claim in due if claim.message_id == mail.message.message_id)
    await put(store, entry(clock, project_id=project_id, **LEFT))
    async with store.transaction() as tx:
        assert len(await suppressions.among_claims(tx, list(found.values()), now=clock.now())) == 3
        await suppressions.except_lists(tx, project_id, ANN, ["weekly"])
        held = await suppressions.among_claims(tx, list(found.values()), now=clock.now())
    assert held.keys() == {found[name].recipient_id for name in ("monthly", "")}


@pytest.mark.parametrize(
    ("changes", "excepted"),
    [
        (LEFT, ()),
        (LEFT | {"reason": "complaint"}, ()),
        (MARKETING | {"origin": SuppressionOrigin.IMPORT}, ("weekly",)),
        (MARKETING | {"origin": SuppressionOrigin.OPERATOR}, ("weekly",)),
    ],
)
async def test_who_leaves_again_leaves_what_was_chosen_and_a_file_does_not(
    store: Store, clock: FakeClock, changes: dict[str, Any], excepted: tuple[str, ...]
) -> None:
    await put(store, entry(clock, **LEFT))
    await excepting(store, "weekly")
    await put(store, entry(clock, **changes))
    async with store.transaction() as tx:
        (found,) = await suppressions.of_address(tx, ONE, ANN)
    assert (found.excepted, found.reason) == (excepted, changes["reason"])


async def test_a_complaint_takes_the_place_of_leaving_and_never_the_other_way_round(
    store: Store, clock: FakeClock
) -> None:
    complaint = entry(clock, **LEFT | {"reason": "complaint"})
    await put(store, entry(clock, **LEFT))
    assert await put(store, complaint) == 1
    assert await put(store, entry(clock, **LEFT)) == 0
    await put(store, entry(clock, BOB, **LEFT), entry(clock, BOB, **LEFT | {"reason": "complaint"}))
    async with store.transaction() as tx:
        assert await suppressions.of_address(tx, ONE, ANN) == [complaint]
        assert [one.reason for one in await suppressions.of_address(tx, ONE, BOB)] == ["complaint"]


@pytest.mark.parametrize(
    ("changes", "is_taken_back"),
    [
        ({}, True),
        ({"origin": SuppressionOrigin.IMPORT}, True),
        ({"origin": SuppressionOrigin.OPERATOR}, False),
        ({"reason": "complaint"}, False),
        ({"project_id": EVERYBODY}, False),
        ({"scope": SuppressionScope.LIST, "subject": "weekly"}, False),
    ],
)
async def test_only_a_readers_own_word_is_taken_back(
    store: Store, clock: FakeClock, changes: dict[str, Any], is_taken_back: bool
) -> None:
    await put(store, entry(clock, **LEFT | changes))
    async with store.transaction() as tx:
        stream = SuppressionScope.STREAM
        taken = await suppressions.take_back(tx, ONE, ANN, stream, "marketing", why="she wants it", now=clock.now())
        past = await suppressions.past(tx, ONE, ANN)
        assert taken is is_taken_back
        assert [one.removed_why for one in past] == (["she wants it"] if is_taken_back else [])
        assert bool(await suppressions.of_address(tx, ONE, ANN)) is not is_taken_back
